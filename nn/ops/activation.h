/* activation.h - what is done to each number for itself: activation functions, sums, products.
 *
 *   struct vlm_tensor *y = vlm_activate(&tape, x, VLM_SILU);
 *   y = vlm_add(&tape, x, vlm_scale(&tape, y, 0.5f));
 *   y = vlm_gated_residual(&tape, y, attended, gate);        // y + tanh(gate) attended
 *
 * Formulas and sources of the activations are with enum vlm_activation (nn/kernels/row_kernels.h):
 * Hendrycks and Gimpel 2016 for GELU and its two approximations, Elfwing et al. 2017 and Ramachandran
 * et al. 2017 for SiLU. After a product use the activation of vlm_linear() instead: it saves one
 * walk through memory.
 *
 * Results are bound by memory. Work is cut into fixed chunks, so bits do not depend on threads. */
#ifndef VLM_NN_ACTIVATION_H
#define VLM_NN_ACTIVATION_H

#include "nn/tape.h"

/* y = act(x); dx = act'(x) dy. */
struct vlm_tensor *vlm_activate(struct vlm_tape *tape, struct vlm_tensor *x,
                                enum vlm_activation kind);

/* y = a + b. b is as large as a, or fits a whole number of times into it and is repeated: a row
 * [cols] of biases, or positions [T, cols] under B sequences [B T, cols]. db sums over the copies in
 * their order. */
struct vlm_tensor *vlm_add(struct vlm_tape *tape, struct vlm_tensor *a, struct vlm_tensor *b);

/* y = a b, number by number, of equal count; da = b dy, db = a dy. a may be b. */
struct vlm_tensor *vlm_multiply(struct vlm_tape *tape, struct vlm_tensor *a, struct vlm_tensor *b);

/* y = factor x. */
struct vlm_tensor *vlm_scale(struct vlm_tape *tape, struct vlm_tensor *x, float factor);

/* y = silu(gate) up, of equal count: Shazeer 2020, "GLU variants improve transformer". */
struct vlm_tensor *vlm_swiglu(struct vlm_tape *tape, struct vlm_tensor *gate,
                              struct vlm_tensor *up);

/* y = x + tanh(gate) f with one learned number gate [1], 0 at the start of training so that the layer
 * begins as the identity: Alayrac et al. 2022, Flamingo, section 3.1.2.
 * df = tanh(gate) dy; dgate = (1 - tanh^2 gate) sum f dy. */
struct vlm_tensor *vlm_gated_residual(struct vlm_tape *tape, struct vlm_tensor *x,
                                      struct vlm_tensor *f, struct vlm_tensor *gate);

#endif
