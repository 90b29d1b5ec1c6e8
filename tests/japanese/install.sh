#!/usr/bin/env bash
# Installs what scores Japanese answers into the project's environment (VENV), unless it is there. Needs a network.
set -euo pipefail
cd "$(dirname "$0")/../.."
project=${VENV:-.venv}
if [ ! -x "$project/bin/python" ]; then
  echo "there is no $project/bin/python: run make setup first" >&2
  exit 1
fi
"$project/bin/pip" install --quiet --disable-pip-version-check --no-deps -r envs/japanese.lock
