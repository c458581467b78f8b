# Files that hold no such network: one line, status 1, no folder.
echo "text" >text.ckpt
: >empty.ckpt
printf 'GIF89a\2\0\2\0\200\0\0\0\0\0\377\377\377,\0\0\0\0\2\0\2\0\0\2\3\4\0\n\0;' >black.gif
vlm-vqgan train black.gif -o pca --held-out 0 --codes 4 -q
for file in text.ckpt empty.ckpt absent.ckpt pca/model.safetensors; do
    for format in taming llamagen maskgit chameleon; do
        vlm-vqgan import $file --format $format -o model 2>err
        echo "$file, $format: $?, $(wc -l <err) line"
        [ ! -e model ] || echo "a folder"
    done
done
