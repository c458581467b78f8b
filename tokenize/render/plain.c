/* plain.c - the form text: what a reader of the page sees, with its line structure.
 *
 * Titles, attribute values and hidden elements are not part of it; with VLM_RENDER_MAIN neither is
 * what surrounds the main content, nor the captions of images, which say nothing without them. It
 * does not depend on images. */
#include "base/vlm.h"

#include "tokenize/names.h"
#include "tokenize/render/flow.h"
#include "tokenize/render/forms.h"

unsigned vlm_flow_left_out(unsigned render_flags)
{
    unsigned flags = VLM_NODE_HIDDEN | VLM_NODE_DUPLICATE;
    if (render_flags & VLM_RENDER_MAIN)
        flags |= VLM_NODE_CHROME | VLM_NODE_OUTSIDE;
    return flags;
}

void vlm_render_plain(struct vlm_buffer *out, const struct vlm_document *document, unsigned flags,
                      struct vlm_origin *origin)
{
    unsigned left_out = vlm_flow_left_out(flags);
    if (flags & VLM_RENDER_MAIN)
        left_out |= VLM_NODE_CAPTION;
    struct vlm_flow flow = { .out = out, .unguarded = out->size, .origin = origin };
    for (size_t i = 0; i < document->n_events;) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN &&
            ((event->flags & left_out) || event->name == VLM_ELEMENT_title)) {
            i = vlm_flow_skip(&flow, document, i);
            continue;
        }
        if (event->kind == VLM_EVENT_OPEN)
            vlm_flow_open(&flow, event->name);
        else if (event->kind == VLM_EVENT_CLOSE)
            vlm_flow_close(&flow, event->name);
        else if (event->kind == VLM_EVENT_TEXT && !(event->flags & left_out))
            vlm_flow_text(&flow, document->text + event->start, event->length);
        i++;
    }
    vlm_flow_end(&flow);
}
