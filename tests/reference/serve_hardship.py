"""The server in a poor place: few descriptors, little memory, a full disk, a model that is gone, kills and signals.

  python serve_hardship.py MODEL [files|disk|socket|signals|gone|memory]...

Prints "ok CHECK" or "not ok CHECK: WHY"."""

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from serve_common import Server, data_url, end, png, post, request, stripped, verdict

GOOD = {"prompt": "<p>A", "max_tokens": 8, "seed": 3}
LONG = {"prompt": "<p>", "max_tokens": 250, "ignore_eos": True, "stream": True}


def asked(port, path, body):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    data = json.dumps(body).encode()
    s = socket.create_connection(("127.0.0.1", port), 30)
    s.sendall(head.encode() + b"%d\r\n\r\n" % len(data) + data)
    return s


def to_the_end(s):
    got = b""
    with contextlib.suppress(OSError):
        while piece := s.recv(65536):
            got += piece
    s.close()
    return got


def files(model):
    """With 64 descriptors and 200 clients: those that find a place are answered, and work goes on when they have left."""
    with Server(model, log="files.log", limits={resource.RLIMIT_NOFILE: 64}) as server:
        answer = stripped(post(server.port, "/v1/completions", GOOD)[1])
        held = []
        for _ in range(200):
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", server.port), 2))
        before = cpu(server.pid)
        time.sleep(2)
        spent = cpu(server.pid) - before
        for s in held:
            s.close()
        time.sleep(1)
        again = post(server.port, "/v1/completions", GOOD)
        verdict(server.alive() and again[0] == 200 and stripped(again[1]) == answer, "64 descriptors and 200 connections", f"{again}", f"{len(held)} connected")
        verdict(spent < 0.5, "it does not spin when it may not accept", f"{spent:.2f} s of CPU in 2 s", f"{spent:.2f} s of CPU in 2 s")
        verdict(os.path.getsize("files.log") < 20000, "nor does it fill its log", f"{os.path.getsize('files.log')} bytes", f"{os.path.getsize('files.log')} bytes")


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disk(model):
    """An access log that cannot be written costs the log, not the answers."""
    with Server(model, "--access-log", "/dev/full", log="disk.log") as server:
        statuses = [post(server.port, "/v1/completions", {**GOOD, "seed": i})[0] for i in range(30)]
        size = os.path.getsize("disk.log")
        verdict(statuses == [200] * 30 and server.alive(), "an access log on a full disk", f"{statuses}; {server.last_words()}")
        verdict(size < 4000, "it does not fill its own output", f"{size} bytes: {server.last_words()}", f"{size} bytes")


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def over(path, method, target, body=None):
    c = Unix(path)
    try:
        c.request(method, target, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"} if body else {})
        answer = c.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        c.close()


def started(model, path, log):
    process = subprocess.Popen(["vlm-serve", "-m", model, "--host", path], stdout=log, stderr=log)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            if over(path, "GET", "/ready")[0] == 200:
                return process
        time.sleep(0.01)
    raise RuntimeError(f"not ready at {path}: exit status {process.poll()}")


def sockets(model, times=20):
    """kill -9 under load, and started again at the same UNIX socket; a second server does not take the first one's."""
    path, answers = os.path.abspath("serve.sock"), []
    with open("socket.log", "ab") as log:
        for i in range(times):
            process = started(model, path, log)
            answers.append(stripped(over(path, "POST", "/v1/completions", GOOD)))
            held = []
            for _ in range(6):
                s = socket.socket(socket.AF_UNIX)
                s.connect(path)
                data = json.dumps(LONG).encode()
                s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
                held.append(s)
            time.sleep(0.005 * i)
            process.kill()
            process.wait()
            for s in held:
                s.close()
        process = started(model, path, log)
        second = subprocess.run(["vlm-serve", "-m", model, "--host", path, "-q"], capture_output=True, timeout=60, check=False)
        still = over(path, "GET", "/health")[0]
        process.terminate()
        status = process.wait(40)
        verdict(all(a == answers[0] for a in answers), f"{times} times kill -9 at a UNIX socket", f"{answers}")
        verdict(second.returncode not in (0, -9) and still == 200, "a second server at the socket is refused", f"status {second.returncode}, first {still}", second.stderr.decode().strip())
        verdict(status == 0 and not os.path.exists(path), "the socket is gone after SIGTERM", f"status {status}")


def signals(model):
    """SIGTERM in every phase: status 0, and what was begun is answered or told."""
    wrong = []
    image = {"image": data_url(png())}
    n_ctx = None
    for phase, wait in (("loading", 0.0), ("loading", 0.02), ("idle", None), ("head", None), ("body", None), ("prefill", 0.001), ("decode", 0.05), ("picture", 0.02), ("encode", 0.005), ("queue", 0.05), ("reader", 0.1)):
        server = Server(model, "--parallel", "2", "--grace", "5", log="signals.log", wait=phase != "loading")
        port, held = server.port, []
        if phase == "loading":
            time.sleep(wait)
        else:
            n_ctx = n_ctx or json.loads(request(port, "GET", "/v1/models")[2])["data"][0]["meta"]["n_ctx"]
            asks = {"idle": [], "prefill": [("/v1/completions", {"prompt": [40 + i % 90 for i in range(n_ctx - 20)], "max_tokens": 4})], "decode": [("/v1/completions", LONG)] * 2,
                    "picture": [("/v1/images/generations", {"prompt": "a cat"})] * 2, "encode": [("/vq/encode", image)] * 4, "queue": [("/v1/completions", LONG)] * 8,
                    "reader": [("/v1/completions", LONG)] * 2}
            held = [asked(port, *a) for a in asks.get(phase, [])]
            if phase in ("head", "body"):
                s = socket.create_connection(("127.0.0.1", port), 30)
                s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" + (b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{" if phase == "body" else b""))
                held.append(s)
            time.sleep(wait or 0.05)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        got = [to_the_end(s) for s in held] if phase != "reader" else []
        try:
            status = server.process.wait(20)
        except subprocess.TimeoutExpired:
            server.process.kill()
            status = "none within 20 s"
        took = time.monotonic() - began
        if phase == "reader":
            got = [to_the_end(s) for s in held]
        server.log.close()
        if status != 0 and not (phase == "loading" and status in (-15, 143)):
            wrong.append(f"{phase}: status {status}")
        if took > 7:
            wrong.append(f"{phase}: {took:.1f} s")
        if phase in ("prefill", "decode", "picture", "encode", "queue", "reader") and not all(g[:9] == b"HTTP/1.1 " for g in got):
            wrong.append(f"{phase}: a client got {[g[:40] for g in got]}")
        if phase in ("decode", "queue") and not all(b"[DONE]" in g or b" 503 " in g[:16] for g in got):
            wrong.append(f"{phase}: a stream was cut")
    verdict(not wrong, "SIGTERM in every phase", "; ".join(wrong))


def gone(model):
    """The folder of the model is deleted while it is served."""
    shutil.rmtree("gone", ignore_errors=True)
    shutil.copytree(model, "gone")
    with Server("gone", log="gone.log") as server:
        before = stripped(post(server.port, "/v1/completions", GOOD)[1])
        shutil.rmtree("gone")
        after = stripped(post(server.port, "/v1/completions", GOOD)[1])
        status = post(server.port, "/vq/encode", {"image": data_url(png())})[0]
        text = post(server.port, "/tokenize", {"content": "a word"})[0]
        verdict(before == after and status in (200, 404) and text == 200, "the model's folder is deleted", f"{status} {text} {after}")


def memory(model):
    """Address space that hardly suffices, and less: a sentence or answers, no crash."""
    wrong, said = [], []
    with Server(model, log="memory.log") as server:
        whole = server.status("VmSize") >> 10
    for more in (-whole + 64, -whole // 2, -64, -16, 0, 8, 32, 64, 256):
        try:
            with Server(model, log="memory.log", limits={resource.RLIMIT_AS: whole + more << 20}) as server:
                answers = []

                def ask(i, port=server.port, answers=answers):
                    try:
                        answers.append(request(port, "POST", "/v1/completions", {**GOOD, "n": 3, "seed": i})[0])
                        answers.append(request(port, "POST", "/vq/encode", {"image": data_url(png(1500, 900) if i == 0 else png())})[0])
                        answers.append(request(port, "POST", "/tokenize", {"content": "word " * 150000})[0])
                    except (OSError, http.client.HTTPException) as e:
                        answers.append(f"{type(e).__name__}")
                threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                if not server.alive():
                    wrong.append(f"{more:+d} MiB: died with {server.process.returncode}: {server.last_words()[-200:]}")
                elif post(server.port, "/v1/completions", GOOD)[0] != 200:
                    wrong.append(f"{more:+d} MiB: no answer afterwards")
                said.append(f"{more:+d} MiB serves {sorted(set(map(str, answers)))}")
        except RuntimeError as e:
            if "ended with 1:" not in str(e) and "ended with 6:" not in str(e) and "ended with 127:" not in str(e):
                wrong.append(f"{more:+d} MiB: {str(e)[-300:]}")
            said.append(f"{more:+d} MiB: {str(e).strip().splitlines()[-1][-60:]}")
    verdict(not wrong, "little memory", "; ".join(wrong), f"{whole} MiB mapped; " + "; ".join(said))


CHECKS = {"files": files, "disk": disk, "socket": sockets, "signals": signals, "gone": gone, "memory": memory}


def main():
    for name in sys.argv[2:] or CHECKS:
        try:
            CHECKS[name](sys.argv[1])
        except Exception as e:  # a check that cannot be made has failed; the others go on
            verdict(False, name, f"{type(e).__name__}: {e}")
    end()


main()
