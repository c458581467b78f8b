#!/usr/bin/env python3
"""compare_pages.py EXPECTED.jsonl FILE CAT.jsonl: compares documents with what independent programs
found in the same crawl file. One line for each difference that the table below does not explain;
exits 1 when there is any. A document is compared with the expected page of its URL (of several
captures, the one that agrees best)."""
import json
import sys

EMPTY_SOURCE = "http://0615235.com/02mjqjo%7Bibotij2.btq?odmbtt=106&tdmbtt=121"
NO_FETCH = 'src="" is no URL to fetch by the HTML standard; the other program resolved it to the page'
DOT = "byte pair a1 a4 is U+00B7 in the GBK of the Encoding standard and U+30FB in Python's gb2312"
TOKEMON = "http://tokemon.sb.statsbiblioteket.dk/"
ARC_WITH_SPACES = ("http://example.com/index.cfm?FuseAction=Email&EmailTitle=Examples From The Live Web"
                   "&IsPopUp=False")
# (file, page, image number or None for the page itself, field) -> why we differ.
EXPLAINED = {
    ("ipwb-sample-1.warc.gz", "http://bitchmagazine.org/tag/queer-artists", 2, "alt"):
        "the tag has two alt attributes; the HTML standard takes the first",
    ("webarchive-discovery/transfer_compression_brotli.warc", TOKEMON, None, "title"):
        "the body is brotli, which the other programs did not decode",
    ("webarchive-discovery/transfer_compression_brotli.warc.gz", TOKEMON, None, "title"):
        "the body is brotli, which the other programs did not decode",
    ("resiliparse/warcfile.warc", EMPTY_SOURCE, 0, "url"): NO_FETCH,
    ("resiliparse/warcfile.warc", EMPTY_SOURCE, 0, "in_file"): NO_FETCH,
    ("resiliparse/warcfile.warc", EMPTY_SOURCE, 3, "url"): NO_FETCH,
    ("resiliparse/warcfile.warc", EMPTY_SOURCE, 3, "in_file"): NO_FETCH,
    ("resiliparse/warcfile.warc", "http://0760.jxtdw.com/area/sanxiang/", 35, "alt"): DOT,
    ("resiliparse/warcfile.warc.gz", EMPTY_SOURCE, 0, "url"): NO_FETCH,
    ("resiliparse/warcfile.warc.gz", EMPTY_SOURCE, 0, "in_file"): NO_FETCH,
    ("resiliparse/warcfile.warc.gz", EMPTY_SOURCE, 3, "url"): NO_FETCH,
    ("resiliparse/warcfile.warc.gz", EMPTY_SOURCE, 3, "in_file"): NO_FETCH,
    ("resiliparse/warcfile.warc.gz", "http://0760.jxtdw.com/area/sanxiang/", 35, "alt"): DOT,
    ("solrwayback/transfer_compression_none_truncated.warc.gz", TOKEMON, None, "kept"):
        "its gzip member is cut: a damaged record is left out and counted",
    ("warcio/example-trunc.warc", "http://example.com/", None, "kept"):
        "its Content-Length is wrong: a damaged record is left out and counted",
    ("warcio/example-space-in-url.arc", ARC_WITH_SPACES, None, "kept"):
        "the file ends before the length in the record's header: left out and counted",
}
# The Encoding standard (WHATWG) decodes these labels as another charset, under whose name it is stored.
CHARSETS = {"iso-8859-1": "windows-1252", "us-ascii": "windows-1252", "ascii": "windows-1252",
            "gb2312": "gbk", "iso-8859-9": "windows-1254"}

FORMATS = {"JPEG": "jpeg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tiff",
           "ICO": "ico", "SVG": "svg", "AVIF": "avif", "MPO": "jpeg"}
# Statuses of an image that the crawl holds: it may be unusable.
JOINED = {"ok", "too_large_pixels", "too_large_bytes", "truncated", "corrupt", "too_many_scans",
          "unsupported", "out_of_memory", "too_small", "bad_aspect", "blank", "worker_crash",
          "truncated_capture"}


def squeeze(text):
    return " ".join((text or "").split())


def compare_image(k, want, got):
    for field in ("src", "url"):
        a, b = want.get(field) or "", got[field] or ""
        if a.startswith("data:"):  # stored under the hash of what it was
            a, b = a[:5], b[:5]
        if a != b:
            yield k, field, want.get(field), got[field]
    if (want["alt"] or "") != (got["alt"] or "") or (want["alt"] is None) != (got["alt"] is None):
        yield k, "alt", want["alt"], got["alt"]
    joined = got["status"] in JOINED
    if not (want.get("url") or "").startswith("data:") and bool(want.get("in_file")) != joined:
        yield k, "in_file", want.get("in_file"), got["status"]
    elif want.get("in_file") and joined and want.get("format"):
        shape = (FORMATS.get(want["format"], want["format"]), want.get("w"), want.get("h"))
        if shape != (got["format"], got["width"], got["height"]):
            yield k, "format", shape, (got["format"], got["width"], got["height"])


def compare(want, got):
    charset = want["charset"].lower()
    if CHARSETS.get(charset, charset) != got["charset"]:
        yield None, "charset", want["charset"], got["charset"]
    if squeeze(want["title"]) != squeeze(got["title"]):
        yield None, "title", want["title"], got["title"]
    a, b = want["images"], got["images"]
    if len(a) != len(b):
        yield None, "images", len(a), len(b)
        return
    for k, (x, y) in enumerate(zip(a, b)):
        yield from compare_image(k, x, y)


def main():
    expected, name, cat = sys.argv[1:]
    pages = {}
    for line in open(expected, encoding="utf-8"):
        page = json.loads(line)
        if page["file"] == name:
            pages.setdefault(page["page"], []).append(page)
    unexplained = 0
    documents = {}
    for line in open(cat, encoding="utf-8"):
        document = json.loads(line)
        documents[document["url"]] = document
    for url, captures in pages.items():
        differences = [(None, "kept", True, False)]
        if url in documents:
            differences = min((list(compare(page, documents[url])) for page in captures), key=len)
        for k, field, want, got in differences:
            if (name, url, k, field) in EXPLAINED:
                continue
            unexplained += 1
            print(f"{name}: {url} image {k}: {field}: expected {want!r}, got {got!r}")
    sys.exit(1 if unexplained else 0)


main()
