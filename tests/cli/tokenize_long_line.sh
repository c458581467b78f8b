# A line over the limit costs itself alone; the lines around it keep their places. Blanks are no JSON, so
# that nothing has to be encoded.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
blanks() {
    head -c "$1" /dev/zero | tr '\0' ' '
    echo
}
{
    for n in 67108863 67108864 67108865 140000000; do
        echo '{"text": "the"}'
        blanks $n
    done
    printf '{"text": "and"}'
} | vlm-tokenize encode -t tokenizer.json --jsonl -j 2
