#!/bin/sh
# A million damaged files of tensors: the same verdict as the PyPI package safetensors, apart from our
# stricter rules; it reads what we write; large headers stay within file + 64 MiB. PYTHON names the
# interpreter, MUTANTS the number of files.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

python=${PYTHON:-python3}
root=$TESTS/..
build() { # PROGRAM FLAG...
    program=$1
    shift
    # shellcheck disable=SC2046  # the flags are words
    cc -std=c11 -D_GNU_SOURCE -O1 -g "$@" -I"$root" -o "$program" \
        "$TESTS/long/safetensors_verdicts.c" "$root"/nn/safetensors*.c "$root"/base/*.c \
        $(pkg-config --cflags --libs json-c libcrypto libxxhash) -lm 2>cc.log
}

if ! build ./plain; then
    cat cc.log >&2
    not_ok 'safetensors verdicts' 'the program that judges does not build'
    exit 0
fi
# The sanitizers look on, where the compiler has them.
build ./verdicts -fsanitize=address,undefined -fno-sanitize-recover=all || cp plain verdicts

# Memory: a header of 16 MiB that begins with what stands in text.
tensors() { # COUNT MEMBER
    awk -v n="$1" -v member="$2" 'BEGIN {
        printf "{"
        for (i = 0; i < n; i++) printf "%s\"%x\":%s", i ? "," : "", i, member
        printf "}"
    }'
}
repeat() { # CHARACTER COUNT
    head -c "$2" /dev/zero | tr '\0' "$1"
}
check_memory() { # NAME FILE EXPECTED-STATUS BYTES
    # Of addresses the program takes more than of memory.
    prlimit --as="$4" ./plain open "$2" >out 2>message
    status=$?
    if [ $status -eq "$3" ] && ! grep -q 'no memory' message; then
        ok "memory: $1"
    else
        not_ok "memory: $1" "exit status $status: $(cat out message)"
    fi
}
check_header() { # NAME EXPECTED-STATUS
    { printf '\000\000\000\001\000\000\000\000'; { cat text; repeat ' ' 16777216; } | head -c 16777216; } >bomb
    check_memory "$1" bomb "$2" $(((16 + 64) << 20))
}
empty='{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
{ printf '{"'; repeat n 16777100; printf '":%s}' "$empty"; } >text
check_header 'a name of 16 MiB' 0
tensors 65536 "$empty" >text
check_header '65536 tensors' 0
tensors 65537 "$empty" >text
check_header '65537 tensors' 6
{ printf '{"__metadata__":'; tensors 1000000 '""'; printf '}'; } >text
check_header 'a million pairs of metadata' 6
{ printf '{"a":'; repeat '[' 16777216; } >text
check_header 'a tree of 16 million levels' 1
printf '\002\000\000\000\000\000\000\000{}' >sparse
if truncate -s 1T sparse 2>/dev/null; then
    check_memory 'a sparse file of 1 TiB' sparse 1 $((64 << 20))
else
    echo 'skipped memory: a sparse file of 1 TiB: this file system has none'
fi

if ! "$python" -c 'import safetensors; safetensors.deserialize' 2>/dev/null; then
    echo 'skipped safetensors mutants: the Python module safetensors is not installed'
    exit 0
fi
"$python" "$TESTS/reference/safetensors_mutants.py" ./verdicts . "${MUTANTS:-1000000}" >counts 2>message
verdict $? "the package's verdict on ${MUTANTS:-1000000} damaged files" "$(tail -n 1 message)"
cat counts >&2
