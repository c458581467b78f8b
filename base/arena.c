/* arena.c - a chain of blocks that doubles in size; reset keeps the newest, largest block. */
#include "base/vlm.h"
#include "base/arena.h"

enum { FIRST_BLOCK = 64 << 10, ALIGN = 16 };

struct vlm_arena_block {
    struct vlm_arena_block *next;
    size_t size, used;
    max_align_t data[];
};

void vlm_arena_init(struct vlm_arena *arena, size_t cap)
{
    *arena = (struct vlm_arena){ .cap = cap };
}

static struct vlm_arena_block *add_block(struct vlm_arena *arena, size_t need)
{
    size_t size = arena->current ? arena->current->size * 2 : FIRST_BLOCK;
    while (size < need)
        size *= 2;
    struct vlm_arena_block *block = malloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    *block = (struct vlm_arena_block){ .size = size };
    if (arena->current)
        arena->current->next = block;
    else
        arena->first = block;
    arena->current = block;
    return block;
}

void *vlm_arena_alloc(struct vlm_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 4)
        return NULL;
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (bytes > arena->cap - VLM_MIN(arena->used, arena->cap))
        return NULL;
    struct vlm_arena_block *block = arena->current;
    if (!block || bytes > block->size - block->used)
        block = add_block(arena, bytes);
    if (!block)
        return NULL;
    void *p = (char *)block->data + block->used;
    block->used += bytes;
    arena->used += bytes;
    return p;
}

void *vlm_arena_zero(struct vlm_arena *arena, size_t count, size_t size)
{
    void *p = vlm_arena_alloc(arena, count, size);
    return p ? memset(p, 0, count * size) : NULL;
}

char *vlm_arena_copy(struct vlm_arena *arena, const void *bytes, size_t n)
{
    char *p = vlm_arena_alloc(arena, 1, n + 1);
    if (!p)
        return NULL;
    if (n)
        memcpy(p, bytes, n);
    p[n] = 0;
    return p;
}

static void free_until(struct vlm_arena *arena, const struct vlm_arena_block *keep)
{
    struct vlm_arena_block *block = arena->first;
    while (block && block != keep) {
        struct vlm_arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->first = arena->current = block;
}

void vlm_arena_reset(struct vlm_arena *arena)
{
    free_until(arena, arena->current);
    if (arena->current)
        arena->current->used = 0;
    arena->used = 0;
}

void vlm_arena_release(struct vlm_arena *arena)
{
    free_until(arena, NULL);
    arena->used = 0;
}
