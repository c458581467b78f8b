/* attention.h - every query looks at the keys of one interval: softmax(scale Q K^T) V.
 *
 *   uint32_t *lo, *hi;                   // of each row: causal, in a document that began at row b
 *   lo[r] = b, hi[r] = r + 1;                // (they must live until the backward pass is over)
 *   struct vlm_tensor *y = vlm_attention(tape, &(struct vlm_attention){
 *       .q = qkv, .k = qkv, .v = qkv,        // one tensor [rows, 3 d] of a linear layer
 *       .q_col = 0, .k_col = d, .v_col = 2 * d,
 *       .heads = 12, .kv_heads = 12, .head_size = 64, .lo = lo, .hi = hi });
 *
 * Rows are packed tightly, whatever sequences they belong to; the interval says everything about
 * masks: causal, a prefix seen by all, packed documents, padding, the last image before a text, a
 * slot of a cache, and rows that see nothing (lo = hi), whose result is 0.
 *
 * Scores are never stored whole. A row's bits depend on its own q and on the keys it sees only: not
 * on other rows, nor on the number of threads. Keys are taken in blocks of VLM_ATTENTION_KEYS,
 * counted from row 0 of k: a sequence that moves by a multiple of it keeps its bits. (A row that
 * sees a NaN may spread it to rows of the same sequence.) */
#ifndef VLM_NN_ATTENTION_H
#define VLM_NN_ATTENTION_H

#include "nn/tape.h"

enum { VLM_ATTENTION_KEYS = 128, VLM_ATTENTION_HEAD_MAX = 512 };

struct vlm_attention {
    struct vlm_tensor *q, *k,
        *v; /* [R, ...], [S, ...], [S, ...]; one tensor may be several of them */
    size_t q_col, k_col, v_col; /* first column of head 0 in each */
    size_t heads, kv_heads;     /* head h reads keys and values of head h / (heads / kv_heads) */
    size_t head_size;           /* at most VLM_ATTENTION_HEAD_MAX */
    const uint32_t *lo, *hi;    /* [R]: row r sees keys lo[r] <= j < hi[r] <= S; none if lo >= hi */
    float scale;                /* of the scores, not negative; 0: 1 / sqrt(head_size) */
};

/* [R, heads * head_size]. With s = scale q k^T, p = softmax(s), g the gradient by o = p v
 * (Vaswani et al. 2017, "Attention is all you need", equation 1):
 *
 *     dv = p^T g,   ds = p (g v^T - D),  D = sum over columns of g o,   dq = scale ds k,
 *     dk = scale ds^T q
 *
 * Forward in blocks with a running maximum (Milakov and Gimelshein 2018; Rabe and Staats 2021),
 * backward from the saved log-sums (Dao et al. 2022, "FlashAttention", algorithm 4). Columns of the
 * gradients of q, k and v must not overlap. */
struct vlm_tensor *vlm_attention(struct vlm_tape *tape, const struct vlm_attention *attention);

#endif
