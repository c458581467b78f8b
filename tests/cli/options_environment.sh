VLM_MAKE_CRAWL_PAGES=many vlm-make-crawl -o crawl
