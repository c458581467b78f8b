/* bench_shape.h - models of GPT-2's form, as the peers have them: "6x512" is 6 layers of width 512, in heads of 64. */
#ifndef VLM_TOOLS_BENCH_SHAPE_H
#define VLM_TOOLS_BENCH_SHAPE_H

#include "models/model/model.h"

/* VLM_EUSAGE: text is no LAYERSxWIDTH, with a sentence about '--shape'. */
VLM_MUST_CHECK int vlm_bench_shape(struct vlm_model_config *config, const char *text,
                                   size_t vocabulary, size_t context, struct vlm_err *err);

#endif
