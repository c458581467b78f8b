/* attention_kernels.h - the part of attention between its products: scores to probabilities, their
 * sums, and the way back.
 *
 * The products themselves are gemm_kernels.h. Their tiles are laid out so that the result of one is
 * the packed operand of the next: forward, scores are [keys][nr queries], which is a panel of B
 * with k = keys; backward they are [queries][nr keys], a panel of B with k = queries. The kernels
 * below work in place on such panels, and for bf16 turn them into the layout of bf16 panels on the
 * way.
 *
 * Probabilities are 2^(factor * s - m): factor is the scale of the scores times log2 e. Maxima,
 * sums and log-sums are in units of log2. Where a key is not visible the score may be anything, NaN
 * too; where it is visible NaN and Inf go on into the result. */
#ifndef VLM_NN_ATTENTION_KERNELS_H
#define VLM_NN_ATTENTION_KERNELS_H

#include "base/vlm.h"

/* Visible keys of a query: lo <= j < lo + count. The sum of a block of probabilities is four sums
 * over j mod 4, added (0 + 1) + (2 + 3), in both of the following layouts: a query's bits do not
 * depend on which of them it is computed in. */

/* A block of the forward pass, a column for each query. */
struct vlm_attention_columns {
    float *scores; /* [keys rounded up to 4][nr]: scores, then probabilities (bf16: panel of B) */
    size_t keys;
    uint32_t first;             /* absolute index of row 0; a multiple of 4 */
    const uint32_t *lo, *count; /* [nr] */
    uint32_t all_lo, all_hi;    /* keys that every query sees: all_lo <= j < all_hi, or none */
    float factor;
    float *max, *sum; /* [nr] so far: -infinity and 0 to begin with */
    float *shrink;    /* [nr] out: what the sums of earlier blocks are to be multiplied with */
};

/* The same for few queries, a row for each. */
struct vlm_attention_rows {
    float *scores; /* rows of room for keys rounded up to LANES; always fp32 */
    size_t row;    /* floats from one row to the next */
    size_t rows, keys;
    uint32_t first;
    const uint32_t *lo, *count; /* [rows] */
    float factor;
    float *max, *sum, *shrink; /* [rows] */
};

enum { VLM_ATTENTION_DIRECT = 4 }; /* at most mr and stream_rows */

/* C[n, size] (+)= P V for at most VLM_ATTENTION_DIRECT queries, from the fp32 rows of values that
 * are used once: packing them would cost more than the product. (For keys: stream_f32 of
 * gemm_kernels.h.) */
struct vlm_attention_values {
    size_t n;      /* computed as 1 or as VLM_ATTENTION_DIRECT: c has room for so many rows */
    const void *a; /* panel of A: probabilities */
    const float *rows;
    size_t row;        /* floats from one row of values to the next */
    size_t keys, size; /* rows, and numbers of each */
    float *c;          /* [n][size rounded up to LANES] */
    size_t c_row;
    bool accumulate;
};

/* A block of the backward pass: queries by nr keys. p = 2^(factor s - log_sum),
 * ds = p (scale dp - dot), where dot = scale * sum over all keys of p dp = scale * (g . o). */
struct vlm_attention_gradient {
    float *scores;     /* [rows][nr]: s in, p out (bf16: panel of B with k = rows) */
    float *gradient;   /* [rows][nr]: dp in, ds out, the same way */
    uint16_t *ds_rows; /* bf16: ds as [rows][nr], for CPUs whose bf16 panels are pairs */
    size_t rows;
    uint32_t first;             /* absolute index of the first of the nr keys */
    const uint32_t *lo, *count; /* [rows] */
    const float *log_sum, *dot; /* [rows] */
    float factor, scale;
};

/* C[mr, n] += DS B^T over panels of gradients; n a multiple of nr. */
struct vlm_attention_queries {
    const void *ds;    /* at the first row in the first panel: [..][nr], as written above */
    size_t panel_step; /* bytes */
    size_t keys, n;
    const void *b; /* panels of B, n rows, k = keys */
    size_t b_step; /* bytes */
    float *c;      /* [mr][n] */
};

struct vlm_attention_kernels {
    void (*columns_f32)(const struct vlm_attention_columns *block);
    void (*columns_bf16)(const struct vlm_attention_columns *block);
    void (*rows)(const struct vlm_attention_rows *block);
    void (*values_f32)(const struct vlm_attention_values *block);
    void (*values_bf16)(const struct vlm_attention_values *block);
    void (*gradient_f32)(const struct vlm_attention_gradient *block);
    void (*gradient_bf16)(const struct vlm_attention_gradient *block);
    void (*queries_f32)(const struct vlm_attention_queries *block);
    void (*queries_bf16)(const struct vlm_attention_queries *block);

    /* x[i][c] *= factor[c] for nr columns. */
    void (*shrink_columns)(float *x, size_t rows, const float *factor);
    /* x[i][c] *= factor[i]; rows are `row` floats apart. */
    void (*shrink_rows)(float *x, size_t row, size_t rows, size_t n, const float *factor);

    /* y = x / sum, and 0 for a row whose sum is 0. No zero of y is negative: whether keys with p =
     * 0 took part does not show. */
    void (*finish)(float *y, size_t y_row, const float *x, size_t x_row, size_t rows, size_t n,
                   const float *sum);

    /* dot[i] = factor * sum over c < n of x[i][c] y[i][c]. */
    void (*dots)(float *dot, const float *x, size_t x_row, const float *y, size_t y_row,
                 size_t rows, size_t n, float factor);

    /* y[i][c] = x[i][c], or += x[i][c]. */
    void (*put)(float *y, size_t y_row, const float *x, size_t x_row, size_t rows, size_t n,
                bool add);

    /* Rotates pairs of a row of `heads` heads, in place or not: (a, b) -> (a cos - b sin, b cos + a
     * sin). Pair i < pairs of a head is (i, i + pairs), or (2 i, 2 i + 1) when interleaved. */
    void (*rotate)(float *y, const float *x, size_t heads, size_t head_size, size_t pairs,
                   bool interleaved, const float *cosine, const float *sine);
};

#endif
