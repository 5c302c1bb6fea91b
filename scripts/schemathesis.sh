#!/usr/bin/env bash
# Sends what Schemathesis makes of /openapi.json to a throwaway issuer and site, as a stranger and as each officer. Any finding
# fails. With a number it makes that many requests of each kind: scripts/schemathesis.sh [EXAMPLES]
set -euo pipefail

examples=${1:-40}
version=4.32.5
source "$(dirname "$0")/setup.sh"

venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/schemathesis
tool=$venv/bin/schemathesis
if ! "$tool" --version 2>/dev/null | grep -qF " $version"; then
    rm -rf "$venv"
    python3 -m venv "$venv" 2>/dev/null || { install_packages python3 python3-venv && rm -rf "$venv" && python3 -m venv "$venv"; } ||
        cannot_go_on "Python cannot make virtual environments. As root run:" "    apt-get install -y python3 python3-venv" \
            "and try again."
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version" ||
        cannot_go_on "Schemathesis $version cannot be installed from PyPI. Check the network and try again."
fi

# With the profile and the features of the tests, whose dependencies are built already.
cargo build --quiet --locked --profile test --workspace --example throwaway

folder=$(mktemp -d)
# The servers run until their standard input ends, which is until this script ends, however it does.
mkfifo "$folder/run"
"${CARGO_TARGET_DIR:-target}/debug/examples/throwaway" "$folder" <"$folder/run" &
servers=$!
exec 3>"$folder/run"
stop() {
    exec 3>&-
    wait "$servers" || true
    rm -rf "$folder"
}
trap stop EXIT

for _ in $(seq 1200); do
    [ -f "$folder/servers.json" ] && break
    kill -0 "$servers" 2>/dev/null || cannot_go_on "the throwaway servers did not start; what they said is above."
    sleep 0.1
done
[ -f "$folder/servers.json" ] || cannot_go_on "the throwaway servers did not start within two minutes."

setting() {
    "$venv/bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]])' \
        "$folder/servers.json" "$1" "$2"
}

# Bodies are messages that no generator makes: whether a good one is accepted is for other tests. These say that whatever is
# answered is what the document describes, and that nothing breaks.
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance
status=0
for party in issuer site; do
    origin=$(setting "$party" origin)
    for person in nobody caseworker distributor supervisor; do
        as=()
        if [ "$person" != nobody ]; then
            # A file: arguments are seen by everybody on the machine.
            printf '[headers]\nAuthorization = "Bearer %s"\n' "$(setting "$party" "$person")" >"$folder/schemathesis.toml"
            as=(--config-file "$folder/schemathesis.toml")
        fi
        printf '\n-- %s, asked by %s\n' "$party" "$person"
        # It leaves its caches where it runs.
        (cd "$folder" && "$tool" "${as[@]}" run "$origin/openapi.json" --checks "$checks" --phases examples,coverage,fuzzing \
            --max-examples "$examples" --generation-deterministic --suppress-health-check all --warnings off \
            --request-timeout 30 --no-color) || status=1
    done
done
exit "$status"
