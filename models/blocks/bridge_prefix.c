/* bridge_prefix.c - the linear mapper from an image to a few rows of the trunk. */
#include "base/vlm.h"

#include "models/blocks/block_internal.h"
#include "nn/ops/linear.h"
#include "nn/ops/rows.h"

enum { WEIGHT, BIAS };

static const struct vlm_entry entries[] = {
    [WEIGHT] = { "weight", VLM_DIM_WIDTH, VLM_DIM_GROUP, VLM_FILL_NORMAL, VLM_BIAS_NONE },
    [BIAS] = { "bias", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ZEROS, VLM_BIAS_NONE },
};

/* Tsimpoukelli et al. 2021 ("Multimodal Few-Shot Learning with Frozen Language Models", section 3.1)
 * and Mokady et al. 2021 ("ClipCap") map one vector of the image linearly to `length` embeddings. Here
 * an image has many rows: each embedding is a linear map of the numbers of its own neighbouring rows,
 * side by side, the same map for all. */
static struct vlm_tensor *forward(struct vlm_tape *tape, struct vlm_tensor *x,
                                  const struct vlm_sizes *sizes, struct vlm_tensor *tensors,
                                  size_t images)
{
    x = vlm_reshape_rows(tape, x, images * sizes->length, vlm_tensor_cols(&tensors[WEIGHT]));
    return vlm_linear(tape, x,
                      &(struct vlm_linear){ .weight = &tensors[WEIGHT], .bias = &tensors[BIAS] });
}

const struct vlm_bridge_kind vlm_bridge_prefix = {
    .name = "prefix",
    .entries = entries,
    .n_entries = VLM_COUNTOF(entries),
    .forward = forward,
};
