# What is wrong with ids, model or options, in one sentence each.
model=$TESTS/vectors/folder_gpt2
try() {
    vlm-train dump "$@"
    echo "exit status $?"
}
lines() {
    printf '%b' "$1" >ids
    try "$model" --ids ids -o out
}
lines '1 2\n3 19\n'
lines '1 2\n\n'
lines '1 2\n3 x4\n'
lines '1 2\n3 -4\n'
lines '99999999999999999999999999999999999999\n'
lines '1 2 3 4 5 6 7 8 9 10 11 12\n'
lines ''
printf '1\n2\n' >ids
try "$model" --ids ids --grads -o out
try "$model" --ids absent -o out
try absent --ids ids -o out
try "$model" --ids ids
try --ids ids -o out
try "$model" --ids ids -o out --gards
try "$model" --ids ids -o ./ids
mkdir bert
echo '{"architectures": ["BertForMaskedLM"], "model_type": "bert"}' >bert/config.json
try bert --ids ids -o out
ls
