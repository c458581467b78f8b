"""What the checks of vlm-serve share: a server of their own, requests byte by byte, and verdicts.

Only the standard library. `vlm-serve` is found in PATH; every server listens on a free port of 127.0.0.1."""

import base64
import contextlib
import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

FAILED = []


def ok(name, detail=""):
    print(f"ok {name}" + (f": {detail}" if detail else ""), flush=True)


def not_ok(name, why):
    FAILED.append(name)
    print(f"not ok {name}: {why}", flush=True)


def verdict(good, name, why="", detail=""):
    if good:
        ok(name, detail)
    else:
        not_ok(name, why or detail)
    return good


def skipped(name, why):
    print(f"skipped {name}: {why}", flush=True)


def end():
    """Verdicts tell what failed; a script that got here has done its work."""
    sys.exit(0)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """vlm-serve on a port of its own, until the `with` ends."""

    def __init__(self, model, *options, port=None, log="serve.log", wait=True, limits=None, env=None):
        self.port = port or free_port()
        self.log_path = log
        self.log = open(log, "ab")
        self.command = ["vlm-serve", "-m", model, "--port", str(self.port), *options]

        def limit():
            for which, value in (limits or {}).items():
                resource.setrlimit(which, (value, value))
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, preexec_fn=limit if limits else None,
                                        env={**os.environ, **(env or {})})
        if wait:
            self.wait_ready()

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self, seconds=120):
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                raise RuntimeError(f"{' '.join(self.command)} ended with {self.process.returncode}: {self.last_words()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if request(self.port, "GET", "/ready")[0] == 200:
                    return time.monotonic() - began
            time.sleep(0.02)
        raise RuntimeError(f"not ready within {seconds} s")

    def last_words(self):
        with open(self.log_path, "rb") as f:
            return f.read()[-600:].decode(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def status(self, field):
        """A number of /proc/PID/status: VmRSS in KiB, Threads."""
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(rf"^{field}:\s+(\d+)", f.read(), re.M)[1])

    def rss_kib(self):
        return self.status("VmRSS")

    def cpu_seconds(self, task=""):
        """Of all its threads until now, or of one: f"/task/{pid}" is the first, the one of connections. Children are not counted."""
        with open(f"/proc/{self.pid}{task}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stop(self, sig=signal.SIGTERM, seconds=60):
        if self.alive():
            self.process.send_signal(sig)
        status = self.process.wait(seconds)
        self.log.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if not self.log.closed:
            self.log.close()


def request(port, method, path, body=None, headers=None, timeout=120):
    """(status, fields in lower case, bytes). A body that is no bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        fields = {"Connection": "close"}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        fields.update(headers or {})
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def post(port, path, body, headers=None, timeout=120):
    """(status, JSON of the answer)."""
    status, _, data = request(port, "POST", path, body, headers, timeout)
    return status, json.loads(data)


def events(port, path, body, timeout=120):
    """The data of a stream's events, "[DONE]" left out; raises when the answer is no stream."""
    status, fields, data = request(port, "POST", path, body, timeout=timeout)
    if status != 200 or not fields.get("content-type", "").startswith("text/event-stream"):
        raise RuntimeError(f"{path}: {status} {data[:300]!r}")
    out, done = [], False
    for event in data.decode().split("\n\n"):
        lines = [line[6:] for line in event.split("\n") if line.startswith("data: ")]
        if lines == ["[DONE]"]:
            done = True
        elif lines:
            out.append(json.loads("\n".join(lines)))
    return out, done


def raw(port, data, seconds=10, half_close=False, quiet=0.25):
    """Sends bytes as they are; what came back until the server closed, or `quiet` seconds behind the last byte
    of an answer: (bytes, closed)."""
    got, closed = b"", False
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while we were sending: the answer may be there all the same
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            s.settimeout(min(quiet, seconds) if got else seconds)
            try:
                piece = s.recv(65536)
            except TimeoutError:
                break
            except OSError:
                closed = True
                break
            if not piece:
                closed = True
                break
            got += piece
    return got, closed


def statuses(data):
    """Status codes of the answers in bytes that came back; 1xx left out."""
    return [int(s) for s in re.findall(rb"(?:^|\n|\}|\0)HTTP/1\.1 ([2-5]\d\d) ", data)]


def metrics(port):
    """{"name{labels}": value}."""
    status, _, data = request(port, "GET", "/metrics")
    if status != 200:
        raise RuntimeError(f"/metrics: {status}")
    out = {}
    for line in data.decode().splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            out[name] = float(value)
    return out


def total(values, prefix):
    return sum(v for k, v in values.items() if k == prefix or k.startswith(prefix + "{"))


def png(width=256, height=256, pixel=None):
    """A PNG file: of one colour, or pixel(x, y) -> (r, g, b), or (r, g, b, a)."""
    pixel = pixel or (lambda x, y: (200, 60, 40))
    colour = 2 if len(pixel(0, 0)) == 3 else 6
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_pixels(data):
    """Rows of an 8-bit RGB PNG as bytes; every filter."""
    at, width, height, packed = 8, 0, 0, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 2), "not an 8-bit RGB picture"
        if kind == b"IDAT":
            packed += body
        at += 12 + n
    plain, stride, rows = zlib.decompress(packed), 3 * width, []
    before = bytes(stride)
    for y in range(height):
        kind, line = plain[y * (stride + 1)], bytearray(plain[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            a, b = line[x - 3] if x >= 3 else 0, before[x]
            c = before[x - 3] if x >= 3 else 0
            if kind == 1:
                line[x] = (line[x] + a) & 255
            elif kind == 2:
                line[x] = (line[x] + b) & 255
            elif kind == 3:
                line[x] = (line[x] + (a + b) // 2) & 255
            elif kind == 4:
                p = a + b - c
                line[x] = (line[x] + min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]) & 255
        before = bytes(line)
        rows.append(before)
    return rows


def data_url(data, kind="image/png"):
    return f"data:{kind};base64," + base64.b64encode(data).decode()


def from_url(url):
    return base64.b64decode(url.split(",", 1)[1])


def stripped(value):
    """An answer without what differs from run to run: ids, times, and how much of the prompt was found in the cache."""
    if isinstance(value, dict):
        return {k: stripped(v) for k, v in value.items()
                if k not in ("id", "created", "timings", "system_fingerprint", "cached_tokens", "tokens_cached")
                and not k.endswith("_ms")}
    if isinstance(value, (list, tuple)):
        return [stripped(v) for v in value]
    return value


def multipart(fields):
    """fields: (name, value) or (name, file name, type, bytes). (body, content type)."""
    boundary = f"----vlm{random.getrandbits(64):016x}"
    out = b""
    for field in fields:
        name, value = field[0], field[-1]
        out += f"--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"".encode()
        if len(field) == 4:
            out += f"; filename=\"{field[1]}\"\r\nContent-Type: {field[2]}".encode()
        out += b"\r\n\r\n" + (value if isinstance(value, bytes) else str(value).encode()) + b"\r\n"
    return out + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
