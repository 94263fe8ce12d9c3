#!/usr/bin/env bash
# Mails per second through a gateway of namespaces: forwarded plainly, through a program that accepts everything, and through
# the gate with its shipped policies enforced; with the processor time that what stands in the way takes for each mail.
# All of them wait at queues of their own and take turns, so that the ratios mean something on a busy machine too.
#
#     tests/bench-inline.sh TARGET [SECONDS [ROUNDS [CASE...]]]
#
# A case is OCTETSxMAILS: the size of a mail, and how many of them a connection brings. Run as root. Nothing leaves the
# namespaces.
set -euo pipefail

target=${1:?usage: tests/bench-inline.sh TARGET [SECONDS [ROUNDS [CASE...]]]}/release
seconds=${2:-2}
rounds=${3:-4}
cases=("${@:4}")
[ ${#cases[@]} -gt 0 ] || cases=(50000x1 50000x10 1000000x1)
root=$(cd "$(dirname "$0")/.." && pwd)
tag=bench$$
folder=$(mktemp -d)
iptables=$(command -v iptables-legacy || command -v iptables)

end() {
    # No word about each of them.
    disown -a
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

# By queue: what waits there.
labels=("accept everything" "portcullis inline, shipped policies enforced" "the same, with --eve")
processes=()

start() {
    ip netns exec "${tag}g" "$@" > "$folder/log.${#processes[@]}" 2>&1 &
    processes+=($!)
}

gate() {
    start "$target/portcullis" inline --queue "$1" --control "$folder/control.$1" --mode enforce \
        --policy "$root/policies/smtp-strict.policy" --policy "$root/policies/smtp.policy" "${@:2}"
}

start "$target/examples/accept_all" 0 --seconds 3600
gate 1
gate 2 --eve "$folder/eve.json"
sleep 2
for number in "${!processes[@]}"; do
    kill -0 "${processes[$number]}" || { cat "$folder/log.$number"; exit 1; }
done

rule() {
    ip netns exec "${tag}g" "$iptables" -w "$1" FORWARD -p tcp -j NFQUEUE --queue-num "$2" --queue-bypass
}

# User and system time of a process up to now, in hundredths of a second.
spent() {
    awk '{ sub(/.*\) /, ""); print $12, $13 }' "/proc/$1/stat"
}

# One round: a queue, or nothing; appends mails, seconds, p50, p99, user and system time to a file.
round() {
    local case=$1 queue=$2 before="0 0" after="0 0" said
    if [ -n "$queue" ]; then
        rule -I "$queue"
        before=$(spent "${processes[$queue]}")
    fi
    said=$(ip netns exec "${tag}c" "$target/mail_load" send 198.51.100.10:25 4 "$seconds" "${case%x*}" "${case#*x}")
    if [ -n "$queue" ]; then
        # What the last connections leave behind belongs to them.
        sleep 0.2
        after=$(spent "${processes[$queue]}")
        rule -D "$queue"
    fi
    echo "$said $before $after" >> "$folder/rounds.$case.${queue:-none}"
}

# What the rounds gave, as a line; processor time is of the program at the queue.
tell() {
    awk -v label="$1" '
        # "N mails in T s, p50 X ms, p99 Y ms" and four times
        {
            rate = $1 / $4; mails += $1; time += $4; p50 += $7; p99 += $10
            user += $14 - $12; system_ += $15 - $13
            if (NR == 1 || rate < least) least = rate
            if (rate > most) most = rate
        }
        END {
            processor = user + system_ == 0 ? "" : sprintf("%6.0f %6.0f %6.0f", (user + system_) * 1e4 / mails, \
                user * 1e4 / mails, system_ * 1e4 / mails)
            printf "%-46s %6.0f %6.0f %6.0f  %7.2f %7.2f  %s\n", label, mails / time, least, most, p50 / NR, p99 / NR, processor
        }' "$2"
}

for case in "${cases[@]}"; do
    for ((number = 0; number < rounds; number++)); do
        round "$case" ""
        for queue in "${!labels[@]}"; do
            round "$case" "$queue"
        done
    done
    echo
    echo "mails of ${case%x*} octets, ${case#*x} in a connection, four clients, $rounds rounds of $seconds s"
    printf '%-46s %20s  %15s  %20s\n' "" "mails/s" "ms a mail" "us of processor a mail"
    printf '%-46s %6s %6s %6s  %7s %7s  %6s %6s %6s\n' "what stands in the way" mean least most p50 p99 all user system
    tell "nothing: plain forwarding" "$folder/rounds.$case.none"
    for queue in "${!labels[@]}"; do
        tell "${labels[$queue]}" "$folder/rounds.$case.$queue"
    done
done
