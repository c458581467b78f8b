/* ledger.h - the books of a run: every record, page, image and byte that came in is kept or has a
 * reason. The lists of reasons are closed and part of the format.
 *
 *   records in   = sum by type                        (damaged stretches are counted apart)
 *   documents in = kept + sum of skipped by reason    (documents: pages and texts)
 *   images in    = kept + sum of skipped by reason    (images: payloads that are images)
 *   bytes in     = read + damaged
 *   referenced   = sum of references by status        (references: <img> of kept documents)
 */
#ifndef VLM_SHARD_LEDGER_H
#define VLM_SHARD_LEDGER_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/json.h"
#include "tokenize/dump/record.h"
#include "vqgan/image/image.h"

/* Why a page is no document. Numbers are part of the unit format: append only. */
enum vlm_skip {
    VLM_SKIP_HTTP_STATUS,     /* a status that is not 200 */
    VLM_SKIP_EMPTY,           /* no text and no image */
    VLM_SKIP_TOO_LARGE,       /* page over VLM_HTML_MAX, or its document over the memory cap */
    VLM_SKIP_NOT_DECODED,     /* body damaged so that nothing of it could be read */
    VLM_SKIP_OPT_OUT,         /* noai by X-Robots-Tag or <meta name=robots> */
    VLM_SKIP_DUPLICATE_URL,   /* the crawl holds a newer capture of the same URL */
    VLM_SKIP_DIGEST,          /* payload digest differs, with --digest=strict */
    VLM_SKIP_NO_IMAGE,        /* profile m3w, obelics: no usable image */
    VLM_SKIP_TOO_LITTLE_TEXT, /* profile m3w, obelics */
    VLM_SKIPS,
};
const char *vlm_skip_name(enum vlm_skip skip);

/* Why an image payload is not stored, beside vlm_image_status. */
enum vlm_image_skip {
    VLM_IMAGE_SKIP_DUPLICATE = VLM_IMAGE_STATUSES, /* the same bytes again */
    VLM_IMAGE_SKIP_UNREFERENCED,                   /* no kept document uses it */
    VLM_IMAGE_SKIPS,
};
const char *vlm_image_skip_name(unsigned skip); /* statuses too */

struct vlm_ledger {
    uint64_t records[VLM_RECORD_TYPES];
    uint64_t damaged[VLM_DAMAGES];
    uint64_t digests[3]; /* by vlm_digest_state */
    uint64_t documents_in, documents_skipped[VLM_SKIPS];
    uint64_t images_in, images_skipped[VLM_IMAGE_SKIPS];
    uint64_t references[VLM_IMAGE_STATUSES]; /* of kept documents, by what became of them */
    uint64_t bytes_read, bytes_damaged, bytes_decoded;
};

void vlm_ledger_add(struct vlm_ledger *sum, const struct vlm_ledger *more);

/* Fixed layout: every counter as a little-endian u64, in the order of the struct. */
void vlm_ledger_encode(struct vlm_buffer *out, const struct vlm_ledger *ledger);
void vlm_ledger_decode(struct vlm_ledger *ledger, struct vlm_bytes *in);

uint64_t vlm_ledger_records(const struct vlm_ledger *ledger);
uint64_t vlm_ledger_damaged(const struct vlm_ledger *ledger);
uint64_t vlm_ledger_documents_kept(const struct vlm_ledger *ledger);
uint64_t vlm_ledger_images_kept(const struct vlm_ledger *ledger);
uint64_t vlm_ledger_referenced(const struct vlm_ledger *ledger);
uint64_t vlm_ledger_joined(const struct vlm_ledger *ledger); /* found in the crawl, usable or not */

/* Whether a reference with this status was found in the crawl as an image. */
bool vlm_status_is_joined(enum vlm_image_status status);

#endif
