# A run of a very small model from its plan to its end and its evaluation; what it leaves.
# shellcheck disable=SC2086  # $sizes is words
vlm-make-crawl -n 30 -o crawl -q --no-damage
vlm-shard crawl -o out -q
sizes='--n-layer 1 --n-embd 32 --block-size 384 --batch-size 1 --gradient-accumulation-steps 1'
train() { vlm-train out -o run $sizes --validation 10% --eval-interval 3 --sample-interval 0 "$@"; }
train --max-iters 6 --dry-run | grep -v "^memory"
test ! -e run && echo "nothing was written"
train --max-iters 6 --lr-decay-iters 6 --checkpoint-interval 2 --json -q >report
ls run run/checkpoints run/model
cut -d, -f1 run/metrics.jsonl
grep -o '"parameters": [0-9]*\|"steps\?": [0-9]*\|"roll_backs": [0-9]*' report
# Again: it is complete. With other options: it is another run.
train --max-iters 6 --lr-decay-iters 6 -q && echo "complete"
train --max-iters 6 --lr-decay-iters 6 --seed 2
echo "$?: another seed"
train --max-iters 6 --lr-decay-iters 6 --resume never -q
echo "$?: resume never"
# Its own options give it again.
vlm-train -c run/config.resolved.ini -o again -q && cmp run/metrics.jsonl again/metrics.jsonl
cmp run/model/model.safetensors again/model/model.safetensors && echo "the same from config.resolved.ini"
vlm-train eval run/model out --split validation --validation 10% --json |
    grep -o '"\(split\|documents\|samples\)": [^,]*'
for split in all train; do
    vlm-train eval run/model out --split $split --validation 10% --set data.lambda=0 | sed 's/[0-9]\.[0-9]*/N/g; s/([0-9]* bits/(N bits/'
done
vlm-train eval run/model out --set data.block=1000
echo "$?: a block that the model has no room for"
# Longer: the rates stay those that the run began with, whether it ended or was stopped.
vlm-train out -o again $sizes --validation 10% --eval-interval 3 --sample-interval 0 --max-iters 9 2>&1 | grep 'again. goes on\|it goes to'
train --max-iters 9 --lr-decay-iters 6 --warmup-iters 1 -q && cmp run/metrics.jsonl again/metrics.jsonl && echo "the same, longer"
vlm-train out -o again $sizes --validation 10% --eval-interval 3 --sample-interval 0 --max-iters 9 2>&1 | grep "has made"
train --max-iters 12 --lr-decay-iters 12 -q
echo "$?: other rates"
# The sizes of a model that training begins from are its own.
vlm-train out -o from --init-from run/model --n-layer 1 --n-embd 32 --batch-size 1 --max-iters 1 --eval-interval 0 --sample-interval 0 -q
vlm-train out -o other --init-from run/model --n-layer 2 -q
echo "$?: other layers"
vlm-train eval run out
echo "$?: the run instead of its model"
# A stop by the clock is status 6, and the same command goes on.
vlm-train out -o short $sizes --max-iters 100000 --time-limit 1s --sample-interval 0 -q 2>&1 | sed 's/step [0-9]*/step N/'
ls short/model/model.safetensors
