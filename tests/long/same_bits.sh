#!/bin/sh
# Neither workers, order, place, locale nor what fresh memory holds changes a byte of a part.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

check_crawl() { # NAME FOLDER
    name=$1 crawl=$2
    vlm-shard "$crawl" -o reference -q -j 1 2>/dev/null || {
        not_ok "$name" "the build failed"
        return
    }
    expected=$(set_hash reference)
    for workers in 2 3; do
        vlm-shard "$crawl" -o out -q -j $workers 2>/dev/null
        check_set "$name with -j$workers" out "$expected"
        rm -rf out
    done
    # shellcheck disable=SC2046  # names without blanks
    vlm-shard $(ls -r "$crawl"/*.gz) -o out -q 2>/dev/null
    check_set "$name, files in reverse" out "$expected"
    rm -rf out
    mkdir -p elsewhere/below
    cp -r "$crawl" elsewhere/below/copy
    (cd elsewhere/below && vlm-shard copy/ -o ../../out -q 2>/dev/null)
    check_set "$name in another folder" out "$expected"
    rm -rf out elsewhere
    TZ=Pacific/Kiritimati LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 vlm-shard "$crawl" -o out -q 2>/dev/null
    check_set "$name in another zone and locale" out "$expected"
    rm -rf out
    MALLOC_PERTURB_=165 vlm-shard "$crawl" -o out -q 2>/dev/null
    check_set "$name with perturbed memory" out "$expected"
    rm -rf out
    vlm-shard "$crawl" -o out -q --memory 16Mi 2>/dev/null
    check_set "$name with little memory" out "$expected"
    vlm-shard verify out -q
    verdict $? "$name verifies" "it does not"
    rm -rf out reference
}

vlm-make-crawl -n 400 --pages-per-file 100 --seed 5 -q -o crawl
check_crawl "generated crawl" crawl
photos=${VLM_SHARED_DATA:-absent}/warc/photo-crawl
if [ -d "$photos" ]; then
    check_crawl "photo crawl" "$photos"
else
    echo "skipped photo crawl: VLM_SHARED_DATA has none"
fi
