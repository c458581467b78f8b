# Damage to what a stopped run left behind must not come out as content under a fresh checksum. The
# second run is made to fail in the seal by a folder that stands where the part goes.
vlm-make-crawl -n 5 --seed 3 -q -o crawl
mkdir -p out/part-00000.lmdb.tmp/in-the-way
vlm-shard crawl -o out -q >/dev/null 2>&1 && echo "the seal did not fail"
rm -r out/part-00000.lmdb.tmp
size=$(wc -c <out/.work/unit-000000)
position=200
byte=$(dd if=out/.work/unit-000000 bs=1 skip=$position count=1 2>/dev/null | od -An -tu1)
# shellcheck disable=SC2059  # the format is the byte
printf "\\$(printf %o $((byte ^ 1)))" |
    dd of=out/.work/unit-000000 bs=1 seek=$position conv=notrunc 2>/dev/null
[ "$size" = "$(wc -c <out/.work/unit-000000)" ] || echo "the file has changed its size"
vlm-shard crawl -o out -q 2>&1
ls out
rm out/.work/unit-000000
vlm-shard crawl -o out -q 2>/dev/null
vlm-shard crawl -o whole -q 2>/dev/null
cmp out/part-00000.lmdb whole/part-00000.lmdb && echo "the same bytes without it"
