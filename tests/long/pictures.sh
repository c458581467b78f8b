#!/bin/sh
# Pictures of a server under load: whole, cut, damaged and given up, from two readers that are killed ten times a
# second in the second half. Every picture has an answer, and memory stays what it was.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

: >names
if [ -n "${VLM_SHARED_DATA:-}" ]; then
    find "$VLM_SHARED_DATA/images" "$VLM_SHARED_DATA/photos" -type f -size -2000k | LC_ALL=C sort |
        awk 'NR % 7 == 1' | head -n 300 >names
fi
tr '\n' '\0' <names | xargs -0 -n 400 -x "$BUILD/tests/test_pictures_serve" load 30 >out.txt 2>&1
status=$?
cat out.txt >&2
verdict $status "pictures under load: $(tail -n 1 out.txt)" "see above"
