/* gemm_kernels.h - products of packed panels: the inner part of every linear layer, convolution and
 * attention.
 *
 * An operand of C[m,n] = A[m,k] B[n,k]^T is packed into panels of `mr` rows (A) or `nr` rows (B),
 * interleaved so that the kernel reads straight on:
 *
 *     fp32:  panel[p * width + i]               = x(i, p)       k * width elements
 *     bf16:  panel[(p / 2 * width + i) * 2 + p % 2] = x(i, p)   k rounded up to even, zero filled
 *
 * with zeros for rows beyond the end. Where the CPU has no bf16 dot product a bf16 panel is an fp32
 * panel of rounded numbers; bf16_bytes and bf16_pair tell. Each element of C is one sequential chain
 * of fused multiply-adds over p (bf16: over pairs), so its bits do not depend on the other rows, on
 * the tile it falls in or on how k is cut into blocks (bf16: at even p). */
#ifndef VLM_NN_GEMM_KERNELS_H
#define VLM_NN_GEMM_KERNELS_H

#include "base/vlm.h"

struct vlm_gemm_block {
    size_t m, n, k;        /* of this block; bf16: k even, or the end of the operand */
    const void *a, *b;     /* first panels, at the block's first p */
    size_t a_step, b_step; /* bytes from one panel to the next */
    float *c;
    size_t c_row;    /* floats from one row of C to the next */
    bool accumulate; /* start the chains from C, not from 0 */
};

/* Few rows of A against rows of B as they lie in memory, k contiguous. */
struct vlm_gemm_stream {
    size_t m, n, k;
    const void *a;  /* panels over all of k */
    size_t a_width; /* their rows: 1, 2, 4 or stream_rows; zeros beyond m */
    size_t a_step;  /* bytes from one panel to the next */
    const void *b;  /* floats, bf16 for stream_bits(), integers (int8_kernels.h) */
    size_t b_row;   /* bytes from one row of B to the next */
    float *c;
    size_t c_row;
    bool accumulate;
};

struct vlm_gemm_kernels {
    size_t mr, nr;     /* rows of a panel of A, of B */
    size_t bf16_bytes; /* of one element of a bf16 panel: 2, or 4 without a bf16 dot product */
    size_t bf16_pair;  /* k of a bf16 panel is a multiple of this: 2 or 1 */

    /* Packs rows <= width rows of x(i, p) = x[i * row + p * col] for p < k. One of row and col is 1. */
    void (*pack_f32)(float *panel, size_t width, const float *x, size_t rows, size_t k, size_t row,
                     size_t col);
    /* The same, rounded to bf16. */
    void (*pack_bf16)(void *panel, size_t width, const float *x, size_t rows, size_t k, size_t row,
                      size_t col);
    /* The same of numbers that are bf16 already. */
    void (*pack_bits)(void *panel, size_t width, const uint16_t *x, size_t rows, size_t k,
                      size_t row, size_t col);

    /* C (+)= A B^T over panels. Best when the panels of B fit the second cache: the caller cuts k. */
    void (*block_f32)(const struct vlm_gemm_block *block);
    void (*block_bf16)(const struct vlm_gemm_block *block);

    /* The same product without packing B, whose rows come from main memory once: for few rows of A. A is
     * an fp32 panel for stream_f32(), a bf16 panel for the other two, which take B in
     * fp32 and round it, or in bf16. */
    size_t stream_rows;
    void (*stream_f32)(const struct vlm_gemm_stream *stream);
    void (*stream_bf16)(const struct vlm_gemm_stream *stream);
    void (*stream_bits)(const struct vlm_gemm_stream *stream);

    /* y += x, and y *= x. */
    void (*add_row)(float *y, const float *x, size_t n);
    void (*multiply_row)(float *y, const float *x, size_t n);
    /* bits = x rounded to bf16, to the nearest and ties to even; NaN stays NaN. And back, exactly. */
    void (*round_bf16)(uint16_t *bits, const float *x, size_t n);
    void (*widen_bf16)(float *x, const uint16_t *bits, size_t n);

    /* Nothing but multiply-adds in registers, for benches: returns the floating-point operations that
     * it did; *sink is of no use. */
    double (*spin_f32)(size_t rounds, float *sink);
    double (*spin_bf16)(size_t rounds, float *sink);
    /* For the bandwidth: the sum of x, and c = a + 3 b. n is a multiple of 64. */
    float (*read_through)(const float *x, size_t n);
    void (*triad)(float *c, const float *a, const float *b, size_t n);
};

#endif
