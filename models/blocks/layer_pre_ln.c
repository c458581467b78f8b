/* layer_pre_ln.c - the transformer layer of GPT-2, and of CM3, which is trained in the same form. */
#include "base/vlm.h"

#include "models/blocks/block_internal.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

enum {
    NORM1_WEIGHT,
    NORM1_BIAS,
    QKV_WEIGHT,
    QKV_BIAS,
    OUT_WEIGHT,
    OUT_BIAS,
    NORM2_WEIGHT,
    NORM2_BIAS,
    UP_WEIGHT,
    UP_BIAS,
    DOWN_WEIGHT,
    DOWN_BIAS,
};

static const struct vlm_entry entries[] = {
    [NORM1_WEIGHT] = { "norm1.weight", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ONES, VLM_BIAS_NONE },
    [NORM1_BIAS] = { "norm1.bias", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ZEROS, VLM_BIAS_NONE },
    [QKV_WEIGHT] = { "attention.qkv.weight", VLM_DIM_QKV, VLM_DIM_WIDTH, VLM_FILL_NORMAL,
                     VLM_BIAS_NONE },
    [QKV_BIAS] = { "attention.qkv.bias", VLM_DIM_NONE, VLM_DIM_QKV, VLM_FILL_ZEROS, VLM_BIAS_NONE },
    [OUT_WEIGHT] = { "attention.out.weight", VLM_DIM_WIDTH, VLM_DIM_HEADS, VLM_FILL_RESIDUAL,
                     VLM_BIAS_NONE },
    [OUT_BIAS] = { "attention.out.bias", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ZEROS,
                   VLM_BIAS_NONE },
    [NORM2_WEIGHT] = { "norm2.weight", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ONES, VLM_BIAS_NONE },
    [NORM2_BIAS] = { "norm2.bias", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ZEROS, VLM_BIAS_NONE },
    [UP_WEIGHT] = { "mlp.up.weight", VLM_DIM_HIDDEN, VLM_DIM_WIDTH, VLM_FILL_NORMAL,
                    VLM_BIAS_NONE },
    [UP_BIAS] = { "mlp.up.bias", VLM_DIM_NONE, VLM_DIM_HIDDEN, VLM_FILL_ZEROS, VLM_BIAS_NONE },
    [DOWN_WEIGHT] = { "mlp.down.weight", VLM_DIM_WIDTH, VLM_DIM_HIDDEN, VLM_FILL_RESIDUAL,
                      VLM_BIAS_NONE },
    [DOWN_BIAS] = { "mlp.down.bias", VLM_DIM_NONE, VLM_DIM_WIDTH, VLM_FILL_ZEROS, VLM_BIAS_NONE },
};

/* Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3:
 *
 *     x = x + out(attention(qkv(norm1(x))))
 *     x = x + down(act(up(norm2(x))))
 */
static struct vlm_tensor *forward(struct vlm_tape *tape, struct vlm_tensor *x, const void *argument)
{
    const struct vlm_layer_call *call = argument;
    const struct vlm_sizes *sizes = call->sizes;
    struct vlm_tensor *t = call->tensors;

    struct vlm_tensor *y =
        vlm_layernorm_operand(tape, x, &t[NORM1_WEIGHT], &t[NORM1_BIAS], sizes->norm_epsilon);
    y = vlm_linear(tape, y, &(struct vlm_linear){ .weight = &t[QKV_WEIGHT], .bias = &t[QKV_BIAS] });
    y = vlm_block_attend(tape, y, call);
    x = vlm_linear(
        tape, y,
        &(struct vlm_linear){ .weight = &t[OUT_WEIGHT], .bias = &t[OUT_BIAS], .residual = x });

    y = vlm_layernorm_operand(tape, x, &t[NORM2_WEIGHT], &t[NORM2_BIAS], sizes->norm_epsilon);
    y = vlm_linear(tape, y,
                   &(struct vlm_linear){ .weight = &t[UP_WEIGHT],
                                         .bias = &t[UP_BIAS],
                                         .activation = sizes->activation });
    return vlm_linear(
        tape, y,
        &(struct vlm_linear){ .weight = &t[DOWN_WEIGHT], .bias = &t[DOWN_BIAS], .residual = x });
}

const struct vlm_layer_kind vlm_layer_pre_ln = {
    .name = "pre-ln",
    .entries = entries,
    .n_entries = VLM_COUNTOF(entries),
    .forward = forward,
    .norm = vlm_layernorm_operand,
    .norm_bias = true,
    .activation = VLM_GELU_TANH,
};
