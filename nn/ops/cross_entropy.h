/* cross_entropy.h - cross-entropy on logits that exist: classes, contrastive pairs, soft targets.
 *
 *   loss = vlm_cross_entropy(tape, logits, &(struct vlm_cross_entropy){ .targets = classes });
 *
 * For logits z [R, V], with p = softmax(z_r) and a target distribution t_r over V:
 *
 *     loss_r = sum_v t_rv (log sum_u exp z_ru - z_rv),   loss = sum_r w_r loss_r / weight_sum
 *     dz_rv += g (p_rv sum_u t_ru - t_rv) w_r / weight_sum
 *
 * t is given (soft targets, which need not sum to 1), or comes from a class y as
 * (1 - smoothing) [v = y] + smoothing / V. Without the entropy of t, which has no gradient: the
 * Kullback-Leibler divergence is this minus -sum t log t (models.md §3.4 rows 10 and 11).
 *
 * Ignored rows, weights, weight_sum and numbers that are not finite: as in vocabulary_loss.h. */
#ifndef VLM_NN_CROSS_ENTROPY_H
#define VLM_NN_CROSS_ENTROPY_H

#include "nn/ops/vocabulary_loss.h" /* VLM_IGNORE */
#include "nn/tape.h"

struct vlm_cross_entropy {
    const uint32_t *targets; /* [R]: below V, or VLM_IGNORE; or */
    const float *soft;       /* [R, V]: then no targets and no smoothing */
    const float *weights;    /* [R], or NULL: 1 each */
    double weight_sum;       /* 0: the weights of these rows that are not ignored */
    float smoothing;         /* 0 to below 1 */
    float *row_losses;       /* [R] or NULL: receives loss_r, unweighted */
};

/* z [..., V] -> loss [1]. The arrays must live until the backward pass, except row_losses. */
struct vlm_tensor *vlm_cross_entropy(struct vlm_tape *tape, struct vlm_tensor *z,
                                     const struct vlm_cross_entropy *options);

#endif
