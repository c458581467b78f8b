/* encoder_codes.c - an encoder whose input is an image's codes: their embeddings at learned places,
 * before layers in which every place sees every other (models/model runs those). */
#include "base/vlm.h"

#include "models/blocks/block_internal.h"
#include "nn/ops/activation.h"
#include "nn/ops/embedding.h"

enum { TOKENS, POSITIONS, NORM_WEIGHT, NORM_BIAS };

static const struct vlm_entry entries[] = {
    [TOKENS] = { "tokens.weight", VLM_DIM_INPUTS, VLM_DIM_WIDTH, VLM_FILL_NORMAL, VLM_BIAS_NONE },
    [POSITIONS] = { "positions.weight", VLM_DIM_LENGTH, VLM_DIM_WIDTH, VLM_FILL_NORMAL,
                    VLM_BIAS_NONE },
    [NORM_WEIGHT] = { "norm.weight", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ONES, VLM_BIAS_NONE },
    [NORM_BIAS] = { "norm.bias", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ZEROS, VLM_BIAS_NONE },
};

/* x = tokens[code] + positions[place], the form of Dosovitskiy et al. 2021 ("An Image is Worth 16x16
 * Words", equation 1) with a codebook's entries for patches. Images one after the other, `length`
 * codes each: the table of places is repeated under them. */
static struct vlm_tensor *embed(struct vlm_tape *tape, const struct vlm_sizes *sizes,
                                struct vlm_tensor *tensors, const struct vlm_rows *rows)
{
    struct vlm_tensor *x =
        vlm_embedding(tape, &tensors[TOKENS], rows->codes, rows->n_images * sizes->length);
    return vlm_add(tape, x, &tensors[POSITIONS]);
}

const struct vlm_encoder_kind vlm_encoder_codes = {
    .name = "codes",
    .entries = entries,
    .n_entries = VLM_COUNTOF(entries),
    .embed = embed,
};
