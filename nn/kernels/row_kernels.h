/* row_kernels.h - what is done to numbers and rows in passing: activations, norms, softmax, sums.
 *
 * All are bound by memory, so each reads and writes its rows once. Every result depends only on its
 * own row (or number): the caller may cut rows (or numbers) among threads as it likes. NaN and Inf
 * of the input come out. */
#ifndef VLM_NN_ROW_KERNELS_H
#define VLM_NN_ROW_KERNELS_H

#include "base/vlm.h"

enum vlm_activation {
    VLM_LINEAR,
    VLM_GELU_TANH,  /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): GPT-2 */
    VLM_GELU_ERF,   /* x Phi(x): BERT, Flamingo's open form */
    VLM_GELU_QUICK, /* x sigma(1.702 x): CLIP */
    VLM_SILU,       /* x sigma(x) */
    VLM_RELU,
    VLM_RELU_SQUARED, /* max(0, x)^2: Flamingo's paper */
    VLM_TANH,
    VLM_SIGMOID,
};

/* Rows of layernorm (x - mean) rstd w + b, or of RMSnorm x rstd w. */
struct vlm_row_norm {
    size_t cols;
    const float *x, *weight, *bias; /* [rows, cols], [cols], [cols] or NULL */
    float eps;
    float *y, *mean, *rstd; /* [rows, cols], [rows], [rows]; RMSnorm has no mean */
    uint16_t *bits;         /* NULL, or [rows, cols]: the result as bf16, instead of y */
};

/* Their gradients; what is NULL is not computed. dweight and dbias are added to. */
struct vlm_row_norm_backward {
    size_t cols;
    const float *x, *weight, *mean, *rstd, *dy;
    float *dx;              /* [rows, cols] */
    bool accumulate;        /* add to dx, do not store */
    float *dweight, *dbias; /* [cols]: sums over the rows */
};

/* Which elements are dropped: a pure function of key and element number. */
struct vlm_dropout_key {
    uint64_t key;
    uint64_t first;     /* number of the first element, even */
    uint32_t threshold; /* an element whose 32 random bits are below is dropped */
    float scale;        /* of the others */
};

enum {
    VLM_MAX_BLOCK = 64, /* numbers of which block_max gives the largest */
    VLM_SCORE_ROWS = 4, /* most rows of score_block */
};

/* VLM_MAX_BLOCK rows of a codebook, turned: codes[k][code], less[code]. */
struct vlm_code_block {
    const float *codes, *less;
    size_t width;
};

struct vlm_row_kernels {
    /* y = act(x); y may be x. */
    void (*activate)(enum vlm_activation kind, float *y, const float *x, size_t n);
    /* dx = act'(x) dy; dx may be dy. */
    void (*activate_backward)(enum vlm_activation kind, float *dx, const float *x, const float *dy,
                              size_t n);

    /* y = silu(gate) up */
    void (*swiglu)(float *y, const float *gate, const float *up, size_t n);
    /* dgate = dy up silu'(gate), dup = dy silu(gate); dgate may be dy. */
    void (*swiglu_backward)(float *dgate, float *dup, const float *gate, const float *up,
                            const float *dy, size_t n);

    void (*add)(float *y, const float *a, const float *b, size_t n);          /* y = a + b */
    void (*multiply)(float *y, const float *a, const float *b, size_t n);     /* y = a b */
    void (*multiply_add)(float *y, const float *a, const float *b, size_t n); /* y += a b */
    void (*scale)(float *y, const float *x, float factor, size_t n);          /* y = factor x */
    void (*scale_add)(float *y, const float *x, float factor, size_t n);      /* y += factor x */
    float (*dot)(const float *a, const float *b, size_t n);
    float (*norm)(const float *x, size_t n); /* square root of the sum of squares */

    /* y = e^(x - max) / sum of the same; y may be x. cols > 0. */
    void (*softmax)(float *y, const float *x, size_t rows, size_t cols);
    /* y = x - log sum e^x */
    void (*log_softmax)(float *y, const float *x, size_t rows, size_t cols);
    /* From the result y: dx = y (dy - sum y dy), and dx = dy - e^y sum dy; dx may be dy. */
    void (*softmax_backward)(float *dx, const float *y, const float *dy, size_t rows, size_t cols);
    void (*log_softmax_backward)(float *dx, const float *y, const float *dy, size_t rows,
                                 size_t cols);
    /* log sum e^x of a row, and of each of n columns of rows that are `step` apart. */
    float (*log_sum_exp)(const float *x, size_t n);
    void (*log_sum_exp_columns)(float *y, const float *x, size_t rows, size_t step, size_t n);
    /* x = p = e^(x - row) + e^(x - columns[i]); returns sum p x. */
    float (*softmax_both_ways)(float *x, float row, const float *columns, size_t n);

    /* y = x times 0 or scale; y may be x. */
    void (*dropout)(float *y, const float *x, size_t n, const struct vlm_dropout_key *key);

    void (*layernorm)(const struct vlm_row_norm *norm, size_t rows);
    void (*rmsnorm)(const struct vlm_row_norm *norm, size_t rows);
    void (*layernorm_backward)(const struct vlm_row_norm_backward *job, size_t rows);
    void (*rmsnorm_backward)(const struct vlm_row_norm_backward *job, size_t rows);

    /* max[b] = the largest of scores[i] - less[i] over i in block b of VLM_MAX_BLOCK numbers, the last
     * one being shorter; where one is NaN, any of the block. */
    void (*block_max)(float *max, const float *scores, const float *less, size_t n);

    /* scores[r][code] = z_r . code - less for the rows z + r * z_row, r < rows, and the largest of each
     * row; where one is NaN, any of them. A row's bits do not depend on how many there are. */
    void (*score_block)(float *scores, float *max, const float *z, size_t z_row, size_t rows,
                        const struct vlm_code_block *block);

    /* y = x / divisor - less */
    void (*from_bytes)(float *y, const uint8_t *x, float divisor, float less, size_t n);
};

#endif
