# A pipe under a name would be waited for; '-' reads pipes.
mkfifo pipe
timeout -s KILL 20 vlm-shard pipe -o out
status=$?
ls
exit $status
