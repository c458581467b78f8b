#!/bin/sh
# Training of vq-xs on photographs: eight pictures are learned by heart, and a run that is killed again and
# again ends with the bytes of one that is not.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

photos=${VLM_SHARED_DATA:-absent}/photos/coco-open/images
if [ ! -d "$photos" ]; then
    echo "skipped training on photographs: VLM_SHARED_DATA has none"
    exit 0
fi
mkdir eight
for photo in "$photos"/*.jpg; do
    [ "$(find eight -name '*.jpg' | wc -l)" -eq 8 ] || cp "$photo" eight
done

# 600 steps of whole squares; figures are those of the pictures themselves.
vlm-vqgan train eight -o heart --tokenizer vq-xs --overfit --held-out 0 --batch-size 8 --steps 600 \
    --seed 1 -q --json >report
psnr=$(tail -n 1 heart/metrics.jsonl | sed 's/.*"psnr": \([0-9.]*\).*/\1/')
awk -v psnr="$psnr" 'BEGIN { exit !(psnr > 26) }'
verdict $? "eight pictures by heart" "PSNR $psnr dB after 600 steps"

train() { # OUT THREADS [exec]: with exec, the process that is killed is the program, not a shell above it
    ${3:-} vlm-vqgan train "$photos" -o "$1" --tokenizer vq-xs --held-out 4 --batch-size 4 --steps 60 --seed 2 \
        --checkpoint-interval 5 --eval-interval 20 -j "$2" -q
}

train whole 2
threads=1 kills=0
while [ $kills -lt 8 ]; do
    train killed $threads exec &
    training=$!
    sleep 2
    kill -KILL $training 2>/dev/null || break
    wait $training 2>/dev/null
    kills=$((kills + 1)) threads=$((3 - threads))
done
train killed $threads
for file in config.json model.safetensors checkpoint.safetensors metrics.jsonl; do
    cmp -s whole/$file killed/$file
    verdict $? "$file after $kills kills" "other bytes"
done
