#!/bin/sh
# Every command of docs/serving.md against a server of a small model: statuses and forms of the answers are as printed there.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

pictures() { # a picture where the document has one
    vlm-make-crawl -n 2 -o new --world simple --seed 2 --no-damage -q && vlm-vqgan encode -q new | vlm-vqgan decode -q -o pictures
}

if ! find_python; then
    echo 'skipped serve_docs: no Python 3.9 (PYTHON names one)'
elif ! command -v curl >/dev/null || ! command -v jq >/dev/null; then
    echo 'skipped serve_docs: no curl or no jq'
elif ! serve_model || ! pictures; then
    not_ok serve_docs 'no model'
else
    PYTHONDONTWRITEBYTECODE=1 "$python" "$TESTS/reference/serve_docs.py" . "$TESTS/../docs/serving.md" || not_ok documents "exit status $?"
fi
