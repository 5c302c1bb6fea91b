#!/usr/bin/env bash
# Licences, sources and pinned versions of the dependencies, offline. The gate is a test that needs nothing but cargo;
# cargo-deny, where it is installed, checks the same rules and more.
set -euo pipefail
cd "$(dirname "$0")/.."

# All members, as the features of dependencies are those of the tests then, and nothing is built twice.
cargo test --quiet --locked --workspace --test workspace
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --locked --offline check licenses bans sources
else
    echo "cargo-deny is not installed and did NOT run; the rules above are checked without it"
fi
