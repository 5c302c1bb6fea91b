#!/usr/bin/env bash
# Runs every fuzz target for a while: scripts/fuzz.sh SECONDS_EACH [TARGET...]
set -euo pipefail

seconds=${1:?"usage: scripts/fuzz.sh SECONDS_EACH [TARGET...]"}
shift
source "$(dirname "$0")/setup.sh"

[ -f fuzz/Cargo.toml ] || cannot_go_on "there are no fuzz targets: fuzz/Cargo.toml is missing."
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz || cannot_go_on "cargo-fuzz is missing. Run:" \
    "    cargo install --locked cargo-fuzz" "and try again."
command -v c++ >/dev/null || install_packages g++ || true
command -v c++ >/dev/null || cannot_go_on "a C++ compiler is missing. As root run:" "    apt-get install -y g++" \
    "and try again."
# Without valid inputs to start from a fuzzer hardly gets past the first curve point.
cargo run --quiet --locked -p annona-tests --bin fuzz-seeds -- fuzz/corpus
# The sanitizers are unstable options; where there is no nightly, stable is told to take them.
if rustup run nightly rustc --version >/dev/null 2>&1; then
    export RUSTUP_TOOLCHAIN=nightly
else
    export RUSTC_BOOTSTRAP=1
fi

if [ $# -eq 0 ]; then
    mapfile -t targets < <(cargo fuzz list)
    set -- "${targets[@]}"
fi
[ $# -gt 0 ] || cannot_go_on "fuzz/Cargo.toml names no targets."
for target in "$@"; do
    printf '\n== %s, %s s\n' "$target" "$seconds"
    cargo fuzz run "$target" -- -max_total_time="$seconds" -timeout=10 -print_final_stats=1
done
