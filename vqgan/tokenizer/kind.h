/* kind.h - what a kind of tokenizer is made of; for the .c files of vqgan/ only.
 *
 * A kind is two functions on the tape between pixels and latents, and a description of its codebook.
 * Everything else (opening, ids, batches, quantisation, bytes) is in tokenizer.c and model.c, once. */
#ifndef VLM_VQGAN_KIND_H
#define VLM_VQGAN_KIND_H

#include "base/json.h"
#include "nn/safetensors.h"
#include "nn/tape.h"
#include "vqgan/tokenizer/tokenizer.h"

/* What a kind's open() gets. All of it is gone when open() returns. */
struct vlm_kind_source {
    const struct vlm_safetensors *file; /* model.safetensors */
    json_object *architecture;          /* of config.json */
    const struct vlm_engine
        *engine; /* to pack weights with; a coder's engine has the same kernels */
    enum vlm_precision precision;
};

struct vlm_kind_codebook {
    struct vlm_tensor table; /* [K, D] fp32, owned by the model; as the decoder wants its rows */
    bool cosine;             /* rows of z are brought to length 1 before the search; table is of
                                length 1 already */
    bool minus_one_to_one;   /* pixels are byte / 127.5 - 1, else byte / 255 */
};

struct vlm_kind {
    const char *name; /* "kind" of config.json and beginning of the id */

    /* Checks the architecture and the tensors before it takes memory for them, loads and packs them
     * into *model, which close() frees. */
    int (*open)(void **model, struct vlm_kind_codebook *codebook,
                const struct vlm_kind_source *source, struct vlm_err *err);
    void (*close)(void *model);

    /* x [1, 256, 256, 3] -> z [1, 16, 16, D] and q [1, 16, 16, D] -> x, on a tape with
     * VLM_TAPE_FORWARD whose precision is that of the tokenizer. Activations may be given back to
     * tape->step on the way. */
    struct vlm_tensor *(*encode)(struct vlm_tape *tape, const void *model, struct vlm_tensor *x);
    struct vlm_tensor *(*decode)(struct vlm_tape *tape, const void *model, struct vlm_tensor *q);
};

extern const struct vlm_kind vlm_kind_pca;
extern const struct vlm_kind vlm_kind_vq_s, vlm_kind_vq_xs; /* vq.c */
extern const struct vlm_kind vlm_kind_taming, vlm_kind_llamagen, vlm_kind_maskgit,
    vlm_kind_chameleon; /* taming.c */

#endif
