# What vlm-train refuses: a sentence and a status each, and no folder of a run.
vlm-make-crawl -n 12 -o crawl -q --no-damage
vlm-shard crawl -o out -q
try() {
    "$@" >&2
    echo "$?: $*"
}
try vlm-train
try vlm-train out
try vlm-train missing -o run
try vlm-train out --data out:1 -o run
try vlm-train --data out:0 -o run
try vlm-train --data out:1,out -o run
try vlm-train --data 'out\:0' -o run
try vlm-train --data 'out\,a,out' -o run
try vlm-train out -o out
try vlm-train out -o out/a/../run
mkdir mine && echo "of mine" >mine/metrics.jsonl
try vlm-train out -o mine
cat mine/metrics.jsonl
vlm-train "$(printf 'a\nb\033[31m')" -o run
echo "$?: control characters"
try vlm-train out -o run --preset gigantic
try vlm-train out -o run --recipe cm4
try vlm-train out -o run --set data.lamda=2
try vlm-train out -o run --set train.frieze=embed.*
try vlm-train out -o run --lerning-rate 1
try vlm-train out -o run --learning-rate fast
try vlm-train out -o run --validation 60%
try vlm-train out -o run --time-limit soon
try vlm-train out -o run --n-head 5
try vlm-train out -o run --block-size 100
try vlm-train out -o run --warmup-iters 10 --max-iters 5
try vlm-train out -o run --learning-rate 0
try vlm-train out -o run --set objective.weight.text=0 --set objective.weight.image=0 --set objective.weight.markup=0
try vlm-train out -o ''
try vlm-train out -o run --batch-size 65536 --block-size 1048576
try vlm-train out -o run --n-layer 1024 --n-embd 65536 --n-head 1024 --n-hidden 1048576 --block-size 1048576 --batch-size 2047
try vlm-train out -o run --gradient-accumulation-steps 65536 --n-embd 32 --n-layer 1 --memory 1000M
try vlm-train out -o run --init-from missing
try vlm-train out -o run --image-tokenizer missing
try vlm-train out -o run --resume must
try vlm-train eval
try vlm-train eval missing out
try vlm-train eval missing
test ! -e run && echo "no run was begun"
vlm-train out -o run --preset 13b --memory 1G 2>&1 | sed 's/[0-9.]*[GM]/N/g'
