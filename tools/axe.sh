#!/bin/sh
# Installs axe-core, pinned and with its hash checked, into .venv/axe/. The tests that need it are skipped without it.
set -eu
cd "$(dirname "$0")/.."

command -v npm >/dev/null || tools/system.sh tools/apt-packages-axe.txt
mkdir -p .venv/axe
cp tools/axe/package.json tools/axe/package-lock.json .venv/axe/
npm ci --prefix .venv/axe --ignore-scripts --no-audit --no-fund --silent ||
  echo "axe-core could not be installed; tests that need it are skipped."
