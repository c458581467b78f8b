# Samples for people: holes, spans and their numbers, with and without colours. Nothing of a page reaches
# the terminal as a control character.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
mkdir site
printf '<title>One \033[31mred</title><p>The first \302\233 page of several &lt;s&gt; words <img src="dot.gif" alt="a \033]0;dot"> and after that, more' >site/one.html
printf 'GIF89a\001\000\001\000\200\000\000\377\000\000\000\000\000,\000\000\000\000\001\000\001\000\000\002\002D\001\000;' >site/dot.gif
vlm-shard site -o out -q
cut_codes() {
    sed 's/^[0-9a-f]\{32\}/ID/; s/[0-9]* [0-9]* [0-9]* [0-9]* … 256 codes/CODES … 256 codes/'
}
vlm-tokenize render out -t tokenizer.json --show --width 72 --set data.min=2 --set data.max=2 --seed 3 | cut_codes
vlm-tokenize render out -t tokenizer.json --show --width 72 --recipe m3w --tokens --limit 1 | cut_codes
vlm-tokenize render out -t tokenizer.json --show --width 72 --recipe pair --limit 1 | cut_codes
vlm-tokenize render out -t tokenizer.json --show --color always --set data.min=2 --width 72 >colours
tr -cd '\033' <colours | wc -c | awk '{ print ($1 > 20 ? "coloured" : "plain") }'
sed 's/\x1b\[[0-9;]*m//g' colours | LC_ALL=C tr -cd '\000-\010\013-\037' | wc -c
vlm-tokenize render out -t tokenizer.json --show --color auto --set data.min=2 --width 72 | tr -cd '\033' | wc -c
