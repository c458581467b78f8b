/* decoders.h - between image.c and the decoders of single formats; for this folder only.
 *
 * A decoder gets bytes whose header vlm_image_probe() has accepted, fills image->samples, and says
 * what is wrong through vlm_image_refuse(). It allocates samples in the arena and gives everything
 * else back before it returns. */
#ifndef VLM_VQGAN_DECODERS_H
#define VLM_VQGAN_DECODERS_H

#include "vqgan/image/image.h"

#include <setjmp.h>

#include <jpeglib.h>

struct vlm_decode {
    struct vlm_image *image;
    const uint8_t *bytes;
    size_t n;
    const struct vlm_image_options *options;
    struct vlm_arena *arena;
};

void vlm_decode_jpeg(const struct vlm_decode *decode);
void vlm_decode_png(const struct vlm_decode *decode);
void vlm_decode_webp(const struct vlm_decode *decode);
void vlm_decode_gif(const struct vlm_decode *decode);

/* Headers of single formats: fill width, height, mode and orientation, or refuse. The limits are
 * checked by the caller. */
void vlm_probe_jpeg(struct vlm_image_info *info, const uint8_t *bytes, size_t n);
void vlm_probe_png(struct vlm_image_info *info, const uint8_t *bytes, size_t n);
void vlm_probe_webp(struct vlm_image_info *info, const uint8_t *bytes, size_t n);
void vlm_probe_gif(struct vlm_image_info *info, const uint8_t *bytes, size_t n);

/* Sets the status and its sentence, unless the image was refused before. */
void vlm_image_refuse(struct vlm_image_info *info, enum vlm_image_status status, const char *format,
                      ...) VLM_PRINTF(3, 4);

/* Refuses sides and areas over the limits; true when the size is fine. pixels_max is
 * VLM_IMAGE_PIXELS_MAX or, for formats that are decoded as a whole, VLM_IMAGE_PIXELS_WHOLE_MAX. */
bool vlm_image_size_fits(struct vlm_image_info *info, uint64_t width, uint64_t height,
                         uint64_t pixels_max);

/* Room for width * height * channels samples, set in image; false (and refused) without memory. */
bool vlm_image_make_samples(const struct vlm_decode *decode, uint32_t width, uint32_t height,
                            unsigned channels);

/* One sample with opacity alpha on white: rint(alpha / 255 * sample + 255 - alpha), which has no
 * ties, in integers. */
static inline uint8_t vlm_on_white(unsigned sample, unsigned alpha)
{
    return (uint8_t)(255 - (alpha * (255 - sample) + 127) / 255);
}

static inline uint32_t vlm_big_endian_32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint16_t vlm_big_endian_16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* Orientation (tag 0x0112 of the first directory) of an EXIF block that begins with its TIFF
 * header; 1 when it is absent or not 1 to 8. Follows no pointer twice. */
uint8_t vlm_exif_orientation(const uint8_t *bytes, size_t n);

/* libjpeg reports fatal errors by a function that must not return. The guard brings them back to
 * vlm_jpeg_run(), the only function with setjmp: it runs step(context) and returns true, or false
 * when libjpeg gave up (code is then its message number) or the step left by vlm_jpeg_leave(). */
struct vlm_jpeg_guard {
    struct jpeg_error_mgr manager; /* first: libjpeg's pointer to it is a pointer to the guard */
    jmp_buf back;
    int code;
    char message[JMSG_LENGTH_MAX];
};
void vlm_jpeg_guard_init(struct vlm_jpeg_guard *guard);
bool vlm_jpeg_run(struct vlm_jpeg_guard *guard, void (*step)(void *context), void *context);
void vlm_jpeg_leave(struct vlm_jpeg_guard *guard) __attribute__((noreturn));

/* Resampling with Pillow's arithmetic; see resize.c. The result is the box [left, left + columns) x
 * [top, top + rows) of the whole to_width x to_height picture. */
enum vlm_filter { VLM_FILTER_BICUBIC, VLM_FILTER_LANCZOS };

struct vlm_resize {
    enum vlm_filter filter;
    unsigned channels; /* 1 or 3 */
    uint32_t width, height, to_width, to_height;
    uint32_t left, top, columns, rows;
};
VLM_MUST_CHECK int vlm_resize_box(uint8_t *to, const uint8_t *from, const struct vlm_resize *resize,
                                  struct vlm_arena *arena, struct vlm_err *err);

#endif
