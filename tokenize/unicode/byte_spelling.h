/* byte_spelling.h - GPT-2's printable spelling of bytes in vocabulary files.
 *
 *   vlm_bpe_bytes_to_spelling(&out, bytes, n);               // " a" becomes "\u0120a" in UTF-8
 *   n = vlm_bpe_spelling_to_bytes(bytes, spelling, size);
 *
 * Bytes that are printable in Latin-1 are spelled as themselves, the others as U+0100 and so on, in their
 * order. Any thread. */
#ifndef VLM_TOKENIZE_BYTE_SPELLING_H
#define VLM_TOKENIZE_BYTE_SPELLING_H

#include "base/buffer.h"

uint32_t vlm_bpe_byte_to_char(uint8_t byte);

/* From a spelling (n bytes of UTF-8) to bytes: returns how many were written to out (at most n), or SIZE_MAX
 * when a character stands for no byte. */
size_t vlm_bpe_spelling_to_bytes(uint8_t *out, const char *spelling, size_t n);

/* Appends the spelling of n bytes. */
void vlm_bpe_bytes_to_spelling(struct vlm_buffer *out, const uint8_t *bytes, size_t n);

#endif
