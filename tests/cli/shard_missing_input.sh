# Nothing is left behind for an input that is not there.
vlm-shard absent.warc.gz -o out
status=$?
ls
exit $status
