/* decoder.h - the language model that vlm-bench step trains: GPT-2's form, on the ops of nn/.
 *
 *   struct vlm_decoder decoder;
 *   const struct vlm_decoder_shape shape = { .layers = 6, .width = 512, .heads = 8,
 *                                            .vocabulary = 8192, .positions = 1024 };
 *   int rc = vlm_decoder_init(&decoder, &shape, 0, &err);
 *   vlm_decoder_fill(&decoder, seed);
 *   ... vlm_decoder_loss(&tape, &decoder, &batch, 0), vlm_backward(), optimiser ...
 *   vlm_decoder_release(&decoder);
 *
 * Pre-norm, causal within each sequence, learned positions, biases, tanh-GELU, tied embeddings, no
 * dropout (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"):
 *
 *     x = embed[id] + place[position]
 *     x = x + out(attention(qkv(norm1(x))))          for each block
 *     x = x + down(gelu(up(norm2(x))))
 *     loss = cross entropy of norm(x) embed^T
 */
#ifndef VLM_TOOLS_DECODER_H
#define VLM_TOOLS_DECODER_H

#include "nn/memory.h"
#include "nn/tape.h"

struct vlm_decoder_shape {
    size_t layers, width, heads;
    size_t vocabulary;
    size_t positions; /* longest sequence */
};

struct vlm_decoder_block {                      /* C: width */
    struct vlm_tensor norm1_weight, norm1_bias; /* [C] */
    struct vlm_tensor qkv_weight, qkv_bias;     /* [3C, C], [3C]: q, k, v below each other */
    struct vlm_tensor out_weight, out_bias;     /* [C, C], [C] */
    struct vlm_tensor norm2_weight, norm2_bias; /* [C] */
    struct vlm_tensor up_weight, up_bias;       /* [4C, C], [4C] */
    struct vlm_tensor down_weight, down_bias;   /* [C, 4C], [C] */
};

struct vlm_decoder_parameter {
    struct vlm_tensor *tensor;
    char name[48]; /* as PyTorch's modules have it: "blocks.0.qkv.weight" */
};

struct vlm_decoder {
    struct vlm_decoder_shape shape;
    struct vlm_tensor embed, place, norm_weight, norm_bias; /* [V, C], [positions, C], [C], [C] */
    struct vlm_decoder_block *blocks;
    struct vlm_decoder_parameter *parameters; /* all of the above, in the order of the block */
    size_t n_parameters;
    struct vlm_memory memory;
    float *weights, *grads;         /* `count` each: all parameters, all gradients */
    size_t count;                   /* of numbers */
    struct vlm_decoder_call *calls; /* what each block of the forward pass was called with */
};

/* Sequences one after the other, `rows` tokens in all. Borrowed until the tape is reset. */
struct vlm_decoder_batch {
    size_t rows;
    const uint32_t *ids;       /* [rows] */
    const uint32_t *positions; /* [rows] in the sequence */
    const uint32_t *lo, *hi;   /* [rows] the rows that a row sees: nn/ops/attention.h */
    const uint32_t *targets;   /* [rows] ids, or VLM_IGNORE */
    double weight_sum;         /* the loss is divided by it; 0: by the targets of this batch */
};

enum vlm_decoder_flags {
    VLM_DECODER_RECOMPUTE = 1, /* each block runs again in the backward pass: less memory */
};

/* Memory for weights and gradients, all zeros. VLM_MEMORY_COUNT in memory_flags: none, only shapes,
 * for a dry tape. The struct must not be moved afterwards. */
VLM_MUST_CHECK int vlm_decoder_init(struct vlm_decoder *decoder,
                                    const struct vlm_decoder_shape *shape, unsigned memory_flags,
                                    struct vlm_err *err);
void vlm_decoder_release(struct vlm_decoder *decoder); /* safe on a zeroed struct */

/* Weights to begin with: matrices random with deviation 0.02, gains 1, biases 0. */
void vlm_decoder_fill(struct vlm_decoder *decoder, uint64_t seed);

/* positions, lo and hi (each of the sum of lengths) of causal sequences one after the other. */
void vlm_decoder_rows(uint32_t *positions, uint32_t *lo, uint32_t *hi, const size_t *lengths,
                      size_t sequences);

/* The loss [1] of a batch. */
struct vlm_tensor *vlm_decoder_loss(struct vlm_tape *tape, struct vlm_decoder *decoder,
                                    const struct vlm_decoder_batch *batch, unsigned flags);

/* Floating-point operations of forward and backward over a batch: 2 for each multiply-add of the
 * products and of the attention scores that a row sees; twice as many backward as forward. What is
 * computed again in the backward pass is not counted, nor are norms, softmax and the optimiser. */
double vlm_decoder_flops(const struct vlm_decoder_shape *shape,
                         const struct vlm_decoder_batch *batch);

#endif
