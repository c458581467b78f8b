# What cannot be used costs itself alone and is said; a line stands for every file.
printf 'GIF89a\2\0\2\0\200\0\0\0\0\0\377\377\377,\0\0\0\0\2\0\2\0\0\2\3\4\0\n\0;' >black.gif
head -c 30 black.gif >cut.gif
echo '<html><body>no image</body></html>' >page.jpg
: >empty.png
mkdir photos
cp black.gif photos/a.gif
echo "words" >photos/notes.txt
vlm-vqgan encode black.gif cut.gif page.jpg empty.png absent.png photos |
    sed 's/"tokenizer": "[^"]*"/"tokenizer": ID/; s/\[[0-9, ]*\]/[...]/'
vlm-vqgan encode black.gif cut.gif >/dev/null
echo "encode: $?"
vlm-vqgan eval black.gif cut.gif -q >/dev/null
echo "eval: $?"
vlm-vqgan eval cut.gif
echo "eval of nothing: $?"
vlm-vqgan train cut.gif black.gif -o model
echo "train: $?"
vlm-vqgan train photos/a.gif cut.gif -o model --max-bad 50% --held-out 0 --codes 8 -q
echo "train: $?"
vlm-vqgan train absent -o absentmodel
echo "train: $?"
mkdir nothing
vlm-vqgan train nothing -o absentmodel
echo "train: $?"
ls
