/* row_body.h - the table of all kernels for rows; they are in the headers included here. */
#ifndef VLM_NN_ROW_BODY_H
#define VLM_NN_ROW_BODY_H

#include "nn/kernels/row_kernels.h"

#include "nn/kernels/sum_body.h"
/* The others stand on sum_body.h. */
#include "nn/kernels/activation_body.h"
#include "nn/kernels/nearest_body.h"
#include "nn/kernels/norm_body.h"
#include "nn/kernels/softmax_body.h"

static void from_bytes(float *y, const uint8_t *x, float divisor, float less, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)x[i] / divisor - less;
}

static const struct vlm_row_kernels row_kernels = {
    .activate = activate,
    .activate_backward = activate_backward,
    .swiglu = swiglu,
    .swiglu_backward = swiglu_backward,
    .add = row_add,
    .multiply = row_multiply,
    .multiply_add = row_multiply_add,
    .scale = row_scale,
    .scale_add = row_scale_add,
    .dot = row_dot,
    .norm = row_length,
    .softmax = softmax,
    .log_softmax = log_softmax,
    .softmax_backward = softmax_backward,
    .log_softmax_backward = log_softmax_backward,
    .log_sum_exp = log_sum_exp,
    .log_sum_exp_columns = log_sum_exp_columns,
    .softmax_both_ways = softmax_both_ways,
    .dropout = dropout,
    .layernorm = layernorm,
    .rmsnorm = rmsnorm,
    .layernorm_backward = layernorm_backward,
    .rmsnorm_backward = rmsnorm_backward,
    .block_max = block_max,
    .score_block = score_block,
    .from_bytes = from_bytes,
};

#endif
