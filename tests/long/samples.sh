#!/bin/sh
# What vlm-tokenize render prints, id by id beside two programs in Python that know the schemas alone: from strings to
# ids, and from ids to samples. 1,000 documents of a generated crawl; of a real one too where it is at hand.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if ! python3 -c 'import json' 2>/dev/null; then
    echo 'skipped samples: no python3'
    exit 0
fi
tokenizer=$TESTS/../tokenize/text/shipped/tokenizer.json
bin=$(dirname "$(command -v vlm-tokenize)")

beside() { # NAME SET
    for form in cm3 htlm m3w; do
        python3 "$TESTS/reference/renderings.py" "$bin" "$2" "$tokenizer" --form "$form" >found 2>&1
        verdict $? "$1, ids of $form" "$(tail -n 1 found)"
        cat found >&2
    done
    python3 "$TESTS/reference/samples.py" "$bin/vlm-tokenize" "$2" >found 2>&1
    verdict $? "$1, samples" "$(tail -n 1 found)"
    cat found >&2
}

vlm-make-crawl -q -n 1020 -o crawl && vlm-shard -q crawl -o made
beside 'generated crawl' made
photos=${VLM_SHARED_DATA:-}/warc/photo-crawl/photos-0.warc.gz
if [ -f "$photos" ]; then
    vlm-shard -q "$photos" -o photos
    beside photo-crawl photos
else
    echo 'skipped photo-crawl: not at hand'
fi
