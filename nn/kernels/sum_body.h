/* sum_body.h - sums and products of numbers, and sums over a row.
 *
 * Loops that the compiler can turn into vectors by itself are left to it. Sums of a row run in four
 * vectors of lanes, which are added in a fixed order: many short chains, so rounding errors stay small. */
#ifndef VLM_NN_SUM_BODY_H
#define VLM_NN_SUM_BODY_H

#include "nn/kernels/row_kernels.h"
#include "nn/kernels/vector.h"

#include <float.h>

static void row_add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) /* the compiler makes vectors of simple loops by itself */
        y[i] = a[i] + b[i];
}

static void row_multiply(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void row_multiply_add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a[i] * b[i];
}

static void row_scale(float *y, const float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = factor * x[i];
}

static void row_scale_add(float *y, const float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += factor * x[i];
}

static float row_dot(const float *a, const float *b, size_t n)
{
    vec sum[4] = { vec_zero(), vec_zero(), vec_zero(), vec_zero() };
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (size_t j = 0; j < 4; j++)
            sum[j] = vec_fma(vec_load(a + i + j * LANES), vec_load(b + i + j * LANES), sum[j]);
    for (; i + LANES <= n; i += LANES)
        sum[0] = vec_fma(vec_load(a + i), vec_load(b + i), sum[0]);
    float total = vec_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (; i < n; i++)
        total += a[i] * b[i];
    return total;
}

/* What is summed over a row. */
enum row_sum { SUM_PLAIN, SUM_SQUARES };

VLM_INLINE vec sum_term(enum row_sum what, vec x, vec mean)
{
    if (what == SUM_SQUARES)
        return (x - mean) * (x - mean);
    return x;
}

VLM_INLINE float sum_row(enum row_sum what, const float *x, float mean, size_t n)
{
    vec sum[4] = { vec_zero(), vec_zero(), vec_zero(), vec_zero() };
    vec m = vec_all(mean);
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (size_t j = 0; j < 4; j++)
            sum[j] += sum_term(what, vec_load(x + i + j * LANES), m);
    for (; i + LANES <= n; i += LANES)
        sum[0] += sum_term(what, vec_load(x + i), m);
    float total = vec_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (; i < n; i++)
        total += what == SUM_SQUARES ? (x[i] - mean) * (x[i] - mean) : x[i];
    return total;
}

/* Sum of squared distances from mean for rows whose squares are too large for fp32. */
static double sum_squares_wide(const float *x, double mean, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

/* Square root of the sum of squares; in double when those are beyond fp32. */
static float row_length(const float *x, size_t n)
{
    double sum = sum_row(SUM_SQUARES, x, 0, n);
    if (sum > FLT_MAX || sum < FLT_MIN)
        sum = sum_squares_wide(x, 0, n);
    return (float)__builtin_sqrt(sum);
}

#endif
