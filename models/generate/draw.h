/* draw.h - the next token from logits: temperature, the k likeliest, the likeliest of a share.
 *
 *   struct vlm_random random = vlm_random_at(seed, VLM_STREAM_DRAW, number_of_the_token);
 *   id = vlm_draw(scratch, logits, ids, n, &rule, vlm_random_unit(&random));
 *
 * p_i is proportional to exp(z_i / temperature) over the ids that are allowed; then only the top_k with the
 * largest p are kept; then of these the fewest whose p, the largest first, sum to top_p at least (Holtzman
 * et al. 2020, "The curious case of neural text degeneration"). Of equal ones the lower id comes first. */
#ifndef VLM_MODELS_DRAW_H
#define VLM_MODELS_DRAW_H

#include "base/vlm.h"

enum { VLM_STREAM_DRAW = 0x64726177 }; /* of base/random.h: "draw" */

struct vlm_draw_rule {
    double temperature; /* 0: the largest logit, the lower id of equal ones */
    size_t top_k;       /* 0: all */
    double top_p;       /* 1: all; 0: one */
};

struct vlm_draw_item {
    double p;
    float logit;
    uint32_t id;
};

/* unit: uniform in [0, 1). ids [n], n > 0: logits has each of them; when one is not finite, any id may
 * come out. scratch [n]. O(n). */
uint32_t vlm_draw(struct vlm_draw_item *scratch, const float *logits, const uint32_t *ids, size_t n,
                  const struct vlm_draw_rule *rule, double unit);

#endif
