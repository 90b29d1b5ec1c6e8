#!/usr/bin/env bash
# Installs bubblewrap for the tests from Debian's packages, unless it is there. Needs root and a network.
set -euo pipefail
if command -v bwrap > /dev/null; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "bwrap is missing: run tests/evaluate/install-sandbox.sh as root, on Debian or Ubuntu" >&2
  exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends bubblewrap
