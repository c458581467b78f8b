/* vq.h - the graph of the tokenizers that we train ourselves, vq-s and vq-xs.
 *
 *   struct vlm_vq vq;
 *   int rc = vlm_vq_init(&vq, vlm_vq_shape_named("vq-xs"), VLM_VQ_GRADIENTS, &err);
 *   vlm_vq_fill(&vq, seed);
 *   z = vlm_unit_rows(tape, vlm_vq_encode(tape, &vq, x));   // [N, H/16, W/16, code_width]
 *   y = vlm_vq_decode(tape, &vq, q);                        // [N, H, W, 3]
 *   vlm_vq_release(&vq);
 *
 * No work is done at the full size: pixels of stem x stem become channels first, without loss.
 *
 *   encoder   space_to_depth(stem), stem 3x3, then for each level, fine to coarse:
 *                 [space_to_depth(2), down 1x1] (not the first), blocks
 *             norm, SiLU, out 1x1
 *   or, with a patch width (vq-xs), for speed where every image of a crawl passes:
 *             space_to_depth(16), stem 1x1, blocks, norm, SiLU, out 1x1
 *   decoder   stem 3x3, then for each level, coarse to fine:
 *                 [up 1x1, depth_to_space(2)] (not the first), blocks
 *             norm, SiLU, out 3x3, depth_to_space(stem)
 *   block     x + conv2(SiLU(norm2(conv1(SiLU(norm1(x))))))
 *
 * Norms are group norms with eps 1e-6. It is all convolutions: any size that 16 divides. The codebook has
 * rows of length 1 and latents are brought to that length (Yu et al. 2021, "Vector-quantized image
 * modeling with improved VQGAN"). Pixels are byte / 127.5 - 1.
 *
 * Tensors have the names that PyTorch's modules would give them, conv weights are [out, kh, kw, in]. */
#ifndef VLM_VQGAN_VQ_H
#define VLM_VQGAN_VQ_H

#include "nn/memory.h"
#include "nn/ops/conv2d.h"
#include "nn/tape.h"

enum {
    VLM_VQ_LEVELS_MAX = 4,
    VLM_VQ_BLOCKS_MAX = 16, /* of a level */
    VLM_VQ_WIDTH_MAX = 4096,
    VLM_VQ_NAME_SIZE = 48,
};

struct vlm_vq_shape {
    const char *kind; /* "vq-s" */
    size_t stem;      /* stem * 2^(levels - 1) is 16 */
    size_t levels;    /* level 0 is the finest */
    size_t widths[VLM_VQ_LEVELS_MAX];
    size_t encoder_blocks[VLM_VQ_LEVELS_MAX], decoder_blocks[VLM_VQ_LEVELS_MAX]; /* by level */
    size_t patch_width; /* 0: an encoder as above; else of the one on patches, which has as many
                           blocks as the coarsest level of encoder_blocks says */
    size_t groups;      /* divides all widths */
    size_t codes, code_width; /* of the codebook */
};

/* "vq-s" or "vq-xs" with 1024 codes; NULL: no such. */
const struct vlm_vq_shape *vlm_vq_shape_named(const char *kind);

struct vlm_vq_conv {
    struct vlm_tensor weight, bias;
    void *packed; /* of vlm_vq_pack(), or NULL */
};

struct vlm_vq_norm {
    struct vlm_tensor weight, bias;
};

struct vlm_vq_block {
    struct vlm_vq_norm norm1, norm2;
    struct vlm_vq_conv conv1, conv2;
};

struct vlm_vq_half {
    struct vlm_vq_conv stem, change[VLM_VQ_LEVELS_MAX], out; /* change: down or up, to that level */
    struct vlm_vq_block blocks[VLM_VQ_LEVELS_MAX][VLM_VQ_BLOCKS_MAX];
    struct vlm_vq_norm norm;
};

struct vlm_vq_parameter {
    struct vlm_tensor *tensor;
    char name[VLM_VQ_NAME_SIZE];
};

struct vlm_vq {
    struct vlm_vq_shape shape;
    struct vlm_vq_half encoder, decoder;
    struct vlm_tensor codebook;          /* [codes, code_width], never a gradient */
    struct vlm_vq_parameter *parameters; /* all of these, in the order of the memory */
    size_t n_parameters;                 /* the codebook is the last */
    size_t count;                        /* of numbers in them */
    enum vlm_conv_mode mode;
    struct vlm_memory memory, packed;
};

enum vlm_vq_flags {
    VLM_VQ_GRADIENTS = 1, /* memory for gradients of all but the codebook */
    VLM_VQ_COUNT = 2,     /* no memory: shapes only, for a dry tape */
};

/* Memory for the weights, zeros. The struct must not be moved afterwards. VLM_EUSAGE for a shape that
 * makes no graph. */
VLM_MUST_CHECK int vlm_vq_init(struct vlm_vq *vq, const struct vlm_vq_shape *shape, unsigned flags,
                               struct vlm_err *err);
void vlm_vq_release(struct vlm_vq *vq); /* safe on a zeroed struct */

/* Weights to begin with: convolutions uniform with variance 1 / (numbers that are summed), but the second
 * of each block 0, so that blocks begin as the identity; gains 1; biases 0; codebook random. */
void vlm_vq_fill(struct vlm_vq *vq, uint64_t seed);

/* Packs the convolutions for many calls; the weights must not change then. */
VLM_MUST_CHECK int vlm_vq_pack(struct vlm_vq *vq, const struct vlm_engine *engine,
                               enum vlm_dtype precision, struct vlm_err *err);

/* x [N, H, W, 3] -> z [N, H / 16, W / 16, code_width], of any length; and back, q of length 1. */
struct vlm_tensor *vlm_vq_encode(struct vlm_tape *tape, struct vlm_vq *vq, struct vlm_tensor *x);
struct vlm_tensor *vlm_vq_decode(struct vlm_tape *tape, struct vlm_vq *vq, struct vlm_tensor *q);

/* The JSON object of config.json's "architecture" for this shape; appended to out. */
struct vlm_buffer;
void vlm_vq_architecture(struct vlm_buffer *out, const struct vlm_vq_shape *shape);

#endif
