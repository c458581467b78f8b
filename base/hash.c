/* hash.c - thin wrappers over libcrypto and xxHash, and the text forms of digests. */
#include "base/vlm.h"
#include "base/hash.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <xxhash.h>

void vlm_sha1(uint8_t out[VLM_SHA1_SIZE], const void *bytes, size_t n)
{
    SHA1(bytes, n, out);
}

void vlm_sha256(uint8_t out[VLM_SHA256_SIZE], const void *bytes, size_t n)
{
    SHA256(bytes, n, out);
}

size_t vlm_digest(uint8_t out[VLM_SHA_MAX], const char *name, const void *bytes, size_t n)
{
    if (!strcmp(name, "sha1")) {
        vlm_sha1(out, bytes, n);
        return VLM_SHA1_SIZE;
    }
    const EVP_MD *md = EVP_get_digestbyname(name);
    unsigned size = 0;
    if (!md || !EVP_Digest(bytes, n, out, &size, md, NULL))
        return 0;
    return size;
}

struct vlm_sha256_stream {
    EVP_MD_CTX *ctx;
};

struct vlm_sha256_stream *vlm_sha256_begin(void)
{
    struct vlm_sha256_stream *stream = malloc(sizeof(*stream));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    VLM_BUG_IF(!stream || !ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL));
    stream->ctx = ctx;
    return stream;
}

void vlm_sha256_add(struct vlm_sha256_stream *stream, const void *bytes, size_t n)
{
    EVP_DigestUpdate(stream->ctx, bytes, n);
}

void vlm_sha256_end(struct vlm_sha256_stream *stream, uint8_t out[VLM_SHA256_SIZE])
{
    EVP_DigestFinal_ex(stream->ctx, out, NULL);
    EVP_MD_CTX_free(stream->ctx);
    free(stream);
}

uint64_t vlm_xxh3(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

uint64_t vlm_xxh3_chain(uint64_t chain, uint64_t next)
{
    uint8_t both[16];
    for (size_t i = 0; i < 8; i++) {
        both[i] = (uint8_t)(chain >> 8 * i);
        both[8 + i] = (uint8_t)(next >> 8 * i);
    }
    return vlm_xxh3(both, sizeof(both));
}

struct vlm_key vlm_key_of(const void *bytes, size_t n)
{
    XXH128_canonical_t canonical;
    struct vlm_key key;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, n));
    memcpy(key.byte, canonical.digest, sizeof(key.byte));
    return key;
}

char *vlm_hex(char *out, const uint8_t *bytes, size_t n)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digit[bytes[i] >> 4];
        out[2 * i + 1] = digit[bytes[i] & 15];
    }
    out[2 * n] = 0;
    return out;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t vlm_unhex(uint8_t *out, size_t capacity, const char *text, size_t n)
{
    if (n % 2 || n / 2 > capacity)
        return 0;
    for (size_t i = 0; i < n / 2; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return n / 2;
}

static int base32_value(char c)
{
    if (c >= '2' && c <= '7')
        return c - '2' + 26;
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'z' ? c - 'a' : -1;
}

size_t vlm_unbase32(uint8_t *out, size_t capacity, const char *text, size_t n)
{
    while (n && text[n - 1] == '=')
        n--;
    if (n * 5 / 8 > capacity)
        return 0;
    uint32_t bits = 0, have = 0;
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        int value = base32_value(text[i]);
        if (value < 0)
            return 0;
        bits = bits << 5 | (uint32_t)value;
        have += 5;
        if (have >= 8) {
            have -= 8;
            out[size++] = (uint8_t)(bits >> have);
        }
    }
    return size;
}
