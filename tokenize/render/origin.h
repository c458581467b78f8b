/* origin.h - which event of a document each byte of its rendering comes from.
 *
 *   struct vlm_origin origin = { 0 };
 *   vlm_render_traced(&out, document, VLM_RENDER_CM3, 0, &origin);
 *   size_t i = vlm_origin_find(&origin, 4711);          // origin.runs[i] has byte 4711
 *   vlm_origin_release(&origin);
 *
 * Renderers only put marks down while they write (text from here, a tag of this event from here); what
 * stands between the marks follows from the two texts afterwards. One owner, no threads. */
#ifndef VLM_TOKENIZE_ORIGIN_H
#define VLM_TOKENIZE_ORIGIN_H

#include "tokenize/render/render.h"

enum vlm_origin_kind {
    VLM_ORIGIN_TEXT,    /* bytes of the event's text, as they are */
    VLM_ORIGIN_CHANGED, /* bytes of the event's text, written otherwise: a reference, white space, a
                           resolved URL */
    VLM_ORIGIN_MADE, /* no text of the page: a tag of the event's element, a line break before it */
    VLM_ORIGIN_CODES, /* what stands in src for the image of the event */
};

#define VLM_ORIGIN_NO_EVENT UINT32_MAX

struct vlm_origin_run {
    uint32_t start, length; /* in the rendering */
    uint32_t event;         /* index, or VLM_ORIGIN_NO_EVENT: the page as a whole */
    uint32_t from, n;       /* bytes of the event's text; 0 for MADE and CODES */
    uint8_t kind;           /* vlm_origin_kind */
};

struct vlm_origin_mark;

/* Zeroed it is empty. */
struct vlm_origin {
    struct vlm_origin_run *runs; /* cover the rendering from its first byte to its last, in order */
    size_t n, capacity;
    bool failed; /* memory ran out: the runs are not whole */

    /* While a renderer writes. */
    const struct vlm_document *document;
    uint32_t event; /* that flow tags are about */
    struct vlm_origin_mark *marks;
    size_t n_marks, marks_capacity;
    struct vlm_origin *captions; /* runs of the text that captions are taken from, or NULL */
    const struct vlm_buffer *captions_text;
};

/* vlm_render(), and the runs of what it appended; starts count from there. At most 4 GiB. */
void vlm_render_traced(struct vlm_buffer *out, const struct vlm_document *document,
                       enum vlm_render form, unsigned flags, struct vlm_origin *origin);

/* The run with this byte of the rendering, or origin->n. */
size_t vlm_origin_find(const struct vlm_origin *origin, uint32_t at);

void vlm_origin_release(struct vlm_origin *origin);

/* -- For renderers: all do nothing when origin is NULL ---------------------------------------- */

void vlm_origin_begin(struct vlm_origin *origin, const struct vlm_document *document);

/* The n bytes at p, in the document's text or in that of captions, are about to be written at `at`,
 * escaped as their place asks. Other text is none of a page's and leaves no mark. */
void vlm_origin_add_text(struct vlm_origin *origin, size_t at, const char *p, size_t n);
static inline void vlm_origin_mark_text(struct vlm_origin *origin, size_t at, const char *p,
                                        size_t n)
{
    if (origin)
        vlm_origin_add_text(origin, at, p, n);
}

/* An attribute whose value is made of these bytes: the rest of it may come from elsewhere. */
void vlm_origin_mark_value(struct vlm_origin *origin, size_t at, const char *p, size_t n);

/* A tag of an event's element, from "<" to ">". */
void vlm_origin_mark_tag(struct vlm_origin *origin, size_t at, uint32_t event);

/* The attribute with the codes of an image. */
void vlm_origin_mark_codes(struct vlm_origin *origin, size_t at, uint32_t image);

/* Makes the runs of the rendering that begins at `begin` of out. markup: & < > are written as
 * references. */
void vlm_origin_end(struct vlm_origin *origin, const struct vlm_buffer *out, size_t begin,
                    bool markup);

static inline void vlm_origin_at(struct vlm_origin *origin, size_t event)
{
    if (origin)
        origin->event = (uint32_t)event;
}

#endif
