/* shipped.c - vqgan/shipped/ inside of the program. */
#include "base/vlm.h"

#include "base/include_file.h"
#include "vqgan/tokenizer/shipped.h"

VLM_INCLUDE_FILE(vlm_shipped_config_file, "vqgan/shipped/config.json");
VLM_INCLUDE_FILE(vlm_shipped_weights_file, "vqgan/shipped/model.safetensors");

struct vlm_shipped vlm_shipped_config(void)
{
    return (struct vlm_shipped){ vlm_shipped_config_file,
                                 VLM_INCLUDED_SIZE(vlm_shipped_config_file) };
}

struct vlm_shipped vlm_shipped_weights(void)
{
    return (struct vlm_shipped){ vlm_shipped_weights_file,
                                 VLM_INCLUDED_SIZE(vlm_shipped_weights_file) };
}
