/* utf8.h - the few questions about UTF-8 that many folders ask. Unicode 15, RFC 3629. */
#ifndef VLM_BASE_UTF8_H
#define VLM_BASE_UTF8_H

#include "base/vlm.h"

#define VLM_UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes of the valid character at text (1 to 4), or 0: overlong forms, surrogates, values over
 * U+10FFFF and cut characters are invalid. n > 0. */
size_t vlm_utf8_valid_at(const char *text, size_t n);

/* Length of the longest valid prefix. */
size_t vlm_utf8_valid_prefix(const char *text, size_t n);

/* The code point at text, which must be valid; *bytes gets its length. */
uint32_t vlm_utf8_decode(const char *text, size_t *bytes);

/* Writes a code point (a surrogate or one over U+10FFFF gives U+FFFD); returns its bytes, 1 to 4.
 */
size_t vlm_utf8_encode(char out[4], uint32_t code_point);

/* Number of code points in valid text. */
size_t vlm_utf8_count(const char *text, size_t n);

#endif
