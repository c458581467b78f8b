/* common.c - coders for all threads, which several verbs of vlm-vqgan need. */
#include "base/vlm.h"

#include "tools/vqgan/vqgan.h"

#include "nn/pool.h"

static int open_coders(struct vlm_coders *coders, size_t threads, struct vlm_err *err)
{
    struct vlm_pool *pool = NULL;
    int rc = vlm_pool_new(&pool, threads, err); /* knows how many cores there are */
    coders->count = rc == VLM_OK ? vlm_pool_threads(pool) : 0;
    vlm_pool_free(pool);
    coders->coder = calloc(coders->count + 1, sizeof(*coders->coder));
    if (rc == VLM_OK && !coders->coder)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu threads", coders->count);
    for (size_t i = 0; rc == VLM_OK && i < coders->count; i++)
        rc = vlm_coder_new(&coders->coder[i], coders->tokenizer, 1, err);
    return rc;
}

int vlm_coders_open(struct vlm_coders *coders, const char *model, enum vlm_precision precision,
                    size_t threads, struct vlm_err *err)
{
    *coders = (struct vlm_coders){ 0 };
    int rc = vlm_tokenizer_open(&coders->tokenizer, model, precision, err);
    if (rc == VLM_OK)
        rc = open_coders(coders, threads, err);
    if (rc != VLM_OK)
        vlm_coders_close(coders);
    return rc;
}

void vlm_coders_close(struct vlm_coders *coders)
{
    for (size_t i = 0; coders->coder && i < coders->count; i++)
        vlm_coder_free(coders->coder[i]);
    free(coders->coder);
    vlm_tokenizer_close(coders->tokenizer);
    *coders = (struct vlm_coders){ 0 };
}
