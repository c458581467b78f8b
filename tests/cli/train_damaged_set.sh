# A flipped byte in a part, or a part that was cut: one sentence that names it, and exit status 5.
vlm-make-crawl -n 10 -o crawl -q --no-damage
vlm-shard crawl -o out -q
train() { vlm-train out -o run -q --n-layer 1 --n-embd 32 --block-size 384 --max-iters 2 --eval-interval 0 --sample-interval 0; }
mkdir copy
cp out/* copy
at=$(grep -abo 'colour' copy/part-00000.lmdb | head -1 | cut -d: -f1)
printf X | dd of=out/part-00000.lmdb bs=1 seek="$at" conv=notrunc 2>/dev/null
train
echo "exit $?"
cp copy/part-00000.lmdb out
truncate -s -4096 out/part-00000.lmdb
train 2>message
echo "exit $?"
sed 's/[0-9]* bytes/N bytes/; s/says [0-9]*/says N/' message
rm out/manifest.json
train
echo "exit $?"
test -e run || echo "no run was begun"
