# From a token of a sequence to the bytes of the page, which give the same token again; and the codes of an image.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
mkdir site
printf "<p>the <b class=x>hour</b> and\n the&#32;inch &lt;<img alt='an  hour' src=dot.gif><p>\303\251" >site/one.html
printf 'GIF89a\001\000\001\000\200\000\000\377\000\000\000\000\000,\000\000\000\000\001\000\001\000\000\002\002D\001\000;' >site/dot.gif
vlm-shard site -o out -q
id=$(vlm-inspect cat out | sed 's/{"id": "\([^"]*\)".*/\1/')
short() {
    sed 's/.*"rendering": //; s/, "exact".*"after": "[^"]*"//; s/, "record": {"file": "one.*//; s/"sha256.*"code"/... "code"/'
}
last() { # FORM: the number of the last token
    vlm-inspect trace out "$id#99999" -t . --render "$1" 2>&1 | sed 's/.* has \([0-9]*\) tokens/\1/'
}
cm3=$(last cm3) m3w=$(last m3w)
vlm-inspect trace out "$id#0-$((cm3 - 1))" -t . --crawl site >all
awk 'NR - 1 ~ /^([489]|1[0-6]|2[15]|3[36]|302|304|310)$/ || /"alt"/' all | short | sed 's/^{"start": [0-9]\{3,\}, "end": [0-9]*/{.../'
echo "codes"
grep '"modality": "image"' all | sed -n '1p; 256p' | short | sed 's/"start": [0-9]*, "end": [0-9]*, "text": "[0-9]*"}, /.../; s/"id": [0-9]*, "text": "[0-9]* "/.../; s/"ids": .[0-9]*./.../'
grep '"modality": "image"' all | sed 's/.*"code": [0-9]*, //; s/"page".*"same"/... "same"/; s/, "record": {"file": "one.*//' | sort | uniq -c | sed 's/^ *//'
# The numbers that stand at the places of the codes are those of the document.
vlm-inspect cat out | sed 's/.*"codes": {"[^"]*": \[\([^]]*\)\].*/\1/; s/, /\n/g' >codes
grep '"modality": "image"' all | sed 's/.*"rendering": [^}]*"text": "\([0-9]*\)".*/\1/' | cmp - codes && echo "the same codes"
echo "m3w"
vlm-inspect trace out "$id#0-$((m3w - 1))" -t . --render m3w --crawl site | short
echo "without the crawl"
vlm-inspect trace out "$id#4" -t . | short
echo "random"
vlm-inspect trace out --random 30 -t . --crawl site >one
vlm-inspect trace out --random 30 -t . --crawl site --seed 1 | cmp - one && wc -l <one
vlm-inspect trace out --random 30 -t . --crawl site --seed 2 | cmp -s - one || echo "others"
vlm-inspect trace out --random 100000 -t . | wc -l | sed "s/^$cm3\$/all of them/"
echo "refusals"
for place in "$id#" "$id#3-" "$id#4-3" "$id#1-2-3" "$id:1-2"; do
    vlm-inspect trace out "$place" -t . 2>&1 | head -n 1 | sed "s/$id/ID/"
done
vlm-inspect trace out "$id#1" --random 3 -t .
echo "exit $?"
# An image without codes is none in a sequence.
vlm-shard site -o none -q --image-tokenizer none
vlm-inspect trace none "$id#37-39" -t . --crawl site | short
echo "a space between two codes"
end=$(grep '"modality": "image"' all | sed -n '1s/.*"rendering": {"start": [0-9]*, "end": \([0-9]*\).*/\1/p')
vlm-inspect trace out "$id:$end" | grep -q "\"rendering\": {\"start\": $end, .*\"text\": \" \"}, .*\"code\": 0" && echo "belongs to the code before it"
