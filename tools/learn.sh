#!/bin/sh
# learn.sh BIN [docs] - does a CM3 model learn from shards? Makes a crawl of simple pictures and their words, shards
# it with codes of the shipped image tokenizer, trains a model with vlm-train, and measures with vlm-learn what it
# knows about pages it has not seen. At most 40 minutes on two cores. Files are below build/learn; with "docs" the log
# and its figures are written to docs/learn.md, docs/learn-curves.svg and docs/learn-drawings.jpg. Ends with 1 when a
# claim does not hold.
#
# An interrupted run goes on where it was; rm -r build/learn begins anew. PAGES, STEPS, ASKED and DRAWN make it smaller.
set -eu
bin=$(cd "$1" && pwd)
PATH=$bin:$PATH
docs=${2:-}
here=build/learn
pages=${PAGES:-48000} steps=${STEPS:-12000} asked=${ASKED:-200} drawn=${DRAWN:-64}
mkdir -p $here
commands=$here/commands
: >$commands
exec 3>&1

# Runs a command whose result is FILE, unless that is there.
make_file() { # FILE COMMAND...
    file=$1
    shift
    echo "$*" | sed "s/^train /vlm-train /" >>$commands
    [ -e "$file" ] && return
    printf '\n$ %s\n' "$(tail -1 $commands)" >&3
    "$@"
}

# Its lines are shown as they come; what it says at its end is kept.
# shellcheck disable=SC2317 # make_file calls it
train() {
    vlm-train "$@" 2>&1 | tee "$here/run.log" >&3
    grep -q '^model in' "$here/run.log" || exit 1
    sed -n '/^model  /,$p' "$here/run.log" | sed '/^next /d' >"$here/run.txt"
}

shards() { # NAME PAGES PAIRS SEED
    make_file "$here/$1" vlm-make-crawl -o "$here/crawl-$1" -n "$2" --world simple --pairs "$3" \
        --seed "$4" --no-damage
    make_file "$here/$1/manifest.json" vlm-shard build "$here/crawl-$1" -o "$here/$1"
}

start=$(date +%s)
shards trained "$pages" trained 1
shards unseen $((asked * 2)) trained 2
shards held-out $((asked * 2)) held-out 3
make_file $here/tokenizer.json vlm-tokenize train $here/trained --vocab-size 512 -o $here/tokenizer.json
make_file $here/run.txt train $here/trained -o $here/run -t $here/tokenizer.json \
    --recipe cm3-modern --preset tiny --block-size 320 --batch-size 6 --gradient-accumulation-steps 1 \
    --max-iters "$steps" --learning-rate 2e-3 --beta2 0.98 --set objective.weight.image=0.3 --set data.images=unit \
    --eval-interval 500 --eval-documents 256 --checkpoint-interval 1000 --sample-interval 0
make_file '' vlm-plot $here/run -o $here/curves.svg --smooth 100 --log loss,loss_text,loss_markup,loss_image,grad_norm --title 'make learn'
status=0
make_file '' vlm-learn measure $here/run/model $here/unseen $here/held-out -n "$asked" \
    --drawings "$drawn" --sheet $here/drawings.jpg >$here/measures || status=$?
cat $here/measures
minutes=$((($(date +%s) - start + 59) / 60))
printf '\n%s minutes; pages, curves and drawings are below %s\n' "$minutes" "$here"
[ "$status" -le 1 ] || exit "$status"
[ "$docs" = docs ] || exit "$status"

cp $here/curves.svg docs/learn-curves.svg
cp $here/drawings.jpg docs/learn-drawings.jpg
{
    cat <<END
# What a model learns of pictures and their words

Written by \`make learn-docs\` (tools/learn.sh) from its own figures; it took $minutes minutes on $(nproc) cores of
$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1). \`make learn\` does the same without this page.

The world is that of \`vlm-make-crawl --world simple\`: a page holds one picture of 256 x 256 pixels, one shape of
four in one of eight colours at one of nine places on white, and its words, like "red circle in the upper left corner", as \`alt\`
before the picture or as \`title\` behind it; every other two pages are two sentences without a picture. The pages go the whole way: WARC files, \`vlm-shard\` with the codes of the
shipped image tokenizer (256 a picture), \`vlm-train\` on the causal-masked objective. Each colour has one place at
which no page of the training shows it: the held-out pairs.

The controls: captions and drawings are also judged by another page's picture or words, which is what a model gets that
does not look at its prompt; hidden words are also asked for with another page's picture. The checker that reads colour,
shape and place from the pixels of drawings is also run on the real pictures, drawn back from their codes: nothing can be
better than that.

\`\`\`
END
    sed "s/^/$ /" $commands
    printf '```\n\n'
    printf '## The model and its training\n\n```\n'
    cat $here/run.txt
    printf '```\n\n![Curves](learn-curves.svg)\n\n## What it knows\n\n'
    sed '/^ok /d; /^not ok /d' $here/measures
    printf '![Drawings](learn-drawings.jpg)\n\nRows 1 and 2 are drawn from words of unseen pages, 3 and 4 from words of pairs'
    printf ' that were never trained. In\nthe tables, a share is of all pages that were asked about.\n\n## Claims\n\n'
    sed -n 's/^ok /- holds: /p; s/^not ok /- does not hold: /p' $here/measures
} >docs/learn.md
exit "$status"
