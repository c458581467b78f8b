# A redirect that was recorded as a revisit (its empty body had been seen before) still leads to its
# picture; a revisit of the picture itself is found by its digest.
record() { # TYPE URI HEADER FILE - one WARC record
    printf 'WARC/1.0\r\nWARC-Type: %s\r\nWARC-Target-URI: %s\r\nWARC-Date: 2024-05-01T10:00:00Z\r\n' "$1" "$2"
    printf '%bContent-Length: %s\r\n\r\n' "$3" "$(wc -c <"$4" | tr -d ' ')"
    cat "$4"
    printf '\r\n\r\n'
}
digest='WARC-Payload-Digest: sha1:'
base64 -d >picture <<'END'
iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAKElEQVR4nGM8ISLCgA2wMDAw+DBs
gfO3MPhAGExYlVNXghGXq3DqAAA4WgPxd24kfQAAAABJRU5ErkJggg==
END
printf '<p>Two words</p><img src=/moved.png><img src=/again.png>' >page
{ printf 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n'; cat page; } >page.http
{ printf 'HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n'; cat picture; } >picture.http
printf 'HTTP/1.1 302 Found\r\nLocation: /picture.png\r\n\r\n' >moved.http
printf 'HTTP/1.1 200 OK\r\n\r\n' >again.http
{
    record response http://a.org/ '' page.http
    record revisit http://a.org/moved.png "${digest}3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ\r\n" moved.http
    record revisit http://a.org/again.png "${digest}$(sha1sum <picture | cut -c1-40)\r\n" again.http
    record response http://a.org/picture.png "${digest}$(sha1sum <picture | cut -c1-40)\r\n" picture.http
} >crawl.warc
vlm-shard crawl.warc -o out -q >/dev/null
vlm-inspect cat out | grep -o '"src": "[^"]*"\|"status": "[^"]*"'
