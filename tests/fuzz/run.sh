#!/bin/sh
# run.sh SECONDS TARGET... - runs each fuzz target that long. The corpus grows in
# build/fuzz/corpus-NAME; seeds come from tests/fuzz/seeds/NAME. A finding stays in
# build/fuzz/findings-NAME and makes the run fail; all targets are run.
set -u
seconds=$1
shift
failed=0
for target in "$@"; do
    name=$(basename "$target")
    name=${name#fuzz_}
    corpus=build/fuzz/corpus-$name
    findings=build/fuzz/findings-$name
    mkdir -p "$corpus" "$findings"
    seeds=
    [ ! -d "tests/fuzz/seeds/$name" ] || seeds=tests/fuzz/seeds/$name
    echo "fuzzing $name for $seconds seconds"
    if ! "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$findings/" "$corpus" ${seeds:+"$seeds"} >"build/fuzz/$name.log" 2>&1; then
        echo "FAILED $name: see build/fuzz/$name.log and $findings"
        tail -n 30 "build/fuzz/$name.log" | sed 's/^/    /'
        failed=$((failed + 1))
    else
        grep 'stat::number_of_executed_units' "build/fuzz/$name.log" | sed 's/^/    /'
    fi
done
echo "$# targets, $failed with findings"
[ $failed -eq 0 ]
