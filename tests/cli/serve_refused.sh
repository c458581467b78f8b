# No model, values that cannot be, keys that others can read, an address that others can reach: one sentence each, before
# anything is listened at.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-train out -o run --recipe lm --set trunk.layer=llama --set embed.position=rotary \
    --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
attempt() {
    timeout 60 vlm-serve "$@" >output
    echo "exit status $?, $(wc -c <output) bytes"
}
exec 2>&1
attempt
attempt -m absent
attempt -m out
attempt -m run/model operand
attempt -m run/model --port 70000
attempt -m run/model --parallel 0
attempt -m run/model --dtype fp64
attempt -m run/model --ctx-size 100000
attempt -m run/model --ctx-size 1
attempt -m run/model --max-body 1
attempt -m run/model --allow-host ''
attempt -m run/model --alias ''
attempt -m run/model --api-key 'a key'
attempt -m run/model --api-key
attempt -m run/model --host 0.0.0.0
attempt -m run/model --host 192.0.2.1 --port 0 --api-key k
attempt -m run/model --access-log absent/log
attempt -m run/model --shards absent
echo key >keys
chmod 644 keys
attempt -m run/model --api-key-file keys
chmod 600 keys
: >keys
attempt -m run/model --api-key-file keys
printf 'ke\0y\n' >keys
attempt -m run/model --api-key-file keys
attempt -m run/model --api-key-file absent
# A context that takes more memory than there is, found before any is taken.
sed 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 1048576/' run/model/config.json >config
cp config run/model/config.json
attempt -m run/model --no-verify --parallel 256 --cache-slots 4096 2>&1 | sed 's/[0-9.]* are free/N are free/'
rm run/model/tokenizer.json
attempt -m run/model --no-verify
