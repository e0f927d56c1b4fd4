#!/bin/sh
# Prints a Python that can make the environment. Each candidate is run, because a version manager's shim
# may stand on the path for a version that is not there.
for name in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
  found=$(command -v "$name") || continue
  if "$found" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    echo "$found"
    exit 0
  fi
done
echo "No Python 3.11 or later with the venv module was found (on Debian: apt-get install python3-venv)." >&2
exit 1
