# The common options are accepted by every program, also where they change nothing.
vlm-make-crawl -n 3 --seed 3 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
common='-j 1 --memory 64Mi --seed 3 --json -q -v --progress none'
for command in "vlm-shard verify out" "vlm-inspect records crawl" "vlm-inspect cat out" \
    "vlm-inspect summary out" "vlm-export jsonl out -o -"; do
    # shellcheck disable=SC2086 # words
    $command $common >with 2>&1
    echo "$command: $?"
done
vlm-inspect cat out | cmp - with && echo equal
vlm-bench --version
