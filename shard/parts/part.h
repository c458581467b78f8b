/* part.h - writing one part: an LMDB file in key order, the same bytes for the same records.
 *
 * Databases: docs (ordinal -> document), images (SHA-256 -> image), urls (key of the URL and ordinal ->
 * nothing), meta (format, configuration, counts). schemas/part.md describes them. */
#ifndef VLM_SHARD_PART_H
#define VLM_SHARD_PART_H

#include "base/hash.h"

/* Format of parts; readers refuse what they do not know. */
#define VLM_PART_FORMAT "vlm-part 1"

struct vlm_part;

/* A new file at path (replaced if it is there). shard_bytes sets the size of the map. */
VLM_MUST_CHECK int vlm_part_create(struct vlm_part **out, const char *path, uint64_t shard_bytes,
                                   struct vlm_err *err);

/* Documents in their order; then images by ascending SHA-256; then URLs by ascending (key, ordinal); then
 * meta by ascending name. */
VLM_MUST_CHECK int vlm_part_add_document(struct vlm_part *part, const void *bytes, size_t size,
                                         struct vlm_err *err);
VLM_MUST_CHECK int vlm_part_add_image(struct vlm_part *part, const uint8_t sha256[VLM_SHA256_SIZE],
                                      const void *bytes, size_t size, struct vlm_err *err);
VLM_MUST_CHECK int vlm_part_add_url(struct vlm_part *part, const struct vlm_key *url,
                                    uint64_t ordinal, struct vlm_err *err);
VLM_MUST_CHECK int vlm_part_add_meta(struct vlm_part *part, const char *name, const void *bytes,
                                     size_t size, struct vlm_err *err);

/* Commits, syncs and closes; NULL is fine. On failure the file is worthless. */
VLM_MUST_CHECK int vlm_part_finish(struct vlm_part *part, struct vlm_err *err);
void vlm_part_abandon(struct vlm_part *part);

#endif
