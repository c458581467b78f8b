#!/bin/sh
# Codes that are added to a finished set: those that sharding makes, for any number of threads; killed at
# any moment the set is whole, and the next run ends with the same bytes.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if ! command -v vlm-vqgan >/dev/null; then
    echo "skipped encode: there is no vlm-vqgan"
    exit 0
fi
codes() { # SET: SHA-256 and codes of every image
    vlm-inspect cat "$1" | grep -o '"sha256": "[0-9a-f]*", "codes": {[^}]*}'
}
vlm-make-crawl -n 1500 --pages-per-file 500 --seed 12 -q -o crawl
vlm-shard crawl -o direct -q --shard-bytes 4Mi 2>/dev/null
vlm-shard crawl -o bare -q --shard-bytes 4Mi --image-tokenizer none 2>/dev/null
codes direct >direct.codes

cp -r bare reference
began=$(date +%s%N)
vlm-vqgan encode reference -q -j 1 >/dev/null 2>&1
took=$((($(date +%s%N) - began) / 1000000))
expected=$(set_hash reference)
codes reference | cmp -s - direct.codes
verdict $? "codes as sharding makes them" "they differ"
vlm-shard verify reference -q
verdict $? "the set is whole" "it is not"
for threads in 2 3; do
    rm -rf out
    cp -r bare out
    vlm-vqgan encode out -q -j $threads >/dev/null 2>&1
    check_set "encode with -j$threads" out "$expected"
done

bad=0
for turn in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf out
    cp -r bare out
    random $((took + 100))
    for again in 1 2; do
        vlm-vqgan encode out -q -j 2 >/dev/null 2>&1 &
        pid=$!
        sleep "$((random / 1000)).$(printf %03d $((random % 1000)))"
        kill -KILL $pid 2>/dev/null
        wait $pid
        vlm-shard verify out -q >findings 2>&1 || {
            bad=$((bad + 1))
            not_ok "kill $turn.$again" "after $random ms: $(head -n 1 findings)"
        }
        random=$((random / 2))
    done
    vlm-vqgan encode out -q -j 2 >/dev/null 2>&1
    result=$(check_set kill out "$expected")
    [ "$result" = "ok kill" ] || {
        bad=$((bad + 1))
        not_ok "kill $turn" "$result"
    }
done
[ $bad -ne 0 ] || ok "ten times two kills"
