/* choose.c - which kernels this CPU can run. */
#include "base/vlm.h"

#include "nn/kernels/kernels.h"

/* Best first. */
static const struct {
    const char *name;
    const struct vlm_kernels *(*table)(void);
} kind[] = {
    { "avx512-bf16", vlm_kernels_avx512_bf16 },
    { "avx512-vnni", vlm_kernels_avx512_vnni },
    { "avx512", vlm_kernels_avx512 },
    { "avx2", vlm_kernels_avx2 },
    { "plain", vlm_kernels_plain },
};

static bool cpu_has(const char *name)
{
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    if (!strcmp(name, "avx2"))
        return avx2;
    if (!strcmp(name, "avx512"))
        return avx512;
    if (!strcmp(name, "avx512-vnni"))
        return vnni;
    if (!strcmp(name, "avx512-bf16"))
        return vnni && __builtin_cpu_supports("avx512bf16");
#endif
    return !strcmp(name, "plain");
}

const struct vlm_kernels *vlm_kernels_named(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(kind); i++)
        if (!strcmp(kind[i].name, name) && cpu_has(name))
            return kind[i].table();
    return NULL;
}

const struct vlm_kernels *vlm_kernels_best(void)
{
    for (size_t i = 0; i < VLM_COUNTOF(kind); i++)
        if (cpu_has(kind[i].name) && kind[i].table())
            return kind[i].table();
    return vlm_kernels_plain();
}
