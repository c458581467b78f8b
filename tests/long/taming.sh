#!/bin/sh
# Tokenizers of the taming family at their full size, with random weights as their authors store them:
# latents, codes and pixels at every precision beside PyTorch's. PYTHON names the interpreter, SEEDS
# the weights.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

python=${PYTHON:-python3}
if ! "$python" -c 'import numpy, torch' 2>/dev/null; then
    echo 'skipped taming: the Python modules torch and numpy are not installed'
    exit 0
fi
for seed in ${SEEDS:-1 2}; do
    for variant in taming llamagen maskgit chameleon; do
        "$python" "$TESTS/reference/taming_parity.py" --full "$variant" --seed "$seed" -o full >made 2>message || {
            not_ok "$variant of seed $seed" "$(tail -n 1 message)"
            continue
        }
        "$BUILD/tests/test_taming" full/reference.safetensors full/weights >found 2>message
        verdict $? "$variant of seed $seed" "$(cat found message | tr '\n' ' ')"
        cat made found >&2
        rm -rf full
    done
done
