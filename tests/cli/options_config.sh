printf '[make-crawl]\nseed = 3\npaegs = 4\n' >own.ini
vlm-make-crawl -o crawl -c own.ini
