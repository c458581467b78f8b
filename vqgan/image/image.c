/* image.c - names, the dispatch to the decoders, and the final word on each image.
 *
 * vlm_image_decode() probes, decodes, and then applies what the caller does not want: too small, too
 * long, one colour. What went wrong with an image is in its status; the return value is for our own
 * failures only. */
#include "base/vlm.h"

#include "base/limits.h"
#include "vqgan/image/decoders.h"

const char *vlm_image_format_name(enum vlm_image_format format)
{
    static const char *const names[] = {
        [VLM_FORMAT_UNKNOWN] = "unknown", [VLM_FORMAT_JPEG] = "jpeg", [VLM_FORMAT_PNG] = "png",
        [VLM_FORMAT_WEBP] = "webp",       [VLM_FORMAT_GIF] = "gif",   [VLM_FORMAT_BMP] = "bmp",
        [VLM_FORMAT_TIFF] = "tiff",       [VLM_FORMAT_ICO] = "ico",   [VLM_FORMAT_SVG] = "svg",
        [VLM_FORMAT_AVIF] = "avif",       [VLM_FORMAT_HEIC] = "heic", [VLM_FORMAT_JXL] = "jxl",
    };
    VLM_BUG_IF((unsigned)format >= VLM_COUNTOF(names));
    return names[format];
}

const char *vlm_image_status_name(enum vlm_image_status status)
{
    static const char *const names[] = {
        [VLM_IMAGE_OK] = "ok",
        [VLM_IMAGE_TOO_LARGE_PIXELS] = "too_large_pixels",
        [VLM_IMAGE_TOO_LARGE_BYTES] = "too_large_bytes",
        [VLM_IMAGE_TRUNCATED] = "truncated",
        [VLM_IMAGE_CORRUPT] = "corrupt",
        [VLM_IMAGE_TOO_MANY_SCANS] = "too_many_scans",
        [VLM_IMAGE_UNSUPPORTED] = "unsupported",
        [VLM_IMAGE_OUT_OF_MEMORY] = "out_of_memory",
        [VLM_IMAGE_TOO_SMALL] = "too_small",
        [VLM_IMAGE_BAD_ASPECT] = "bad_aspect",
        [VLM_IMAGE_BLANK] = "blank",
        [VLM_IMAGE_OPT_OUT] = "opt_out",
        [VLM_IMAGE_NOT_IN_CRAWL] = "not_in_crawl",
        [VLM_IMAGE_HTTP_ERROR] = "http_error",
        [VLM_IMAGE_NOT_AN_IMAGE] = "not_an_image",
        [VLM_IMAGE_REDIRECT] = "redirect",
        [VLM_IMAGE_REVISIT] = "revisit",
        [VLM_IMAGE_NO_URL] = "no_url",
        [VLM_IMAGE_WORKER_CRASH] = "worker_crash",
        [VLM_IMAGE_TRUNCATED_CAPTURE] = "truncated_capture",
    };
    VLM_BUG_IF((unsigned)status >= VLM_COUNTOF(names));
    return names[status];
}

const char *vlm_image_mode_name(enum vlm_image_mode mode)
{
    static const char *const names[] = {
        [VLM_MODE_NONE] = NULL,   [VLM_MODE_1] = "1",       [VLM_MODE_L] = "L",
        [VLM_MODE_LA] = "LA",     [VLM_MODE_P] = "P",       [VLM_MODE_RGB] = "RGB",
        [VLM_MODE_RGBA] = "RGBA", [VLM_MODE_CMYK] = "CMYK", [VLM_MODE_I16] = "I",
    };
    VLM_BUG_IF((unsigned)mode >= VLM_COUNTOF(names));
    return names[mode];
}

void vlm_image_refuse(struct vlm_image_info *info, enum vlm_image_status status, const char *format,
                      ...)
{
    if (info->status != VLM_IMAGE_OK)
        return;
    va_list list;
    va_start(list, format);
    vsnprintf(info->detail, sizeof(info->detail), format, list);
    va_end(list);
    info->status = status;
}

bool vlm_image_make_samples(const struct vlm_decode *decode, uint32_t width, uint32_t height,
                            unsigned channels)
{
    struct vlm_image *image = decode->image;
    image->samples = vlm_arena_alloc(decode->arena, (size_t)width * height, channels);
    if (!image->samples) {
        vlm_image_refuse(&image->info, VLM_IMAGE_OUT_OF_MEMORY,
                         "no memory for %" PRIu32 "x%" PRIu32 " pixels", width, height);
        return false;
    }
    image->width = width;
    image->height = height;
    image->channels = (uint8_t)channels;
    return true;
}

/* Variance of luma below 1: no contrast at all. */
static bool has_no_contrast(const struct vlm_image *image)
{
    size_t pixels = (size_t)image->width * image->height;
    uint64_t sum = 0, squares = 0;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *p = image->samples + i * image->channels;
        uint32_t luma = image->channels == 1
                            ? p[0]
                            : (p[0] * 19595U + p[1] * 38470U + p[2] * 7471U + 0x8000U) >> 16;
        sum += luma;
        squares += luma * luma;
    }
    double mean = (double)sum / (double)pixels;
    return (double)squares / (double)pixels - mean * mean < 1.0;
}

static uint32_t colour_at(const struct vlm_image *image, size_t i)
{
    const uint8_t *p = image->samples + i * image->channels;
    return image->channels == 1 ? p[0] : (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

/* At least 99.5 % of the pixels have one colour. Boyer and Moore's vote finds the only candidate. */
static bool has_one_colour(const struct vlm_image *image)
{
    size_t pixels = (size_t)image->width * image->height, votes = 0, count = 0;
    uint32_t candidate = 0;
    for (size_t i = 0; i < pixels; i++) {
        uint32_t colour = colour_at(image, i);
        if (votes == 0)
            candidate = colour;
        votes = colour == candidate ? votes + 1 : votes - 1;
    }
    for (size_t i = 0; i < pixels; i++)
        count += colour_at(image, i) == candidate;
    return (uint64_t)count * 1000 >= (uint64_t)pixels * 995;
}

/* The statuses for images that decode but are not wanted. */
static void apply_wishes(struct vlm_image *image, const struct vlm_image_options *options)
{
    struct vlm_image_info *info = &image->info;
    uint32_t shorter = VLM_MIN(info->width, info->height);
    uint32_t longer = VLM_MAX(info->width, info->height);
    if (options->side_min && shorter < options->side_min)
        vlm_image_refuse(info, VLM_IMAGE_TOO_SMALL, "shorter side of %" PRIu32 " is below %" PRIu32,
                         shorter, options->side_min);
    else if (options->aspect_max > 0 && longer > options->aspect_max * shorter)
        vlm_image_refuse(info, VLM_IMAGE_BAD_ASPECT,
                         "sides %" PRIu32 " and %" PRIu32 " are over 1:%g", shorter, longer,
                         options->aspect_max);
    else if (options->drop_blank && (has_no_contrast(image) || has_one_colour(image)))
        vlm_image_refuse(info, VLM_IMAGE_BLANK, "one colour");
}

int vlm_image_decode(struct vlm_image *image, const uint8_t *bytes, size_t n,
                     const struct vlm_image_options *options, struct vlm_arena *arena,
                     struct vlm_err *err)
{
    static const struct vlm_image_options defaults = { 0 };
    (void)err; /* what can fail here is the image, and that is in its status */
    *image = (struct vlm_image){ 0 };
    vlm_image_probe(&image->info, bytes, n);
    const bool opaque =
        image->info.format != VLM_FORMAT_PNG && image->info.format != VLM_FORMAT_WEBP;
    if (options && options->transparency && opaque)
        vlm_image_refuse(&image->info, VLM_IMAGE_UNSUPPORTED,
                         "transparency is read of PNG and WebP only");
    if (image->info.status != VLM_IMAGE_OK)
        return VLM_OK;
    const struct vlm_decode decode = { image, bytes, n, options ? options : &defaults, arena };
    switch (image->info.format) {
    case VLM_FORMAT_JPEG:
        vlm_decode_jpeg(&decode);
        break;
    case VLM_FORMAT_PNG:
        vlm_decode_png(&decode);
        break;
    case VLM_FORMAT_WEBP:
        vlm_decode_webp(&decode);
        break;
    case VLM_FORMAT_GIF:
        vlm_decode_gif(&decode);
        break;
    default:
        VLM_BUG_IF(true); /* the probe accepts no other format */
    }
    if (image->info.status == VLM_IMAGE_OK)
        apply_wishes(image, decode.options);
    else
        image->samples = NULL;
    return VLM_OK;
}
