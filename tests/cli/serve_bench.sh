# What --bench says, numbers apart.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-train out -o run --recipe lm --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
bench() {
    vlm-serve -m run/model --bench --bench-prompt 8 --bench-tokens 4 --bench-streams 2 -j 1 "$@" |
        sed -E 's/ [ 0-9.]+ (tokens|GB|nats)/ N \1/; s/of [0-9.]+ that/of N that/; s/(fp32) .*/\1 N/; s/kernels .*/kernels N/
            s/: [0-9.e+-]+/: N/g; s/"kernels": "[^"]*"/"kernels": "N"/'
}
bench
bench --dtype int8
bench --dtype bf16 --json
vlm-serve -m run/model --bench --bench-prompt 600
echo "exit status $?"
