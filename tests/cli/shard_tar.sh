# An archive of pages and pictures; what a worker calls for it must be allowed in its confinement, and
# the time zone must not matter.
mkdir site
echo '<title>One</title><p>The first page <img src="dot.gif" alt="a dot">' >site/one.html
echo '<title>Two</title><p>The second page' >site/two.html
printf 'GIF89a\001\000\001\000\200\000\000\377\000\000\000\000\000,\000\000\000\000\001\000\001\000\000\002\002D\001\000;' >site/dot.gif
tar --sort=name --mtime=@86400 --owner=0 --group=0 --numeric-owner -cf site.tar site
gzip -n -k site.tar
for archive in site.tar site.tar.gz; do
    # shellcheck disable=SC2020  # one newline for each
    vlm-shard $archive -o out -q --json --image-tokenizer none | tr '{,' '\n\n' | sed -n 's/^ *"\(kept\|worker_crashes\|joined\)"/\1/p'
    TZ=Asia/Tokyo vlm-shard $archive -o tokyo -q --image-tokenizer none 2>/dev/null
    cmp out/part-00000.lmdb tokyo/part-00000.lmdb && echo "the same in Tokyo"
    vlm-inspect cat out
    rm -r out tokyo
done
