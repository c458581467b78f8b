"""Many clients, slow clients, clients that leave, too many clients; the same bytes whoever else is there; ends.

  python serve_load.py MODEL [--full] [mixed|slow|leave|freed|overload|same|drain|kill]...

Without --full each check has about a tenth of its size and the whole takes some minutes. Server and clients share this
machine, so times are printed beside those of the same run without load. Prints "ok CHECK" or "not ok CHECK: WHY"."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import struct
import sys
import threading
import time

from serve_common import (Server, data_url, end, events, metrics, png, post, request, stripped, total, verdict)

FULL = "--full" in sys.argv
LINGER_RST = struct.pack("ii", 1, 0)


def message(path, body, method="POST", close=True):
    data = json.dumps(body).encode() if body is not None else b""
    return (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
            + ("Connection: close\r\n" if close else "") + "\r\n").encode() + data


async def exchange(port, data, timeout=120):
    """(status, answer as it came, seconds); status 0: closed without an answer."""
    began = time.monotonic()
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), timeout)
    try:
        writer.write(data)
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(-1), timeout)
    except (ConnectionError, BrokenPipeError):
        answer = b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return int(answer[9:12]) if answer[:9] == b"HTTP/1.1 " else 0, answer, time.monotonic() - began


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def ms(seconds):
    return f"{1000 * seconds:.1f} ms"


def grammar(server):
    """Whether the model draws pictures."""
    return "image" in json.loads(request(server.port, "GET", "/v1/models")[2])["data"][0]["architecture"]["output_modalities"]


def heap_kib(server):
    """Memory the server has taken from the allocator; exact when its threads keep no freed pieces (EXACT_HEAP)."""
    return metrics(server.port)["vlm_heap_live_bytes"] / 1024


EXACT_HEAP = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


def soon(good, seconds=1.0):
    """Whether `good()` holds within `seconds`: closing a connection takes its server a moment."""
    began = time.monotonic()
    while not good():
        if time.monotonic() - began > seconds:
            return False
        time.sleep(0.005)
    return True


def context(server):
    return json.loads(request(server.port, "GET", "/v1/models")[2])["data"][0]["meta"]["n_ctx"]


# ---- mixed requests: memory, descriptors and threads stay ----

def mixed_request(i, pictures):
    """(kind, bytes, right status codes)."""
    kind, seed = i % 100, i % 20
    if kind < 60:
        return "completion", message("/v1/completions", {"prompt": f"<p>A {i % 7} b", "max_tokens": 8, "seed": seed}), {200}
    if kind < 70:
        return "stream", message("/v1/completions", {"prompt": "<p>", "max_tokens": 24, "seed": seed, "stream": True}), {200}
    if kind < 78:
        return "infill", message("/infill", {"input_prefix": "<p>The ", "input_suffix": " is</p>", "n_predict": 8, "seed": seed}), {200}
    if kind < 84:
        return "chat", message("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "seed": seed}), {200}
    if kind < 88:
        return "tokenize", message("/tokenize", {"content": "some words " * 20}), {200}
    if kind < 91:
        return "score", message("/score", {"prompt": "<p>a page of words</p>"}), {200}
    if kind < 93 and pictures:
        return "encode", message("/vq/encode", {"image": pictures[i % len(pictures)]}), {200}
    if kind < 95 and pictures:
        return "picture", message("/v1/images/generations", {"prompt": "a cat", "seed": seed}), {200}
    if kind < 97:
        return "wrong", message("/v1/completions", {"prompt": 5}), {400}
    if kind < 98:
        return "no JSON", message("/v1/completions", None), {400}
    return "health", message("/health", None, "GET"), {200}


async def mixed_load(server, n, width, samples):
    pictures = [data_url(png(256, 256, lambda x, y, k=k: (x * k % 256, y, 90))) for k in range(1, 4)] if grammar(server) else []
    odd, refused, seconds, done = [], 0, [], 0
    queue = iter(range(n))

    async def client():
        nonlocal refused, done
        for i in queue:
            kind, data, right = mixed_request(i, pictures)
            status, answer, took = await exchange(server.port, data)
            if status in (429, 503):
                refused += 1
            elif status not in right:
                odd.append(f"{kind}: {status} {answer[-120:]!r}")
            else:
                seconds.append(took)
            done += 1
            if done % max(1, n // 20) == 0:
                samples.append((done, server.rss_kib()))
    await asyncio.gather(*(client() for _ in range(width)))
    return odd, refused, seconds


def mixed(model):
    n, samples = 10000 if FULL else 1000, []
    with Server(model, env=EXACT_HEAP) as server:
        asyncio.run(mixed_load(server, 1000, 16, []))  # caches fill, memory settles
        time.sleep(0.5)
        fds, threads, before, heap = server.fds(), server.status("Threads"), server.rss_kib(), heap_kib(server)
        began = time.monotonic()
        odd, refused, seconds = asyncio.run(mixed_load(server, n, 16, samples))
        took = time.monotonic() - began
        time.sleep(1)
        grown, now = server.rss_kib() - before, metrics(server.port)
        verdict(not odd and refused <= n // 20, f"{n} mixed requests", f"{refused} refused; " + "; ".join(odd[:6]),
                f"{n / took:.0f} a second, median {ms(statistics.median(seconds))}, p99 {ms(percentile(seconds, .99))}, {refused} refused")
        verdict(grown <= 1024 + n // 10, "memory stays", f"{grown} KiB more: {samples}", f"{grown} KiB more, {before} KiB before")
        verdict(soon(lambda: heap_kib(server) - heap <= 64), "the live heap stays", f"{heap_kib(server) - heap:.0f} KiB more",
                f"{heap_kib(server) - heap:.0f} KiB more")
        verdict(soon(lambda: server.fds() == fds) and server.status("Threads") == threads, "descriptors and threads stay",
                f"{server.fds()} of {fds} descriptors, {server.status('Threads')} of {threads} threads")
        verdict(total(now, "vlm_requests_running") == 0 and total(now, "vlm_requests_waiting") == 0, "nothing runs afterwards", "")
        counted = total(now, "vlm_requests_total")
        verdict(counted >= n + 1000, "all are counted", f"{counted} of {n + 1000}")
        verdict(len(now) <= 600, "metrics are bounded", f"{len(now)} lines", f"{len(now)} lines")


# ---- slow clients ----

async def probe(port, seconds, every=0.05):
    """Times of a normal request; raises when one fails."""
    out, until = [], time.monotonic() + seconds
    data = message("/v1/completions", {"prompt": "<p>A", "max_tokens": 8, "seed": 1})
    while time.monotonic() < until:
        status, answer, took = await exchange(port, data)
        if status != 200:
            raise RuntimeError(f"a normal request got {status} {answer[:200]!r}")
        out.append(took)
        await asyncio.sleep(every)
    return out


async def slow_sender(port, first, piece, every, until):
    """Sends bytes slowly until the server closes: seconds it took, or None."""
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0.0
    try:
        writer.write(first)
        while time.monotonic() < until:
            writer.write(piece)
            await writer.drain()
            with contextlib.suppress(asyncio.TimeoutError):
                if not await asyncio.wait_for(reader.read(4096), every):
                    return time.monotonic() - began
        return None
    except OSError:
        return time.monotonic() - began
    finally:
        writer.close()


async def slow_reader(port, data, until):
    """Asks for much, reads a byte a second."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.setblocking(False)
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    try:
        await loop.sock_connect(s, ("127.0.0.1", port))
        await loop.sock_sendall(s, data)
        while time.monotonic() < until:
            if not await asyncio.wait_for(loop.sock_recv(s, 1), 60):
                return time.monotonic() - began
            await asyncio.sleep(1)
        return None
    except (OSError, asyncio.TimeoutError):
        return time.monotonic() - began
    finally:
        s.close()


async def slow_case(server, name, clients, limit):
    alone = await probe(server.port, 3)
    rss = server.rss_kib()
    tasks = [asyncio.create_task(c) for c in clients]
    await asyncio.sleep(1)
    with_them = await probe(server.port, 6)
    grown = server.rss_kib() - rss
    ended = await asyncio.gather(*tasks)
    a, b = percentile(alone, .5), percentile(with_them, .5)
    # The driver of the slow clients has a core of its own at best: a few milliseconds are its own.
    verdict(b <= 2 * a + .003, f"{name}: a normal request", f"median {ms(b)}, alone {ms(a)}",
            f"median {ms(b)}, p99 {ms(percentile(with_them, .99))}; alone {ms(a)}, {ms(percentile(alone, .99))}")
    still = sum(e is None for e in ended)
    if limit:
        verdict(still == 0 and max(e or 0 for e in ended) < limit, f"{name}: closed in time", f"{still} still open, the last after {max(e or 0 for e in ended):.1f} s",
                f"the last after {max(e or 0 for e in ended):.1f} s")
    verdict(grown <= (16 if limit else 128) * len(tasks) + 4096, f"{name}: memory", f"{grown} KiB for {len(tasks)}", f"{grown} KiB for {len(tasks)}")


def slow(model):
    n = 1000 if FULL else 200
    with Server(model) as server:
        port = server.port

        async def run():
            until = time.monotonic() + 60
            await slow_case(server, f"{n} slow heads", [slow_sender(port, b"GET / HTTP/1.1\r\n", b"X", 1, until) for _ in range(n)], 20)
            until = time.monotonic() + 80
            first = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 8192\r\n\r\n"
            await slow_case(server, f"{n // 2} slow bodies", [slow_sender(port, first, b" ", 1, until) for _ in range(n // 2)], 45)
            until = time.monotonic() + 12
            await slow_case(server, f"{n // 5} slow readers", [slow_reader(port, message("/openapi.json", None, "GET") * 4, until) for _ in range(n // 5)], None)
            status, _, _ = await exchange(port, message("/health", None, "GET"))
            verdict(status == 200 and server.alive(), "health after slow clients", f"{status}")
        asyncio.run(run())


# ---- clients that leave ----

async def leave_once(port, data, rng):
    """Reads a random number of bytes, then goes: FIN, RST, or closes its sending side and reads to the end."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return
    how, wanted = rng.choice(("fin", "rst", "half")), rng.choice((0, 0, 1, 50, 200, rng.randrange(2000)))
    cut = rng.choice((len(data), len(data), len(data), rng.randrange(len(data))))
    try:
        writer.write(data[:cut])
        await writer.drain()
        if how == "half":
            writer.write_eof()
        while wanted > 0:
            piece = await asyncio.wait_for(reader.read(wanted), 30)
            if not piece:
                break
            wanted -= len(piece)
        if how == "half":
            await asyncio.wait_for(reader.read(-1), 60)
        if how == "rst":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    except (OSError, asyncio.TimeoutError):
        pass
    writer.close()


def idle(server, seconds=1.0):
    """Seconds until nothing runs or waits any more; None: not within `seconds`."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        now = metrics(server.port)
        if total(now, "vlm_requests_running") == 0 and total(now, "vlm_requests_waiting") == 0:
            return time.monotonic() - began
        time.sleep(0.005)
    return None


def leave(model):
    n = 2000 if FULL else 300
    rng = random.Random(7)
    with Server(model, env=EXACT_HEAP) as server:
        has_pictures, port = grammar(server), server.port
        kinds = [message("/v1/completions", {"prompt": "<p>", "stream": True, "max_tokens": 100, "ignore_eos": True, "seed": 1}),
                 message("/v1/completions", {"prompt": "<p>" + "word " * 50, "max_tokens": 50, "ignore_eos": True, "seed": 2}),
                 message("/infill", {"input_prefix": "<p>a ", "input_suffix": " b</p>", "n_predict": 50}),
                 message("/v1/completions", {"prompt": "<p>", "n": 3, "stream": True, "max_tokens": 40, "ignore_eos": True})]
        if has_pictures:
            kinds.append(message("/v1/images/generations", {"prompt": "a cat", "stream": True, "partial_images": 2}))
            kinds.append(message("/vq/encode", {"image": data_url(png())}))
        good = {"prompt": "<p>A", "max_tokens": 8, "seed": 3}
        expected = stripped(post(port, "/v1/completions", good)[1])

        async def some(count):
            queue = iter(range(count))

            async def client():
                for _ in queue:
                    await leave_once(port, rng.choice(kinds), rng)
            await asyncio.gather(*(client() for _ in range(64)))
        asyncio.run(some(n))  # caches fill
        idle(server, 20)
        time.sleep(0.5)
        fds, rss, heap = server.fds(), server.rss_kib(), heap_kib(server)
        asyncio.run(some(n))
        freed = idle(server)
        verdict(freed is not None, f"{n} clients that leave: slots are free within a second", f"{metrics(port)}", f"{(freed or 0) * 1000:.0f} ms")
        verdict(soon(lambda: server.fds() <= fds), "descriptors", f"{server.fds()}, before {fds}")
        # Resident memory goes on growing for thousands of clients until each page of the heap has been in use once.
        verdict(soon(lambda: heap_kib(server) - heap <= 64), "nothing is kept of them", f"{heap_kib(server) - heap:.0f} KiB of the heap more",
                f"{heap_kib(server) - heap:.0f} KiB of the heap more, {server.rss_kib() - rss} KiB resident")
        cancelled = total(metrics(port), "vlm_cancelled_requests_total")
        verdict(cancelled > 0, "cancelled ones are counted", f"{cancelled}", f"{cancelled:.0f}")
        verdict(stripped(post(port, "/v1/completions", good)[1]) == expected and server.alive(), "the same answer afterwards", "")


def wait_running(port, n=1, seconds=10):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        now = metrics(port)
        if total(now, "vlm_requests_running") + total(now, "vlm_requests_waiting") >= n:
            return True
        time.sleep(0.002)
    return False


def connect(port, data):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(data)
    return s


def freed(model):
    """The slot of a client that left is free within 100 ms, whatever it was doing."""
    with Server(model, "--parallel", "2") as server:
        port = server.port
        n_ctx = context(server)
        long_one = {"prompt": "<p>", "max_tokens": n_ctx - 20, "ignore_eos": True, "stream": True}
        cases = {"in decode": (long_one, "/v1/completions"),
                 "in prefill": ({"prompt": [5 + i % 90 for i in range(n_ctx - 8)], "max_tokens": 4, "ignore_eos": True}, "/v1/completions")}
        if grammar(server):
            cases["in a picture"] = ({"prompt": "a cat", "n": 4}, "/v1/images/generations")
        for name, (body, path) in cases.items():
            times = []
            for i in range(10):
                body = {**body, "seed": i}
                if name == "in prefill":  # nothing of it is in the prefix cache
                    body["prompt"] = [5 + (i + 1) * 7 % 90] + body["prompt"][1:]
                s = connect(port, message(path, body))
                time.sleep(0.004 * i)
                s.close()
                began = time.monotonic()
                while True:
                    now = metrics(port)
                    if total(now, "vlm_requests_running") + total(now, "vlm_requests_waiting") == 0:
                        break
                    if time.monotonic() - began > 5:
                        break
                times.append(time.monotonic() - began)
            verdict(percentile(times, .9) < 0.1, f"a slot is free when its client left {name}", f"{[round(t * 1000) for t in times]} ms", f"{ms(max(times))} at most")
        held = [connect(port, message("/v1/completions", {**long_one, "seed": i})) for i in range(2)]
        wait_running(port, 2)
        waiting = connect(port, message("/v1/completions", {**long_one, "seed": 9}))
        seen = wait_running(port, 3, 2)
        waiting.close()
        began = time.monotonic()
        while total(metrics(port), "vlm_requests_waiting") > 0 and time.monotonic() - began < 5:
            pass
        took = time.monotonic() - began
        for s in held:
            s.close()
        verdict(took < 0.1, "a place in the queue is free when its client left", ms(took), ms(took) + ("" if seen else ", though the queue was not seen full"))


# ---- too many ----

def overload(model):
    seconds = 30 if FULL else 6
    with Server(model, "--parallel", "4", "--max-queue", "16") as server:
        port = server.port
        data = message("/v1/completions", {"prompt": "<p>", "max_tokens": 64, "ignore_eos": True})

        async def closed(width, until):
            count = 0

            async def client():
                nonlocal count
                while time.monotonic() < until:
                    status, _, _ = await exchange(port, data)
                    count += status == 200
            await asyncio.gather(*(client() for _ in range(width)))
            return count
        first = f"/task/{server.pid}"
        began, cpu, loop = time.monotonic(), server.cpu_seconds(), server.cpu_seconds(first)
        capacity = asyncio.run(closed(8, began + seconds)) / seconds
        each, talk = (server.cpu_seconds() - cpu) / (capacity * seconds), (server.cpu_seconds(first) - loop) / (capacity * seconds)

        async def opened():
            tasks, rate, start = [], 3 * capacity, time.monotonic()
            for i in range(int(rate * seconds)):
                await asyncio.sleep(max(0, start + i / rate - time.monotonic()))
                tasks.append(asyncio.create_task(exchange(port, data)))
            return await asyncio.gather(*tasks), time.monotonic() - start
        loop = server.cpu_seconds(first)
        answers, took = asyncio.run(opened())
        loop = server.cpu_seconds(first) - loop
        good = sum(s == 200 for s, _, _ in answers)
        refusals = [(a, t) for s, a, t in answers if s in (429, 503)]
        other = {s for s, _, _ in answers} - {200, 429, 503}
        verdict(not other, "overload: only answers and refusals", f"{other}")
        # With three times as many clients as it can answer, a quarter of its work may be lost to the two that it refuses. Counted
        # in time of its CPU: the clients share the machine and take more of it now.
        refusal = (loop - good * talk) / max(len(refusals), 1)
        said = (f"a refusal takes {refusal * 1e3:.3f} ms of CPU, an answer {each * 1e3:.2f} ({talk * 1e3:.3f} for its connection); "
                f"{good / took:.1f} a second, alone {capacity:.1f}")
        verdict(good > 0 and 2 * refusal <= each * (1 / 0.75 - 1), "overload: work goes on", said, said)
        verdict(bool(refusals) and all(b"retry-after" in a.lower() for a, _ in refusals), "overload: refused with Retry-After", f"{len(refusals)} refused",
                f"{len(refusals)} of {len(answers)}, median after {ms(percentile([t for _, t in refusals], .5))}")
        time.sleep(1)
        status, _, t = asyncio.run(exchange(port, data))
        verdict(status == 200 and idle(server, 5) is not None, "overload: normal afterwards", f"{status} after {ms(t)}")


# ---- the same bytes ----

def prompts(pictures):
    out = []
    for i in range(20 if FULL else 6):
        out.append(("/v1/completions", {"prompt": f"<p>A page {i}", "max_tokens": 24, "seed": i, **({"logprobs": 3} if i % 3 == 0 else {})}))
        out.append(("/infill", {"input_prefix": f"<p>The {i} ", "input_suffix": " is</p>", "n_predict": 12, "seed": i}))
    beginning = "<p>" + "a long beginning " * 12
    out.append(("/v1/completions", {"prompt": beginning, "max_tokens": 8, "seed": 1, "n": 3, "logprobs": 1}))
    out.append(("/v1/completions", {"prompt": beginning + "of", "max_tokens": 8, "temperature": 0, "logprobs": 2, "seed": 1}))
    out.append(("/v1/completions", {"prompt": beginning, "max_tokens": 8, "num_beams": 3, "seed": 1}))
    out.append(("/v1/completions", {"prompt": ["<p>A", "<p>B", beginning], "max_tokens": 9, "seed": 2, "top_p": .8, "top_k": 30, "frequency_penalty": .5}))
    out.append(("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "seed": 4}))
    out.append(("/score", {"prompt": "<p>a page of words</p>"}))
    if pictures:
        image = {"type": "image_url", "image_url": {"url": data_url(png(64, 64, lambda x, y: (4 * x, 4 * y, 90)))}}
        page = [{"type": "text", "text": "<html lang=\"en\"><body>"}, {"type": "text", "text": "</body></html>"}]
        out.append(("/v1/images/generations", {"prompt": "a cat", "seed": 5}))
        out.append(("/v1/images/generations", {"prompt": "a cat", "seed": 6, "n": 2, "cfg_scale_image": 3}))
        out.append(("/infill", {"document": [page[0], {**image, "mask": {"id": 0, "rect": [4, 4, 9, 12]}}, page[1]], "seed": 1}))
        out.append(("/infill", {"document": [page[0], image, {"type": "text", "text": "<p>"}, {"type": "mask", "id": 0, "kind": "text"}, {"type": "text", "text": "</p>"}, page[1]], "seed": 2, "n_predict": 20}))
    return out


def ask_all(port, wanted, among=0):
    """The answers of all prompts, one after the other, beside `among` clients with other prompts."""
    over, answers = threading.Event(), []

    def other(k):
        i = 0
        while not over.is_set():
            i += 1
            with contextlib.suppress(OSError):
                request(port, "POST", "/v1/completions", {"prompt": f"<p>other {k} {i % 5}", "max_tokens": 16 + k, "seed": i})
    threads = [threading.Thread(target=other, args=(k,)) for k in range(among)]
    for t in threads:
        t.start()
    try:
        for path, body in wanted:
            while True:
                status, answer = post(port, path, body)
                if status not in (429, 503):
                    break
                time.sleep(0.05)
            answers.append((status, stripped(answer)))
            if path == "/v1/completions" and "n" not in body:
                pieces = stripped(events(port, path, {**body, "stream": True})[0])  # which choice comes first is nobody's promise
                answers.append((200, sorted(pieces, key=lambda e: (e.get("choices") or [{}])[0].get("index", 99))))
    finally:
        over.set()
        for t in threads:
            t.join()
    return answers


def same(model):
    """One model, one answer: whatever the threads, the slots, the cache, the neighbours, and behind a restart."""
    servers = (("-j", "1"), ("-j", "2"), ("-j", "8"), ("-j", "2", "--parallel", "3"), ("-j", "2", "--no-prefix-cache"), ("-j", "2", "--cache-slots", "0", "--parallel", "16"))
    for dtype in ("fp32", "bf16", "int8"):
        first = None
        for options in servers if FULL or dtype == "fp32" else servers[1:6:3]:
            with Server(model, "--dtype", dtype, *(options if "--parallel" in options else ("--parallel", "4", *options))) as server:
                wanted = prompts(grammar(server))
                for name, among in (("alone", 0), ("again", 0), ("among 15 others", 15)):
                    answers = ask_all(server.port, wanted, among)
                    first = first or answers
                    wrong = [f"{wanted[0]}"] if len(answers) != len(first) else [str(a)[:200] + " is not " + str(b)[:200] for a, b in zip(answers, first) if a != b]
                    verdict(not wrong and all(s == 200 for s, _ in answers), f"the same bytes in {dtype} with {' '.join(options)}, {name}",
                            f"{len(wrong)}: " + "; ".join(wrong[:2]) or f"{[s for s, _ in answers]}", f"{len(answers)} answers")


# ---- ends ----

def drain(model):
    for i in range(10 if FULL else 2):
        with Server(model, "--parallel", "16", log=f"drain-{i}.log") as server:
            port, results = server.port, []

            def client(k):
                try:
                    got, done = events(port, "/v1/completions", {"prompt": "<p>", "max_tokens": 150, "ignore_eos": True, "stream": True, "seed": k})
                    results.append(done and any(c.get("finish_reason") for e in got for c in e.get("choices", [])))
                except (OSError, RuntimeError, ValueError) as e:
                    results.append(e)
            threads = [threading.Thread(target=client, args=(k,)) for k in range(16)]
            for t in threads:
                t.start()
            wait_running(port, 16, 5)
            time.sleep(0.01 * i)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                if server.alive() and server.process.poll() is None and any(t.is_alive() for t in threads):
                    verdict(False, "drain: new connections are refused", "one was accepted")
            for t in threads:
                t.join()
            status = server.process.wait(60)
            verdict(status == 0 and results == [True] * 16, f"drain {i}: 16 streams end whole, status 0", f"status {status}, {[r for r in results if r is not True][:3]}")
    with Server(model, log="drain-twice.log") as server:
        n_ctx = context(server)
        held = [connect(server.port, message("/v1/completions", {"prompt": "<p>", "max_tokens": n_ctx - 20, "ignore_eos": True, "stream": True, "n": 8, "seed": i})) for i in range(8)]
        wait_running(server.port, 8, 5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        server.process.wait(60)
        took = time.monotonic() - began
        for s in held:
            s.close()
        verdict(took < 0.5, "a second signal ends it at once", ms(took), f"{ms(took)}, status {server.process.returncode}")


def state(pid):
    """The letter of a process: Z is dead and waits for its parent; empty: it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0]
    return ""


def children(pid):
    out = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                    out.append(int(name))
    return out


def kill(model):
    n, port, slowest, left = 20 if FULL else 4, None, 0.0, []
    good, expected = {"prompt": "<p>A", "max_tokens": 8, "seed": 3}, None
    for i in range(n):
        began = time.monotonic()
        server = Server(model, port=port, log="kill.log")
        slowest = max(slowest, time.monotonic() - began)
        port = server.port
        answer = stripped(post(port, "/v1/completions", good)[1])
        expected = expected or answer
        if answer != expected:
            verdict(False, "the same answer after kill -9", f"{answer}")
        held = [connect(port, message("/v1/completions", {"prompt": "<p>", "max_tokens": 200, "ignore_eos": True, "stream": True, "seed": k})) for k in range(8)]
        wait_running(port, 4, 5)
        below = children(server.pid)
        server.process.kill()
        server.process.wait()
        server.log.close()
        time.sleep(0.2)
        left += [p for p in below if state(p) not in ("", "Z")]
        for s in held:
            s.close()
    verdict(True, f"{n} times kill -9: the port is there again", detail=f"ready {ms(slowest)} after the start at most")
    verdict(not left, "no process is left behind", f"{left}")


CHECKS = {"mixed": mixed, "slow": slow, "leave": leave, "freed": freed, "overload": overload, "same": same, "drain": drain, "kill": kill}


def main():
    words = [w for w in sys.argv[1:] if w != "--full"]
    for name in words[1:] or CHECKS:
        try:
            CHECKS[name](words[0])
        except Exception as e:  # a check that cannot be made has failed; the others go on
            verdict(False, name, f"{type(e).__name__}: {e}")
    end()


main()
