# Crawl, shards, samples: the same for any number of threads; the recipe's keys change them.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
vlm-make-crawl -n 20 --seed 3 --no-damage -q -o crawl
vlm-shard crawl -o out -q
vlm-tokenize render out -t tokenizer.json -j 1 >one
vlm-tokenize render out -t tokenizer.json -j 3 | cmp - one && echo "the same with 3 threads"
vlm-tokenize render out -t tokenizer.json --limit 7 >seven
head -n 7 one | cmp - seven && echo "the first samples"
vlm-tokenize render out -t tokenizer.json --limit 7 -j 3 | wc -l
grep -o '"[a-z]*": ' one | sort | uniq -c | sed 's/^ *//'
vlm-inspect cat out | grep -o '^{"id": "[0-9a-f]*"' >ids
grep -o '^{"id": "[0-9a-f]*"' one | uniq | cmp - ids && echo "every document, in its order"
mask() { # how many samples have a mask
    vlm-tokenize render out -t tokenizer.json "$@" | grep -c '<mask:0>'
}
[ "$(mask)" -gt 0 ] && [ "$(mask)" -lt 20 ] && echo "some are masked"
mask --set data.lambda=0
mask --set data.min=1
printf '[data]\nlambda = 3\nmin=2\nmax=2\n[tokenize.render]\nseed = 5\n' >options.ini
mask -c options.ini
mask -c options.ini --set data.min=0 --set data.lambda=0
vlm-tokenize render out -t tokenizer.json -c options.ini --limit 1 >drawn
vlm-tokenize render out -t tokenizer.json --seed 5 --set data.lambda=3 --set data.min=2 --set data.max=2 --limit 1 | cmp - drawn && echo "the same from a file"
vlm-tokenize render out -t tokenizer.json --epoch 1 | cmp -s - one || echo "another epoch is another rendering"
id=$(sed '5q;d' ids | cut -d '"' -f 4)
vlm-tokenize render out -t tokenizer.json --id "$(echo "$id" | cut -c 1-8)" >by_id
grep "$id" one | cmp - by_id && echo "one document by its id"
vlm-tokenize render out -t tokenizer.json --id 00000000
echo "exit $?"
vlm-tokenize render out -t tokenizer.json --recipe m3w --limit 1 | grep -o '"phi": \[.*' | sed 's/[0-9, -]*\]/LIST]/'
vlm-tokenize render out -t tokenizer.json --recipe pair --limit 1 | sed 's/"id": "[0-9a-f]*"/"id": ID/'
vlm-tokenize render out -t tokenizer.json --recipe text --limit 1 | grep -o '"images": \[[^]]*\]'
vlm-tokenize render out -t tokenizer.json --image-tokenizer pca-000000000000 2>&1 | sed 's/vq-xs-[0-9a-f]*/ID/'
# Documents without an image give nothing to m3w and pair.
mkdir site
echo '<title>One</title><p>The first page' >site/one.html
vlm-shard site -o bare -q
vlm-tokenize render bare -t tokenizer.json --recipe pair
echo "exit $?"
vlm-tokenize render bare -t tokenizer.json --recipe m3w -q
echo "exit $?"
: >empty.warc
vlm-shard empty.warc -o empty -q >empty.log 2>&1
vlm-tokenize render empty -t tokenizer.json
echo "exit $?"
