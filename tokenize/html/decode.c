/* decode.c - bytes of a page to clean UTF-8, for every encoding that the standard decodes.
 *
 * UTF-8 and the single-byte encodings have loops of their own; the East Asian ones go through iconv,
 * opened once. Invalid bytes become U+FFFD and decoding goes on. Control characters are mapped on
 * the way, so nothing behind this file meets a NUL or a form feed. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/html/charset.h"

#include <iconv.h>

struct vlm_charsets {
    uint16_t table[VLM_ENCODINGS][128]; /* code point of 0x80 + i, 0 when the byte is invalid */
    iconv_t converter[VLM_ENCODINGS];   /* (iconv_t)-1 where none is needed */
};

/* The code point that one byte gives, or 0. */
static uint16_t table_entry(iconv_t converter, uint8_t byte)
{
    char in[1] = { (char)byte }, out[8];
    char *from = in, *to = out;
    size_t in_left = 1, out_left = sizeof(out);
    iconv(converter, NULL, NULL, NULL, NULL);
    /* A second call without input brings out what waits for a combining mark. */
    if (iconv(converter, &from, &in_left, &to, &out_left) == (size_t)-1 ||
        iconv(converter, NULL, NULL, &to, &out_left) == (size_t)-1 || out_left != sizeof(out) - 2)
        return 0;
    return (uint16_t)((uint8_t)out[0] << 8 | (uint8_t)out[1]);
}

/* Bytes where the standard's indexes and the C library's tables disagree. */
static const struct {
    const char *name;
    uint8_t byte;
    uint16_t code_point; /* 0: invalid */
} table_fixes[] = {
    { "koi8-u", 0xae, 0x45e },       { "koi8-u", 0xbe, 0x40e },
    { "macintosh", 0xc6, 0x2206 },   { "macintosh", 0xf0, 0xf8ff },
    { "windows-1255", 0xca, 0x5ba }, { "x-mac-cyrillic", 0xff, 0x20ac },
};

static void fill_table(uint16_t table[128], const char *name, iconv_t converter)
{
    for (unsigned i = 0; i < 128; i++) {
        table[i] = table_entry(converter, (uint8_t)(0x80 + i));
        /* Unassigned bytes of the Windows code pages are C1 controls in the standard. */
        if (!table[i] && i < 32 && !strncmp(name, "windows-", 8))
            table[i] = (uint16_t)(0x80 + i);
    }
    for (size_t i = 0; i < VLM_COUNTOF(table_fixes); i++)
        if (!strcmp(name, table_fixes[i].name))
            table[table_fixes[i].byte - 0x80] = table_fixes[i].code_point;
}

int vlm_charsets_open(struct vlm_charsets **out, struct vlm_err *err)
{
    struct vlm_charsets *charsets = malloc(sizeof(*charsets));
    *out = NULL;
    if (!charsets)
        return vlm_fail(err, VLM_ENOMEM, "no memory for converters");
    for (size_t i = 0; i < VLM_ENCODINGS; i++)
        charsets->converter[i] = (iconv_t)-1;
    for (size_t i = 0; i < VLM_ENCODINGS; i++) {
        const struct vlm_encoding *encoding = vlm_encoding_at(i);
        if (!encoding->iconv)
            continue;
        bool single = encoding->kind == VLM_CHARSET_TABLE;
        iconv_t converter = iconv_open(single ? "UTF-16BE" : "UTF-8", encoding->iconv);
        if (converter == (iconv_t)-1) {
            vlm_charsets_close(charsets);
            return vlm_fail(err, VLM_EFAIL, "the C library has no converter for %s",
                            encoding->iconv);
        }
        if (single) {
            fill_table(charsets->table[i], encoding->name, converter);
            iconv_close(converter);
        } else {
            charsets->converter[i] = converter;
        }
    }
    *out = charsets;
    return VLM_OK;
}

void vlm_charsets_close(struct vlm_charsets *charsets)
{
    for (size_t i = 0; charsets && i < VLM_ENCODINGS; i++)
        if (charsets->converter[i] != (iconv_t)-1)
            iconv_close(charsets->converter[i]);
    free(charsets);
}

static void add_replacement(struct vlm_buffer *page, bool *replaced)
{
    vlm_buffer_add(page, VLM_UTF8_REPLACEMENT, 3);
    *replaced = true;
}

static void add_code_point(struct vlm_buffer *page, uint32_t code_point)
{
    char *to = (char *)vlm_buffer_reserve(page, 4);
    if (to)
        page->size += vlm_utf8_encode(to, code_point);
}

/* The longest run from at of bytes < 0x80, eight at a time. */
static size_t ascii_run(const uint8_t *p, size_t n)
{
    size_t i = 0;
    uint64_t eight;
    while (n - i >= 8 && (memcpy(&eight, p + i, 8), !(eight & 0x8080808080808080u)))
        i += 8;
    while (i < n && p[i] < 0x80)
        i++;
    return i;
}

/* How many bytes one U+FFFD stands for: the maximal prefix of a valid sequence (Unicode 3.9, and
 * what the standard's decoder does). */
static size_t invalid_length(const uint8_t *p, size_t n)
{
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 1;
    size_t need = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint8_t low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    size_t i = 1;
    for (; i < need && i < n && p[i] >= low && p[i] <= high; i++) {
        low = 0x80;
        high = 0xbf;
    }
    return i;
}

static void decode_utf8(struct vlm_buffer *page, const uint8_t *p, size_t n, bool *replaced)
{
    for (size_t i = 0; i < n && !page->failed;) {
        size_t valid = vlm_utf8_valid_prefix((const char *)p + i, n - i);
        vlm_buffer_add(page, p + i, valid);
        i += valid;
        if (i < n) {
            add_replacement(page, replaced);
            i += invalid_length(p + i, n - i);
        }
    }
}

static void decode_table(struct vlm_buffer *page, const uint16_t table[128], const uint8_t *p,
                         size_t n, bool *replaced)
{
    for (size_t i = 0; i < n && !page->failed;) {
        size_t run = ascii_run(p + i, n - i);
        vlm_buffer_add(page, p + i, run);
        for (i += run; i < n && p[i] >= 0x80; i++) {
            uint32_t code_point = table ? table[p[i] - 0x80] : 0xf700u + p[i];
            if (code_point)
                add_code_point(page, code_point);
            else
                add_replacement(page, replaced);
        }
    }
}

static void decode_utf16(struct vlm_buffer *page, bool big, const uint8_t *p, size_t n,
                         bool *replaced)
{
    uint32_t lead = 0;
    for (size_t i = 0; i + 1 < n && !page->failed; i += 2) {
        uint32_t unit = (uint32_t)(big ? p[i] << 8 | p[i + 1] : p[i + 1] << 8 | p[i]);
        bool trail = unit >= 0xdc00 && unit < 0xe000;
        if (lead && trail) {
            add_code_point(page, 0x10000 + ((lead - 0xd800) << 10) + (unit - 0xdc00));
            lead = 0;
            continue;
        }
        if (lead || trail)
            add_replacement(page, replaced);
        lead = unit >= 0xd800 && unit < 0xdc00 ? unit : 0;
        if (!lead && !trail)
            add_code_point(page, unit);
    }
    if (lead || n % 2)
        add_replacement(page, replaced);
}

enum { ICONV_CHUNK = 4096 };

/* A byte that iconv refuses is one U+FFFD; an ASCII byte after a refused lead byte stays itself,
 * since only the lead is skipped. */
static void decode_iconv(struct vlm_buffer *page, iconv_t converter, const uint8_t *p, size_t n,
                         bool *replaced)
{
    char *from = (char *)(uintptr_t)p;
    size_t left = n;
    iconv(converter, NULL, NULL, NULL, NULL);
    while (left && !page->failed) {
        size_t run = ascii_run((uint8_t *)from, left);
        vlm_buffer_add(page, from, run);
        from += run;
        left -= run;
        if (!left)
            break;
        /* Small chunks: each call costs what it is shown, and a page may be invalid throughout. 4
         * bytes of UTF-8 for each byte are enough for every encoding. */
        size_t chunk = VLM_MIN(left, (size_t)ICONV_CHUNK), in_left = chunk, room = chunk * 4 + 16;
        char *to = (char *)vlm_buffer_reserve(page, room);
        if (!to)
            return;
        char *begin = to;
        bool failed = iconv(converter, &from, &in_left, &to, &room) == (size_t)-1;
        page->size += (size_t)(to - begin);
        left -= chunk - in_left;
        /* A character cut by the end of the chunk is whole in the next. */
        bool cut = failed && errno == EINVAL && chunk > in_left && left > in_left;
        if (failed && errno != E2BIG && !cut) {
            add_replacement(page, replaced);
            iconv(converter, NULL, NULL, NULL, NULL);
            from++;
            left--;
        }
    }
    char *to = (char *)vlm_buffer_reserve(page, 16);
    size_t room = 16;
    char *begin = to;
    if (to && iconv(converter, NULL, NULL, &to, &room) != (size_t)-1)
        page->size += (size_t)(to - begin);
}

/* What the escape sequence at p selects: 1 one byte a character, 2 two, 3 katakana; 0 when it is no
 * escape sequence that the standard knows. */
static unsigned escape_mode(const uint8_t *p, size_t n)
{
    if (n < 3)
        return 0;
    if (p[1] == '(')
        return p[2] == 'B' || p[2] == 'J' ? 1 : p[2] == 'I' ? 3 : 0;
    return p[1] == '$' && (p[2] == '@' || p[2] == 'B') ? 2 : 0;
}

/* ISO-2022-JP is EUC-JP without its high bits and with escapes between the sets. A line end goes
 * back to ASCII, and so a cut character costs one line at most. */
static void decode_iso2022jp(struct vlm_buffer *page, iconv_t euc, const uint8_t *p, size_t n,
                             bool *replaced)
{
    struct vlm_buffer bytes = { 0 };
    unsigned mode = 1;
    for (size_t i = 0; i < n; i++) {
        unsigned escape = p[i] == 0x1b ? escape_mode(p + i, n - i) : 0;
        if (escape) {
            mode = escape;
            i += 2;
            continue;
        }
        if (p[i] == '\n' || p[i] == '\r')
            mode = 1;
        bool graphic = p[i] > 0x20 && p[i] < 0x7f;
        if (mode == 3 && graphic)
            vlm_buffer_byte(&bytes, 0x8e);
        /* 0xff is valid nowhere in EUC-JP: it stands for a byte that is valid nowhere here. */
        vlm_buffer_byte(&bytes, p[i] >= 0x80 || p[i] == 0x1b ? 0xff
                                : mode > 1 && graphic        ? (uint8_t)(p[i] | 0x80)
                                                             : p[i]);
    }
    decode_iconv(page, euc, bytes.data, bytes.size, replaced);
    page->failed |= bytes.failed;
    vlm_buffer_release(&bytes);
}

enum { CONTROL_BLOCK = 64 };

/* Whether a block has control characters that must be mapped. No branches and a fixed length, so
 * that the compiler can use vectors. */
static bool has_controls(const uint8_t *p)
{
    uint8_t bad = 0;
    for (size_t i = 0; i < CONTROL_BLOCK; i++) {
        uint8_t control = p[i] < 0x20 ? 0xff : 0;
        uint8_t allowed = p[i] == '\t' || p[i] == '\n' || p[i] == '\r' ? 0xff : 0;
        bad = (uint8_t)(bad | (control & (uint8_t)~allowed));
    }
    return bad != 0;
}

/* Makes controls of a block spaces; returns how many NUL bytes are in it, which stay. */
static size_t map_block(uint8_t *p, size_t n)
{
    size_t nuls = 0;
    for (size_t i = 0; i < n; i++) {
        nuls += !p[i];
        if (p[i] && p[i] < 0x20 && p[i] != '\t' && p[i] != '\n' && p[i] != '\r')
            p[i] = ' ';
    }
    return nuls;
}

/* C0 controls become spaces in place; NUL becomes U+FFFD, two bytes longer. */
static void map_controls(struct vlm_buffer *page)
{
    size_t nuls = 0, i = 0;
    for (; page->size - i >= CONTROL_BLOCK; i += CONTROL_BLOCK)
        if (has_controls(page->data + i))
            nuls += map_block(page->data + i, CONTROL_BLOCK);
    if (page->size > i)
        nuls += map_block(page->data + i, page->size - i);
    if (!nuls || !vlm_buffer_reserve(page, 2 * nuls))
        return;
    size_t to = page->size + 2 * nuls;
    for (size_t from = page->size; from-- > 0;) {
        if (page->data[from]) {
            page->data[--to] = page->data[from];
        } else {
            to -= 3;
            memcpy(page->data + to, VLM_UTF8_REPLACEMENT, 3);
        }
    }
    page->size += 2 * nuls;
}

int vlm_charset_decode(struct vlm_buffer *page, struct vlm_charsets *charsets,
                       const struct vlm_encoding *encoding, const void *bytes, size_t n,
                       bool *replaced, struct vlm_err *err)
{
    const uint8_t *p = bytes;
    size_t i = vlm_encoding_index(encoding);
    *replaced = false;
    if (n > VLM_HTML_MAX)
        return vlm_fail(err, VLM_SKIP, "page of %zu bytes is over the limit of %zu bytes", n,
                        VLM_HTML_MAX);
    vlm_buffer_reset(page);
    vlm_buffer_reserve(page, n + 16);
    if (encoding->kind == VLM_CHARSET_UTF8 && n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) {
        p += 3;
        n -= 3;
    } else if (n >= 2 && ((encoding->kind == VLM_CHARSET_UTF16BE && !memcmp(p, "\xfe\xff", 2)) ||
                          (encoding->kind == VLM_CHARSET_UTF16LE && !memcmp(p, "\xff\xfe", 2)))) {
        p += 2;
        n -= 2;
    }
    switch (encoding->kind) {
    case VLM_CHARSET_UTF8:
        decode_utf8(page, p, n, replaced);
        break;
    case VLM_CHARSET_TABLE:
    case VLM_CHARSET_USER_DEFINED:
        decode_table(page, encoding->kind == VLM_CHARSET_TABLE ? charsets->table[i] : NULL, p, n,
                     replaced);
        break;
    case VLM_CHARSET_UTF16BE:
    case VLM_CHARSET_UTF16LE:
        decode_utf16(page, encoding->kind == VLM_CHARSET_UTF16BE, p, n, replaced);
        break;
    case VLM_CHARSET_MULTIBYTE:
        decode_iconv(page, charsets->converter[i], p, n, replaced);
        break;
    case VLM_CHARSET_ISO2022JP:
        decode_iso2022jp(page,
                         charsets->converter[vlm_encoding_index(vlm_encoding_find("euc-jp", 6))], p,
                         n, replaced);
        break;
    case VLM_CHARSET_REPLACEMENT:
        add_replacement(page, replaced);
        break;
    }
    map_controls(page);
    vlm_buffer_byte(page, 0);
    if (page->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a page of %zu bytes", n);
    page->size--;
    return VLM_OK;
}
