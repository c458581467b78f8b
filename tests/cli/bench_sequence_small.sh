# The members of the result, and that each form gives what it has.
awk -f "$TESTS/cli/tiny_tokenizer.awk" >tokenizer.json
vlm-make-crawl -o crawl -n 12 --no-damage -q
vlm-shard crawl/* -o out -q >/dev/null
for recipe in cm3 htlm text m3w pair; do
    vlm-bench sequence out -t tokenizer.json --recipe $recipe --repeat 1 -j2 --json >result
    sed -n 's/.*"documents": \([0-9]*\), "skipped": \([0-9]*\), "tokens": [1-9][0-9]*, .*/\1 \2/p' result
done
tr ',' '\n' <result | sed -n 's/^[{ ]*"\([a-z_]*\)": .*/\1/p'
