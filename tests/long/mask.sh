#!/bin/sh
# The shares of masks over twenty million documents, and the samples of tests/vectors computed anew.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if (cd "$TESTS/.." && VLM_MASK_DOCUMENTS=20000000 exec "$BUILD/tests/test_mask") >out 2>&1; then
    ok "masks: $(grep 'min 1:' out)"
else
    cat out >&2
    not_ok "masks" 'the unit test fails'
fi
if ! command -v python3 >/dev/null; then
    echo "skipped samples of the schema: no python3"
elif python3 "$TESTS/reference/make_sample.py" >sample.tsv && cmp sample.tsv "$TESTS/vectors/sample.tsv" >&2; then
    ok "samples of the schema"
else
    not_ok "samples of the schema" 'make_sample.py writes other samples than tests/vectors/sample.tsv'
fi
