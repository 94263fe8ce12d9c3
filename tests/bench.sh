#!/bin/sh
# Prints how fast `portcullis read` is, beside a plain read of the same file.
# Usage: tests/bench.sh TARGET-DIRECTORY MEGABYTES
set -eu

target=$1
megabytes=$2
portcullis=$target/release/portcullis
folder=$target/bench
rounds=3
mkdir -p "$folder"

now() { date +%s%N; }

# Best of some rounds, because whatever else the machine does only makes it slower.
best() {
    best=
    for _ in $(seq $rounds); do
        begin=$(now)
        "$@" > /dev/null
        took=$(($(now) - begin))
        if [ -z "$best" ] || [ $took -lt "$best" ]; then best=$took; fi
    done
}

report() {
    awk -v name="$1" -v octets="$2" -v time="$best" \
        'BEGIN { printf "%-44s %6.0f MB/s  (%.3f s)\n", name, octets * 1000 / time, time / 1e9 }'
}

measure() {
    file=$1
    octets=$(wc -c < "$file")
    echo "$(basename "$file"): $octets octets, best of $rounds rounds"
    best cat "$file"
    report "plain read (cat)" "$octets"
    best "$portcullis" read --policy none --quiet "$file"
    report "portcullis read --policy none" "$octets"
    best "$portcullis" read --quiet "$file"
    report "portcullis read, shipped policies" "$octets"
    best "$portcullis" read --eve - "$file"
    report "portcullis read --eve -" "$octets"
    if [ -r /proc/self/status ] && [ -x /usr/bin/time ]; then
        /usr/bin/time -f "%M KB resident at most" "$portcullis" read --quiet "$file"
    fi
}

capture=$folder/smtp-$megabytes.pcap
if [ ! -e "$capture" ]; then
    "$target/release/generate_capture" "$capture" "$megabytes"
fi
measure "$capture"

# A second generator, where it is there: other hands, other habits.
other=$(dirname "$0")/../../shared/bench/gen.py
if [ -e "$other" ] && command -v python3 > /dev/null; then
    capture=$folder/smtp-$megabytes-other.pcap
    if [ ! -e "$capture" ]; then
        echo "making another capture with $other"
        python3 "$other" smtp "$capture.new" --mb "$megabytes" && mv "$capture.new" "$capture"
    fi
    measure "$capture"
fi
