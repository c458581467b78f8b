#!/bin/sh
# A full disk: one sentence that names the place, exit status 6; with more room the same bytes.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

mkdir disk
if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=1M none disk 2>/dev/null; then
    echo "skipped full disk: mounting is not allowed"
    exit 0
fi
trap 'umount "$PWD/disk"' EXIT
vlm-make-crawl -n 300 --seed 7 -q -o crawl
vlm-shard crawl -o reference -q 2>/dev/null
expected=$(set_hash reference)
need=$(du -sk reference | cut -f 1)
for part in 2 20 45 60 90 110 130 150 170 190; do
    mount -o remount,size=$((need * part / 100))k disk
    vlm-shard crawl -o disk/out -q >/dev/null 2>message
    status=$?
    if [ $status -eq 0 ]; then
        check_set "room of $part %: enough" disk/out "$expected"
    elif [ $status -ne 6 ] || [ "$(wc -l <message)" -ne 1 ] || ! grep -q 'disk/out' message; then
        not_ok "room of $part %" "exit status $status: $(cat message)"
    elif [ -f disk/out/manifest.json ]; then
        not_ok "room of $part %" "a manifest on a full disk"
    else
        ok "room of $part %: refused"
        mount -o remount,size=$((need * 4))k disk
        vlm-shard crawl -o disk/out -q 2>/dev/null
        check_set "more room than $part %" disk/out "$expected"
    fi
    rm -rf disk/out
done
