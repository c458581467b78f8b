# A document for people: as letters, in colours, as HTML. Nothing of the page reaches the terminal as a
# control character, or the HTML as markup.
mkdir site
printf '<title>One\033[31m</title><p>The first \302\233 <b>page</b> &lt;script&gt; <img src="dot.gif" alt="a \033]0;dot"> and after<p><img src="no.gif">' >site/one.html
printf 'GIF89a\001\000\001\000\200\000\000\377\000\000\000\000\000,\000\000\000\000\001\000\001\000\000\002\002D\001\000;' >site/dot.gif
vlm-shard site -o out -q
set=$(sed 's/.*"tokenizers": \[{"id": "\([^"]*\)".*/\1/' out/manifest.json)
id=$(vlm-inspect cat out | sed 's/{"id": "\([^"]*\)".*/\1/')
cut_id() {
    sed "s/$set/ID/g; s/[0-9]* different codes/N different codes/; s/PSNR [0-9.a-z]*/PSNR P/"
}
vlm-inspect show out "$id" --width 20 | cut_id | sed 's/  [] .:=+*#%@-]\{8\}$/  DECODED /'
short=$(echo "$id" | cut -c 1-6)
vlm-inspect show out "$short" --color always --width 40 >colours
tr -cd '\033' <colours | wc -c | awk '{ print $1 > 100 ? "coloured" : "plain" }'
sed 's/\x1b\[[0-9;]*m//g' colours | tr -d '▀' | LC_ALL=C tr -cd '\000-\010\013-\037' | wc -c
vlm-inspect show out "$id" --html page.html
sed 's/base64,[^"]*/base64,BYTES/' page.html | sed '1,/<\/style>/d' | cut_id
vlm-inspect show out "$id" --html - | cmp - page.html && echo "the same on standard output"
vlm-inspect show out "$id" -m "$TESTS/../vqgan/shipped" --html - | cmp - page.html && echo "the same by its folder"
vlm-shard site -o bare -q --keep none
vlm-inspect show bare "$id" --html - | grep -c '<img'
vlm-shard site -o none -q --image-tokenizer none
vlm-inspect show none "$id" --width 60 | grep '^\['
vlm-inspect show none "$id" -m "$TESTS/../vqgan/shipped" 2>&1 | sed "s|'[^']*shipped'|MODEL|" | cut_id
vlm-inspect show out 0000000
echo "exit $?"
vlm-inspect show out xyz
echo "exit $?"
