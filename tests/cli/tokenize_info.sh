# What a tokenizer is.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
vlm-tokenize info tokenizer.json
vlm-tokenize info -t tokenizer.json --json
echo '{"model": {"type": "BPE"}}' >bad.json
vlm-tokenize info bad.json -q
echo "exit $?"
