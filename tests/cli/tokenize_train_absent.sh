vlm-tokenize train absent.txt --vocab-size 280 -o x.json
