/* image_body.h - sums over the pixels of an image, and GroupNorm with SiLU, for one kind of CPU.
 *
 * An image is [pixels, channels], and everything here goes by channel: a vector is LANES channels of
 * one pixel. Sums run in fp32 over blocks of a few pixels, which then lie in the first cache, and
 * their results are added up in double. */
#ifndef VLM_NN_IMAGE_BODY_H
#define VLM_NN_IMAGE_BODY_H

#include "nn/kernels/conv_kernels.h"
#include "nn/kernels/gemm_body.h"
#include "nn/kernels/vector.h"

enum { NORM_PIXELS = 16 }; /* of a block */

VLM_INLINE void add_doubles(double *sum, vec v, size_t here)
{
    float lane[LANES];
    vec_store(lane, v);
    if (here == LANES) /* in vectors: the count is a constant */
        for (size_t i = 0; i < LANES; i++)
            sum[i] += (double)lane[i];
    else
        for (size_t i = 0; i < here; i++)
            sum[i] += (double)lane[i];
}

static void sum_pixels(double *sum, const float *x, size_t pixels, size_t channels)
{
    for (size_t p = 0; p < pixels; p += NORM_PIXELS)
        for (size_t c = 0; c < channels; c += LANES) {
            size_t here = VLM_MIN(channels - c, (size_t)LANES);
            vec part = vec_zero();
            for (size_t i = p; i < VLM_MIN(p + NORM_PIXELS, pixels); i++)
                part += load_up_to(x + i * channels + c, here);
            add_doubles(sum + c, part, here);
        }
}

static void group_norm_sums(double *sum, double *square, const float *origin, const float *x,
                            size_t pixels, size_t channels)
{
    for (size_t p = 0; p < pixels; p += NORM_PIXELS)
        for (size_t c = 0; c < channels; c += LANES) {
            size_t here = VLM_MIN(channels - c, (size_t)LANES);
            vec from = load_up_to(origin + c, here), part = vec_zero(), squares = vec_zero();
            for (size_t i = p; i < VLM_MIN(p + NORM_PIXELS, pixels); i++) {
                vec d = load_up_to(x + i * channels + c, here) - from;
                part += d;
                squares = vec_fma(d, d, squares);
            }
            add_doubles(sum + c, part, here);
            add_doubles(square + c, squares, here);
        }
}

VLM_INLINE vec sigmoid(vec u)
{
    return vec_all(1.0f) / (vec_all(1.0f) + vec_exp(-u));
}

/* What a vector of channels needs. */
struct group_norm_lanes {
    vec center, rstd, shift, weight, bias;
};

VLM_INLINE struct group_norm_lanes group_norm_lanes_at(const struct vlm_channel_norm *norm,
                                                       size_t c, size_t here)
{
    return (struct group_norm_lanes){ load_up_to(norm->center + c, here),
                                      load_up_to(norm->rstd + c, here),
                                      load_up_to(norm->shift + c, here),
                                      load_up_to(norm->weight + c, here),
                                      load_up_to(norm->bias + c, here) };
}

VLM_INLINE vec xhat_of(const struct group_norm_lanes *lanes, vec x)
{
    return vec_fma(x - lanes->center, lanes->rstd, lanes->shift);
}

/* Channels outside, so that what belongs to them stays in registers; blocks of pixels around that, so
 * that x comes from memory in order. */
VLM_INLINE void apply_pixels(const struct vlm_channel_norm *norm, float *y, const float *x,
                             size_t pixels, bool silu)
{
    const size_t channels = norm->channels;
    for (size_t p = 0; p < pixels; p += NORM_PIXELS)
        for (size_t c = 0; c < channels; c += LANES) {
            size_t here = VLM_MIN(channels - c, (size_t)LANES);
            struct group_norm_lanes lanes = group_norm_lanes_at(norm, c, here);
            for (size_t i = p; i < VLM_MIN(p + NORM_PIXELS, pixels); i++) {
                vec xhat = xhat_of(&lanes, load_up_to(x + i * channels + c, here));
                vec u = vec_fma(xhat, lanes.weight, lanes.bias);
                if (silu)
                    u *= sigmoid(u);
                store_lanes(y + i * channels + c, u, here);
            }
        }
}

static void group_norm_apply(const struct vlm_channel_norm *norm, float *y, const float *x,
                             size_t pixels)
{
    if (norm->silu)
        apply_pixels(norm, y, x, pixels, true);
    else
        apply_pixels(norm, y, x, pixels, false);
}

/* The gradient by u: dy times the derivative of u sigma(u). */
VLM_INLINE vec gradient_by_u(const struct group_norm_lanes *lanes, vec xhat, vec dy, bool silu)
{
    if (!silu)
        return dy;
    vec u = vec_fma(xhat, lanes->weight, lanes->bias), s = sigmoid(u), one = vec_all(1.0f);
    return dy * s * vec_fma(u, one - s, one);
}

static void group_norm_backward_sums(const struct vlm_channel_norm *norm, double *sum,
                                     double *by_xhat, const float *x, const float *dy,
                                     size_t pixels)
{
    const size_t channels = norm->channels;
    for (size_t p = 0; p < pixels; p += NORM_PIXELS)
        for (size_t c = 0; c < channels; c += LANES) {
            size_t here = VLM_MIN(channels - c, (size_t)LANES);
            struct group_norm_lanes lanes = group_norm_lanes_at(norm, c, here);
            vec total = vec_zero(), product = vec_zero();
            for (size_t i = p; i < VLM_MIN(p + NORM_PIXELS, pixels); i++) {
                vec xhat = xhat_of(&lanes, load_up_to(x + i * channels + c, here));
                vec g = gradient_by_u(&lanes, xhat, load_up_to(dy + i * channels + c, here),
                                      norm->silu);
                total += g;
                product = vec_fma(g, xhat, product);
            }
            add_doubles(sum + c, total, here);
            add_doubles(by_xhat + c, product, here);
        }
}

static void group_norm_backward(const struct vlm_channel_norm *norm, float *dx, const float *x,
                                const float *dy, size_t pixels, const float *constant,
                                const float *slope, bool accumulate)
{
    const size_t channels = norm->channels;
    for (size_t p = 0; p < pixels; p += NORM_PIXELS)
        for (size_t c = 0; c < channels; c += LANES) {
            size_t here = VLM_MIN(channels - c, (size_t)LANES);
            struct group_norm_lanes lanes = group_norm_lanes_at(norm, c, here);
            vec level = load_up_to(constant + c, here), tilt = load_up_to(slope + c, here);
            for (size_t i = p; i < VLM_MIN(p + NORM_PIXELS, pixels); i++) {
                vec xhat = xhat_of(&lanes, load_up_to(x + i * channels + c, here));
                vec g = gradient_by_u(&lanes, xhat, load_up_to(dy + i * channels + c, here),
                                      norm->silu);
                vec d = lanes.rstd * (g * lanes.weight - vec_fma(xhat, tilt, level));
                if (accumulate)
                    d += load_up_to(dx + i * channels + c, here);
                store_lanes(dx + i * channels + c, d, here);
            }
        }
}

#endif
