/* norm_body.h - layernorm and RMSnorm of rows, forward and backward.
 *
 * A row fits the first cache, so it is read from memory once and walked two or three times: mean,
 * then squared distance from it (the difference of two large sums would lose all digits), then the
 * result. */
#ifndef VLM_NN_NORM_BODY_H
#define VLM_NN_NORM_BODY_H

#include "nn/kernels/gemm_body.h" /* round_to_bf16 */
#include "nn/kernels/row_kernels.h"
#include "nn/kernels/sum_body.h"
#include "nn/kernels/vector.h"

/* 1 / sqrt(mean of (x - mean)^2 + eps); NaN and Inf in the row come out as NaN or 0. */
VLM_INLINE float inverse_deviation(const float *x, float mean, float eps, size_t n)
{
    double sum = sum_row(SUM_SQUARES, x, mean, n);
    if (sum > FLT_MAX)
        sum = sum_squares_wide(x, mean, n);
    return (float)(1 / __builtin_sqrt(sum / (double)n + eps));
}

/* The first n <= LANES numbers as bf16. */
VLM_INLINE void store_bits(uint16_t *p, vec v, size_t n)
{
    typedef int16_t halves __attribute__((vector_size(2 * LANES)));
    ivec upper = (ivec)round_to_bf16(v) >> 16;
    halves narrow = __builtin_convertvector(upper, halves);
    memcpy(p, &narrow, n * sizeof(*p));
}

/* (x - mean) rstd w + b, of one vector. */
VLM_INLINE vec row_norm_value(vec x, vec mean, vec rstd, vec weight, vec bias)
{
    return vec_fma((x - mean) * rstd, weight, bias);
}

VLM_INLINE void row_norm_result(const struct vlm_row_norm *norm, size_t row, float mean, float rstd)
{
    const float *x = norm->x + row * norm->cols;
    float *y = norm->y ? norm->y + row * norm->cols : NULL;
    uint16_t *bits = norm->bits ? norm->bits + row * norm->cols : NULL;
    const float *weight = norm->weight, *bias = norm->bias;
    vec m = vec_all(mean), r = vec_all(rstd);
    size_t i = 0, n = norm->cols;
    for (; i + LANES <= n; i += LANES) {
        vec b = bias ? vec_load(bias + i) : vec_zero();
        vec v = row_norm_value(vec_load(x + i), m, r, vec_load(weight + i), b);
        if (bits)
            store_bits(bits + i, v, LANES);
        else
            vec_store(y + i, v);
    }
    if (i < n) {
        vec b = bias ? vec_load_n(bias + i, n - i) : vec_zero();
        vec v = row_norm_value(vec_load_n(x + i, n - i), m, r, vec_load_n(weight + i, n - i), b);
        if (bits)
            store_bits(bits + i, v, n - i);
        else
            vec_store_n(y + i, v, n - i);
    }
}

static void layernorm(const struct vlm_row_norm *norm, size_t rows)
{
    for (size_t row = 0; row < rows; row++) {
        const float *x = norm->x + row * norm->cols;
        float mean = sum_row(SUM_PLAIN, x, 0, norm->cols) / (float)norm->cols;
        float rstd = inverse_deviation(x, mean, norm->eps, norm->cols);
        row_norm_result(norm, row, mean, rstd);
        norm->mean[row] = mean;
        norm->rstd[row] = rstd;
    }
}

static void rmsnorm(const struct vlm_row_norm *norm, size_t rows)
{
    for (size_t row = 0; row < rows; row++) {
        const float *x = norm->x + row * norm->cols;
        float rstd = inverse_deviation(x, 0, norm->eps, norm->cols);
        row_norm_result(norm, row, 0, rstd);
        norm->rstd[row] = rstd;
    }
}

/* Sums over one row of h = dy w and of h xhat; adds dy xhat to dweight and dy to dbias (or not). */
struct row_norm_sums {
    float h, h_xhat;
};

VLM_INLINE struct row_norm_sums row_norm_sums(const struct vlm_row_norm_backward *job,
                                              const float *x, const float *dy, float mean,
                                              float rstd)
{
    const float *weight = job->weight;
    float *dweight = job->dweight, *dbias = job->dbias;
    vec m = vec_all(mean), r = vec_all(rstd);
    vec sum_h[2] = { vec_zero(), vec_zero() }, sum_hx[2] = { vec_zero(), vec_zero() };
    size_t i = 0, n = job->cols;
    for (; i + 2 * LANES <= n; i += 2 * LANES)
        for (size_t j = 0; j < 2; j++) {
            size_t at = i + j * LANES;
            vec g = vec_load(dy + at);
            vec xhat = (vec_load(x + at) - m) * r;
            vec h = g * vec_load(weight + at);
            sum_h[j] += h;
            sum_hx[j] = vec_fma(h, xhat, sum_hx[j]);
            if (dweight)
                vec_store(dweight + at, vec_fma(g, xhat, vec_load(dweight + at)));
            if (dbias)
                vec_store(dbias + at, vec_load(dbias + at) + g);
        }
    struct row_norm_sums sums = { vec_sum(sum_h[0] + sum_h[1]), vec_sum(sum_hx[0] + sum_hx[1]) };
    for (; i < n; i++) {
        float xhat = (x[i] - mean) * rstd;
        float h = dy[i] * weight[i];
        sums.h += h;
        sums.h_xhat += h * xhat;
        if (dweight)
            dweight[i] += dy[i] * xhat;
        if (dbias)
            dbias[i] += dy[i];
    }
    return sums;
}

/* One vector of dx = rstd (h - mean(h) - xhat mean(h xhat)). */
VLM_INLINE vec row_norm_slope(vec x, vec h, vec mean, vec rstd, vec mean_h, vec mean_hx)
{
    vec xhat = (x - mean) * rstd;
    return rstd * (h - mean_h - xhat * mean_hx);
}

VLM_INLINE void row_norm_backward(const struct vlm_row_norm_backward *job, size_t row, float mean,
                                  float rstd, bool centred)
{
    const float *x = job->x + row * job->cols, *dy = job->dy + row * job->cols;
    const float *weight = job->weight;
    struct row_norm_sums sums = row_norm_sums(job, x, dy, mean, rstd);
    if (!job->dx)
        return;
    float *dx = job->dx + row * job->cols;
    vec m = vec_all(mean), r = vec_all(rstd);
    vec mean_h = vec_all(centred ? sums.h / (float)job->cols : 0);
    vec mean_hx = vec_all(sums.h_xhat / (float)job->cols);
    size_t i = 0, n = job->cols;
    for (; i + LANES <= n; i += LANES) {
        vec h = vec_load(dy + i) * vec_load(weight + i);
        vec d = row_norm_slope(vec_load(x + i), h, m, r, mean_h, mean_hx);
        if (job->accumulate)
            d += vec_load(dx + i);
        vec_store(dx + i, d);
    }
    if (i < n) {
        vec h = vec_load_n(dy + i, n - i) * vec_load_n(weight + i, n - i);
        vec d = row_norm_slope(vec_load_n(x + i, n - i), h, m, r, mean_h, mean_hx);
        if (job->accumulate)
            d += vec_load_n(dx + i, n - i);
        vec_store_n(dx + i, d, n - i);
    }
}

static void layernorm_backward(const struct vlm_row_norm_backward *job, size_t rows)
{
    for (size_t row = 0; row < rows; row++)
        row_norm_backward(job, row, job->mean[row], job->rstd[row], true);
}

static void rmsnorm_backward(const struct vlm_row_norm_backward *job, size_t rows)
{
    for (size_t row = 0; row < rows; row++)
        row_norm_backward(job, row, 0, job->rstd[row], false);
}

#endif
