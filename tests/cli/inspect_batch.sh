# Which documents a step of a run saw: from its place in metrics.jsonl, or counted on from an earlier one.
vlm-make-crawl -n 20 -o crawl -q --no-damage
vlm-shard crawl -o out -q
train() {
    vlm-train out -q --n-layer 1 --n-embd 32 --block-size 384 --batch-size 1 --gradient-accumulation-steps 2 \
        --validation 10% --eval-interval 0 --sample-interval 0 --max-iters 6 "$@"
}
train -o each --log-interval 1
train -o some --log-interval 3
vlm-inspect batch each --step 2
for step in 1 2 3 4 5 6; do
    vlm-inspect batch each --step $step --json >each.$step
    vlm-inspect batch some --step $step --json | cmp - each.$step && echo "step $step: the same"
done
vlm-inspect batch each --json | cmp - each.6 && echo "the last by default"
# No block comes twice in an epoch, and the places of the log are those of the batches.
sed 's/.*"epoch": \([0-9]*\), "block": \([0-9]*\).*"id": "\([0-9a-f]*\)".*/\1 \2 \3/' each.? | sort | uniq -d
head -1 each.1 | sed 's/"text": .*/"text": .../'
id=$(sed -n '1s/.*"id": "\([0-9a-f]*\)".*/\1/p' each.1)
echo "{\"id\": \"$id\"}" >out/deleted.jsonl
vlm-inspect batch each --step 1 --json | grep -c "$id"
vlm-inspect batch each --step 7
echo "exit $?"
vlm-inspect batch crawl
echo "exit $?"
