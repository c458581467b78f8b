/* preset.h - sizes with names, from 1 M parameters to the 13 B of the paper. */
#ifndef VLM_MODELS_PRESET_H
#define VLM_MODELS_PRESET_H

#include "base/vlm.h"

struct vlm_preset {
    const char *name;
    size_t layers, width, heads;
    size_t
        hidden; /* of the feed-forward part; gated layers take 2/3 of it, rounded up to a multiple of 64 */
    size_t block;         /* tokens of a sample */
    size_t batch_tokens;  /* of a step; micro-batches are cut from it */
    double learning_rate; /* peak */
    const char *note;     /* where the numbers come from */
};

/* NULL: there is none of that name. */
const struct vlm_preset *vlm_preset_find(const char *name);

/* Number i from 0, the smallest first; NULL behind the last. */
const struct vlm_preset *vlm_preset_at(size_t i);

/* All names, "tiny, mini, ...", for sentences; returns out. */
enum { VLM_PRESET_NAMES_SIZE = 128 };
const char *vlm_preset_names(char out[VLM_PRESET_NAMES_SIZE]);

#endif
