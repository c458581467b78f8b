# A model that takes no time, in each type of weights: the members of the result, and the bytes that a token reads, all
# matrices and the head once, one scale a row with int8.
for dtype in fp32 bf16 int8; do
    vlm-bench generate --shape 1x64 --vocab 61 --prompt 9 --new 3 --streams 2 --repeat 1 --dtype $dtype -j2 --json >result
    [ $dtype != fp32 ] || tr ',' '\n' <result | sed -n 's/^[{ ]*"\([a-z_]*\)": .*/\1/p'
    sed -n 's/.*"dtype": "\([a-z0-9]*\)".*"weight_bytes": \([0-9]*\).*/\1 \2/p' result
done
