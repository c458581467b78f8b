/* winograd_body.h - the transforms of Winograd convolution for one kind of CPU.
 *
 * F(m x m, 3 x 3): a tile d of a x a pixels (a = m + 2) and taps g give m x m results
 *
 *     A^T [ (G g G^T) o (B^T d B) ] A            o: element by element, summed over channels between
 *
 * Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4. A transform on
 * both sides is the same line function on columns, then on rows; all channels of a vector at once. */
#ifndef VLM_NN_WINOGRAD_BODY_H
#define VLM_NN_WINOGRAD_BODY_H

#include "nn/kernels/conv_kernels.h"
#include "nn/kernels/gemm_body.h"
#include "nn/kernels/vector.h"

/* A line is a vec every `step`; in and out may be the same. */

/* B^T d */
VLM_INLINE void winograd_line_in(size_t m, vec *out, const vec *in, size_t step)
{
    const vec d0 = in[0], d1 = in[step], d2 = in[2 * step], d3 = in[3 * step];
    if (m == 2) {
        out[0] = d0 - d2;
        out[step] = d1 + d2;
        out[2 * step] = d2 - d1;
        out[3 * step] = d1 - d3;
        return;
    }
    const vec d4 = in[4 * step], d5 = in[5 * step];
    const vec two = vec_all(2), four = vec_all(4), minus_five = vec_all(-5);
    const vec even = d4 - four * d2, odd = d3 - four * d1;
    const vec far = d4 - d2, twice = two * (d3 - d1);
    out[0] = vec_fma(four, d0, vec_fma(minus_five, d2, d4));
    out[step] = even + odd;
    out[2 * step] = even - odd;
    out[3 * step] = far + twice;
    out[4 * step] = far - twice;
    out[5 * step] = vec_fma(four, d1, vec_fma(minus_five, d3, d5));
}

/* A^T s: m results. */
VLM_INLINE void winograd_line_out(size_t m, vec *out, const vec *in, size_t step)
{
    const vec s0 = in[0], s1 = in[step], s2 = in[2 * step], s3 = in[3 * step];
    if (m == 2) {
        out[0] = s0 + s1 + s2;
        out[step] = s1 - s2 - s3;
        return;
    }
    const vec s4 = in[4 * step], s5 = in[5 * step];
    const vec sum = s1 + s2, difference = s1 - s2, far_sum = s3 + s4, far = s3 - s4;
    out[0] = s0 + sum + far_sum;
    out[step] = vec_fma(vec_all(2), far, difference);
    out[2 * step] = vec_fma(vec_all(4), far_sum, sum);
    out[3 * step] = vec_fma(vec_all(8), far, difference) + s5;
}

/* G g: a results of three taps. */
VLM_INLINE void winograd_line_weights(size_t m, vec *out, const vec *in, size_t step)
{
    const vec g0 = in[0], g1 = in[step], g2 = in[2 * step];
    if (m == 2) {
        const vec half = vec_all(0.5f);
        out[0] = g0;
        out[step] = half * (g0 + g2 + g1);
        out[2 * step] = half * (g0 + g2 - g1);
        out[3 * step] = g2;
        return;
    }
    const vec sixth = vec_all(1.0f / 6), even = g0 + g2;
    const vec far = vec_fma(vec_all(0.25f), g0, g2), half = vec_all(0.5f) * g1;
    out[0] = vec_all(0.25f) * g0;
    out[step] = -sixth * (even + g1);
    out[2 * step] = -sixth * (even - g1);
    out[3 * step] = sixth * (far + half);
    out[4 * step] = sixth * (far - half);
    out[5 * step] = g2;
}

enum { WINOGRAD_ALL = VLM_WINOGRAD_MAX * VLM_WINOGRAD_MAX };

/* A g, the transposed of A^T for m = 2: four results of two. */
VLM_INLINE void winograd_line_gradient(vec *out, size_t out_step, const vec *in, size_t in_step)
{
    const vec y0 = in[0], y1 = in[in_step];
    out[0] = y0;
    out[out_step] = y0 + y1;
    out[2 * out_step] = y0 - y1;
    out[3 * out_step] = -y1;
}

/* G^T u for m = 2: three taps of four. */
VLM_INLINE void winograd_line_back(vec *out, size_t out_step, const vec *in, size_t in_step)
{
    const vec half = vec_all(0.5f);
    const vec sum = half * (in[in_step] + in[2 * in_step]);
    out[0] = in[0] + sum;
    out[out_step] = half * (in[in_step] - in[2 * in_step]);
    out[2 * out_step] = sum + in[3 * in_step];
}

/* `here` channels of a tile, from channel c, to v. */
VLM_INLINE void input_lanes(size_t m, const struct vlm_winograd_input *input, size_t c, float *v,
                            size_t here)
{
    const size_t a = m + 2;
    vec d[WINOGRAD_ALL];
#pragma GCC unroll 36
    for (size_t i = 0; i < a * a; i++)
        d[i] = load_up_to(input->pixel[i] + c, here);
#pragma GCC unroll 6
    for (size_t j = 0; j < a; j++)
        winograd_line_in(m, d + j, d + j, a);
#pragma GCC unroll 6
    for (size_t i = 0; i < a; i++)
        winograd_line_in(m, d + i * a, d + i * a, 1);
#pragma GCC unroll 36
    for (size_t i = 0; i < a * a; i++)
        store_lanes(v + i * input->plane, d[i], here);
}

VLM_INLINE void input_tile(size_t m, const struct vlm_winograd_input *input)
{
    float *v = input->v;
    for (size_t first = 0; first < input->channels; first += input->panel, v += input->step) {
        size_t n = VLM_MIN(input->channels - first, input->panel), c = 0;
        for (; c + LANES <= n; c += LANES)
            input_lanes(m, input, first + c, v + c, LANES);
        if (c < n)
            input_lanes(m, input, first + c, v + c, n - c);
    }
}

static void winograd_gradient(const struct vlm_winograd_input *input)
{
    for (size_t c = 0; c < input->channels; c += LANES) {
        size_t here = VLM_MIN(input->channels - c, (size_t)LANES);
        float *v = input->v + c / input->panel * input->step + c % input->panel;
        vec g[4], half[8], all[16];
        for (size_t i = 0; i < 4; i++)
            g[i] = load_up_to(input->pixel[i] + c, here);
        for (size_t j = 0; j < 2; j++)
            winograd_line_gradient(half + j, 2, g + j, 2);
        for (size_t i = 0; i < 4; i++)
            winograd_line_gradient(all + 4 * i, 1, half + 2 * i, 1);
        for (size_t i = 0; i < 16; i++)
            store_lanes(v + i * input->plane, all[i], here);
    }
}

static void winograd_weights_back(float *w, size_t row, size_t col, const float *u, size_t plane,
                                  size_t n)
{
    for (size_t c = 0; c < n; c += LANES) {
        size_t here = VLM_MIN(n - c, (size_t)LANES);
        vec all[16], half[12], taps[9];
        for (size_t i = 0; i < 16; i++)
            all[i] = load_up_to(u + i * plane + c, here);
        for (size_t j = 0; j < 4; j++)
            winograd_line_back(half + j, 4, all + j, 4);
        for (size_t i = 0; i < 3; i++)
            winograd_line_back(taps + 3 * i, 1, half + 4 * i, 1);
        for (size_t i = 0; i < 9; i++) {
            float *to = w + i / 3 * row + i % 3 * col + c;
            store_lanes(to, load_up_to(to, here) + taps[i], here);
        }
    }
}

static void winograd_input(size_t m, const struct vlm_winograd_input *input)
{
    if (m == 2)
        input_tile(2, input);
    else
        input_tile(4, input);
}

VLM_INLINE void output_lanes(size_t m, const struct vlm_winograd_output *output, size_t c,
                             size_t here)
{
    const size_t a = m + 2;
    vec s[WINOGRAD_ALL], bias = output->bias ? load_up_to(output->bias + c, here) : vec_zero();
#pragma GCC unroll 36
    for (size_t i = 0; i < a * a; i++)
        s[i] = load_up_to(output->sums + i * output->plane + c, here);
#pragma GCC unroll 6
    for (size_t j = 0; j < a; j++)
        winograd_line_out(m, s + j, s + j, a);
#pragma GCC unroll 4
    for (size_t i = 0; i < m; i++) {
        vec line[4];
        winograd_line_out(m, line, s + i * a, 1);
#pragma GCC unroll 4
        for (size_t j = 0; j < m; j++) {
            float *y = output->pixel[i * m + j];
            const float *residual = output->residual[i * m + j];
            if (!y)
                continue;
            vec v = line[j] + bias;
            if (residual)
                v += load_up_to(residual + c, here);
            store_lanes(y + c, v, here);
        }
    }
}

VLM_INLINE void output_tile(size_t m, const struct vlm_winograd_output *output)
{
    size_t c = 0;
    for (; c + LANES <= output->n; c += LANES)
        output_lanes(m, output, c, LANES);
    if (c < output->n)
        output_lanes(m, output, c, output->n - c);
}

static void winograd_output(size_t m, const struct vlm_winograd_output *output)
{
    if (m == 2)
        output_tile(2, output);
    else
        output_tile(4, output);
}

VLM_INLINE void weight_lanes(size_t m, float *u, size_t plane, const float *w, ptrdiff_t row,
                             ptrdiff_t col, size_t here)
{
    const size_t a = m + 2;
    vec g[9], half[3 * VLM_WINOGRAD_MAX], all[WINOGRAD_ALL];
    for (ptrdiff_t i = 0; i < 3; i++)
        for (ptrdiff_t j = 0; j < 3; j++)
            g[i * 3 + j] = load_up_to(w + i * row + j * col, here);
    for (size_t j = 0; j < 3; j++)
        winograd_line_weights(m, half + j, g + j, 3);
    for (size_t i = 0; i < a; i++)
        winograd_line_weights(m, all + i * a, half + i * 3, 1);
    for (size_t i = 0; i < a * a; i++)
        store_lanes(u + i * plane, all[i], here);
}

static void winograd_weights(size_t m, float *u, size_t plane, const float *w, ptrdiff_t row,
                             ptrdiff_t col, size_t n)
{
    for (size_t c = 0; c < n; c += LANES) {
        size_t here = VLM_MIN(n - c, (size_t)LANES);
        if (m == 2)
            weight_lanes(2, u + c, plane, w + c, row, col, here);
        else
            weight_lanes(4, u + c, plane, w + c, row, col, here);
    }
}

#endif
