/* join.h - which image of the crawl each <img> shows, and which documents are duplicates: sorts over
 * the indexes of all units, with memory bounded by the caller.
 *
 * References and captures are sorted by the key of their URL and merged. A redirect or revisit gives a
 * new reference that is sorted again, at most VLM_REDIRECTS_MAX times. The result is a pure function
 * of the units' content. */
#ifndef VLM_SHARD_JOIN_H
#define VLM_SHARD_JOIN_H

#include "base/sorter.h"
#include "shard/parts/stored.h"
#include "shard/units/unit.h"

/* What was found for one candidate of one image of one document. */
struct vlm_verdict {
    uint64_t document; /* number over all units, in their order */
    uint16_t image;
    bool found;
    struct vlm_join_result result;
    uint32_t unit; /* where its stored image is; size 0: not stored */
    uint64_t position;
    uint32_t size;
};

struct vlm_join {
    struct vlm_sorter *drops;    /* numbers of documents with a newer capture of their URL */
    struct vlm_sorter *verdicts; /* by document, image, candidate */
    struct vlm_sorter *images;   /* all stored images, by SHA-256 */
    uint64_t n_documents;
};

/* Reads the index of every unit file (units: their paths) and sorts everything. */
VLM_MUST_CHECK int vlm_join_run(struct vlm_join *join, char *const *units, size_t n_units,
                                uint64_t plan, size_t memory, const char *folder,
                                struct vlm_err *err);

/* The next dropped document number, ascending; the next verdict. VLM_OK or VLM_EOF. */
VLM_MUST_CHECK int vlm_join_next_drop(struct vlm_join *join, uint64_t *document,
                                      struct vlm_err *err);
VLM_MUST_CHECK int vlm_join_next_verdict(struct vlm_join *join, struct vlm_verdict *verdict,
                                         struct vlm_err *err);

/* SHA-256 of the next stored image, one for each capture of it, in order. */
VLM_MUST_CHECK int vlm_join_next_image(struct vlm_join *join, uint8_t sha256[VLM_SHA256_SIZE],
                                       struct vlm_err *err);
void vlm_join_release(struct vlm_join *join);

#endif
