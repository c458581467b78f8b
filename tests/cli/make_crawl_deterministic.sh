# The same bytes for any number of threads; a prefix of the pages is a prefix of the crawl.
vlm-make-crawl -q -o one -n 40 -j 1 --no-damage
vlm-make-crawl -q -o three -n 40 -j 3 --no-damage
vlm-make-crawl -q -o short -n 20 -j 2 --no-damage
vlm-make-crawl -q -o other -n 40 -j 2 --no-damage --seed 2
cmp one/crawl-00000.warc.gz three/crawl-00000.warc.gz && echo same
n=$(wc -c <short/crawl-00000.warc.gz)
head -c "$n" one/crawl-00000.warc.gz | cmp - short/crawl-00000.warc.gz && echo prefix
cmp -s one/crawl-00000.warc.gz other/crawl-00000.warc.gz || echo another
