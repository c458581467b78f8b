/* memory.c - stacks over reserved address space.
 *
 * The system gives pages when they are touched first, so the cap costs nothing until it is used, and
 * keeps them after a return: the next step finds its memory warm. Huge pages spare a training step
 * most of its address translations. */
#include "base/vlm.h"

#include <sys/mman.h>

#include "nn/memory.h"

int vlm_memory_init(struct vlm_memory *memory, size_t cap, unsigned flags, struct vlm_err *err)
{
    *memory = (struct vlm_memory){ .cap = cap, .flags = flags };
    if (flags & VLM_MEMORY_COUNT) {
        memory->base = (char *)(uintptr_t)VLM_MEMORY_ALIGN;
        return VLM_OK;
    }
    void *base =
        mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        vlm_fail_errno(err, errno, "cannot reserve %zu bytes of memory", cap);
        return vlm_recode(err, VLM_ENOMEM);
    }
    madvise(base, cap, MADV_HUGEPAGE);
    memory->base = base;
    return VLM_OK;
}

void *vlm_memory_take(struct vlm_memory *memory, size_t count, size_t size)
{
    size_t bytes, aligned;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, VLM_MEMORY_ALIGN - 1, &aligned))
        return NULL;
    aligned &= ~(size_t)(VLM_MEMORY_ALIGN - 1);
    if (aligned > memory->cap - memory->used)
        return NULL;
    char *p = memory->base + memory->used;
    memory->used += aligned;
    memory->peak = VLM_MAX(memory->peak, memory->used);
    return p;
}

size_t vlm_memory_mark(const struct vlm_memory *memory)
{
    return memory->used;
}

void vlm_memory_return(struct vlm_memory *memory, size_t mark)
{
    VLM_BUG_IF(mark > memory->used);
    memory->used = mark;
}

void vlm_memory_release(struct vlm_memory *memory)
{
    if (memory->base && !(memory->flags & VLM_MEMORY_COUNT))
        munmap(memory->base, memory->cap);
    *memory = (struct vlm_memory){ 0 };
}
