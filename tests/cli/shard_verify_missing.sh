vlm-make-crawl -n 5 --seed 3 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
mv out/part-00000.lmdb elsewhere
vlm-shard verify out
echo "exit $?"
vlm-shard verify crawl
