# One member is damaged, and gzip notices; without damage all is well. No temporary file stays.
vlm-make-crawl -q -o crawl -n 30
gzip -tq crawl/crawl-00000.warc.gz 2>/dev/null || echo damaged
vlm-make-crawl -q -o clean -n 30 --no-damage
gzip -t clean/crawl-00000.warc.gz && echo whole
gzip -dc clean/crawl-00000.warc.gz | grep -ac '^WARC/1.1'
ls crawl
