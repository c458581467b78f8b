/* model.h - a model: its parameters in one block of memory, and its forward pass.
 *
 *   struct vlm_model model;
 *   rc = vlm_model_init(&model, &config, VLM_MODEL_GRADS, &err);
 *   vlm_model_fill(&model, seed);
 *   struct vlm_tensor *loss = vlm_model_loss(&tape, &model, &rows, &(struct vlm_targets){ ... }, 0);
 *   rc = vlm_backward(&tape, loss, &err);
 *   vlm_model_release(&model);
 *
 * Decoder-only transformer, images in the sequence as codes (CM3: Aghajanyan et al. 2022) or as rows of an
 * encoder and a bridge in front of text (Tsimpoukelli et al. 2021, "Frozen"; Mokady et al. 2021, "ClipCap"):
 *
 *     x = embed[id]                          rows of images are replaced by the bridge's
 *     x = x + position[p]                    of those too; not with rotary positions
 *     x = layer(x)                           for each layer of the trunk
 *     logits = norm(x) head^T                head = embed when tied
 */
#ifndef VLM_MODELS_MODEL_H
#define VLM_MODELS_MODEL_H

#include "models/blocks/block.h"
#include "nn/memory.h"
#include "nn/optimizer.h"

enum { VLM_PARAMETER_NAME_SIZE = 80 };

struct vlm_model_config {
    const struct vlm_layer_kind *layer;
    struct vlm_sizes sizes;             /* of the trunk */
    size_t layers, vocabulary, context; /* context: longest sequence; rows of learned positions */
    bool tied;
    const struct vlm_encoder_kind *encoder; /* NULL: none, and no bridge */
    struct vlm_sizes encoder_sizes;         /* .inputs: codes; .length: rows of an image, 256 */
    size_t encoder_layers;
    const struct vlm_bridge_kind *bridge;
    struct vlm_sizes bridge_sizes;
};

/* VLM_EUSAGE with the numbers when heads do not divide and the like; nothing is allocated. */
VLM_MUST_CHECK int vlm_model_check(const struct vlm_model_config *config, struct vlm_err *err);

struct vlm_model_parameter {
    char name[VLM_PARAMETER_NAME_SIZE]; /* "embed.tokens.weight", "trunk.0.attention.qkv.weight",
                                           "trunk.norm.weight", "head.weight", "encoder.0....", "bridge..." */
    enum vlm_fill fill;
    bool decay;  /* matrices */
    bool frozen; /* set by vlm_model_freeze(); its tensor needs no gradient */
};

struct vlm_model {
    struct vlm_model_config config;
    struct vlm_tensor *tensors; /* [n]: embed.tokens, embed.positions (learned or sinusoid),
                                   trunk layers, trunk.norm, head, encoder, its layers, bridge */
    struct vlm_model_parameter *parameters; /* [n], of the same */
    size_t n;
    size_t count;          /* of numbers in all tensors */
    float *values, *grads; /* [count]; grads NULL without VLM_MODEL_GRADS */
    struct vlm_memory memory;
    struct vlm_tensor *embed, *positions, *trunk, *norm_weight, *norm_bias, *head, *encoder,
        *encoder_trunk, *bridge; /* into tensors; positions NULL: rotary; head == embed when tied */
    struct vlm_tensor served_head; /* model_serve.h: head of a tied model whose table stays fp32 */
    float *rotary_table;           /* rotary: vlm_rotary_table() for `context` positions */
    struct vlm_layer_call *calls;  /* of the last forward pass that records */
};

enum vlm_model_flags {
    VLM_MODEL_GRADS = 1,     /* memory for gradients */
    VLM_MODEL_COUNT = 2,     /* no memory at all: shapes for a dry tape */
    VLM_MODEL_RECOMPUTE = 4, /* forward: each layer runs again in the backward pass */
};

/* Memory, zeros. The struct must not be moved afterwards. */
VLM_MUST_CHECK int vlm_model_init(struct vlm_model *model, const struct vlm_model_config *config,
                                  unsigned flags, struct vlm_err *err);
void vlm_model_release(struct vlm_model *model); /* safe on a zeroed struct */

/* Of the table of sinusoids: the deviation of embeddings. */
#define VLM_SINUSOID_SCALE 0.02F

/* Weights to begin with, a function of the seed and the parameter's number; the sinusoid table times
 * VLM_SINUSOID_SCALE, which is frozen (interleaved: Vaswani et al. 2017). */
void vlm_model_fill(struct vlm_model *model, uint64_t seed);

/* Freezes what matches a glob of `freeze` and none of `train` (fnmatch). VLM_EUSAGE: a glob that matches
 * nothing, or all is frozen. */
VLM_MUST_CHECK int vlm_model_freeze(struct vlm_model *model, const char *const *freeze,
                                    size_t n_freeze, const char *const *train, size_t n_train,
                                    struct vlm_err *err);

/* All parameters as the optimizer wants them: list [n]. */
void vlm_model_list(struct vlm_parameter *list, const struct vlm_model *model);

/* The parameter of that name, or n. */
size_t vlm_model_find(const struct vlm_model *model, const char *name);

/* ---- forward ---- */

/* Keys and values of all layers for `capacity` places: slots of sequences in generation. A sequence that
 * begins at a multiple of VLM_ATTENTION_KEYS has the bits of one that stands alone. */
struct vlm_cache {
    size_t capacity, layers;
    struct vlm_cache_layer *layer;
    struct vlm_memory memory;
};
VLM_MUST_CHECK int vlm_cache_init(struct vlm_cache *cache, const struct vlm_model *model,
                                  size_t capacity, struct vlm_err *err);
void vlm_cache_release(struct vlm_cache *cache);

/* The state behind the last norm [rows, width], ready for the head: VLM_BF16 on a tape of that precision.
 * With a cache the rows' keys and values are written to it first (tape: VLM_TAPE_FORWARD). A token, a
 * position or a code beyond its table fails the tape: VLM_EFORMAT, VLM_ELIMIT for positions. On a tape with
 * VLM_TAPE_FORWARD the model is only read: several threads may, each with a tape and a cache of its own. */
struct vlm_tensor *vlm_model_forward(struct vlm_tape *tape, struct vlm_model *model,
                                     const struct vlm_rows *rows, struct vlm_cache *cache,
                                     unsigned flags);

/* state [rows, width] -> logits [rows, vocabulary]. */
struct vlm_tensor *vlm_model_logits(struct vlm_tape *tape, struct vlm_model *model,
                                    struct vlm_tensor *state);

struct vlm_targets {
    const uint32_t *ids;  /* [rows] next token, or VLM_IGNORE */
    const float *weights; /* [rows] or NULL: 1 each */
    double weight_sum;    /* of the whole step; 0: of these rows */
    float *losses;        /* [rows] or NULL: receives each row's loss in nats, unweighted */
};

/* The loss [1]: vocabulary_loss.h. */
struct vlm_tensor *vlm_model_loss(struct vlm_tape *tape, struct vlm_model *model,
                                  const struct vlm_rows *rows, const struct vlm_targets *targets,
                                  unsigned flags);

/* Multiply-adds, each as two, of forward and backward over rows (recomputation not counted). */
double vlm_model_flops(const struct vlm_model_config *config, const struct vlm_rows *rows);

/* What a training run of this model would take, in bytes, nothing being allocated: a dry pass over
 * `rows` rows with `images` images. */
struct vlm_model_estimate {
    size_t parameters;                      /* numbers */
    size_t weights, grads, optimizer, step; /* bytes; step: activations, their gradients, scratch */
};
VLM_MUST_CHECK int vlm_model_estimate(struct vlm_model_estimate *estimate,
                                      const struct vlm_model_config *config, size_t rows,
                                      size_t images, enum vlm_dtype precision, unsigned flags,
                                      struct vlm_err *err);

#endif
