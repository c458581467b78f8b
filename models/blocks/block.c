/* block.c - the lists of blocks that recipes can name. A new block is one more line here. */
#include "base/vlm.h"

#include "models/blocks/block.h"
#include "models/blocks/block_internal.h"

static const struct vlm_layer_kind *const layers[] = { &vlm_layer_pre_ln, &vlm_layer_llama };
static const struct vlm_encoder_kind *const encoders[] = { &vlm_encoder_codes };
static const struct vlm_bridge_kind *const bridges[] = { &vlm_bridge_prefix };

/* The layer of that name, or NULL. Constant, for any thread; so are the others. */
const struct vlm_layer_kind *vlm_layer_find(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(layers); i++)
        if (!strcmp(layers[i]->name, name))
            return layers[i];
    return NULL;
}

/* All names with ", " between them, for sentences. The lists of names stand beside the lists of blocks
 * since a constant needs no memory; a test compares the two. */
const char *vlm_layer_names(void)
{
    return "pre-ln, llama";
}

const struct vlm_encoder_kind *vlm_encoder_find(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(encoders); i++)
        if (!strcmp(encoders[i]->name, name))
            return encoders[i];
    return NULL;
}

const char *vlm_encoder_names(void)
{
    return "codes";
}

const struct vlm_bridge_kind *vlm_bridge_find(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(bridges); i++)
        if (!strcmp(bridges[i]->name, name))
            return bridges[i];
    return NULL;
}

const char *vlm_bridge_names(void)
{
    return "prefix";
}

size_t vlm_block_dim(enum vlm_dim dim, const struct vlm_sizes *sizes, size_t image_rows)
{
    switch (dim) {
    case VLM_DIM_NONE:
        return 0;
    case VLM_DIM_WIDTH:
        return sizes->width;
    case VLM_DIM_QKV:
        return (sizes->heads + 2 * sizes->kv_heads) * sizes->head_size;
    case VLM_DIM_HEADS:
        return sizes->heads * sizes->head_size;
    case VLM_DIM_HIDDEN:
        return sizes->hidden;
    case VLM_DIM_INPUTS:
        return sizes->inputs;
    case VLM_DIM_LENGTH:
        return sizes->length;
    case VLM_DIM_GROUP:
        return image_rows / sizes->length * sizes->inputs;
    }
    VLM_BUG_IF(true);
    return 0;
}
