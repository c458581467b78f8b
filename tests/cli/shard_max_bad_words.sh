# Words that strtod takes for numbers, and numbers out of range.
: >empty.warc
for limit in nan inf -1 101% 5x '' 1e300 %; do
    vlm-shard empty.warc -o out --max-bad "$limit" 2>&1
    echo "exit $?"
done
ls
