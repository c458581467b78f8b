#!/usr/bin/env python3
"""Checks lines of `vlm-inspect trace --crawl DIR` by itself.

    check_trace.py DIR [tokenizer.json] <lines

Opens each record at its file and offset, takes the body that has the stated hash, decodes the stated
charset, and compares the bytes at page.start to page.end with page.text. What the line calls
normalised must become the rendering's text by resolving references and collapsing white space. Prints
one line of counts, and each difference on standard error; exits 1 when there is one. With the name of a
tokenizer, and where the package tokenizers is installed, it also tokenises page.text. Else it uses the
standard library only: bodies in brotli and records in zstd or archives are counted as not checked.
"""
import collections
import hashlib
import html
import json
import os
import re
import sys
import zlib

CODECS = {
    "iso-8859-8-i": "iso-8859-8", "windows-874": "cp874", "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic", "shift_jis": "cp932", "gbk": "gb18030", "euc-kr": "cp949",
    "big5": "big5hkscs", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
}


def read_member(path, offset):
    """The bytes from offset on: one gzip member, or up to 64 MiB of a plain file."""
    with open(path, "rb") as file:
        file.seek(offset)
        if file.read(2) != b"\x1f\x8b":
            file.seek(offset)
            return file.read(64 << 20)
        file.seek(offset)
        inflate, out = zlib.decompressobj(31), b""
        while not inflate.eof:
            block = file.read(1 << 20)
            if not block:
                break
            try:
                out += inflate.decompress(block)
            except zlib.error:
                break
        return out


def blocks(data):
    """The content of each record of a member: WARC, or ARC, or a loose file."""
    at = 0
    while at < len(data):
        warc = re.compile(rb"\s*WARC/[0-9.]+\r?\n(.*?)\r?\n\r?\n", re.S).match(data, at)
        arc = re.compile(rb"\s*[a-z]+:\S* [^\n]* ([0-9]+)\r?\n").match(data, at)
        if warc:
            length = re.search(rb"(?im)^content-length:\s*([0-9]+)", warc.group(1))
            if not length:
                return
            begin, size = warc.end(), int(length.group(1))
        elif arc:
            begin, size = arc.end(), int(arc.group(1))
        else:
            yield data
            return
        yield data[begin:begin + size]
        at = begin + size


def dechunk(body):
    out, at = b"", 0
    while True:
        line = re.compile(rb"\s*([0-9a-fA-F]+)[^\n]*\n").match(body, at)
        if not line or int(line.group(1), 16) == 0:
            return out
        begin = line.end()
        out += body[begin:begin + int(line.group(1), 16)]
        at = begin + int(line.group(1), 16)


def inflate(body):
    for bits in (47, -15):
        try:
            return zlib.decompressobj(bits).decompress(body)
        except zlib.error:
            pass
    return body


def find_body(data, sha256):
    """The one reading of a record's content that has the hash, or None."""
    for block in blocks(data):
        readings = [block]
        for empty in (b"\r\n\r\n", b"\n\n"):
            if empty in block:
                raw = block.split(empty, 1)[1]
                readings += [raw, dechunk(raw)]
        for body in readings + [inflate(body) for body in readings]:
            if hashlib.sha256(body).hexdigest() == sha256:
                return body
    return None


def decode(body, charset):
    """The page as UTF-8, as the Encoding Standard has it, with control characters as documented."""
    for bom in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
        if body.startswith(bom):
            body = body[len(bom):]
            break
    codec = CODECS.get(charset, charset)
    if charset == "windows-1252":
        holes = {byte: chr(byte) for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
        text = "".join(holes.get(byte) or bytes([byte]).decode("cp1252") for byte in body)
    else:
        text = body.decode(codec, "replace")
    controls = {c: " " for c in range(1, 32) if c not in (9, 10, 13)}
    return text.translate({0: "\ufffd", **controls}).encode("utf-8", "replace")


def without_tags(text):
    return re.sub(r"(?is)<!--.*?-->|<script.*?</script\s*>|<style.*?</style\s*>|<[/a-z!?][^>]*>",
                  "", text)


def plain(text, tags):
    if tags:
        text = without_tags(text)
    return re.sub(r"[\s\xa0]+", " ", html.unescape(text))


def path_of(record):
    crawl = sys.argv[1]
    return os.path.join(crawl, record["file"]) if os.path.isdir(crawl) else crawl


def open_tokenizer():
    if len(sys.argv) < 3 or not os.path.isfile(sys.argv[2]):
        return None
    try:
        import tokenizers
    except ImportError:
        return None
    return tokenizers.Tokenizer.from_file(sys.argv[2])


def check(line, page, tokenizer, counts):
    """A sentence about what is wrong, or None."""
    place, rendering = line["page"], line["rendering"]["text"]
    found = page[place["start"]:place["end"]]
    if found != (bytes.fromhex(place["hex"]) if "hex" in place else place["text"].encode()):
        return "the page has %r, the line says %r" % (found, place["text"])
    whole = "hex" not in place and "hex" not in line["rendering"]
    found = found.decode("utf-8", "replace")
    token = line.get("token", {"modality": ""})
    if line.get("made"):
        counts["made"] += 1
    elif token["modality"] == "image" or line.get("image"):
        counts["codes"] += 1
        counts["codes made again"] += line.get("same", False)
        if line.get("same") is False:
            return "the picture in the crawl gives the code %r" % line["ids"]
        if line["image"]["record"]:
            counts["picture in the crawl"] += 1
            data = read_member(path_of(line["image"]["record"]), line["image"]["record"]["offset"])
            if find_body(data, line["image"]["sha256"]) is None:
                return "no picture with the hash of %s at its record" % line["image"]["url"]
    elif line.get("normalised"):
        counts["normalised"] += 1
        # Parts of characters and of references, and resolved URLs, can not be compared.
        text = plain(found, line["event"]["kind"] == "text").strip()
        part = not whole or re.search("[<>&\"]", text) or line["event"]["name"] == "href"
        wanted = plain(rendering, False).strip()
        # Between a space and a word may stand an element that the rendering leaves out.
        if not part and text != wanted and not ("<" in found and text.endswith(wanted)):
            return "%r does not become %r" % (found, rendering)
    else:
        if whole and found != rendering or place.get("hex") != line["rendering"].get("hex"):
            return "%r is not %r, and no reason is given" % (found, rendering)
        if "token" in line and line.get("joined"):
            counts["joined"] += 1
            return None
        if "token" in line and not line["same"]:
            return "%r gives other tokens, and no reason is given" % found
        if "token" in line and tokenizer and whole:
            around = line.get("context", {"start": place["start"], "end": place["end"]})
            text = page[around["start"]:around["end"]].decode("utf-8", "replace")
            if "context" in line and token["modality"] == "text":
                text = without_tags(text)
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            first = token["position"] - around.get("first", token["position"])
            if ids[first:first + 1] != [token["id"]] or ("context" not in line and len(ids) != 1):
                return "%r is %r by the package tokenizers" % (text, ids)
            counts["tokenised again"] += 1
        counts["same in context" if "context" in line else "same"] += 1
    return None


def main():
    counts, total, wrong = collections.Counter(), 0, 0
    key = page = None
    tokenizer = open_tokenizer()
    for text in sys.stdin:
        line = json.loads(text)
        total += 1
        record = line["record"]
        path = path_of(record)
        if key != (path, record["offset"], record["payload_sha256"]):
            key = (path, record["offset"], record["payload_sha256"])
            body = find_body(read_member(path, record["offset"]), record["payload_sha256"])
            try:
                page = None if body is None else decode(body, line["page"]["charset"])
            except LookupError:
                page = None
        if page is None:
            counts["not checked"] += 1
            continue
        problem = check(line, page, tokenizer, counts)
        if problem:
            wrong += 1
            print("%s, %s: %s" % (line["id"], line.get("token") or line["rendering"], problem),
                  file=sys.stderr)
    print("%d places: %s, %d wrong" % (total, ", ".join("%s %d" % c for c in sorted(counts.items())),
                                       wrong))
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())
