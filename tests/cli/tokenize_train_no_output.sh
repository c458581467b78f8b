vlm-tokenize train words.txt --vocab-size 280
