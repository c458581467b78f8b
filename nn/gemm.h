/* gemm.h - C[m,n] (+)= A[m,k] B[n,k]^T, the product under every linear layer, in fp32, bf16 or int8.
 *
 *   struct vlm_gemm job = {                      // y = x W^T + b
 *       .m = rows, .n = out, .k = in,
 *       .a = { .f32 = x, .row = in, .col = 1 }, .b = { .f32 = w, .row = in, .col = 1 },
 *       .c = y, .c_row = out, .bias = b,
 *   };
 *   vlm_gemm(engine, &job, scratch);             // of vlm_gemm_scratch(engine, &job) bytes
 *
 * Operands are given by two strides, one of which is 1, so that the three products of a linear layer
 * (x W^T, g W, g^T x) are the same call. Both are packed (gemm_kernels.h) by all threads, then fixed
 * tiles of C are computed, each by one thread. The bits of a row of C depend on that row of A and on B
 * only: not on m, not on the number of threads (own back end).
 *
 * With VLM_INT8 B is of integers and the floats of A become fixed-point numbers (int8_kernels.h says which): those
 * bits do not depend on the kind of CPU either.
 *
 * A weight that is used for many calls can be packed once: vlm_gemm_pack_b(). */
#ifndef VLM_NN_GEMM_H
#define VLM_NN_GEMM_H

#include "nn/engine.h"
#include "nn/tensor.h"

struct vlm_operand {
    const float *f32;       /* x(i, p) = f32[i * row + p * col], or */
    const uint16_t *bits;   /* bf16, the same way; products in bf16 only */
    const int8_t *integers; /* B only, col 1: products in int8, and only those; A's col is 1 too */
    const float *scales;    /* [n] of B: each column of C is multiplied by its scale, or NULL */
    const void *packed;     /* B only: made by vlm_gemm_pack_b() for the same n, k and precision */
    size_t row, col;        /* one of them is 1 */
};

struct vlm_gemm {
    size_t m, n, k;
    struct vlm_operand a, b;
    float *c;
    size_t c_row;
    enum vlm_dtype precision; /* of the operands; VLM_INT8: of B, k is VLM_INT8_K at most */
    bool accumulate;          /* add to C; not together with what follows, nor with VLM_INT8 */

    /* Done to each tile while it is in the cache: u = scales A B^T + bias; before = u;
     * c = act(u) + residual */
    const float *bias; /* [n] or NULL */
    float *before;     /* [m, n] dense, or NULL: u, for the backward pass of the activation */
    enum vlm_activation activation;
    const float *residual; /* [m, n] dense, or NULL; may be c itself */
    uint16_t *c_bits;      /* [m, n] dense, or NULL: the result rounded to bf16 instead of c */
};

/* Bytes of scratch for the job, aligned to 64; depends on the number of threads. */
size_t vlm_gemm_scratch(const struct vlm_engine *engine, const struct vlm_gemm *job);

/* Computes job->c. k = 0 gives bias and activation of 0. NaN and Inf come out where IEEE says; with
 * VLM_INT8 either in a row of A makes a row of NaN. */
void vlm_gemm(const struct vlm_engine *engine, const struct vlm_gemm *job, void *scratch);

/* B for many calls: bytes that a packed [n, k] operand takes, and the packing by all threads. */
size_t vlm_gemm_packed_size(const struct vlm_engine *engine, size_t n, size_t k,
                            enum vlm_dtype precision);
void vlm_gemm_pack_b(const struct vlm_engine *engine, void *packed, const struct vlm_operand *b,
                     size_t n, size_t k, enum vlm_dtype precision);

/* The product as users of OpenBLAS run it: one cblas_sgemm over the whole, fp32, with that many
 * threads of OpenBLAS. C (+)= A B^T only, nothing behind it. A yardstick for benches. */
void vlm_gemm_openblas(const struct vlm_gemm *job, size_t threads);

#endif
