/* sorter.h - sorting more records than fit in memory, in one fixed order.
 *
 *   rc = vlm_sorter_new(&sorter, sizeof(record), memory, folder, &err);
 *   rc = vlm_sorter_add(sorter, record, &err);            // any number of times
 *   rc = vlm_sorter_sort(sorter, &err);                   // then only next and rewind
 *   while ((rc = vlm_sorter_next(sorter, record, &err)) == VLM_OK) ...
 *
 * Records have one size and are ordered by memcmp over all of it: put the key first and write numbers
 * big-endian. Equal records are equal bytes, so the result depends on content alone. Runs spill into
 * files without a name in folder. One owner, no threads. */
#ifndef VLM_BASE_SORTER_H
#define VLM_BASE_SORTER_H

#include "base/vlm.h"

struct vlm_sorter;

/* memory: bytes for records in memory, at least one record. */
VLM_MUST_CHECK int vlm_sorter_new(struct vlm_sorter **out, size_t record_size, size_t memory,
                                  const char *folder, struct vlm_err *err);
VLM_MUST_CHECK int vlm_sorter_add(struct vlm_sorter *sorter, const void *record,
                                  struct vlm_err *err);
VLM_MUST_CHECK int vlm_sorter_sort(struct vlm_sorter *sorter, struct vlm_err *err);

/* Copies the next record in order. VLM_OK or VLM_EOF. */
VLM_MUST_CHECK int vlm_sorter_next(struct vlm_sorter *sorter, void *record, struct vlm_err *err);

/* Back to the first record. */
VLM_MUST_CHECK int vlm_sorter_rewind(struct vlm_sorter *sorter, struct vlm_err *err);

uint64_t vlm_sorter_count(const struct vlm_sorter *sorter);
void vlm_sorter_free(struct vlm_sorter *sorter);

/* Numbers whose bytes order as they do. */
static inline void vlm_put_big_endian(uint8_t *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static inline uint64_t vlm_get_big_endian(const uint8_t *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}

#endif
