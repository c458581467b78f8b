/* arena.h - memory with one lifetime: everything of a document, a record, a batch.
 *
 *   struct vlm_arena arena;
 *   vlm_arena_init(&arena, 64 << 20);
 *   char *copy = vlm_arena_copy(&arena, text, n);   // NULL: over the cap
 *   vlm_arena_reset(&arena);                        // copy is gone, the memory stays
 *   vlm_arena_release(&arena);
 *
 * One owner, no threads. Pointers are valid until the next reset or release. */
#ifndef VLM_BASE_ARENA_H
#define VLM_BASE_ARENA_H

#include "base/vlm.h"

struct vlm_arena_block;

struct vlm_arena {
    struct vlm_arena_block *first, *current;
    size_t used; /* bytes handed out since the last reset */
    size_t cap;  /* hard cap on used */
};

/* An empty arena that hands out at most cap bytes between two resets. Allocates nothing yet. */
void vlm_arena_init(struct vlm_arena *arena, size_t cap);

/* count * size bytes, aligned to 16, not cleared. NULL when that overflows, exceeds the cap, or
 * memory ran out: the caller turns NULL into VLM_SKIP or VLM_ELIMIT. A size of 0 gives a pointer.
 */
void *vlm_arena_alloc(struct vlm_arena *arena, size_t count, size_t size);

/* The same, filled with zeros. */
void *vlm_arena_zero(struct vlm_arena *arena, size_t count, size_t size);

/* A copy of n bytes with a NUL behind it, or NULL. */
char *vlm_arena_copy(struct vlm_arena *arena, const void *bytes, size_t n);

/* Forgets everything handed out; keeps the largest block for the next unit. */
void vlm_arena_reset(struct vlm_arena *arena);

/* Gives the memory back. Safe on a zeroed arena. */
void vlm_arena_release(struct vlm_arena *arena);

#endif
