/* avx512.c - the kernels for AVX-512 alone (Skylake-X); the Makefile has the flags. */
#include "base/vlm.h"

#include "nn/kernels/kernels.h"

#ifdef __AVX512F__
#include "nn/kernels/all.h"

static const struct vlm_kernels table = VLM_KERNELS_TABLE("avx512");

const struct vlm_kernels *vlm_kernels_avx512(void)
{
    return &table;
}
#else
const struct vlm_kernels *vlm_kernels_avx512(void)
{
    return NULL;
}
#endif
