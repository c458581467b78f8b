#!/bin/sh
# Documents of real crawls against the answers of independent programs: title, charset, and each
# image in order with src, alt, URL, and whether it was found, with format and size.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if ! command -v python3 >/dev/null || [ ! -d "${VLM_SHARED_DATA:-absent}/warc" ]; then
    echo "skipped page expectations: python3 or VLM_SHARED_DATA is missing"
    exit 0
fi
for folder in warc-pages-a warc-basic warc-repacked-a; do
    root=$VLM_SHARED_DATA/warc/$folder
    sed 's/^{"file": "\([^"]*\)".*/\1/' "$root/EXPECTED-page-images.jsonl" | sort -u >files
    while read -r file; do
        vlm-shard "$root/$file" -o out -q --max-bad 100% >/dev/null 2>message
        status=$?
        if [ $status -ne 0 ] && [ $status -ne 4 ]; then
            not_ok "$folder/$file" "exit status $status: $(cat message)"
        else
            vlm-inspect cat out >cat.jsonl
            if python3 "$TESTS/long/compare_pages.py" "$root/EXPECTED-page-images.jsonl" "$file" cat.jsonl >differences; then
                ok "$folder/$file"
            else
                not_ok "$folder/$file" "$(wc -l <differences) differences, the first: $(head -n 1 differences)"
                cat differences >&2
            fi
        fi
        rm -rf out
    done <files
done
