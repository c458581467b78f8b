# How answers are drawn, searched, stopped and repeated: each answer of several is what it is alone, a stop word is not
# in the text, and what does not go together is refused. What the model says depends on the CPU's kernels and is not
# printed.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-vqgan encode out -q
vlm-train out -o run --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
answer() {
    vlm-generate -m run/model -q "$@"
}
words() { # a greedy continuation, whose text is the same each time
    answer --text '<p>A' --temp 0 --max-tokens 30 "$@"
}
codes() { # numbers in the lists of codes
    sed 's/.*"codes": \[//; s/\].*//' | tr ',' '\n' | grep -c '^ *[0-9][0-9]*$'
}
echo "several answers:"
answer --text '<p>The<mask:0> of<mask:1></p>' --max-tokens 9 -n 20 --json >several
for seed in $(seq 0 19); do
    answer --text '<p>The<mask:0> of<mask:1></p>' --max-tokens 9 --seed "$seed" --json
done | cmp - several && echo "each as it is alone"
echo "kinds of weights:"
for dtype in fp32 bf16 int8; do
    answer --text '<img src="' --max-tokens 257 --dtype $dtype --json -o drawn >kind && codes <kind
done
echo "guidance:"
answer --text '<img alt="a car" src="' --negative '<img src="' --guidance 3 --max-tokens 257 --json -o drawn | codes
answer --text '<img alt="a car" src="' --max-tokens 257 --json -o drawn >unguided
answer --text '<img alt="a car" src="' --negative '<img alt="a car" src="' --guidance 3 --max-tokens 257 --json \
    -o drawn >guided
cmp guided unguided && echo "by itself: no difference"
echo "likeliest tokens:"
words >greedy
answer --text '<p>A' --max-tokens 30 --min-p 1 --seed 9 | cmp - greedy && echo "--min-p 1: greedy"
echo "penalties:"
words --presence-penalty 2 | cmp -s - greedy || echo "presence: another answer"
words --frequency-penalty 2 | cmp -s - greedy || echo "frequency: another answer"
words --repeat-penalty 10 | cmp -s - greedy || echo "repeated: another answer"
words --repeat-penalty 1 --presence-penalty 0 --frequency-penalty 0 | cmp - greedy && echo "none: greedy"
echo "stop words:"
word=$(tr '\n' ' ' <greedy | sed 's/^<p>A//' | grep -a -o '[a-z][a-z]' | sed -n 2p)
awk -v word="$word" 'BEGIN { RS = "\001" } { printf "%s", substr($0, 1, 3 + index(substr($0, 4), word) - 1) }' greedy >begin
words --stop "$word" | head -c -1 | cmp - begin && echo "one"
words --stop absent --stop="$word" | head -c -1 | cmp - begin && echo "two"
words --stop "$word" --json | grep -a -o '"stop": "[a-z]*"'
words --stop absent | cmp - greedy && echo "absent"
VLM_GENERATE_STOP=$word words | head -c -1 | cmp - begin && echo "of the environment"
echo "beams:"
words --beams 3 >beams
words --beams 3 -j 1 --seed 5 | cmp - beams && echo "the same whatever the seed"
words --beams 1 | cmp - greedy && echo "one: as without"
echo "refused:"
exec 2>&1
attempt() {
    vlm-generate -m run/model "$@" >output
    echo "exit status $?, $(wc -c <output) bytes"
}
attempt --text A --guidance 3
attempt --text A --negative B
attempt --text A --guidance x --negative B
attempt --text A --min-p 2
attempt --text A --repeat-penalty 0
attempt --text A --presence-penalty 2.5
attempt --text A --stop ''
attempt --text A --beams 17
attempt --text A --dtype int4
attempt --text '<p><mask:0>' --negative '<p>' --guidance 2
