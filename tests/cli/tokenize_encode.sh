# Lines into ids and back, byte for byte, whatever the bytes and the number of threads.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
printf 'the hour\n\nand an inch\r\n\303\251\377\0x\n<s> the' >lines
vlm-tokenize encode -t tokenizer.json lines
vlm-tokenize encode -t tokenizer.json lines >ids
vlm-tokenize encode -t . <lines | cmp - ids && echo "the same from standard input, by its folder"
vlm-tokenize encode -t tokenizer.json - <lines | cmp - ids && echo "the same from -"
{ cat lines && echo; } >ended
vlm-tokenize decode -t tokenizer.json ids | cmp - ended && echo "the same bytes"
vlm-tokenize encode -t tokenizer.json --special ended | tail -n 1
vlm-tokenize encode -t tokenizer.json --special ended | vlm-tokenize decode -t tokenizer.json | tail -n 1
vlm-tokenize encode -t tokenizer.json --special ended | vlm-tokenize decode -t tokenizer.json --special | cmp - ended && echo "the same with special tokens"
printf '' | vlm-tokenize encode -t tokenizer.json | wc -c
# Several rounds of several chunks; a line that is longer than a chunk.
awk 'BEGIN { for (i = 0; i < 60000; i++) { n = n * 69069 % 4294967296 + 1; printf "the %d hours and %d\n", n, i }
             for (i = 0; i < 200000; i++) printf "and%d", i
             printf "\n\nthe end\n" }' >many
vlm-tokenize encode -t tokenizer.json -j 1 many >one
vlm-tokenize encode -t tokenizer.json -j 3 many | cmp - one && echo "the same with 3 threads"
vlm-tokenize encode -t tokenizer.json -j 2 <many | cmp - one && echo "the same with 2"
vlm-tokenize decode -t tokenizer.json -j 3 one | cmp - many && echo "the same bytes"
vlm-tokenize encode -t tokenizer.json many 2>&1 | head -n 1 | wc -l
