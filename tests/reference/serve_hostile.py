"""Bad requests, byte by byte, between good ones: the server lives, says the right thing, and good answers stay
what they were.

  python serve_hostile.py MODEL [framing|semantics|bodies|images|keys]...

A row is a name, bytes (or a JSON body), and the status codes that are right for it; 0 stands for a connection that is closed
without an answer. Prints "ok GROUP" or "not ok GROUP: WHY" for each group, with the first rows that were wrong."""

import json
import os
import re
import struct
import sys
import threading

from serve_common import (Server, data_url, end, events, png, post, raw, request, statuses, stripped, verdict)

GOOD = {"prompt": "<p>A", "max_tokens": 8, "seed": 3}
BODY = json.dumps(GOOD).encode()


def head(extra=b"", line=b"GET /health HTTP/1.1", host=b"Host: localhost\r\n"):
    return line + b"\r\n" + host + extra + b"\r\n"


def send(body=BODY, extra=b"", length=True, path=b"/v1/completions", kind=b"Content-Type: application/json\r\n"):
    size = b"Content-Length: %d\r\n" % len(body) if length else b""
    return head(kind + size + extra, b"POST " + path + b" HTTP/1.1") + body


def chunked(body, fields=b"Transfer-Encoding: chunked\r\n", version=b"HTTP/1.1"):
    return head(b"Content-Type: application/json\r\n" + fields, b"POST /v1/completions " + version) + body


CHUNK = b"%x\r\n" % len(BODY) + BODY + b"\r\n"
HELLO = bytes.fromhex("160301002f0100002b0303") + bytes(range(32)) + bytes.fromhex("000002c02f0100")

# name, bytes, right status codes, options: close (must be closed), half (shut our side), count (answers there must be)
FRAMING = [
    ("nothing at all", b"", {0, 408}, "half"),
    ("empty lines, a million", b"\r\n" * 1000000, {0, 400}, "close"),
    ("garbage", bytes(range(128, 256)) * 8 + b"\r\n\r\n", {400}, "close"),
    ("a TLS hello", HELLO + b"\r\n\r\n", {0, 400}, "close"),
    ("HTTP/0.9", b"GET /\r\n\r\n", {400, 505}, "close"),
    ("HTTP/1.2", head(line=b"GET /health HTTP/1.2"), {400, 505}, "close"),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}, "close"),
    ("http/1.1 in lower case", head(line=b"GET /health http/1.1"), {400, 505}, "close"),
    ("no version", head(line=b"GET /health"), {400, 505}, "close"),
    ("two spaces", head(line=b"GET  /health HTTP/1.1"), {400}, "close"),
    ("a tab", head(line=b"GET\t/health HTTP/1.1"), {400}, "close"),
    ("a request line of 64 KiB", head(line=b"GET /" + b"a" * 65536 + b" HTTP/1.1"), {414}, "close"),
    ("a NUL in the method", head(line=b"G\0ET /health HTTP/1.1"), {400}, "close"),
    ("a method of 1 MiB", head(line=b"G" * (1 << 20) + b" / HTTP/1.1"), {0, 400, 405, 414, 431}, "close"),
    ("an unknown method", head(line=b"BREW /health HTTP/1.1"), {405}),
    ("a method in lower case", head(line=b"get /health HTTP/1.1"), {400, 405}),
    ("another host in the target", head(line=b"GET http://evil.example/health HTTP/1.1"), {400, 403, 404, 421}),
    ("target *", head(line=b"GET * HTTP/1.1"), {400, 404}),
    ("target with authority", head(line=b"GET evil.example:80 HTTP/1.1"), {400}),
    ("%2f..%2f", head(line=b"GET /..%2f..%2fetc/passwd HTTP/1.1"), {400, 404}),
    ("/../", head(line=b"GET /../../etc/passwd HTTP/1.1"), {400, 404}),
    ("backslashes", head(line=b"GET /..%5c..%5cetc HTTP/1.1"), {400, 404}),
    (".git", head(line=b"GET /.git/config HTTP/1.1"), {400, 404}),
    ("//", head(line=b"GET // HTTP/1.1"), {400, 404}),
    ("%00", head(line=b"GET /health%00 HTTP/1.1"), {400, 404}),
    ("a wrong %", head(line=b"GET /health%zz HTTP/1.1"), {400, 404}),
    ("half a %", head(line=b"GET /health%4 HTTP/1.1"), {400, 404}),
    ("no ASCII in the target", head(line=b"GET /h\xc3\xa9 HTTP/1.1"), {400, 404}),
    ("a fragment", head(line=b"GET /health#x HTTP/1.1"), {400, 404}),
    ("a field of 64 KiB", head(b"X: " + b"a" * 65536 + b"\r\n"), {431}, "close"),
    ("300 fields", head(b"".join(b"X-%d: 1\r\n" % i for i in range(300))), {431, 400}, "close"),
    ("a field without name", head(b": x\r\n"), {400}, "close"),
    ("a space in a name", head(b"X Y: x\r\n"), {400}, "close"),
    ("a space before the colon", head(b"X : x\r\n"), {400}, "close"),
    ("no colon", head(b"hello\r\n"), {400}, "close"),
    ("a NUL in a value", head(b"X: a\0b\r\n"), {400}, "close"),
    ("a bare CR", head(b"X: a\rb\r\n"), {400}, "close"),
    ("a bare LF", b"GET /health HTTP/1.1\nHost: localhost\n\n", {400}, "close"),
    ("a bare LF in the fields", head(b"X: a\nY: b\r\n"), {400}, "close"),
    ("a folded line", head(b"X: a\r\n b\r\n"), {400}, "close"),
    ("a folded first line", head(host=b" Host: localhost\r\n"), {400}, "close"),
    ("bytes above 0x80 in a name", head(b"X\xff: a\r\n"), {400}, "close"),
    ("no Host", head(host=b""), {400}, "close"),
    ("Host twice", head(host=b"Host: localhost\r\nHost: localhost\r\n"), {400}, "close"),
    ("an empty Host", head(host=b"Host:\r\n"), {400, 403}),
    ("Host :11434", head(host=b"Host: :11434\r\n"), {400, 403}),
    ("Host with a path", head(host=b"Host: localhost/x\r\n"), {400, 403}),
    ("Host with a user", head(host=b"Host: a@localhost\r\n"), {400, 403}),
    ("two lengths, equal", send(extra=b"Content-Length: %d\r\n" % len(BODY)), {400}, "close"),
    ("two lengths", send(extra=b"Content-Length: 3\r\n"), {400}, "close"),
    *((f"length {length.decode()!r}", send(extra=b"Content-Length: " + length + b"\r\n", length=False), {400, 413}, "close")
      for length in (b"+5", b"-1", b"0x5", b"5,5", b"5 5", b"", b"5.0", b"18446744073709551616", b"99999999999999999999999")),
    ("a body shorter than its length", send(extra=b"Content-Length: 999\r\n", length=False), {0, 400, 408}, "half"),
    ("a body longer than its length", send() + b"GARBAGE\r\n\r\n", {200, 400}, "close"),
    ("no length", send(b"", length=False), {400, 411, 415}),
    ("a length over the limit", head(b"Content-Type: application/json\r\nContent-Length: 33554433\r\n",
                                     b"POST /v1/completions HTTP/1.1"), {413}, "close"),
    ("chunked and a length", chunked(CHUNK + b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), {400}, "close"),
    *((f"transfer coding {coding.decode()}", chunked(CHUNK + b"0\r\n\r\n", b"Transfer-Encoding: " + coding + b"\r\n"), {400}, "close")
      for coding in (b"gzip, chunked", b"chunked, chunked", b"xchunked", b"identity", b"", b"chunked;q=1", b"\x0bchunked")),
    ("Chunked with a capital", chunked(CHUNK + b"0\r\n\r\n", b"Transfer-Encoding: Chunked\r\n"), {200}),
    ("chunked twice", chunked(CHUNK + b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n" * 2), {400}, "close"),
    ("chunked in HTTP/1.0", chunked(CHUNK + b"0\r\n\r\n", version=b"HTTP/1.0"), {400, 505}, "close"),
    *((f"chunk size {size.decode()!r}", chunked(size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"), {400, 413}, "close")
      for size in (b"-2", b"", b"0x5", b"1" + b"0" * 17, b"fffffffffffffffff", b"g", b" 5", b"5 5", b"+5")),
    ("a chunk extension of 1 MiB", chunked(b"%x;" % len(BODY) + b"a" * (1 << 20) + b"\r\n" + BODY + b"\r\n0\r\n\r\n"), {0, 400, 413, 431}, "close"),
    ("no CRLF behind a chunk", chunked(b"%x\r\n" % len(BODY) + BODY + b"0\r\n\r\n"), {400}, "close"),
    ("LF behind a chunk size", chunked(b"%x\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"), {400}, "close"),
    ("300 trailers", chunked(CHUNK + b"0\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(300)) + b"\r\n"), {200, 400, 431}),
    ("a trailer Content-Length", chunked(CHUNK + b"0\r\nContent-Length: 3\r\n\r\n"), {200, 400}),
    ("Expect without a body", send(b"", extra=b"Expect: 100-continue\r\nContent-Length: 10\r\n", length=False), {0, 400, 408, 417}, "half"),
    ("an unknown Expect", send(extra=b"Expect: tea\r\n"), {200, 417}),
    ("Upgrade: h2c", head(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"), {200, 400}),
    ("Upgrade: websocket", head(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), {200, 400, 426}),
    ("close and keep-alive", head(b"Connection: close, keep-alive\r\n"), {200}, "close"),
    ("half closed behind a whole request", send(), {200}, "half"),
    ("200 in one go", head() * 199 + head(b"Connection: close\r\n"), {200}, "close count200"),
    ("good behind bad", head(b"X : x\r\n") + head(), {400}, "close count1"),
]


def checked(text, kind=b"application/json", extra=b"", path=b"/v1/completions"):
    return send(text, extra, path=path, kind=b"Content-Type: " + kind + b"\r\n" if kind else b"")


SEMANTICS = [
    ("an unknown path", head(line=b"GET /nothing HTTP/1.1"), {404}),
    ("GET of completions", head(line=b"GET /v1/completions HTTP/1.1"), {405}),
    ("DELETE of health", head(line=b"DELETE /health HTTP/1.1"), {405}),
    ("POST of health", send(path=b"/health"), {405}),
    ("HEAD", head(b"Connection: close\r\n", b"HEAD /health HTTP/1.1"), {200, 405}),
    ("OPTIONS", head(line=b"OPTIONS /v1/completions HTTP/1.1"), {204, 403, 405}),
    ("TRACE", head(line=b"TRACE /health HTTP/1.1"), {405}),
    ("CONNECT", head(line=b"CONNECT localhost:80 HTTP/1.1"), {400, 405}),
    ("no content type", checked(BODY, None), {415}),
    ("text/plain", checked(BODY, b"text/plain"), {415}),
    ("a form", checked(BODY, b"application/x-www-form-urlencoded"), {415}),
    ("charset utf-16", checked(BODY, b"application/json; charset=utf-16"), {415}),
    ("charset utf-8", checked(BODY, b"application/json; charset=utf-8"), {200}),
    ("multipart", checked(BODY, b"multipart/form-data; boundary=x"), {400, 415}),
    ("multipart without boundary", checked(BODY, b"multipart/form-data", path=b"/v1/images/edits"), {400, 415}),
    ("multipart that is none", checked(b"hello", b"multipart/form-data; boundary=x", path=b"/v1/images/edits"), {400}),
    ("multipart without end", checked(b"--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nhello", b"multipart/form-data; boundary=x", path=b"/v1/images/edits"), {400}),
    ("JSON for edits", checked(BODY, path=b"/v1/images/edits"), {400, 415}),
    ("gzip", checked(BODY, extra=b"Content-Encoding: gzip\r\n"), {415}),
    ("another Origin", checked(BODY, extra=b"Origin: http://evil.example\r\n"), {403}),
    ("Origin null", checked(BODY, extra=b"Origin: null\r\n"), {403}),
    ("Origin on GET", head(b"Origin: http://evil.example\r\n"), {200, 403}),
    ("another Host", head(host=b"Host: evil.example\r\n"), {403, 421}),
    ("a Host like localhost", head(host=b"Host: localhost.evil.example\r\n"), {403, 421}),
    ("a Host in capitals", head(host=b"Host: LOCALHOST\r\n"), {200}),
    ("another Referer", head(b"Referer: http://evil.example/\r\n"), {200}),
    ("10000 query parameters", head(line=b"GET /health?" + b"&".join(b"a%d=1" % i for i in range(10000)) + b" HTTP/1.1"), {414}),
    ("a parameter twice", head(line=b"GET /health?a=1&a=2 HTTP/1.1"), {200, 400}),
    ("Range", head(b"Range: bytes=0-1\r\n"), {200}),
    ("If-None-Match", head(b"If-None-Match: *\r\nIf-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT\r\n"), {200}),
    ("Accept: image/*", head(b"Accept: image/*\r\n"), {200, 406}),
    ("10000 in Accept-Encoding", head(b"Accept-Encoding: " + b"gzip, " * 1000 + b"br\r\n"), {200, 431}),
    ("X-Forwarded-For", head(b"X-Forwarded-For: 1.2.3.4\r\n"), {200}),
    ("an X-Request-Id of line ends", head(b"X-Request-Id: a%0d%0aX: b\r\n"), {200}),
    ("an image blob of another hash", head(b"Content-Length: 3\r\nContent-Type: image/png\r\n", b"PUT /v1/images/blobs/" + b"0" * 64 + b" HTTP/1.1") + b"abc", {400, 404, 405, 409, 415, 422}),
    ("an image blob that is not there", head(line=b"GET /v1/images/blobs/" + b"0" * 64 + b" HTTP/1.1"), {404}),
    ("an image blob by no hash", head(line=b"GET /v1/images/blobs/..%2fx HTTP/1.1"), {400, 404}),
]
deep = b"[" * 5000 + b"]" * 5000
SEMANTICS += [(f"body {body[:40]!r}", checked(body), {400}) for body in (
    b"", b" ", b"{", b"}", b"nul", b"null", b"1", b'"x"', b"[]", b"[1,2]", b"{}", b'{"prompt":"x",}', b"{'prompt':'x'}",
    b'{"prompt":"x"} x', b'{"prompt":"x"}{}', b'{"prompt":"x","prompt":"y"}', b'{"prompt":"\xff"}', b'{"prompt":"\xc0\xaf"}',
    b'{"prompt":"\xed\xa0\x80"}', b'{"prompt":"\\ud800"}', b'{"prompt":"\\udc00\\ud800"}', b'{"prompt":"a\nb"}', b'{"prompt":"\\x41"}',
    b'{"prompt":"x","seed":01}', b'{"prompt":"x","temperature":NaN}', b'{"prompt":"x","temperature":Infinity}',
    b'{"prompt":"x","temperature":1e999}', b'{"prompt":"x","temperature":.5}', b'{"prompt":"x","max_tokens":+1}',
    b"\xef\xbb\xbf" + BODY, b'{"prompt":"x", /* no */ "seed":1}', b'{"prompt":' + deep + b"}", deep,
    b"{" + b",".join(b'"f%d":1' % i for i in range(10000)) + b"}", b'{"prompt":"x"\0}', b'\0{"prompt":"x"}')]


def bodies(n_ids, n_context):
    """(name, path, body, right status codes): fields and prompts that are wrong, or odd and right."""
    rows = []

    def bad(name, codes=(400,), path="/v1/completions", **fields):
        rows.append((name, path, {**GOOD, **fields} if path == "/v1/completions" else fields, set(codes)))

    for value in (None, 5, {}, "", [], [1, "a"], [[1], "a"], [[]], True, {"a": 1}):
        bad(f"prompt {value!r}", prompt=value)
    rows.append(("no prompt", "/v1/completions", {"max_tokens": 3}, {400}))
    for value in (-1, n_ids, n_ids + 1, 2**31, 2**63, 10**30, 1.5, True):
        bad(f"id {value!r}", prompt=[1, value])
    bad("an id in a string", prompt=[1, "5"])
    for value in (-1, -5, 2**31, 10**9, "10", 1.5, [1], 10**40):
        bad(f"max_tokens {value!r}", max_tokens=value)
    bad("max_tokens 0", (200, 400), max_tokens=0)
    for name, values in {
        "temperature": (-1, 1e9, "hot", [1], {}), "top_p": (0, 1.1, -1, "x"), "top_k": (-1, 1.5, "x"), "min_p": (2, -0.1, "x"),
        "frequency_penalty": (100, -100, "x"), "presence_penalty": (100, -100, "x"), "repeat_penalty": (-1, "x"),
        "n": (0, -1, 17, 16384, 1.5, "2"), "best_of": (0, -1, 100), "logprobs": (-2, 10**6, "x"), "stream": ("yes", 1, []),
        "seed": (1.5, "x", 2**64, []), "echo": (1, "x"), "suffix": (5, []), "image_temperature": (-1, "x"), "image_top_k": (-1, "x"),
        "image_top_p": (-1, 2), "cfg_scale_image": ("x", 1e9), "stop": (5, {}, [5], ["a"] * 17, "", [""], "a" * 257, ["a" * 257]),
        "logit_bias": (5, [1], {"-1": 1}, {str(n_ids): 1}, {"x": 1}, {"1": "x"}, {"1": 1e9}, {str(i): 1 for i in range(513)}, {"1.5": 1}),
        "strict": ("x", 1), "stream_options": (5, "x"), "model": ([], {}, 5),
    }.items():
        for value in values:
            bad(f"{name} {str(value)[:40]}", **{name: value})
    bad("temperature 0", (200,), temperature=0)
    bad("temperature 1e-9", (200, 400), temperature=1e-9)
    bad("top_k of all", (200,), top_k=n_ids + 1)
    bad("top_k 0", (200,), top_k=0)
    bad("seed null", (200,), seed=None)
    bad("seed -1", (200, 400), seed=-1)
    bad("an unknown model", (404, 400), model="another")
    bad("a model of 1 MiB", (400, 404), model="x" * (1 << 20))
    bad("a model that is a path", (400, 404), model="../x")
    bad("an unknown field", (200,), frobnicate=1)
    bad("an unknown field, strict", frobnicate=1, strict=True)
    bad("all ids are biased away", (200, 400, 422), logit_bias={str(i): -100 for i in range(min(n_ids, 500))})
    bad("a prompt over the context", prompt="word " * (n_context + 10))
    bad("ids over the context", prompt=[1] * (n_context + 1))
    bad("ids as many as the context", prompt=[1] * n_context, max_tokens=1)
    bad("a prompt over 1 MiB", (400, 413), prompt="x" * ((1 << 20) + 1))
    bad("a prompt of 1 MiB", prompt="x" * (1 << 20))
    bad("100000 combining marks", prompt="a" + "\u0301" * 100000)
    bad("U+0000", (200, 400), prompt="a\0b")
    bad("escapes of a terminal", (200,), prompt="\x1b[2J\x1b[31mred")
    bad("from right to left", (200,), prompt="\u202eabc\u202c")
    for word in ("<image>", "<EOC>", "</s>", "<|endoftext|>", "<s>", "<eoss>", "<pad>"):
        bad(f"text {word}", (200, 400), prompt=f"<p>a {word} b")
    for text in ("<mask:1>", "<mask:0> <mask:0>", "<mask:0> <mask:2>", "<mask:0><mask:1><mask:0>"):
        bad(f"prompt {text}", prompt=f"<p>{text}</p>", special=True)
    for text in ("<mask:-1>", "<mask:99999999999>", "<mask:0", "<mask:00>"):
        bad(f"no mask: {text}", (200, 400), prompt=f"<p>{text}</p>")
    numbers = " ".join(["1"] * 255)
    bad("255 codes", (200, 400), prompt=f'<img src="{numbers}">')
    bad("257 codes", (200, 400), prompt=f'<img src="{numbers} 1 1">')
    bad("a code out of range", (200, 400), prompt=f'<img src="{numbers} 99999999">')
    # infill
    def hole(name, document, codes=(400,), **more):
        rows.append((name, "/infill", {"document": document, "max_tokens": 4, "seed": 1, **more}, set(codes)))

    text, mask = {"type": "text", "text": "<p>a "}, {"type": "mask", "id": 0, "kind": "text"}
    hole("a good document", [text, mask, {"type": "text", "text": "</p>"}], (200,))
    hole("no parts", [])
    hole("a document that is none", "x")
    hole("no mask", [text], (200, 400))
    hole("a part of no type", [{"text": "x"}])
    hole("a part of another type", [{"type": "sound"}])
    hole("a part that is no object", [5])
    hole("masks of one id", [mask, mask])
    for value in (-1, 1.5, "0", 10**9, None):
        hole(f"a mask of id {value!r}", [text, {"type": "mask", "id": value, "kind": "text"}])
    hole("a mask of another kind", [text, {"type": "mask", "id": 0, "kind": "sound"}])
    hole("17 masks", [{"type": "mask", "id": i, "kind": "text"} for i in range(17)])
    hole("an order that is none", [text, mask], order=5)
    hole("an order of other masks", [text, mask], order=[1])
    hole("an order with a mask twice", [text, mask], order=[0, 0])
    hole("max_tokens of a mask", [text, {**mask, "max_tokens": -1}])
    picture = {"type": "image_url", "image_url": {"url": data_url(png())}}
    for rect in ([0, 0, 17, 4], [-1, 0, 4, 4], [4, 4, 4, 8], [8, 0, 4, 4], [0, 0, 4], [0, 0, 4, 4, 4], "x", [0, 0, 1.5, 4], None, {}):
        hole(f"rect {rect}", [{**picture, "mask": {"id": 0, "rect": rect}}])
    rows.append(("llama.cpp's body", "/infill", {"input_prefix": "def f(", "input_suffix": "):\n", "input_extra": [{"filename": "a.c", "text": "x"}],
                                                "prompt": "", "n_predict": 4, "seed": 1, "samplers": ["top_k"], "cache_prompt": True, "t_max_predict_ms": 500}, {200}))
    # chat
    def chat(name, messages, codes=(400,), **more):
        rows.append((name, "/v1/chat/completions", {"messages": messages, "max_tokens": 4, "seed": 1, **more}, set(codes)))

    chat("good chat", [{"role": "user", "content": "hello"}], (200,))
    for value in (None, 5, "x", [], [5], [{}], [{"role": "user"}], [{"content": "x"}], [{"role": "king", "content": "x"}],
                  [{"role": "user", "content": 5}], [{"role": "user", "content": [5]}], [{"role": "user", "content": [{"type": "sound"}]}],
                  [{"role": "user", "content": [{"type": "text"}]}], [{"role": "user", "content": [{"type": "image_url"}]}],
                  [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]}], [{"role": ["user"], "content": "x"}]):
        chat(f"messages {json.dumps(value)[:70]}", value)
    chat("modalities of another kind", [{"role": "user", "content": "x"}], modalities=["smell"])
    chat("a tool", [{"role": "user", "content": "x"}], (200, 400), tools=[{"type": "function"}])
    # others
    for path in ("/tokenize", "/detokenize", "/score", "/vq/encode", "/vq/decode", "/v1/images/generations"):
        rows.append((f"{path} of nothing", path, {}, {400}))
        rows.append((f"{path} of a list", path, [], {400}))
    for value in (5, None, [], {}):
        rows.append((f"/tokenize {value!r}", "/tokenize", {"content": value}, {400}))
    for value in (5, None, "x", [n_ids], [-1], [1.5], ["1"]):
        rows.append((f"/detokenize {value!r}", "/detokenize", {"tokens": value}, {400}))
    for value in (5, None, "x", [], [1] * 255, [1] * 257, [-1] * 256, [10**6] * 256, [1.5] * 256, ["1"] * 256):
        rows.append((f"/vq/decode {str(value)[:20]} of {len(value) if isinstance(value, list) else 1}", "/vq/decode", {"codes": value}, {400}))
    for name, values in {"n": (0, -1, 100), "size": ("1x1", "512x512", 5, "x"), "response_format": (5, "x"), "output_format": ("gif", 5),
                         "partial_images": (-1, 4, "x"), "prompt": (5, None, []), "output_compression": (-1, 101)}.items():
        for value in values:
            rows.append((f"generations {name} {value!r}", "/v1/images/generations", {"prompt": "a cat", **{name: value}}, {400}))
    return rows


def pictures():
    """(name, URL or bytes for /vq/encode, right status codes)."""
    good = png()
    jpeg = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb")
    bomb = png(1, 1)
    bomb = bomb[:16] + struct.pack(">II", 60000, 60000) + bomb[24:]
    rows = [("a good picture", data_url(good), {200}), ("one pixel", data_url(png(1, 1)), {200, 400, 422}),
            ("a long picture", data_url(png(2000, 2)), {200, 400})]
    for url in ("http://127.0.0.1:1/x.png", "https://example.com/x.png", "file:///etc/passwd", "ftp://x/y", "/etc/passwd", "", "data:",
                "data:image/png;base64,", "data:image/png,abc", "data:text/plain;base64,aGVsbG8=", "data:image/png;base64,====", "data:image/png;base64,a",
                "data:image/png;base64,!!!!", "vlm:sha256:", "vlm:sha256:xyz", "vlm:sha256:" + "0" * 64, "vlm:sha256:" + "0" * 63, "javascript:alert(1)"):
        rows.append((f"URL {url[:40]}", url, {400, 404} if url.startswith("vlm:") else {400}))
    for name, data in {"no picture": b"hello" * 20, "an empty file": b"", "the first half": good[:len(good) // 2], "a head alone": good[:33],
                       "a JPEG of a few bytes": jpeg, "60000 by 60000": bomb, "a wrong checksum": good[:-6] + b"x" + good[-5:],
                       "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a BMP": b"BM" + bytes(60), "a flipped byte": good[:60] + bytes([good[60] ^ 64]) + good[61:],
                       "a GIF of nothing": b"GIF89a" + bytes(7) + b";", "RIFF": b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(20)}.items():
        rows.append((name, data_url(data), {400, 413, 422} if name not in ("a wrong checksum", "a flipped byte") else {200, 400}))
    rows.append(("base64 with spaces", data_url(good)[:60] + " " + data_url(good)[60:], {200, 400}))
    rows.append(("33 MiB", "data:image/png;base64," + "A" * (33 << 20), {400, 413}))
    for value in (5, None, [], {}):
        rows.append((f"image {value!r}", value, {400}))
    return rows


class Row:
    """One bad request, then a good one whose answer must be the same as ever."""

    def __init__(self, server, answer):
        self.server, self.answer, self.wrong, self.n = server, answer, [], 0

    def good(self, name):
        status, body = post(self.server.port, "/v1/completions", GOOD)
        if status != 200 or stripped(body) != self.answer:
            self.wrong.append(f"{name}: the good request behind it gave {status} {str(body)[:120]}")

    def check(self, name, right, got, why=""):
        self.n += 1
        if not got or not set(got) <= right:
            self.wrong.append(f"{name}: {got or 'no answer'} {why}, right: {sorted(right)}")

    def raw(self, name, data, right, options=""):
        got, closed = raw(self.server.port, data, seconds=20, half_close="half" in options)
        codes = statuses(got) or ([0] if closed else [])
        self.check(name, right, codes, f"{got[:100]!r}")
        if "close" in options and not closed:
            self.wrong.append(f"{name}: the connection stays open")
        for word in options.split():
            if word.startswith("count") and len(codes) != int(word[5:]):
                self.wrong.append(f"{name}: {len(codes)} answers of {word[5:]}")
        for code in codes:
            if code >= 400 and b'"error"' not in got and b"HEAD" not in data[:4]:
                self.wrong.append(f"{name}: an error without its object: {got[:200]!r}")
        self.good(name)

    def json(self, name, path, body, right):
        status, _, data = request(self.server.port, "POST", path, body)
        self.check(name, right, [status], data[:160].decode(errors="replace"))
        try:
            answer = json.loads(data)
            error = answer.get("error")
            if status >= 400 and not (isinstance(error.get("message"), str) and error.get("code") == status and "type" in error and "param" in error):
                self.wrong.append(f"{name}: no error object: {data[:160]!r}")
        except (ValueError, AttributeError):
            self.wrong.append(f"{name}: {status} without JSON: {data[:160]!r}")
        self.good(name)

    def report(self, name):
        verdict(not self.wrong and self.server.alive(), name,
                f"{len(self.wrong)} of {self.n} rows: " + "; ".join(self.wrong[:int(LIMIT)]) + ("" if self.server.alive() else "; the server died: " + self.server.last_words()),
                f"{self.n} rows")


LIMIT = 12


def keys(model):
    """A server with a key: every path wants it but the open ones."""
    with open("keys", "w") as f:
        f.write("sk-right\n")
    os.chmod("keys", 0o600)
    wrong = []
    with Server(model, "--api-key-file", "keys", log="keys.log") as server:
        port = server.port
        api = json.loads(request(port, "GET", "/openapi.json", headers={"Authorization": "Bearer sk-right"})[2])
        for path, methods in api["paths"].items():
            for method in methods:
                got = request(port, method.upper(), re.sub(r"\{\w+\}", "0" * 64, path), b"" if method in ("post", "put") else None)[0]
                if got != 401 and path not in ("/health", "/v1/health", "/live", "/ready", "/"):
                    wrong.append(f"{method} {path} without a key: {got}")
        for name, value in {"none": None, "Basic": "Basic c2s6cmlnaHQ=", "a byte more": "Bearer sk-rightx", "a byte less": "Bearer sk-righ", "the last byte": "Bearer sk-righT",
                            "empty": "Bearer ", "nothing": "", "no scheme": "sk-right", "8000 bytes": "Bearer " + "x" * 6000}.items():
            got = request(port, "POST", "/v1/completions", GOOD, {"Authorization": value} if value is not None else {})
            if got[0] != 401 or b"sk-right" in got[2]:
                wrong.append(f"key {name}: {got[0]}")
        for name, data in {"twice": send(extra=b"Authorization: Bearer sk-right\r\nAuthorization: Bearer sk-wrong\r\n"),
                           "with NUL": send(extra=b"Authorization: Bearer sk-right\0\r\n"), "1 MiB": send(extra=b"Authorization: Bearer " + b"x" * (1 << 20) + b"\r\n")}.items():
            codes = statuses(raw(port, data)[0])
            if not codes or not set(codes) <= {400, 401, 431}:
                wrong.append(f"key {name}: {codes}")
        got = request(port, "POST", "/v1/completions", GOOD, {"Authorization": "Bearer sk-right"})[0]
        if got != 200:
            wrong.append(f"the right key: {got}")
    verdict(not wrong, "API keys", "; ".join(wrong))


def main():
    model, groups = sys.argv[1], sys.argv[2:] or ["framing", "semantics", "bodies", "images", "keys"]
    if "keys" in groups:
        keys(model)
    with Server(model) as server:
        port = server.port
        meta = json.loads(request(port, "GET", "/v1/models")[2])["data"][0]["meta"]
        n_ids, n_context = meta["n_vocab"], meta["n_ctx"]
        answer = stripped(post(port, "/v1/completions", GOOD)[1])
        stream = {**GOOD, "stream": True, "max_tokens": 64, "ignore_eos": True}
        expected = stripped(events(port, "/v1/completions", stream)[0])
        others, over = [], threading.Event()

        def neighbour():
            while not over.is_set():
                if stripped(events(port, "/v1/completions", stream)[0]) != expected:
                    others.append("a stream beside bad requests had other bytes")

        thread = threading.Thread(target=neighbour)
        thread.start()
        rows = Row(server, answer)
        try:
            for group, table in (("framing", FRAMING), ("semantics", SEMANTICS)):
                if group in groups:
                    for row in table:
                        rows.raw(*row)
                    rows.report(group)
                    rows = Row(server, answer)
            if "bodies" in groups:
                for row in bodies(n_ids, n_context):
                    rows.json(*row)
                rows.report("bodies")
                rows = Row(server, answer)
            if "images" in groups:
                for name, url, right in pictures():
                    rows.json(name, "/vq/encode", {"image": url}, right)
                rows.report("images")
        finally:
            over.set()
            thread.join()
        verdict(not others, "a stream beside them", f"{len(others)} times other bytes")
    end()


main()
