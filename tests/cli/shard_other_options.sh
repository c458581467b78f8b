vlm-make-crawl -n 5 --seed 3 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
vlm-shard crawl -o out -q --keep none
echo "exit $?"
vlm-make-crawl -n 6 --seed 4 -q -o other
vlm-shard other -o out -q
