/* train.c - which training a kind of tokenizer has. */
#include "base/vlm.h"

#include "vqgan/train/train.h"

int vlm_train_run(const struct vlm_pictures *pictures, const struct vlm_train_options *options,
                  struct vlm_buffer *report, struct vlm_err *err)
{
    if (!pictures->train)
        return vlm_fail(err, VLM_EFORMAT, "there is no picture to learn from");
    return options->kind == VLM_TRAIN_PCA ? vlm_train_pca(pictures, options, report, err)
                                          : vlm_train_vq(pictures, options, report, err);
}
