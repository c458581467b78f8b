/* code_points_fixture.h - every code point in the contexts of tests/reference/make_normalize.py. */
#ifndef VLM_TESTS_CODE_POINTS_FIXTURE_H
#define VLM_TESTS_CODE_POINTS_FIXTURE_H

#include "base/vlm.h"

#include "base/buffer.h"
#include "base/hash.h"
#include "base/utf8.h"

static const struct context {
    const char *name, *before, *behind;
    bool twice;
} contexts[] = {
    { "alone", "", "", false },
    { "letters", "a", "b", false },
    { "word", "a ", "", false },
    { "twice", "", "", true },
    { "dot", ".", "", false },
    { "acute", "", "\xcc\x81", false },
    { "after_acute", "\xcc\x81", "", false },
    { "marks", "a\xcd\x85", "\xcc\xa3", false },
    { "jamo", "\xe1\x84\x80", "\xe1\x86\xa8", false },
};

static inline const struct context *context_of(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(contexts); i++)
        if (!strcmp(contexts[i].name, name))
            return &contexts[i];
    return NULL;
}

static inline bool is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c < 0xe000;
}

static inline void add_in_context(struct vlm_buffer *out, const struct context *context, uint32_t c)
{
    char bytes[4];
    size_t n = vlm_utf8_encode(bytes, c);
    vlm_buffer_text(out, context->before);
    vlm_buffer_add(out, bytes, n);
    vlm_buffer_text(out, context->behind);
    if (context->twice)
        vlm_buffer_add(out, bytes, n);
}

/* What was gathered goes into the digest: one call for many numbers, for each costs. */
static inline void add_gathered(struct vlm_sha256_stream *digest, struct vlm_buffer *gathered)
{
    if (gathered->failed)
        abort();
    vlm_sha256_add(digest, gathered->data, gathered->size);
    vlm_buffer_reset(gathered);
}

/* Whether the digest begins with these hexadecimal digits; ends the stream. */
static inline bool digest_is(struct vlm_sha256_stream *digest, const char *expected)
{
    uint8_t bytes[VLM_SHA256_SIZE];
    char hex[2 * VLM_SHA256_SIZE + 1];
    vlm_sha256_end(digest, bytes);
    vlm_hex(hex, bytes, sizeof(bytes));
    return !strncmp(hex, expected, strlen(expected)) && *expected;
}

#endif
