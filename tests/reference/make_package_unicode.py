#!/usr/bin/env python3
"""Writes tokenize/unicode/package_unicode.c: where the Unicode tables of the package tokenizers differ
from utf8proc's. Needs the package tokenizers 0.23 and libutf8proc.so.2 (Unicode 15).

    python tests/reference/make_package_unicode.py > tokenize/unicode/package_unicode.c
    clang-format -i tokenize/unicode/package_unicode.c
"""
import ctypes

from tokenizers import normalizers, pre_tokenizers

utf8proc = ctypes.CDLL("libutf8proc.so.2")
utf8proc.utf8proc_decompose_char.restype = ctypes.c_ssize_t


class Property(ctypes.Structure):
    _fields_ = [("category", ctypes.c_int16), ("combining_class", ctypes.c_int16)]


utf8proc.utf8proc_get_property.restype = ctypes.POINTER(Property)
buffer = (ctypes.c_int32 * 32)()
COMPAT, DECOMPOSE = 4, 16


def decomposed(c, options):
    n = utf8proc.utf8proc_decompose_char(c, buffer, 32, options, None)
    return "".join(map(chr, buffer[:n]))


def bert(**flags):
    names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    flags = {name: flags.get(name, False) for name in names}
    return normalizers.BertNormalizer(**flags).normalize_str


clean, strip = bert(clean_text=True), bert(strip_accents=True)
marks = normalizers.StripAccents().normalize_str
nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
cut = pre_tokenizers.BertPreTokenizer().pre_tokenize_str


def differences(c):
    """Names of the questions that the package answers otherwise."""
    p = utf8proc.utf8proc_get_property(c).contents
    category, text = p.category, chr(c)
    out = []
    is_cut = [piece[0] for piece in cut("a" + text + "b")] == ["a", text, "b"]
    if c > 0x7f and is_cut != (12 <= category <= 18):
        out.append("PUNCTUATION")
    if c > 0x9f and c != 0xfffd and (clean(text) == "") != (category in (26, 27, 29)):
        out.append("OTHER")
    if (marks(text) == "") != (6 <= category <= 8):
        out.append("MARK")
    if nfd(text) == text and (strip(text) == "") != (category == 6):
        out.append("NONSPACING")
    if nfd(text) != decomposed(c, DECOMPOSE):
        out.append("CANONICAL")
    if nfkd(text) != decomposed(c, DECOMPOSE | COMPAT):
        out.append("COMPATIBLE")
    # U+0345 has class 240, the highest; U+0334 has 1, the lowest.
    if p.combining_class and p.combining_class < 240 and nfd(text) == text:
        if nfd("a\u0345" + text) != "a" + text + "\u0345":
            out.append("CLASS")
    before = "a" + text + "\u0334"
    if not p.combining_class and nfd(text) == text and nfd(before) != before:
        raise SystemExit("U+%04X has a class in the package only" % c)
    return tuple(out)


def main():
    ranges = []
    for c in range(0x80, 0x110000):
        if 0xd800 <= c < 0xe000:
            continue
        found = differences(c)
        if not found:
            continue
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == found:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, found])
    print("""/* package_unicode.c - the table behind package_unicode.h, and its search.
 * Written by tests/reference/make_package_unicode.py. */
#include "base/vlm.h"
#include "tokenize/unicode/package_unicode.h"

static const struct {
    uint32_t first, last;
    uint8_t questions;
} ranges[] = {""")
    for first, last, found in ranges:
        questions = " | ".join("VLM_PACKAGE_" + x for x in found)
        print("    { 0x%x, 0x%x, %s }," % (first, last, questions))
    print("""};

bool vlm_package_differs(uint32_t c, enum vlm_package_question question)
{
    size_t low = 0, high = VLM_COUNTOF(ranges);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < VLM_COUNTOF(ranges) && c >= ranges[low].first && ranges[low].questions & question;
}""")


if __name__ == "__main__":
    main()
