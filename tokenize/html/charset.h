/* charset.h - which encoding a page is in, and the page as UTF-8. Internal to tokenize/html.
 *
 *   struct vlm_charsets *charsets;
 *   rc = vlm_charsets_open(&charsets, &err);              // before the process is confined
 *   const struct vlm_encoding *encoding = vlm_charset_choose(in);
 *   rc = vlm_charset_decode(&page, charsets, encoding, in->bytes, in->size, &replaced, &err);
 */
#ifndef VLM_TOKENIZE_CHARSET_H
#define VLM_TOKENIZE_CHARSET_H

#include "base/buffer.h"
#include "tokenize/html/page.h"

enum vlm_charset_kind {
    VLM_CHARSET_UTF8,
    VLM_CHARSET_TABLE,     /* one byte a character */
    VLM_CHARSET_MULTIBYTE, /* by iconv */
    VLM_CHARSET_ISO2022JP, /* through EUC-JP */
    VLM_CHARSET_UTF16BE,
    VLM_CHARSET_UTF16LE,
    VLM_CHARSET_USER_DEFINED, /* 0x80..0xff are U+F780..U+F7FF */
    VLM_CHARSET_REPLACEMENT,  /* encodings that the standard refuses to decode */
};

struct vlm_encoding {
    const char *name;  /* WHATWG, lower case */
    const char *iconv; /* the converter whose repertoire is nearest, or NULL */
    enum vlm_charset_kind kind;
};

enum {
    VLM_ENCODINGS = 40,
    VLM_ENCODING_LABELS = 228,
    VLM_PRESCAN_BYTES = 1024,
    VLM_PRESCAN_LATE_BYTES = 64 << 10
};

/* The encoding of a label, in any case and with white space around it; NULL when there is none. */
const struct vlm_encoding *vlm_encoding_find(const char *label, size_t n);

const struct vlm_encoding *vlm_encoding_at(size_t i); /* i < VLM_ENCODINGS */
size_t vlm_encoding_index(const struct vlm_encoding *encoding);

/* Override, byte order mark, HTTP header, <meta> in the first 1024 bytes, XML declaration, what the
 * bytes give away (UTF-16, ISO-2022-JP, UTF-8), <meta> in the first 64 KiB, windows-1252: the first
 * that names an encoding that can be decoded. */
const struct vlm_encoding *vlm_charset_choose(const struct vlm_page_input *in);

/* <meta charset> or <meta http-equiv=content-type> in the n bytes (HTML section 13.2.3.2), or
 * NULL. */
const struct vlm_encoding *vlm_charset_prescan(const char *bytes, size_t n);

/* All converters of one thread. */
struct vlm_charsets;
VLM_MUST_CHECK int vlm_charsets_open(struct vlm_charsets **out, struct vlm_err *err);
void vlm_charsets_close(struct vlm_charsets *charsets);

/* Replaces the content of page by the decoded bytes with a NUL behind them: valid UTF-8, without
 * byte order mark, NUL as U+FFFD, other control characters than tab and line ends as spaces.
 * *replaced is set when bytes were invalid. VLM_SKIP when the page is over VLM_HTML_MAX. */
VLM_MUST_CHECK int vlm_charset_decode(struct vlm_buffer *page, struct vlm_charsets *charsets,
                                      const struct vlm_encoding *encoding, const void *bytes,
                                      size_t n, bool *replaced, struct vlm_err *err);

#endif
