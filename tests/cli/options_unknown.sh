vlm-make-crawl -o crawl --paegs 3
