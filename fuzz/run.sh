#!/usr/bin/env bash
# Runs the fuzz targets, one after the other, each for so many seconds.
#
#     fuzz/run.sh SECONDS [TARGET]
#
# It works with stable Rust and a C++ compiler (libFuzzer is C++). What is found lies in fuzz/found/TARGET/: make it one more
# file of fuzz/corpus/TARGET/ when it is mended, so that tests/tests/fuzz_corpus.rs keeps it from coming back.
set -euo pipefail

usage="usage: fuzz/run.sh SECONDS [TARGET]; the targets are the folders of fuzz/corpus/"
seconds=${1:?$usage}
case $seconds in
    *[!0-9]* | "") echo "$usage" >&2; exit 2 ;;
esac
# libFuzzer takes 0 for no end at all.
[ "$seconds" -gt 0 ] || { echo "$usage" >&2; exit 2; }

cd "$(dirname "$0")"
if [ $# -gt 1 ]; then
    [ -f "targets/$2.rs" ] || { echo "no target \`$2\`; $usage" >&2; exit 2; }
    targets=("$2")
else
    targets=()
    for file in targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi
command -v c++ >/dev/null || { echo "libFuzzer needs a C++ compiler: apt-get install g++" >&2; exit 2; }

host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR=$target_dir
# The instrumentation that cargo-fuzz asks of a nightly compiler, from the passes that the stable one has too. With --target
# it does not reach build scripts.
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS="$flags" cargo build --release --quiet --target "$host" $(printf -- '--bin %s ' "${targets[@]}")

status=0
for target in "${targets[@]}"; do
    mkdir -p "found/$target" "grown/$target"
    options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1)
    options+=(-artifact_prefix="found/$target/" -verbosity="${FUZZ_VERBOSITY:-0}" -print_funcs=0)
    case $target in
        grammars | layout) options+=(-dict=grammar.dict -max_len=8192) ;;
        policies | expressions) options+=(-dict=policy.dict) ;;
        smtp) options+=(-dict=smtp.dict) ;;
    esac
    log="found/$target.log"
    ended=0
    "$target_dir/$host/release/$target" "${options[@]}" "grown/$target" "corpus/$target" >"$log" 2>&1 || ended=$?
    if [ "$ended" -eq 0 ]; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "$target: $runs executions in $seconds s, nothing found"
    else
        status=1
        echo "$target: FOUND something (exit status $ended); see fuzz/$log and fuzz/found/$target/" >&2
        tail -n 15 "$log" >&2
    fi
done
exit $status
