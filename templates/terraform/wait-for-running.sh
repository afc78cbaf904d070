#!/bin/sh
# Waits until a connector of Kafka Connect and all its tasks run: exit 0. Fails with the reason where a task has failed,
# where Kafka Connect refuses the credentials, and where time is up: exit 1.
#
# KAFKA_CONNECT_URL, CONNECTOR and WAIT_SECONDS say what to wait for; the variables of the Terraform provider say how to
# sign in. Needs curl.
set -eu

URL=${KAFKA_CONNECT_URL%/}
# What the workers report belongs, for a moment after a change, to what ran before. A state counts once it has been
# reported this many times, a second apart.
STEADY=5

say() { printf '%s: %s\n' "$CONNECTOR" "$1" >&2; }

# A line of a configuration file of curl, which is read from stdin: no secret is an argument that `ps` shows.
setting() {
    printf '%s = "%s"\n' "$1" "$(printf '%s' "$2" | sed 's/[\\"]/\\&/g')"
}

status() {
    {
        setting url "$URL/connectors/$CONNECTOR/status"
        if [ -n "${KAFKA_CONNECT_BASIC_AUTH_USERNAME:-}" ]; then
            setting user "$KAFKA_CONNECT_BASIC_AUTH_USERNAME:${KAFKA_CONNECT_BASIC_AUTH_PASSWORD:-}"
        fi
        [ -z "${KAFKA_CONNECT_TLS_ROOT_CA_FILE:-}" ] || setting cacert "$KAFKA_CONNECT_TLS_ROOT_CA_FILE"
        [ -z "${KAFKA_CONNECT_TLS_AUTH_CRT:-}" ] || setting cert "$KAFKA_CONNECT_TLS_AUTH_CRT"
        [ -z "${KAFKA_CONNECT_TLS_AUTH_KEY:-}" ] || setting key "$KAFKA_CONNECT_TLS_AUTH_KEY"
    } | curl --silent --show-error --max-time 10 --write-out '\n%{http_code}' --config - 2>&1
}

# What an answer says: `running` if the connector and at least one task run and nothing else does, `failed` if anything has
# failed, else `waiting`; then the states, the connector's first. In a text of JSON the quotes of `"state":"` would be escaped, so a
# trace that quotes a state is none.
verdict() {
    printf '%s\n' "$1" | awk -F '"state":"' '{
        verdict = NF > 2 ? "running" : "waiting"
        for (i = 2; i <= NF; i++) {
            sub(/".*/, "", $i)
            states = states " " $i
            if ($i == "FAILED") verdict = "failed"
            if ($i != "RUNNING" && verdict == "running") verdict = "waiting"
        }
        print verdict states
    }'
}

# The first line of the first trace in an answer, and the last cause that it names.
reason() {
    printf '%s\n' "$1" | awk -F '"trace":"' '{ print $2 }' | sed 's/\([^\\]\)".*/\1/; s/\\r//g' | awk '{
        lines = split($0, line, /\\n/)
        print line[1]
        for (i = lines; i > 1; i--) if (line[i] ~ /^Caused by: /) { print line[i]; exit }
    }' | sed 's/\\t/ /g; s/\\\(["\\/]\)/\1/g'
}

command -v curl >/dev/null || { say "curl is needed to see whether it runs, and is not installed"; exit 1; }

deadline=$(($(date +%s) + WAIT_SECONDS))
last=
seen=0
while :; do
    answer=$(status) || :
    code=${answer##*
}
    body=${answer%
*}
    verdict=waiting
    found="Kafka Connect answers $code"
    case $code in
    200)
        found=$(verdict "$body")
        verdict=${found%% *}
        ;;
    401 | 403)
        say "Kafka Connect refuses the credentials ($code): set KAFKA_CONNECT_BASIC_AUTH_USERNAME and _PASSWORD"
        exit 1
        ;;
    404) found="Kafka Connect does not know it" ;;
    000) found="Kafka Connect cannot be reached: $(printf '%s' "$body" | tr '\n' ' ')" ;;
    esac
    if [ "$verdict" = "$last" ]; then seen=$((seen + 1)); else seen=1; fi
    last=$verdict
    if [ "$seen" -ge "$STEADY" ]; then
        case $verdict in
        running) exit 0 ;;
        failed)
            say "it has failed: $(reason "$body")"
            say "when the cause is gone: curl -X POST '$URL/connectors/$CONNECTOR/restart?includeTasks=true&onlyFailed=true'"
            exit 1
            ;;
        esac
    fi
    if [ "$(date +%s)" -ge "$deadline" ]; then
        say "it does not run after $WAIT_SECONDS seconds: $found"
        exit 1
    fi
    sleep 1
done
