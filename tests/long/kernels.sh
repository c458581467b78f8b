#!/bin/sh
# The tests of the numeric core once for each kind of kernels that this CPU can run, with VLM_CPU as a
# user would mask them: with "plain", OpenBLAS is the default for products.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

for kind in plain avx2 avx512 avx512-vnni avx512-bf16; do
    if ! VLM_CPU=$kind vlm-bench step --shape 1x64 --vocab 61 --tokens 32 --seq 16 --repeat 1 -j1 --json >result 2>why; then
        if grep -q 'VLM_CPU=' why; then
            echo "skipped kernels $kind: this CPU cannot run them"
        else
            cat why >&2
            not_ok "kernels $kind" 'the smallest training step fails'
        fi
        continue
    fi
    for program in tape gemm attention positions activation norm rows contrastive vocabulary_loss \
        optimizer conv image_ops model blocks; do
        if (cd "$TESTS/.." && VLM_CPU=$kind exec "$BUILD/tests/test_$program") >out 2>&1; then
            ok "kernels $kind: $program"
        else
            cat out >&2
            not_ok "kernels $kind: $program" 'the unit test fails'
        fi
    done
done
