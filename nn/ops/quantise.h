/* quantise.h - rows of numbers become codes, and the gradient passes straight through.
 *
 *   struct vlm_tensor *loss;
 *   z = vlm_unit_rows(tape, z);                                // cosine codebooks only,
 *   book = vlm_unit_rows(tape, book);                          // both sides
 *   q = vlm_quantise(tape, z, &(struct vlm_quantise){ .codebook = book, .codes = codes,
 *                                                     .beta = 0.25f }, &loss);
 *
 *   q = vlm_fsq(tape, z, &(struct vlm_fsq){ .levels = levels, .dims = 4, .codes = codes });
 *
 * A row with a NaN or an infinity is never given a code: the tape fails with VLM_EFORMAT and a sentence
 * that names the row. */
#ifndef VLM_NN_QUANTISE_H
#define VLM_NN_QUANTISE_H

#include "nn/tape.h"

/* y = x / max(|x|, 1e-12) for each row. dx += (dy - y (y . dy)) / |x|. */
struct vlm_tensor *vlm_unit_rows(struct vlm_tape *tape, struct vlm_tensor *x);

/* Vector quantisation, van den Oord et al. 2017, "Neural Discrete Representation Learning". */
struct vlm_quantise {
    struct vlm_tensor *codebook; /* [K, D], K > 0 */
    uint32_t *codes;             /* out: [rows], or NULL */
    float beta;                  /* weight of the commitment */
    bool legacy;                 /* beta weighs the codebook's term instead, as in the quantiser of
                                    taming-transformers with legacy=True, its default */
};

/* z [..., D] -> q, the row of the codebook nearest to each row of z; on a tie the lowest code. The
 * choice is exact: whatever fp32 cannot tell apart is compared in double. Backward: dz += dq as if q were
 * z; the codebook gets nothing from dq.
 *
 * *loss (loss may be NULL) is the scalar mean |sg(z) - q|^2 + beta mean |z - sg(q)|^2, means over all
 * numbers, sg: no gradient; with legacy beta stands at the first term. */
struct vlm_tensor *vlm_quantise(struct vlm_tape *tape, struct vlm_tensor *z,
                                const struct vlm_quantise *quantise, struct vlm_tensor **loss);

/* Finite scalar quantisation, Mentzer et al. 2023, arXiv 2309.15505. */
struct vlm_fsq {
    const unsigned *levels; /* [dims], each at least 2; their product fits uint32_t */
    size_t dims;
    uint32_t *codes; /* out: [rows], or NULL */
};

/* z [..., dims] -> q, the same shape. For a number of L levels, with half = (L - 1) * 1.001 / 2, offset =
 * 1/2 for even L, else 0: bound = tanh(z + atanh(offset / half)) half - offset, level = bound rounded
 * (ties to even), q = level / floor(L / 2). The code is the sum of (level + floor(L / 2)) * product of the
 * levels before. Backward: rounding passes the gradient through, dz += dq (half / floor(L / 2))
 * (1 - tanh^2). */
struct vlm_tensor *vlm_fsq(struct vlm_tape *tape, struct vlm_tensor *z, const struct vlm_fsq *fsq);

/* Number of codes, and the numbers q [dims] of one of them. */
size_t vlm_fsq_codes(const unsigned *levels, size_t dims);
void vlm_fsq_values(float *q, const unsigned *levels, size_t dims, uint32_t code);

#endif
