#!/usr/bin/env bash
# Installs a PostgreSQL for the tests of tracking from Debian's packages, unless there is one. Needs root
# and a network.
set -euo pipefail
if ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "PostgreSQL is missing: run tests/tracking/install.sh as root, on Debian or Ubuntu" >&2
  exit 1
fi
apt-get update -q
# no server of the system's own: the tests start one for themselves
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] \
  || echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql
