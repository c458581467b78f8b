/* trace_codes.h - the codes of an image once more, from its record in the crawl. */
#ifndef VLM_TOOLS_TRACE_CODES_H
#define VLM_TOOLS_TRACE_CODES_H

#include "shard/parts/manifest.h"
#include "tokenize/document.h"
#include "tools/inspect/crawl_images.h"

/* Zeroed but for the first two it is ready. One thread. */
struct vlm_trace_codes {
    const char *crawl; /* folder or file */
    const char *model; /* folder of the image tokenizer; NULL: the shipped one */

    struct vlm_crawl_images *images;
    struct vlm_tokenizer *tokenizer;
    struct vlm_coder *coder; /* NULL: the tokenizer is none of the set's */
    struct vlm_arena arena;
    uint8_t sha256[VLM_SHA256_SIZE]; /* of the last image, whose record and codes these are */
    struct vlm_crawl_image record;
    uint16_t codes[VLM_CODES];
    bool found, has_codes;
};

/* Looks for the record of an image with this hash, and, where the tokenizer is the one named id ("": none), tokenises
 * its picture: found, record, has_codes, codes. The first call reads through the crawl. */
VLM_MUST_CHECK int vlm_trace_codes_find(struct vlm_trace_codes *codes,
                                        const uint8_t sha256[VLM_SHA256_SIZE], const char *id,
                                        struct vlm_err *err);
void vlm_trace_codes_release(struct vlm_trace_codes *codes);

#endif
