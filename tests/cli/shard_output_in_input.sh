# The output below the input folder is no input, at the second run either.
vlm-make-crawl -n 5 --seed 3 -q -o crawl
cd crawl || exit
for _ in 1 2; do
    vlm-shard . -o out -q 2>/dev/null
    echo "exit $?"
done
vlm-shard crawl-00000.warc.gz -o ../second -q 2>/dev/null
cmp out/part-00000.lmdb ../second/part-00000.lmdb && echo equal
