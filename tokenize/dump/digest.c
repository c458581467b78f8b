/* digest.c - digest fields of WARC records: "algorithm:value", the value in base32 or hex. */
#include "base/vlm.h"

#include "base/hash.h"
#include "tokenize/dump/record.h"

#include <ctype.h>

/* The algorithm in front of the colon as OpenSSL spells it: lower case, "sha-256" is "sha256". */
static size_t algorithm_name(char *out, size_t capacity, const char *field)
{
    size_t n = 0, at = 0;
    for (; field[at] && field[at] != ':'; at++) {
        if (field[at] == '-')
            continue;
        if (n + 1 == capacity)
            return 0;
        out[n++] = (char)tolower((unsigned char)field[at]);
    }
    out[n] = '\0';
    return field[at] == ':' ? at + 1 : 0;
}

enum vlm_digest_state vlm_digest_check(const char *field, const uint8_t *bytes, size_t n)
{
    static const char *const known[] = { "sha1", "sha256", "sha512", "sha384", "sha224", "md5" };
    char name[16];
    uint8_t computed[VLM_SHA_MAX], stated[VLM_SHA_MAX + 8];
    size_t value = field ? algorithm_name(name, sizeof(name), field) : 0;
    bool usable = false;
    for (size_t i = 0; value && i < VLM_COUNTOF(known); i++)
        usable = usable || !strcmp(name, known[i]);
    if (!usable)
        return VLM_DIGEST_NONE;
    size_t size = vlm_digest(computed, name, bytes, n);
    if (!size)
        return VLM_DIGEST_NONE;
    const char *text = field + value;
    size_t length = strlen(text);
    size_t got = length == 2 * size ? vlm_unhex(stated, sizeof(stated), text, length)
                                    : vlm_unbase32(stated, sizeof(stated), text, length);
    bool same = got == size && !memcmp(computed, stated, size);
    return same ? VLM_DIGEST_OK : VLM_DIGEST_MISMATCH;
}
