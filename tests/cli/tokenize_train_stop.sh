# A signal while it waits for text: exit status 143, no file.
mkfifo pipe
sleep 600 >pipe &
writer=$!
vlm-tokenize train - --vocab-size 280 -o x.json <pipe &
trainer=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do # until it no longer dies of the signal but notes it
    grep -q '^SigCgt:.*[4-7c-f]...$' /proc/$trainer/status 2>/dev/null && break
    sleep 0.2
done
kill -TERM $trainer
wait $trainer
status=$?
kill $writer
ls
exit $status
