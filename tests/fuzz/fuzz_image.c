/* fuzz_image.c - any bytes through the image front end: probe, decode, square, hash.
 *
 * Beside crashes it looks for broken promises: an image that decodes has samples of its size, the
 * probe agrees with the decoder, and the second decoding gives the same square. The first byte
 * chooses options. The arena is small so that sizes the header only claims are refused quickly. */
#include "base/vlm.h"

#include "vqgan/image/image.h"

enum { ARENA_MAX = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool make_square(uint8_t *square, const uint8_t *bytes, size_t n,
                        const struct vlm_image_options *options, struct vlm_arena *arena)
{
    struct vlm_image image;
    struct vlm_image_info info;
    struct vlm_err err = { 0 };
    vlm_image_probe(&info, bytes, n);
    int rc = vlm_image_decode(&image, bytes, n, options, arena, &err);
    VLM_BUG_IF(rc != VLM_OK);
    VLM_BUG_IF(image.info.format != info.format);
    VLM_BUG_IF(info.status != VLM_IMAGE_OK && image.info.status != info.status);
    VLM_BUG_IF(image.info.status == VLM_IMAGE_OK && !image.samples);
    if (!image.samples)
        return false;
    VLM_BUG_IF(!image.width || !image.height || (image.channels != 1 && image.channels != 3));
    VLM_BUG_IF(image.info.orientation < 1 || image.info.orientation > 8);
    return vlm_image_square(square, &image, arena, &err) == VLM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static uint8_t first[VLM_SQUARE_BYTES], second[VLM_SQUARE_BYTES];
    if (n == 0)
        return 0;
    const struct vlm_image_options options = {
        .full_size = bytes[0] & 1,
        .as_stored = bytes[0] & 2,
        .side_min = bytes[0] & 4 ? 64 : 0,
        .aspect_max = bytes[0] & 8 ? 3 : 0,
        .drop_blank = bytes[0] & 16,
    };
    struct vlm_arena arena;
    vlm_arena_init(&arena, ARENA_MAX);
    if (make_square(first, bytes + 1, n - 1, &options, &arena)) {
        (void)vlm_image_phash(first, &arena);
        vlm_arena_reset(&arena);
        VLM_BUG_IF(!make_square(second, bytes + 1, n - 1, &options, &arena));
        VLM_BUG_IF(memcmp(first, second, sizeof(first)) != 0);
    }
    vlm_arena_release(&arena);
    return 0;
}
