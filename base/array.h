/* array.h - room in arrays that grow.
 *
 *   if (!vlm_array_reserve(&list->items, &list->capacity, list->n, 1, sizeof(*list->items)))
 *       return vlm_fail(err, VLM_ENOMEM, "no memory for %zu items", list->n + 1);
 *   list->items[list->n++] = item;
 *
 * One owner, no threads; the owner frees the array. Bytes are better off in a struct vlm_buffer. */
#ifndef VLM_BASE_ARRAY_H
#define VLM_BASE_ARRAY_H

#include "base/vlm.h"

/* Room for `more` elements of `size` bytes behind the first n. array is the address of the pointer to
 * them, NULL at first; it moves, and *capacity (elements, 0 at first) grows by half at least. False when
 * memory ran out: all is as before then. */
VLM_MUST_CHECK bool vlm_array_reserve(void *array, size_t *capacity, size_t n, size_t more,
                                      size_t size);

#endif
