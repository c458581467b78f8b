# A part that is cut short while a run reads it: a sentence, and the checkpoints are as they were.
vlm-make-crawl -n 12 -o crawl -q --no-damage
vlm-shard crawl -o out -q
vlm-train out -o run --n-layer 1 --n-embd 32 --block-size 384 --batch-size 1 --max-iters 1000000 --time-limit 60s \
    --eval-interval 0 --sample-interval 0 --checkpoint-interval 2 -q &
while ! test -e run/checkpoints/step-2/SHA256SUMS; do sleep 0.1; done
truncate -s 8192 out/part-00000.lmdb
wait $!
echo "$?"
cd run/model && sha256sum --quiet -c SHA256SUMS && echo "model/ is whole"
