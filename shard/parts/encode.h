/* encode.h - a sealed shard set gets the codes of one more image tokenizer.
 *
 *   struct vlm_encode_result result;
 *   rc = vlm_set_encode("out", &(struct vlm_encode_options){ .model = "vq-s" }, NULL, NULL, &result, &err);
 *
 * A set is changed in one way only: old parts are streamed into new ones, and the manifest is replaced.
 * So it is whole at any moment, of the old generation or of the new one. */
#ifndef VLM_SHARD_ENCODE_H
#define VLM_SHARD_ENCODE_H

#include "shard/parts/manifest.h"

struct vlm_encode_options {
    const char *model; /* folder of the tokenizer; NULL: the shipped one */
    enum vlm_precision precision;
    size_t threads; /* each with a coder of its own; 0: all cores */
};

struct vlm_encode_result {
    char id[VLM_TOKENIZER_ID_SIZE];
    bool had_codes;              /* the set has codes of that id: nothing was done */
    uint64_t codes, not_finite;  /* images that have got codes; that could not */
    size_t parts, parts_resumed; /* made by an earlier run that was interrupted */
    int signal;                  /* with VLM_ESTOPPED: that came */
};

/* Tells how far it is, in images. */
typedef void vlm_encode_tell(uint64_t done, uint64_t all, void *context);

/* Adds the codes of every stored image to the set in folder. The parts get other names, that of the next
 * generation; the manifest is replaced last and at once, then the old parts are deleted. Killed anywhere,
 * or with VLM_ESTOPPED (SIGINT or SIGTERM came; they are blocked meanwhile), the same call goes on with
 * the parts that are not made yet. The bytes depend on the set and the tokenizer alone. tell may be NULL.
 * VLM_EFAIL: no shard set, or one without squares (--keep none), or another call works on it. VLM_EDIFFER:
 * a part is damaged; nothing has changed then. */
VLM_MUST_CHECK int vlm_set_encode(const char *folder, const struct vlm_encode_options *options,
                                  vlm_encode_tell *tell, void *context,
                                  struct vlm_encode_result *result, struct vlm_err *err);

#endif
