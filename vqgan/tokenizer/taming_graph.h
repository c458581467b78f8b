/* taming_graph.h - the f16 VQGAN of taming-transformers and its relatives as a list of layers.
 *
 *   struct vlm_taming_shape shape;               // from config.json, or from somebody's weights
 *   struct vlm_taming_graph graph;
 *   int rc = vlm_taming_shape_read(&shape, architecture, &err);
 *   if (rc == VLM_OK)
 *       rc = vlm_taming_graph_init(&graph, &shape, &err);
 *   ... graph.layers[i], graph.tensors[i] ...
 *   vlm_taming_graph_release(&graph);
 *
 * Esser, Rombach and Ommer 2021, "Taming transformers for high-resolution image synthesis", and its code
 * (taming/modules/diffusionmodules/model.py). One list of layers gives the names and shapes of all
 * tensors, their order in the file, what is packed, and the order of the computation. */
#ifndef VLM_VQGAN_TAMING_GRAPH_H
#define VLM_VQGAN_TAMING_GRAPH_H

#include "base/json.h"

enum {
    VLM_TAMING_LEVELS = 5,  /* of resolution: 256, 128, 64, 32, 16 */
    VLM_TAMING_GROUPS = 32, /* of all group norms; their eps is 1e-6 */
    VLM_TAMING_CHANNELS_MAX = 2048,
    VLM_TAMING_BLOCKS_MAX = 8,        /* of a level */
    VLM_TAMING_NUMBERS_MAX = 1 << 28, /* in all tensors; published models have up to 76 million */
    VLM_TAMING_NAME_SIZE = 64,
    VLM_TAMING_PARTS = 5,
};

/* All that decides the graph but the codebook's size: "architecture" in config.json. */
struct vlm_taming_shape {
    size_t channels;                 /* of what conv_in makes of the pixels */
    size_t width[VLM_TAMING_LEVELS]; /* channels of each level, level 0 is 256 x 256 */
    size_t encoder_blocks, decoder_blocks, middle_blocks;
    bool encoder_attention[VLM_TAMING_LEVELS], decoder_attention[VLM_TAMING_LEVELS];
    bool middle_attention;
    size_t latent_channels;  /* z_channels */
    size_t latent_taps;      /* the encoder's last convolution is 1 x 1 or 3 x 3 */
    size_t code_width;       /* D of the codebook */
    bool quant_convs;        /* quant_conv and post_quant_conv; without them D is latent_channels */
    bool block_biases;       /* in conv_in and the convolutions of residual blocks */
    bool mean_pool;          /* levels end in the mean of 2 x 2, not in a convolution of stride 2 */
    bool shortcut_of_output; /* nin_shortcut is applied to what the block computed, not to x */
    bool cosine;             /* latents and codebook are brought to length 1 */
    bool minus_one_to_one;   /* range of the pixels; else 0 to 1 */
};

/* A norm of `out` channels, or a convolution [out, in, taps, taps]. */
struct vlm_taming_part {
    char name[VLM_TAMING_NAME_SIZE]; /* "encoder.down.0.block.0.conv1" */
    bool norm, bias;                 /* a norm always has a bias */
    size_t out, in, taps;
};

enum vlm_taming_type {
    VLM_TAMING_CONV,      /* conv, zeros around */
    VLM_TAMING_BLOCK,     /* norm1, conv1, norm2, conv2, and nin_shortcut where in and out differ */
    VLM_TAMING_ATTENTION, /* norm, q, k, v, proj_out */
    VLM_TAMING_DOWN,      /* conv of stride 2, zeros on the right and below */
    VLM_TAMING_MEAN,      /* no parts */
    VLM_TAMING_UP,        /* pixels doubled, then conv */
    VLM_TAMING_OUT,       /* norm with SiLU, conv */
};

struct vlm_taming_layer {
    enum vlm_taming_type type;
    size_t side; /* rows and columns of the result */
    size_t parts;
    struct vlm_taming_part part[VLM_TAMING_PARTS];
};

struct vlm_taming_tensor {
    char name[VLM_TAMING_NAME_SIZE + 8];
    unsigned rank;
    size_t shape[4]; /* as PyTorch has it */
};

struct vlm_taming_graph {
    struct vlm_taming_layer *layers; /* the encoder's, then the decoder's */
    size_t encoder_layers, count;
    struct vlm_taming_tensor *tensors; /* of all layers in order; the codebook is not among them */
    size_t tensor_count;
};

/* Checks every number and word; refuses keys it does not know. */
VLM_MUST_CHECK int vlm_taming_shape_read(struct vlm_taming_shape *shape, json_object *architecture,
                                         struct vlm_err *err);

/* The same object as text. */
void vlm_taming_shape_write(const struct vlm_taming_shape *shape, struct vlm_buffer *out);

/* VLM_EFORMAT for a shape that has no graph (channels that 32 groups do not divide ...), VLM_ELIMIT for
 * one of too many numbers. */
VLM_MUST_CHECK int vlm_taming_graph_init(struct vlm_taming_graph *graph,
                                         const struct vlm_taming_shape *shape, struct vlm_err *err);
void vlm_taming_graph_release(struct vlm_taming_graph *graph); /* safe on a zeroed struct */

/* Floating-point operations of the convolutions, projections and attention of one image: direct
 * convolution, a multiply-add is two. The code search is not in it. */
double vlm_taming_encode_operations(const struct vlm_taming_graph *graph);
double vlm_taming_decode_operations(const struct vlm_taming_graph *graph);

#endif
