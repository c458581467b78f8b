# A finished set stays as it is, to the byte, and its report is printed again.
vlm-make-crawl -n 5 --seed 3 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
sha256sum out/* >before
vlm-shard crawl -o out -q --json -j 1 2>/dev/null | grep -c '"documents"'
sha256sum -c --quiet before && echo unchanged
ls -A out
