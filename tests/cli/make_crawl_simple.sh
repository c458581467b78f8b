# The simple world: one picture a page, its words before it and behind it in turn, and pairs that only one crawl shows.
vlm-make-crawl -q -o trained -n 1000 --world simple --pairs trained --no-damage
vlm-make-crawl -q -o held -n 1000 --world simple --pairs held-out --no-damage
vlm-make-crawl -q -o small -n 2 --world simple --no-damage
gzip -dc small/crawl-00000.warc.gz | grep -a -A 6 '^<!DOCTYPE'
pairs() {
    gzip -dc "$1"/crawl-*.warc.gz | sed -n 's/^<img .*\(alt\|title\)="\([a-z]*\) [a-z]* \([a-z ]*\)">$/\2 \3/p' | sort -u
}
pairs trained >of-trained
pairs held >of-held
wc -l <of-trained
cat of-held
comm -12 of-trained of-held
