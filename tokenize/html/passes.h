/* passes.h - verdicts on the nodes of a parsed document, for the renderers to use.
 *
 * A pass reads events and sets flags (vlm_event_flag); it moves and removes nothing, so every form can
 * still be rendered from the same document. */
#ifndef VLM_TOKENIZE_PASSES_H
#define VLM_TOKENIZE_PASSES_H

#include "tokenize/document.h"

/* Runs all passes in their order: hidden nodes, noscript duplicates, chrome by element, role and name,
 * main content by the density of text, small elements and folding of div (HTLM section 2.1).
 * HIDDEN marks that are there already stay, other marks are made anew. scratch is for the passes
 * only. VLM_ELIMIT: it is too small; VLM_EFORMAT: elements are not balanced. */
VLM_MUST_CHECK int vlm_passes_run(struct vlm_document *document, struct vlm_arena *scratch,
                                  struct vlm_err *err);

#endif
