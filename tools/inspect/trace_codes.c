/* trace_codes.c - record, picture, square, codes: the way of the build, for one image. */
#include "base/vlm.h"

#include "base/limits.h"
#include "shard/options.h"
#include "shard/parts/stored.h"
#include "tools/inspect/trace_codes.h"

static int open_all(struct vlm_trace_codes *codes, const char *id, struct vlm_err *err)
{
    if (codes->images)
        return VLM_OK;
    vlm_arena_init(&codes->arena, VLM_GIB);
    int rc = vlm_crawl_images_new(&codes->images, codes->crawl, err);
    if (rc == VLM_OK && *id)
        rc = vlm_tokenizer_open(&codes->tokenizer, codes->model, VLM_PRECISION_EXACT, err);
    if (rc == VLM_OK && *id && !strcmp(vlm_tokenizer_info(codes->tokenizer).id, id))
        rc = vlm_coder_new(&codes->coder, codes->tokenizer, 1, err);
    return rc;
}

/* Tokenizers see the square as it comes back from its JPEG file. */
static int encode(struct vlm_trace_codes *codes, struct vlm_err *err)
{
    struct vlm_image image;
    struct vlm_buffer jpeg = { 0 };
    uint8_t *square = vlm_arena_alloc(&codes->arena, 1, VLM_SQUARE_BYTES);
    if (!square)
        return vlm_fail(err, VLM_ELIMIT, "no memory for a picture");
    int rc = vlm_image_decode(&image, codes->record.bytes, codes->record.size,
                              &vlm_profile_rules(VLM_PROFILE_NONE)->image, &codes->arena, err);
    if (rc != VLM_OK || image.info.status != VLM_IMAGE_OK)
        return rc;
    rc = vlm_image_square(square, &image, &codes->arena, err);
    if (rc == VLM_OK)
        rc = vlm_rgb_to_jpeg(&jpeg, square, VLM_SQUARE_SIDE, VLM_SQUARE_SIDE, VLM_SQUARE_QUALITY,
                             err);
    if (rc == VLM_OK)
        rc = vlm_stored_square_decode(square, jpeg.data, jpeg.size, &codes->arena, err);
    if (rc == VLM_OK)
        rc = vlm_coder_encode(codes->coder, codes->codes, square, 1, err);
    codes->has_codes = rc == VLM_OK;
    vlm_buffer_release(&jpeg);
    return rc == VLM_EFORMAT ? VLM_OK : rc;
}

int vlm_trace_codes_find(struct vlm_trace_codes *codes, const uint8_t sha256[VLM_SHA256_SIZE],
                         const char *id, struct vlm_err *err)
{
    bool first = !codes->images;
    int rc = open_all(codes, id, err);
    if (rc != VLM_OK || (!first && !memcmp(codes->sha256, sha256, VLM_SHA256_SIZE)))
        return rc;
    vlm_arena_reset(&codes->arena);
    memcpy(codes->sha256, sha256, VLM_SHA256_SIZE);
    codes->has_codes = false;
    rc = vlm_crawl_images_find(codes->images, sha256, &codes->record, &codes->arena, err);
    codes->found = rc == VLM_OK;
    if (rc == VLM_OK && codes->coder)
        rc = encode(codes, err);
    return rc == VLM_SKIP ? VLM_OK : rc;
}

void vlm_trace_codes_release(struct vlm_trace_codes *codes)
{
    if (!codes->images)
        return;
    vlm_coder_free(codes->coder);
    vlm_tokenizer_close(codes->tokenizer);
    vlm_crawl_images_free(codes->images);
    vlm_arena_release(&codes->arena);
}
