#!/bin/sh
# Some eighty tokenizer.json of all kinds, made by the PyPI package tokenizers: the same ids and texts from it and from us,
# and from it again with the files that we write. PYTHON names the interpreter.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

python=${PYTHON:-python3}
root=$TESTS/..
if ! "$python" -c 'import tokenizers' 2>/dev/null; then
    echo 'skipped tokenizers of the package: the Python module tokenizers is not installed'
    exit 0
fi
# shellcheck disable=SC2046  # the flags are words
if ! cc -std=c11 -D_GNU_SOURCE -O1 -g -I"$root" -o tokenizer_lines "$TESTS/long/tokenizer_lines.c" \
    "$BUILD/tokenize.a" "$BUILD/base.a" \
    $(pkg-config --cflags --libs json-c libcrypto libxxhash libpcre2-8 libutf8proc zlib) -lm 2>cc.log; then
    cat cc.log >&2
    not_ok 'tokenizers of the package' 'the program that encodes does not build'
    exit 0
fi
"$python" "$TESTS/reference/compare_tokenizers.py" ./tokenizer_lines zoo >compared 2>message
verdict $? 'ids and texts as the package tokenizers' "$(tail -n 1 compared) $(tail -n 1 message)"
tail -n 1 compared >&2
