#!/bin/sh
# demo.sh BIN - makes a small crawl, shards it, verifies the shards and shows what is inside. Every
# command is printed before it runs; all files are below build/demo.
set -eu
PATH=$(cd "$1" && pwd):$PATH
crawl=build/demo/crawl
shards=build/demo/shards

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

mkdir -p build/demo
[ -f "$crawl/crawl-00000.warc.gz" ] || show vlm-make-crawl --output "$crawl" --pages 200 --seed 1
show vlm-shard build "$crawl" -o "$shards"
show vlm-shard verify "$shards"
show vlm-inspect summary "$shards"
show vlm-inspect cat --limit 1 --render m3w "$shards"
show vlm-inspect cat --limit 1 --render cm3 "$shards"
