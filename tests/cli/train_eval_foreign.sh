# A folder of others whose tokenizer lacks a word that samples have: it is named before anything is read.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-train out -o run --recipe lm --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
evaluate() {
    vlm-train eval run/model out -q "$@" 2>&1 | sed '/^all/s/[0-9][0-9.]*/N/g'
}
evaluate
rm run/model/recipe.ini
sed -i 's/, "vocabulary_map": {.*/}/' run/model/config.json
evaluate
sed -i 's/<mask:0>/<word:0>/g' run/model/tokenizer.json
evaluate --set data.lambda=1
sed -i 's/<\/s>/<end>/g' run/model/tokenizer.json
evaluate
