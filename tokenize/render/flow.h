/* flow.h - text put together from pieces, with line structure and reserved words kept harmless.
 *
 *   struct vlm_flow flow = { .out = out, .guard = true };
 *   vlm_flow_text(&flow, "Cute  pics", 10);
 *   vlm_flow_break(&flow, VLM_FLOW_BLANK);      // written only when text follows
 *   vlm_flow_tag(&flow, "<image>");             // separators around tags are dropped
 *   vlm_flow_end(&flow);
 *
 * Used by the forms text, m3w and pair. */
#ifndef VLM_TOKENIZE_FLOW_H
#define VLM_TOKENIZE_FLOW_H

#include "base/buffer.h"
#include "tokenize/document.h"
#include "tokenize/render/origin.h"

/* What separates two texts; of several between them the last in this list wins. */
enum vlm_flow_break {
    VLM_FLOW_NOTHING,
    VLM_FLOW_SPACE,
    VLM_FLOW_LINE,
    VLM_FLOW_CELL, /* a tab */
    VLM_FLOW_ROW,  /* a line, also behind empty cells */
    VLM_FLOW_BLANK,
};

struct vlm_flow {
    struct vlm_buffer *out;
    bool guard;                /* write the "<" of reserved words as "&lt;" */
    bool raw;                  /* inside pre: white space as it is */
    struct vlm_origin *origin; /* gets marks; NULL: nobody asks */

    bool any;         /* text or a tag has been written */
    bool text;        /* text has been written since the last tag */
    bool after_image; /* the last thing written is an <image> */
    bool cell;        /* the current table row has had a cell */
    bool br;          /* a br, and nothing since */
    unsigned lists;   /* open ul, ol and dl: those inside another have no blank line around them */
    enum vlm_flow_break pending;
    size_t unguarded; /* in out: text behind it has not been looked at for reserved words */
};

void vlm_flow_text(struct vlm_flow *flow, const char *p, size_t n);
void vlm_flow_break(struct vlm_flow *flow, enum vlm_flow_break kind);

/* The separators that an element asks for at its OPEN or CLOSE event. */
void vlm_flow_open(struct vlm_flow *flow, unsigned element);
void vlm_flow_close(struct vlm_flow *flow, unsigned element);

/* Ends the text before it and writes a tag as it is. */
void vlm_flow_tag(struct vlm_flow *flow, const char *tag);

/* The tag of an image: <image>, with VLM_RENDER_PLACEHOLDERS <image:number>. */
void vlm_flow_image(struct vlm_flow *flow, size_t number, unsigned render_flags);

/* Looks through what has been written since the last tag. */
void vlm_flow_end(struct vlm_flow *flow);

/* The number of the event behind the sub-tree that opens at event i. */
size_t vlm_event_skip(const struct vlm_document *document, size_t i);

/* Whether an element of that sub-tree begins a line: the parser has dropped the space before it. */
bool vlm_event_breaks_line(const struct vlm_document *document, size_t i);

/* The number of the event behind a sub-tree that is left out: what stood around it must not run
 * together. */
size_t vlm_flow_skip(struct vlm_flow *flow, const struct vlm_document *document, size_t i);

/* Flags of nodes that the forms text, m3w and pair leave out. */
unsigned vlm_flow_left_out(unsigned render_flags);

#endif
