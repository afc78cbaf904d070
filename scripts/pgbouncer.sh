#!/bin/sh
# Makes sure that PgBouncer is here and prints where: installs it as root on Debian, else says how. No service of the system is
# made, started or touched.
set -eu

found() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin command -v pgbouncer
}

if found; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "PgBouncer is missing: run \`sudo apt-get install pgbouncer\`, or put it on PATH" >&2
    exit 2
fi
echo "installing PgBouncer" >&2
# Debian's package would start it; ours are private and temporary.
mask=/etc/systemd/system/pgbouncer.service
if [ ! -e "$mask" ] && [ ! -L "$mask" ]; then
    mkdir -p "$(dirname "$mask")"
    ln -s /dev/null "$mask"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
apt-get install -y -qq --no-install-recommends pgbouncer >&2
found
