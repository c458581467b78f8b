vlm-make-crawl -n 8 --seed 3 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
vlm-inspect cat out >cat.jsonl
vlm-export jsonl out -q -o export.jsonl
cmp cat.jsonl export.jsonl && wc -l <export.jsonl
