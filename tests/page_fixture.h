/* page_fixture.h - a page parsed and written down in one line, for tests of the HTML parser. */
#ifndef VLM_TESTS_PAGE_FIXTURE_H
#define VLM_TESTS_PAGE_FIXTURE_H

#include "base/buffer.h"
#include "tokenize/html/page.h"
#include "tokenize/names.h"

static inline const char *text_at(const struct vlm_document *document, uint32_t start)
{
    return document->text + start;
}

/* One event: <p>, </p>, [title=x], "text", {src alt "x": candidate candidate}. */
static inline void write_event(struct vlm_buffer *out, const struct vlm_document *document,
                               const struct vlm_event *event)
{
    switch (event->kind) {
    case VLM_EVENT_OPEN:
        vlm_buffer_printf(out, "<%s>", vlm_element_name(event->name));
        break;
    case VLM_EVENT_CLOSE:
        vlm_buffer_printf(out, "</%s>", vlm_element_name(event->name));
        break;
    case VLM_EVENT_ATTRIBUTE:
        vlm_buffer_printf(out, "[%s=%.*s]", vlm_attribute_name(event->name), (int)event->length,
                          text_at(document, event->start));
        break;
    case VLM_EVENT_TEXT:
        vlm_buffer_printf(out, "\"%.*s\"", (int)event->length, text_at(document, event->start));
        break;
    default: {
        const struct vlm_document_image *image = &document->images[event->start];
        vlm_buffer_printf(out, "{%.*s", (int)image->src.length,
                          text_at(document, image->src.start));
        if (image->has_alt)
            vlm_buffer_printf(out, " alt \"%.*s\"", (int)image->alt.length,
                              text_at(document, image->alt.start));
        for (size_t i = 0; i < image->n_candidates; i++)
            vlm_buffer_printf(out, "%s%.*s", i ? " " : ": ", (int)image->candidate[i].length,
                              text_at(document, image->candidate[i].start));
        vlm_buffer_byte(out, '}');
    }
    }
}

/* The whole document, NUL-terminated. The caller releases out. */
static inline void write_document(struct vlm_buffer *out, const struct vlm_document *document)
{
    for (size_t i = 0; i < document->n_events; i++)
        write_event(out, document, &document->events[i]);
    vlm_buffer_byte(out, 0);
}

#endif
