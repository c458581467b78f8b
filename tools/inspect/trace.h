/* trace.h - from a place of a rendering to the event, to the bytes of the page, to the record; as JSON. */
#ifndef VLM_TOOLS_TRACE_H
#define VLM_TOOLS_TRACE_H

#include "base/json.h"
#include "tokenize/render/origin.h"
#include "tools/inspect/crawl_images.h"
#include "tools/inspect/crawl_page.h"

/* One document and its rendering. All borrowed. */
struct vlm_trace {
    const struct vlm_document *document; /* of the set */
    enum vlm_render form;
    const char *rendering;
    uint32_t size;
    const struct vlm_origin *origin;
    const struct vlm_crawl_page *page; /* NULL: the crawl is not at hand */
    /* The record of the image that a place is about; NULL: not known. */
    const struct vlm_crawl_image *image;
};

/* Where bytes of the rendering come from. */
struct vlm_place {
    uint32_t start, end;        /* in the rendering */
    uint32_t event;             /* index, or VLM_ORIGIN_NO_EVENT */
    bool made;                  /* by the renderer, not in the page, which is the tag then */
    bool codes;                 /* of the image of the event: page is the address of the picture */
    bool verbatim;              /* page has the same bytes; only with the crawl */
    uint32_t from;              /* first byte of the event's text, unless made or codes */
    bool has_page;              /* page is known: always with the crawl */
    struct vlm_page_range page; /* bytes of the decoded page */
};

/* The place of bytes [start, end) of the rendering, start < end <= size. */
struct vlm_place vlm_trace_range(const struct vlm_trace *trace, uint32_t start, uint32_t end);

/* The place of what byte `at` belongs to: a character of text, a code, a reference, a piece of a tag. */
struct vlm_place vlm_trace_byte(const struct vlm_trace *trace, uint32_t at);

/* The end of the document, behind the rendering's last byte. */
struct vlm_place vlm_trace_end(const struct vlm_trace *trace);

/* The number of the code that stands at the place, 0 to 255; -1: codes are not in the rendering. */
int vlm_trace_code(const struct vlm_trace *trace, const struct vlm_place *place);

/* The members id, url, render, rendering. */
void vlm_trace_json_begin(struct vlm_json *json, const struct vlm_trace *trace,
                          const struct vlm_place *place);

/* The members event, image, page, made or normalised. code: number of the code, or -1. */
void vlm_trace_json_page(struct vlm_json *json, const struct vlm_trace *trace,
                         const struct vlm_place *place, int code);

/* The member record, of the page. */
void vlm_trace_json_record(struct vlm_json *json, const struct vlm_trace *trace);

#endif
