: >empty.warc
vlm-shard empty.warc -o out -q
status=$?
ls -A out
exit $status
