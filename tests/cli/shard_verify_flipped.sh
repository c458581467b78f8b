# One flipped bit: the part is named.
vlm-make-crawl -n 5 --seed 3 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
byte=$(dd if=out/part-00000.lmdb bs=1 skip=30000 count=1 2>/dev/null | od -An -tu1)
# shellcheck disable=SC2059  # the format is the byte
printf "\\$(printf %o $((byte ^ 1)))" | dd of=out/part-00000.lmdb bs=1 seek=30000 conv=notrunc 2>/dev/null
vlm-shard verify out >findings
status=$?
sed 's/:.*//' findings | sort -u
exit $status
