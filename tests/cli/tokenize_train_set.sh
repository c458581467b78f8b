# Documents of a shard set are cut into tags and texts; codes of images teach nothing; --limit counts documents.
vlm-make-crawl -n 20 --seed 3 --no-damage -q -o crawl
vlm-shard crawl -o out -q 2>/dev/null
vlm-tokenize train out --vocab-size 500 -o a.json -j 1 --json -q | sed 's/, "seconds": [^}]*//'
vlm-tokenize train out --vocab-size 500 -o b.json -j 3 -q
cmp a.json b.json && echo same
for form in htlm m3w pair text; do
    vlm-tokenize train out --render $form --vocab-size 300 -o $form.json --json -q --limit 5 |
        sed 's/, "not_text".*//'
done
echo '<p>A red square</p>' | vlm-tokenize encode -t a.json | vlm-tokenize decode -t a.json
