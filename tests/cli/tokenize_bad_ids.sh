# Lines that are no ids are empty lines, so that the others keep their places.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
printf '278 280\n 278\t280 \r\n\n278 x\n288\n278,280\n-1\n1e3\n99999999999999999999999999\n\033[31m\n278 280' >ids
vlm-tokenize decode -t tokenizer.json ids
echo "exit $?"
