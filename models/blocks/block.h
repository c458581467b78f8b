/* block.h - the parts that recipes name: layers of a trunk, encoders of images, bridges.
 *
 * A block is a table of its tensors and one function that runs on the tape. A new system needs no change
 * here, at most one more table and function in this folder, added to the list in block.c.
 *
 *   const struct vlm_layer_kind *kind = vlm_layer_find("pre-ln");
 *   x = kind->forward(tape, x, &(struct vlm_layer_call){ .sizes = &sizes, .tensors = tensors, ... });
 */
#ifndef VLM_MODELS_BLOCK_H
#define VLM_MODELS_BLOCK_H

#include "models/model/rows.h"
#include "nn/kernels/kernels.h"
#include "nn/tape.h"

enum vlm_position { VLM_POSITION_SINUSOID, VLM_POSITION_LEARNED, VLM_POSITION_ROTARY };
#define VLM_POSITION_WORDS "sinusoid|learned|rotary"

/* What the tensors of a block are as wide as. */
struct vlm_sizes {
    size_t width;
    size_t heads, kv_heads, head_size;
    size_t hidden;
    size_t inputs;      /* encoders: codes of the codebook; bridges: width of the encoder */
    size_t length;      /* encoders: rows of an image; bridges: rows that they make of one */
    bool biases;        /* llama: of q, k, v and the output */
    bool hidden_biases; /* llama: of the feed-forward products */
    enum vlm_activation activation;
    float norm_epsilon;
    enum vlm_position position;
    double rotary_base;
};

enum vlm_dim {
    VLM_DIM_NONE, /* cols: a vector */
    VLM_DIM_WIDTH,
    VLM_DIM_QKV,   /* (heads + 2 kv_heads) head_size */
    VLM_DIM_HEADS, /* heads head_size */
    VLM_DIM_HIDDEN,
    VLM_DIM_INPUTS,
    VLM_DIM_LENGTH,
    VLM_DIM_GROUP, /* bridge "prefix": (rows of an image / length) inputs */
};

enum vlm_fill {
    VLM_FILL_ZEROS,
    VLM_FILL_ONES,
    VLM_FILL_NORMAL, /* deviation 0.02: GPT-2 */
    VLM_FILL_RESIDUAL, /* 0.02 / sqrt(2 layers): products whose result is added to the residual stream */
};

/* Which switch of struct vlm_sizes a tensor hangs on. */
enum vlm_bias { VLM_BIAS_NONE, VLM_BIAS_ATTENTION, VLM_BIAS_HIDDEN };

struct vlm_entry {
    const char *name; /* "attention.qkv.weight" */
    enum vlm_dim rows, cols;
    enum vlm_fill fill;
    enum vlm_bias only_with; /* absent without it: then its tensor has rank 0 */
};

/* Keys and values of earlier rows, of one layer: [capacity, kv_heads head_size] each, fp32. */
struct vlm_cache_layer {
    struct vlm_tensor keys, values;
};

struct vlm_layer_call {
    const struct vlm_sizes *sizes;
    struct vlm_tensor *tensors; /* in the order of the kind's entries */
    const struct vlm_rows *rows;
    struct vlm_cache_layer *cache; /* NULL: keys are those of the rows */
    const float *rotary_table;     /* vlm_rotary_table() for the model's context, or NULL */
};

struct vlm_layer_kind {
    const char *name;
    const struct vlm_entry *entries;
    size_t n_entries;
    /* x [rows, width] -> [rows, width]; call is a struct vlm_layer_call, which must live until the
     * backward pass is over. A vlm_block_fn, for vlm_recompute(). */
    struct vlm_tensor *(*forward)(struct vlm_tape *tape, struct vlm_tensor *x, const void *call);
    struct vlm_tensor *(*norm)(struct vlm_tape *tape, struct vlm_tensor *x,
                               struct vlm_tensor *weight, struct vlm_tensor *bias,
                               float epsilon); /* the last of the trunk */
    bool norm_bias;
    /* Of a new model: */
    enum vlm_activation activation;
    bool
        gated; /* three matrices in the feed-forward part, which is then 2/3 as wide for as many numbers:
                   Shazeer 2020, "GLU variants improve transformer" */
};
const struct vlm_layer_kind *vlm_layer_find(const char *name); /* NULL: none of that name */
const char *vlm_layer_names(void);                             /* "pre-ln, llama" */

/* images x codes -> [images * length, width] */
struct vlm_encoder_kind {
    const char *name;
    /* Of its own, the last two its last norm; its layers are of kind "pre-ln", both sides seen. */
    const struct vlm_entry *entries;
    size_t n_entries;
    struct vlm_tensor *(*embed)(struct vlm_tape *tape, const struct vlm_sizes *sizes,
                                struct vlm_tensor *tensors, const struct vlm_rows *rows);
};
const struct vlm_encoder_kind *vlm_encoder_find(const char *name);
const char *vlm_encoder_names(void);

/* [images * rows of an image, inputs] -> [images * length, width] */
struct vlm_bridge_kind {
    const char *name;
    const struct vlm_entry *entries;
    size_t n_entries;
    struct vlm_tensor *(*forward)(struct vlm_tape *tape, struct vlm_tensor *x,
                                  const struct vlm_sizes *sizes, struct vlm_tensor *tensors,
                                  size_t images);
};
const struct vlm_bridge_kind *vlm_bridge_find(const char *name);
const char *vlm_bridge_names(void);

#endif
