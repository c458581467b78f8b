/* render.c - chooses the renderer of a form. */
#include "base/vlm.h"

#include "tokenize/render/forms.h"

const char *vlm_render_name(enum vlm_render form)
{
    static const char *const names[] = {
        [VLM_RENDER_JSON] = "json", [VLM_RENDER_CM3] = "cm3",   [VLM_RENDER_HTLM] = "htlm",
        [VLM_RENDER_M3W] = "m3w",   [VLM_RENDER_PAIR] = "pair", [VLM_RENDER_TEXT] = "text",
    };
    VLM_BUG_IF((size_t)form >= VLM_COUNTOF(names));
    return names[form];
}

static void render(struct vlm_buffer *out, const struct vlm_document *document,
                   enum vlm_render form, unsigned flags, struct vlm_origin *origin)
{
    switch (form) {
    case VLM_RENDER_JSON:
    case VLM_RENDER_TEXT:
        vlm_render_plain(out, document, flags, origin);
        return;
    case VLM_RENDER_CM3:
    case VLM_RENDER_HTLM:
        vlm_render_markup(out, document, form, flags, origin);
        return;
    case VLM_RENDER_M3W:
        vlm_render_interleaved(out, document, flags, origin);
        return;
    case VLM_RENDER_PAIR:
        vlm_render_pairs(out, document, flags, origin);
        return;
    }
    VLM_BUG_IF(true); /* not a form */
}

void vlm_render(struct vlm_buffer *out, const struct vlm_document *document, enum vlm_render form,
                unsigned flags)
{
    render(out, document, form, flags, NULL);
}

void vlm_render_traced(struct vlm_buffer *out, const struct vlm_document *document,
                       enum vlm_render form, unsigned flags, struct vlm_origin *origin)
{
    const size_t begin = out->size;
    vlm_origin_begin(origin, document);
    render(out, document, form, flags, origin);
    vlm_origin_end(origin, out, begin, form == VLM_RENDER_CM3 || form == VLM_RENDER_HTLM);
}
