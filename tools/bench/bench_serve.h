/* bench_serve.h - `vlm-serve --bench`: how fast the model of a folder is on this machine. */
#ifndef VLM_TOOLS_BENCH_SERVE_H
#define VLM_TOOLS_BENCH_SERVE_H

#include "serve/run/serve_options.h"

/* Measures, and prints the result on standard output. */
VLM_MUST_CHECK int vlm_serve_bench(const struct vlm_serve_options *options, struct vlm_err *err);

#endif
