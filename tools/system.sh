#!/bin/sh
# Installs the Debian packages named in the given lists, where that can be done without asking anyone.
# A test that misses its program is skipped and says so; this says it once, beforehand.
set -eu

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=
command -v dpkg-query >/dev/null || { echo "Not a Debian system: tests that need another program are skipped."; exit 0; }
for package in $(sed 's/#.*//' "$@"); do
  installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root='sudo -n'; else
  echo "Not root, so tests that need one of these Debian packages are skipped:$missing"
  exit 0
fi

echo "Installing Debian packages for the tests:$missing"
# RUNLEVEL=1 keeps the servers among them from being started as services.
apt() { $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq "$@" >/dev/null 2>&1; }
install() { apt install --no-install-recommends -y "$@"; }

# One call for all where that works; one by one where a release lacks one of them.
# shellcheck disable=SC2086
if ! install $missing && ! { apt update && install $missing; }; then
  for package in $missing; do
    install "$package" || echo "Debian package $package could not be installed; tests that need it are skipped."
  done
fi
