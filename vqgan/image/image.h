/* image.h - from the bytes of an image file to the 256x256 RGB square that tokenizers see.
 *
 *   struct vlm_image image;
 *   rc = vlm_image_decode(&image, bytes, n, options, arena, &err);   // one status per image
 *   if (image.info.status == VLM_IMAGE_OK)
 *       vlm_image_square(square, &image, arena, &err);
 *
 * Content decides, never the name. Headers and limits are checked before anything is allocated. */
#ifndef VLM_VQGAN_IMAGE_H
#define VLM_VQGAN_IMAGE_H

#include "base/arena.h"
#include "base/hash.h"

enum { VLM_SQUARE_SIDE = 256, VLM_SQUARE_BYTES = 256 * 256 * 3 };

enum vlm_image_format {
    VLM_FORMAT_UNKNOWN,
    VLM_FORMAT_JPEG,
    VLM_FORMAT_PNG,
    VLM_FORMAT_WEBP,
    VLM_FORMAT_GIF,
    /* recognised by magic but not decoded: status unsupported */
    VLM_FORMAT_BMP,
    VLM_FORMAT_TIFF,
    VLM_FORMAT_ICO,
    VLM_FORMAT_SVG,
    VLM_FORMAT_AVIF,
    VLM_FORMAT_HEIC,
    VLM_FORMAT_JXL,
    VLM_FORMATS,
};
const char *vlm_image_format_name(enum vlm_image_format format); /* "jpeg", ..., "unknown" */

/* What became of an image: the closed list. The numbers are part of the format on disk. */
enum vlm_image_status {
    VLM_IMAGE_OK,
    VLM_IMAGE_TOO_LARGE_PIXELS,
    VLM_IMAGE_TOO_LARGE_BYTES,
    VLM_IMAGE_TRUNCATED,
    VLM_IMAGE_CORRUPT,
    VLM_IMAGE_TOO_MANY_SCANS,
    VLM_IMAGE_UNSUPPORTED,
    VLM_IMAGE_OUT_OF_MEMORY,
    /* decodes, but is not wanted (by profile) */
    VLM_IMAGE_TOO_SMALL,
    VLM_IMAGE_BAD_ASPECT,
    VLM_IMAGE_BLANK,
    /* of a reference in a document */
    VLM_IMAGE_OPT_OUT,      /* noai, noimageai on the page or the image */
    VLM_IMAGE_NOT_IN_CRAWL, /* no record for any candidate URL */
    VLM_IMAGE_HTTP_ERROR,   /* the crawl holds the URL, with a status that is not 200 */
    VLM_IMAGE_NOT_AN_IMAGE, /* the crawl holds the URL, with something else under it */
    VLM_IMAGE_REDIRECT, /* redirects end nowhere: loop, over VLM_REDIRECTS_MAX, target missing */
    VLM_IMAGE_REVISIT,  /* revisit of a record that is not in the crawl */
    VLM_IMAGE_NO_URL,   /* no src, or none that resolves (javascript:, blob:) */
    VLM_IMAGE_WORKER_CRASH,      /* decoding it killed a worker twice */
    VLM_IMAGE_TRUNCATED_CAPTURE, /* the crawl stored only its beginning (WARC-Truncated) */
    VLM_IMAGE_STATUSES,
};
const char *vlm_image_status_name(enum vlm_image_status status); /* "ok", "too_large_pixels", ... */

enum vlm_image_mode { /* as Pillow names what is coded in the file */
                      VLM_MODE_NONE,
                      VLM_MODE_1,
                      VLM_MODE_L,
                      VLM_MODE_LA,
                      VLM_MODE_P,
                      VLM_MODE_RGB,
                      VLM_MODE_RGBA,
                      VLM_MODE_CMYK,
                      VLM_MODE_I16, /* 16-bit grey; named "I", as Pillow names it in PNG */
                      VLM_MODES,
};
const char *vlm_image_mode_name(enum vlm_image_mode mode); /* NULL for NONE */

struct vlm_image_info {
    enum vlm_image_status status;
    enum vlm_image_format format;
    enum vlm_image_mode mode;
    uint32_t width, height; /* as coded in the file, before orientation; 0 unknown */
    uint8_t orientation;    /* EXIF 1 to 8; 1 when absent */
    uint8_t halved;         /* JPEG decoded at 1/2^halved (short side >= 1024) */
    char detail[120];       /* a sentence for people when status is not OK */
};

/* A decoded image: 8-bit samples, rows tightly packed, not yet oriented. */
struct vlm_image {
    struct vlm_image_info info;
    uint32_t width, height; /* of the samples: the coded size, or half of it */
    uint8_t channels;       /* 1: L, 3: RGB; alpha already composited on white */
    uint8_t *samples;       /* in the arena */
    bool lossless_samples;  /* samples are exactly the file's 8-bit L or RGB (for sha1) */
};

struct vlm_image_options {
    bool full_size;    /* never halve large JPEGs (parity checks) */
    bool as_stored;    /* for sha1 only: full size, no transparency, high byte of 16-bit samples */
    uint32_t side_min; /* 0: any; shorter side below it: too_small */
    double aspect_max; /* 0: any; long side / short side above it: bad_aspect */
    bool drop_blank;   /* one colour: blank */
    /* Samples are how transparent a pixel is, 0 to 255, whatever its colour: of masks. PNG and WebP; others are
     * unsupported. */
    bool transparency;
};

/* Header only: format, size, mode, limits. For deciding quickly; status is OK when it may decode.
 */
void vlm_image_probe(struct vlm_image_info *info, const uint8_t *bytes, size_t n);

/* Probes and decodes. Returns VLM_OK whenever the image was looked at: image->info.status says what
 * it is; samples are set when it decoded (OK and the "not wanted" statuses). Errors are ours only.
 */
VLM_MUST_CHECK int vlm_image_decode(struct vlm_image *image, const uint8_t *bytes, size_t n,
                                    const struct vlm_image_options *options,
                                    struct vlm_arena *arena, struct vlm_err *err);

/* Orients, resizes so that the shorter side is 256 (bit-exact with Pillow's bicubic; the long side
 * rounded half up) and cuts the centre out: square[256][256][3]. */
VLM_MUST_CHECK int vlm_image_square(uint8_t square[VLM_SQUARE_BYTES], const struct vlm_image *image,
                                    struct vlm_arena *arena, struct vlm_err *err);

/* 64-bit perceptual hash of a square: the definition of imagehash.phash (8x8 of a 32x32 DCT). */
uint64_t vlm_image_phash(const uint8_t square[VLM_SQUARE_BYTES], struct vlm_arena *arena);

/* JPEG of 8-bit RGB samples (4:2:0, islow, standard tables: the same bytes everywhere), appended to
 * out. The stored form of a square is this at 256 x 256, quality 95. */
struct vlm_buffer;
VLM_MUST_CHECK int vlm_rgb_to_jpeg(struct vlm_buffer *out, const uint8_t *rgb, uint32_t width,
                                   uint32_t height, int quality, struct vlm_err *err);

/* PNG of 8-bit RGB samples, appended to out; deterministic. */
VLM_MUST_CHECK int vlm_rgb_to_png(struct vlm_buffer *out, const uint8_t *rgb, uint32_t width,
                                  uint32_t height, struct vlm_err *err);

/* General resize of 8-bit interleaved samples, bit-exact with Pillow's Image.resize(BICUBIC). */
VLM_MUST_CHECK int vlm_resize_bicubic(uint8_t *to, uint32_t to_width, uint32_t to_height,
                                      const uint8_t *from, uint32_t width, uint32_t height,
                                      unsigned channels, struct vlm_arena *arena,
                                      struct vlm_err *err);

#endif
