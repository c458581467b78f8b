# Places in a crawl of WARC files: the bytes that are named are in the record that is named.
vlm-make-crawl -q -o crawl -n 20 --pages-per-file 10 --no-damage
vlm-shard crawl -o out -q --image-tokenizer none
vlm-inspect cat out --render cm3 >documents
member() { # the string member $1 of a JSON object on standard input
    sed "s/.*\"$1\": \"\([^\"]*\)\".*/\1/"
}
number() {
    sed "s/.*\"$1\": \([0-9]*\).*/\1/"
}
right=0 wrong=0
for i in 1 4 7 8 13; do
    id=$(sed -n "${i}p" documents | cut -c 9-40)
    for at in 0 300 500 700; do
        vlm-inspect trace out "$id:$at" --crawl crawl >place
        file=crawl/$(sed 's/.*"record"//' place | member file)
        offset=$(sed 's/.*"record"//' place | number offset)
        page=$(sed 's/.*"page"//; s/"record".*//' place)
        start=$(printf "%s\n" "$page" | number start)
        end=$(printf "%s\n" "$page" | number end)
        # These bodies are neither chunked nor compressed, and in UTF-8; they begin behind the second
        # empty line.
        tail -c +$((offset + 1)) "$file" | gzip -dc 2>/dev/null |
            awk 'n < 2 { n += $0 == "\r"; next } { print } /<\/html>/ { exit }' >body
        tail -c +$((start + 1)) body | head -c $((end - start)) >bytes
        if printf '"text": "%s", "exact": true' "$(sed 's/"/\\"/g' bytes)" | grep -qFf - place; then
            right=$((right + 1))
        else
            wrong=$((wrong + 1))
            cat place
        fi
    done
done
echo "$right right, $wrong wrong"
