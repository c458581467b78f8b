/* forms.h - the renderers behind vlm_render, one a family of forms. */
#ifndef VLM_TOKENIZE_FORMS_H
#define VLM_TOKENIZE_FORMS_H

#include "tokenize/render/origin.h"

/* origin gets their marks; NULL: nobody asks. */
void vlm_render_plain(struct vlm_buffer *out, const struct vlm_document *document, unsigned flags,
                      struct vlm_origin *origin);
void vlm_render_interleaved(struct vlm_buffer *out, const struct vlm_document *document,
                            unsigned flags, struct vlm_origin *origin);
void vlm_render_pairs(struct vlm_buffer *out, const struct vlm_document *document, unsigned flags,
                      struct vlm_origin *origin);
void vlm_render_markup(struct vlm_buffer *out, const struct vlm_document *document,
                       enum vlm_render form, unsigned flags, struct vlm_origin *origin);

/* Whether the codes or the pixels of an image can stand in a sequence. */
static inline bool vlm_image_usable(const struct vlm_document_image *image, unsigned flags)
{
    return (flags & VLM_RENDER_ALL_IMAGES) || image->status == 0;
}

#endif
