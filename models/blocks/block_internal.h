/* block_internal.h - what the files of this folder share. */
#ifndef VLM_MODELS_BLOCK_INTERNAL_H
#define VLM_MODELS_BLOCK_INTERNAL_H

#include "models/blocks/block.h"

/* The entries of block.c's lists, each defined in the file of its name. */
extern const struct vlm_layer_kind vlm_layer_pre_ln, vlm_layer_llama;
extern const struct vlm_encoder_kind vlm_encoder_codes;
extern const struct vlm_bridge_kind vlm_bridge_prefix;

/* The tensor, or NULL when it is one that this model goes without. */
static inline struct vlm_tensor *vlm_block_optional(struct vlm_tensor *t)
{
    return t->rank > 0 ? t : NULL;
}

/* What a dimension is; image_rows: rows of an image that the encoder makes. VLM_DIM_NONE is 0. */
size_t vlm_block_dim(enum vlm_dim dim, const struct vlm_sizes *sizes, size_t image_rows);

/* Self-attention from qkv [rows, (heads + 2 kv_heads) head_size], the queries, keys and values of a row
 * side by side -> [rows, heads head_size]. With rotary positions queries and keys are turned first;
 * with a cache the keys and values go to it and are read from it. */
struct vlm_tensor *vlm_block_attend(struct vlm_tape *tape, struct vlm_tensor *qkv,
                                    const struct vlm_layer_call *call);

#endif
