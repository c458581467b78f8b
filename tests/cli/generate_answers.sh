# What a model of a few steps gives: whole pictures whatever it has learned, holes filled in their places, the same
# answer for any number of threads. What it says depends on the CPU's kernels and is not printed.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-vqgan encode out -q
vlm-train out -o run --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
codes() { # numbers in the lists of codes
    sed 's/.*"codes": \[//; s/\].*//' | tr ',' '\n' | grep -c '^ *[0-9][0-9]*$'
}
model=run/model
echo "a picture:"
vlm-generate -m $model --text '<img alt="a car" src="' --max-tokens 257 --json -o drawn >answer
codes <answer
sed 's/"codes": \[[0-9, ]*\]/"codes": []/; s/^{"text": "\([^"\\]*\)[^{]*{"mask"/\1 ... {"mask"/; s/"text": ".*", "tokens"/"tokens"/; s/"log_likelihood": [-0-9.]*/LIKELIHOOD/' answer
ls drawn
echo "the same picture:"
for j in 1 2; do
    vlm-generate -m $model --text '<img alt="a car" src="' --max-tokens 257 --json -j $j -o "drawn$j" | cmp - answer
done
cmp drawn/image-0.png drawn2/image-0.png && echo equal
vlm-generate -m $model --text '<img alt="a car" src="' --max-tokens 257 --json --seed 1 -o other >different
cmp -s answer different || echo "another seed, another answer"
echo "the lower half of a picture:"
vlm-generate -m $model --text '<img src="{image:0-127} <mask:0>">' drawn/image-0.png --json -o half >answer
codes <answer
grep -o '"tokens": [0-9]*, "stop": "[a-z]*"' answer
vlm-generate -m $model --text '<img src="{image:0-127} <mask:0>">' --image drawn/image-0.png -o half
echo "words of a picture:"
vlm-generate -m $model drawn/image-0.png --max-tokens 5 --temp 0 -o half | sed 's/alt=".*" src/alt="WORDS" src/'
vlm-generate -m $model --image=drawn/image-0.png --max-tokens 5 --json -o half | grep -o '"mask": 0'
echo "several:"
printf '<p>A <mask:0> b <mask:1></p>\n' >prompt
vlm-generate -m $model --prompt prompt --max-tokens 3 -n 2 --seed 7 --top-k 40 --top-p 0.9 | grep -a -c '^--- seed [78]$'
vlm-generate -m $model --prompt - --max-tokens 3 --dtype bf16 --json <prompt | grep -a -o '"mask": [01]'
