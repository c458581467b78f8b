# Lines of JSON: offsets in bytes, whatever is in the text; what is wrong with a line costs that line.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
cat >lines <<'END'
{"text": "the hour"}
{"id": [1, {"text": "no"}], "text": "\u00e9\u0000\ud83d\ude00 and\n"}
{"text":""}
{"text": 7}
{"txt": "the"}
{"text": "the", "text": "hour"}
{"text": "\ud800"}
text

["text"]
{"text": "the"} and
END
printf '{"text": "\377"}\n{"text": "<s>"}' >>lines
vlm-tokenize encode -t tokenizer.json --jsonl lines
echo "exit $?"
vlm-tokenize encode -t tokenizer.json --jsonl lines >ids 2>/dev/null
vlm-tokenize encode -t tokenizer.json --jsonl -j 3 --special lines 2>/dev/null | tail -n 1
vlm-tokenize decode -t tokenizer.json --jsonl ids 2>/dev/null
echo "exit $?"
# Ids that are none. A piece of a character is one U+FFFD in JSON, whatever its bytes.
cat >ids <<'END'
{"ids": [1, 288], "offsets": []}
{"ids": [-1]}
{"ids": [1.0]}
{"ids": {}}
{"ids": [278], "ids": [278]}
{"offsets": []}
{"error": "no member 'text'"}
{"ids": [149]}
{"ids": [180, 246, 86]}
{"ids": [278, 280]}
END
vlm-tokenize decode -t tokenizer.json --jsonl ids
echo "exit $?"
