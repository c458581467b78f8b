/* preset.c - sizes with names.
 *
 * tiny, mini and small are ours, for CPUs: with the shipped tokenizers (8192 pieces and control tokens, 1024
 * codes, tied) they have 1.8, 6.3 and 24 million numbers. From base on the shapes are those of GPT-3 (Brown
 * et al. 2020, table 2.1), with heads of whole sizes as metaseq has them
 * (metaseq/launcher/opt_job_constants.py: layers, width, heads, batch, learning rate of "8m" to "13b"); CM3
 * trained its 2.7b and 13b (Aghajanyan et al. 2022, table 10) with other batches: 8 sequences on each GPU.
 *
 * A block of CM3 holds at least an image, begin and end, and 16 masks of 3 tokens: 306. */
#include "base/vlm.h"

#include "models/recipe/preset.h"

static const struct vlm_preset presets[] = {
    { "tiny", 3, 128, 4, 512, 512, 4096, 1e-3, "ours; learning rate of metaseq's 8m" },
    { "mini", 5, 256, 8, 1024, 512, 8192, 1e-3, "ours; learning rate of metaseq's 8m" },
    { "small", 6, 512, 8, 2048, 1024, 16384, 6e-4, "ours; learning rate of metaseq's 125m" },
    { "base", 12, 768, 12, 3072, 1024, 524288, 6e-4, "GPT-2; batch, learning rate: 125m" },
    { "350m", 24, 1024, 16, 4096, 2048, 524288, 3e-4, "GPT-3, metaseq" },
    { "760m", 24, 1536, 16, 6144, 2048, 524288, 2.5e-4, "GPT-3, metaseq" },
    { "1.3b", 24, 2048, 32, 8192, 2048, 1048576, 2e-4, "GPT-3, metaseq" },
    { "2.7b", 32, 2560, 32, 10240, 2048, 3932160, 1.6e-4, "CM3 medium: 240 GPUs; metaseq" },
    { "6.7b", 32, 4096, 32, 16384, 2048, 2097152, 1.2e-4, "GPT-3, metaseq" },
    { "13b", 40, 5120, 40, 20480, 2048, 6291456, 1e-4, "CM3 large: 384 GPUs; metaseq" },
};

const struct vlm_preset *vlm_preset_find(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(presets); i++)
        if (!strcmp(presets[i].name, name))
            return &presets[i];
    return NULL;
}

const struct vlm_preset *vlm_preset_at(size_t i)
{
    return i < VLM_COUNTOF(presets) ? &presets[i] : NULL;
}

const char *vlm_preset_names(char out[VLM_PRESET_NAMES_SIZE])
{
    size_t used = 0;
    for (size_t i = 0; i < VLM_COUNTOF(presets); i++) {
        used += (size_t)snprintf(out + used, VLM_PRESET_NAMES_SIZE - used, "%s%s", i ? ", " : "",
                                 presets[i].name);
        VLM_BUG_IF(used >= VLM_PRESET_NAMES_SIZE);
    }
    return out;
}
