/* vocabulary_loss.h - the last layer of a language model and its cross-entropy, without the logits.
 *
 *   struct vlm_tensor *loss = vlm_vocabulary_loss(tape, x, &(struct vlm_vocabulary_loss){
 *       .weight = table, .targets = next_ids, .weights = weights, .weight_sum = sum_of_the_step });
 *   rc = vlm_backward(tape, loss, &err);
 *
 * For x [R, d], the table W [V, d] (tied with the embedding or not) and targets y [R]:
 *
 *     z_r = x_r W^T + b,   s_r = log sum_v exp z_rv
 *     loss_r = s_r - (1 - smoothing) z_ry - smoothing / V sum_v z_rv
 *     loss = sum_r w_r loss_r / weight_sum
 *     dz_rv = (softmax(z_r)_v - (1 - smoothing) [v = y] - smoothing / V) w_r / weight_sum
 *     dx = dz W,   dW += dz^T x,   db += sum_r dz_r
 *
 * (models.md §3.4 row 9; label smoothing: Szegedy et al. 2016, §7.) The logits of all rows would be
 * the largest tensor of the model by far: V = 50,257 and 4,096 rows are 823 MB, twice. So the forward
 * pass goes through them in chunks of rows, and since the weights say what each row counts, it makes
 * the gradients of a chunk at once; the backward pass only multiplies them with the gradient of the
 * loss and adds them up.
 *
 * Rows whose target is VLM_IGNORE are left out before the products: they cost nothing, their row loss
 * and gradient are 0, and the bits of the other rows are the same as without them. A row of weight 0
 * is computed: it has its row loss, and a gradient of 0.
 *
 * A row with a logit that is NaN or infinite has a loss of NaN, and so has the whole. A target beyond
 * the vocabulary fails the tape (VLM_EFORMAT). */
#ifndef VLM_NN_VOCABULARY_LOSS_H
#define VLM_NN_VOCABULARY_LOSS_H

#include "nn/tape.h"

#define VLM_IGNORE UINT32_MAX /* a target that does not count */

struct vlm_vocabulary_loss {
    struct vlm_tensor *weight; /* [V, d], fp32; or, where nothing is recorded, as in vlm_linear() */
    struct vlm_tensor *bias;   /* [V] or NULL */
    const uint32_t *targets;   /* [R]: below V, or VLM_IGNORE */
    const float *weights;      /* [R], or NULL: 1 each */
    double weight_sum;         /* what the sum is divided by, say of all micro-batches of a step;
                                  0: the weights of these rows that are not ignored, and when that
                                  is 0 too, the loss and its gradients are 0 */
    float smoothing;           /* 0 to below 1 */
    float *row_losses;         /* [R] or NULL: receives loss_r, unweighted */
};

/* x [..., d], fp32 or bf16 -> loss [1]. The arrays are not used after the call. */
struct vlm_tensor *vlm_vocabulary_loss(struct vlm_tape *tape, struct vlm_tensor *x,
                                       const struct vlm_vocabulary_loss *options);

#endif
