/* optimizer.h - AdamW, the gradient norm and clipping by it, and a moving average of the weights.
 *
 *   struct vlm_parameter list[] = {
 *       { .tensor = &weight, .flags = VLM_PARAMETER_DECAY },
 *       { .tensor = &bias },
 *       { .tensor = &frozen_table, .flags = VLM_PARAMETER_FROZEN },
 *   };
 *   struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
 *   struct vlm_optimizer optimizer;
 *   rc = vlm_optimizer_init(&optimizer, &engine, list, 3, &options, &err);
 *   for (each step) {
 *       vlm_optimizer_clear(&optimizer);                       // gradients = 0
 *       ... forward, vlm_backward(), for each micro-batch ...
 *       double norm = vlm_optimizer_norm(&optimizer);
 *       if (vlm_guard_judge(&guard, loss, norm) == VLM_GUARD_ACCEPT)
 *           rc = vlm_optimizer_step(&optimizer, rate, norm, &err);
 *   }
 *   vlm_optimizer_release(&optimizer);
 *
 * AdamW is Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, in the
 * order of operations of PyTorch; t is the number of the update, from 1, rate = the step's rate times
 * the parameter's own scale:
 *
 *     g *= clip                          clip = min(1, clip_norm / (norm + 1e-6)), as PyTorch
 *     p -= rate * decay * p              only with VLM_PARAMETER_DECAY
 *     m += (1 - beta1) (g - m)
 *     v  = beta2 v + (1 - beta2) g^2
 *     p -= rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 *     a += (1 - average) (p - a)         the moving average (EMA), when it is wanted
 *
 * One pass over memory, by all threads over fixed blocks, so the bits do not depend on their number;
 * nor does the norm, whose partial sums (in double, one a block) are added in the order of the list.
 *
 * The optimizer's state is `step` and one block of memory: the moments m of all parameters in the
 * order of the list, then v, then the averages; vlm_optimizer_state() says where. That and the
 * weights are what a checkpoint holds. One thread owns an optimizer. */
#ifndef VLM_NN_OPTIMIZER_H
#define VLM_NN_OPTIMIZER_H

#include "nn/engine.h"
#include "nn/memory.h"
#include "nn/tensor.h"

enum vlm_parameter_flags {
    VLM_PARAMETER_DECAY = 1,  /* matrices; not biases, norms and gates */
    VLM_PARAMETER_FROZEN = 2, /* never read or written here; has no state, needs no gradient */
};

struct vlm_parameter {
    struct vlm_tensor *tensor; /* fp32; ->grad as large as ->data, unless frozen */
    unsigned flags;
    float rate_scale; /* times the step's rate; 0: 1 */
};

struct vlm_optimizer_options {
    double beta1, beta2, epsilon, decay;
    double clip_norm; /* largest norm of the whole gradient; 0: not clipped */
    double average;   /* part of the moving average that stays in a step, say 0.9999; 0: none */
};

/* Of GPT-3 and most after it (Brown et al. 2020, appendix B). */
#define VLM_OPTIMIZER_DEFAULTS                                                                     \
    {                                                                                              \
        .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .decay = 0.1, .clip_norm = 1                 \
    }

enum vlm_optimizer_part { VLM_STATE_M, VLM_STATE_V, VLM_STATE_AVERAGE };

struct vlm_optimizer {
    uint64_t step; /* updates made; set it when a checkpoint is loaded */
    struct vlm_optimizer_options options;
    /* The rest is its own business. */
    const struct vlm_engine *engine;
    struct vlm_parameter *list; /* a copy */
    size_t count;
    size_t *first_block; /* [count + 1]: of each parameter; the last is the number of blocks */
    size_t *offset;      /* [count]: in floats, of its m in the state */
    size_t state_floats; /* of one of m, v, average */
    double *partial;     /* [blocks] */
    struct vlm_memory memory;
    float *state;
};

/* Takes the memory of the state, zeroed, the average being the weights as they are. Copies the list;
 * the tensors, and their data and grad, must stay where they are. VLM_EUSAGE for options that make
 * no sense, VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_optimizer_init(struct vlm_optimizer *optimizer,
                                      const struct vlm_engine *engine,
                                      const struct vlm_parameter *list, size_t count,
                                      const struct vlm_optimizer_options *options,
                                      struct vlm_err *err);
void vlm_optimizer_release(struct vlm_optimizer *optimizer); /* safe on a zeroed struct */

/* Bytes of state for these parameters, for an estimate before they exist. */
size_t vlm_optimizer_bytes(const struct vlm_parameter *list, size_t count,
                           const struct vlm_optimizer_options *options);

/* Sets all gradients to 0. */
void vlm_optimizer_clear(struct vlm_optimizer *optimizer);

/* The length of the gradient of all parameters together; NaN or infinite when one of its elements
 * is, and only then. */
double vlm_optimizer_norm(struct vlm_optimizer *optimizer);

/* One update with the norm that vlm_optimizer_norm() gave. With a norm that is not finite, or
 * above 1e19 even after clipping, it changes nothing and returns VLM_SKIP. */
VLM_MUST_CHECK int vlm_optimizer_step(struct vlm_optimizer *optimizer, double rate, double norm,
                                      struct vlm_err *err);

/* The state of parameter number `index`, as large as its tensor, to save or to fill; NULL for a
 * frozen one, or when there is no average. Valid until the release. */
float *vlm_optimizer_state(struct vlm_optimizer *optimizer, size_t index,
                           enum vlm_optimizer_part which);

#endif
