#!/bin/sh
# Vocabularies beside those that the package tokenizers learns from the same texts: merges, ids and tokens are equal.
# PYTHON names the interpreter. Then training on a full disk.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

beside_the_package() {
    python=${PYTHON:-python3}
    if ! "$python" -c 'import tokenizers' 2>/dev/null; then
        echo 'skipped vocabularies: the Python module tokenizers is not installed'
        return
    fi
    book=${VLM_SHARED_DATA:-}/tokenizers/tokenizer-texts/war-and-peace.txt
    if [ -f "$book" ]; then
        "$python" "$TESTS/reference/bpe_train.py" "$book"
    else
        echo 'skipped a book: no VLM_SHARED_DATA'
        "$python" "$TESTS/reference/bpe_train.py"
    fi
}

# NAME COMMAND...: one sentence, exit status 6, no file.
refused() {
    name=$1
    shift
    "$@" >message 2>&1
    status=$?
    if [ $status -ne 6 ] || [ "$(wc -l <message)" -ne 1 ]; then
        not_ok "$name" "exit status $status: $(cat message)"
    elif [ -e x.json ] || [ -e disk/x.json ] || [ -e disk/x.json.tmp ]; then
        not_ok "$name" 'a file is left behind'
    else
        ok "$name"
    fi
}

full_disk() {
    mkdir disk
    if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=1M none disk 2>/dev/null; then
        echo 'skipped full disk: mounting is not allowed'
        return
    fi
    trap 'umount "$PWD/disk"' EXIT
    seq 1 400000 | sed 's/$/ a word of a few letters/' >words.txt
    refused 'no room for counts' env TMPDIR=disk vlm-tokenize train words.txt --memory 1M -o x.json -q
    mount -o remount,size=64M disk
    TMPDIR=disk vlm-tokenize train words.txt --memory 1M --vocab-size 400 -o x.json -q
    verdict $? 'room for counts' "exit status $?"
    rm -f x.json
    mount -o remount,size=1M disk
    head -c 2M /dev/zero >disk/fill 2>/dev/null
    refused 'no room for the tokenizer' vlm-tokenize train words.txt --vocab-size 400 -o disk/x.json -q
}

beside_the_package
full_disk
