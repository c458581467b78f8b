#!/bin/sh
# demo.sh BIN - makes a small crawl, shards it, verifies the shards and shows what is inside: at last a page
# whose pictures are drawn back from their codes, and what a model will see of it. Every command is printed before it runs; all files are
# below build/demo.
set -eu
PATH=$(cd "$1" && pwd):$PATH
crawl=build/demo/crawl
shards=build/demo/shards

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

mkdir -p build/demo
rm -rf "$shards" # of another version, perhaps
[ -f "$crawl/crawl-00000.warc.gz" ] || show vlm-make-crawl --output "$crawl" --pages 200 --seed 1
show vlm-shard build "$crawl" -o "$shards"
show vlm-shard verify "$shards"
show vlm-inspect summary "$shards"
show vlm-inspect cat --limit 1 --render m3w "$shards"
show vlm-inspect cat --limit 1 --render cm3 "$shards"
id=$(vlm-inspect cat --limit 2 "$shards" | sed -n '2s/^{"id": "\([0-9a-f]*\)".*/\1/p')
show vlm-inspect show "$shards" "$id"
show vlm-inspect show "$shards" "$id" --html build/demo/page.html
show vlm-tokenize count "$shards"
show vlm-tokenize render "$shards" --id "$id" --seed 6 --show
printf '\nThe page with its pictures for a browser: build/demo/page.html\n'
