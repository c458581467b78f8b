/* plain.c - the kernels for any CPU: vectors of four floats, as the compiler can best make them. */
#include "base/vlm.h"

#include "nn/kernels/all.h"

static const struct vlm_kernels table = VLM_KERNELS_TABLE("plain");

const struct vlm_kernels *vlm_kernels_plain(void)
{
    return &table;
}
