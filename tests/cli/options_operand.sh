vlm-make-crawl -o crawl more
