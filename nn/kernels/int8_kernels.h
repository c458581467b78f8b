/* int8_kernels.h - products of floats with weights of one byte, in integers and without rounding.
 *
 * A row x of A becomes fixed-point numbers, x(p) ~ q(p) 2^-e: e is the largest for which no |q| is beyond 8355711
 * (0x7f7f7f), q the nearest integer to x 2^e, ties to even. So x(p) is off by 2^-e / 2 at most, which is between 2^-24
 * and 2^-23 of the largest |x| of the row: what fp32 does to that one. Then
 *
 *     C(i, j) = float(2^-e sum over p of q(i, p) w(j, p))
 *
 * with the sum exact and one rounding at the end. An exact sum is the same in any order: the bits of C depend neither on
 * the kind of CPU, nor on the rows beside, nor on threads, tiles or whether B is packed. A row with a NaN or an infinity
 * gives NaN; one of zeros gives 0. A sum beyond the largest float is infinite.
 *
 * How it is computed: q is cut into signed digits, three of 8 bits where the CPU adds up products of bytes (VNNI: 64 of
 * them an instruction) and else two of 12 bits for products of 16-bit numbers. VNNI wants one side without signs: that
 * is w + 128, and 128 times the sum of q goes off at the end. The digits' sums are put together in doubles, which are
 * exact below 2^53: for k <= VLM_INT8_K. Within VLM_INT8_BLOCK steps of k a digit's sum fits 32 bits:
 * 255 * 128 * 4096 < 2^31 and 128 * 2^11 * 4096 < 2^31. */
#ifndef VLM_NN_INT8_KERNELS_H
#define VLM_NN_INT8_KERNELS_H

#include "nn/kernels/gemm_kernels.h"

enum {
    VLM_INT8_BLOCK = 4096,
    VLM_INT8_K = 1 << 22, /* 2^22 * 2^23 * 255 < 2^53 */
};

struct vlm_int8_kernels {
    size_t rows; /* of a panel of A for block(); its panels of B have nr rows (gemm_kernels.h) */
    size_t stream_rows; /* of a panel of A for stream(): at most this */
    size_t stream_most; /* rows of A up to which stream() is faster than packing B */
    size_t unit;        /* numbers of k in 32 bits of a panel of B: 4 or 2 */

    /* Bytes of a panel of `width` rows of A, a multiple of 64. */
    size_t (*fixed_bytes)(size_t width, size_t k);
    /* rows <= width rows of A, x(i, p) = x[i * row + p], into a panel of fixed-point numbers. */
    void (*pack_fixed)(void *panel, size_t width, const float *x, size_t rows, size_t k,
                       size_t row);
    /* rows <= nr rows of B, x(i, p) = x[i * row + p], into a panel of parts(k, unit) units of each of nr rows. */
    void (*pack)(void *panel, const int8_t *x, size_t rows, size_t k, size_t row);

    /* C = A B^T over panels of whole rows: k is all of it, n <= nr. Nothing is accumulated. */
    void (*block)(const struct vlm_gemm_block *block);
    /* The same with B as it lies in memory, which is read once. */
    void (*stream)(const struct vlm_gemm_stream *stream);
};

#endif
