#!/bin/sh
# A save killed before every call that changes the disk: always the old or the new checkpoint loads, with its
# very bits; model/ is a whole folder; after the next start nothing is left over.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

root=$TESTS/..
libraries='libxml-2.0 libarchive lmdb libjpeg spng libwebp libwebpdemux zlib libdeflate libzstd libbrotlidec json-c
    libxxhash libcrypto libseccomp openblas libpcre2-8 libutf8proc'
# shellcheck disable=SC2046,SC2086  # the flags are words
if ! cc -std=c11 -D_GNU_SOURCE -O1 -g -pthread -I"$root" -o checkpoint_kill "$TESTS/long/checkpoint_kill.c" \
    "$BUILD/trainer.a" "$BUILD/models.a" "$BUILD/shard.a" "$BUILD/vqgan.a" "$BUILD/tokenize.a" "$BUILD/nn.a" \
    "$BUILD/base.a" $(pkg-config --cflags --libs $libraries) -lgif -lm 2>cc.log; then
    cat cc.log >&2
    not_ok 'checkpoint kill' 'the program does not build'
    exit 0
fi
# In memory where there is such a place: some 1,500 times three saves.
folder=$(mktemp -d /dev/shm/vlm-kill.XXXXXX 2>/dev/null) || folder=$PWD/run
trap 'rm -rf "$folder"' EXIT
./checkpoint_kill "$folder"
