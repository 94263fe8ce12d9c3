#!/bin/sh
# Layout and lints. Where a tool is not installed that is said; in CI it is an error.
set -eu

lint() {
    tool=$1
    shift
    if cargo "$tool" --version > /dev/null 2>&1; then
        echo "cargo $tool $*"
        cargo "$tool" "$@"
    elif [ "${CI:-}" = true ]; then
        echo "cargo $tool is missing: rustup component add rustfmt clippy" >&2
        exit 1
    else
        echo "skipped: cargo $tool is missing (rustup component add rustfmt clippy)"
    fi
}

lint fmt --all --check
lint clippy --workspace --all-targets --locked -- -D warnings
