"""Requests nobody would make: values at random from the schemas of /openapi.json, bytes at random, odd pictures.

  python serve_wild.py MODEL [SECONDS] [SEED]        # 30 seconds for each kind unless said

No answer may be a 5xx but the 503 of a full queue, or of a status that the description of the path does not have; the server
lives, and streams beside it have the bytes they have alone. With Pillow, pictures of all its formats and modes are made."""

import io
import itertools
import json
import random
import re
import struct
import sys
import threading
import time
import zlib

from serve_common import Server, data_url, end, events, metrics, multipart, png, post, raw, request, skipped, statuses, stripped, total, verdict

NUMBERS = ["1e308", "-1e308", "1e309", "-0", "-0.0", "0", "1", "-1", "9007199254740993", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
           "1e-320", "0.1", "2147483648", "4294967295", "1E+2", "5.0", "1" + "0" * 400, "0." + "0" * 400 + "1", "NaN", "Infinity", "01", "+1", ".5", "0x10"]
STRINGS = [b'""', b'"a"', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\0"', b'"<mask:0>"',
           b'"<img src=\\""', b'"</s><eoss>"', b'"' + b"a" * 5000 + b'"', b'"' + b"\\u00e9" * 3000 + b'"', b'"%s%n%d"', b'"../../etc/passwd"', b'"<html><body>"', b'"\xe2\x80\xae\xcc\x81\xcc\x81"']


class Wild:
    """JSON text at random that follows a schema most of the time."""

    def __init__(self, api, seed):
        self.api, self.rng, self.url = api, random.Random(seed), data_url(png(8, 8)).encode()

    def resolve(self, schema):
        while "$ref" in schema:
            schema = self.api["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def nonsense(self, depth=0):
        r = self.rng.random()
        if r < .3:
            return self.rng.choice(NUMBERS).encode()
        if r < .6:
            return self.rng.choice(STRINGS)
        if r < .75:
            return self.rng.choice((b"null", b"true", b"false", b"{}", b"[]", b"[[]]", b"[null]", b"nul", b""))
        if r < .78:
            n = self.rng.choice((5, 62, 63, 64, 65, 5000))
            return b"[" * n + b"]" * n
        if r < .8:
            return b"[" + b"1," * self.rng.choice((600, 20000, 300000)) + b"1]"
        if depth > 4:
            return b"0"
        if r < .9:
            return b"[" + b",".join(self.nonsense(depth + 1) for _ in range(self.rng.randrange(5))) + b"]"
        return b"{" + b",".join(self.rng.choice(STRINGS) + b":" + self.nonsense(depth + 1) for _ in range(self.rng.randrange(5))) + b"}"

    def number(self, schema, whole):
        low, high = schema.get("minimum", -3), schema.get("maximum", 300)
        r = self.rng.random()
        if r < .5:
            value = self.rng.uniform(low, min(high, low + 40))
        else:
            value = self.rng.choice((low, high, low - 1, high + 1, schema.get("default", 1)))
        return str(int(value) if whole and isinstance(value, (int, float)) else value).lower().replace("none", "null").encode()

    def string(self, schema):
        if "data:" in schema.get("pattern", "") or "data: URL" in schema.get("description", ""):
            return b'"' + self.rng.choice((self.url, self.url, self.url[:-9], b"vlm:sha256:" + b"0" * 64, b"data:,", self.url + b"!")) + b'"'
        if self.rng.random() < .6:
            return json.dumps(self.rng.choice(("a", "<p>A", "black star", "x" * 40, "\n", "é", '<img src="'))).encode()
        return self.rng.choice(STRINGS)

    def value(self, schema, depth=0):
        schema, rng = self.resolve(schema), self.rng
        if rng.random() < .04 or depth > 8:
            return self.nonsense()
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.value(rng.choice(schema[key]), depth + 1)
        if "enum" in schema or "const" in schema:
            return json.dumps(rng.choice(schema.get("enum", [schema.get("const")]))).encode()
        kind = schema.get("type", "object")
        kind = rng.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return self.members(schema, depth)
        if kind == "array":
            low, high = schema.get("minItems", 0), schema.get("maxItems", 6)
            n = rng.choice((low, min(high, low + rng.randrange(4)), min(high, 300) if rng.random() < .05 else low))
            first = schema.get("prefixItems", [])[:n]
            kinds = first + [schema.get("items", {})] * (n - len(first))
            return b"[" + b",".join(self.value(kind, depth + 1) for kind in kinds) + b"]"
        if kind in ("integer", "number"):
            return self.number(schema, kind == "integer")
        return self.string(schema) if kind == "string" else rng.choice((b"true", b"false")) if kind == "boolean" else b"null"

    def members(self, schema, depth):
        rng, fields = self.rng, schema.get("properties", {})
        names = [n for n in fields if rng.random() < (.9 if n in schema.get("required", ()) or n in ("prompt", "document", "content") else .12)]
        rng.shuffle(names)
        out = [json.dumps(n).encode() + b":" + self.value(fields[n], depth + 1) for n in names]
        if rng.random() < .03 and out:
            out.append(out[0])
        if rng.random() < .05:
            out.append(rng.choice(STRINGS) + b":" + self.nonsense())
        return b"{" + b",".join(out) + b"}"

    def damaged(self, data):
        """Now and then a byte changed, bytes lost, or bytes put in."""
        data = bytearray(data)
        if self.rng.random() < .1 and data:
            at = self.rng.randrange(len(data))
            how = self.rng.randrange(3)
            if how == 0:
                data[at] = self.rng.randrange(256)
            elif how == 1:
                del data[at:at + self.rng.randrange(1, 20)]
            else:
                data[at:at] = self.rng.randbytes(self.rng.randrange(1, 9))
        return bytes(data)


class Beside:
    """Streams with seeds while something else goes on; their bytes stay."""

    def __init__(self, port):
        self.port, self.over, self.wrong, self.n = port, threading.Event(), [], 0
        self.bodies = [{"prompt": f"<p>The {i}", "max_tokens": 40, "seed": i, "ignore_eos": True, "stream": True, "logprobs": 2} for i in range(3)]
        self.right = [stripped(list(events(port, "/v1/completions", b))) for b in self.bodies]
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(3)]

    def run(self, i):
        while not self.over.wait(0.02):
            try:
                self.n += 1
                if stripped(list(events(self.port, "/v1/completions", self.bodies[i]))) != self.right[i]:
                    self.wrong.append(f"stream {i} had other bytes")
            except (OSError, RuntimeError, ValueError) as e:
                if " 503 " not in str(e):
                    self.wrong.append(f"stream {i}: {e}")

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


def operations(api):
    for path, methods in api["paths"].items():
        for method, op in methods.items():
            for kind, content in op.get("requestBody", {}).get("content", {}).items():
                yield path, method.upper(), kind, op, content.get("schema", {})


def counted(seen):
    return ", ".join(f"{n} times {s}" for s, n in sorted(seen.items()))


def judge(status, op, seen, wrong, what):
    seen[status] = seen.get(status, 0) + 1
    if (status >= 500 and status != 503) or str(status) not in op["responses"]:
        wrong.append(f"{what[0]}: {status} for {what[1][:200]!r}: {what[2][:120]!r}")


def alive(server, wrong):
    if not server.alive():
        wrong.append("the server died: " + server.last_words())
    return server.alive()


def bodies(server, api, seconds, seed):
    """JSON at random to every operation that takes it, from four clients."""
    seen, wrong, until = {}, [], time.monotonic() + seconds
    todo = [o for o in operations(api) if o[2] == "application/json"]

    def client(k):
        wild = Wild(api, f"{seed} {k}")
        while time.monotonic() < until and len(wrong) < 20 and server.alive():
            path, method, _, op, schema = wild.rng.choice(todo)
            body = wild.damaged(wild.value(schema))
            try:
                status, _, data = request(server.port, method, path, body, {"Content-Type": "application/json"}, timeout=60)
                judge(status, op, seen, wrong, (path, body, data))
            except (OSError, ValueError) as e:
                wrong.append(f"{path}: {type(e).__name__} {e} for {body[:200]!r}")
    threads = [threading.Thread(target=client, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    alive(server, wrong)
    verdict(not wrong, "wild JSON", "; ".join(wrong[:8]), counted(seen))


def forms(server, api, seconds, seed):
    """multipart/form-data at random, with parts that are too many, too long, nested or cut."""
    seen, wrong, until = {}, [], time.monotonic() + seconds
    todo = [o for o in operations(api) if o[2] == "multipart/form-data"]
    wild = Wild(api, seed)
    rng, picture = wild.rng, png(8, 8)
    names = sorted({n for o in todo for n in wild.resolve(o[4]).get("properties", {})}) + ["", "\"", "\r\n", "é", "x" * 3000, "image[]", "mask"]
    while time.monotonic() < until and len(wrong) < 20 and server.alive():
        path, method, _, op, _ = rng.choice(todo)
        fields = [("prompt", "a star"), ("image", "a.png", "image/png", picture)] if rng.random() < .7 else []
        for _ in range(rng.choice((0, 1, 3, 300))):
            name = rng.choice(names)
            value = rng.choice((picture, b"", b"\0\xff", b"1e308", b"-1", b"NaN", b"16", b"true", b"--\r\n--", wild.nonsense()))
            fields.append((name, value) if rng.random() < .7 else (name, rng.choice(("a.png", "../x", "", "\0")), rng.choice(("image/png", "text/plain", "", "x" * 300)), value))
        rng.shuffle(fields)
        body, kind = multipart(fields)
        kind = rng.choice((kind,) * 8 + (kind + "x", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"" + kind[-20:] + "\"", kind + "; charset=x", "multipart/mixed; boundary=x"))
        body = wild.damaged(body)
        try:
            status, _, data = request(server.port, method, path, body, {"Content-Type": kind}, timeout=60)
            judge(status, op, seen, wrong, (path, body, data))
        except (OSError, ValueError) as e:
            wrong.append(f"{path}: {type(e).__name__} {e} for {body[:200]!r}")
    alive(server, wrong)
    verdict(not wrong, "wild forms", "; ".join(wrong[:8]), counted(seen))


def wires(server, _, seconds, seed):
    """Bytes that are hardly HTTP."""
    seen, wrong, until = {}, [], time.monotonic() + seconds
    good = b'{"prompt":"<p>A","max_tokens":2,"seed":1}'
    words = [b"GET ", b"POST ", b"/health", b"/v1/completions", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: localhost\r\n", b"Content-Length: 5\r\n", b"Content-Length: %d\r\n" % len(good),
             b"Transfer-Encoding: chunked\r\n", b"Content-Type: application/json\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b":", b" ",
             b"0\r\n\r\n", b"29\r\n" + good + b"\r\n", good, b"ffffffffffffffff\r\n", b"\xff\xfe", b"%00", b"?a=b", b"X: " + b"y" * 3000 + b"\r\n", b"Range: bytes=0-\r\n", b"Upgrade: h2c\r\n"]
    base = [b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(good), good), b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n{\"content\": \"ab\"}\r\n0\r\n\r\n"]

    def client(k):
        mine = random.Random(f"{seed} {k}")
        while time.monotonic() < until and len(wrong) < 20 and server.alive():
            if mine.random() < .4:
                data = b"".join(mine.choice(words) for _ in range(mine.randrange(1, 20)))
            elif mine.random() < .1:
                data = mine.randbytes(mine.randrange(1, 4000))
            else:
                data = bytearray(mine.choice(base) * mine.choice((1, 1, 3)))
                for _ in range(mine.choice((1, 1, 2, 5))):
                    at = mine.randrange(len(data))
                    data[at:at + mine.choice((0, 1, 4))] = mine.choice(words) if mine.random() < .3 else mine.randbytes(mine.randrange(3))
                data = bytes(data)
            got, _ = raw(server.port, data, seconds=15, half_close=True, quiet=15)
            for status in statuses(got) or [0]:
                seen[status] = seen.get(status, 0) + 1
                if status >= 500 and status not in (503, 505):
                    wrong.append(f"{status} for {data[:200]!r}")
    threads = [threading.Thread(target=client, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    alive(server, wrong)
    verdict(not wrong, "wild bytes", "; ".join(wrong[:8]), counted(seen).replace("times 0", "times no answer"))


def made_pictures():
    """(name, bytes): formats and modes that Pillow writes, and files that say they are large."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((20000 + 1) * 3000), 9)  # 60 million grey pixels in some 60 KiB
    yield "a bomb of 60 million pixels", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 3000, 8, 0, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    yield "zlib that never ends", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(bytes(50000000), 9)) + chunk(b"IEND", b"")
    yield "16 bits", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 16, 6, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(bytes((32 * 8 + 1) * 32))) + chunk(b"IEND", b"")
    yield "an ICC profile that is a bomb", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)) + chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50000000), 9)) + chunk(b"IDAT", zlib.compress(bytes(13 * 4))) + chunk(b"IEND", b"")
    try:
        from PIL import Image
    except ImportError:
        return
    for form, modes in {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "JPEG": ("L", "RGB", "CMYK"), "WEBP": ("RGB", "RGBA"), "GIF": ("P",)}.items():
        for mode in modes:
            out = io.BytesIO()
            try:
                Image.new(mode, (40, 30), 1 if mode in ("1", "L", "P", "I;16") else None).save(out, form)
            except (OSError, KeyError, ValueError):
                continue
            yield f"{form} {mode}", out.getvalue()
    frames = [Image.new("RGB", (32, 32), (i, 0, 0)) for i in range(40)]
    for form, more in (("GIF", {}), ("WEBP", {}), ("PNG", {})):
        out = io.BytesIO()
        frames[0].save(out, form, save_all=True, append_images=frames[1:], duration=20, loop=0, **more)
        yield f"{form} in motion", out.getvalue()
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(out, "JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    yield "JPEG turned", out.getvalue()


def pictures(server, api, seconds, seed):
    """Odd pictures, then bytes of them changed at random."""
    seen, wrong, until, rng = {}, [], time.monotonic() + seconds, random.Random(seed)
    files, op = list(made_pictures()), api["paths"]["/vq/encode"]["post"]
    blob = api["paths"]["/v1/images/blobs"]["post"]
    for name, data in files:
        status, _, answer = request(server.port, "POST", "/vq/encode", {"image": data_url(data)})
        judge(status, op, seen, wrong, (name, data, answer))
        if status not in (200, 400):
            wrong.append(f"{name}: {status}")
    small = [f for f in files if len(f[1]) < 20000]
    while time.monotonic() < until and len(wrong) < 20 and server.alive():
        name, data = rng.choice(small)
        data = bytearray(data)
        for _ in range(rng.choice((1, 1, 3, 10))):
            data[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
        data = bytes(data[:rng.randrange(len(data))] if rng.random() < .1 else data)
        if rng.random() < .5:
            status, _, answer = request(server.port, "POST", "/vq/encode", {"image": data_url(data)})
            judge(status, op, seen, wrong, (name, data, answer))
        else:
            status, _, answer = request(server.port, "POST", "/v1/images/blobs", data, {"Content-Type": "application/octet-stream"})
            judge(status, blob, seen, wrong, (name, data, answer))
    alive(server, wrong)
    verdict(not wrong, "wild pictures", "; ".join(wrong[:8]), f"{len(files)} made; " + counted(seen))


def main():
    model, seconds, seed = sys.argv[1], float((sys.argv + ["30", "30"])[2]), int((sys.argv + ["30", "1", "1"])[3]) if len(sys.argv) > 3 else 1
    with Server(model, "--image-memory", "16Mi", "--timeout", "30", log="wild.log") as server:
        api = json.loads(request(server.port, "GET", "/openapi.json")[2])
        kinds = {"bodies": bodies, "wires": wires}
        if any(re.search("vq", p) for p in api["paths"]) and "image" in json.loads(request(server.port, "GET", "/v1/models")[2])["data"][0]["architecture"]["output_modalities"]:
            kinds |= {"forms": forms, "pictures": pictures}
        else:
            skipped("wild pictures", "the model has none")
        with Beside(server.port) as beside:
            for name in itertools.chain(kinds):
                if server.alive():
                    kinds[name](server, api, seconds, seed)
        verdict(not beside.wrong, "streams beside them", f"{len(beside.wrong)}: " + "; ".join(beside.wrong[:4]), f"{beside.n} with the same bytes")
        if server.alive():
            time.sleep(1)
            now = metrics(server.port)
            verdict(total(now, "vlm_requests_running") == 0 and total(now, "vlm_requests_waiting") == 0, "nothing runs after wild requests", "",
                    f"{server.rss_kib()} KiB, {server.fds()} descriptors")
            verdict(post(server.port, "/v1/completions", {"prompt": "<p>A", "max_tokens": 4, "seed": 1})[0] == 200, "a right request after wild ones")
    end()


main()
