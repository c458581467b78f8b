vlm-make-crawl
