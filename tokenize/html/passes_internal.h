/* passes_internal.h - the single passes, in the order in which vlm_passes_run calls them. Each
 * expects the flags of those before it, and the tree measured: without what is hidden after
 * vlm_pass_hidden, and without duplicates and chrome too after vlm_pass_chrome. */
#ifndef VLM_TOKENIZE_PASSES_INTERNAL_H
#define VLM_TOKENIZE_PASSES_INTERNAL_H

#include "tokenize/html/page_tree.h"

/* HIDDEN: elements that never show text, and noscript text unless it is most of the page. */
void vlm_pass_hidden(struct vlm_tree *tree);

/* DUPLICATE: noscript copies of images that the page loads by script. */
VLM_MUST_CHECK int vlm_pass_duplicate(struct vlm_tree *tree, struct vlm_arena *scratch,
                                      struct vlm_err *err);

/* CHROME: by element, role, class and id; copyright lines. */
void vlm_pass_chrome(struct vlm_tree *tree);

/* OUTSIDE: what does not belong to the main content, by the density of text. */
VLM_MUST_CHECK int vlm_pass_main(struct vlm_tree *tree, struct vlm_arena *scratch,
                                 struct vlm_err *err);

/* SMALL and UNWRAP: the rules of minimal HTML. */
void vlm_pass_small(struct vlm_tree *tree);
void vlm_pass_unwrap(struct vlm_tree *tree);

#endif
