/* data_url.c - the bytes inside a data: URL (RFC 2397), read as browsers do: white space in base64
 * is skipped, missing padding is fine, percent escapes are undone first. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/html/page.h"

#include <strings.h>

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* In place of a table: the value of a base64 character (both alphabets), or -1. */
static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static size_t undo_percent(uint8_t *out, const char *p, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        int high = p[i] == '%' && i + 2 < n ? hex_value((uint8_t)p[i + 1]) : -1;
        int low = high >= 0 ? hex_value((uint8_t)p[i + 2]) : -1;
        out[used++] = (uint8_t)(low >= 0 ? high << 4 | low : p[i]);
        i += low >= 0 ? 2 : 0;
    }
    return used;
}

/* In place; SIZE_MAX when there is a character of neither alphabet. */
static size_t undo_base64(uint8_t *p, size_t n)
{
    size_t used = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < n && p[i] != '='; i++) {
        if (p[i] <= ' ')
            continue;
        int value = base64_value(p[i]);
        if (value < 0)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            p[used++] = (uint8_t)(bits >> count);
        }
    }
    return used;
}

int vlm_data_url_decode(const uint8_t **bytes, size_t *size, const char *url, size_t n,
                        struct vlm_arena *arena, struct vlm_err *err)
{
    while (n && (unsigned char)*url <= ' ') {
        url++;
        n--;
    }
    const char *comma = n >= 5 && !strncasecmp(url, "data:", 5) ? memchr(url, ',', n) : NULL;
    if (!comma)
        return vlm_fail(err, VLM_SKIP, "not a data: URL");
    const char *end = url + n, *head_end = comma;
    if (n > VLM_IMAGE_BYTES_MAX / 3 * 4 + VLM_URL_MAX)
        return vlm_fail(err, VLM_SKIP, "data: URL of %zu bytes is over the limit", n);
    while (head_end > url && head_end[-1] == ' ')
        head_end--;
    bool base64 = head_end - url >= 12 && !strncasecmp(head_end - 6, "base64", 6) &&
                  memchr(url, ';', (size_t)(head_end - url));
    uint8_t *out = vlm_arena_alloc(arena, 1, (size_t)(end - comma));
    if (!out)
        return vlm_fail(err, VLM_SKIP, "no room for a data: URL of %zu bytes", n);
    *size = undo_percent(out, comma + 1, (size_t)(end - comma - 1));
    if (base64)
        *size = undo_base64(out, *size);
    if (*size == SIZE_MAX)
        return vlm_fail(err, VLM_SKIP, "data: URL is not base64");
    *bytes = out;
    return VLM_OK;
}
