#!/bin/sh
# demo.sh BIN - makes a small crawl, shards it, verifies the shards and shows what is inside: a page whose pictures
# are drawn back from their codes, and what a model will see of it. Then it trains a model for about four minutes,
# on a larger crawl of simpler pages, and asks it: a caption, a hidden phrase, a picture. Every command is printed before it runs; all
# files are below build/demo.
set -eu
PATH=$(cd "$1" && pwd):$PATH
here=build/demo
crawl=$here/crawl
shards=$here/shards

say() {
    printf '\n%s\n' "$*"
}

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

# A model and what it is asked: --text of vlm-generate, shown with its quotes.
ask() { # TEXT OPTIONS...
    text=$1
    shift
    printf "\n\$ vlm-generate -m %s --text '%s' %s\n" "$here/run/model" "$text" "$*"
    vlm-generate -m "$here/run/model" --text "$text" "$@"
}

mkdir -p $here
rm -rf "$shards" # of another version, perhaps
[ -f "$crawl/crawl-00000.warc.gz" ] || show vlm-make-crawl --output "$crawl" --pages 200 --seed 1
show vlm-shard build "$crawl" -o "$shards"
show vlm-shard verify "$shards"
show vlm-inspect summary "$shards"
show vlm-inspect cat --limit 1 --render m3w "$shards"
show vlm-inspect cat --limit 1 --render cm3 "$shards"
id=$(vlm-inspect cat --limit 2 "$shards" | sed -n '2s/^{"id": "\([0-9a-f]*\)".*/\1/p')
show vlm-inspect show "$shards" "$id"
show vlm-inspect show "$shards" "$id" --html $here/page.html
show vlm-tokenize count "$shards"
show vlm-tokenize render "$shards" --id "$id" --seed 6 --show

say "Two hundred pages teach a model nothing in minutes. So now 8000 simpler ones: one shape, and words:"
rm -rf $here/simple $here/simple-crawl $here/run $here/new $here/pictures $here/drawn
show vlm-make-crawl --output $here/simple-crawl --pages 8000 --world simple --no-damage
show vlm-shard build $here/simple-crawl -o $here/simple
show vlm-tokenize train $here/simple --vocab-size 512 -o $here/tokenizer.json
show vlm-train $here/simple -o $here/run -t $here/tokenizer.json --recipe cm3-modern --preset tiny \
    --block-size 320 --batch-size 6 --gradient-accumulation-steps 1 --max-iters 2400 \
    --learning-rate 2e-3 --beta2 0.98 --set objective.weight.image=0.3 --set data.images=unit \
    --sample-interval 0
show vlm-plot $here/run -o $here/curves.svg --smooth 10 --log loss,loss_text,loss_markup,loss_image,grad_norm

say "Three pictures that it has not seen; the first is of a green star on the left, the second of a yellow triangle in the middle:"
show vlm-make-crawl --output $here/new --pages 3 --world simple --seed 2 --no-damage
printf '\n$ vlm-vqgan encode %s | vlm-vqgan decode -o %s\n' $here/new $here/pictures
vlm-vqgan encode -q $here/new | vlm-vqgan decode -q -o $here/pictures
say "A caption for each of the two, the phrase that is hidden in front of a picture, and a picture for words:"
page='<html lang="en"><body><img '
for number in 0 1; do
    ask "${page}src=\"{image}\" title=\"" $here/pictures/00000$number.png --temp 0 --max-tokens 20 \
        -o $here/drawn
done
ask "${page}alt=\"<mask:0>\" src=\"{image}\"></body></html>" \
    $here/pictures/000000.png --temp 0 --max-tokens 20 -o $here/drawn
ask "${page}alt=\"blue square in the middle\" src=\"" --seed 1 \
    -o $here/drawn

cat <<END

After these minutes it knows some of this and not the rest; make learn trains longer and measures it.
The page with its pictures, for a browser:     $here/page.html
The curves of the training:                    $here/curves.svg
The picture that was drawn:                    $here/drawn/image-0.png
END
