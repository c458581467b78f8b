# Codes of one tokenizer mean nothing to a model that learned those of another: neither mixed, nor begun from, nor
# gone on with, nor evaluated; nothing is overwritten.
ids() { sed 's/\(pca\|vq-xs\)-[0-9a-f]\{12\}/\1-ID/g; s/[0-9a-f]\{32\}/DIGEST/g'; }
vlm-make-crawl -n 12 -o crawl -q --no-damage
vlm-vqgan train crawl -o pca --codes 64 -q
vlm-shard crawl -o out -q
vlm-shard crawl -o other -q --image-tokenizer pca
vlm-shard crawl -o none -q --image-tokenizer none
train() { vlm-train "$@" --n-layer 1 --n-embd 32 --block-size 384 --batch-size 1 --max-iters 2 \
    --gradient-accumulation-steps 1 --sample-interval 0 -q 2>&1; }
train out -o run && sha256sum run/model/model.safetensors >before
try() {
    "$@" 2>&1 | ids
}
try train out other -o new
try train other -o run
try train other -o new --init-from run/model
try train out -o new --image-tokenizer pca
try train none -o new --recipe captioner
try vlm-train eval run/model other
test ! -e new && echo "nothing new"
sha256sum --quiet -c before && echo "run/model is as it was"
train other -o new --image-tokenizer pca && ls new/model/vqgan
vlm-train eval new/model other --json | grep -o '"documents": [0-9]*'
