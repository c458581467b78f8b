/* render.c - chooses the renderer of a form. */
#include "base/vlm.h"

#include "tokenize/sequence/forms.h"

void vlm_render(struct vlm_buffer *out, const struct vlm_document *document, enum vlm_render form,
                unsigned flags)
{
    switch (form) {
    case VLM_RENDER_JSON:
    case VLM_RENDER_TEXT:
        vlm_render_plain(out, document, flags);
        return;
    case VLM_RENDER_CM3:
    case VLM_RENDER_HTLM:
        vlm_render_markup(out, document, form, flags);
        return;
    case VLM_RENDER_M3W:
        vlm_render_interleaved(out, document, flags);
        return;
    case VLM_RENDER_PAIR:
        vlm_render_pairs(out, document, flags);
        return;
    }
    VLM_BUG_IF(true); /* not a form */
}
