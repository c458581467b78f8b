/* base64.c - base64 by table, three bytes and four characters at a time. */
#include "base/vlm.h"
#include "base/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void vlm_base64(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    const size_t size = (n + 2) / 3 * 4;
    uint8_t *to = vlm_buffer_reserve(out, size);
    if (!to)
        return;
    for (size_t i = 0; i < n; i += 3, to += 4) {
        const size_t rest = n - i;
        const uint32_t bits = (uint32_t)bytes[i] << 16 |
                              (rest > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                              (rest > 2 ? bytes[i + 2] : 0u);
        to[0] = (uint8_t)letters[bits >> 18];
        to[1] = (uint8_t)letters[bits >> 12 & 63];
        to[2] = rest > 1 ? (uint8_t)letters[bits >> 6 & 63] : '=';
        to[3] = rest > 2 ? (uint8_t)letters[bits & 63] : '=';
    }
    out->size += size;
}

/* The six bits of a character, or 64. */
static uint32_t value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

size_t vlm_unbase64(uint8_t *out, const char *text, size_t n, size_t *bad)
{
    size_t end = n, size = 0;
    if (n && n % 4 == 0)
        end -= text[n - 1] != '=' ? 0u : text[n - 2] == '=' ? 2u : 1u;
    uint32_t bits = 0;
    for (size_t i = 0; i < end; i++) {
        const uint32_t value = value_of(text[i]);
        if (value == 64) {
            *bad = i;
            return SIZE_MAX;
        }
        bits = bits << 6 | value;
        if (i % 4 == 0)
            continue;
        out[size++] = (uint8_t)(bits >> (6 - 2 * (i % 4)) & 255);
    }
    const uint32_t unused = end % 4 == 2 ? bits & 15 : end % 4 == 3 ? bits & 3 : 0;
    if (end % 4 == 1 || unused) {
        *bad = n;
        return SIZE_MAX;
    }
    return size;
}
