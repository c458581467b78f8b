vlm-shard crawl.warc.gz
