/* normal_form.c - the normal forms of Unicode (UAX 15) over utf8proc's tables.
 *
 * utf8proc's own functions work on whole strings without saying what came from where, and sort
 * marks by exchanges, which is quadratic; only its decomposition of one code point and its
 * composition of two are used. Decompositions, classes and compositions that the package tokenizers
 * does not know are left out (package_unicode.h). */
#include "base/vlm.h"
#include "tokenize/unicode/normal_form.h"

#include "base/array.h"
#include "tokenize/unicode/package_unicode.h"

#include <utf8proc.h>

enum {
    FIRST_CANONICAL = 0xc0,  /* no code point below decomposes .. */
    FIRST_COMPATIBLE = 0xa0, /* .. in NFKD */
    FIRST_MARK = 0x300,      /* .. has a combining class */
    LAST_CODE_POINT = 0x10ffff,
    DECOMPOSITION_MAX = 32, /* U+FDFA has 18 */
    INSERTION_MAX = 16,     /* longer runs are sorted by counting */
    CLASSES = 256,
};

static int no_memory(struct vlm_err *err, size_t n)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory for a normal form of %zu characters", n);
}

static uint8_t class_of(uint32_t c)
{
    if (c < FIRST_MARK || c > LAST_CODE_POINT)
        return 0;
    int ccc = utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
    return ccc && !vlm_package_differs(c, VLM_PACKAGE_CLASS) ? (uint8_t)ccc : 0;
}

int vlm_form_decompose(struct vlm_form *form, bool compatible, uint32_t c, struct vlm_err *err)
{
    if (!vlm_array_reserve(&form->pieces, &form->capacity, form->n, DECOMPOSITION_MAX,
                           sizeof(*form->pieces)))
        return no_memory(err, form->n);
    struct vlm_form_piece *out = form->pieces + form->n;
    utf8proc_int32_t parts[DECOMPOSITION_MAX] = { (utf8proc_int32_t)c };
    utf8proc_ssize_t n = 1;
    if (c >= (compatible ? FIRST_COMPATIBLE : FIRST_CANONICAL) && c <= LAST_CODE_POINT) {
        int options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
        n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, DECOMPOSITION_MAX,
                                    (utf8proc_option_t)options, NULL);
        VLM_BUG_IF(n < 1 || n > DECOMPOSITION_MAX);
        if ((n > 1 || parts[0] != (utf8proc_int32_t)c) &&
            vlm_package_differs(c, compatible ? VLM_PACKAGE_COMPATIBLE : VLM_PACKAGE_CANONICAL)) {
            n = 1;
            parts[0] = (utf8proc_int32_t)c;
        }
    }
    for (utf8proc_ssize_t i = 0; i < n; i++)
        out[i] = (struct vlm_form_piece){ (uint32_t)parts[i], i > 0, class_of((uint32_t)parts[i]) };
    form->n += (size_t)n;
    return VLM_OK;
}

static void sort_by_insertion(struct vlm_form_piece *run, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct vlm_form_piece piece = run[i];
        size_t j = i;
        for (; j > 0 && run[j - 1].ccc > piece.ccc; j--)
            run[j] = run[j - 1];
        run[j] = piece;
    }
}

static void sort_by_counting(struct vlm_form_piece *run, size_t n, struct vlm_form_piece *sorted)
{
    size_t place[CLASSES] = { 0 };
    for (size_t i = 0; i < n; i++)
        place[run[i].ccc]++;
    for (size_t i = 0, at = 0; i < CLASSES; i++) {
        size_t count = place[i];
        place[i] = at;
        at += count;
    }
    for (size_t i = 0; i < n; i++)
        sorted[place[run[i].ccc]++] = run[i];
    memcpy(run, sorted, n * sizeof(*run));
}

int vlm_form_order(struct vlm_form *form, struct vlm_err *err)
{
    for (size_t i = 0, end; i < form->n; i = end + 1) {
        for (end = i; end < form->n && form->pieces[end].ccc; end++) {
        }
        size_t n = end - i;
        if (n <= INSERTION_MAX) {
            sort_by_insertion(form->pieces + i, n);
            continue;
        }
        if (!vlm_array_reserve(&form->sorted, &form->sorted_capacity, 0, n, sizeof(*form->sorted)))
            return no_memory(err, n);
        sort_by_counting(form->pieces + i, n, form->sorted);
    }
    return VLM_OK;
}

/* The code point that two compose to, or 0. */
static uint32_t composed(uint32_t first, uint32_t second)
{
    if (second < FIRST_MARK || first > LAST_CODE_POINT || second > LAST_CODE_POINT)
        return 0;
    bool jamo = (second >= 0x1161 && second < 0x1176) || (second >= 0x11a8 && second < 0x11c3);
    if (!jamo && utf8proc_get_property((utf8proc_int32_t)second)->comb_index == UINT16_MAX)
        return 0;
    utf8proc_int32_t pair[2] = { (utf8proc_int32_t)first, (utf8proc_int32_t)second };
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) != 1)
        return 0;
    uint32_t c = (uint32_t)pair[0];
    return vlm_package_differs(c, VLM_PACKAGE_CANONICAL) ? 0 : c;
}

void vlm_form_compose(struct vlm_form *form)
{
    struct vlm_form_piece *starter = NULL;
    size_t n = 0;
    uint8_t last = 0; /* class of the piece before, of those behind the starter that stay */
    for (size_t i = 0; i < form->n; i++) {
        struct vlm_form_piece piece = form->pieces[i];
        uint32_t c = 0;
        if (starter && (!last || last < piece.ccc))
            c = composed(starter->c, piece.c);
        if (c) {
            starter->c = c;
            starter->change += piece.change - 1;
            continue;
        }
        form->pieces[n] = piece;
        if (!piece.ccc)
            starter = &form->pieces[n];
        last = piece.ccc;
        n++;
    }
    form->n = n;
}

void vlm_form_release(struct vlm_form *form)
{
    free(form->pieces);
    free(form->sorted);
    *form = (struct vlm_form){ 0 };
}
