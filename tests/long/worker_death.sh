#!/bin/sh
# Workers that die of something outside (SIGSEGV sent from here, the out-of-memory killer) cost no
# record: an item is given up only after two deaths at it.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

vlm-make-crawl -n 1500 --pages-per-file 500 --seed 8 -q -o crawl
vlm-shard crawl -o reference -q -j 2 2>/dev/null
expected=$(set_hash reference)
vlm-shard crawl -o out -q -j 2 --json >report 2>/dev/null &
pid=$!
sent=0
while [ -d /proc/$pid ] && [ $sent -lt 12 ]; do
    for child in $(ps -o pid= --ppid $pid 2>/dev/null); do
        kill -SEGV "$child" 2>/dev/null && sent=$((sent + 1))
        break
    done
    # At equal intervals a unit that starts again would die at the same item.
    random 220
    sleep "0.$(printf %03d $((random + 30)))"
done
wait $pid
crashes=$(number worker_crashes <report)
if [ "${crashes:-0}" -eq 0 ]; then
    echo "skipped killed workers: the build was too fast for any"
elif grep -q '"crash"\|"worker_crash"' report; then
    echo "skipped killed workers: two deaths hit the same item"
else
    check_set "killed workers ($crashes)" out "$expected"
fi
