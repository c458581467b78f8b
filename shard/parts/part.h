/* part.h - writing one part: an LMDB file in key order, the same bytes for the same records.
 *
 * Databases: docs (ordinal -> document), images (SHA-256 -> image), codes/ID for each tokenizer
 * (SHA-256 -> codes), urls (key of the URL and ordinal -> nothing), meta (format, configuration,
 * counts). schemas/part.md describes them. */
#ifndef VLM_SHARD_PART_H
#define VLM_SHARD_PART_H

#include "shard/parts/manifest.h"

/* Format of parts; readers refuse what they do not know. */
#define VLM_PART_FORMAT "vlm-part 2"

struct vlm_part;

/* A new file at path (replaced if it is there). shard_bytes sets the size of the map, tokenizers the
 * databases of codes. */
VLM_MUST_CHECK int vlm_part_create(struct vlm_part **out, const char *path, uint64_t shard_bytes,
                                   const struct vlm_set_tokenizers *tokenizers,
                                   struct vlm_err *err);

/* Documents in their order; then images by ascending SHA-256, each followed by its codes, in the order of
 * the tokenizers; then URLs by ascending (key, ordinal); then
 * meta. */
VLM_MUST_CHECK int vlm_part_add_document(struct vlm_part *part, const void *bytes, size_t size,
                                         struct vlm_err *err);
VLM_MUST_CHECK int vlm_part_add_image(struct vlm_part *part, const uint8_t sha256[VLM_SHA256_SIZE],
                                      const void *bytes, size_t size, struct vlm_err *err);
VLM_MUST_CHECK int vlm_part_add_codes(struct vlm_part *part, size_t tokenizer,
                                      const uint8_t sha256[VLM_SHA256_SIZE],
                                      const uint16_t codes[VLM_CODES], struct vlm_err *err);
VLM_MUST_CHECK int vlm_part_add_url(struct vlm_part *part, const struct vlm_key *url,
                                    uint64_t ordinal, struct vlm_err *err);
/* All of meta: tokenizers with the numbers of this part; from, the SHA-256 of the part that this one was
 * made of, or NULL. */
VLM_MUST_CHECK int vlm_part_add_facts(struct vlm_part *part, uint64_t documents, uint64_t images,
                                      const void *plan, size_t plan_size,
                                      const struct vlm_set_tokenizers *tokenizers,
                                      const uint8_t from[VLM_SHA256_SIZE], struct vlm_err *err);

/* Commits, syncs and closes; NULL is fine. On failure the file is worthless. */
VLM_MUST_CHECK int vlm_part_finish(struct vlm_part *part, struct vlm_err *err);
void vlm_part_abandon(struct vlm_part *part);

#endif
