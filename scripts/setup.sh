# Sourced by the other scripts. Finds or installs what a build needs on Debian: a C compiler with its linker, and cargo of
# the version in Cargo.toml. What it cannot install it names, and leaves with status 2.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

cannot_go_on() {
    printf 'setup: %s\n' "$@" >&2
    exit 2
}

# Installs Debian packages; fails where that is not possible.
install_packages() {
    command -v apt-get >/dev/null || return 1
    local as_root=(env)
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || return 1
        # Without a terminal nobody can type a password.
        [ -t 0 ] || sudo -n true 2>/dev/null || return 1
        as_root=(sudo env)
    fi
    echo "setup: installing $*"
    "${as_root[@]}" apt-get update -q && "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

compiles_c() {
    local folder status=0
    folder=$(mktemp -d)
    printf '#include <string.h>\nint main(void) { return (int)strlen(""); }\n' >"$folder/a.c"
    cc -o "$folder/a" "$folder/a.c" >/dev/null 2>&1 || status=1
    rm -r "$folder"
    return "$status"
}

need_c_compiler() {
    compiles_c || install_packages gcc libc6-dev || true
    compiles_c || cannot_go_on "a C compiler with its linker and headers is missing. As root run:" \
        "    apt-get update && apt-get install -y gcc libc6-dev" "and try again."
}

# Whether a version is at least the one that Cargo.toml asks for.
recent_enough() {
    [ -n "$1" ] && printf '%s\n%s\n' "$rust_needed" "$1" | sort -C -V
}

rust_version() {
    rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'
}

need_rust() {
    rust_needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    # Just installed, and not yet in this shell's path.
    command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    if ! command -v cargo >/dev/null; then
        # Most releases of Debian have an older one.
        if recent_enough "$(apt-cache show rustc 2>/dev/null | sed -n 's/^Version: \([0-9.]*\).*/\1/p' | head -n 1)"; then
            install_packages cargo rustc rustfmt rust-clippy || true
        fi
    fi
    command -v cargo >/dev/null || cannot_go_on "cargo is missing. Install Rust $rust_needed or later with rustup" \
        "(https://rustup.rs), open a new shell and try again."
    recent_enough "$(rust_version)" || cannot_go_on "Rust $rust_needed or later is needed, this is $(rust_version). Run:" \
        "    rustup update stable" "and try again."
    if [ -n "${RUSTFLAGS-}" ]; then
        echo "setup: RUSTFLAGS is set and replaces the flags of .cargo/config.toml: figures will differ" >&2
    fi
}

# For the tests only.
need_rust_components() {
    local missing=()
    cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
    cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    if command -v rustup >/dev/null; then
        rustup component add "${missing[@]}" || true
    else
        install_packages "${missing[@]/#clippy/rust-clippy}" || true
    fi
    if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then return; fi
    cannot_go_on "cargo lacks ${missing[*]}. Run:" "    rustup component add ${missing[*]}" "and try again."
}

# For the tests only: they print sheets and read them back with programs that are not ours.
need_decoders() {
    local program
    for program in pdftoppm pdftotext zbarimg; do
        command -v "$program" >/dev/null || { install_packages poppler-utils zbar-tools || true; break; }
    done
    for program in pdftoppm pdftotext zbarimg; do
        command -v "$program" >/dev/null || cannot_go_on "$program is missing. As root run:" \
            "    apt-get update && apt-get install -y poppler-utils zbar-tools" "and try again."
    done
}

# For the tests only: a report's page is opened in a browser that is not ours.
need_browser() {
    command -v chromium >/dev/null || install_packages chromium fonts-dejavu-core || true
    command -v chromium >/dev/null || cannot_go_on "chromium is missing. As root run:" \
        "    apt-get update && apt-get install -y chromium fonts-dejavu-core" "and try again."
}

# For the tests only: it kills a program before each of its system calls.
need_strace() {
    command -v strace >/dev/null || install_packages strace || true
    command -v strace >/dev/null || cannot_go_on "strace is missing. As root run:" \
        "    apt-get update && apt-get install -y strace" "and try again."
}

need_c_compiler
need_rust
