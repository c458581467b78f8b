/* generate_encode.c - picture files as the codes of a model's image tokenizer. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "tools/generate/generate_tool.h"

static int make_square(uint8_t *square, const char *file, struct vlm_arena *arena,
                       struct vlm_err *err)
{
    struct vlm_buffer bytes = { 0 };
    struct vlm_image image;
    vlm_arena_reset(arena);
    int rc = vlm_file_read(&bytes, file, VLM_IMAGE_BYTES_MAX, err);
    if (rc == VLM_OK) {
        static const uint8_t nothing[1];
        rc = vlm_image_decode(&image, bytes.size ? bytes.data : nothing, bytes.size, NULL, arena,
                              err);
        if (rc == VLM_OK && image.info.status != VLM_IMAGE_OK)
            rc = vlm_fail(err, VLM_EFORMAT, "%s", image.info.detail);
        if (rc == VLM_OK)
            rc = vlm_image_square(square, &image, arena, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "%s", file);
    }
    vlm_buffer_release(&bytes);
    return rc;
}

int vlm_generate_encode(uint16_t *codes, const char *const *files, size_t n,
                        struct vlm_coder *coder, struct vlm_err *err)
{
    struct vlm_arena arena;
    uint8_t *square = malloc(VLM_SQUARE_BYTES);
    int rc = square ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a picture");
    vlm_arena_init(&arena, VLM_GIB);
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        rc = make_square(square, files[i], &arena, err);
        if (rc == VLM_OK && (rc = vlm_coder_encode(coder, codes + i * VLM_CODES, square, 1, err)))
            rc = vlm_wrap(err, "%s", files[i]);
    }
    vlm_arena_release(&arena);
    free(square);
    return rc;
}
