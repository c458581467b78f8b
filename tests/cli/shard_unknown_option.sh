vlm-shard crawl --thraeds 3 -o out
