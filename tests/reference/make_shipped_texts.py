#!/usr/bin/env python3
"""The texts that the shipped tokenizer was learnt from, out of git clones and one book.

    python3 tests/reference/make_shipped_texts.py CLONES BOOK OUT

CLONES holds clones of the repositories in REPOSITORIES, each under its own name without the owner; BOOK is War and
Peace, Project Gutenberg #2600, as text. Writes OUT/english/*.txt, OUT/languages/*.txt and OUT/html/*/*.html and prints
a table of sources with their hashes. Only works in the public domain, under CC0 or under CC BY are taken."""

import hashlib
import html
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

CLONES, BOOK, OUT = sys.argv[1], sys.argv[2], Path(sys.argv[3])
PD, CC0, CC_BY = "public domain", "CC0 1.0", "CC BY 4.0"

# Owner, what is taken, terms.
REPOSITORIES = {
    "Moby-Dick--Or-The-Whale_2701": ("GITenberg", "Herman Melville, Moby Dick", PD),
    "Pride-and-Prejudice_1342": ("GITenberg", "Jane Austen, Pride and Prejudice", PD),
    "arthur-conan-doyle_the-adventures-of-sherlock-holmes": (
        "standardebooks", "Arthur Conan Doyle, The Adventures of Sherlock Holmes", CC0),
    "p-g-wodehouse_love-among-the-chickens": ("standardebooks", "P. G. Wodehouse, Love Among the Chickens", CC0),
    "samuel-pepys_the-diary": ("standardebooks", "Samuel Pepys, The Diary (a part)", CC0),
    "digitalgov.gov": ("GSA", "articles of Digital.gov (a part)", CC0),
    "opensource.guide": ("github", "Open Source Guides in 28 languages (long ones in part)", CC_BY),
    "fr.react.dev": ("reactjs", "React documentation, French (a part)", CC_BY),
    "es.react.dev": ("reactjs", "React documentation, Spanish (a part)", CC_BY),
    "ru.react.dev": ("reactjs", "React documentation, Russian (a part)", CC_BY),
    "it.react.dev": ("reactjs", "React documentation, Italian (a part)", CC_BY),
    "ko.react.dev": ("reactjs", "React documentation, Korean (a part)", CC_BY),
    "ja.react.dev": ("reactjs", "React documentation, Japanese (a part)", CC_BY),
    "zh-hans.react.dev": ("reactjs", "React documentation, Chinese (a part)", CC_BY),
    "Madame-Bovary_14155": ("GITenberg", "Gustave Flaubert, Madame Bovary (a part)", PD),
    "Die-Verwandlung_22367": ("GITenberg", "Franz Kafka, Die Verwandlung", PD),
    "Don-Quijote_2000": ("GITenberg", "Miguel de Cervantes, Don Quijote (a part)", PD),
    "Dom-Casmurro_55752": ("GITenberg", "Machado de Assis, Dom Casmurro", PD),
    "Effi-Briest_5323": ("GITenberg", "Theodor Fontane, Effi Briest (a part)", PD),
    "open-bibles": ("seven1m", "Chinese Union Version (a part)", PD),
    "learning-area": ("mdn", "example pages", CC0),
    "css-examples": ("mdn", "example pages", CC0),
    "dom-examples": ("mdn", "example pages", CC0),
    "interactive-examples": ("mdn", "example pages", CC0),
}
taken = {}  # repository: [bytes, hash]


def git(repository, *command):
    return subprocess.run(["git", "-C", f"{CLONES}/{repository}", *command], check=True, capture_output=True).stdout


def files(repository, pattern):
    names = git(repository, "ls-tree", "-r", "-z", "--name-only", "HEAD").decode().split("\0")
    return sorted(name for name in names if re.fullmatch(pattern, name))


def read(repository, name):
    data = git(repository, "cat-file", "blob", f"HEAD:{name}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def save(repository, path, text):
    data = text.encode()
    path = OUT / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    entry = taken.setdefault(repository, [0, hashlib.sha256()])
    entry[0] += len(data)
    entry[1].update(data)


def part(text, size):
    """About size bytes, in eight stretches from everywhere; whole lines."""
    if len(text.encode()) <= size:
        return text
    lines = text.split("\n")
    share, result = size // 8, []
    for k in range(8):
        n, i = 0, len(lines) * k // 8
        while n < share and i < len(lines) * (k + 1) // 8:
            result.append(lines[i])
            n += len(lines[i].encode()) + 1
            i += 1
    return "\n".join(result)


def unwrap(text):
    """A book: without the words of Project Gutenberg, a paragraph a line."""
    text = text.replace("\r\n", "\n")
    start = re.search(r"\*\*\* ?START OF.*?\*\*\*|\*END\*THE SMALL PRINT.*", text)
    end = re.search(r"\*\*\* ?END OF|End of (the )?Project Gutenberg", text)
    text = text[start.end() if start else 0:end.start() if end else len(text)]
    paragraphs = (re.sub(r"\s+", " ", paragraph).strip() for paragraph in re.split(r"\n\s*\n", text))
    return "\n".join(filter(None, paragraphs))


def plain(text):
    """Markdown as the text that a reader sees."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"```.*?```|\{\{.*?\}\}|\{%.*?%\}|\{/\*.*?\*/\}|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"<[^>\n]*>", "", text)
    text = re.sub(r"!?\[([^\]\n]*)\]\([^)\n]*\)", r"\1", text)
    text = re.sub(r"^\s*(#+|>|[-*+]|\d+\.)\s+", "", text, flags=re.M)
    text = re.sub(r"\*\*|__|`|^---+$|^:::.*$", "", text, flags=re.M)
    lines = (re.sub(r"\s+", " ", line).strip() for line in html.unescape(text).split("\n"))
    return unicodedata.normalize("NFC", "\n".join(filter(None, lines)))


def bible(name):
    text = re.sub(r"<[^>]*>", " ", read("open-bibles", name))
    return "\n".join(filter(None, (re.sub(r"\s+", " ", line).strip() for line in html.unescape(text).split("\n"))))


def markdown(repository, pattern, size):
    return part("\n".join(plain(read(repository, name)) for name in files(repository, pattern)), size)


def book(repository, name, path, size=10**9):
    save(repository, path, part(unwrap(read(repository, name)), size))


def pages(repository, pattern, size):
    n = 0
    for name in files(repository, pattern):
        text = read(repository, name)
        if re.search("abcdefghijklmnopq|ornare|condimentum", text):
            continue  # samples of fonts, Latin that stands for text
        if n + len(text) > size:
            break
        n += len(text)
        save(repository, f"html/{repository}/{name.replace('/', '_').rsplit('.', 1)[0]}.html", text)


def main():
    save("War and Peace", "english/war-and-peace.txt", unwrap(Path(BOOK).read_text(encoding="utf-8")))
    book("Moby-Dick--Or-The-Whale_2701", "2701-0.txt", "english/moby-dick.txt")
    save("digitalgov.gov", "english/digitalgov.txt",
         markdown("digitalgov.gov", r"content/(news|resources|guides|events|topics|services|about)/.*\.md", 5_000_000))
    guides = files("opensource.guide", r"_articles/.*\.md")
    for language in sorted({name.split("/")[1] if name.count("/") == 2 else "en" for name in guides}):
        pattern = r"_articles/[^/]*\.md" if language == "en" else rf"_articles/{language}/.*\.md"
        folder = "english" if language in ("en", "pcm") else "languages"
        size = 80_000 if folder == "languages" else 200_000
        save("opensource.guide", f"{folder}/guides-{language}.txt", markdown("opensource.guide", pattern, size))
    for language in ("fr", "es", "it", "ru", "ja", "ko", "zh-hans"):
        repository = f"{language}.react.dev"
        save(repository, f"languages/react-{language}.txt",
             markdown(repository, r"src/content/(learn|blog)/.*\.md", 100_000))
    book("Madame-Bovary_14155", "14155-8.txt", "languages/madame-bovary.txt", 400_000)
    book("Don-Quijote_2000", "2000-8.txt", "languages/don-quijote.txt", 300_000)
    book("Effi-Briest_5323", "5323-8.txt", "languages/effi-briest.txt", 400_000)
    save("open-bibles", "languages/bible-chinese.txt", part(bible("chi-cuv-simp.usfx.xml"), 80_000))
    pages("Pride-and-Prejudice_1342", r"1342-h/1342-h\.htm", 10**9)
    pages("Die-Verwandlung_22367", r"22367-h/22367-h\.htm", 10**9)
    pages("Dom-Casmurro_55752", r"55752-h/55752-h\.htm", 10**9)
    for repository in ("arthur-conan-doyle_the-adventures-of-sherlock-holmes", "p-g-wodehouse_love-among-the-chickens",
                       "samuel-pepys_the-diary"):
        pages(repository, r"src/epub/text/(?!endnotes|loi|toc|imprint|colophon|uncopyright).*\.xhtml", 1_200_000)
    for repository in ("learning-area", "css-examples", "dom-examples", "interactive-examples"):
        pages(repository, r"(?!.*node_modules).*\.html", 10**9)
    print("| Source | Terms | Commit | Bytes | SHA-256 of all bytes taken |\n| --- | --- | --- | --- | --- |")
    for repository, (size, digest) in taken.items():
        if repository in REPOSITORIES:
            owner, what, terms = REPOSITORIES[repository]
            commit = git(repository, "rev-parse", "HEAD").decode().strip()[:12]
            source = f"{what}: github.com/{owner}/{repository}"
        else:
            commit, source, terms = "", "Leo Tolstoy, War and Peace: Project Gutenberg #2600", PD
        print(f"| {source} | {terms} | {commit} | {size} | {digest.hexdigest()[:16]} |")


main()
