/* fuzz_multipart.c - forms with files: any bytes are parts inside the body, or one sentence. The first byte says how
 * long the boundary is, which follows. */
#include "base/vlm.h"

#include "base/limits.h"
#include "serve/api/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char boundary[80];
    struct vlm_multipart form;
    struct vlm_arena arena;
    struct vlm_err err = { 0 };
    const size_t n = size ? data[0] % sizeof(boundary) : 0;
    if (size < 1 + n)
        return 0;
    memcpy(boundary, data + 1, n);
    boundary[n] = 0;
    vlm_arena_init(&arena, VLM_MIB);
    const uint8_t *body = data + 1 + n, *end = data + size;
    int rc = vlm_multipart_parse(&form, &arena, body, (size_t)(end - body), boundary, &err);
    VLM_BUG_IF(rc != VLM_OK && rc != VLM_EFORMAT && rc != VLM_ELIMIT);
    VLM_BUG_IF((rc == VLM_OK) == (err.msg[0] != 0));
    for (size_t i = 0; rc == VLM_OK && i < form.n; i++) {
        const struct vlm_part_field *part = &form.parts[i];
        VLM_BUG_IF(part->bytes < body || part->bytes > end ||
                   part->n > (size_t)(end - part->bytes));
        VLM_BUG_IF(!part->name || !part->name[0] || strlen(part->name) > VLM_MULTIPART_NAME_MAX);
        VLM_BUG_IF(!vlm_multipart_find(&form, part->name, 0));
    }
    vlm_arena_release(&arena);
    return 0;
}
