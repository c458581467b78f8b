/* phash.c - a perceptual hash: which low frequencies of a small grey picture are above their median.
 *
 * The definition is that of imagehash.phash: grey, 32x32 by Lanczos, a two-dimensional DCT-II, its
 * 8x8 lowest frequencies, one bit for each that exceeds the median of the 64, row by row, the first
 * in the highest bit. The transform is computed in integers from a rounded table of cosines, so the
 * hash of a flat picture is not made of rounding noise and is the same on every machine. */
#include "base/vlm.h"

#include "vqgan/image/decoders.h"

#include <math.h>

enum { SIDE = 32, LOW = 8, COSINE_BITS = 20 };

struct transform {
    int64_t cosine[LOW][SIDE];
    int64_t rows[SIDE][LOW]; /* after the horizontal half */
    int64_t low[LOW * LOW];
};

static void transform_grey(struct transform *t, const uint8_t *grey)
{
    for (int k = 0; k < LOW; k++)
        for (int i = 0; i < SIDE; i++)
            t->cosine[k][i] = llrint(cos(M_PI * k * (2 * i + 1) / (2 * SIDE)) * (1 << COSINE_BITS));
    for (int y = 0; y < SIDE; y++)
        for (int k = 0; k < LOW; k++) {
            t->rows[y][k] = 0;
            for (int x = 0; x < SIDE; x++)
                t->rows[y][k] += grey[y * SIDE + x] * t->cosine[k][x];
        }
    for (int j = 0; j < LOW; j++)
        for (int k = 0; k < LOW; k++) {
            int64_t sum = 0;
            for (int y = 0; y < SIDE; y++)
                sum += t->rows[y][k] * t->cosine[j][y];
            t->low[j * LOW + k] = sum;
        }
}

static int compare_values(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Bit set: value > median, the mean of the two in the middle. */
static uint64_t bits_over_median(const int64_t low[LOW * LOW])
{
    int64_t sorted[LOW * LOW];
    memcpy(sorted, low, sizeof(sorted));
    qsort(sorted, VLM_COUNTOF(sorted), sizeof(sorted[0]), compare_values);
    int64_t twice_median = sorted[31] + sorted[32];
    uint64_t hash = 0;
    for (size_t i = 0; i < LOW * LOW; i++)
        hash = hash << 1 | (2 * low[i] > twice_median);
    return hash;
}

uint64_t vlm_image_phash(const uint8_t square[VLM_SQUARE_BYTES], struct vlm_arena *arena)
{
    const size_t pixels = (size_t)VLM_SQUARE_SIDE * VLM_SQUARE_SIDE;
    const struct vlm_resize resize = {
        .filter = VLM_FILTER_LANCZOS,
        .channels = 1,
        .width = VLM_SQUARE_SIDE,
        .height = VLM_SQUARE_SIDE,
        .to_width = SIDE,
        .to_height = SIDE,
        .columns = SIDE,
        .rows = SIDE,
    };
    uint8_t small[SIDE * SIDE];
    struct transform transform;
    uint8_t *grey = vlm_arena_alloc(arena, pixels, 1);
    for (size_t i = 0; grey && i < pixels; i++) {
        const uint8_t *p = square + 3 * i;
        grey[i] = (uint8_t)((p[0] * 19595U + p[1] * 38470U + p[2] * 7471U + 0x8000U) >> 16);
    }
    if (!grey || vlm_resize_box(small, grey, &resize, arena, NULL) != VLM_OK)
        return 0; /* the arena is full: an image without a hash equals no other that matters */
    transform_grey(&transform, small);
    return bits_over_median(transform.low);
}
