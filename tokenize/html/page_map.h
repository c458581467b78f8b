/* page_map.h - which bytes of the decoded page each byte of a document's text was made from.
 *
 *   struct vlm_page_map map = { 0 };
 *   vlm_page_parser_trace(parser, &map);
 *   rc = vlm_page_parse(&document, parser, &in, arena, NULL, &err);
 *   if (vlm_page_map_find(&map, event->start + i, n, &range, NULL))
 *       ... page + range.start, range.end - range.start bytes ...
 *   vlm_page_map_release(&map);
 *
 * The parser writes it down while it reads, so it holds for references, collapsed white space and
 * text that goes on behind a comment. Positions are those of the document as parsed; a stored one
 * has its text in another order, so they are named by event and place in the event. */
#ifndef VLM_TOKENIZE_PAGE_MAP_H
#define VLM_TOKENIZE_PAGE_MAP_H

#include "tokenize/document.h"

/* Bytes [start, end) of the decoded page. */
struct vlm_page_range {
    uint32_t start, end;
};

/* A piece of the document's text. verbatim: byte for byte what the page has; else the piece as a whole
 * stands for the bytes of the page (a reference, a run of white space). */
struct vlm_page_span {
    uint32_t text, length;
    struct vlm_page_range page;
    bool verbatim;
};

struct vlm_page_map {
    struct vlm_page_span *spans; /* by text */
    size_t n, capacity;
    struct vlm_page_range *tags; /* start and end tags, by start */
    size_t n_tags, tags_capacity;
    bool failed; /* memory ran out */
};

/* Empties it and keeps the memory. */
void vlm_page_map_reset(struct vlm_page_map *map);
void vlm_page_map_release(struct vlm_page_map *map);

/* Appends; text and tags come in rising order. */
void vlm_page_map_add(struct vlm_page_map *map, const struct vlm_page_span *span);
void vlm_page_map_add_tag(struct vlm_page_map *map, struct vlm_page_range tag);

/* Appends an attribute value that stands at page[from] and was written, references resolved, at
 * text. */
void vlm_page_map_add_value(struct vlm_page_map *map, uint32_t text, const char *page,
                            struct vlm_page_range from);

/* What n > 0 bytes of the text stand for: from the beginning of the first to the end of the last, with
 * what stands between them (comments, scripts). *verbatim (may be NULL): the page has the same
 * bytes there. False when the text is not the page's. */
bool vlm_page_map_find(const struct vlm_page_map *map, uint32_t text, uint32_t n,
                       struct vlm_page_range *range, bool *verbatim);

/* The tag of the page that an event is about: of an attribute or image, that of its element; of an end that
 * the page leaves out, the start tag. Without one (plain text, the text itself) the empty range where the
 * event begins, and false. page is the decoded page. */
bool vlm_page_map_tag(const struct vlm_page_map *map, const char *page,
                      const struct vlm_document *document, size_t event,
                      struct vlm_page_range *tag);

#endif
