#!/bin/sh
# An image that kills its decoder costs itself and nothing else: the worker dies at it twice, the record
# is left out and named in the books, and everything beside it is the same for any -j.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if ! cc -shared -fPIC -D_GNU_SOURCE -I"$TESTS/.." -o shim.so "$TESTS/long/killer_shim.c" -ldl 2>cc.log; then
    echo "skipped killer image: no compiler for the shim"
    exit 0
fi
vlm-make-crawl -n 300 --no-damage --seed 5 -q -o crawl
# A size that one image alone has.
size=$(vlm-inspect records crawl/*.gz | grep '"content_type": "image/jpeg"' |
    sed 's/.*"body_length": \([0-9]*\).*/\1/' | sort -n | uniq -u | sed -n 100p)
vlm-shard crawl -o reference -q --json >reference.json
export KILLER_SIZE="$size" LD_PRELOAD="$PWD/shim.so"
vlm-shard crawl -o one -q -j 1 --json >one.json
vlm-shard crawl -o two -q -j 2 --json >two.json
unset LD_PRELOAD
if [ "$(number worker_crashes <one.json)" = 0 ]; then
    echo "skipped killer image: the decoder does not take its bytes through jpeg_mem_src"
    exit 0
fi
verdict "$([ "$(number worker_crash <one.json)" = 1 ]; echo $?)" 'one record is left out' \
    "worker_crash $(number worker_crash <one.json)"
kept=$(number kept <reference.json)
verdict "$([ "$(number kept <one.json)" = "$kept" ]; echo $?)" 'every document is kept' \
    "$(number kept <one.json) of $kept"
verdict "$([ "$(set_hash one)" = "$(set_hash two)" ]; echo $?)" 'the same bytes for any -j' 'they differ'
vlm-shard verify -q one
verdict $? 'the set is whole' 'verify finds something'
vlm-inspect cat one | grep -q '"status": "worker_crash"'
verdict $? 'the page says why its image is missing' 'no image has the status worker_crash'
