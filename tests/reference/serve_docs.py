"""The examples of docs/serving.md do what the document says.

  python serve_docs.py DEMO DOCUMENT [--write]

DEMO is a folder like build/demo: run/model and pictures/000000.png are read. Every line `$ ...` of a ```console block runs, in its
order, in one folder where build/demo is DEMO, against a server that the first of them starts. Checked are the status of every curl
(the `error.code` that the document prints, otherwise 200) and the form of what is printed: the fields of JSON and the types of
their values, events of a stream, names of metrics; never words, numbers and codes, which are another model's. With --write
printed text that differs by more than times and names by lot is replaced by what was printed now, shortened where it was. Prints "ok CHECK" or
"not ok CHECK: WHY"."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

from serve_common import Server, end, free_port, not_ok, ok, verdict

ANY = "{...}"  # what the document leaves out
CHOICE_OF_MODEL = {"images", "content_parts"}  # a page may have no picture, and another model draws another page
WORDS = {"object", "type", "size", "output_format", "quality", "background", "status", "dtype", "param", "method"}  # the server's
KEYS_ARE_WORDS = {"top_logprobs"}  # objects from tokens to numbers
# The status of each curl goes to standard error, so that pipes and $(...) see the answer alone.
CURL = "curl() { command curl -w '%{stderr}\\n%{http_code}\\n' \"$@\"; }\n"


class Example:
    """A command of the document: its lines, and the lines that stand below it as printed."""

    def __init__(self, first):
        self.first, self.lines, self.told = first, [], []  # the number of its first line; text

    @property
    def command(self):
        return "\n".join(self.lines)

    @property
    def name(self):
        return f"line {self.first + 1}: {self.lines[0][:100]}"


def examples(text):
    """The commands of all ```console blocks."""
    found, inside = [], False
    for number, line in enumerate(text.split("\n")):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append(Example(number))
            found[-1].lines.append(line[2:])
        elif inside and line.startswith("> ") and not found[-1].told:
            found[-1].lines.append(line[2:])
        elif inside:
            found[-1].told.append(line)
    return found


def value(text):
    """JSON as the document prints it; None when it is none."""
    text = text.replace(ANY, f'"{ANY}"').replace(", ...]", "]")
    try:
        return json.loads(text)
    except ValueError:
        return None


def digits(text):
    """Numbers, times and hashes are not compared."""
    return re.sub(r"[0-9a-f]{16,}|[0-9]+(\.[0-9]+)?", "N", text)


def differs(told, got, at="", parent=""):
    """Where the form of `got` is not that of `told`, as a sentence; "" when it is."""
    if told == ANY:
        return ""
    kinds = [type(v).__name__.replace("float", "int") for v in (told, got)]
    if kinds[0] != kinds[1]:
        return f"{at or 'value'}: {kinds[0]} in the document, {kinds[1]} now"
    if isinstance(told, dict) and parent not in KEYS_ARE_WORDS:
        missing, new = ({k for k in a if k not in b} - CHOICE_OF_MODEL for a, b in ((told, got), (got, told)))
        if missing or new:
            return f"{at or 'object'}: not there now {sorted(missing)}, not in the document {sorted(new)}"
        return next((d for k in told if k in got for d in [differs(told[k], got[k], f"{at}.{k}", k)] if d), "")
    if isinstance(told, list) and told:
        if not got and parent not in CHOICE_OF_MODEL:
            return f"{at}: empty now"
        return next((d for g in got for d in [min((differs(t, g, at + "[]", parent) for t in told), key=len)] if d), "")
    ours = parent in WORDS or at.startswith(".error.")
    return f"{at}: {told!r} in the document, {got!r} now" if ours and digits(str(told)) != digits(str(got)) else ""


def events(lines):
    """[(name, JSON)] of a stream; [DONE] is None."""
    found, name = [], ""
    for line in lines:
        if line.startswith("event: "):
            name = line
        elif line.startswith("data: "):
            found.append((name, None if line == "data: [DONE]" else value(line[6:])))
    return found


def same_events(told, got):
    """Each event has the form of one of the other side."""
    alike = [[t[0] == g[0] and not differs(t[1], g[1]) for g in got] for t in told]
    lost = [t for t, row in zip(told, alike) if not any(row)] if got else told
    new = [g for g, column in zip(got, zip(*alike)) if not any(column)]
    return f"in the document only {lost}, now only {new}" if lost or new else ""


def wrong_output(told, got):
    """Why the printed lines are not of the form that the document shows; "" when they are."""
    known = value(told[0]) if len(told) == 1 else None
    if isinstance(known, list) and all(isinstance(word, str) for word in known):
        return "" if known == value("\n".join(got)) else f"{known} in the document, {got} now"
    if known is not None:
        return differs(known, value("\n".join(got)))
    if any(line.startswith("data: ") for line in told):
        return same_events(events(told), events(got))
    if told and all(re.match(r"vlm_\w+(\{.*\})? [0-9.e+]+$", line) for line in told):
        names = [sorted({re.match(r"\w+", line)[0] for line in lines}) for lines in (told, got)]
        return "" if names[0] == names[1] else f"{names[0]} in the document, {names[1]} now"
    return "" if [digits(t) for t in told] == [digits(g) for g in got] else f"{told} in the document, {got} now"


def documented_status(told):
    answer = value(told[0]) if len(told) == 1 else None
    return answer["error"]["code"] if isinstance(answer, dict) and "error" in answer else 200


def wrong_statuses(example, errors):
    """The last curl of a command has the status of the printed answer; those inside of it have 200."""
    got = [int(line) for line in errors.split("\n") if re.fullmatch(r"[0-9]{3}", line)]
    want = [200] * (example.command.count("curl ") - 1) + [documented_status(example.told)]
    return "" if got == want or "curl " not in example.command else f"status {got}, in the document {want}"


def lasting(lines):
    """What is the same in the next run: no names by lot, seeds of the clock, times and speeds."""
    text = re.sub(r'"([a-z]+-)[0-9A-Za-z]{16,22}"', r'"\1"', "\n".join(lines))
    text = re.sub(r'"(created|created_at|seconds|bytes_in|bytes_out|\w+_ms|\w+_per_second)": [0-9.e+-]+', r'"\1": 0', text)
    return re.sub(r'("seed": ?|"time": ")[0-9T:.Z-]{7,}', r"\1", text)


def shortened(told, got):
    """Printed lines with the parts left out that the document leaves out."""
    out = []
    for line in got:
        line = re.sub(r"iVBORw0KGgo[A-Za-z0-9+/=]{40,}", "iVBORw0KGgoA...", line)
        before = "\n".join(told)
        for key in ("usage", "timings"):
            if f'"{key}": {{...}}' in before:
                line = re.sub(rf'"{key}": \{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}', f'"{key}": {{...}}', line)
        for key in ("codes", "tokens"):
            if re.search(rf'"{key}": \[[^]]*\.\.\.\]', before):
                line = re.sub(rf'("{key}": \[[0-9]+, [0-9]+, [0-9]+), [^]]*\]', r"\1, ...]", line)
        out.append(line)
    return out


class Shell:
    """Runs commands one after the other; what a line `name=...` sets stays."""

    def __init__(self, folder, port):
        self.folder, self.port, self.names = folder, port, ""

    def run(self, command):
        """(standard output, standard error)."""
        command = command.replace("localhost:8080", f"localhost:{self.port}")
        if re.match(r"[a-z]+=", command):
            self.names += command + "\n"
        # curl's --json and $(...) are as in the shell of a user, bash; a failing command shows as what it printed.
        done = subprocess.run(["bash", "-c", CURL + self.names + command], cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        return done.stdout.decode(), done.stderr.decode(errors="replace")


def printed(text):
    """Lines, without those at the end that are empty."""
    return text.rstrip("\n").split("\n") if text.strip("\n") else []


def start(example, folder):
    """The server of the first example, on a port of its own; the lines that it prints. No request is made: the document's are counted."""
    words = shlex.split(example.command.rstrip("& "))
    log = os.path.join(folder, "serve.log")
    here = os.getcwd()
    os.chdir(folder)
    try:
        server = Server(words[words.index("-m") + 1], *words[3:], port=free_port(), log=log, wait=False)
    finally:
        os.chdir(here)
    until = time.monotonic() + 120
    while "ready at" not in server.last_words():
        if not server.alive() or time.monotonic() > until:
            server.stop()
            raise RuntimeError(f"the server is not ready: {server.last_words()}")
        time.sleep(0.02)
    return server, [line.replace(f":{server.port}", ":8080") for line in server.last_words().splitlines()]


def check(example, shell):
    """What was printed."""
    out, errors = shell.run(example.command)
    got = printed(out)
    told = example.told
    while told and not told[-1]:
        told = told[:-1]
    wrong = wrong_statuses(example, errors) or wrong_output(told, got)
    verdict(not wrong, example.name, f"{wrong}; printed {out[:300]!r} {errors[-300:]!r}")
    return got


def properties(value):
    """Names of all fields that a JSON schema knows."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    own = set(value["properties"]) if isinstance(value, dict) and isinstance(value.get("properties"), dict) else set()
    return own.union(*map(properties, inside))


def check_names(text, shell):
    """Fields of the tables are in /openapi.json, options in --help, paths are served."""
    api = json.loads(shell.run("curl -s localhost:8080/openapi.json")[0])
    table = text[text.index("## Sampling fields"):text.index("### Guidance")]
    fields = {f for line in table.split("\n") if line.startswith("| `") for f in re.findall(r"`(\w+)`", line.split("|")[1])}
    unknown = fields - properties(api)
    verdict(fields and not unknown, "fields of the tables are in /openapi.json", f"not {sorted(unknown)}", f"{len(fields)}")
    shown = "".join(shell.run(f"{program} --help; {program} eval --help; {program} render --help")[0]
                    for program in ("vlm-serve", "vlm-train", "vlm-tokenize"))
    options = set(re.findall(r"`(?:vlm-serve )?(--[a-z-]+)", text))
    unknown = {o for o in options if not re.search(rf"(?<![a-z-]){o}(?![a-z-])", shown)} - {"--json"}
    verdict(len(options) > 15 and not unknown, "options are those of --help", f"not {sorted(unknown)}", f"{len(options)}")
    silent = [p for p in api["paths"] if p.split("{")[0] not in text]
    verdict(not silent, "every path is in the document", f"not {silent}", f"{len(api['paths'])}")


def write(path, text, found, outputs):
    """Puts what was printed below each command."""
    lines = text.split("\n")
    for example, got in reversed(list(zip(found, outputs))):
        begin = example.first + len(example.lines)
        while example.told and not example.told[-1]:
            example.told.pop()
        new = shortened(example.told, got)
        if lasting(new) != lasting(example.told):
            lines[begin:begin + len(example.told)] = new
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines))


def main(demo, path, *options):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    found = examples(text)
    if not verdict(len(found) > 20 and found[0].command.startswith("vlm-serve -m "), "the document has examples", f"{len(found)}"):
        return
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "build/demo/run"))
        for name in ("run/model", "pictures"):
            os.symlink(os.path.abspath(os.path.join(demo, name)), os.path.join(folder, "build/demo", name))
        server, first = start(found[0], folder)
        with server:
            shell = Shell(folder, server.port)
            outputs = [first] + [check(example, shell) for example in found[1:]]
            check_names(text, shell)
            verdict(server.alive(), "the server is alive behind all of them", server.last_words())
    if "--write" in options:
        write(path, text, found, outputs)
        ok(f"{path} is written")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (RuntimeError, OSError, subprocess.SubprocessError, AssertionError, KeyError, IndexError, ValueError) as error:
        not_ok("the examples of the document", f"{type(error).__name__}: {error}")
    end()
