/* kept.h - bytes by SHA-256, up to a limit of memory: what was not asked for the longest time goes first.
 *
 *   kept = vlm_kept_new(256 * VLM_MIB);
 *   vlm_kept_put(kept, VLM_KEPT_BLOB, sha256, copy, n);            // takes copy over
 *   bytes = vlm_kept_get(kept, VLM_KEPT_BLOB, sha256, &n);         // until the next put
 *   vlm_kept_free(kept);
 *
 * No threads: the owner has a lock. */
#ifndef VLM_SERVE_KEPT_H
#define VLM_SERVE_KEPT_H

#include "base/hash.h"

enum vlm_kept_kind {
    VLM_KEPT_BLOB,    /* the bytes of a file */
    VLM_KEPT_PICTURE, /* what became of them */
};

struct vlm_kept;

struct vlm_kept *vlm_kept_new(size_t bytes_max); /* NULL: no memory */
void vlm_kept_free(struct vlm_kept *kept);       /* NULL is fine */

/* Takes over n bytes from malloc(), whatever the result; the same key again keeps what is there. False: more than
 * there may be in all, or no memory. */
bool vlm_kept_put(struct vlm_kept *kept, enum vlm_kept_kind kind,
                  const uint8_t sha256[VLM_SHA256_SIZE], void *bytes, size_t n);

/* NULL: not there. */
const void *vlm_kept_get(struct vlm_kept *kept, enum vlm_kept_kind kind,
                         const uint8_t sha256[VLM_SHA256_SIZE], size_t *n);

#endif
