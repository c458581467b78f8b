/* fuzz_http.c - any bytes as the block of a response record: header, chunks, codings, kind. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/dump/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct vlm_arena arena;
    struct vlm_http http;
    const struct vlm_record record = { .type = VLM_RECORD_RESPONSE,
                                       .uri = "http://example.org/",
                                       .payload_digest = "sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                       .block = bytes,
                                       .block_length = n };
    vlm_arena_init(&arena, 6 * VLM_BODY_MAX);
    int rc = vlm_http_decode(&http, &record, &arena, NULL);
    if (rc == VLM_OK) {
        VLM_BUG_IF(http.body_length > VLM_BODY_MAX && http.body_length > n);
        VLM_BUG_IF(http.raw_length > n);
        (void)vlm_payload_kind(&record, &http);
    }
    vlm_arena_release(&arena);
    return 0;
}
