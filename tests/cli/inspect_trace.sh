# From a byte of a rendering to the event, the bytes of the page and the record, without the crawl and with it.
mkdir site
printf '<title>One</title><p class=x>A &lt; b&nbsp;\n <b title="q">&copy;</b><!-- - -->c <a href="/d?e=1">f</a><img alt="g  &#104;" src="dot.gif">' >site/one.html
printf 'GIF89a\001\000\001\000\200\000\000\377\000\000\000\000\000,\000\000\000\000\001\000\001\000\000\002\002D\001\000;' >site/dot.gif
vlm-shard site -o out -q --image-tokenizer none
id=$(vlm-inspect cat out | sed 's/{"id": "\([^"]*\)".*/\1/')
short() {
    sed 's/.*"render": //; s/, "record": {"file": "one.html", "offset": 0, .*//'
}
vlm-inspect cat out --render cm3 | sed 's/.*"text": //; s/, "images".*//'
for at in 0 8 20 23 28 29 31 33 38 39 42 44 52 59 60 63 69 75 83; do
    vlm-inspect trace out "$id:$at" --crawl site | short
done
echo "without the crawl"
for at in 19 22 24 31 59 83; do
    vlm-inspect trace out "$(echo "$id" | cut -c 1-6):$at" | short
done
echo "other forms"
vlm-inspect trace out "$id:5" --render m3w --crawl site | short
vlm-inspect trace out "$id:0" --render m3w --crawl site | short
vlm-inspect trace out "$id:15" --render pair --crawl site | short
vlm-inspect trace out "$id:1" --render text --crawl site/one.html | short
echo "refusals"
vlm-inspect trace out "$id:9999"
echo "exit $?"
for place in "$id" "$id:" "$id:x" "$id:-1" "$id:1x" xyz:1; do
    vlm-inspect trace out "$place" 2>&1 | head -n 1 | sed "s/$id/ID/"
done
vlm-inspect trace out "$id:1" --crawl nowhere
echo "exit $?"
printf ' ' >>site/one.html
vlm-inspect trace out "$id:1" --crawl site 2>&1 | sed "s/$id/ID/"
vlm-inspect trace out "$id:1" --crawl site 2>/dev/null
echo "exit $?"
