# What the scripts share that put things into the cache; each sources it before it changes its directory.
#
# The cache is MILEPOST_CACHE, else milepost below XDG_CACHE_HOME or ~/.cache; remove it at any time.
cache=${MILEPOST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/milepost}
script=scripts/$(basename "$0")

say() { echo "$script: $*" >&2; }

fail() {
    say "$@"
    exit 2
}

# Installs package $2 of Debian, which brings $1, as root, else says how.
install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        fail "$1 is missing: run \`sudo apt-get install $2\`, or install it in your system's way"
    fi
    say "installing $2"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends "$2" >&2
}
