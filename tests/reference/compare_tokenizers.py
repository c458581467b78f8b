#!/usr/bin/env python3
"""Compares our ids with those of the package `tokenizers`, for a zoo of tokenizer.json and hard texts.

    compare_tokenizers.py ENCODER [FOLDER]

ENCODER is a program that is called as `ENCODER TOKENIZER FLAGS`, reads lines {"text": ...} and prints a line
{"ids": [...], "spans": [[b, e], ...], "hex": decoded bytes} for each, or one line {"error": ...}; `ENCODER TOKENIZER
save PATH` writes the tokenizer: tests/long/tokenizer_lines.c. FOLDER keeps the zoo. Exit status 1 when anything differs.

Special tokens are off on both sides (encode_special_tokens of the package), and then on.
"""
import base64
import json
import os
import random
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from precompiled import charsmap

N, P, D, M = normalizers, pre_tokenizers, decoders, models

TRAINING = """The quick brown fox jumps over the lazy dog. It's 2026, isn't it? Hello world, hello World!
    indented   text\twith tabs\n\n\nand lines; naïve café résumé, Größe, façade — “quotes” … and 'single' ones.
Привет, мир! Как дела? 你好，世界。 こんにちは世界 안녕하세요 세계 مرحبا بالعالم שלום עולם नमस्ते दुनिया
12345 67 890 3.14159 1,000,000 0x1F 2nd 3rd e=mc² ½ ⅓ x₁ ① Ⅷ 😀 👩‍👩‍👧‍👦 🇩🇪 é å Å
def f(x): return x**2 + 3*x - 1  # comment\nfor (int i = 0; i < n; i++) { a[i] += b[i]; } don't we'll I'M they've
""" * 3

CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
ODD = r"\w+|[^\w\s]+|\s+"
DEEPSEEK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


CLUSTERS = ["\u0301\u0302\u0344\u200d\u200c\u094d\u0903\u0e33\ufe0f\U0001f3fd", "abcez é©®\r\n\t\0", "aé©क", "क\u0937ক\u1100\u1161\u11a8각가\ud7b0\u0d4e",
            "\u0600\u070f👍👩🇩🇪ﬁ①ｱﾞ\u3099\u0958"]
# As SentencePiece's nmt_nfkc, in small; and what it never does: left out, longer, shorter, beginnings of other keys.
MAP = {"\t": " ", "\r\n": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "ﬁ": "fi", "①": "1", "½": "1⁄2", "ｱ": "ア", "ｱﾞ": "ア\u3099",
       "e\u0301": "é", "\u0344": "\u0308\u0301", "\u0958": "\u0915\u093c", "\u200d": "", "\u0001": "", "Å": "Å", "…": "...", "\ufeff": " "}
ODD_MAP = {**MAP, "a": "", "b": "xyz", "c": "é", "é": "e", "\u0301": "", "ab": "Q", "abc": "R", "©": "(c)", "क": "K", "\u1100": "", "각": "gag",
           "👍": "up", "z\u0301\u0302": "Z", "\u0600": "#", "y": "\u0301"}


def precompiled(pairs):
    return N.Precompiled(base64.b64decode(charsmap(pairs)))


def texts():
    hard = [
        "", " ", "  ", "   a", "a   ", "a", "\n", "\r\n", "\t", "a\u00a0b", "a\u3000b\u2028c\u0085d\u180ee\u200bf\u200d",
        "Hello world", "hello   world", "Hello, y'all! How are you 😁 ?我想在apple工作1314151天～", "don't DON'T it'S we'LL",
        "naïve café — résumé", "e\u0301e\u0301\u0323 \u212b \ufb01 \u1e9b\u0323 ǅ İ ı ſ ß ẞ", "ÀÉÎÕÜ Ångström ΑΣ ΣΑΣ",
        "1234567890 12 345 ½ ² Ⅷ ① ٣٤ १२", "a1b2c3", "x_y-z.w", "!!??..,,", "\"quoted\" 'single' `tick` «angle» 「括弧」",
        "\u0000\u0001\u0007\ufeff\ufffd\ufffe\u00ad", "mixed\u0000nul", "👩‍👩‍👧‍👦🇩🇪👍🏽", "안녕하세요 세계", "ひらがなカタカナ漢字",
        "नमस्ते दुनिया", "مرحبا بالعالم", "שָׁלוֹם", "ไทย", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚", "▁under▁score ▁", "▁", "Ġ Ċ Ġa", "<0x41> <0x0a>",
        "##ing ##", "[UNK] [CLS]", "<s>hi</s> <unk>", "a<extra>b", "a <extra> b", "  <extra>  ", "xNEWTOKENx NEWTOKEN newtoken",
        "NEWTOKEN", "_NEWTOKEN_ NEWTOKENS (NEWTOKEN)", "left LSTRIP right", "left   RSTRIP   right", "LSTRIPRSTRIP  RSTRIP  LSTRIP",
        "<|end|>", "a<|end|>b <|end|> c", "<|en<|end|>", "Été ÉTÉ été", "<<ext<ext>", "<ext<extra>ra>",
        "a" * 300, "ab" * 200, " " * 200, "1" * 100, "the the the the", "\n\n  \n\t x", "x \n", "tab\tsep\tvalues",
        "http://example.com/a?b=c&d=e#f", "CamelCaseWordsHere and snake_case_words", "a--b---c", "…‥·•", "\u0e33\u0eb3 \u0f77",
        "ﬁ ﬂ Ⅳ ㎏ ① ２０２６ ＡＢＣ", "\u1100\u1161\u11a8 \uac01", "\u0340\u0341\u0344 \u2126 \u212a", "\u00c5\u030a\u0327",
        "word\u0301word", "\u0301start", "中文，标点。 混合 english", "𠀀𪚥 \U0001f9ff", "\ue000\uf8ff", "¡¿§¶©®™", "a\u200cb\u200dc\u2060d",
        "\u2E43\u2E5D\U00010EAD\U00011FFF\u07FD", "\u1c80\u1c8a \ua7cb", "l'été d'or aujourd'hui", "O'Neill's '90s rock'n'roll",
    ]
    rng = random.Random(7)
    pools = ["abcdefgh ABC.,'!", "аб вгд 123", " \t\n\r\u00a0\u3000", "你好世界,。 ", "▁Ġ<>/[]#|_", "éèêe\u0301\u0327 ßſ", "0123456789½②", "😀👍🏽\u200d♀️"]
    for _ in range(150):
        hard.append("".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 40))))
    for _ in range(60):
        hard.append("".join(chr(c) for c in (rng.choice([rng.randrange(0x20, 0x3000), rng.randrange(1, 0xd800),
                                                         rng.randrange(0xe000, 0x1fa00)]) for _ in range(12))))
    hard += TRAINING.split("\n")[:6]
    for _ in range(100):  # clusters of less than 6 bytes, and more
        hard.append("".join(rng.choice(rng.choice(CLUSTERS)) for _ in range(rng.randint(1, 9))))
    return hard


def bpe(pre=None, norm=None, dec=None, vocab_size=400, added=(), alphabet=None, model=None, special=("<unk>",), **trainer):
    tok = Tokenizer(M.BPE(**(model or {})))
    if norm:
        tok.normalizer = norm
    if pre:
        tok.pre_tokenizer = pre
    if dec:
        tok.decoder = dec
    kw = {}
    if alphabet:
        kw["initial_alphabet"] = alphabet
    tok.train_from_iterator(TRAINING.split("\n"), trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(special), show_progress=False, **kw, **trainer))
    for token in added:
        (tok.add_special_tokens if token.special else tok.add_tokens)([token])
    return tok


def byte_level(pre, **kw):
    return bpe(pre=pre, dec=kw.pop("dec", D.ByteLevel()), alphabet=P.ByteLevel.alphabet(), vocab_size=500, **kw)


def edited(tok, edit):
    doc = json.loads(tok.to_str())
    edit(doc)
    return json.dumps(doc)


def byte_pieces(doc):
    vocab = doc["model"]["vocab"]
    shift = {k: v + 256 for k, v in vocab.items()}
    doc["model"]["vocab"] = {**{f"<0x{i:02X}>": i for i in range(256)}, **shift}
    for token in doc["added_tokens"]:
        token["id"] += 256
    doc["model"]["byte_fallback"] = True


def zoo():
    added = [AddedToken("<extra>"), AddedToken("NEWTOKEN", single_word=True), AddedToken("LSTRIP", lstrip=True, normalized=False),
             AddedToken("RSTRIP", rstrip=True), AddedToken("<|end|>", special=True, normalized=False),
             AddedToken("<ext", normalized=False), AddedToken("[SPACE] x", special=True)]
    accents = [*added, AddedToken("Été", normalized=True)]  # not for ByteLevel, which decodes it as bytes
    byte_pre = lambda **kw: P.ByteLevel(**{"add_prefix_space": False, **kw})
    yield "bytes", byte_level(byte_pre())
    yield "bytes-added", byte_level(byte_pre(), added=added)
    yield "bytes-prefix", byte_level(byte_pre(add_prefix_space=True), added=added)
    yield "bytes-noregex", byte_level(byte_pre(use_regex=False), added=added)
    yield "bytes-cl100k", byte_level(P.Sequence([P.Split(Regex(CL100K), "isolated"), byte_pre(use_regex=False)]))
    yield "bytes-deepseek", byte_level(P.Sequence([P.Split(Regex(r"\p{N}{1,3}"), "isolated"),
                                                   P.Split(Regex("[一-龥぀-ゟ゠-ヿ]+"), "isolated"),
                                                   P.Split(Regex(DEEPSEEK), "isolated"), byte_pre(use_regex=False)]))
    yield "bytes-odd", byte_level(P.Sequence([P.Split(Regex(ODD), "isolated"), byte_pre(use_regex=False)]), added=added)
    yield "bytes-nfc", byte_level(byte_pre(), norm=N.NFC(), added=added)
    yield "bytes-digits", byte_level(P.Sequence([P.Digits(individual_digits=True), byte_pre()]))
    yield "bytes-digits-after", byte_level(P.Sequence([byte_pre(), P.Digits(individual_digits=False)]))
    yield "bytes-twice", byte_level(P.Sequence([byte_pre(), P.Punctuation("merged_with_next")]))
    yield "bytes-ignore-merges", edited(byte_level(byte_pre()), lambda d: d["model"].update(ignore_merges=True))
    yield "bytes-legacy-merges", edited(byte_level(byte_pre()), lambda d: d["model"].update(
        merges=[" ".join(m) for m in d["model"]["merges"]]))
    yield "bytes-no-type", edited(byte_level(byte_pre()), lambda d: d["model"].pop("type"))
    yield "bytes-lossy", bpe(pre=byte_pre(), dec=D.ByteLevel(), model={"unk_token": "<unk>"})
    yield "bytes-normalizer", bpe(norm=N.ByteLevel(), dec=D.ByteLevel(), alphabet=P.ByteLevel.alphabet(), vocab_size=420, added=added)
    yield "clip", bpe(pre=P.Sequence([P.Split(Regex(CLIP), "removed", invert=True), byte_pre()]),
                      norm=N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()]), dec=D.ByteLevel(),
                      alphabet=P.ByteLevel.alphabet(), vocab_size=800, model={"unk_token": "<unk>"}, end_of_word_suffix="</w>")
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        yield f"split-{behavior}", bpe(pre=P.Split(Regex(r"[,.!? ]"), behavior), model={"unk_token": "<unk>"})
        yield f"split-{behavior}-invert", bpe(pre=P.Split(Regex(r"\p{L}+"), behavior, invert=True), model={"unk_token": "<unk>"})
        yield f"split-{behavior}-string", bpe(pre=P.Split("a", behavior), model={"unk_token": "<unk>"})
        yield f"punctuation-{behavior}", bpe(pre=P.Sequence([P.WhitespaceSplit(), P.Punctuation(behavior)]), model={"unk_token": "<unk>"})
    yield "whitespace", bpe(pre=P.Whitespace(), model={"unk_token": "<unk>"}, added=accents)
    yield "whitespace-fuse", bpe(pre=P.Whitespace(), model={"unk_token": "<unk>", "fuse_unk": True})
    yield "whitespace-nounk", bpe(pre=P.Whitespace(), special=(), dec=D.Fuse())
    yield "prefix-suffix", bpe(pre=P.Whitespace(), model={"unk_token": "<unk>"}, continuing_subword_prefix="@@", end_of_word_suffix="</w>",
                               dec=D.BPEDecoder())
    yield "delimiter", bpe(pre=P.CharDelimiterSplit("a"), model={"unk_token": "<unk>"})
    yield "fixed", bpe(pre=P.FixedLength(3), model={"unk_token": "<unk>"})
    yield "no-pre", bpe(model={"unk_token": "<unk>"}, added=accents)
    yield "metaspace", bpe(pre=P.Metaspace(), dec=D.Metaspace(), model={"unk_token": "<unk>", "fuse_unk": True}, added=accents)
    yield "metaspace-first", bpe(pre=P.Metaspace(prepend_scheme="first"), dec=D.Metaspace(prepend_scheme="first"),
                                 model={"unk_token": "<unk>"}, added=accents)
    yield "metaspace-never", bpe(pre=P.Metaspace(prepend_scheme="never", split=False), dec=D.Metaspace(prepend_scheme="never"),
                                 model={"unk_token": "<unk>"})
    llama_norm = N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")])
    llama_dec = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    yield "llama2", edited(bpe(norm=llama_norm, dec=llama_dec, model={"unk_token": "<unk>", "fuse_unk": True}, added=accents, max_token_length=12),
                           byte_pieces)
    yield "gemma", edited(bpe(norm=N.Replace(" ", "▁"), pre=P.Split(" ", "merged_with_previous"),
                              dec=D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]),
                              model={"unk_token": "<unk>", "fuse_unk": True}, max_token_length=12), byte_pieces)
    for name, norm in (("nfd", N.NFD()), ("nfkc", N.NFKC()), ("nfkd", N.NFKD()), ("lower", N.Lowercase()), ("nmt", N.Nmt()),
                       ("accents", N.Sequence([N.NFD(), N.StripAccents()])), ("strip", N.Strip()), ("strip-left", N.Strip(right=False)),
                       ("replace", N.Replace(Regex(r"\d+"), "#")), ("replace-none", N.Replace("l", "")), ("prepend", N.Prepend("xy")),
                       ("bert", N.BertNormalizer()), ("bert-cased", N.BertNormalizer(lowercase=False, clean_text=False)),
                       ("bert-accents", N.BertNormalizer(lowercase=False, strip_accents=True, handle_chinese_chars=False))):
        yield f"norm-{name}", bpe(norm=norm, pre=P.Whitespace(), model={"unk_token": "<unk>"}, added=accents)
    for name, pre, norm in (("wordpiece", P.BertPreTokenizer(), N.BertNormalizer()), ("wordpiece-space", P.WhitespaceSplit(), None)):
        tok = Tokenizer(M.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
        tok.pre_tokenizer = pre
        if norm:
            tok.normalizer = norm
        tok.decoder = D.WordPiece(cleanup=norm is not None)
        tok.train_from_iterator(TRAINING.split("\n"), trainers.WordPieceTrainer(vocab_size=500, special_tokens=["[UNK]", "[CLS]"], show_progress=False))
        tok.add_tokens(added[:4])
        yield name, tok
    tok = Tokenizer(M.WordLevel(unk_token="[UNK]"))
    tok.pre_tokenizer = P.Whitespace()
    tok.train_from_iterator(TRAINING.split("\n"), trainers.WordLevelTrainer(special_tokens=["[UNK]"], show_progress=False))
    yield "wordlevel", tok
    yield from unigram_zoo(accents)


def unigram(pre=None, norm=None, dec=None, vocab_size=400, added=(), special=("<pad>", "</s>", "<unk>"), unk="<unk>", **trainer):
    tok = Tokenizer(M.Unigram())
    if norm:
        tok.normalizer = norm
    if pre:
        tok.pre_tokenizer = pre
    tok.decoder = dec or D.Metaspace()
    tok.train_from_iterator(TRAINING.split("\n"), trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=list(special), unk_token=unk, show_progress=False, **trainer))
    for token in added:
        (tok.add_special_tokens if token.special else tok.add_tokens)([token])
    return tok


def unigram_small(doc):
    doc["model"]["vocab"] = doc["model"]["vocab"][:60]


def unigram_bytes(doc):
    """Few pieces, and behind them all bytes, as SentencePiece writes them."""
    doc["model"]["vocab"] = doc["model"]["vocab"][:120]
    doc["model"]["vocab"] += [[f"<0x{i:02X}>", 0.0] for i in range(256)]
    doc["model"]["byte_fallback"] = True


def unigram_odd(doc):
    """Ties, pieces that stand twice, whole scores, a score below all, unknown neighbours that are a piece together."""
    rng = random.Random(3)
    vocab = doc["model"]["vocab"]
    for entry in vocab[3:]:
        entry[1] = -rng.randint(1, 4) / rng.choice([1, 2, 3])
    vocab += [["你好", -40], ["世界", -1e2], ["<unk><unk>", -3.5], ["e", -0.25], ["th", -1], ["he", -1], ["\u0000", -1.5], ["👍🏽", -99]]


def unigram_zoo(added):
    meta = lambda **kw: P.Metaspace(**kw)
    yield "unigram", unigram(pre=meta())
    yield "unigram-added", unigram(pre=meta(), added=added)
    yield "unigram-first", unigram(pre=meta(prepend_scheme="first"), dec=D.Metaspace(prepend_scheme="first"), added=added)
    yield "unigram-never", unigram(pre=meta(prepend_scheme="never", split=False), dec=D.Metaspace(prepend_scheme="never"))
    yield "unigram-xlmr", unigram(pre=P.Sequence([P.WhitespaceSplit(), meta()]), special=("<s>", "<pad>", "</s>", "<unk>"), added=added)
    yield "unigram-albert", unigram(pre=meta(), norm=N.Sequence([N.Replace("``", '"'), N.Replace("''", '"'), N.NFKD(), N.StripAccents(),
                                                              N.Lowercase(), N.Replace(Regex(" {2,}"), " ")]), added=added)
    yield "unigram-nmt", unigram(pre=meta(), norm=N.Sequence([N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")]))
    t5 = precompiled(MAP)
    yield "unigram-t5", unigram(pre=meta(), norm=t5, added=added)
    yield "unigram-odd-map", unigram(pre=meta(prepend_scheme="first"), norm=precompiled(ODD_MAP), added=added)
    yield "unigram-mt5", unigram(pre=P.Sequence([P.WhitespaceSplit(), meta()]), norm=N.Sequence([t5, N.Replace(Regex(" {2,}"), "▁")]))
    yield "unigram-albert-map", unigram(pre=meta(), norm=N.Sequence([N.Replace("``", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(), t5]), added=added)
    yield "precompiled-bytes", bpe(norm=N.Sequence([N.NFD(), precompiled(ODD_MAP)]), model={"unk_token": "<unk>"}, added=added)
    yield "unigram-no-pre", unigram(dec=D.Fuse(), added=added)
    yield "unigram-small", edited(unigram(pre=meta()), unigram_small)
    yield "unigram-short", unigram(pre=meta(), max_piece_length=3)
    yield "unigram-bytes", edited(unigram(pre=meta(), dec=D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()])), unigram_bytes)
    yield "unigram-some-bytes", edited(unigram(pre=meta()), lambda d: d["model"].update(
        byte_fallback=True, vocab=d["model"]["vocab"][:200] + [[f"<0x{i:02X}>", -1.0] for i in range(0xe0)]))
    yield "unigram-odd", edited(unigram(pre=meta()), unigram_odd)
    yield "unigram-odd-no-pre", edited(unigram(), unigram_odd)
    yield "unigram-no-type", edited(unigram(pre=meta()), lambda d: d["model"].pop("type"))
    yield "unigram-unknown-last", edited(unigram(pre=meta()), lambda d: d["model"].update(
        unk_id=len(d["model"]["vocab"]) - 1))


def run(encoder, path, lines, flags):
    text = "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in lines)
    out = subprocess.run([encoder, path, str(flags)], input=text.encode(), capture_output=True)
    return [json.loads(line) for line in out.stdout.decode().split("\n") if line], out


def main():
    encoder = sys.argv[1]
    folder = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    only = sys.argv[3:]
    os.makedirs(folder, exist_ok=True)
    lines = texts()
    compared = wrong = refused = 0
    for name, made in zoo():
        if only and name not in only:
            continue
        path = os.path.join(folder, name + ".json")
        with open(path, "w") as file:
            file.write(made if isinstance(made, str) else made.to_str())
        package = Tokenizer.from_file(path)
        saved = path + ".saved"
        subprocess.run([encoder, path, "save", saved], check=False, stdout=subprocess.DEVNULL)
        again = Tokenizer.from_file(saved) if os.path.exists(saved) else None
        bad = 0
        for flags in (0, 1):
            package.encode_special_tokens = not flags
            if again:
                again.encode_special_tokens = not flags
            ours, out = run(encoder, path, lines, flags)
            if len(ours) != len(lines):
                print(f"{name}: {len(ours)} of {len(lines)} lines: {(ours or [''])[-1]} {out.stderr.decode()[-300:]} {out.returncode}")
                refused += 1
                break
            for text, line in zip(lines, ours):
                line["text"] = bytes.fromhex(line["hex"]).decode(errors="replace")
                theirs = package.encode(text, add_special_tokens=False)
                back = package.decode(theirs.ids, skip_special_tokens=not flags)
                compared += 1
                if again and again.encode(text, add_special_tokens=False).ids != theirs.ids:
                    print(f"{name}, flags {flags}: {text!r}: other ids with the file that we wrote")
                    bad += 1
                if theirs.ids != line["ids"] or back != line["text"]:
                    bad += 1
                    if bad <= 3:
                        print(f"{name}, flags {flags}: {text!r}\n  theirs {theirs.ids} {theirs.tokens} {back!r}\n"
                              f"  ours   {line['ids']} {[package.id_to_token(i) for i in line['ids']]} {line['text']!r}")
        wrong += bad
        print(f"{name}: {bad} differ")
    print(f"{compared} texts compared, {wrong} differ, {refused} tokenizers refused; tokenizers {tokenizers.__version__}")
    return 1 if wrong or refused else 0


if __name__ == "__main__":
    sys.exit(main())
