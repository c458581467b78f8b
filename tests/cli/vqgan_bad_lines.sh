# Lines that cannot be decoded cost themselves alone; the file's number is that of the line.
printf 'GIF89a\2\0\2\0\200\0\0\0\0\0\377\377\377,\0\0\0\0\2\0\2\0\0\2\3\4\0\n\0;' >black.gif
vlm-vqgan train black.gif -o model --held-out 0 --codes 8 -q
id=$(vlm-vqgan info model --json | sed 's/.*"tokenizer": "\([^"]*\)".*/\1/;q')
vlm-vqgan encode -m model black.gif >line
vlm-vqgan encode -m model --precision bf16 black.gif >line16
codes=$(sed 's/.*\[//; s/\].*//' line)
{
    cat line
    echo "{\"codes\": [$codes]}"
    echo
    echo "{\"codes\": [$codes, 1]}"
    echo '{"codes": [1, 2, 3]}'
    echo "{\"codes\": [8${codes#?}]}"
    echo "{\"codes\": [-1${codes#?}]}"
    echo "{\"codes\": [1.0${codes#?}]}"
    echo "{\"codes\": [null${codes#?}]}"
    echo '{"codes": 7}'
    echo '[]'
    echo 'codes'
    echo '{"file": "x.jpg", "sha256": null, "tokenizer": null, "codes": null, "error": "corrupt"}'
    sed 's/"tokenizer": "[^"]*"/"tokenizer": "pca-000000000000"/' line
    cat line16
    printf '{"codes": [%s]}' "$codes"
} >lines
vlm-vqgan decode lines -m model -o back 2>&1 | sed "s/$id/ID/"
vlm-vqgan decode lines -m model -o back -q 2>/dev/null
echo $?
ls back
cmp back/000000.png back/000001.png && cmp back/000000.png back/000014.png && echo equal
# No such file, no such model, wrong usage.
vlm-vqgan decode -m model absent.jsonl -o back
echo $?
vlm-vqgan decode -m absent lines -o back
echo $?
vlm-vqgan decode lines
echo $?
vlm-vqgan decode lines more -o back
echo $?
