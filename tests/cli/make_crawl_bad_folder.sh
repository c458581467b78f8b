echo >file
vlm-make-crawl -n 3 -o file/crawl
