/* deleted.h - pictures that are not to be used any more: those that the deleted.jsonl of some shard sets name, by the
 * SHA-256 of their files, and by their codes where a set has them.
 *
 *   rc = vlm_deleted_new(&deleted, sets, n_sets, "vq-xs-b0ab171131d4", &err);
 *   rc = vlm_deleted_look(deleted, &err);             // at each request
 *   if (vlm_deleted_has_image(deleted, sha256)) ...
 *
 * Any thread may call any function. */
#ifndef VLM_SERVE_DELETED_H
#define VLM_SERVE_DELETED_H

#include "vqgan/tokenizer/tokenizer.h"

struct vlm_deleted;

/* sets: folders, copied. tokenizer: id of the codes that are looked up. Reads nothing but the manifests. VLM_EFAIL,
 * VLM_EFORMAT: a folder that is no shard set. */
VLM_MUST_CHECK int vlm_deleted_new(struct vlm_deleted **out, const char *const *sets, size_t n,
                                   const char *tokenizer, struct vlm_err *err);
void vlm_deleted_free(struct vlm_deleted *deleted); /* NULL is fine */

/* Reads what has changed; costs a stat() a set when nothing has. When a set names images that it did not before,
 * their codes are looked up in its parts, which are checked first (schemas/part.md). VLM_SKIP: all is done, but lines
 * were passed over, with the first. Others: nothing may be used, since what is deleted is not known. */
VLM_MUST_CHECK int vlm_deleted_look(struct vlm_deleted *deleted, struct vlm_err *err);

bool vlm_deleted_has_image(struct vlm_deleted *deleted, const uint8_t sha256[VLM_SHA256_SIZE]);
bool vlm_deleted_has_codes(struct vlm_deleted *deleted, const uint16_t codes[VLM_CODES]);

#endif
