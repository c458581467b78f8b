/* array.c - reallocarray() with room to spare. */
#include "base/vlm.h"

#include "base/array.h"

enum { SPARE = 16 };

bool vlm_array_reserve(void *array, size_t *capacity, size_t n, size_t more, size_t size)
{
    void *old, *moved;
    size_t wanted;
    if (more <= *capacity - n)
        return true;
    if (__builtin_add_overflow(n, more, &wanted) || *capacity > SIZE_MAX / 2 - SPARE)
        return false;
    wanted = VLM_MAX(wanted, *capacity + *capacity / 2 + SPARE);
    memcpy(&old, array, sizeof(old)); /* a pointer of any type */
    moved = reallocarray(old, wanted, size);
    if (!moved)
        return false;
    memcpy(array, &moved, sizeof(moved));
    *capacity = wanted;
    // cppcheck-suppress memleak
    return true; /* it is the caller's */
}
