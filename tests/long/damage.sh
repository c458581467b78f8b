#!/bin/sh
# A damaged crawl: what is damaged is counted, the books balance, the neighbours are kept.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

vlm-make-crawl -n 12 --seed 9 --no-damage -q -o crawl
file=crawl/crawl-00000.warc.gz
size=$(wc -c <$file)
whole=$(vlm-shard crawl -o whole -q --json 2>/dev/null | number kept)
[ "$whole" -eq 12 ] || not_ok "undamaged crawl" "$whole of 12 documents"

# Builds the damaged crawl at in/ and checks the set; complaints go to stdout.
try() { # NAME DOCUMENTS-AT-LEAST
    vlm-shard in -o out -q --json >report 2>message
    status=$?
    kept=$(number kept <report)
    case $status in
    0 | 3 | 4) ;;
    *)
        not_ok "$1" "exit status $status: $(cat message)"
        return 1
        ;;
    esac
    if [ "${kept:-0}" -lt "$2" ]; then
        not_ok "$1" "only ${kept:-no} documents"
    elif ! vlm-shard verify out -q >findings 2>&1; then
        not_ok "$1" "verify: $(head -n 1 findings)"
    else
        rm -rf out
        return 0
    fi
    rm -rf out
    return 1
}

mkdir in
bad=0 last=0
for step in $(seq 0 59); do
    length=$((size * step / 60 + step % 7))
    head -c $length $file >in/crawl-00000.warc.gz
    try "cut after $length bytes" 0 || bad=$((bad + 1))
    [ "${kept:-0}" -ge "$last" ] || { # a longer prefix holds no fewer documents
        not_ok "cut after $length bytes" "$kept documents, $last in less"
        bad=$((bad + 1))
    }
    last=${kept:-0}
done
[ $bad -ne 0 ] || ok "sixty lengths"
[ "$last" -ge 10 ]
verdict $? "the longest prefix keeps its documents" "$last of 12"

bad=0
for _ in $(seq 200); do
    cp $file in/
    random "$size"
    position=$random
    random 8
    flip in/crawl-00000.warc.gz "$position" $((1 << random))
    # A flip costs one record; the page of it and, in a header, a neighbour.
    try "bit $random of byte $position" $((whole - 2)) || bad=$((bad + 1))
done
[ $bad -ne 0 ] || ok "two hundred flipped bits"
