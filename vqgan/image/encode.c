/* encode.c - 8-bit RGB samples to JPEG and PNG, the same bytes for the same samples.
 *
 * JPEG: 4:2:0, integer DCT, the standard Huffman tables, no metadata but the JFIF header. PNG: one
 * fixed compression level and filter choice. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "vqgan/image/decoders.h"

#include <spng.h>

enum { PNG_LEVEL = 6, JPEG_SIDE_MAX = 65500 };

struct job {
    struct vlm_jpeg_guard guard;
    struct jpeg_compress_struct library;
    unsigned char *bytes; /* malloc'ed by the library */
    unsigned long n;
    const uint8_t *rgb;
    uint32_t width, height;
    int quality;
};

/* Runs inside the guard: any call of the library may leave here. */
static void compress_guarded(void *context)
{
    struct job *job = context;
    struct jpeg_compress_struct *library = &job->library;
    jpeg_create_compress(library);
    jpeg_mem_dest(library, &job->bytes, &job->n);
    library->image_width = job->width;
    library->image_height = job->height;
    library->input_components = 3;
    library->in_color_space = JCS_RGB;
    jpeg_set_defaults(library); /* YCbCr at 4:2:0, JDCT_ISLOW, tables of the standard */
    jpeg_set_quality(library, job->quality, TRUE);
    jpeg_start_compress(library, TRUE);
    while (library->next_scanline < library->image_height) {
        const uint8_t *row = job->rgb + (size_t)library->next_scanline * job->width * 3;
        JSAMPROW rows[] = { (JSAMPROW)(uintptr_t)row }; /* the library does not write to it */
        jpeg_write_scanlines(library, rows, 1);
    }
    jpeg_finish_compress(library);
}

int vlm_rgb_to_jpeg(struct vlm_buffer *out, const uint8_t *rgb, uint32_t width, uint32_t height,
                    int quality, struct vlm_err *err)
{
    struct job job = { .rgb = rgb, .width = width, .height = height, .quality = quality };
    int rc = VLM_OK;
    if (!width || !height || width > JPEG_SIDE_MAX || height > JPEG_SIDE_MAX || quality < 1 ||
        quality > 100)
        return vlm_fail(err, VLM_EUSAGE,
                        "cannot write a JPEG of %" PRIu32 "x%" PRIu32 " pixels in quality %d",
                        width, height, quality);
    vlm_jpeg_guard_init(&job.guard);
    job.library.err = &job.guard.manager;
    if (vlm_jpeg_run(&job.guard, compress_guarded, &job))
        vlm_buffer_add(out, job.bytes, job.n);
    else
        rc = vlm_fail(err, VLM_EFAIL, "cannot write a JPEG: %s", job.guard.message);
    jpeg_destroy_compress(&job.library);
    free(job.bytes);
    if (rc == VLM_OK && out->failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a JPEG");
    return rc;
}

static int encode_png(spng_ctx *context, const uint8_t *rgb, uint32_t width, uint32_t height)
{
    struct spng_ihdr header = {
        .width = width,
        .height = height,
        .bit_depth = 8,
        .color_type = SPNG_COLOR_TYPE_TRUECOLOR,
    };
    size_t n = (size_t)width * height * 3;
    int rc = spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
    if (!rc)
        rc = spng_set_option(context, SPNG_IMG_COMPRESSION_LEVEL, PNG_LEVEL);
    if (!rc)
        rc = spng_set_ihdr(context, &header);
    return rc ? rc : spng_encode_image(context, rgb, n, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
}

int vlm_rgb_to_png(struct vlm_buffer *out, const uint8_t *rgb, uint32_t width, uint32_t height,
                   struct vlm_err *err)
{
    size_t n = 0;
    spng_ctx *context = spng_ctx_new(SPNG_CTX_ENCODER);
    int code = context ? encode_png(context, rgb, width, height) : SPNG_EMEM;
    void *bytes = code ? NULL : spng_get_png_buffer(context, &n, &code);
    int rc = VLM_OK;
    if (bytes)
        vlm_buffer_add(out, bytes, n);
    else
        rc = vlm_fail(err, VLM_EFAIL, "cannot write a PNG: %s", spng_strerror(code));
    free(bytes);
    spng_ctx_free(context);
    if (rc == VLM_OK && out->failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a PNG");
    return rc;
}
