#!/bin/sh
# bench.sh BIN - speed as ratios against peers, in one run: WARC reading beside FastWARC, HTML to documents
# beside libxml2's SAX parser, and -j2 over -j1 on one file. Uses the crawls of VLM_SHARED_DATA when they
# are there, else a generated one. FastWARC is looked for in the python3 of PATH and in build/peers.
#
# Training steps run in turns with PyTorch's where a python3 of the two has torch and train_step.py is
# in the folder VLM_PEERS (else ../shared/peers). VLM_BENCH_STEPS lists shape:vocabulary pairs; each
# takes some ten minutes. Of the turns of each the fastest counts, of PyTorch's variants the strongest.
# The f16 VQGAN runs in turns with vq_taming.py of that folder in the same way; VLM_BENCH_VQGAN lists jobs.
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

largest() { sort -g | tail -n 1; }

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
