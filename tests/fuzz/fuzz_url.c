/* fuzz_url.c - base, reference and data: URL out of the same bytes, divided at the first NUL: what
 * resolves stays within the limit, and the canonical form of a canonical form is itself. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/html/page.h"
#include "tokenize/html/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void canonical_twice(const char *url, size_t n)
{
    struct vlm_buffer once = { 0 }, twice = { 0 };
    vlm_url_canonical(&once, url, n);
    vlm_url_canonical(&twice, (char *)once.data, once.size);
    /* Escapes may bring a URL over the limit, and then it is copied as it is. */
    must(once.size > VLM_URL_MAX ||
         (once.size == twice.size && (!once.size || !memcmp(once.data, twice.data, once.size))));
    vlm_buffer_release(&once);
    vlm_buffer_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *nul = n ? memchr(bytes, 0, n) : NULL;
    const char *base = nul ? (const char *)bytes : NULL;
    const char *reference = nul ? (const char *)nul + 1 : (const char *)bytes;
    size_t reference_n = nul ? n - (size_t)(nul + 1 - bytes) : n;
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    int rc = vlm_url_resolve(&out, base, reference, reference_n, &err);
    must(rc == VLM_OK || rc == VLM_SKIP);
    must(rc == VLM_OK || !out.size);
    vlm_buffer_release(&out);
    canonical_twice(reference, reference_n);
    if (base) {
        size_t host;
        const char *at = vlm_url_host(base, &host);
        must(at >= base && at + host <= (const char *)nul);
    }
    struct vlm_arena arena;
    vlm_arena_init(&arena, 64 * VLM_MIB);
    const uint8_t *decoded;
    size_t size;
    rc = vlm_data_url_decode(&decoded, &size, reference, reference_n, &arena, &err);
    must(rc == VLM_OK || rc == VLM_SKIP);
    vlm_arena_release(&arena);
    return 0;
}
