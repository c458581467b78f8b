/* find_document.h - the document of a shard set that an id, or its first digits, names. */
#ifndef VLM_TOOLS_FIND_DOCUMENT_H
#define VLM_TOOLS_FIND_DOCUMENT_H

#include "shard/parts/set.h"

enum { VLM_ID_DIGITS = 32, VLM_ID_DIGITS_MIN = 4 };

/* VLM_EUSAGE unless these are VLM_ID_DIGITS_MIN to VLM_ID_DIGITS digits, small letters, of an id. */
VLM_MUST_CHECK int vlm_id_check(const char *digits, struct vlm_err *err);

/* Whether an id begins with these digits. */
bool vlm_id_begins(const uint8_t id[16], const char *digits);

/* Opens the set in folder and leaves it at the document, which is in arena. A beginning of an id must be
 * that of one document only. *set is the caller's to close, whatever the result. VLM_EUSAGE: id
 * is none; VLM_EFAIL: no document has it, or several. */
VLM_MUST_CHECK int vlm_find_document(struct vlm_set **set, struct vlm_document **document,
                                     const char *folder, const char *id, struct vlm_arena *arena,
                                     struct vlm_err *err);

#endif
