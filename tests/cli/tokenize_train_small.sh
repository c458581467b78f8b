vlm-tokenize train words.txt --vocab-size 277 -o x.json
