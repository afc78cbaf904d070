#!/bin/sh
# Makes sure that the binaries of PostgreSQL 15 or newer are here: installs them as root on Debian, else says how to.
# Demo and tests start private servers of their own; no cluster of the system is made, started or touched.
set -eu

newest=15

# Is there an initdb of a version that is new enough below this directory?
serves() {
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 1
    version=$("$1/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
    [ "$version" -ge "$newest" ]
}

found() {
    if [ -n "${MILEPOST_PGBIN:-}" ]; then
        serves "$MILEPOST_PGBIN"
        return
    fi
    for bin in /usr/lib/postgresql/*/bin; do
        if serves "$bin"; then return 0; fi
    done
    if command -v pg_config >/dev/null 2>&1 && serves "$(pg_config --bindir)"; then return 0; fi
    on_path=$(command -v initdb 2>/dev/null) && serves "$(dirname "$on_path")"
}

if found; then exit 0; fi

if [ -n "${MILEPOST_PGBIN:-}" ]; then
    echo "MILEPOST_PGBIN=$MILEPOST_PGBIN holds no PostgreSQL $newest or newer; unset it, or name a directory with initdb" >&2
    exit 2
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "PostgreSQL $newest or newer is missing: run \`sudo apt-get install postgresql\`, or set MILEPOST_PGBIN to the directory with initdb" >&2
    exit 2
fi

echo "installing PostgreSQL"
# Debian's package would make a cluster and start it; ours are private and temporary.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# The file above is ours and not the package's: keep it without a question.
apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold postgresql >/dev/null
if ! found; then
    echo "the PostgreSQL of this system is older than $newest: install a newer one (https://apt.postgresql.org), or set MILEPOST_PGBIN" >&2
    exit 2
fi
