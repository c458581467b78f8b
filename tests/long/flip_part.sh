#!/bin/sh
# One flipped bit anywhere in a part: verify ends with 5 and names the part.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

vlm-make-crawl -n 30 --seed 10 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
size=$(wc -c <out/part-00000.lmdb)
bad=0
for _ in $(seq 200); do
    random "$size"
    position=$random
    random 8
    mask=$((1 << random))
    flip out/part-00000.lmdb "$position" $mask
    timeout 60 vlm-shard verify out >findings 2>/dev/null
    status=$?
    if [ $status -ne 5 ] || ! grep -q '^part-00000.lmdb: ' findings || grep -qv '^part-00000.lmdb: ' findings; then
        not_ok "byte $position, mask $mask" "exit status $status, $(head -n 1 findings)"
        bad=$((bad + 1))
    fi
    flip out/part-00000.lmdb "$position" $mask
done
[ $bad -ne 0 ] || ok "two hundred flipped bits of a part"
vlm-shard verify out -q
verdict $? "whole again" "it is not"
