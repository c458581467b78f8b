/* layer_llama.c - the transformer layer of Llama: RMS norms, a gated feed-forward part, biases only on
 * request. */
#include "base/vlm.h"

#include "models/blocks/block_internal.h"
#include "nn/ops/activation.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

enum {
    NORM1_WEIGHT,
    QKV_WEIGHT,
    QKV_BIAS,
    OUT_WEIGHT,
    OUT_BIAS,
    NORM2_WEIGHT,
    GATE_WEIGHT,
    GATE_BIAS,
    UP_WEIGHT,
    UP_BIAS,
    DOWN_WEIGHT,
    DOWN_BIAS,
};

static const struct vlm_entry entries[] = {
    [NORM1_WEIGHT] = { "norm1.weight", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ONES, VLM_BIAS_NONE },
    [QKV_WEIGHT] = { "attention.qkv.weight", VLM_DIM_QKV, VLM_DIM_WIDTH, VLM_FILL_NORMAL,
                     VLM_BIAS_NONE },
    [QKV_BIAS] = { "attention.qkv.bias", VLM_DIM_NONE, VLM_DIM_QKV, VLM_FILL_ZEROS,
                   VLM_BIAS_ATTENTION },
    [OUT_WEIGHT] = { "attention.out.weight", VLM_DIM_WIDTH, VLM_DIM_HEADS, VLM_FILL_RESIDUAL,
                     VLM_BIAS_NONE },
    [OUT_BIAS] = { "attention.out.bias", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ZEROS,
                   VLM_BIAS_ATTENTION },
    [NORM2_WEIGHT] = { "norm2.weight", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ONES, VLM_BIAS_NONE },
    [GATE_WEIGHT] = { "mlp.gate.weight", VLM_DIM_HIDDEN, VLM_DIM_WIDTH, VLM_FILL_NORMAL,
                      VLM_BIAS_NONE },
    [GATE_BIAS] = { "mlp.gate.bias", VLM_DIM_NONE, VLM_DIM_HIDDEN, VLM_FILL_ZEROS,
                    VLM_BIAS_HIDDEN },
    [UP_WEIGHT] = { "mlp.up.weight", VLM_DIM_HIDDEN, VLM_DIM_WIDTH, VLM_FILL_NORMAL,
                    VLM_BIAS_NONE },
    [UP_BIAS] = { "mlp.up.bias", VLM_DIM_NONE, VLM_DIM_HIDDEN, VLM_FILL_ZEROS, VLM_BIAS_HIDDEN },
    [DOWN_WEIGHT] = { "mlp.down.weight", VLM_DIM_WIDTH, VLM_DIM_HIDDEN, VLM_FILL_RESIDUAL,
                      VLM_BIAS_NONE },
    [DOWN_BIAS] = { "mlp.down.bias", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ZEROS, VLM_BIAS_HIDDEN },
};

static struct vlm_tensor *product(struct vlm_tape *tape, struct vlm_tensor *x, struct vlm_tensor *t,
                                  size_t weight, struct vlm_tensor *residual)
{
    return vlm_linear(tape, x,
                      &(struct vlm_linear){ .weight = &t[weight],
                                            .bias = vlm_block_optional(&t[weight + 1]),
                                            .residual = residual });
}

/* Touvron et al. 2023, "LLaMA", section 2.2:
 *
 *     x = x + out(attention(qkv(norm1(x))))
 *     x = x + down(silu(gate(norm2(x))) up(norm2(x)))
 */
static struct vlm_tensor *forward(struct vlm_tape *tape, struct vlm_tensor *x, const void *argument)
{
    const struct vlm_layer_call *call = argument;
    const float epsilon = call->sizes->norm_epsilon;
    struct vlm_tensor *t = call->tensors;

    struct vlm_tensor *y = vlm_rmsnorm_operand(tape, x, &t[NORM1_WEIGHT], epsilon);
    y = vlm_block_attend(tape, product(tape, y, t, QKV_WEIGHT, NULL), call);
    x = product(tape, y, t, OUT_WEIGHT, x);

    y = vlm_rmsnorm_operand(tape, x, &t[NORM2_WEIGHT], epsilon);
    struct vlm_tensor *gate = product(tape, y, t, GATE_WEIGHT, NULL);
    struct vlm_tensor *up = product(tape, y, t, UP_WEIGHT, NULL);
    return product(tape, vlm_swiglu(tape, gate, up), t, DOWN_WEIGHT, x);
}

static struct vlm_tensor *norm(struct vlm_tape *tape, struct vlm_tensor *x,
                               struct vlm_tensor *weight, struct vlm_tensor *bias, float epsilon)
{
    (void)bias;
    return vlm_rmsnorm_operand(tape, x, weight, epsilon);
}

const struct vlm_layer_kind vlm_layer_llama = {
    .name = "llama",
    .entries = entries,
    .n_entries = VLM_COUNTOF(entries),
    .forward = forward,
    .norm = norm,
    .norm_bias = false,
    .activation = VLM_SILU,
    .gated = true,
};
