vlm-make-crawl -n 20 --seed 3 -q -o crawl
vlm-shard crawl -o out -q --image-tokenizer none >/dev/null 2>&1
vlm-inspect cat out --limit 1
vlm-inspect cat out | wc -l
