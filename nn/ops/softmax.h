/* softmax.h - softmax and log-softmax of each row.
 *
 *   struct vlm_tensor *p = vlm_softmax(&tape, logits);       // [rows, cols], rows of sum 1
 *
 *     p = e^(x - max) / sum e^(x - max)          dx = p (dp - sum p dp)
 *     y = log p = x - max - log sum e^(x - max)  dx = dy - e^y sum dy
 *
 * with max and sums over the row (Bridle 1990; the shift by max is Milakov and Gimelshein 2018,
 * equation 4). A row with NaN or +Inf, or of nothing but -Inf, becomes NaN. Attention
 * (nn/ops/attention.h) and the loss over a vocabulary (nn/ops/vocabulary_loss.h) do not use these:
 * they never store the rows. */
#ifndef VLM_NN_SOFTMAX_H
#define VLM_NN_SOFTMAX_H

#include "nn/tape.h"

struct vlm_tensor *vlm_softmax(struct vlm_tape *tape, struct vlm_tensor *x);
struct vlm_tensor *vlm_log_softmax(struct vlm_tape *tape, struct vlm_tensor *x);

#endif
