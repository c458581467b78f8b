# Tokens of files are those that encode prints; those of a shard set are counted by kind.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
printf 'the hour\n\nand an inch\n' >lines
vlm-tokenize count -t tokenizer.json lines | sed 's/bpe-[0-9a-f]*/ID/'
vlm-tokenize encode -t tokenizer.json lines | wc -w
printf '{"text": "the\\nhour"}\n{"text": 1}\n' >lines.jsonl
vlm-tokenize count -t tokenizer.json --jsonl --json lines.jsonl >report
echo "exit $?"
sed 's/bpe-[0-9a-f]*/ID/' report
mkdir site
printf '<title>One</title><p>The first page <img src="dot.gif" alt="a dot"> and after<p><img src="no.gif">' >site/one.html
printf '<title>Two</title><p>Nothing but text' >site/two.html
printf 'GIF89a\001\000\001\000\200\000\000\377\000\000\000\000\000,\000\000\000\000\001\000\001\000\000\002\002D\001\000;' >site/dot.gif
vlm-shard site -o out -q
for form in cm3 m3w pair text; do
    vlm-tokenize count -t tokenizer.json out --render $form 2>&1 | sed "s/bpe-[0-9a-f]*/$form/"
done
vlm-tokenize count -t tokenizer.json out lines -j 1 | sed 's/bpe-[0-9a-f]*/ID/'
vlm-tokenize count -t tokenizer.json out lines -j 1 --json >one
vlm-tokenize count -t tokenizer.json out lines -j 3 --json | cmp - one && echo "the same with 3 threads"
