# Pictures of a crawl: a tokenizer learned from them, codes, and pictures again.
vlm-make-crawl -q -o crawl -n 20 --no-damage
vlm-vqgan train crawl -o model --codes 64 --held-out 4 -q --json >report
# shellcheck disable=SC2020  # one newline for each
tr ',{' '\n\n' <report | sed -n 's/^ *"\(found\|bad\|duplicates\|train\|held_out\|images\|codebook_size\)"/\1/p'
ls model
vlm-vqgan train crawl -o again --codes 64 --held-out 4 -q -j 1
cmp model/model.safetensors again/model.safetensors && cmp model/sheet.png again/sheet.png && echo "the same again"

id=$(vlm-vqgan info model --json | sed 's/.*"tokenizer": "\([^"]*\)".*/\1/;q')
echo "$id" | grep -c '^pca-[0-9a-f]\{12\}$'
vlm-vqgan info model | sed -n '4p'

# A shard set with the pictures, to get some as files.
vlm-shard crawl -o out -q --image-tokenizer none
vlm-vqgan encode crawl -m model -q >codes.jsonl
vlm-vqgan encode crawl -m model -q -j 1 | cmp - codes.jsonl && echo "the same for one thread"
grep -c "\"tokenizer\": \"$id\", \"codes\": \[[0-9]" codes.jsonl
vlm-vqgan decode -m model -o back -q codes.jsonl
ls back >names
wc -l <names
head -n 1 names
vlm-inspect image back/000000.png | grep -c '"format": "png", "status": "ok", "width": 256, "height": 256, "mode": "RGB"'

# What comes back is encoded as it was; lines of codes alone do too.
sed 's/^{.*"codes"/{"codes"/' codes.jsonl | vlm-vqgan decode -m model -o other -q
diff -r back other && echo "the same from codes alone"
vlm-vqgan eval back -m model --sheet sheet.png -q | sed -n '1,2s/[0-9a-f]\{12\}/ID/p; 2p'
head -c 4 sheet.png | tail -c 3
echo

# The set gets the codes of the same tokenizer, once; their pictures are measured.
vlm-vqgan encode -m model out -q
vlm-vqgan encode -m model out 2>&1 | sed "s/$id/ID/"
vlm-shard verify out -q
vlm-inspect cat out | grep -o "\"codes\": {\"$id\": \[[0-9]*, [0-9]*" | wc -l
vlm-vqgan eval -m model out --json -q | grep -o '"images": [0-9]*'
vlm-vqgan train out -o fromset --codes 16 --held-out 30% -q --json | grep -o '"found": [0-9]*'
