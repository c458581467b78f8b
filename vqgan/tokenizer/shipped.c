/* shipped.c - vqgan/shipped/ inside of the program: no path to find, nothing to install. */
#include "base/vlm.h"

#include "vqgan/tokenizer/shipped.h"

#define INCLUDE_FILE(symbol, path)                                                                 \
    __asm__(".pushsection .rodata\n.balign 64\n" #symbol ":\n.incbin \"" path "\"\n" #symbol       \
            "_end:\n.balign 8\n" #symbol "_size:\n.quad " #symbol "_end - " #symbol                \
            "\n.popsection\n");                                                                    \
    extern const uint8_t symbol[] __attribute__((visibility("hidden")));                           \
    extern const uint64_t symbol##_size __attribute__((visibility("hidden")))

INCLUDE_FILE(vlm_shipped_config_file, "vqgan/shipped/config.json");
INCLUDE_FILE(vlm_shipped_weights_file, "vqgan/shipped/model.safetensors");

struct vlm_shipped vlm_shipped_config(void)
{
    return (struct vlm_shipped){ vlm_shipped_config_file, vlm_shipped_config_file_size };
}

struct vlm_shipped vlm_shipped_weights(void)
{
    return (struct vlm_shipped){ vlm_shipped_weights_file, vlm_shipped_weights_file_size };
}
