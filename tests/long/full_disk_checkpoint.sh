#!/bin/sh
# A disk that fills up while a checkpoint is written: a sentence with the bytes needed and free, the checkpoint
# before is whole, nothing half is left; with more room the run goes on.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

mkdir disk
if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=4M none disk 2>/dev/null; then
    echo "skipped full disk of a checkpoint: mounting is not allowed"
    exit 0
fi
trap 'umount "$PWD/disk"' EXIT
if VLM_CHECKPOINT_DISK=$PWD/disk "$BUILD/tests/test_checkpoint_disk" >out 2>&1; then
    ok 'full disk of a checkpoint'
else
    not_ok 'full disk of a checkpoint' "$(grep -m 1 'ERROR' out)"
fi
