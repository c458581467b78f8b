# Fewer pairs than wanted: said, and fine.
echo 'abab abab' >words.txt
vlm-tokenize train words.txt --vocab-size 8192 -o x.json
tail -n 7 x.json
