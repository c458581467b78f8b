# Options that are missing or wrong.
mkdir gpt
echo '{"model_type": "gpt2"}' >gpt/config.json
for command in "train" "train x" "train x -o m --held-out many" "train x -o m --time-limit soon" \
    "train x -o m --tokenizer jpeg" "train x -o m --codes 70000" "train x -o gpt" "encode" "eval" "info a b" "import w" \
    "import -o m" "import w -o m --format other"; do
    # shellcheck disable=SC2086 # words
    vlm-vqgan $command >out 2>&1
    echo "$?: $(head -n 1 out)"
done
ls
