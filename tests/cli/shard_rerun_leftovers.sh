# A kill between the manifest and the end of the work folder: the next run cleans up.
vlm-make-crawl -n 5 --seed 3 -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
mkdir out/.work
echo rest >out/.work/unit-000000
vlm-shard crawl -o out -q 2>/dev/null
echo "exit $?"
ls -A out
