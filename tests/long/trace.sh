#!/bin/sh
# 1,000 random tokens of each shared crawl, back to the crawl: the bytes that are named are in the record that is named,
# and give the same tokens, or a reason is stated. A program of its own, in Python, looks each place up.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if ! command -v python3 >/dev/null || [ ! -d "${VLM_SHARED_DATA:-absent}/warc" ]; then
    echo "skipped trace: python3 or VLM_SHARED_DATA is missing"
    exit 0
fi
shipped=$TESTS/../tokenize/text/shipped/tokenizer.json

trace() { # CRAWL FORM [TOKENIZER]
    label="$(basename "$1"), $2${3:+, $(basename "$3")}"
    vlm-inspect trace out --random 1000 --seed 7 --render "$2" --crawl "$1" ${3:+-t "$3"} >lines 2>message
    status=$?
    if grep -q "has no tokens in this form" message; then
        echo "    $label: no tokens"
    elif [ $status -ne 0 ]; then
        not_ok "trace of $label" "exit status $status: $(cat message)"
    elif python3 "$TESTS/reference/check_trace.py" "$1" "${3:-$shipped}" <lines >counts 2>differences; then
        ok "trace of $label: $(cat counts)"
    else
        not_ok "trace of $label" "$(cat counts): $(head -n 1 differences)"
    fi
}

for crawl in "$VLM_SHARED_DATA"/warc/*/; do
    crawl=${crawl%/}
    vlm-shard "$crawl" -o out -q --max-bad 100% >/dev/null 2>&1
    for form in cm3 htlm m3w pair text; do
        trace "$crawl" $form
    done
    for form in cm3 m3w; do
        trace "$crawl" $form "$VLM_SHARED_DATA/tokenizers/tokenizer-gpt2"
    done
    rm -rf out
done
