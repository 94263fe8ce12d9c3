#!/usr/bin/env bash
# Mails per second through a gateway of namespaces: forwarded plainly, through a program that accepts everything, and through
# the gate with its shipped policies enforced; all in one run, so that the ratios mean something on a busy machine too.
#
#     tests/bench-inline.sh TARGET [SECONDS]
#
# Run as root. Nothing leaves the namespaces.
set -euo pipefail

target=${1:?usage: tests/bench-inline.sh TARGET [SECONDS]}/release
seconds=${2:-4}
root=$(cd "$(dirname "$0")/.." && pwd)
tag=bench$$
folder=$(mktemp -d)
iptables=$(command -v iptables-legacy || command -v iptables)

end() {
    for name in c g s; do
        ip netns pids "$tag$name" 2> /dev/null | xargs -r kill -9 2> /dev/null || true
        ip netns del "$tag$name" 2> /dev/null || true
    done
    rm -rf "$folder"
}
trap end EXIT

for name in c g s; do
    ip netns add "$tag$name"
    ip -n "$tag$name" link set lo up
done
ip link add c0 netns "${tag}c" type veth peer name g0 netns "${tag}g"
ip link add s0 netns "${tag}s" type veth peer name g1 netns "${tag}g"
ip -n "${tag}c" addr add 192.0.2.10/24 dev c0
ip -n "${tag}g" addr add 192.0.2.1/24 dev g0
ip -n "${tag}g" addr add 198.51.100.1/24 dev g1
ip -n "${tag}s" addr add 198.51.100.10/24 dev s0
for link in "c c0" "g g0" "g g1" "s s0"; do
    set -- $link
    ip -n "$tag$1" link set "$2" up
done
ip -n "${tag}c" route add default via 192.0.2.1
ip -n "${tag}s" route add default via 198.51.100.1
ip netns exec "${tag}g" sysctl -qw net.ipv4.ip_forward=1
ip netns exec "${tag}s" "$target/mail_load" sink 198.51.100.10:25 &
sleep 0.5

load() {
    ip netns exec "${tag}c" "$target/mail_load" send 198.51.100.10:25 4 "$seconds" 50000
}

# What stands in the way: a command that binds queue 0, or nothing.
measure() {
    local label=$1
    shift
    local process=""
    if [ $# -gt 0 ]; then
        ip netns exec "${tag}g" "$@" > "$folder/log" 2>&1 &
        process=$!
        sleep 2
        ip netns exec "${tag}g" "$iptables" -w -I FORWARD -p tcp -j NFQUEUE --queue-num 0 --queue-bypass
    fi
    for _ in 1 2; do
        printf '%-52s %s\n' "$label" "$(load)"
    done
    if [ -n "$process" ]; then
        ip netns exec "${tag}g" "$iptables" -w -F FORWARD
        kill -TERM "$process" 2> /dev/null || true
        wait "$process" 2> /dev/null || true
    fi
}

gate() {
    measure "$1" "$target/portcullis" inline --queue 0 --control "$folder/control.sock" --mode enforce \
        --policy "$root/policies/smtp-strict.policy" --policy "$root/policies/smtp.policy" "${@:2}"
}

measure "plain forwarding"
measure "accept everything" "$target/examples/accept_all" 0 --seconds 600
gate "portcullis inline, shipped policies enforced"
gate "the same, with --eve" --eve "$folder/eve.json"
measure "plain forwarding, again"
