# The tensors of a dump, the same bytes for any number of threads; without --grads the logits alone.
model=$TESTS/vectors/folder_gpt2
printf '1 2 3 4\n5 18\r\n  7\n' >ids
vlm-train dump "$model" --ids ids --grads -o one -j 1
vlm-train dump "$model" --ids ids --grads -o two -j 2
vlm-train dump "$model" --ids ids -o bare
cmp one two
header() { # FILE
    tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1" | tr -d ' ')" | tr '{' '\n' | sed 's/ *"data_offsets".*, "/ "/'
    echo
}
header one
header bare
