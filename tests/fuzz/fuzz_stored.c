/* fuzz_stored.c - values of a part: whatever the bytes, decoding them refuses or gives a document that
 * every renderer can walk. The checksum is made right first, or no input would get past it. */
#include "base/vlm.h"

#include "shard/parts/stored.h"
#include "tokenize/render/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_valid(uint8_t *bytes, size_t size)
{
    static const uint8_t version[4] = { VLM_STORED_VERSION };
    memcpy(bytes + 8, version, sizeof(version));
    uint64_t sum = vlm_xxh3(bytes + 8, size - 8);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(sum >> 8 * i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vlm_arena arena;
    struct vlm_document *document;
    struct vlm_stored_image image;
    struct vlm_err err = { 0 };
    if (size < 12)
        return 0;
    uint8_t *bytes = malloc(size);
    VLM_BUG_IF(!bytes);
    memcpy(bytes, data, size);
    make_valid(bytes, size);
    vlm_arena_init(&arena, 64 << 20);
    if (vlm_stored_document_decode(&document, bytes, size, &arena, &err) == VLM_OK)
        for (int form = VLM_RENDER_JSON; form <= VLM_RENDER_TEXT; form++) {
            struct vlm_buffer out = { 0 };
            vlm_render(&out, document, (enum vlm_render)form, 0);
            vlm_buffer_release(&out);
        }
    if (vlm_stored_image_decode(&image, bytes, size, &err) == VLM_OK && image.square)
        VLM_BUG_IF(image.square + image.square_size > bytes + size);
    vlm_arena_release(&arena);
    free(bytes);
    return 0;
}
