"""Answers are right, not only well-formed.

  python serve_answers.py MODEL SHARDS

/score equals `vlm-train eval` of the same documents, masked and not; a greedy completion is that of `vlm-generate --temp 0`; another text on
the right gives another fill; codes outside a region stay; a picture is 256 codes; pixels far from a region stay within two
levels. Prints "ok CHECK" or "not ok CHECK: WHY"."""

import base64
import configparser
import json
import math
import subprocess
import sys

from serve_common import Server, data_url, end, from_url, multipart, png, png_pixels, post, request, verdict

CODES = 256


def lines(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()


def of_recipe(model):
    """What a model's recipe says of samples, as options of vlm-tokenize render: eval makes the same."""
    recipe = configparser.ConfigParser(strict=False)
    recipe.read(model + "/recipe.ini")
    keys = {f"data.{key}": value for key, value in recipe["data"].items() if key != "render" and value}
    keys["objective.weight.mask"] = recipe["objective"]["weight.mask"]
    return recipe["data"]["render"], [f"{key}={value}" for key, value in keys.items()]


def score(port, model, shards, name, *options):
    """Every document as the trainer sees it, with the masks of the options: the same loss, by modality."""
    report = json.loads(lines("vlm-train", "eval", model, shards, "--json", *options))
    form, keys = of_recipe(model)
    losses, tokens, masks = {}, {}, 0
    rendered = lines("vlm-tokenize", "render", shards, "-t", model + "/tokenizer.json", "--recipe", form,
                     *(word for key in keys for word in ("--set", key)), *options).splitlines()
    for line in rendered:
        sample = json.loads(line)
        masks += sum(token.startswith("<mask:") for token in sample["tokens"])
        status, answer = post(port, "/score", {"prompt": sample["ids"]})
        if status != 200 or answer["tokens"] != sample["ids"]:
            return verdict(False, name, f"{status} {str(answer)[:300]}")
        for i, (number, weight) in enumerate(zip(sample["modality"], sample["weights"])):
            kind = ("text", "markup", "image")[number]
            if i and weight:
                losses[kind] = losses.get(kind, 0) - answer["logprobs"][i]
                tokens[kind] = tokens.get(kind, 0) + 1
    mean = {k: losses[k] / tokens[k] for k in losses}
    # 1e-6, and the sixth digit, to which eval prints.
    wrong = [f"{k}: {v:.7f}, eval {report['loss_' + k]}" for k, v in mean.items()
             if not math.isclose(v, report["loss_" + k], rel_tol=5.1e-6, abs_tol=1e-6)]
    return verdict(not wrong and set(mean) == {"text", "markup", "image"} and bool(masks) != (options[-1] == "data.lambda=0"), name,
                   "; ".join(wrong) or f"{masks} masks, {mean}",
                   f"{len(rendered)} samples, {masks} masks, " + ", ".join(f"{k} {v:.6f}" for k, v in mean.items()))


def context(port):
    return json.loads(request(port, "GET", "/v1/models")[2])["data"][0]["meta"]["n_ctx"]


def generated(model, text, n):
    return json.loads(lines("vlm-generate", "-m", model, "--text", text, "--temp", "0", "--max-tokens", str(n), "--json", "-o", "drawn"))


def parts_of(text):
    """A page with <mask:N> as a document."""
    out = []
    for piece in text.replace("<mask:", "\0<mask:").split("\0"):
        if piece.startswith("<mask:"):
            out.append({"type": "mask", "id": int(piece[6]), "kind": "text"})
            piece = piece[8:]
        if piece:
            out.append({"type": "text", "text": piece})
    return out


def greedy(port, model):
    wrong, page = [], '<html lang="en"><body>'
    prompts = (("<p>A", 30), (page + "<p>The ", 30), ("<p>", 30), (page + '<img alt="blue square in the middle" src="', 257))
    for text, n in prompts:
        mine = generated(model, text, n)
        status, answer = post(port, "/v1/completions", {"prompt": text, "temperature": 0, "image_temperature": 0, "max_tokens": n})
        choice = answer["choices"][0] if status == 200 else {}
        codes = [i["vlm"]["codes"] for i in choice.get("images") or []]
        if codes != [i["codes"] for i in mine["images"]] or (not codes and choice.get("text") != mine["fills"][0]["text"]):
            wrong.append(f"{text!r}: {status} {str(answer)[:300]}, vlm-generate {str(mine)[:300]}")
    # No space in front of a hole: /infill makes it a part of what is drawn.
    holes = (page + "<p>The<mask:0> is on the<mask:1>.</p></body></html>", page + "<p><mask:0> on the left</p></body></html>")
    for text in holes:
        mine = generated(model, text, 12)
        status, answer = post(port, "/infill", {"document": parts_of(text), "temperature": 0, "max_tokens": 12})
        if status != 200 or [m["content"] for m in answer["masks"]] != [f["text"] for f in mine["fills"]]:
            wrong.append(f"{text!r}: {status} {str(answer)[:300]}, vlm-generate {mine['fills']}")
    verdict(not wrong, "greedy answers are those of vlm-generate --temp 0", "; ".join(wrong), f"{len(prompts) + len(holes)} prompts")


def right_context(port):
    """The fill is drawn with what stands behind the hole in view: the same seed, other text behind, another fill."""
    fills = []
    for after in (" on the left</p></body></html>", " in the middle</p></body></html>", "<p>two</p></body></html>", " 1 2 3 4 5 6 7 8 9</p></body></html>"):
        document = [{"type": "text", "text": '<html lang="en"><body><p>A '}, {"type": "mask", "id": 0, "kind": "text"}, {"type": "text", "text": after}]
        status, answer = post(port, "/infill", {"document": document, "seed": 11, "max_tokens": 12, "temperature": 1})
        fills.append(answer["masks"][0]["content"] if status == 200 else f"{status} {answer}")
    verdict(len(set(fills)) > 1, "another right side, another fill", f"{fills}", f"{fills}")


def picture_codes(port, picture):
    status, answer = post(port, "/vq/encode", {"image": data_url(picture)})
    if status != 200:
        raise RuntimeError(f"/vq/encode: {status} {answer}")
    return answer["codes"]


def regions(port, picture):
    codes, wrong = picture_codes(port, picture), []
    for rect in ([4, 4, 12, 12], [0, 0, 1, 16], [15, 15, 16, 16], [0, 0, 16, 16], [3, 0, 4, 16]):
        part = {"type": "image_url", "image_url": {"url": data_url(picture)}, "mask": {"id": 0, "rect": rect}}
        document = [{"type": "text", "text": '<html lang="en"><body>'}, part, {"type": "text", "text": "</body></html>"}]
        status, answer = post(port, "/infill", {"document": document, "seed": 5})
        if status != 200:
            wrong.append(f"{rect}: {status} {answer}")
            continue
        drawn = answer["masks"][0]["images"][0]["vlm"]["codes"]
        outside = [i for i in range(CODES) if not (rect[0] <= i // 16 < rect[2] and rect[1] <= i % 16 < rect[3])]
        if len(drawn) != CODES or any(drawn[i] != codes[i] for i in outside):
            wrong.append(f"{rect}: {len(drawn)} codes, {sum(drawn[i] != codes[i] for i in outside if i < len(drawn))} outside changed")
        before, after = png_pixels(picture), png_pixels(from_url(answer["masks"][0]["images"][0]["image_url"]["url"]))
        far = far_pixels(before, after, [v * 16 for v in rect])
        if far > 2:
            wrong.append(f"{rect}: pixels at least 64 away differ by {far}")
    verdict(not wrong, "codes outside a region stay, and pixels far away", "; ".join(wrong), "5 regions")


def far_pixels(before, after, rect, distance=64):
    worst = 0
    for y in range(0, 256, 3):
        dy = max(rect[0] - y, y - (rect[2] - 1), 0)
        for x in range(0, 256, 3):
            if max(dy, max(rect[1] - x, x - (rect[3] - 1), 0)) >= distance:
                worst = max(worst, *(abs(before[y][3 * x + c] - after[y][3 * x + c]) for c in range(3)))
    return worst


def edits(port, picture):
    mask = png(256, 256, lambda x, y: (0, 0, 0, 0 if x < 64 and y < 64 else 255))
    body, kind = multipart([("image", "a.png", "image/png", picture), ("mask", "m.png", "image/png", mask), ("prompt", "a square"), ("seed", 3)])
    status, _, data = request(port, "POST", "/v1/images/edits", body, {"Content-Type": kind})
    if status != 200:
        return verdict(False, "edits: pixels far from the mask", f"{status} {data[:300]!r}")
    after = png_pixels(base64.b64decode(json.loads(data)["data"][0]["b64_json"]))
    far = far_pixels(png_pixels(picture), after, [0, 0, 64, 64])
    return verdict(far <= 2, "edits: pixels far from the mask", f"differ by {far}", f"at most {far} levels")


def whole_pictures(port):
    wrong = []
    for seed in range(8):
        status, answer = post(port, "/v1/images/generations", {"prompt": "a cat", "seed": seed, "image_temperature": 1.5})
        if status != 200:
            wrong.append(f"{status} {answer}")
            continue
        rows = png_pixels(base64.b64decode(answer["data"][0]["b64_json"]))
        if (len(rows), len(rows[0])) != (256, 768):
            wrong.append(f"seed {seed}: {len(rows)} rows")
        status, answer = post(port, "/infill", {"document": [{"type": "text", "text": "<p>x</p>"}, {"type": "mask", "id": 0, "kind": "image"}], "seed": seed})
        codes = answer["masks"][0]["images"][0]["vlm"]["codes"] if status == 200 else []
        if len(codes) != CODES or not all(isinstance(c, int) for c in codes):
            wrong.append(f"seed {seed}: {status}, {len(codes)} codes")
    verdict(not wrong, "a picture is 256 codes", "; ".join(wrong), "16 pictures")


def round_trip(port, picture):
    codes = picture_codes(port, picture)
    status, answer = post(port, "/vq/decode", {"codes": codes})
    data = from_url(answer["image"]) if status == 200 and answer["image"].startswith("data:") else b""
    good = status == 200 and len(png_pixels(data)) == 256
    text = "<p>A page of <b>words</b> &amp; more: äöü €</p>"
    ids = post(port, "/tokenize", {"content": text})[1]["tokens"]
    back = post(port, "/detokenize", {"tokens": ids})[1]["content"]
    verdict(good and back == text, "there and back: codes, ids", f"{status} {str(answer)[:100]}, {back!r}", f"{len(ids)} ids")


def enough(port):
    """t_max_predict_ms ends an answer, it does not fail it; what is there is how the whole answer begins."""
    body = {"input_prefix": "<p>The ", "input_suffix": " is</p>", "n_predict": 200, "ignore_eos": True, "seed": 4}
    status, whole = post(port, "/infill", body)
    cut_status, cut = post(port, "/infill", {**body, "t_max_predict_ms": 2})
    good = status == cut_status == 200 and cut["stop_type"] == "limit" and 0 < cut["tokens_predicted"] <= 200
    verdict(good and whole["content"].startswith(cut["content"]), "t_max_predict_ms ends an answer", f"{cut_status} {str(cut)[:300]}",
            f"{cut.get('tokens_predicted')} tokens of 200")


def logprobs(port):
    """The tokens of logprobs are those of the text: joined, they are it. Ends, which are drawn too, are not among them."""
    wrong = []
    for seed in range(6):
        status, answer = post(port, "/v1/completions", {"prompt": '<html lang="en"><body><p>The', "max_tokens": 40, "seed": seed, "logprobs": 2})
        choice = answer["choices"][0] if status == 200 else {}
        if status == 200 and any(token.startswith("bytes:") for token in choice["logprobs"]["tokens"]):
            continue  # of a character: random weights draw such
        if status != 200 or "images" not in choice and "".join(choice["logprobs"]["tokens"]) != choice["text"]:
            wrong.append(f"seed {seed}: {status} {str(choice or answer)[:300]}")
    verdict(not wrong, "logprobs have the tokens of the text", "; ".join(wrong))


def paper(port):
    """The paper's prompts end with the <mask:0> that begins the span: they are what they are without it."""
    body = {"special": True, "max_tokens": 8, "seed": 4}
    answers = [post(port, "/v1/completions", {**body, "prompt": "<p>The <mask:0> is</p>" + end}) for end in ("", "<mask:0>")]
    texts = [answer["choices"][0]["text"] if status == 200 else str(answer) for status, answer in answers]
    verdict(texts[0] == texts[1], "prompts as the paper prints them", f"{texts}")


def guidance(port):
    """A picture for words, guided: the same however it is asked for."""
    options = {"cfg_scale": 3, "seed": 8, "image_top_k": 200}
    status, picture = post(port, "/v1/images/generations", {"prompt": "a cat", **options})
    codes = [picture["data"][0]["vlm"]["codes"]] if status == 200 else [[status]]
    status, answer = post(port, "/v1/completions", {"prompt": '<img alt="a cat" src="', "max_tokens": 256, **options})
    codes.append(answer["choices"][0]["images"][0]["vlm"]["codes"] if status == 200 else [status])
    status, plain = post(port, "/v1/images/generations", {"prompt": "a cat", **options, "cfg_scale": 1})
    codes.append(plain["data"][0]["vlm"]["codes"] if status == 200 else [status])
    verdict(len(codes[0]) == CODES and codes[0] == codes[1] != codes[2], "guided pictures of /v1/images and of a page", f"{codes}"[:600])


def drawn(port, model):
    """With a seed, not greedy: vlm-generate draws what the server draws, texts, pictures and fills."""
    wrong, page = [], '<html lang="en"><body>'
    options = ("--temp", "0.9", "--top-p", "0.95", "--top-k", "300", "--seed", "21")
    fields = {"temperature": 0.9, "top_p": 0.95, "top_k": 300, "image_temperature": 0.9, "image_top_p": 0.95, "image_top_k": 300, "seed": 21}
    for text, n in (("<p>A", 30), (page + '<img alt="a cat" src="', 257), (page + "<p>The<mask:0> is on the<mask:1>.</p></body></html>", 12)):
        mine = json.loads(lines("vlm-generate", "-m", model, "--text", text, "--max-tokens", str(n), "--json", "-o", "drawn", *options))
        if "<mask:" in text:
            status, answer = post(port, "/infill", {"document": parts_of(text), "max_tokens": n, **fields})
            good = status == 200 and [m["content"] for m in answer["masks"]] == [f["text"] for f in mine["fills"]]
        else:
            status, answer = post(port, "/v1/completions", {"prompt": text, "max_tokens": n, **fields})
            choice = answer["choices"][0] if status == 200 else {}
            codes = [i["vlm"]["codes"] for i in choice.get("images") or []]
            good = status == 200 and codes == [i["codes"] for i in mine["images"]] and (codes or choice["text"] == mine["fills"][0]["text"])
        if not good:
            wrong.append(f"{text!r}: {status} {str(answer)[:300]}, vlm-generate {str(mine)[:300]}")
    verdict(not wrong, "drawn answers are those of vlm-generate of the same seed", "; ".join(wrong), "3 prompts")


def main():
    model, shards = sys.argv[1:3]
    picture = png(256, 256, lambda x, y: (30, 140, 60) if abs(x - 90) < 50 and abs(y - 120) < 50 else (235, 235, 230))
    with Server(model, log="answers.log") as server:
        port = server.port
        for check in (lambda: score(port, model, shards, "/score is vlm-train eval", "--set", "data.lambda=0"),
                      lambda: score(port, model, shards, "/score is vlm-train eval, with masks", "--seed", "1"),
                      lambda: score(port, model, shards, "/score is vlm-train eval, with other masks", "--seed", "7"),
                      lambda: greedy(port, model), lambda: drawn(port, model), lambda: guidance(port),
                      lambda: right_context(port), lambda: regions(port, picture),
                      lambda: edits(port, picture), lambda: whole_pictures(port), lambda: round_trip(port, picture),
                      lambda: enough(port), lambda: paper(port), lambda: logprobs(port)):
            try:
                check()
            except Exception as e:
                verdict(False, "a check", f"{type(e).__name__}: {e}")
    end()


main()
