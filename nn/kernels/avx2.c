/* avx2.c - the kernels for AVX2 and FMA (Haswell, Zen and later); the Makefile has the flags. */
#include "base/vlm.h"

#include "nn/kernels/kernels.h"

#ifdef __AVX2__
#include "nn/kernels/all.h"

static const struct vlm_kernels table = VLM_KERNELS_TABLE("avx2");

const struct vlm_kernels *vlm_kernels_avx2(void)
{
    return &table;
}
#else
const struct vlm_kernels *vlm_kernels_avx2(void)
{
    return NULL;
}
#endif
