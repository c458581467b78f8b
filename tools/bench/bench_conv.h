/* bench_conv.h - the rates of convolution on the shapes of image tokenizers.
 *
 *   struct vlm_bench_conv row[VLM_BENCH_CONV_MAX];
 *   size_t n;
 *   int rc = vlm_bench_conv(row, &n, &engine, VLM_F32, &err);
 *   if (rc == VLM_OK)
 *       vlm_bench_conv_print(stdout, row, n);
 *
 * GFLOP/s count the multiplications of the direct sum, whatever the method does: Winograd can be above
 * the machine's peak. A backward pass is the gradients by input, weights and bias, so twice the work. */
#ifndef VLM_TOOLS_BENCH_CONV_H
#define VLM_TOOLS_BENCH_CONV_H

#include "nn/ops/conv2d.h"

enum { VLM_BENCH_CONV_MAX = 16, VLM_BENCH_CONV_METHODS = 3 };

struct vlm_bench_conv {
    const char *shape;
    double peak; /* GFLOP/s of multiply-adds in registers, all threads, before or after */
    /* GFLOP/s by method: direct, Winograd F(2 x 2), F(4 x 4); 0 where it does not apply. */
    double forward[VLM_BENCH_CONV_METHODS], backward[VLM_BENCH_CONV_METHODS];
};

/* Fills rows and their number. Takes about ten seconds on two threads. */
VLM_MUST_CHECK int vlm_bench_conv(struct vlm_bench_conv rows[VLM_BENCH_CONV_MAX], size_t *n,
                                  const struct vlm_engine *engine, enum vlm_dtype precision,
                                  struct vlm_err *err);

/* A table with percentages of the peak. */
void vlm_bench_conv_print(FILE *to, const struct vlm_bench_conv *rows, size_t n);

#endif
