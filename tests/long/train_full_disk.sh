#!/bin/sh
# A disk that fills up while a model is trained: the run goes on without the checkpoint, gives up with status 6
# after three, and what was there stays whole; with more room the same command ends with the same bits.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

mkdir disk
if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=64M none disk 2>/dev/null; then
    echo "skipped full disk of a training: mounting is not allowed"
    exit 0
fi
trap 'umount "$PWD/disk"' EXIT
vlm-make-crawl -n 40 --seed 9 -q -o crawl --no-damage
vlm-shard crawl -o shards -q 2>/dev/null
train() { # RUN
    vlm-train shards -o "$1" --n-layer 1 --n-embd 32 --block-size 384 --batch-size 1 \
        --gradient-accumulation-steps 1 --max-iters 24 --eval-interval 0 --sample-interval 0 \
        --checkpoint-interval 4 --keep 1 --progress none
}
result() { # RUN
    cat "$1/metrics.jsonl" "$1/model/model.safetensors" "$1/checkpoints/step-24/optimizer.safetensors" \
        2>/dev/null | sha256sum
}
check_folder() { # FOLDER - what stands in it is what SHA256SUMS says
    (cd "$1" && sha256sum --quiet -c SHA256SUMS >/dev/null 2>&1)
}

train reference 2>/dev/null
expected=$(result reference)
one=$(du -sk reference/checkpoints/step-24 | cut -f 1)

# Room for nothing; for a part of the first checkpoint; for one and a half, so that the second does not fit beside it.
for percent in 10 60 150; do
    name="room for $percent % of a checkpoint"
    mount -o remount,size=$((one * percent / 100 + 64))k disk
    train disk/run >/dev/null 2>message
    status=$?
    if [ $status -ne 6 ]; then
        not_ok "$name" "exit status $status: $(tail -n 1 message)"
    elif [ $percent -eq 150 ] && ! check_folder disk/run/checkpoints/step-4; then
        not_ok "$name" "the first checkpoint is not whole"
    elif [ $percent -eq 150 ] && ! check_folder disk/run/model; then
        not_ok "$name" "model/ is not whole"
    elif [ -n "$(find disk/run -name '*.tmp')" ]; then
        not_ok "$name" "temporary files are left"
    elif ! grep -q 'the run goes on' message; then
        not_ok "$name" "no word of it: $(cat message)"
    else
        ok "$name"
    fi
done
mount -o remount,size=64M disk
train disk/run 2>message
verdict $? "with room it ends" "$(tail -n 1 message)"
[ "$(result disk/run)" = "$expected" ]
verdict $? "and with the same bits" "other bits"
