/* draw.h - the next token from logits: temperature, the k likeliest, the likeliest of a share.
 *
 *   struct vlm_random random = vlm_random_at(seed, VLM_STREAM_DRAW, number_of_the_token);
 *   size_t i = vlm_draw(kernels->loss, &scratch, logits, n, &rule, vlm_random_unit(&random));
 *
 * p_i is proportional to exp(z_i / temperature) over the ids that are allowed; then only the top_k with the
 * largest p are kept; then of these the fewest that sum to `typical` at least, those first whose -log p is nearest to the
 * entropy (Meister et al. 2023, "Locally typical sampling"); then of these the fewest whose p, the largest first, sum to top_p at least (Holtzman
 * et al. 2020, "The curious case of neural text degeneration"); then of these the ones whose p is at least min_p
 * times the largest (Nguyen et al. 2024, "Turning up the heat: min-p sampling"). Of equal ones the first
 * comes first. */
#ifndef VLM_MODELS_DRAW_H
#define VLM_MODELS_DRAW_H

#include "nn/kernels/loss_kernels.h"

enum { VLM_STREAM_DRAW = 0x64726177 }; /* of base/random.h: "draw" */

struct vlm_draw_rule {
    double temperature; /* 0: the largest logit, the lower id of equal ones */
    size_t top_k;       /* 0: all */
    double top_p;       /* 1: all; 0: one */
    double min_p;       /* 0: all */
    double typical;     /* 0, 1: all */
};

struct vlm_draw_item {
    double p;
    float logit;
    uint32_t at;
};

struct vlm_draw_scratch {
    float *p;                    /* [n] */
    struct vlm_draw_item *items; /* [n] */
};

/* Returns which of n > 0 finite logits, which are overwritten. unit: uniform in [0, 1). O(n), and for many a few
 * nanoseconds each: up to VLM_DRAW_FEW in double precision throughout, of more p and its sum have that of
 * floats unless few are kept. */
enum { VLM_DRAW_FEW = 1024 };
size_t vlm_draw(const struct vlm_loss_kernels *kernels, const struct vlm_draw_scratch *scratch,
                float *logits, size_t n, const struct vlm_draw_rule *rule, double unit);

#endif
