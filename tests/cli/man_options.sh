# The options of every program and verb, with their letters and values, as --help and the manual
# page have them.
root=$TESTS/..
compare() { # PAGE HEADING PROGRAM [VERB]
    page=$root/$1 heading=$2
    shift 2
    "$@" --help | awk '/^  (-[a-zA-Z], |    )--/ { sub(/^ */, ""); sub(/  .*/, ""); print }' | sort >help
    awk -v heading="$heading" '
        /^\.S[sh] / { inside = $0 == ".Ss " heading }
        inside && /^\.It Fl / {
            sub(/^\.It /, "")
            gsub(/ , /, ", ")
            gsub(/Fl -/, "--")
            gsub(/Fl /, "-")
            sub(/ Ar /, " ")
            print
        }' "$page" | sort >manual
    if [ ! -s help ]; then
        echo "$*: no options in --help"
    elif diff help manual; then
        echo "$*: equal"
    fi
}
compare shard/vlm-shard.1 build vlm-shard
compare shard/vlm-shard.1 build vlm-shard build
compare shard/vlm-shard.1 verify vlm-shard verify
for verb in $(vlm-inspect --help | awk '/^  [a-z]+  / { print $1 }'); do
    compare tools/vlm-inspect.1 "$verb" vlm-inspect "$verb"
done
compare tools/vlm-export.1 jsonl vlm-export
compare tools/vlm-make-crawl.1 make vlm-make-crawl
compare tools/vlm-generate.1 generate vlm-generate
compare tools/vlm-plot.1 plot vlm-plot
for verb in $(vlm-vqgan --help | awk '/^  [a-z]+  / { print $1 }'); do
    compare vqgan/vlm-vqgan.1 "$verb" vlm-vqgan "$verb"
done
for verb in $(vlm-tokenize --help | awk '/^  [a-z]+  / { print $1 }'); do
    compare tokenize/vlm-tokenize.1 "$verb" vlm-tokenize "$verb"
done
compare serve/vlm-serve.1 serve vlm-serve
compare trainer/vlm-train.1 run vlm-train
for verb in run eval dump; do
    compare trainer/vlm-train.1 "$verb" vlm-train "$verb"
done
