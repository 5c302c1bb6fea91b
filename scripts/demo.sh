#!/usr/bin/env bash
# Builds the demo in release and runs it: scripts/demo.sh CASELOAD OUT
set -euo pipefail

caseload=${1:?"usage: scripts/demo.sh CASELOAD OUT"}
out=${2:?"usage: scripts/demo.sh CASELOAD OUT"}
[ -f "$caseload" ] || {
    echo "demo: there is no file $caseload: give one as make demo CASELOAD=file.csv" >&2
    exit 2
}
# Paths are the caller's, setup.sh changes to the repository.
caseload=$(realpath -- "$caseload")
out=$(realpath -m -- "$out")
source "$(dirname "$0")/setup.sh"

cargo build --release --locked -p annona-demo -p annona-node -p annona-audit
exec "${CARGO_TARGET_DIR:-target}/release/annona-demo" --caseload "$caseload" --out "$out"
