#!/usr/bin/env bash
# Every check that a change has to pass, each with its time. A missing tool fails.
set -euo pipefail

step=set-up
started=$SECONDS
finish() {
    local status=$?
    [ "$status" -eq 0 ] || printf '\n== FAILED: %s\n' "$step"
    printf '\n== total: %d s\n' "$((SECONDS - started))"
}
trap finish EXIT

run() {
    step=$1
    local from=$SECONDS
    shift
    printf '\n== %s\n' "$step"
    "$@"
    printf '== %s: %d s\n' "$step" "$((SECONDS - from))"
}

set_up() {
    source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
    need_rust_components
    need_decoders
    need_browser
    need_strace
    cargo --version
    rustc --version
    # All that the lock file names, for every platform: the check of dependencies looks at it offline.
    cargo fetch --locked
}

# Nothing is built twice there: what speeds up the next build only fills the disk.
[ -z "${CI-}" ] || export CARGO_INCREMENTAL=0

document() {
    RUSTDOCFLAGS="${RUSTDOCFLAGS-} -D warnings" cargo doc --locked --no-deps --workspace
}

run set-up set_up
run formatting cargo fmt --all --check
run lints cargo clippy --locked --workspace --all-targets -- -D warnings
run "lints, protocol alone on one core" cargo clippy --locked -p annona-protocol --no-default-features -- -D warnings
run documentation document
run dependencies scripts/dependencies.sh
run tests cargo test --locked --workspace
run "API fuzzing" scripts/schemathesis.sh
