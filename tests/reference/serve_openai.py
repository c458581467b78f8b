"""The official client of OpenAI's API drives the server: completions, chat, pictures, edits, streams, errors.

  python serve_openai.py MODEL        # with the packages openai; MODEL draws pictures

Prints "ok CHECK" or "not ok CHECK: WHY"."""

import base64
import json
import os
import sys

import openai

from serve_common import Server, data_url, end, png, png_pixels, request, verdict

CODES = 256


def check(name):
    """Runs a check; what it raises is what is wrong, what it returns is a detail."""
    def wrap(function):
        try:
            detail = function()
            verdict(True, name, detail=detail or "")
        except Exception as e:
            verdict(False, name, f"{type(e).__name__}: {str(e)[:400]}")
        return function
    return wrap


def same(a, b, what="values"):
    if a != b:
        raise AssertionError(f"{what}: {str(a)[:200]!r} is not {str(b)[:200]!r}")


def true(value, what):
    if not value:
        raise AssertionError(what)


def square_of(data):
    rows = png_pixels(data)
    same((len(rows), len(rows[0])), (256, 768), "size of a picture")
    return rows


def raises(kind, what, call):
    try:
        call()
    except kind as e:
        true(type(e) is kind, f"{what}: {type(e).__name__}, not {kind.__name__}")
        return e
    raise AssertionError(f"{what}: nothing was raised")


def run(client, port):
    model = client.models.list().data[0].id
    picture = png(256, 256, lambda x, y: (220, 40, 40) if (x - 128) ** 2 + (y - 100) ** 2 < 3600 else (240, 240, 235))

    @check("models")
    def _():
        same(client.models.retrieve(model).id, model)
        raises(openai.NotFoundError, "another model", lambda: client.models.retrieve("another"))

    @check("completions")
    def _():
        a = client.completions.create(model=model, prompt="<p>A", max_tokens=12, seed=3, temperature=0.9)
        b = client.completions.create(model=model, prompt="<p>A", max_tokens=12, seed=3, temperature=0.9)
        same(a.choices[0].text, b.choices[0].text, "texts of one seed")
        true(a.choices[0].finish_reason in ("stop", "length"), a.choices[0].finish_reason)
        true(0 < a.usage.completion_tokens <= 12 and a.usage.total_tokens == a.usage.prompt_tokens + a.usage.completion_tokens, f"usage {a.usage}")
        same(a.object, "text_completion", "object")

    @check("completions: several answers, several prompts, ids, echo, stop, logprobs")
    def _():
        a = client.completions.create(model=model, prompt=["<p>A", "<p>The"], n=2, max_tokens=4, seed=1)
        same([c.index for c in a.choices], [0, 1, 2, 3], "indices")
        ids = json.loads(request(port, "POST", "/tokenize", {"content": "<p>A"})[2])["tokens"]
        b = client.completions.create(model=model, prompt=ids, max_tokens=3, temperature=0, echo=True, logprobs=2)
        true(b.choices[0].text.startswith("<p>A"), f"echo: {b.choices[0].text!r}")
        p = b.choices[0].logprobs
        true(len(p.tokens) == len(p.token_logprobs) == len(p.top_logprobs) == len(p.text_offset), "lists of logprobs")
        same("".join(p.tokens), b.choices[0].text, "tokens of the prompt and of what was drawn")
        same((p.token_logprobs[0], p.top_logprobs[0]), (None, None), "the first id has nothing in front of it")
        true(all(v is None or v <= 0 for v in p.token_logprobs), "logprobs are at most 0")
        whole = client.completions.create(model=model, prompt="<p>A", max_tokens=20, temperature=0).choices[0].text
        stop = whole[len(whole) // 2:][:3]
        cut = client.completions.create(model=model, prompt="<p>A", max_tokens=20, temperature=0, stop=[stop]).choices[0]
        same(cut.text, whole[:whole.index(stop)], "text before the stop word")
        same(cut.finish_reason, "stop", "finish_reason")

    @check("completions: stream")
    def _():
        ask = dict(model=model, prompt="<p>A", max_tokens=16, seed=5)
        whole = client.completions.create(**ask)
        chunks = list(client.completions.create(stream=True, stream_options={"include_usage": True}, **ask))
        same("".join(c.choices[0].text for c in chunks if c.choices), whole.choices[0].text, "text")
        same({c.id for c in chunks}.__len__(), 1, "ids")
        same({c.created for c in chunks}.__len__(), 1, "times")
        true(not chunks[-1].choices and chunks[-1].usage, "the last chunk has the usage")
        same(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens, "usage")
        same([c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason], [whole.choices[0].finish_reason], "ends")

    @check("completions: suffix")
    def _():
        a = client.completions.create(model=model, prompt="<p>A ", suffix=" on the left</p>", max_tokens=8, temperature=0)
        b = client.completions.create(model=model, prompt="<p>A ", suffix=" in the middle of it all</p>", max_tokens=8, temperature=0)
        true(isinstance(a.choices[0].text, str) and isinstance(b.choices[0].text, str), "texts")
        return f"{a.choices[0].text!r}, {b.choices[0].text!r}"

    @check("chat")
    def _():
        a = client.chat.completions.create(model=model, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A page"}],
                                           max_tokens=12, seed=2, logprobs=True, top_logprobs=2)
        m = a.choices[0].message
        true(m.role == "assistant" and isinstance(m.content, str), f"message {m}")
        same("".join(t.token for t in a.choices[0].logprobs.content), m.content, "tokens")
        true(all(len(t.top_logprobs) == 2 and bytes(t.bytes or []).decode(errors="replace") == t.token for t in a.choices[0].logprobs.content), "top_logprobs, bytes")
        same(a.object, "chat.completion", "object")

    @check("chat: stream")
    def _():
        ask = dict(model=model, messages=[{"role": "user", "content": "A page"}], max_tokens=16, seed=4)
        whole = client.chat.completions.create(**ask)
        chunks = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **ask))
        same(chunks[0].choices[0].delta.role, "assistant", "first delta")
        same("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), whole.choices[0].message.content, "text")
        same({(c.id, c.created, c.object) for c in chunks}.__len__(), 1, "id, time, object")
        same(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens, "usage")

    @check("chat: a picture goes in")
    def _():
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": data_url(picture)}}]
        a = client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}], max_tokens=8, seed=1)
        true(a.usage.prompt_tokens > CODES, f"a picture is {CODES} tokens: {a.usage}")

    @check("chat: a picture comes out")
    def _():
        a = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Draw it"}], seed=1, extra_body={"modalities": ["image"]})
        images = a.choices[0].message.model_extra["images"]
        true(len(images) >= 1, "no picture")
        codes = images[0]["vlm"]["codes"]
        true(len(codes) == CODES and all(isinstance(c, int) and c >= 0 for c in codes), "256 codes")
        square_of(base64.b64decode(images[0]["image_url"]["url"].split(",")[1]))
        same(a.usage.completion_tokens_details.model_extra.get("image_tokens", CODES) % CODES, 0, "image tokens")

    @check("chat: pictures in a stream")
    def _():
        chunks = list(client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Draw it"}], seed=1, stream=True,
                                                     extra_body={"modalities": ["image"], "image_preview_ms": 1}))
        images = [i for c in chunks if c.choices for i in (c.choices[0].delta.model_extra or {}).get("images", [])]
        true(images and not images[-1].get("partial"), "the last picture is whole")
        return f"{sum(bool(i.get('partial')) for i in images)} previews"

    @check("images: generate")
    def _():
        a = client.images.generate(prompt="blue square in the middle", n=2, extra_body={"seed": 1})
        same(len(a.data), 2, "pictures")
        first, second = (base64.b64decode(d.b64_json) for d in a.data)
        square_of(first)
        b = client.images.generate(prompt="blue square in the middle", n=1, extra_body={"seed": 1})
        same(base64.b64decode(b.data[0].b64_json), first, "pictures of one seed")
        true(first != second, "two pictures of n = 2 are equal")

    @check("images: generate, stream")
    def _():
        kinds = []
        for event in client.images.generate(prompt="blue square", stream=True, partial_images=2, extra_body={"seed": 1}):
            kinds.append(event.type)
            last = event
        same(kinds[-1], "image_generation.completed", "last event")
        same(kinds[:-1], ["image_generation.partial_image"] * (len(kinds) - 1), "events")
        true(1 <= len(kinds) - 1 <= 2, f"previews: {kinds}")
        square_of(base64.b64decode(last.b64_json))

    @check("images: edit")
    def _():
        # OpenAI's mask: transparent is what is drawn anew
        mask = png(256, 256, lambda x, y: (0, 0, 0, 0 if y >= 128 and x < 128 else 255))
        a = client.images.edit(image=("a.png", picture, "image/png"), mask=("m.png", mask, "image/png"), prompt="a red circle", extra_body={"seed": 1})
        after, before = square_of(base64.b64decode(a.data[0].b64_json)), png_pixels(picture)
        far = max(abs(after[y][3 * x + c] - before[y][3 * x + c]) for y in range(0, 64) for x in range(192, 256) for c in range(3))
        true(far <= 2, f"pixels far from the mask differ by {far}")
        changed = sum(after[y] != before[y] for y in range(128, 256))
        true(changed > 0, "nothing was drawn")
        return f"far from the mask: {far} levels"

    @check("errors are of the right class")
    def _():
        e = raises(openai.BadRequestError, "temperature", lambda: client.completions.create(model=model, prompt="x", temperature=-1))
        same(e.param, "temperature", "param")
        true(e.body and "temperature" in e.body["message"], f"body {e.body}")
        e = raises(openai.BadRequestError, "a URL", lambda: client.chat.completions.create(model=model, messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/x.png"}}]}]))
        same(e.param, "messages[0].content[0].image_url.url", "param")
        raises(openai.NotFoundError, "another model", lambda: client.completions.create(model="another", prompt="x"))
        e = raises(openai.BadRequestError, "too long", lambda: client.completions.create(model=model, prompt="word " * 20000))
        true(any(ch.isdigit() for ch in e.body["message"]), f"numbers: {e.body['message']}")
        raises(openai.BadRequestError, "size", lambda: client.images.generate(prompt="x", size="512x512"))

    @check("a client that leaves a stream")
    def _():
        stream = client.completions.create(model=model, prompt="<p>", max_tokens=200, stream=True, extra_body={"ignore_eos": True})
        for _chunk in stream:
            break
        stream.close()
        client.completions.create(model=model, prompt="<p>", max_tokens=2)


def keys(model):
    with open("openai.keys", "w") as f:
        f.write("sk-right\n")
    os.chmod("openai.keys", 0o600)
    with Server(model, "--api-key-file", "openai.keys", log="openai-keys.log") as server:
        url = f"http://127.0.0.1:{server.port}/v1"

        @check("a wrong key is an AuthenticationError")
        def _():
            raises(openai.AuthenticationError, "key", lambda: openai.OpenAI(base_url=url, api_key="sk-wrong", max_retries=0).models.list())
            openai.OpenAI(base_url=url, api_key="sk-right", max_retries=0).models.list()


def main():
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        del os.environ[name]
    with Server(sys.argv[1], log="openai.log") as server:
        run(openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0, timeout=120), server.port)
    keys(sys.argv[1])
    end()


main()
