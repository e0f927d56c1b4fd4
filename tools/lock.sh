#!/usr/bin/env bash
# Resolves pyproject.toml into the lock files, with the hash of every file that may be installed.
# The resolver lives in a throw-away environment, so that it is neither a dependency nor in the way.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m venv "$scratch"
"$scratch/bin/pip" install -qq uv

compile() {
  "$scratch/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url pyproject.toml "$@"
}

# One set of versions for everything, for all of it is installed into one environment: what is heavy is resolved under
# the constraints of the locks before it.
compile --extra dev --extra iscc --extra postgres --extra redis --output-file requirements.lock
before=(--constraint requirements.lock)
for extra in interop ray spark; do
  compile --extra "$extra" "${before[@]}" --output-file "requirements-$extra.lock"
  before+=(--constraint "requirements-$extra.lock")
done
