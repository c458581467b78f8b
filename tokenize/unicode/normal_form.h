/* normal_form.h - NFC, NFD, NFKC and NFKD of code points, for normalize.c, with
 * what became of each character.
 *
 *   rc = vlm_form_decompose(&form, false, c, &err);       // each code point, in order of the text
 *   rc = vlm_form_order(&form, &err);
 *   vlm_form_compose(&form);
 *   // form.pieces[i].c; change says which characters of the text it came from
 *
 * A piece takes 1 - change of the characters, in order: 0 for one that was added by a
 * decomposition, 2 for two that were composed. That is the rule of the package tokenizers; it
 * follows places, not identities, where marks change their order. */
#ifndef VLM_TOKENIZE_NORMAL_FORM_H
#define VLM_TOKENIZE_NORMAL_FORM_H

#include "base/vlm.h"

struct vlm_form_piece {
    uint32_t c; /* a code point; above U+10FFFF: neither changes nor combines */
    int32_t change;
    uint8_t ccc; /* canonical combining class */
};

/* Zeroed it is empty; one owner. */
struct vlm_form {
    struct vlm_form_piece *pieces;
    size_t n, capacity;
    struct vlm_form_piece *sorted; /* scratch of long runs of marks */
    size_t sorted_capacity;
};

/* Appends the full decomposition of a code point; compatible: NFKD's. */
VLM_MUST_CHECK int vlm_form_decompose(struct vlm_form *form, bool compatible, uint32_t c,
                                      struct vlm_err *err);
/* Puts marks into canonical order. Linear. */
VLM_MUST_CHECK int vlm_form_order(struct vlm_form *form, struct vlm_err *err);
/* Composes what can be composed; pieces are in canonical order. */
void vlm_form_compose(struct vlm_form *form);
void vlm_form_release(struct vlm_form *form);

#endif
