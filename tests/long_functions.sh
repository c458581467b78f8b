#!/bin/sh
# long_functions.sh - what the scripts of tests/long share: . "$TESTS/long_functions.sh"
set -u

ok() {
    echo "ok $1"
}

not_ok() { # NAME WHY
    echo "not ok $1: $2"
}

# ok NAME when the last command succeeded.
verdict() { # STATUS NAME WHY
    if [ "$1" -eq 0 ]; then
        ok "$2"
    else
        not_ok "$2" "$3"
    fi
}

# One line for all bytes of a set's parts.
set_hash() { # OUT
    (cd "$1" 2>/dev/null && cat part-*.lmdb 2>/dev/null | sha256sum | cut -d ' ' -f 1)
}

# A set that equals the expected hash and has nothing beside manifest and parts.
check_set() { # NAME OUT HASH
    if [ "$(set_hash "$2")" != "$3" ]; then
        not_ok "$1" "other bytes in the parts"
    elif [ -n "$(find "$2" -mindepth 1 ! -name manifest.json ! -name 'part-*.lmdb')" ]; then
        not_ok "$1" "leftovers: $(find "$2" -mindepth 1 | tr '\n' ' ')"
    else
        ok "$1"
    fi
}

# The number behind a key of a JSON report on stdin; the first of that name ("kept": of documents).
number() { # KEY
    # shellcheck disable=SC2020  # two characters, one of them twice
    tr '{,' '\n\n' | sed -n "s/^ *\"$1\": *\([0-9]*\).*/\1/p" | head -n 1
}

# Flips a bit of one byte in place.
flip() { # FILE POSITION MASK
    flip_byte=$(dd if="$1" bs=1 skip="$2" count=1 2>/dev/null | od -An -tu1)
    # shellcheck disable=SC2059  # the format is the byte
    printf "\\$(printf %o $((flip_byte ^ $3)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# The same positions on every machine: a linear congruential sequence below 2^31 (Park and Miller).
random_state=42 random=0
random() { # LIMIT: the number is in $random
    random_state=$((random_state * 16807 % 2147483647))
    # shellcheck disable=SC2034  # the caller reads it
    random=$((random_state % $1))
}

# A shard set `out` and a model of one step that draws pictures, `run/model`, for the checks of the server.
serve_model() {
    vlm-make-crawl -n 12 -o crawl -q && vlm-shard crawl -o out -q && vlm-vqgan encode out -q &&
        vlm-train out -o run --n-layer 2 --n-embd 64 --n-head 4 --block-size 512 --max-iters 1 --validation 20% --eval-interval 0 \
            --sample-interval 0 -q
}

# The interpreter that PYTHON names, or python3; false without one.
find_python() {
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null
}
