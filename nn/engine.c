/* engine.c - chooses what computes, once for a process or a test. */
#include "base/vlm.h"

#include <cblas.h>
#include <unistd.h>

#include "nn/engine.h"

int vlm_engine_init(struct vlm_engine *engine, size_t threads, enum vlm_gemm_backend backend,
                    struct vlm_err *err)
{
    *engine = (struct vlm_engine){ .kernels = vlm_kernels_best() };
    const char *name = getenv("VLM_CPU");
    if (name && *name) {
        engine->kernels = vlm_kernels_named(name);
        if (!engine->kernels)
            return vlm_fail(
                err, VLM_EUSAGE,
                "VLM_CPU=%s: unknown, or not what this CPU can run (plain, avx2, avx512, "
                "avx512-vnni, avx512-bf16)",
                name);
    }
    if (backend == VLM_GEMM_AUTO)
        backend = strcmp(engine->kernels->name, "plain") ? VLM_GEMM_OWN : VLM_GEMM_OPENBLAS;
    engine->backend = backend;
    /* Our threads share out the tiles; a second set inside each product would fight with them. */
    openblas_set_num_threads(1);
    return vlm_pool_new(&engine->pool, threads, err);
}

void vlm_engine_release(struct vlm_engine *engine)
{
    vlm_pool_free(engine->pool);
    *engine = (struct vlm_engine){ 0 };
}

void vlm_engine_without_blas_threads(char **argv)
{
    const char *threads = getenv("OPENBLAS_NUM_THREADS");
    if (threads && !strcmp(threads, "1"))
        return;
    if (setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0)
        execv("/proc/self/exe", argv); /* where that fails, all goes on as it was */
}
