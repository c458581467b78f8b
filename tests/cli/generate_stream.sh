# The text as it comes: the same bytes in the end, whatever the prompt is and however the answer ends, and pictures when
# they are whole. What the model says depends on the CPU's kernels and is not printed.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-vqgan encode out -q
vlm-train out -o run --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
same() { # NAME ARGUMENT...: with --stream and without
    name=$1
    shift
    vlm-generate -m run/model -o whole "$@" >whole.txt
    vlm-generate -m run/model -o streamed --stream "$@" >streamed.txt
    cmp whole.txt streamed.txt && echo "$name: the same"
}
same "a continuation" --text '<p>A' --max-tokens 200
same "another" --text '<p>A' --max-tokens 200 --seed 3 --temp 0
same "holes" --text '<p>The<mask:0> of<mask:1></p><p><mask:2></p>' --max-tokens 20
same "beams" --text '<p>A' --max-tokens 20 --beams 3
word=$(vlm-generate -m run/model --text '<p>A' --max-tokens 60 --temp 0 | tr '\n' ' ' | sed 's/^<p>A//' |
    grep -a -o '[a-z][a-z][a-z]' | sed -n 2p)
same "a stop word" --text '<p>A' --max-tokens 60 --temp 0 --stop "$word"
same "begun stop words" --text '<p>A' --max-tokens 60 --temp 0 --stop "${word}absent"
same "a picture" --text '<img alt="a car" src="' --max-tokens 280
cmp whole/image-0.png streamed/image-0.png && echo "as it is whole"
cp whole/image-0.png car.png
same "half a picture" --text '<p><mask:0></p><img src="{image:0-127} <mask:1>"><mask:2>' --max-tokens 200 car.png
cmp whole/image-0.png streamed/image-0.png && echo "as it is whole"
same "a picture that a limit cuts" --text '<p>A</p><img alt="a car" src="' --max-tokens 100
cmp whole/image-0.png streamed/image-0.png && echo "as it is whole"
echo "as it comes:"
(sleep 0.3 && printf '<p>A') | vlm-generate -m run/model --prompt - --max-tokens 400 --stream |
    (dd bs=65536 count=1 of=first 2>counts && cat >rest)
cat first rest >both
vlm-generate -m run/model --text '<p>A' --max-tokens 400 | cmp - both && test -s rest && echo "in several pieces"
echo "the most typical tokens:"
vlm-generate -m run/model --text '<p>A' --max-tokens 60 >all
vlm-generate -m run/model --text '<p>A' --max-tokens 60 --typical-p 1 | cmp - all && echo "1: all"
vlm-generate -m run/model --text '<p>A' --max-tokens 60 --typical-p 0.2 | cmp -s - all || echo "0.2: another answer"
echo "refused:"
exec 2>&1
attempt() {
    vlm-generate -m run/model --text '<p>A' "$@" >output
    echo "exit status $?, $(wc -c <output) bytes"
}
attempt --stream -n 2
attempt --stream --json
attempt --typical-p 2
attempt --typical-p x
