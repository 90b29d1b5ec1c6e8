#!/usr/bin/env bash
# Installs the validator of RO-Crates, unless it is there, into an environment of its own (CRATE_VENV).
# Needs a network.
set -euo pipefail
cd "$(dirname "$0")/../.."
project=${VENV:-.venv}
crate=${CRATE_VENV:-.venv-crate}
lock=envs/crate.lock
if [ ! -x "$project/bin/python" ]; then
  echo "there is no $project/bin/python: run make setup first" >&2
  exit 1
fi
if cmp -s "$lock" "$crate/lock"; then
  exit 0
fi
if [ -e "$crate" ] && [ ! -f "$crate/pyvenv.cfg" ]; then
  echo "$crate is no Python environment: set CRATE_VENV to another folder" >&2
  exit 1
fi
rm -rf "$crate"
"$project/bin/python" -m venv --without-pip "$crate"
# all that the validator needs is in the lock, and of rocrate only a file is read: hence no dependencies
"$project/bin/pip" --python "$crate/bin/python" install --quiet --disable-pip-version-check \
  --no-deps -r "$lock"
cp "$lock" "$crate/lock"
