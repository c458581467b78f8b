/* layout.h - how elements stand on a page: which break the line, which end a paragraph, which have
 * no end tag; and what white space is.
 *
 *   if (vlm_element_layout(event->name) >= VLM_LAYOUT_LINE)
 *       separator = '\n';
 *
 * The blank-line set is the one OBELICS uses to join its text nodes, with pre and table added. */
#ifndef VLM_TOKENIZE_LAYOUT_H
#define VLM_TOKENIZE_LAYOUT_H

#include "base/vlm.h"

enum vlm_layout {
    VLM_LAYOUT_INLINE,
    VLM_LAYOUT_BREAK, /* br: ends a line, holds nothing */
    VLM_LAYOUT_CELL,  /* td and th: a block of its own within a row */
    VLM_LAYOUT_LINE,  /* starts and ends on a line of its own */
    VLM_LAYOUT_BLANK, /* has a blank line around it */
};

enum vlm_layout vlm_element_layout(unsigned element);

/* Written without an end tag. */
bool vlm_layout_has_no_end(unsigned element);

/* Bytes of the white space character at p: 1 for those of ASCII, 2 for the no-break space (which
 * pages use for empty paragraphs and indents), 0 when there is none. n > 0. */
static inline size_t vlm_space_at(const char *p, size_t n)
{
    if (*p == ' ' || (*p >= '\t' && *p <= '\r'))
        return 1;
    return n > 1 && (uint8_t)p[0] == 0xc2 && (uint8_t)p[1] == 0xa0 ? 2 : 0;
}

/* Bytes of the longest beginning that stays as it is when white space is collapsed: words with one space (U+0020)
 * between them, none at its end. 0 when p begins with white space. */
size_t vlm_words_at(const char *p, size_t n);

#endif
