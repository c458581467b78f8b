# One record in the middle of the generated crawl is damaged.
vlm-make-crawl -n 5 --seed 3 -q -o crawl
vlm-shard crawl -o out -q --max-bad 0
status=$?
vlm-shard verify out -q && echo whole
vlm-shard crawl -o second -q --max-bad 1 && echo "one is allowed"
exit $status
