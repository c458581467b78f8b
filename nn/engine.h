/* engine.h - what computes: the threads, the kernels of this CPU, and who multiplies matrices.
 *
 *   struct vlm_engine engine;
 *   int rc = vlm_engine_init(&engine, threads, VLM_GEMM_AUTO, &err);
 *   ... vlm_tape_init(&tape, &engine, ...), vlm_gemm(&engine, ...) ...
 *   vlm_engine_release(&engine);
 *
 * Kernels are chosen when the engine is made: the best that the CPU has, or, for tests and
 * comparisons, the one that the environment variable VLM_CPU names (plain, avx2, avx512,
 * avx512-vnni, avx512-bf16), as long as the CPU has it. */
#ifndef VLM_NN_ENGINE_H
#define VLM_NN_ENGINE_H

#include "nn/kernels/kernels.h"
#include "nn/pool.h"

enum vlm_gemm_backend {
    VLM_GEMM_AUTO, /* own where there is a kernel for the CPU (AVX2 or better), else OpenBLAS */
    VLM_GEMM_OWN,
    VLM_GEMM_OPENBLAS, /* fp32 only; products in bf16 are still ours */
};

struct vlm_engine {
    struct vlm_pool *pool;
    const struct vlm_kernels *kernels;
    enum vlm_gemm_backend backend; /* never AUTO after init */
};

/* threads as in vlm_pool_new(). VLM_EUSAGE when VLM_CPU names kernels that are unknown or that this
 * CPU cannot run. */
VLM_MUST_CHECK int vlm_engine_init(struct vlm_engine *engine, size_t threads,
                                   enum vlm_gemm_backend backend, struct vlm_err *err);
void vlm_engine_release(struct vlm_engine *engine); /* safe on a zeroed struct */

/* For mains, before anything else: runs the program again without the threads that OpenBLAS starts when
 * it is loaded. They block no signal, so one of them would take, and die of, a signal that the program
 * has blocked to wait for it; and they would outlive a fork. Returns when there are none. */
void vlm_engine_without_blas_threads(char **argv);

#endif
