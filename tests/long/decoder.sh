#!/bin/sh
# Hundreds of crowds of random streams, each answer compared with the trainer's pass over all of it.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if (cd "$TESTS/.." && VLM_DECODER_CROWDS=40 exec "$BUILD/tests/test_decoder") >out 2>&1; then
    ok "streams: $(grep crowds out)"
else
    cat out >&2
    not_ok "streams" 'the unit test fails'
fi
