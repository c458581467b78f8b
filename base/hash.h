/* hash.h - the hashes of the formats: SHA-1 and SHA-256 for identity, XXH3 for checks and keys. */
#ifndef VLM_BASE_HASH_H
#define VLM_BASE_HASH_H

#include "base/vlm.h"

enum { VLM_SHA1_SIZE = 20, VLM_SHA256_SIZE = 32, VLM_SHA_MAX = 64, VLM_KEY_SIZE = 16 };

/* A 128-bit key of something longer: a URL, a digest. Bytes in big-endian order of the hash, so
 * that memcmp orders keys as numbers. */
struct vlm_key {
    uint8_t byte[VLM_KEY_SIZE];
};

void vlm_sha1(uint8_t out[VLM_SHA1_SIZE], const void *bytes, size_t n);
void vlm_sha256(uint8_t out[VLM_SHA256_SIZE], const void *bytes, size_t n);

/* Any digest that OpenSSL knows by name (sha1, sha256, sha512, md5): its size, or 0 if unknown. */
size_t vlm_digest(uint8_t out[VLM_SHA_MAX], const char *name, const void *bytes, size_t n);

/* SHA-256 of a stream in pieces. begin allocates; end writes the digest and frees. */
struct vlm_sha256_stream;
struct vlm_sha256_stream *vlm_sha256_begin(void);
void vlm_sha256_add(struct vlm_sha256_stream *stream, const void *bytes, size_t n);
void vlm_sha256_end(struct vlm_sha256_stream *stream, uint8_t out[VLM_SHA256_SIZE]);

uint64_t vlm_xxh3(const void *bytes, size_t n);

/* XXH3-64 of two numbers: the next link of a chain of checksums. */
uint64_t vlm_xxh3_chain(uint64_t chain, uint64_t next);
struct vlm_key vlm_key_of(const void *bytes, size_t n);

/* Lower-case hexadecimal; out holds 2 * n + 1 bytes. Returns out. */
char *vlm_hex(char *out, const uint8_t *bytes, size_t n);

/* The number of bytes decoded (RFC 4648, padding optional, either case), or 0 when text is not of
 * that form. */
size_t vlm_unhex(uint8_t *out, size_t capacity, const char *text, size_t n);
size_t vlm_unbase32(uint8_t *out, size_t capacity, const char *text, size_t n);

#endif
