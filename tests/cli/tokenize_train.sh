# The same vocabulary from a file, from a folder, from standard input and by any threads; it encodes and decodes.
for i in 1 2 3 4 5 6 7 8 9; do
    echo "low lower lowest newer newest widest $i aaaaaaaa don't déjà"
done >words.txt
mkdir folder
head -n 4 words.txt >folder/b.txt
tail -n 5 words.txt >folder/a.txt
vlm-tokenize train words.txt --vocab-size 300 -o one.json -j 1 --json -q | sed 's/, "seconds": [^}]*//'
vlm-tokenize train folder --vocab-size 300 -o two.json -j 2
vlm-tokenize train - --vocab-size 300 -o three.json -q <words.txt
cmp one.json two.json && cmp one.json three.json && echo same
sed -n '/"merges"/,$p' one.json
echo "the slowest newest déjà aaaaa" | vlm-tokenize encode -t one.json
echo "the slowest newest déjà aaaaa" | vlm-tokenize encode -t one.json | vlm-tokenize decode -t one.json
