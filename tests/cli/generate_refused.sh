# No model, no prompt, a prompt that cannot be answered, files that are not there: one sentence each.
vlm-make-crawl -n 12 -o crawl -q
vlm-shard crawl -o out -q
vlm-vqgan encode out -q
vlm-train out -o run --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
vlm-train out -o plain --recipe lm --n-layer 1 --n-embd 16 --n-head 2 --n-hidden 32 --max-iters 1 --validation 20% \
    --eval-interval 0 --sample-interval 0 -q
attempt() {
    vlm-generate "$@" >output
    echo "exit status $?, $(wc -c <output) bytes"
}
exec 2>&1
attempt
attempt -m absent --text A
attempt -m out --text A
attempt -m run/model --text A --prompt B
attempt -m run/model --prompt absent
attempt -m run/model --text '<p><mask:1></p>'
attempt -m run/model --text '<mask:0><mask:0><mask:0>'
attempt -m run/model --text '<img src="{image}">'
attempt -m run/model --text '<img src="{image}">' absent.png
attempt -m run/model --text '<img src="{image}">' out/manifest.json
attempt -m run/model --text '<p>' out/manifest.json
attempt -m run/model --text "$(seq -s ' ' 2000)"
attempt -m run/model a b c d
attempt -m run/model --text "$(printf '<p>\377')"
attempt -m run/model --text A --guidance 2 --negative "$(printf '\303')"
printf 'a\355\240\200' >surrogate
attempt -m run/model --prompt surrogate
printf 'a\0b' >zero
vlm-generate -m plain/model --prompt zero --max-tokens 1 --temp 0 | head -c 3 | od -An -c
attempt -m run/model --text A --temp cold
attempt -m run/model --text A --temp -1
attempt -m run/model --text A --top-p 1.5
attempt -m run/model --text A --top-k -1
attempt -m run/model --text A -n 0
attempt -m plain/model --text '{image}' absent.png
rm plain/model/tokenizer.json
attempt -m plain/model --text A
