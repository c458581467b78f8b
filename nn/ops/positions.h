/* positions.h - where a token stands: rotations of queries and keys, and tables of sinusoids.
 *
 *   qkv = vlm_rotary(tape, qkv, &(struct vlm_rotary){      // q and k of a tensor [rows, q | k | v]
 *       .heads = heads + kv_heads, .head_size = 64, .base = 10000, .positions = positions });
 *
 *   vlm_sinusoids(table, 1024, 512, 0, VLM_SINUSOID_INTERLEAVED);   // then look up or add
 *
 * Learned positions are an embedding (embedding.h) with positions as ids. */
#ifndef VLM_NN_POSITIONS_H
#define VLM_NN_POSITIONS_H

#include "nn/tape.h"

/* Which two numbers of a head are turned together. Weights are trained for one of them. */
enum vlm_rotary_pairs {
    VLM_ROTARY_HALVES,      /* i and i + pairs: GPT-NeoX, Llama as Hugging Face stores it */
    VLM_ROTARY_INTERLEAVED, /* 2 i and 2 i + 1: the paper, GPT-J, Llama as Meta stores it */
};

struct vlm_rotary {
    size_t col;              /* first column of the first head */
    size_t heads, head_size; /* heads side by side, of q and k alike */
    size_t turned; /* numbers of a head that are turned, even, from its first; 0: head_size */
    enum vlm_rotary_pairs pairs;
    double base;               /* 10000 in the paper */
    const uint32_t *positions; /* [rows], until the backward pass is over */
    const float *table;        /* of vlm_rotary_table() with more rows than positions, or NULL:
                                  cosines and sines are computed for each row */
};

/* x [rows, cols] -> y, the same with the heads' pairs (a, b) turned by m t_i, where m is the row's
 * position and t_i = base^(-2 i / turned) for pair i (Su et al. 2021, "RoFormer", equations 15 and
 * 34): (a cos - b sin, b cos + a sin). Other columns are copied. Backward turns the other way. */
struct vlm_tensor *vlm_rotary(struct vlm_tape *tape, struct vlm_tensor *x,
                              const struct vlm_rotary *rotary);

/* table[positions][turned]: cosines of all pairs, then sines. */
void vlm_rotary_table(float *table, size_t positions, size_t turned, double base);

enum vlm_sinusoid {
    /* Vaswani et al. 2017, section 3.5: column 2 i is sin(m t_i), column 2 i + 1 is cos(m t_i),
     * t_i = 10000^(-2 i / cols). */
    VLM_SINUSOID_INTERLEAVED,
    /* fairseq and tensor2tensor: a block of sines, then a block of cosines,
     * t_i = 10000^(-i / (cols / 2 - 1)); the last of an odd number of columns is 0. */
    VLM_SINUSOID_BLOCKS,
};

/* table[rows][cols] for m = first, first + 1, ... (fairseq begins at padding index + 1 = 2). */
void vlm_sinusoids(float *table, size_t rows, size_t cols, size_t first, enum vlm_sinusoid kind);

#endif
