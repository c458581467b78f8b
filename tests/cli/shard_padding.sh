# Bytes that belong to no record (empty members, zeros at the end, newlines) are read, not lost: the
# books balance and nothing is called damaged.
vlm-make-crawl -n 4 --seed 3 --no-damage -q -o crawl
set -- crawl/*.warc.gz
gzip -n </dev/null >empty.gz
cat empty.gz empty.gz "$1" empty.gz "$1" >padded.warc.gz
head -c 5000 /dev/zero >>padded.warc.gz
{ printf '\r\n\n\n'; zcat "$1"; printf '\r\n\r\n\r\n'; } >padded.warc
for input in "$1" padded.warc.gz padded.warc; do
    vlm-shard "$input" -o "out-$(basename "$input")" -q --json --max-bad 100% |
        grep -o '"damaged": [0-9]*, "damage": {[^}]*}\|"bytes": {.*"decoded"\|"kept": [0-9]*' |
        awk '/bytes/ { gsub(/[^0-9 ]/, ""); print ($1 == $2 + $3 ? "bytes balance" : $0); next } { print }'
done
