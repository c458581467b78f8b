# Each source is stronger than the one before: ./vlm.ini, --config, environment, --set, argument.
count() {
    vlm-make-crawl -o crawl --json "$@" | sed 's/,.*//'
}
printf '[*]\npages = 3\n[make-crawl]\nprogress = none\n' >vlm.ini
printf '[make-crawl]\npages = 4\n' >own.ini
count
count -c own.ini
VLM_PAGES=5 count -c own.ini
VLM_PAGES=5 VLM_MAKE_CRAWL_PAGES=6 count -c own.ini
VLM_PAGES=5 count -c own.ini --set make-crawl.pages=7
VLM_PAGES=5 count -c own.ini --set make-crawl.pages=7 --pages 9 -n8
