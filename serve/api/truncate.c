/* truncate.c - "truncate": a prompt that is too long loses tokens, at its beginning or in its middle, when the request
 * asks for that. Tokens are taken away between two places outside of tags, so that no picture is cut, and no masks are
 * among them; the answer says how many.
 *
 * Of guidance the page without words is made of the prompt that is left; a prompt of its own is cut as the other is. */
#include "base/vlm.h"

#include "models/generate/grammar.h"
#include "serve/api/call_internal.h"
#include "serve/api/parts.h"
#include "tokenize/sequence/run.h"

/* Where tokens may be taken away from and up to: not within a tag, so in no picture either; and no mask is. */
static bool is_seam(const struct vlm_grammar *page, bool markup)
{
    return !markup || page->place == VLM_PLACE_OUTSIDE;
}

/* Takes `n` tokens or a few more away, from the last seam up to token `from` on, or else from the first behind it, and never the
 * first token. Returns how many; 0: that cannot be. */
static size_t cut(const struct vlm_call *call, struct vlm_sequence *ids, size_t n, size_t from)
{
    const struct vlm_vocabulary *vocabulary = call->service->choices->vocabulary;
    const bool markup = vlm_recipe_is_markup(&call->service->folder->recipe);
    struct vlm_grammar page;
    size_t begin = SIZE_MAX, i = 0;
    vlm_grammar_init(&page, vocabulary);
    for (; i < ids->n; i++) {
        const bool seam = is_seam(&page, markup);
        if (seam && i >= 1 && (i <= from || begin == SIZE_MAX))
            begin = i;
        if (begin != SIZE_MAX && seam && i >= begin + n && i > from)
            break;
        if (vlm_vocabulary_mask_number(vocabulary, ids->ids[i]) >= 0) {
            if (begin != SIZE_MAX && i >= from)
                return 0;
            begin = SIZE_MAX;
        }
        vlm_grammar_feed(&page, ids->ids[i]);
    }
    if (begin == SIZE_MAX || i == ids->n)
        return 0;
    struct vlm_sequence out = { 0 };
    if (!vlm_sequence_append(&out, ids, 0, begin) || !vlm_sequence_append(&out, ids, i, ids->n)) {
        vlm_sequence_release(&out);
        return 0;
    }
    vlm_sequence_release(ids);
    *ids = out;
    return i - begin;
}

/* The prompt, or that of guidance, so that `room` tokens are left at most, when that can be. */
static void fit(struct vlm_call *call, struct vlm_sequence *ids, size_t room)
{
    const size_t from = call->request.truncate == VLM_TRUNCATE_LEFT ? 1 : room / 2;
    if (ids->n > room)
        call->truncated += cut(call, ids, ids->n - room, from);
}

bool vlm_call_truncate(struct vlm_call *call, struct vlm_call_prompt *prompt)
{
    const size_t length = call->service->choices->image_length, context = call->service->context;
    const size_t rows = prompt->made.sequence.n + prompt->made.n_images * (length ? length - 1 : 0);
    const size_t wanted = call->request.max_tokens > 0 && !call->request.max_is_cap
                              ? (size_t)call->request.max_tokens
                              : 1;
    if (call->request.truncate == VLM_TRUNCATE_NONE || prompt->score_from || wanted >= context ||
        VLM_MAX(rows, prompt->negative.sequence.n) <= context - wanted)
        return true;
    if (prompt->made.n_images) {
        vlm_call_fail(call, 400, "truncate",
                      "prompts of models that see images as a whole are not cut");
        return false;
    }
    fit(call, &prompt->made.sequence, context - wanted);
    fit(call, &prompt->negative.sequence, context - wanted);
    return true;
}
