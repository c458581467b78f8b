#!/bin/sh
# read_part.sh [BIN BUILD] - runs the Python lines of docs/READING.md against a fresh shard set and
# compares what they print and write with what the programs say. Without arguments the programs are
# those in PATH and the files go below the current folder. PYTHON names the interpreter.
set -u
export LC_ALL=C

root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
[ $# -eq 0 ] || PATH=$(cd "$1" && pwd):$PATH
build=${2:-.}
mkdir -p "$build" || exit 1
python=${PYTHON:-python3}
scratch=$(mktemp -d "$(cd "$build" && pwd)/read_part.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

not_ok() {
    echo "not ok read_part: $*"
    exit 1
}

if ! "$python" -c 'import lmdb' 2>/dev/null; then
    echo "skipped read_part: the Python module lmdb is not installed"
    exit 0
fi

cd "$scratch" || exit 1
awk '/^```$/ { inside = 0 } inside { print } /^```python$/ { inside = 1 }' \
    "$root/docs/READING.md" >lines.py
cmp -s lines.py "$root/docs/read_part.py" || not_ok "docs/READING.md and docs/read_part.py differ"
lines=$(wc -l <lines.py)
[ "$lines" -le 30 ] || not_ok "$lines lines of Python, at most 30 are promised"

vlm-make-crawl -q -n 20 -o crawl || not_ok "vlm-make-crawl failed"
vlm-shard -q crawl -o out || not_ok "vlm-shard failed"
vlm-inspect cat out >documents.jsonl || not_ok "vlm-inspect cat failed"
mkdir squares && cd squares || exit 1
"$python" ../lines.py ../out/part-00000.lmdb 1000 >../printed 2>../complaint ||
    not_ok "Python: $(tail -n 1 ../complaint)"
cd ..

# Three lines and an empty one for each document: URL, title, text.
sed -n 's/^{"id": "[^"]*", "url": "\([^"]*\)".*/\1/p' documents.jsonl >urls
awk 'NR % 4 == 1' printed >read-urls
[ -s urls ] || not_ok "the set has no documents"
cmp -s urls read-urls || not_ok "the URLs are not those of vlm-inspect cat"
sed -n 's/.*, "title": "\([^"]*\)", "lang".*/\1/p' documents.jsonl >titles
awk 'NR % 4 == 2' printed >read-titles
cmp -s titles read-titles || not_ok "the titles are not those of vlm-inspect cat"
awk 'NR % 4 == 3 && $0 == ""' printed | grep -q . && not_ok "a document has no text"

# The first usable image of each document.
awk 'match($0, /"status": "ok"[^}]*"sha256": "[0-9a-f]*"/) {
    print substr($0, RSTART + RLENGTH - 65, 64)
}' documents.jsonl | sort -u >images
[ -s images ] || not_ok "the set has no images"
for file in squares/*.jpg; do
    [ "$(od -An -tx1 -N3 "$file")" = " ff d8 ff" ] || not_ok "$file is no JPEG file"
    basename "$file" .jpg
done >read-images
cmp -s images read-images || not_ok "the squares are not those of the first usable images"

# Their codes, by their hashes.
awk 'match($0, /"status": "ok"[^}]*"sha256": "[0-9a-f]*", "codes": {"[^"]*": \[[0-9, ]*/) {
    story = substr($0, RSTART, RLENGTH)
    sha = substr(story, index(story, "\"sha256\": \"") + 11, 64)
    sub(/.*\[/, "", story)
    gsub(/,/, "", story)
    print sha, story
}' documents.jsonl | sort -u >codes
[ -s codes ] || not_ok "the set has no codes"
for file in squares/*.codes; do
    echo "$(basename "$file" .codes) $(cat "$file")"
done >read-codes
cmp -s codes read-codes || not_ok "the codes are not those of vlm-inspect cat"
echo "ok read_part"
