/* avx512_bf16.c - the kernels for AVX-512 with bf16 dot products, and those of bytes (Zen 4, Cooper Lake, Sapphire
 * Rapids); the Makefile has the flags. */
#include "base/vlm.h"

#include "nn/kernels/kernels.h"

#ifdef __AVX512BF16__
#include "nn/kernels/all.h"

static const struct vlm_kernels table = VLM_KERNELS_TABLE("avx512-bf16");

const struct vlm_kernels *vlm_kernels_avx512_bf16(void)
{
    return &table;
}
#else
const struct vlm_kernels *vlm_kernels_avx512_bf16(void)
{
    return NULL;
}
#endif
