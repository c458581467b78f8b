/* byte_spelling.c - bytes_to_unicode() of GPT-2's encoder.py. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "tokenize/unicode/byte_spelling.h"

/* Bytes that are printable characters of Latin-1 stand for themselves; the k-th of the others is
 * U+0100 + k. */
static bool is_printable(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
}

uint32_t vlm_bpe_byte_to_char(uint8_t byte)
{
    if (is_printable(byte))
        return byte;
    /* The rest in order: U+0000 to U+0020, U+007F to U+00A0, U+00AD. */
    return 0x100U + (byte <= 0x20 ? byte : byte <= 0xa0 ? byte - 0x7fU + 33 : 67U);
}

/* The byte of a character, or -1. */
static int char_to_byte(uint32_t c)
{
    if (c < 0x100)
        return is_printable(c) ? (int)c : -1;
    uint32_t k = 0x100;
    for (int b = 0; b < 0x100; b++)
        if (!is_printable((uint32_t)b) && k++ == c)
            return b;
    return -1;
}

size_t vlm_bpe_spelling_to_bytes(uint8_t *out, const char *spelling, size_t n)
{
    size_t size = 0, bytes;
    for (size_t i = 0; i < n; i += bytes) {
        if (!vlm_utf8_valid_at(spelling + i, n - i))
            return SIZE_MAX;
        int byte = char_to_byte(vlm_utf8_decode(spelling + i, &bytes));
        if (byte < 0)
            return SIZE_MAX;
        out[size++] = (uint8_t)byte;
    }
    return size;
}

void vlm_bpe_bytes_to_spelling(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[4];
        size_t size = vlm_utf8_encode(text, vlm_bpe_byte_to_char(bytes[i]));
        vlm_buffer_add(out, text, size);
    }
}
