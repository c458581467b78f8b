# The keys, in their order and each once; their values are tested elsewhere.
vlm-make-crawl -n 20 --seed 3 -q -o crawl
vlm-shard crawl -o out -q >/dev/null 2>&1
# shellcheck disable=SC2020  # one newline for each
vlm-inspect summary out --json | tr '{,[' '\n\n\n' | sed -n 's/^ *\("[a-z_0-9]*"\):.*/\1/p' | awk '!seen[$0]++'
