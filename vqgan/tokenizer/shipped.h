/* shipped.h - the files of the tokenizer that is part of the program. */
#ifndef VLM_VQGAN_SHIPPED_H
#define VLM_VQGAN_SHIPPED_H

#include "base/vlm.h"

struct vlm_shipped {
    const uint8_t *bytes;
    size_t size;
};

struct vlm_shipped vlm_shipped_config(void);  /* config.json */
struct vlm_shipped vlm_shipped_weights(void); /* model.safetensors */

#endif
