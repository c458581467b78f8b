/* image_fixture.h - small image files made in memory, for the tests of the image front end. */
#ifndef VLM_TESTS_IMAGE_FIXTURE_H
#define VLM_TESTS_IMAGE_FIXTURE_H

#include "base/vlm.h"

#include "base/buffer.h"
#include "vqgan/image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <zlib.h>

enum { FIXTURE_ARENA = 256 << 20 };

/* Smooth enough that lossy formats keep it, and different in all channels. */
static inline uint8_t fixture_sample(uint32_t x, uint32_t y, uint32_t c)
{
    return (uint8_t)(10 + x * 2 + y * (1 + c) + c * 10);
}

static inline void fixture_rgb(uint8_t *rgb, uint32_t width, uint32_t height)
{
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 3; c++)
                *rgb++ = fixture_sample(x, y, c);
}

static inline void put_big_endian(uint8_t *p, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static inline void add_png_chunk(struct vlm_buffer *out, const char *type, const void *data,
                                 size_t n)
{
    uint8_t number[4];
    put_big_endian(number, 4, n);
    vlm_buffer_add(out, number, 4);
    size_t start = out->size;
    vlm_buffer_add(out, type, 4);
    vlm_buffer_add(out, data, n);
    put_big_endian(number, 4, crc32_z(0, out->data + start, n + 4));
    vlm_buffer_add(out, number, 4);
}

static inline void add_png_header(struct vlm_buffer *out, uint32_t width, uint32_t height,
                                  unsigned depth, unsigned colour, unsigned interlace)
{
    uint8_t header[13] = { 0 };
    put_big_endian(header, 4, width);
    put_big_endian(header + 4, 4, height);
    header[8] = (uint8_t)depth;
    header[9] = (uint8_t)colour;
    header[12] = (uint8_t)interlace;
    vlm_buffer_add(out, "\x89PNG\r\n\x1a\n", 8);
    add_png_chunk(out, "IHDR", header, sizeof(header));
}

static inline void add_png_data(struct vlm_buffer *out, const void *rows, size_t n)
{
    uLongf size = compressBound(n);
    uint8_t *packed = malloc(size);
    assert_non_null(packed);
    assert_int_equal(compress2(packed, &size, rows, n, 6), Z_OK);
    add_png_chunk(out, "IDAT", packed, size);
    free(packed);
}

/* Decodes; the caller resets the arena when it is done with the samples. */
static inline struct vlm_image decoded(const struct vlm_buffer *file,
                                       const struct vlm_image_options *options,
                                       struct vlm_arena *arena)
{
    struct vlm_image image;
    struct vlm_err err = { 0 };
    /* Exactly as large as the file, so that a checker sees reads behind it. */
    uint8_t *exact = malloc(file->size ? file->size : 1);
    assert_non_null(exact);
    if (file->size)
        memcpy(exact, file->data, file->size);
    assert_int_equal(vlm_image_decode(&image, exact, file->size, options, arena, &err), VLM_OK);
    assert_true((image.samples != NULL) ==
                (image.info.status == VLM_IMAGE_OK || image.info.status >= VLM_IMAGE_TOO_SMALL));
    assert_true((image.info.detail[0] != 0) == (image.info.status != VLM_IMAGE_OK));
    free(exact);
    return image;
}

static inline enum vlm_image_status status_of(const struct vlm_buffer *file)
{
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    struct vlm_image image = decoded(file, NULL, &arena);
    vlm_arena_release(&arena);
    return image.info.status;
}

/* Every prefix is refused, or all its samples are those of the whole file. Returns how many
 * prefixes were accepted. */
static inline size_t accepted_prefixes(const struct vlm_buffer *file)
{
    struct vlm_arena whole_arena, arena;
    size_t accepted = 0;
    vlm_arena_init(&whole_arena, FIXTURE_ARENA);
    vlm_arena_init(&arena, FIXTURE_ARENA);
    struct vlm_image whole = decoded(file, NULL, &whole_arena);
    assert_int_equal(whole.info.status, VLM_IMAGE_OK);
    for (size_t n = 0; n < file->size; n++) {
        struct vlm_buffer prefix = { .data = file->data, .size = n };
        vlm_arena_reset(&arena);
        struct vlm_image image = decoded(&prefix, NULL, &arena);
        if (image.info.status != VLM_IMAGE_OK)
            continue;
        accepted++;
        assert_int_equal(image.width, whole.width);
        assert_int_equal(image.height, whole.height);
        assert_memory_equal(image.samples, whole.samples,
                            (size_t)whole.width * whole.height * whole.channels);
    }
    vlm_arena_release(&arena);
    vlm_arena_release(&whole_arena);
    return accepted;
}

/* One bit flipped at a time, at 64 even positions: whatever the answer is, it comes. */
static inline void survives_flips(const struct vlm_buffer *file)
{
    for (size_t i = 0; i < 64; i++) {
        size_t at = file->size * i / 64;
        file->data[at] ^= (uint8_t)(1U << i % 8);
        assert_true(status_of(file) < VLM_IMAGE_STATUSES);
        file->data[at] ^= (uint8_t)(1U << i % 8);
    }
}

#endif
