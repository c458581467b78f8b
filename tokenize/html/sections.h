/* sections.h - which parts of a page are sections of one document. Internal to tokenize/html. */
#ifndef VLM_TOKENIZE_SECTIONS_H
#define VLM_TOKENIZE_SECTIONS_H

#include "tokenize/html/page_tree.h"

bool vlm_is_heading(unsigned element);

/* Whether a node has a fellow among the siblings from first to end: same element, same class,
 * heading of the same level, and text of its own. */
bool vlm_section_has_fellow(const struct vlm_tree *tree, uint32_t node, uint32_t first,
                            uint32_t end);

/* Whether an id is only an anchor made of a heading ("the-file-menu"): it belongs to the heading
 * itself, or to one of several sections and repeats its heading. */
bool vlm_section_is_named(const struct vlm_tree *tree, uint32_t node, const char *id, size_t n);

#endif
