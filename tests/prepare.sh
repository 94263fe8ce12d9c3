#!/bin/sh
# Installs what the build needs and this machine has not: a C compiler, libpcap.
# Usage: tests/prepare.sh [PROGRAM[=PACKAGE]...]; programs that are needed too, and the packages that have them where
# they are not of the same name.
set -eu

if ! command -v cargo > /dev/null; then
    echo "Rust is missing: install it from https://rustup.rs, then try again" >&2
    exit 1
fi

# What counts is whether it works, not which package it came from.
compiles() {
    command -v cc > /dev/null && printf '#include <%s>\n' "$1" | cc -E - > /dev/null 2>&1
}
packages=""
if ! compiles stdio.h || ! compiles pcap/pcap.h; then
    packages="gcc libc6-dev libpcap-dev pkg-config"
fi
for program in "$@"; do
    command -v "${program%%=*}" > /dev/null || packages="$packages ${program#*=}"
done
if [ -z "$packages" ]; then
    exit 0
fi

if ! command -v apt-get > /dev/null; then
    echo "something is missing, and there is no apt-get to install it:" >&2
    echo "install what Debian calls $packages, then try again" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    root=""
elif command -v sudo > /dev/null; then
    root="sudo"
else
    echo "packages are missing: run this as root, then try again: apt-get install -y $packages" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -q
# shellcheck disable=SC2086 # several packages
$root apt-get install -y -q --no-install-recommends $packages
