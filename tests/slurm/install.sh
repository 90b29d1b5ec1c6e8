#!/usr/bin/env bash
# Installs a SLURM for the tests from Debian's packages, unless there is one. Needs root and a network.
set -euo pipefail
packages=(slurmctld slurmd slurm-client munge)
PATH=$PATH:/usr/sbin:/sbin
missing=
for program in slurmctld slurmd sbatch munged; do
  command -v "$program" > /dev/null || missing=$program
done
if [ -z "$missing" ]; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "$missing is missing: run tests/slurm/install.sh as root, on Debian or Ubuntu" >&2
  exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
