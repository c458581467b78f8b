# A finished set without its part is not "done".
vlm-make-crawl -n 5 --seed 3 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
rm out/part-00000.lmdb
vlm-shard crawl -o out -q
