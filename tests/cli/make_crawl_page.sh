# The article of one page, as it must stay: words are part of what people train on.
vlm-make-crawl -q -o crawl -n 5 --no-damage
gzip -dc crawl/crawl-00000.warc.gz | grep -a -A 40 '^<main>' | sed -n '1,/^<.main>/p' | grep -av '^<img'
