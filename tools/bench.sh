#!/bin/sh
# bench.sh BIN - speed as ratios against peers, in one run: WARC reading beside FastWARC, HTML to documents
# beside libxml2's SAX parser, and -j2 over -j1 on one file. Uses the crawls of VLM_SHARED_DATA when they
# are there, else a generated one. FastWARC is looked for in the python3 of PATH and in build/peers.
#
# Training steps run in turns with PyTorch's where a python3 of the two has torch and train_step.py is
# in the folder VLM_PEERS (else ../shared/peers). VLM_BENCH_STEPS lists shape:vocabulary pairs; each
# takes some ten minutes. Of the turns of each the fastest counts, of PyTorch's variants the strongest.
# The f16 VQGAN runs in turns with vq_taming.py of that folder in the same way; VLM_BENCH_VQGAN lists jobs.
# Prompts and decoding run in turns with llama.cpp through llamacpp.py of that folder, where a python3 has llama_cpp and
# gguf: one stream, sixteen, and a prompt; VLM_BENCH_GENERATE lists shape:vocabulary pairs of that script.
# Text becomes ids beside tiktoken, and vocabularies are learnt beside the package tokenizers, where a python3 has both.
set -eu
bin=$(cd "$1" && pwd)
data=${VLM_SHARED_DATA:-../shared/data}
work=build/bench
mkdir -p "$work"
crawl=$data/warc/photo-crawl/photos-0.warc.gz
web=$data/warc/warc-pages-a/IAH-20080430204825-00000-blackbook.warc.gz
if [ ! -f "$crawl" ]; then
    crawl=$work/crawl/crawl-00000.warc.gz
    [ -f "$crawl" ] || "$bin/vlm-make-crawl" -o "$work/crawl" -n 3000 --pages-per-file 3000 --seed 1 -q
    web=$crawl
fi
python=
for candidate in build/peers/bin/python3 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import fastwarc' 2>/dev/null; then
        python=$candidate
        break
    fi
done

# value KEY: a number out of a JSON line.
value() { sed -n 's/.*"'"$1"'": *\([0-9.eE+-]*\).*/\1/p'; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else print "-" }'; }

largest() { sort -g | tail -n 1; }

# median of the numbers on stdin
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

fastwarc() {
    "$python" - "$1" <<'PYTHON'
import sys, time, os
from fastwarc.warc import ArchiveIterator
path, best = sys.argv[1], None
passes, begin = 0, time.perf_counter()
while passes < 3 or time.perf_counter() - begin < 2:
    t = time.perf_counter()
    n = 0
    for record in ArchiveIterator(path, parse_http=True):
        record.reader.read()
        n += 1
    t = time.perf_counter() - t
    best = t if best is None or t < best else best
    passes += 1
print('{"records_per_second": %.0f, "mb_per_second_stored": %.1f}' % (n / best, os.path.getsize(path) / best / 1e6))
PYTHON
}

printf '%-34s %12s %12s %8s\n' '' vlm peer ratio
for file in "$crawl" "$web"; do
    name=$(basename "$file" | cut -c1-18)
    ours=$("$bin/vlm-bench" warc "$file")
    [ -n "$python" ] && theirs=$(fastwarc "$file") || theirs=
    for key in records_per_second mb_per_second_stored; do
        a=$(printf '%s' "$ours" | value $key)
        b=$(printf '%s' "$theirs" | value $key)
        printf '%-34s %12s %12s %8s\n' "warc $name $(echo $key | cut -d_ -f1)/s" "$a" "${b:--}" "$(ratio "$a" "${b:-0}")"
    done
    [ "$crawl" = "$web" ] && break
done
[ -n "$python" ] || echo "  (FastWARC is not installed: pip install fastwarc==2.0.1 into build/peers)"

set -- "$web"
mkdir -p "$work/html"
for page in "$data"/html/article-extraction-a/html/*.html.gz; do
    [ -f "$page" ] && gzip -dc "$page" >"$work/html/$(basename "$page" .gz)"
done
for page in "$data"/html/readability-a/*/source.html "$work"/html/*.html; do
    [ -f "$page" ] && set -- "$@" "$page"
done
"$bin/vlm-bench" pages "$@" >"$work/pages.bin"
html=$("$bin/vlm-bench" html "$work/pages.bin" 5)
a=$(printf '%s' "$html" | value vlm_mb_per_second)
b=$(printf '%s' "$html" | value libxml2_sax_mb_per_second)
printf '%-34s %12s %12s %8s\n' 'html to document MB/s (libxml2 SAX)' "$a" "$b" "$(ratio "$a" "$b")"

# One file, one and two workers, in turns.
build() {
    rm -rf "$work/out"
    "$bin/vlm-shard" "$crawl" -o "$work/out" -j "$1" -q --json | value seconds
}
: >"$work/one"
: >"$work/two"
for _ in 1 2 3; do
    build 1 >>"$work/one"
    build 2 >>"$work/two"
done
a=$(median <"$work/one")
b=$(median <"$work/two")
printf '%-34s %12s %12s %8s\n' 'shard one file, s at -j2 and -j1' "$b" "$a" "$(ratio "$a" "$b")"
rm -rf "$work/out"

# Text to ids with GPT-2's vocabulary beside tiktoken, one thread: a book, and pages in many languages. Vocabularies of
# 32,768 beside the package tokenizers. Then documents of a set to masked samples.
text_python=
for candidate in build/peers/bin/python3 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import tiktoken, tokenizers' 2>/dev/null; then
        text_python=$(command -v "$candidate")
        break
    fi
done

tiktoken() { # FILE
    "$text_python" - "$data/tokenizers/tokenizer-gpt2" "$1" <<'PYTHON'
import sys, time, tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
from tiktoken_ext.openai_public import r50k_pat_str
folder, path = sys.argv[1:]
ranks = data_gym_to_mergeable_bpe_ranks(folder + "/vocab.bpe", folder + "/encoder.json")
encoding = tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, special_tokens={}, mergeable_ranks=ranks)
text, best = open(path, encoding="utf-8").read(), None
for _ in range(5):
    t = time.perf_counter()
    n = len(encoding.encode_ordinary(text))
    t = time.perf_counter() - t
    best = t if best is None or t < best else best
print('{"tokens": %d, "mb_per_second": %.3f}' % (n, len(text.encode()) / best / 1e6))
PYTHON
}

tokenizers() { # THREADS FILE: seconds
    RAYON_NUM_THREADS=$1 TOKENIZERS_PARALLELISM=true "$text_python" - "$2" <<'PYTHON'
import sys, time
from tokenizers import ByteLevelBPETokenizer
lines = open(sys.argv[1], encoding="utf-8").read().splitlines(keepends=True)
tokenizer, t = ByteLevelBPETokenizer(), time.perf_counter()
tokenizer.train_from_iterator(lines, vocab_size=32768, min_frequency=2, show_progress=False)
print('{"seconds": %.3f}' % (time.perf_counter() - t))
PYTHON
}

book=$data/tokenizers/tokenizer-texts/war-and-peace.txt
if [ -f "$book" ]; then
    rm -rf "$work/texts" "$work/mixed.txt"
    "$bin/vlm-shard" "$data/html" "$data/warc/warc-pages-a" -o "$work/texts" --image-tokenizer none -q
    if [ -n "$text_python" ]; then
        "$bin/vlm-inspect" cat "$work/texts" --render text |
            "$text_python" -c 'import json, sys; [print(json.loads(line)["text"]) for line in sys.stdin]' >"$work/mixed.txt"
    fi
    for file in "$book" "$work/mixed.txt"; do
        [ -f "$file" ] || continue
        rm -f "$work"/ours "$work"/theirs
        for _ in 1 2; do
            "$bin/vlm-bench" tokenize -t "$data/tokenizers/tokenizer-gpt2" "$file" --json >>"$work/ours"
            [ -z "$text_python" ] || tiktoken "$file" >>"$work/theirs"
        done
        touch "$work/theirs"
        a=$(value mb_per_second <"$work/ours" | largest)
        b=$(value mb_per_second <"$work/theirs" | largest)
        printf '%-34s %12s %12s %8s\n' "$(basename "$file") to ids, MB/s" "$a" "${b:--}" "$(ratio "$a" "${b:-0}")"
    done
    cat "$book" "$work"/mixed.txt >"$work/learn.txt" 2>/dev/null || cp "$book" "$work/learn.txt"
    for threads in 1 2; do
        a=$("$bin/vlm-tokenize" train "$work/learn.txt" --vocab-size 32768 -j "$threads" -o "$work/tokenizer.json" -q --json | value seconds)
        b=
        [ -z "$text_python" ] || b=$(tokenizers "$threads" "$work/learn.txt" | value seconds)
        printf '%-34s %12s %12s %8s\n' "32768 pieces learnt, -j$threads, s" "$a" "${b:--}" "$(ratio "${b:-0}" "$a")"
    done
    [ -n "$text_python" ] || echo "  (pip install tiktoken tokenizers into build/peers)"
fi
rm -rf "$work/out"
"$bin/vlm-shard" "$crawl" -o "$work/out" -q
a=$("$bin/vlm-bench" sequence "$work/out" -j 1 --json | value value)
printf '%-34s %12s %12s %8s\n' "masked samples, tokens/s" "$a" - -
rm -rf "$work/out" "$work/texts"

# Training steps, fp32 and bf16, on one thread and on two.
peers=${VLM_PEERS:-../shared/peers}
torch=
if [ -f "$peers/train_step.py" ]; then
    for candidate in build/peers/bin/python3 python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import torch' 2>/dev/null; then
            torch=$(command -v "$candidate")
            break
        fi
    done
fi

# Runs train_step.py with the given options; adds its peak memory to what it prints.
train_step() {
    "$torch" - "$peers/train_step.py" "$@" <<'PYTHON'
import resource, subprocess, sys
done = subprocess.run([sys.executable] + sys.argv[1:], check=True, capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(done.stdout.strip()[:-1] + ', "memory_peak": %d}' % peak)
PYTHON
}

# step SHAPE VOCABULARY DTYPE THREADS
step() {
    rm -f "$work"/ours "$work"/theirs
    for _ in 1 2; do
        "$bin/vlm-bench" step --shape "$1" --vocab "$2" --dtype "$3" -j "$4" --repeat 3 --json >>"$work/ours"
        [ -n "$torch" ] || continue
        for variant in '--micro 1' '--micro 2 --compile'; do
            # shellcheck disable=SC2086  # the variant is words
            train_step --shape "$1" --vocab "$2" --dtype "$3" --threads "$4" --repeat 3 $variant >>"$work/theirs"
        done
    done
    touch "$work/theirs"
    name="step $1/$2 $3 -j$4"
    a=$(value value <"$work/ours" | largest)
    b=$(value value <"$work/theirs" | largest)
    printf '%-34s %12s %12s %8s\n' "$name tokens/s" "$a" "${b:--}" "$(ratio "$a" "${b:-0}")"
    a=$(value memory_peak <"$work/ours" | sort -g | head -n 1)
    b=$(value memory_peak <"$work/theirs" | sort -g | head -n 1)
    printf '%-34s %12s %12s %8s\n' "$name bytes" "$a" "${b:--}" "$(ratio "$a" "${b:-0}")"
    b=$(value sgemm_gflops <"$work/ours" | largest)
    a=$(value gflops <"$work/ours" | largest)
    printf '%-34s %12s %12s %8s\n' "$name GFLOP/s (OpenBLAS)" "$a" "$b" "$(ratio "$a" "$b")"
}

for pair in ${VLM_BENCH_STEPS-6x512:8192}; do
    for threads in 1 2; do
        step "${pair%:*}" "${pair#*:}" fp32 "$threads"
        step "${pair%:*}" "${pair#*:}" bf16 "$threads"
    done
done

# Decoding and prompts, fp32, bf16 and int8 beside llama.cpp's q8_0.
llama=
if [ -f "$peers/llamacpp.py" ] && [ -d "$data/tokenizers/tokenizer-gpt2" ]; then
    for candidate in build/peers/bin/python3 python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import llama_cpp, gguf' 2>/dev/null; then
            llama=$(command -v "$candidate")
            break
        fi
    done
fi

# llamacpp SHAPE DTYPE THREADS ...: a run that fails (q8_0 does on some machines) is a peer that is not there.
llamacpp() {
    shape=$1 dtype=$2 threads=$3
    shift 3
    [ -z "$llama" ] || "$llama" "$peers/llamacpp.py" "$data/tokenizers/tokenizer-gpt2" --shape "$shape" --dtype "$dtype" \
        --threads "$threads" --repeat 3 "$@" 2>/dev/null || true
}

# generate SHAPE VOCABULARY DTYPE THREADS
generate() {
    peer=$3
    [ "$3" != int8 ] || peer=q8_0
    rm -f "$work"/ours "$work"/one "$work"/many "$work"/prefill
    for _ in 1 2; do
        "$bin/vlm-bench" generate --shape "$1" --vocab "$2" --dtype "$3" -j "$4" --repeat 3 --json >>"$work/ours"
        llamacpp "$1" "$peer" "$4" >>"$work/one"
        llamacpp "$1" "$peer" "$4" --streams 16 >>"$work/many"
        llamacpp "$1" "$peer" "$4" --job prefill >>"$work/prefill"
    done
    for key in one many prefill; do
        a=$(value "$key" <"$work/ours" | largest)
        b=$(value value <"$work/$key" | largest)
        case $key in
        one) name='1 stream' ;;
        many) name='16 streams' ;;
        *) name=$key ;;
        esac
        printf '%-34s %12s %12s %8s\n' "$1 $3 -j$4 $name tokens/s" "$a" "${b:--}" "$(ratio "$a" "${b:-0}")"
    done
    a=$(value weights_gbytes <"$work/ours" | largest)
    b=$(value read_gbytes <"$work/ours" | largest)
    printf '%-34s %12s %12s %8s\n' "$1 $3 -j$4 weights GB/s (memory)" "$a" "$b" "$(ratio "$a" "$b")"
}

for pair in ${VLM_BENCH_GENERATE-6x512:8192 12x768:50257}; do
    for dtype in fp32 bf16 int8; do
        generate "${pair%:*}" "${pair#*:}" "$dtype" 2
    done
done
[ -n "$llama" ] || echo "  (llama.cpp or llamacpp.py is not there: pip install llama-cpp-python gguf into build/peers, set VLM_PEERS)"

# vqgan JOB PRECISION DTYPE THREADS: PyTorch's batch is as many images as there are threads, or 1.
vqgan() {
    rm -f "$work"/ours "$work"/theirs
    for _ in 1 2; do
        "$bin/vlm-bench" vqgan --job "$1" --precision "$2" -j "$4" --repeat 4 --json >>"$work/ours"
        if [ -z "$torch" ] || [ ! -f "$peers/vq_taming.py" ]; then
            continue
        fi
        for batch in 1 "$4"; do
            "$torch" "$peers/vq_taming.py" --job "$1" --dtype "$3" --threads "$4" --batch "$batch" --repeat 4 >>"$work/theirs"
            [ "$4" -gt 1 ] || break
        done
    done
    touch "$work/theirs"
    a=$(value value <"$work/ours" | largest)
    b=$(value value <"$work/theirs" | largest)
    printf '%-34s %12s %12s %8s\n' "vqgan $1 $2 -j$4 images/s" "$a" "${b:--}" "$(ratio "$a" "${b:-0}")"
    a=$(value gflops <"$work/ours" | largest)
    b=$(value peak_gflops <"$work/ours" | largest)
    printf '%-34s %12s %12s %8s\n' "vqgan $1 $2 -j$4 GFLOP/s (peak)" "$a" "$b" "$(ratio "$a" "$b")"
}

for job in ${VLM_BENCH_VQGAN-encode decode}; do
    for threads in 1 2; do
        vqgan "$job" exact fp32 "$threads"
        vqgan "$job" fast fp32 "$threads"
        vqgan "$job" bf16 bf16 "$threads"
    done
done
[ -n "$torch" ] || echo "  (PyTorch or train_step.py is not there: pip install torch into build/peers, set VLM_PEERS)"
