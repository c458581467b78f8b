/* attend.c - self-attention as the layers of a trunk use it: positions, the cache, the op. */
#include "base/vlm.h"

#include "models/blocks/block_internal.h"
#include "nn/ops/attention.h"
#include "nn/ops/positions.h"

/* Copies `cols` columns of x that begin at `first` to the rows `places` of a cache. */
static void remember(struct vlm_tensor *cache, const struct vlm_tensor *x, size_t first,
                     const uint32_t *places)
{
    const size_t cols = vlm_tensor_cols(cache), capacity = vlm_tensor_rows(cache);
    const size_t step = vlm_tensor_cols(x);
    for (size_t r = 0; r < vlm_tensor_rows(x); r++) {
        VLM_BUG_IF(places[r] >= capacity);
        memcpy(cache->data + places[r] * cols, x->data + r * step + first, cols * sizeof(float));
    }
}

/* Vaswani et al. 2017, equation 1, and Su et al. 2021 for the turned queries and keys; heads that
 * share keys: Ainslie et al. 2023, "GQA". */
struct vlm_tensor *vlm_block_attend(struct vlm_tape *tape, struct vlm_tensor *qkv,
                                    const struct vlm_layer_call *call)
{
    const struct vlm_sizes *sizes = call->sizes;
    const size_t k_col = sizes->heads * sizes->head_size;
    const size_t v_col = k_col + sizes->kv_heads * sizes->head_size;
    if (sizes->position == VLM_POSITION_ROTARY)
        qkv = vlm_rotary(tape, qkv,
                         &(struct vlm_rotary){ .heads = sizes->heads + sizes->kv_heads,
                                               .head_size = sizes->head_size,
                                               .pairs = VLM_ROTARY_HALVES,
                                               .base = sizes->rotary_base,
                                               .positions = call->rows->positions,
                                               .table = call->rotary_table });
    struct vlm_attention attention = {
        .q = qkv,
        .k = qkv,
        .v = qkv,
        .k_col = k_col,
        .v_col = v_col,
        .heads = sizes->heads,
        .kv_heads = sizes->kv_heads,
        .head_size = sizes->head_size,
        .lo = call->rows->lo,
        .hi = call->rows->hi,
    };
    if (call->cache) {
        VLM_BUG_IF(vlm_tape_records(tape) && qkv->needs_grad);
        if (vlm_tape_runs(tape)) {
            remember(&call->cache->keys, qkv, k_col, call->rows->places);
            remember(&call->cache->values, qkv, v_col, call->rows->places);
        }
        attention.k = &call->cache->keys;
        attention.v = &call->cache->values;
        attention.k_col = attention.v_col = 0;
    }
    return vlm_attention(tape, &attention);
}
