# A signal ends a step of many micro-batches at once, and nothing of it stays.
# shellcheck disable=SC2086  # $options is words
vlm-make-crawl -n 12 -o crawl -q --no-damage
vlm-shard crawl -o out -q
options='--n-layer 1 --n-embd 32 --block-size 384 --batch-size 1 --eval-interval 0 --sample-interval 0 --max-iters 2 -q'
vlm-train out -o run $options --gradient-accumulation-steps 60000 &
while ! test -e run/perf.jsonl; do sleep 0.1; done
sleep 0.3
kill -TERM $!
wait $!
echo "$?: $(ls run/checkpoints)"
cat run/metrics.jsonl
vlm-train out -o run $options --gradient-accumulation-steps 3
echo "$?: other micro-batches"
