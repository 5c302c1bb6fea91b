#!/usr/bin/env bash
# Counts the instructions of operations on secrets under callgrind, once for each of several secrets: free of noise, where
# `make ct-check` measures time. Needs valgrind, which runs the AVX2 code. The control must differ, and nothing of ours may; a
# range proof does, because its inner-product argument takes variable time on masked vectors.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

command -v valgrind >/dev/null || install_packages valgrind || true
command -v valgrind >/dev/null || cannot_go_on "valgrind is missing. As root run:" "    apt-get install -y valgrind"

cargo build --release --locked --quiet -p annona-benches --bin ct-once
program=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/ct-once
seeds=(0 1 2 3)
failed=0

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect='*measured_operation*' \
        "$program" "$1" "$2" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

echo "| operation | instructions, by secret | verdict |"
echo "| --- | --- | --- |"
while read -r name whose; do
    [ -z "${1-}" ] || [ "$name" = "$1" ] || continue
    counts=()
    for seed in "${seeds[@]}"; do
        counts+=("$(count "$name" "$seed")")
    done
    distinct=$(printf '%s\n' "${counts[@]}" | sort -u | wc -l)
    verdict=equal
    [ "$distinct" -eq 1 ] && [ -n "${counts[0]}" ] && [ "${counts[0]}" -gt 0 ] || verdict=DIFFERS
    echo "| $name | ${counts[*]} | $verdict |"
    case $whose in
        Ours) [ "$verdict" = equal ] || failed=1 ;;
        Control) [ "$verdict" = DIFFERS ] || failed=1 ;;
    esac
done < <("$program")
exit "$failed"
