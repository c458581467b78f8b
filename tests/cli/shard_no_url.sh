# Pages of records without a URL are not duplicates of each other.
for i in 1 2; do
    printf 'WARC/1.0\r\nWARC-Type: response\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n'
    printf 'Content-Type: application/http; msgtype=response\r\nContent-Length: 64\r\n\r\n'
    printf 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>page %d of two</p>\r\n\r\n' $i
done >crawl.warc
vlm-shard crawl.warc -o out -q
echo "exit $?"
vlm-inspect cat out | sed 's/.*"text": \("[^"]*"\).*/\1/'
