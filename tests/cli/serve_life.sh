# A server at a UNIX socket: ready, stopped with status 0; killed, and started again over the socket that was left.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-train out -o run --recipe lm --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
begin() {
    rm -f ready
    vlm-serve -m run/model --host here.sock --alias small --json "$@" >ready &
    server=$!
    turns=0
    while [ ! -s ready ] && [ $turns -lt 600 ]; do
        sleep 0.1
        turns=$((turns + 1))
    done
    sed 's/"parameters": [0-9]*/"parameters": N/; s/"pid": [0-9]*/"pid": N/' ready
}
begin --access-log - -q
kill -TERM $server
wait $server
echo "exit status $?"
# A log that was moved is opened again.
begin --access-log log -q
mv log log.1
kill -HUP $server
turns=0
while [ ! -e log ] && [ $turns -lt 600 ]; do
    sleep 0.1
    turns=$((turns + 1))
done
test -e log && echo "another log"
kill -TERM $server
wait $server
echo "exit status $?"
begin -q
kill -KILL $server
wait $server 2>/dev/null
begin -q
kill -INT $server
wait $server
echo "exit status $?"
# Notes in README.md are nobody's business; a file of the model that has changed is.
echo 'a note' >>run/model/README.md
begin -q
kill -TERM $server
wait $server
echo "exit status $?"
echo >>run/model/recipe.ini
vlm-serve -m run/model --host here.sock -q 2>&1
echo "exit status $?"
begin -q --no-verify
kill -TERM $server
wait $server
echo "exit status $?"
# A list that leaves out what is loaded says nothing about it.
leave_out() { sed -i "/  $1\$/d" run/model/SHA256SUMS; }
(cd run/model && sha256sum recipe.ini >sum && sed -i '/  recipe.ini$/d' SHA256SUMS && cat sum >>SHA256SUMS && rm sum)
for name in model.safetensors config.json recipe.ini tokenizer.json; do
    cp run/model/SHA256SUMS sums
    leave_out "${name}"
    vlm-serve -m run/model --host here.sock -q 2>&1
    echo "exit status $?"
    cp sums run/model/SHA256SUMS
done
: >run/model/SHA256SUMS
vlm-serve -m run/model --host here.sock -q 2>&1 | sed "s/'.*'/'a file'/"
cp sums run/model/SHA256SUMS
begin -q
kill -TERM $server
wait $server
echo "exit status $?"
# Nor is a pipe waited for.
rm run/model/SHA256SUMS
mkfifo run/model/SHA256SUMS
timeout 60 vlm-serve -m run/model --host here.sock -q 2>&1
echo "exit status $?"
# Nobody would learn the address.
{ timeout 60 vlm-serve -m run/model --host here.sock --no-verify --json -q >/dev/full; } 2>&1
echo "exit status $?"
