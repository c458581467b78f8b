#!/bin/sh
# demo.sh BIN - makes a small crawl, shards it, verifies the shards and shows what is inside: a page whose pictures
# are drawn back from their codes, and what a model will see of it. Then it trains a model for about four minutes,
# on a larger crawl of simpler pages, serves it, and asks it everything that a causal-masked model can be asked. Every command is
# printed before it runs, every request as the curl line that repeats it, which works while the server runs; all files are
# below build/demo.
set -eu
bin=$1
PATH=$(cd "$bin" && pwd):$PATH
here=build/demo
crawl=$here/crawl
shards=$here/shards

say() {
    printf '\n%s\n' "$*"
}

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

# POSTs the JSON on standard input, and prints the line that repeats it, the answer, and where its pictures are: their
# bytes go to $here/drawn/NAME.png, NAME-1.png, ... and are left out.
ask() { # NAME PATH
    body=$(cat)
    printf "\n\$ curl -s --unix-socket %s http://localhost%s --json '%s'\n" "$socket" "$2" "$body"
    curl -s --unix-socket "$socket" "http://localhost$2" --json "$body" >$here/answer.json
    number='' written=''
    # shellcheck disable=SC2013  # base64 has no spaces
    for picture in $(grep -o 'iVBORw0KGgo[A-Za-z0-9+/=]*' $here/answer.json); do
        printf %s "$picture" | base64 -d >"$here/drawn/$1$number.png"
        written="$written $here/drawn/$1$number.png"
        number=$((number - 1))
    done
    sed 's|iVBORw0KGgo[A-Za-z0-9+/=]*|...|g; s|\("codes": *\[[0-9]*, *[0-9]*\)[0-9, ]*|\1, ...|g' $here/answer.json
    [ -z "$written" ] || echo "The picture is in$written"
}

# Puts a picture into the server's memory; sets $url, by which requests name it, to vlm:sha256:HASH.
upload() { # FILE
    printf "\n\$ curl -s --unix-socket %s http://localhost/v1/images/blobs -H 'Content-Type: image/png' --data-binary @%s\n" "$socket" "$1"
    curl -sf --unix-socket "$socket" http://localhost/v1/images/blobs -H 'Content-Type: image/png' --data-binary "@$1" >$here/answer.json
    cat $here/answer.json
    url=$(sed -n 's/.*"url": "\([^"]*\)".*/\1/p' $here/answer.json)
}

mkdir -p $here
rm -rf "$shards" # of another version, perhaps
say "The programs are in $bin. What stands behind a \$ can be repeated, with that folder in PATH."
if [ ! -f "$crawl/crawl-00000.warc.gz" ]; then
    say "A web crawl in small: drawn pages of pictures and their words, with the damage and the opt-outs of real ones."
    show vlm-make-crawl --output "$crawl" --pages 200 --seed 1
fi
say "From the crawl to a shard set: pages, their pictures, 256 codes for each. What is left out is counted by reason."
show vlm-shard build "$crawl" -o "$shards"
say "Every byte, record and count is compared with the manifest."
show vlm-shard verify "$shards"
say "What is inside."
show vlm-inspect summary "$shards"
say "A page as text with places for pictures (the form of M3W), then as small HTML with the codes in it (that of CM3)."
show vlm-inspect cat --limit 1 --render m3w "$shards"
show vlm-inspect cat --limit 1 --render cm3 "$shards"
id=$(vlm-inspect cat --limit 2 "$shards" | sed -n '2s/^{"id": "\([0-9a-f]*\)".*/\1/p')
say "Another page for people: its picture, and beside that what the 256 codes give back."
show vlm-inspect show "$shards" "$id"
show vlm-inspect show "$shards" "$id" --html $here/page.html
say "What a model will read of all this: tokens, and a sample of that page in which the picture was hidden."
show vlm-tokenize count "$shards"
show vlm-tokenize render "$shards" --id "$id" --seed 6 --show

say "Two hundred pages teach a model nothing in minutes. So now 8000 simpler ones, of one shape and its words."
rm -rf $here/simple $here/simple-crawl $here/run $here/new $here/pictures $here/drawn
show vlm-make-crawl --output $here/simple-crawl --pages 8000 --world simple --no-damage
show vlm-shard build $here/simple-crawl -o $here/simple
show vlm-tokenize train $here/simple --vocab-size 512 -o $here/tokenizer.json
say "The training: about four minutes on two cores that do nothing else; eta says when it ends."
show vlm-train $here/simple -o $here/run -t $here/tokenizer.json --recipe cm3-modern --preset tiny \
    --block-size 320 --batch-size 6 --gradient-accumulation-steps 1 --max-iters 2400 \
    --learning-rate 2e-3 --beta2 0.98 --set objective.weight.image=0.3 --set data.images=unit \
    --sample-interval 0
show vlm-plot $here/run -o $here/curves.svg --smooth 10 --log loss,loss_text,loss_markup,loss_image,grad_norm

say "Three pictures that it has not seen. The first is of a green star on the left, the second of a yellow triangle in the middle."
show vlm-make-crawl --output $here/new --pages 3 --world simple --seed 2 --no-damage
printf '\n$ vlm-vqgan encode %s | vlm-vqgan decode -o %s\n' $here/new $here/pictures
vlm-vqgan encode -q $here/new | vlm-vqgan decode -q -o $here/pictures

say "The server, at a UNIX socket here. (Without --host it is http://localhost:8080, with a page for your browser.)"
mkdir -p $here/drawn
socket=$here/vlm.sock
printf '\n$ vlm-serve -m %s --host %s --parallel 8 &\n' $here/run/model $socket
vlm-serve -q -m $here/run/model --host $socket --parallel 8 &
server=$!
trap 'kill $server 2>/dev/null || :' EXIT
until curl -sf --unix-socket $socket http://localhost/ready >/dev/null; do
    kill -0 $server
    sleep 0.1
done
say "Two pictures are sent to it; from now on their hashes name them."
upload $here/pictures/000000.png
star=$url
upload $here/pictures/000001.png
triangle=$url

say "Image infilling: the lower half of a picture, drawn anew."
ask infilled /infill <<END
{"document": [
    {"type": "text", "text": "<html lang=\"en\"><body>"},
    {"type": "image_url", "image_url": {"url": "$star"}, "mask": {"id": 0, "rect": [8, 0, 16, 16]}},
    {"type": "text", "text": "</body></html>"}], "seed": 1}
END
say "Conditional infilling: the left half, for other words."
ask conditional /infill <<END
{"document": [
    {"type": "text", "text": "<html lang=\"en\"><body><img alt=\"red circle on the left\" src=\""},
    {"type": "image_url", "image_url": {"url": "$star"}, "mask": {"id": 0, "rect": [0, 0, 16, 9]}},
    {"type": "text", "text": "\"></body></html>"}], "seed": 1}
END
say "Conditional generation: a picture for words."
ask drawn /v1/images/generations <<END
{"prompt": "green star on the right", "seed": 2}
END
say "Captioning, masked: the words in front of a picture, with the picture in view."
ask caption /infill <<END
{"document": [
    {"type": "text", "text": "<html lang=\"en\"><body><img alt=\""},
    {"type": "mask", "id": 0, "kind": "text"},
    {"type": "text", "text": "\" src=\""},
    {"type": "image_url", "image_url": {"url": "$star"}},
    {"type": "text", "text": "\"></body></html>"}], "temperature": 0, "image_format": "none"}
END
say "Captioning, causal: the words behind a picture, by a beam search."
ask causal /v1/completions <<END
{"prompt": [
    {"type": "text", "text": "<html lang=\"en\"><body><img src=\""},
    {"type": "image_url", "image_url": {"url": "$triangle"}},
    {"type": "text", "text": "\" title=\""}], "num_beams": 5, "max_tokens": 20, "stop": "\""}
END
say "Disambiguation: of candidates for a hole, the likeliest first."
ask scored /score <<END
{"document": [
    {"type": "text", "text": "<html lang=\"en\"><body><img alt=\""},
    {"type": "mask", "id": 0, "kind": "text"},
    {"type": "text", "text": "\" src=\""},
    {"type": "image_url", "image_url": {"url": "$triangle"}},
    {"type": "text", "text": "\"></body></html>"}],
 "candidates": ["yellow triangle in the middle", "yellow triangle on the left", "green star on the left"]}
END
say "Unconditional: a picture, then a picture and its words."
ask unconditional /v1/completions <<END
{"prompt": "<html lang=\"en\"><body><img src=\"", "seed": 3, "max_tokens": 260}
END
ask captioned /v1/completions <<END
{"prompt": "<html lang=\"en\"><body><img", "seed": 4, "max_tokens": 280}
END
say "Several holes: a word, a picture."
ask holes /infill <<END
{"document": [
    {"type": "text", "text": "<html lang=\"en\"><body><img alt=\"red "},
    {"type": "mask", "id": 0, "kind": "text"},
    {"type": "text", "text": " on the right\" src=\""},
    {"type": "mask", "id": 1, "kind": "image"},
    {"type": "text", "text": "\"></body></html>"}], "order": [0, 1], "seed": 1}
END
kill $server
wait $server
trap - EXIT # a kill that finds nobody would be the exit status

cat <<END

After these minutes it knows some of this and not the rest; make learn trains longer and measures it.
Ask it more, in a browser:                     $bin/vlm-serve -m $here/run/model
Repeat a request from above:                   start the server by its line, send the two pictures again
Every kind of request, with its answer:        docs/serving.md
The page with its pictures, for a browser:     $here/page.html
The curves of the training:                    $here/curves.svg
The pictures that were drawn:                  $here/drawn
END
