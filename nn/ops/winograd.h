/* winograd.h - 3 x 3 correlation of stride 1 with fewer multiplications; called by correlate.c.
 *
 * F(m x m, 3 x 3), Lavin and Gray 2015: m x m results take (m + 2)^2 multiplications instead of 9 m^2:
 * 2.25 times fewer for m = 2, 4 times fewer for m = 4. The price is rounding: m = 2 is as good as the
 * direct sum (its chains are nine times shorter), m = 4 loses about four bits. */
#ifndef VLM_NN_WINOGRAD_H
#define VLM_NN_WINOGRAD_H

#include "nn/ops/correlate.h"

size_t vlm_winograd_packed_size(const struct vlm_engine *engine, const struct vlm_correlation *job);
size_t vlm_winograd_scratch(const struct vlm_engine *engine, const struct vlm_correlation *job);
void vlm_winograd_pack(const struct vlm_engine *engine, void *packed,
                       const struct vlm_correlation *job, const struct vlm_taps *taps,
                       void *scratch);
void vlm_winograd_run(const struct vlm_engine *engine, const struct vlm_correlation *job,
                      void *scratch);

#endif
