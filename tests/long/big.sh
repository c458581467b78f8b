#!/bin/sh
# Twenty thousand pages (some repeat a URL) in one file: the same bytes from one and two workers, in bounded memory.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

vlm-make-crawl -n 20000 --pages-per-file 20000 --seed 11 -q -o crawl
vlm-shard crawl -o one -q -j 1 --json >report 2>/dev/null || not_ok "one worker" "exit status $?"
[ "$(number kept <report)" -ge 19500 ] || not_ok "documents" "$(number kept <report) kept"
expected=$(set_hash one)
rm -rf one
vlm-shard crawl -o two -q -j 2 --memory 64M --json >report 2>/dev/null || not_ok "two workers" "exit status $?"
check_set "twenty thousand pages" two "$expected"
# The sum over the processes: 64 MiB for sorting, two workers, and the pages of LMDB's last
# transaction.
peak=$(number peak_rss <report)
if [ "$peak" -lt $((400 << 20)) ]; then
    ok "memory of $((peak >> 20)) MiB"
else
    not_ok "memory" "$((peak >> 20)) MiB"
fi
