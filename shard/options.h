/* options.h - what vlm-shard build can be told, and what of it decides the content of a shard set. */
#ifndef VLM_SHARD_OPTIONS_H
#define VLM_SHARD_OPTIONS_H

#include "base/vlm.h"
#include "vqgan/tokenizer/tokenizer.h"

enum vlm_profile { VLM_PROFILE_NONE, VLM_PROFILE_M3W, VLM_PROFILE_OBELICS };
#define VLM_PROFILE_WORDS "none|m3w|obelics"
enum vlm_keep { VLM_KEEP_NONE, VLM_KEEP_SQUARE, VLM_KEEP_ORIGINAL };
#define VLM_KEEP_WORDS "none|square|original"
enum vlm_digest_mode { VLM_DIGEST_COUNT, VLM_DIGEST_STRICT };
#define VLM_DIGEST_WORDS "count|strict"

/* Options that decide the bytes of the parts; they are part of a set's identity. */
struct vlm_content_options {
    int profile; /* vlm_profile */
    int keep;    /* vlm_keep */
    int digest;  /* vlm_digest_mode */
    uint64_t shard_bytes;
    char tokenizer[VLM_TOKENIZER_ID_SIZE]; /* makes codes of images; "": none; set by vlm_build() */
};

enum { VLM_SQUARE_QUALITY = 95 };

struct vlm_build_options {
    struct vlm_content_options content;
    const char *output;
    const char *images; /* second source of image bytes, or NULL */
    const char *model;  /* folder of the image tokenizer; NULL: the shipped one; "none" */
    int64_t threads;    /* worker processes; 0: all cores */
    uint64_t memory;
    const char *max_bad; /* "N" or "P%" */
    int progress;        /* vlm_progress mode */
    bool quiet, verbose, json;
};

/* Thresholds of a profile; none has none. */
struct vlm_profile_rules {
    struct vlm_image_options image;
    uint32_t words_min, images_min, images_max; /* usable images; max 0: any */
};
const struct vlm_profile_rules *vlm_profile_rules(int profile);

#endif
