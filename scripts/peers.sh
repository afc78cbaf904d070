#!/bin/sh
# Makes sure that the peers of the merge benchmark are in the cache, and prints the python that runs each, one NAME=path a line:
#   DLT, DBT, SQLMESH
# What it does goes to stderr.
#
# The cache is that of lib.sh. Each peer has a virtual environment of its own, named by the digest of its list in
# benches/peers and of the Python it is for. Such an environment knows its path, so it is made in place: it counts once the file
# `complete` is in it. A lock lets one run make it while others wait.
set -eu

. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/../benches/peers"

# Makes the virtual environment $1 of what the file $2 lists.
make_environment() {
    if [ -e "$1/complete" ]; then return 0; fi
    exec 9>"$cache/lock"
    flock 9
    if [ ! -e "$1/complete" ]; then
        say "installing what benches/peers/$2 lists"
        # What a run that was cut off has left.
        rm -rf "$1"
        trap 'rm -rf "$1"' EXIT
        trap 'exit 1' HUP INT TERM
        python3 -m venv "$1"
        # The list is whole: nothing comes that it does not name, and nothing may be missing.
        "$1/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$2" >&2
        "$1/bin/pip" --disable-pip-version-check check >&2
        touch "$1/complete"
        trap - EXIT HUP INT TERM
    fi
    exec 9>&-
}

command -v python3 >/dev/null 2>&1 || install Python python3
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is older than 3.11: put a newer python3 on PATH"
python3 -c 'import ensurepip, venv' 2>/dev/null || install "Python's venv" python3-venv
mkdir -p "$cache"
python=$(python3 -c 'import sys; print(sys.version, sys.executable)')

for peer in dlt dbt sqlmesh; do
    environment=$cache/$peer-$(printf '%s\n' "$python" "$(cat "$peer.txt")" | sha256sum | cut -c1-16)
    make_environment "$environment" "$peer.txt"
    echo "$(echo "$peer" | tr '[:lower:]' '[:upper:]')=$environment/bin/python"
done
