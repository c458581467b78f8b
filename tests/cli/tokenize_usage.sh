# The program, its verbs, and what is wrong usage.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
vlm-tokenize --help
vlm-tokenize --version | sed 's/ .*//'
vlm-tokenize >out 2>&1
echo "$?, $(wc -l <out) lines"
try() {
    echo "> $*"
    vlm-tokenize "$@" </dev/null 2>&1
    echo "exit $?"
}
try encodes
try encode --tokeniser tokenizer.json
try encode -t absent.json
try encode -t tokenizer.json absent.txt
try encode -t tokenizer.json .
try encode -t tokenizer.json a b
try decode -t tokenizer.json a b
try decode -t tokenizer.json -j x
try count -t tokenizer.json
try count -t tokenizer.json absent.txt
try count -t tokenizer.json .
try render -t tokenizer.json
try render -t tokenizer.json .
try render out --recipe cm4
try render out --id 12x4
try render out --set data
try render out --set date.lambda=1
try render out --set data.lambd=1
try render out --color sometimes
try train lines
try info a b
try info tokenizer.json -q
