/* generate.c - prompts answered: masks filled one after the other (CM3), or text continued.
 *
 * The grammar follows the page as it will be, spans in their places, while the model sees it as training had
 * it, spans behind the page. */
#include "base/vlm.h"

#include "models/generate/generator.h"
#include "tokenize/sequence/run.h"

#include <math.h>

/* One answer that is being made. */
struct making {
    struct vlm_generator *generator;
    const struct vlm_generate_options *options;
    struct vlm_answer *answer;
    size_t mask[VLM_MASKS_DEFAULT]; /* places in the prompt */
    size_t n_masks;
};

void vlm_answer_release(struct vlm_answer *answer)
{
    vlm_sequence_release(&answer->sequence);
    for (size_t i = 0; i < VLM_COUNTOF(answer->fills); i++)
        vlm_sequence_release(&answer->fills[i]);
    *answer = (struct vlm_answer){ 0 };
}

void vlm_answer_codes(uint16_t codes[VLM_CODES], const struct vlm_vocabulary *vocabulary,
                      const uint32_t *ids, size_t n)
{
    size_t used = 0;
    for (; used < n && used < VLM_CODES && vlm_vocabulary_is_code(vocabulary, ids[used]); used++)
        codes[used] = (uint16_t)(ids[used] - vocabulary->first_code);
    while (used < VLM_CODES)
        codes[used++] = VLM_CODE_UNKNOWN;
}

/* ---- sequences ---- */

static int push(struct vlm_sequence *out, const struct vlm_vocabulary *vocabulary, uint32_t id,
                struct vlm_err *err)
{
    if (!vlm_sequence_push(out, id, 1))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", out->n);
    if (vlm_vocabulary_is_code(vocabulary, id))
        out->modality[out->n - 1] = VLM_MODALITY_IMAGE;
    else if (vlm_vocabulary_mask_number(vocabulary, id) < 0 &&
             !vlm_vocabulary_is_control(vocabulary, id))
        out->modality[out->n - 1] = VLM_MODALITY_TEXT;
    return VLM_OK;
}

/* Lists the runs of codes, 256 at a time. */
static int list_images(struct vlm_sequence *out, struct vlm_err *err)
{
    out->n_images = 0;
    for (size_t at = 0, end; at < out->n; at = VLM_MAX(end, at + 1)) {
        for (end = at; end < out->n && end - at < VLM_IMAGE_CODES;)
            if (out->modality[end++] != VLM_MODALITY_IMAGE) {
                end--;
                break;
            }
        if (end == at)
            continue;
        if (!vlm_sequence_reserve_images(out, 1))
            return vlm_fail(err, VLM_ENOMEM, "no memory for images");
        out->images[out->n_images++] =
            (struct vlm_sequence_image){ .image = VLM_NOWHERE,
                                         .position = (uint32_t)at,
                                         .n_tokens = (uint32_t)(end - at),
                                         .tag = (uint32_t)at };
    }
    return VLM_OK;
}

static int copy_prompt(struct vlm_sequence *out, const struct vlm_vocabulary *vocabulary,
                       const uint32_t *prompt, size_t n, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        rc = push(out, vocabulary, prompt[i], err);
    return rc == VLM_OK ? list_images(out, err) : rc;
}

/* ---- what is asked ---- */

static int check_options(const struct vlm_generate_options *options, struct vlm_err *err)
{
    const double temperature[] = { options->temperature, options->image_temperature };
    const double top_p[] = { options->top_p, options->image_top_p };
    const int64_t top_k[] = { options->top_k, options->image_top_k };
    for (size_t i = 0; i < 2; i++) {
        if (!(temperature[i] >= 0) || !isfinite(temperature[i]))
            return vlm_fail(err, VLM_EUSAGE, "a temperature of %g, expected 0 or more",
                            temperature[i]);
        if (!(top_p[i] > 0 && top_p[i] <= 1))
            return vlm_fail(err, VLM_EUSAGE, "top-p is %g, expected more than 0, at most 1",
                            top_p[i]);
        if (top_k[i] < 0)
            return vlm_fail(err, VLM_EUSAGE, "top-k is %" PRId64 ", expected 0 or more", top_k[i]);
    }
    return VLM_OK;
}

static int find_masks(struct making *making, const uint32_t *prompt, size_t n, struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = making->generator->vocabulary;
    for (size_t i = 0; i < n; i++) {
        int mask = vlm_vocabulary_mask_number(vocabulary, prompt[i]);
        if (mask < 0)
            continue;
        if ((size_t)mask != making->n_masks)
            return vlm_fail(err, VLM_EUSAGE, "token %zu is <mask:%d>, expected <mask:%zu>", i, mask,
                            making->n_masks);
        if (making->n_masks == VLM_MASKS_DEFAULT)
            return vlm_fail(err, VLM_EUSAGE, "more than %d masks", VLM_MASKS_DEFAULT);
        making->mask[making->n_masks++] = i;
    }
    return VLM_OK;
}

/* ---- drawing ---- */

/* What is being filled. */
struct hole {
    const struct vlm_hole *mask; /* NULL: a continuation */
    uint32_t end;                /* the token that ends it */
    size_t room;                 /* tokens that may be drawn */
    bool last; /* nothing is drawn behind it: its last token needs no row of its own */
};

static const struct vlm_choice *choices(const struct making *making,
                                        const struct vlm_grammar *grammar, const struct hole *hole,
                                        bool *may_end)
{
    static const struct vlm_choice nothing;
    const struct vlm_generator *generator = making->generator;
    *may_end = true;
    if (!generator->images)
        return &generator->text;
    if (making->options->no_grammar)
        return &generator->any;
    switch (vlm_grammar_allowed(grammar, hole->mask, may_end)) {
    case VLM_ALLOW_CODES:
        return &generator->code;
    case VLM_ALLOW_QUOTE:
        return &generator->quote;
    case VLM_ALLOW_TEXT:
        return &generator->text;
    default:
        return &nothing;
    }
}

/* One of the choices, or the end. */
static int draw(struct making *making, const struct vlm_choice *choice, bool may_end, uint32_t end,
                uint32_t *id, struct vlm_err *err)
{
    struct vlm_generator *generator = making->generator;
    const struct vlm_generate_options *options = making->options;
    struct vlm_answer *answer = making->answer;
    const bool image = choice == &generator->code;
    const struct vlm_draw_rule rule = {
        .temperature = image ? options->image_temperature : options->temperature,
        .top_k = (size_t)(image ? options->image_top_k : options->top_k),
        .top_p = image ? options->image_top_p : options->top_p,
    };
    const bool codes = image && !may_end;
    int rc = vlm_generator_run(generator, codes ? VLM_LOGITS_CODES : VLM_LOGITS_ALL, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_random random = vlm_random_at(options->seed, VLM_STREAM_DRAW, answer->generated);
    if (codes)
        choice = &generator->offset;
    choice->ids[choice->n] = end;
    uint32_t at = vlm_draw(generator->scratch, generator->logits, choice->ids, choice->n + may_end,
                           &rule, vlm_random_unit(&random));
    *id = generator->first_logit + at;
    double likelihood =
        vlm_generator_likelihood(generator, generator->logits, generator->n_logits, at);
    if (!isfinite(likelihood))
        return vlm_fail(err, VLM_EFORMAT, "the model gives no finite probabilities");
    answer->log_likelihood += likelihood;
    answer->generated++;
    return VLM_OK;
}

static bool is_stop(const struct vlm_generate_options *options, uint32_t id)
{
    size_t i = 0;
    while (i < options->n_stop && options->stop[i] != id)
        i++;
    return i < options->n_stop;
}

/* Why drawing is over behind the token, which is not yet in `out`. False: it goes on. */
static bool is_over(const struct making *making, const struct hole *hole, uint32_t id,
                    enum vlm_stop_reason *why)
{
    *why = VLM_STOP_END;
    if (id == hole->end)
        return true;
    *why = VLM_STOP_WORD;
    return !hole->mask && is_stop(making->options, id);
}

/* Draws until the end, a stop, or the limit; `grammar` moves on with it. Where nothing but the end may come,
 * it comes undrawn. */
static int fill(struct making *making, struct vlm_grammar *grammar, const struct hole *hole,
                struct vlm_sequence *out, enum vlm_stop_reason *why, struct vlm_err *err)
{
    struct vlm_generator *generator = making->generator;
    const bool one_image = making->options->one_image && !hole->mask;
    for (;;) {
        bool may_end;
        uint32_t id;
        const struct vlm_choice *choice = choices(making, grammar, hole, &may_end);
        *why = choice->n ? VLM_STOP_LIMIT : VLM_STOP_END;
        if (!choice->n || out->n == hole->room)
            return list_images(out, err);
        int rc = draw(making, choice, may_end, hole->end, &id, err);
        if (rc == VLM_OK && is_over(making, hole, id, why))
            return list_images(out, err);
        if (rc == VLM_OK)
            rc = push(out, generator->vocabulary, id, err);
        if (rc != VLM_OK)
            return rc;
        vlm_grammar_feed(grammar, id);
        if (!hole->last || out->n < hole->room)
            vlm_generator_add(generator, id);
        *why = VLM_STOP_IMAGE;
        if (one_image && grammar->place == VLM_PLACE_IMAGE && grammar->codes == VLM_IMAGE_CODES)
            return list_images(out, err);
    }
}

/* ---- room ---- */

static struct vlm_hole hole_at(const struct making *making, const struct vlm_grammar *grammar,
                               const uint32_t *prompt, size_t n, size_t mask)
{
    const size_t behind = making->mask[mask] + 1;
    struct vlm_hole hole = { 0 };
    if (making->options->no_grammar || !making->generator->images)
        return hole;
    hole = vlm_grammar_hole(grammar, prompt + behind, n - behind);
    if (hole.inside && making->options->mask_codes)
        hole.least = hole.most = VLM_MIN(making->options->mask_codes[mask], hole.most);
    return hole;
}

/* Tokens behind the prompt without which it makes no sense: `need` [masks + 1] of each mask and those behind it,
 * <mask:i> and <eoss> included; without masks, of the image that the prompt ends in. */
static void count_needed(const struct making *making, size_t *need, const uint32_t *prompt,
                         size_t n)
{
    const size_t max = making->options->max_tokens;
    struct vlm_grammar page;
    vlm_grammar_init(&page, making->generator->vocabulary);
    for (size_t i = 0, mask = 0; i < n; i++) {
        if (mask < making->n_masks && making->mask[mask] == i) {
            struct vlm_hole hole = hole_at(making, &page, prompt, n, mask);
            need[mask] = max ? VLM_MIN(max, hole.least) : hole.least;
            need[mask] += mask + 1 < making->n_masks ? 2 : 1;
            mask++;
        } else {
            vlm_grammar_feed(&page, prompt[i]);
        }
    }
    need[making->n_masks] = 0;
    for (size_t mask = making->n_masks; mask-- > 0;)
        need[mask] += need[mask + 1];
    if (making->n_masks)
        return;
    need[0] = 1;
    if (page.place == VLM_PLACE_IMAGE && page.codes < VLM_IMAGE_CODES && !max &&
        making->generator->images && !making->options->no_grammar)
        need[0] = VLM_IMAGE_CODES - page.codes;
}

static int check_room(const struct making *making, size_t need, struct vlm_err *err)
{
    const struct vlm_generator *generator = making->generator;
    if (need <= generator->capacity - generator->rows)
        return VLM_OK;
    return vlm_fail(err, VLM_EUSAGE,
                    "a prompt of %zu tokens and %zu that must follow, there is room for %zu",
                    generator->rows, need, generator->capacity);
}

/* ---- answers ---- */

static size_t limit(const struct making *making, size_t room)
{
    const size_t max = making->options->max_tokens;
    return max ? VLM_MIN(max, room) : room;
}

static int fill_masks(struct making *making, const size_t *need, const uint32_t *prompt, size_t n,
                      struct vlm_err *err)
{
    struct vlm_generator *generator = making->generator;
    const struct vlm_vocabulary *vocabulary = generator->vocabulary;
    struct vlm_answer *answer = making->answer;
    struct vlm_grammar page;
    size_t at = 0;
    int rc = VLM_OK;
    vlm_grammar_init(&page, vocabulary);
    for (size_t i = 0; rc == VLM_OK && i < making->n_masks; i++) {
        for (; at < making->mask[i]; at++)
            vlm_grammar_feed(&page, prompt[at]);
        at++;
        const struct vlm_hole mask = hole_at(making, &page, prompt, n, i);
        const bool last = i + 1 == making->n_masks;
        vlm_generator_add(generator, vocabulary->mask[i]);
        size_t kept = need[i + 1] + !last;
        const struct hole hole = {
            .mask = &mask,
            .end = vocabulary->control[VLM_CONTROL_END_OF_SPAN],
            .room = limit(making, generator->capacity - generator->rows - kept),
            .last = last,
        };
        rc = fill(making, &page, &hole, &answer->fills[i], &answer->why[i], err);
        answer->n_fills = i + 1;
        if (rc == VLM_OK && !last)
            vlm_generator_add(generator, hole.end);
    }
    return rc;
}

static int splice_all(struct making *making, struct vlm_err *err)
{
    struct vlm_answer *answer = making->answer;
    struct vlm_sequence next = { 0 };
    int rc = VLM_OK;
    for (uint32_t i = 0; rc == VLM_OK && i < making->n_masks; i++) {
        vlm_sequence_reset(&next);
        rc = vlm_splice(&next, &answer->sequence, i, answer->fills[i].ids, answer->fills[i].n,
                        making->generator->vocabulary, err);
        struct vlm_sequence kept = answer->sequence;
        answer->sequence = next;
        next = kept;
    }
    vlm_sequence_release(&next);
    return rc;
}

static int continue_text(struct making *making, const uint32_t *prompt, size_t n,
                         struct vlm_err *err)
{
    struct vlm_generator *generator = making->generator;
    struct vlm_answer *answer = making->answer;
    struct vlm_grammar page;
    vlm_grammar_init(&page, generator->vocabulary);
    for (size_t i = 0; i < n; i++)
        vlm_grammar_feed(&page, prompt[i]);
    const struct hole hole = {
        .end = generator->vocabulary->control[VLM_CONTROL_END],
        .room = limit(making, generator->capacity - generator->rows),
        .last = true,
    };
    answer->n_fills = 1;
    int rc = fill(making, &page, &hole, &answer->fills[0], &answer->why[0], err);
    if (rc == VLM_OK &&
        !vlm_sequence_append(&answer->sequence, &answer->fills[0], 0, answer->fills[0].n))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", answer->fills[0].n);
    return rc == VLM_OK ? list_images(&answer->sequence, err) : rc;
}

int vlm_generate(struct vlm_generator *generator, struct vlm_answer *answer, const uint32_t *prompt,
                 size_t n, const uint32_t *image_codes, size_t n_images,
                 const struct vlm_generate_options *options, struct vlm_err *err)
{
    struct making making = { .generator = generator, .options = options, .answer = answer };
    size_t need[VLM_MASKS_DEFAULT + 1];
    *answer = (struct vlm_answer){ .n_fills = 0 };
    int rc = check_options(options, err);
    if (rc == VLM_OK)
        rc = find_masks(&making, prompt, n, err);
    if (rc == VLM_OK)
        rc = vlm_generator_begin(generator, prompt, n, image_codes, n_images, err);
    if (rc != VLM_OK)
        return rc;
    count_needed(&making, need, prompt, n);
    rc = check_room(&making, need[0], err);
    if (rc == VLM_OK)
        rc = copy_prompt(&answer->sequence, generator->vocabulary, prompt, n, err);
    if (rc != VLM_OK)
        return rc;
    if (!making.n_masks)
        return continue_text(&making, prompt, n, err);
    rc = fill_masks(&making, need, prompt, n, err);
    return rc == VLM_OK ? splice_all(&making, err) : rc;
}
