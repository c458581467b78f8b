/* resize_kernels.h - the inner loops of resize.c, plain and for AVX2; for this folder only.
 *
 * Both forms give the same bytes: sums of integers do not depend on their order. */
#ifndef VLM_VQGAN_RESIZE_KERNELS_H
#define VLM_VQGAN_RESIZE_KERNELS_H

#include "base/vlm.h"

enum {
    VLM_WEIGHT_BITS = 22,
    VLM_WEIGHT_ROUNDING = 1 << (VLM_WEIGHT_BITS - 1),
    VLM_WEIGHT_LOW_BITS = 11, /* of a weight split into two 16-bit halves */
    VLM_WEIGHT_PITCH = 16,    /* taps are padded with zeros to a multiple of this */
    VLM_ROW_SLACK = 16,       /* bytes that the AVX2 rows may read behind a row */
};

/* For each output position: where its samples begin, how many there are, and their weights;
 * weight = high * 2^11 + low. The arrays are [outputs, pitch]. */
struct vlm_weights {
    uint32_t *first, *count;
    int32_t *weight;
    int16_t *high, *low;
    size_t pitch;
};

/* One row of any number of channels; reads nothing behind the row. */
void vlm_resize_row(uint8_t *to, const uint8_t *from, const struct vlm_weights *weights,
                    size_t columns, size_t channels);

/* One output row of n bytes from `count` rows that are stride apart. */
void vlm_resize_column(uint8_t *to, const uint8_t *from, size_t stride, const int32_t *weight,
                       size_t count, size_t n);

#ifdef __x86_64__
bool vlm_has_avx2(void);

/* Four rows of RGB, or one of grey; read up to VLM_ROW_SLACK bytes behind each row. */
void vlm_resize_rgb_rows_avx2(uint8_t *to, size_t to_stride, const uint8_t *from, size_t stride,
                              const struct vlm_weights *weights, size_t columns);
void vlm_resize_grey_row_avx2(uint8_t *to, const uint8_t *from, const struct vlm_weights *weights,
                              size_t columns);
void vlm_resize_column_avx2(uint8_t *to, const uint8_t *from, size_t stride, const int32_t *weight,
                            size_t count, size_t n);
#endif

#endif
