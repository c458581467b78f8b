# Samples of training runs: every prompt of the recipe, with pictures of validation documents and what their pages say;
# the same for any number of threads. What a model says after one step is not printed.
vlm-make-crawl -n 24 -o crawl -q
vlm-shard crawl -o out -q
vlm-vqgan encode out -q
train() { # RUN RECIPE OPTION...
    run=$1 recipe=$2
    shift 2
    vlm-train out -o "$run" --recipe "$recipe" --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 \
        --sample-interval 1 --validation 40% --eval-interval 0 -q "$@"
}
train one cm3 -j 1
train two cm3 -j 2
for file in step-1.txt step-1.png; do
    cmp one/samples/$file two/samples/$file && echo "$file: the same"
done
show() {
    sed -n 's/^\([1-4]\. answer: \).*\(\[[0-9]* codes\]\).*/\1\2/; s/^\([1-4]\. answer: \)[^[].*/\1WORDS/; p' "$1" |
        sed 's/^\([1-4]\. answer: \)$/\1WORDS/'
}
show one/samples/step-1.txt
train captioner captioner
show captioner/samples/step-1.txt
train lm lm
show lm/samples/step-1.txt
ls captioner/samples lm/samples
