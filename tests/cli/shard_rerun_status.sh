# The verdict on a set is the same at every run.
vlm-make-crawl -n 5 --seed 3 -q -o crawl
: >empty.warc
for _ in 1 2; do
    vlm-shard crawl -o out -q --max-bad 0 2>/dev/null
    echo "damaged: exit $?"
    vlm-shard empty.warc -o nothing -q 2>/dev/null
    echo "nothing: exit $?"
done
