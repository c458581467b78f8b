/* base64.h - bytes as text and back (RFC 4648, section 4). */
#ifndef VLM_BASE_BASE64_H
#define VLM_BASE_BASE64_H

#include "base/buffer.h"

/* Appends n bytes as base64 with padding. Failure sticks to the buffer. */
void vlm_base64(struct vlm_buffer *out, const uint8_t *bytes, size_t n);

/* Bytes that n characters stand for at most. */
static inline size_t vlm_base64_room(size_t n)
{
    return n / 4 * 3 + 3;
}

/* Decodes n characters into out, which has vlm_base64_room(n). Padding may be absent, but not wrong; no white space;
 * the bits that no byte has must be 0. Returns SIZE_MAX for anything else, with the place of the first character that
 * is wrong in *bad (n: the length is). */
size_t vlm_unbase64(uint8_t *out, const char *text, size_t n, size_t *bad);

#endif
