#!/bin/sh
# Installs a lock file and the project into .venv/, which is made first where it is missing or no longer runs.
set -eu
cd "$(dirname "$0")/.."
lock=$1

# A lock is complete, so there is nothing to resolve; the hash of each file is checked. Bytecode is left to the
# first import, because most of what is installed is never imported.
pip() { .venv/bin/python -m pip -qq --disable-pip-version-check --no-input "$@"; }
install() { pip install --require-hashes --no-deps --no-compile "$@"; }

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  python=$(tools/find_python.sh)
  echo "Making .venv with $("$python" --version), from $lock"
  "$python" -m venv --clear .venv
fi

case $lock in
  requirements.lock)
    # The locked pip comes first: it takes half the time of the one that older Pythons bring along.
    awk '/^pip==/ { on = 1 } on { print } on && !/\\$/ { exit }' "$lock" >.venv/pip.lock
    install -r .venv/pip.lock
    install -r "$lock"
    ;;
  *)
    # What has no wheel is built with the setuptools of the first lock.
    install --no-build-isolation -r "$lock"
    ;;
esac
pip install --no-build-isolation --no-deps -e .
