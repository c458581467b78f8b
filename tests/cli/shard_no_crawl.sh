echo 'this is a letter, not a crawl' >letter
vlm-shard letter -o out
status=$?
ls
exit $status
