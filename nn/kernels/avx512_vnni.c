/* avx512_vnni.c - the kernels for AVX-512 with sums of products of bytes (Cascade Lake, Ice Lake); the Makefile has the flags. */
#include "base/vlm.h"

#include "nn/kernels/kernels.h"

#ifdef __AVX512VNNI__
#include "nn/kernels/all.h"

static const struct vlm_kernels table = VLM_KERNELS_TABLE("avx512-vnni");

const struct vlm_kernels *vlm_kernels_avx512_vnni(void)
{
    return &table;
}
#else
const struct vlm_kernels *vlm_kernels_avx512_vnni(void)
{
    return NULL;
}
#endif
