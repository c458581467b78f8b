# A slot of --bench is as long as --ctx-size says.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-train out -o run --recipe lm --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
for size in 1 11 12 100000; do
    vlm-serve -m run/model --bench --bench-prompt 8 --bench-tokens 4 --ctx-size $size --json -j 1 |
        grep -o '"prompt": [0-9]*, "tokens": [0-9]*'
done
vlm-serve -m run/model --bench --ctx-size 1
echo "exit status $?"
vlm-serve -m run/model --bench --ctx-size 128 --json -j 1 | grep -o '"prompt": [0-9]*, "tokens": [0-9]*'
