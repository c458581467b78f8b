/* dropout.h - sets some numbers to zero and enlarges the rest.
 *
 *   x = vlm_dropout(&tape, x, training ? 0.1f : 0);
 *
 * y_i = x_i keep_i / (1 - rate), keep_i = 0 with probability rate, else 1; dx_i the same of dy_i
 * (Srivastava et al. 2014, in the "inverted" form that needs nothing at inference). Nothing is
 * saved: keep_i is a pure function of tape->seed, the number of the op in the step and i, so the
 * backward pass and vlm_recompute() make it again. The caller sets tape->seed for each step. NaN and
 * Inf come out, as NaN, where they are dropped. Rate 0 gives x itself and records nothing. */
#ifndef VLM_NN_DROPOUT_H
#define VLM_NN_DROPOUT_H

#include "nn/tape.h"

/* 0 <= rate < 1. */
struct vlm_tensor *vlm_dropout(struct vlm_tape *tape, struct vlm_tensor *x, float rate);

#endif
