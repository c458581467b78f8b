/* softmax_body.h - softmax of rows, sums of exponentials by row and by column, dropout.
 *
 * Exponentials are taken of x - max, so none overflows. A NaN may be lost from the maximum, but not
 * from the sum, which then is NaN and makes the whole row NaN; an infinite number gives Inf - Inf. */
#ifndef VLM_NN_SOFTMAX_BODY_H
#define VLM_NN_SOFTMAX_BODY_H

#include <math.h>

#include "nn/kernels/activation_body.h" /* exp_fall */
#include "nn/kernels/row_kernels.h"
#include "nn/kernels/vector.h"

/* Largest number of a row; -Inf for n = 0. NaN may be passed over. */
VLM_INLINE float row_max(const float *x, size_t n)
{
    const vec lowest = vec_all(-INFINITY);
    vec largest[2] = { lowest, lowest };
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES)
        for (size_t j = 0; j < 2; j++)
            largest[j] = vec_max(largest[j], vec_load(x + i + j * LANES));
    float most = vec_largest(vec_max(largest[0], largest[1]));
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* Sum of e^(x - most), where no x is larger than most; the exponentials go to y unless that is NULL. */
VLM_INLINE float row_exp(float *y, const float *x, float most, size_t n)
{
    vec sum = vec_zero(), shift = vec_all(most);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec e = exp_fall(vec_load(x + i) - shift);
        if (y)
            vec_store(y + i, e);
        sum += e;
    }
    if (i < n) {
        float rest[LANES] = { 0 };
        vec_store_n(rest, exp_fall(vec_load_n(x + i, n - i) - shift), n - i);
        if (y)
            memcpy(y + i, rest, (n - i) * sizeof(*y));
        sum += vec_load(rest);
    }
    return vec_sum(sum);
}

static void softmax(float *y, const float *x, size_t rows, size_t cols)
{
    for (size_t row = 0; row < rows; row++, x += cols, y += cols) {
        float sum = row_exp(y, x, row_max(x, cols), cols);
        row_scale(y, y, 1 / sum, cols);
    }
}

static float log_sum_exp(const float *x, size_t n)
{
    float most = row_max(x, n);
    return most + (float)log(row_exp(NULL, x, most, n));
}

static void log_softmax(float *y, const float *x, size_t rows, size_t cols)
{
    for (size_t row = 0; row < rows; row++, x += cols, y += cols) {
        /* Not x - (most + log): that sum would round away the digits of log. */
        float most = row_max(x, cols);
        float log_sum = (float)log(row_exp(NULL, x, most, cols));
        for (size_t i = 0; i < cols; i++)
            y[i] = (x[i] - most) - log_sum;
    }
}

static void softmax_backward(float *dx, const float *y, const float *dy, size_t rows, size_t cols)
{
    for (size_t row = 0; row < rows; row++, dx += cols, y += cols, dy += cols) {
        float mean = row_dot(y, dy, cols);
        for (size_t i = 0; i < cols; i++)
            dx[i] = y[i] * (dy[i] - mean);
    }
}

static void log_softmax_backward(float *dx, const float *y, const float *dy, size_t rows,
                                 size_t cols)
{
    for (size_t row = 0; row < rows; row++, dx += cols, y += cols, dy += cols) {
        float sum = sum_row(SUM_PLAIN, dy, 0, cols);
        vec total = vec_all(sum);
        size_t i = 0;
        for (; i + LANES <= cols; i += LANES)
            vec_store(dx + i, vec_load(dy + i) - vec_exp(vec_load(y + i)) * total);
        if (i < cols)
            vec_store_n(dx + i,
                        vec_load_n(dy + i, cols - i) - vec_exp(vec_load_n(y + i, cols - i)) * total,
                        cols - i);
    }
}

/* log_sum_exp of LANES columns at once, or of the first n < LANES: down the rows twice. */
VLM_INLINE void column_log_sums(float *y, const float *x, size_t rows, size_t step, size_t n)
{
    vec most = vec_all(-INFINITY), sum = vec_zero();
    for (size_t row = 0; row < rows; row++)
        most = vec_max(most, n == LANES ? vec_load(x + row * step) : vec_load_n(x + row * step, n));
    for (size_t row = 0; row < rows; row++)
        sum +=
            vec_exp((n == LANES ? vec_load(x + row * step) : vec_load_n(x + row * step, n)) - most);
    for (size_t i = 0; i < n; i++)
        y[i] = most[i] + (float)log(sum[i]);
}

static void log_sum_exp_columns(float *y, const float *x, size_t rows, size_t step, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        column_log_sums(y + i, x + i, rows, step, LANES);
    if (i < n)
        column_log_sums(y + i, x + i, rows, step, n - i);
}

/* One vector of softmax by row plus softmax by column. */
VLM_INLINE vec both_ways(vec x, vec row, vec column)
{
    return vec_exp(x - row) + vec_exp(x - column);
}

static float softmax_both_ways(float *x, float row, const float *columns, size_t n)
{
    vec sum = vec_zero(), log_row = vec_all(row);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec old = vec_load(x + i);
        vec p = both_ways(old, log_row, vec_load(columns + i));
        sum = vec_fma(p, old, sum);
        vec_store(x + i, p);
    }
    if (i < n) {
        float rest[LANES] = { 0 }; /* lanes behind the end add nothing */
        vec old = vec_load_n(x + i, n - i);
        vec_store_n(rest, both_ways(old, log_row, vec_load_n(columns + i, n - i)), n - i);
        sum = vec_fma(vec_load(rest), old, sum);
        memcpy(x + i, rest, (n - i) * sizeof(*x));
    }
    return vec_sum(sum);
}

/* Half a vector of 64-bit words; the lower half of word i is the random number of element 2 i, the
 * upper half that of 2 i + 1. */
typedef uint64_t dropout_counters __attribute__((vector_size(4 * LANES), may_alias));
typedef uint32_t dropout_words __attribute__((vector_size(4 * LANES), may_alias));

/* 0 for elements to drop, scale for the others: the element's 32 bits (vlm_random_mix of base/random.h,
 * in lanes) against the threshold. `at` counts from the key in steps of the golden ratio. */
VLM_INLINE vec dropout_factors(dropout_counters at, uint32_t threshold, vec scale)
{
    at = (at ^ at >> 30) * 0xbf58476d1ce4e5b9u;
    at = (at ^ at >> 27) * 0x94d049bb133111ebu;
    at = at ^ at >> 31;
    return vec_select((ivec)((dropout_words)at >= threshold), scale, vec_zero());
}

static void dropout(float *y, const float *x, size_t n, const struct vlm_dropout_key *key)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    vec scale = vec_all(key->scale);
    dropout_counters at = { 0 };
    for (size_t i = 0; i < LANES / 2; i++)
        at[i] = key->key + (key->first / 2 + i + 1) * golden;
    for (size_t i = 0; i < n; i += LANES) {
        vec factor = dropout_factors(at, key->threshold, scale);
        if (i + LANES <= n)
            vec_store(y + i, vec_load(x + i) * factor);
        else
            vec_store_n(y + i, vec_load_n(x + i, n - i) * factor, n - i);
        at += LANES / 2 * golden;
    }
}

#endif
