#!/bin/sh
# Installs a lock file and the project into .venv/, which is made first where it is missing or no longer runs.
set -eu
cd "$(dirname "$0")/.."
lock=$1

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  python=$(tools/find_python.sh)
  echo "Making .venv with $("$python" --version), from $lock"
  "$python" -m venv --clear .venv
fi

# The lock is complete, so there is nothing to resolve; each file's hash is checked. What has no wheel is
# built with the locked setuptools, which the first lock has installed by the time an engine asks for it.
pip() { .venv/bin/python -m pip -qq --disable-pip-version-check --no-input "$@"; }
case $lock in
  requirements.lock) pip install --require-hashes --no-deps -r "$lock" ;;
  *) pip install --require-hashes --no-deps --no-build-isolation -r "$lock" ;;
esac
pip install --no-build-isolation --no-deps -e .
