/* conv_body.h - convolution for one kind of CPU (conv_kernels.h says what the functions do).
 *
 * The tile is that of gemm_body.h, but its rows are windows of an image, read where they lie: three
 * groups of a few neighbouring positions, so that a tile can go on in the next row of the image and
 * narrow images waste nothing. Group g of a tile has one address; its windows follow at the pixel
 * step. */
#ifndef VLM_NN_CONV_BODY_H
#define VLM_NN_CONV_BODY_H

#include "nn/kernels/conv_kernels.h"
#include "nn/kernels/gemm_body.h"
#include "nn/kernels/image_body.h"
#include "nn/kernels/vector.h"
#include "nn/kernels/winograd_body.h"

enum {
    GROUPS = 3,                  /* groups of a tile */
    GROUP = LANES == 16 ? 4 : 2, /* positions of a group: GROUPS * GROUP * 2 vectors of sums */
    TILE_POSITIONS = GROUPS * GROUP,
};

static void round_units(float *units, const float *x, size_t n)
{
#if defined(__AVX512BF16__)
    for (size_t i = 0; i < n; i += 2 * LANES, units += LANES) {
        vec low = load_up_to(x + i, n - i);
        vec high = n - i > LANES ? load_up_to(x + i + LANES, n - i - LANES) : vec_zero();
        store_lanes(units, (vec)_mm512_cvtne2ps_pbh(high, low), VLM_MIN((n - i + 1) / 2, LANES));
    }
#else
    for (size_t i = 0; i < n; i += LANES)
        store_lanes(units + i, round_to_bf16(load_up_to(x + i, n - i)), VLM_MIN(n - i, LANES));
#endif
}

/* sum + a b: floats, or two products of each pair of bf16. */
VLM_INLINE vec multiply_units(vec a, vec b, vec sum, bool pairs)
{
#if defined(__AVX512BF16__)
    if (pairs)
        return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#else
    (void)pairs;
#endif
    return vec_fma(a, b, sum);
}

/* One tile of `groups` groups and `vectors` vectors of channels, both constants where this is
 * called. */
VLM_INLINE void window_tile(const struct vlm_conv_strip *strip, const float *const x[GROUPS],
                            float *sums, size_t groups, size_t vectors, bool pairs)
{
    vec sum[TILE_POSITIONS][2];
#pragma GCC unroll 12
    for (size_t i = 0; i < groups * GROUP; i++)
        for (size_t v = 0; v < vectors; v++)
            sum[i][v] = strip->accumulate ? vec_load(sums + i * NR + v * LANES) : vec_zero();
    const float *w = strip->w;
    const size_t pixel = strip->pixel;
    for (size_t s = 0; s < strip->segments; s++) {
        const float *a0 = x[0] + s * strip->segment_step;
        const float *a1 = x[groups > 1 ? 1 : 0] + s * strip->segment_step;
        const float *a2 = x[groups > 2 ? 2 : 0] + s * strip->segment_step;
        for (size_t p = 0; p < strip->segment; p++, w += NR, a0++, a1++, a2++) {
            vec w0 = vec_load(w), w1 = vectors > 1 ? vec_load(w + LANES) : w0;
#pragma GCC unroll 12
            for (size_t i = 0; i < groups * GROUP; i++) {
                const float *a = i < GROUP ? a0 : i < 2 * GROUP ? a1 : a2;
                vec unit = vec_all(a[i % GROUP * pixel]);
                sum[i][0] = multiply_units(unit, w0, sum[i][0], pairs);
                if (vectors > 1)
                    sum[i][1] = multiply_units(unit, w1, sum[i][1], pairs);
            }
        }
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < groups * GROUP; i++)
        for (size_t v = 0; v < vectors; v++)
            vec_store(sums + i * NR + v * LANES, sum[i][v]);
}

/* All positions of a strip, tile by tile. */
VLM_INLINE void strip_of(const struct vlm_conv_strip *strip, bool pairs)
{
    const size_t row_groups = (strip->cols + GROUP - 1) / GROUP;
    const size_t total = strip->images * strip->rows * row_groups;
    const float *x[GROUPS];
    float *sums = strip->sums;
    size_t image = 0, row = 0, col = 0, groups;
    for (size_t done = 0; done < total; done += groups, sums += groups * GROUP * NR) {
        groups = VLM_MIN(total - done, (size_t)GROUPS);
        for (size_t g = 0; g < groups; g++) {
            x[g] = strip->x + image * strip->image + row * strip->row + col * GROUP * strip->pixel;
            col = col + 1 == row_groups ? 0 : col + 1;
            row = col ? row : row + 1 == strip->rows ? 0 : row + 1;
            image += !col && !row;
        }
        if (strip->n > LANES) {
            if (groups == 3)
                window_tile(strip, x, sums, 3, 2, pairs);
            else if (groups == 2)
                window_tile(strip, x, sums, 2, 2, pairs);
            else
                window_tile(strip, x, sums, 1, 2, pairs);
        } else {
            if (groups == 3)
                window_tile(strip, x, sums, 3, 1, pairs);
            else if (groups == 2)
                window_tile(strip, x, sums, 2, 1, pairs);
            else
                window_tile(strip, x, sums, 1, 1, pairs);
        }
    }
}

static void strip_f32(const struct vlm_conv_strip *strip)
{
    strip_of(strip, false);
}

static void strip_bf16(const struct vlm_conv_strip *strip)
{
    strip_of(strip, BF16_PAIR == 2);
}

static void finish_strip(const struct vlm_conv_finish *finish)
{
    const float *sums = finish->sums, *residual = finish->residual;
    float *y = finish->y;
    for (size_t p = 0; p < finish->cols; p++, y += finish->pixel, sums += NR) {
        for (size_t c = 0; c < finish->n; c += LANES) {
            size_t here = VLM_MIN(finish->n - c, (size_t)LANES);
            vec v = vec_load(sums + c);
            if (finish->bias)
                v += load_up_to(finish->bias + c, here);
            if (residual)
                v += load_up_to(residual + c, here);
            store_lanes(y + c, v, here);
        }
        residual = residual ? residual + finish->pixel : NULL;
    }
}

static const struct vlm_conv_kernels conv_kernels = {
    .group = GROUP,
    .nr = NR,
    .round_units = round_units,
    .strip_f32 = strip_f32,
    .strip_bf16 = strip_bf16,
    .finish = finish_strip,
    .winograd_input = winograd_input,
    .winograd_gradient = winograd_gradient,
    .winograd_output = winograd_output,
    .winograd_weights = winograd_weights,
    .winograd_weights_back = winograd_weights_back,
    .sum_pixels = sum_pixels,
    .norm_sums = group_norm_sums,
    .norm_apply = group_norm_apply,
    .norm_backward_sums = group_norm_backward_sums,
    .norm_backward = group_norm_backward,
};

#endif
