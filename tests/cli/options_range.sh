vlm-make-crawl -o crawl --images-per-page 5
