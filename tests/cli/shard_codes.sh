# Every image of a set has codes by the shipped tokenizer, whether its square is kept or not, and they
# stand in cm3 as they stand in the list. The name of the tokenizer is cut out: it changes with each one.
vlm-make-crawl -n 20 --seed 3 --no-damage -q -o crawl
cut_id() {
    sed "s/$id/ID/g"
}
codes() { # SET: SHA-256 and codes of every image
    vlm-inspect cat "$1" | grep -o '"sha256": "[0-9a-f]*", "codes": {[^}]*}'
}
vlm-shard crawl -o out -q
id=$(sed 's/.*"tokenizers": \[{"id": "\([^"]*\)".*/\1/' out/manifest.json)
images=$(grep -o '"parts": \[.*"images": [0-9]*' out/manifest.json | grep -o '[0-9]*$')
grep -o '"tokenizers": \[[^]]*\]' out/manifest.json | cut_id | sed "s/\"codes\": $images/\"codes\": IMAGES/; s/size\": [0-9]*/size\": K/" | uniq
vlm-shard verify out
codes out >list
[ "$(grep -c "$id" list)" -eq "$(wc -l <list)" ] && echo "all images have codes"
[ "$(tr -cd ',\n' <list | sort -u | tr -d '\n' | wc -c)" -eq 256 ] && echo "256 each"

vlm-shard crawl -o bare -q --keep none
vlm-shard verify bare
codes bare | cmp - list && echo "the same without squares"
vlm-shard crawl -o whole -q --keep original -j 2
codes whole | cmp - list && echo "the same with originals"
vlm-shard crawl -o again -q --image-tokenizer "$TESTS/../vqgan/shipped"
cmp out/part-00000.lmdb again/part-00000.lmdb && echo "the same by its folder"

vlm-inspect cat out --render cm3 --limit 1 >line
sed 's/.*src=\\"\([0-9 ]*\)\\".*/\1/' line >numbers
sed 's/.*"codes": {"[^"]*": \[\([0-9, ]*\)\].*/\1/; s/,//g' line | cmp - numbers && echo "the same in cm3"
vlm-inspect cat out --render htlm --limit 1 | sed 's/.*src=\\"\([0-9 ]*\)\\".*/\1/' | cmp - numbers && echo "the same in htlm"
vlm-inspect cat out --render cm3 --limit 1 --image-tokenizer "$id" | cmp - line && echo "chosen by its id"
vlm-inspect cat out --render cm3 --image-tokenizer pca-000000000000 2>&1 | cut_id
vlm-inspect summary out | grep '^codes' | cut_id | sed 's/: [0-9].*//'

vlm-shard crawl -o out -q --image-tokenizer none 2>&1 | cut_id
vlm-shard crawl -o out -q && echo "nothing to do"
vlm-shard crawl -o none -q --image-tokenizer none
vlm-inspect cat none --render cm3 --limit 1 | grep -o 'src=\\"[^\\]*' | head -n 1
vlm-shard crawl -o none -q 2>&1 | cut_id
vlm-shard crawl -o new -q --image-tokenizer missing
echo "exit $?"
[ -e new ] || echo 'no output'
