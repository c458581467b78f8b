# A part that is cut, or no file at all, is a sentence for every reader and no signal; verify notices
# a manifest whose hash over the parts is not that of the parts.
vlm-make-crawl -n 40 --seed 3 --no-damage -q -o crawl
vlm-shard crawl -o out -q --image-tokenizer none
cp -r out cut
size=$(wc -c <out/part-00000.lmdb)
for bytes in 0 1 5000 20000 $((size / 2)); do
    head -c "$bytes" out/part-00000.lmdb >cut/part-00000.lmdb
    vlm-inspect cat cut >cat.out 2>cat.err
    status=$?
    vlm-export jsonl cut -o - >/dev/null 2>&1
    echo "$bytes: cat $status, export $?, $(wc -l <cat.out) lines"
    sed 's/the manifest.*/the manifest/' cat.err
done
rm cut/part-00000.lmdb
mkfifo cut/part-00000.lmdb
timeout 10 vlm-inspect cat cut
echo "cat $?"
timeout 10 vlm-shard verify cut
echo "verify $?"
