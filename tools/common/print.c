/* print.c - one write, checked. */
#include "base/vlm.h"

#include "tools/common/print.h"

int vlm_print(const struct vlm_buffer *text, struct vlm_err *err)
{
    if (text->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for what would be printed");
    if (text->size && fwrite(text->data, 1, text->size, stdout) != text->size)
        return vlm_fail_errno(err, errno, "cannot write to standard output");
    return VLM_OK;
}
