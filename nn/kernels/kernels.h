/* kernels.h - the inner loops, once for each kind of CPU.
 *
 *   const struct vlm_kernels *kernels = vlm_kernels_best();
 *   kernels->gemm->block_f32(&block);
 *
 * A kernel works on plain memory: it allocates nothing, knows no tape, starts no thread. What is
 * computed and where the formula comes from stands with the op (nn/ops); how it runs fast stands here.
 * Each family has a header with its function table (gemm_kernels.h ...) and a body (gemm_body.h ...)
 * of static functions written with vector.h. avx512_bf16.c, avx512_vnni.c, avx512.c, avx2.c and
 * plain.c include the bodies, each compiled for its CPU: the same source, five times. */
#ifndef VLM_NN_KERNELS_H
#define VLM_NN_KERNELS_H

#include "nn/kernels/attention_kernels.h"
#include "nn/kernels/conv_kernels.h"
#include "nn/kernels/gemm_kernels.h"
#include "nn/kernels/int8_kernels.h"
#include "nn/kernels/loss_kernels.h"
#include "nn/kernels/row_kernels.h"
#include "nn/kernels/update_kernels.h"

struct vlm_kernels {
    const char *name; /* "plain", "avx2", "avx512", "avx512-vnni", "avx512-bf16" */
    const struct vlm_gemm_kernels *gemm;
    const struct vlm_attention_kernels *attention;
    const struct vlm_conv_kernels *conv;
    const struct vlm_int8_kernels *int8;
    const struct vlm_loss_kernels *loss;
    const struct vlm_row_kernels *rows;
    const struct vlm_update_kernels *update;
};

/* The fastest that this CPU can run. */
const struct vlm_kernels *vlm_kernels_best(void);

/* By name; NULL when unknown or this CPU cannot run them. */
const struct vlm_kernels *vlm_kernels_named(const char *name);

/* One of each file; NULL where the compiler does not target that CPU. Call through the two above. */
const struct vlm_kernels *vlm_kernels_plain(void);
const struct vlm_kernels *vlm_kernels_avx2(void);
const struct vlm_kernels *vlm_kernels_avx512(void);
const struct vlm_kernels *vlm_kernels_avx512_vnni(void);
const struct vlm_kernels *vlm_kernels_avx512_bf16(void);

#endif
