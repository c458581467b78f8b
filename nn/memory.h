/* memory.h - large blocks of one lifetime: the activations of a step, its gradients, scratch.
 *
 *   struct vlm_memory memory;
 *   int rc = vlm_memory_init(&memory, bytes, 0, &err);
 *   size_t mark = vlm_memory_mark(&memory);
 *   float *x = vlm_memory_take(&memory, rows, cols * sizeof(float));
 *   vlm_memory_return(&memory, mark);      // x and all taken after the mark are gone
 *   vlm_memory_release(&memory);
 *
 * A stack over address space that is reserved whole and filled by the system as it is touched, in
 * huge pages where the system has them. With VLM_MEMORY_COUNT nothing is reserved: pointers are only
 * numbers, must not be followed, and `peak` says what a real run would use. One owner, no threads. */
#ifndef VLM_NN_MEMORY_H
#define VLM_NN_MEMORY_H

#include "base/vlm.h"

enum { VLM_MEMORY_ALIGN = 64 }; /* a cache line, and the widest vector */

enum vlm_memory_flags { VLM_MEMORY_COUNT = 1 };

struct vlm_memory {
    char *base;
    size_t used, peak, cap; /* bytes */
    unsigned flags;
};

/* Reserves cap bytes of address space. VLM_ENOMEM when the system refuses. */
VLM_MUST_CHECK int vlm_memory_init(struct vlm_memory *memory, size_t cap, unsigned flags,
                                   struct vlm_err *err);

/* count * size bytes aligned to VLM_MEMORY_ALIGN, not cleared. NULL when that overflows or exceeds
 * the cap. A product of 0 gives a pointer. */
void *vlm_memory_take(struct vlm_memory *memory, size_t count, size_t size);

/* The top of the stack now, for vlm_memory_return(). */
size_t vlm_memory_mark(const struct vlm_memory *memory);

/* Gives back everything taken since the mark. */
void vlm_memory_return(struct vlm_memory *memory, size_t mark);

/* Gives the address space back. Safe on a zeroed struct. */
void vlm_memory_release(struct vlm_memory *memory);

#endif
