/* bench_shape.c - the configuration of a model of GPT-2's form. */
#include "base/vlm.h"

#include "tools/bench/bench_shape.h"

enum { HEAD_SIZE = 64 };

int vlm_bench_shape(struct vlm_model_config *config, const char *text, size_t vocabulary,
                    size_t context, struct vlm_err *err)
{
    unsigned layers = 0, width = 0;
    int used = 0;
    if (sscanf(text, "%4ux%6u%n", &layers, &width, &used) != 2 || text[used] || !layers || !width ||
        (width > HEAD_SIZE && width % HEAD_SIZE))
        return vlm_fail(err, VLM_EUSAGE,
                        "option '--shape': '%s' is not LAYERSxWIDTH with a width that is a "
                        "multiple of %d",
                        text, HEAD_SIZE);
    const size_t heads = width > HEAD_SIZE ? width / HEAD_SIZE : 1;
    *config = (struct vlm_model_config){
        .layer = vlm_layer_find("pre-ln"),
        .sizes = { .width = width,
                   .heads = heads,
                   .kv_heads = heads,
                   .head_size = width / heads,
                   .hidden = 4 * (size_t)width,
                   .activation = VLM_GELU_TANH,
                   .norm_epsilon = 1e-5f,
                   .position = VLM_POSITION_LEARNED },
        .layers = layers,
        .vocabulary = vocabulary,
        .context = context,
        .tied = true,
    };
    return VLM_OK;
}
