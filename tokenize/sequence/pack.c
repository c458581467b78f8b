/* pack.c - rows of whole samples. */
#include "base/vlm.h"

#include "tokenize/sequence/sample.h"

size_t vlm_pack_place(struct vlm_pack *pack, size_t n, bool *new_row)
{
    VLM_BUG_IF(n > pack->size);
    *new_row = !pack->used || n > pack->size - pack->used;
    size_t start = *new_row ? 0 : pack->used;
    pack->used = start + n;
    return start;
}
