/* all.h - the bodies of all kernels, for the one file that compiles them for one kind of CPU. */
#ifndef VLM_NN_ALL_H
#define VLM_NN_ALL_H

#include "nn/kernels/kernels.h"

#include "nn/kernels/gemm_body.h"
/* The others stand on gemm_body.h. */
#include "nn/kernels/attention_body.h"
#include "nn/kernels/conv_body.h"
#include "nn/kernels/int8_body.h"
#include "nn/kernels/loss_body.h"
#include "nn/kernels/row_body.h"
#include "nn/kernels/update_body.h"

#define VLM_KERNELS_TABLE(cpu)                                                                     \
    {                                                                                              \
        .name = (cpu), .gemm = &gemm_kernels, .attention = &attention_kernels,                     \
        .conv = &conv_kernels, .int8 = &int8_kernels, .loss = &loss_kernels, .rows = &row_kernels, \
        .update = &update_kernels                                                                  \
    }

#endif
