# A run that has not begun: status 4, and no file.
mkdir run
: >run/metrics.jsonl
vlm-plot run -o curves.svg
status=$?
ls
exit $status
