/* vq_codebook.h - a codebook of rows of length 1 that follows the latents which choose them.
 *
 *   struct vlm_vq_codebook book;
 *   int rc = vlm_vq_codebook_init(&book, table, &err);          // table [K, D]: a tensor
 *   rc = vlm_vq_codebook_fit(&book, &engine, &(struct vlm_vq_fit){ ... }, &err);
 *   for (each step)
 *       vlm_vq_codebook_move(&book, z, codes, rows, &(struct vlm_vq_move){ ... });
 *   vlm_vq_codebook_release(&book);
 *
 * Each code remembers how many latents chose it in a step and their sum, as moving averages (van den Oord
 * et al. 2017, appendix A.1); its row is the sum, brought to length 1. A code that hardly any latent
 * chooses begins anew at a latent of the batch (Zeghidour et al. 2021, SoundStream, section III-C). */
#ifndef VLM_VQGAN_VQ_CODEBOOK_H
#define VLM_VQGAN_VQ_CODEBOOK_H

#include "nn/tape.h"

struct vlm_vq_codebook {
    struct vlm_tensor *table; /* [K, D], borrowed */
    float *counts;            /* [K] latents of a step */
    float *sums;              /* [K, D] */
};

/* Takes memory for counts and sums, zeros. */
VLM_MUST_CHECK int vlm_vq_codebook_init(struct vlm_vq_codebook *book, struct vlm_tensor *table,
                                        struct vlm_err *err);
void vlm_vq_codebook_release(struct vlm_vq_codebook *book); /* safe on a zeroed struct */

/* Fills table by k-means (vqgan/train/kmeans.h) over z [rows, D], at least K of them, of length 1; centres
 * are brought to that length. Counts and sums are those of the result, scaled to step_rows latents. */
struct vlm_vq_fit {
    const float *z;
    size_t rows;
    size_t rounds;
    uint64_t seed;
    size_t step_rows;
};
VLM_MUST_CHECK int vlm_vq_codebook_fit(struct vlm_vq_codebook *book,
                                       const struct vlm_engine *engine,
                                       const struct vlm_vq_fit *fit, struct vlm_err *err);

/* One step: z [rows, D] of length 1 chose codes [rows]. */
struct vlm_vq_move {
    const float *z;
    const uint32_t *codes;
    size_t rows;
    double decay;        /* part of the averages that stays */
    double dead;         /* counts below this part of the mean are dead; 0: none is */
    uint64_t seed, step; /* which latents revive codes */
};
/* Returns how many codes began anew; their numbers go to revived [K] unless it is NULL. */
size_t vlm_vq_codebook_move(struct vlm_vq_codebook *book, const struct vlm_vq_move *move,
                            uint32_t *revived);

/* to = x / |x|, n numbers; left as it is when x has no direction. */
void vlm_vq_set_unit(float *to, const float *x, size_t n);

#endif
