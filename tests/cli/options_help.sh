# --help goes to stdout and shows defaults, whatever else is set.
VLM_PAGES=7 vlm-make-crawl -n 9 --help
