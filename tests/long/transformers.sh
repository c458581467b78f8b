#!/bin/sh
# Model folders and the package transformers: those that it saved give the same logits, loss and gradients
# here, and those that we wrote give them there. PYTHON names the interpreter.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

python=${PYTHON:-python3}
reference=$TESTS/reference/transformers_folders.py
if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
    echo 'skipped transformers: the Python modules torch and transformers are not installed'
    exit 0
fi
export HF_HUB_OFFLINE=1

dump() { # FOLDER: of all folders in it
    for ids in "$1"/*.ids; do
        name=${ids%.ids}
        vlm-train dump "$name" --ids "$ids" --grads -o "$name.dump" -j 1 2>message ||
            not_ok "dump of $name" "$(cat message)"
    done
}

report() { # VERB FOLDER: a line for each folder
    "$python" "$reference" "$1" "$2" >report 2>message
    grep -q . report || not_ok "transformers: $1" "$(tail -n 1 message)"
    sed -n -e 's/^\([a-z0-9_]*\): ok$/ok transformers: '"$1"' \1/p' -e t \
        -e 's/^\([a-z0-9_]*: .*\)$/not ok transformers: '"$1"' \1/p' report
}

mkdir theirs ours || exit 1
"$python" "$reference" make theirs >made 2>message || not_ok 'transformers: folders' "$(tail -n 1 message)"
dump theirs
report check theirs

"$BUILD/tests/test_model_folder" write ours || not_ok 'folders of ours' 'cannot write them'
for folder in ours/*; do
    # A captioner has an encoder: it is no model of transformers'.
    [ "$folder" = ours/captioner ] || printf '%s\n' '2 11 8000 700 33 4' '9' '17 17 25 3000 2' >"$folder.ids"
done
# And the whole way: a crawl, a set, two steps, a model that opens elsewhere.
if ! { vlm-make-crawl -n 40 -o crawl -q && vlm-shard build crawl -o set -q; } 2>message; then
    not_ok 'a set to learn from' "$(tail -n 1 message)"
fi
for recipe in cm3 cm3-modern; do
    name=ours/trained_$(echo "$recipe" | tr - _)
    vlm-train set -o run --recipe "$recipe" --preset tiny --n-layer 1 --n-embd 64 --max-iters 2 --batch-size 2 \
        --gradient-accumulation-steps 1 --eval-interval 0 --eval-documents 1 --sample-interval 0 -q 2>message ||
        not_ok "two steps of $recipe" "$(tail -n 1 message)"
    mv run/model "$name" && rm -rf run
    echo '2 900 17 8191 8200 8300 5' >"$name.ids"
done
dump ours
report load ours
