/* stream_line.c - where a line is: which mask is filled, what may come there, when it is over.
 *
 * The grammar follows the page as it will be, spans in their places, while the model sees it as training had
 * it, spans behind the page. */
#include "base/vlm.h"

#include "base/array.h"
#include "models/generate/spell.h"
#include "models/generate/stream_internal.h"

/* ---- masks, and the room they need ---- */

static int find_mask(struct vlm_making *making, size_t at, size_t mask, struct vlm_err *err)
{
    const bool any = making->options.any_order;
    if (!any && mask != making->n_masks)
        return vlm_fail(err, VLM_EUSAGE, "token %zu is <mask:%zu>, expected <mask:%zu>", at, mask,
                        making->n_masks);
    if (making->n_masks == VLM_MASKS_DEFAULT || mask >= VLM_MASKS_DEFAULT)
        return vlm_fail(err, VLM_EUSAGE, "more than %d masks", VLM_MASKS_DEFAULT);
    if (any && making->mask[mask])
        return vlm_fail(err, VLM_EUSAGE, "token %zu is <mask:%zu>, as token %zu is", at, mask,
                        making->mask[mask] - 1);
    making->mask[mask] = at + 1; /* 0: it has not been there */
    making->n_masks++;
    return VLM_OK;
}

static int find_masks(struct vlm_making *making, struct vlm_err *err)
{
    bool ordered = true;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < making->n_prompt; i++) {
        int mask = vlm_vocabulary_mask_number(vlm_making_vocabulary(making), making->prompt[i]);
        if (mask < 0)
            continue;
        ordered = ordered && (size_t)mask == making->n_masks;
        rc = find_mask(making, i, (size_t)mask, err);
    }
    for (size_t i = 0; rc == VLM_OK && i < making->n_masks; i++)
        if (!making->mask[i]--)
            rc =
                vlm_fail(err, VLM_EUSAGE, "of %zu masks <mask:%zu> is missing", making->n_masks, i);
    if (rc != VLM_OK || ordered)
        return rc;
    if (making->options.beams > 1)
        return vlm_fail(err, VLM_EUSAGE, "masks in another order and beams exclude each other");
    making->behind = malloc(making->stream.capacity * sizeof(*making->behind));
    return making->behind ? VLM_OK
                          : vlm_fail(err, VLM_ENOMEM, "no memory for a prompt of %zu tokens",
                                     making->n_prompt);
}

/* The prompt from `from` to `end` with the fills that there are, of the first `fills` masks, in their places; other
 * masks stay. Returns how many ids. */
static size_t splice_part(const struct vlm_making *making, size_t fills, size_t from, size_t end)
{
    const struct vlm_sequence *fill = making->stream.answer.fills;
    size_t n = 0;
    for (size_t i = from; i < end; i++) {
        const int mask =
            vlm_vocabulary_mask_number(vlm_making_vocabulary(making), making->prompt[i]);
        if (mask < 0 || (size_t)mask >= fills) {
            making->behind[n++] = making->prompt[i];
            continue;
        }
        if (fill[mask].n)
            memcpy(making->behind + n, fill[mask].ids, fill[mask].n * sizeof(*making->behind));
        n += fill[mask].n;
    }
    return n;
}

/* Of a mask when the first `fills` are filled. */
static struct vlm_hole hole_at(const struct vlm_making *making, const struct vlm_grammar *grammar,
                               size_t mask, size_t fills)
{
    const size_t behind = making->mask[mask] + 1;
    struct vlm_hole hole = { 0 };
    if (!vlm_making_grammar(making))
        return hole;
    if (making->behind)
        hole = vlm_grammar_hole(grammar, making->behind,
                                splice_part(making, fills, behind, making->n_prompt));
    else
        hole = vlm_grammar_hole(grammar, making->prompt + behind, making->n_prompt - behind);
    const uint32_t *codes = making->options.mask_codes;
    if (hole.inside && codes && codes[mask] != VLM_MASK_ANY)
        hole.least = hole.most = VLM_MIN(codes[mask], hole.most);
    return hole;
}

/* Tokens of a fill at most; 0: as many as fit. */
static size_t most_of(const struct vlm_making *making, size_t fill)
{
    const size_t *each = making->n_masks ? making->options.mask_tokens : NULL;
    return each && each[fill] ? each[fill] : making->options.max_tokens;
}

/* Tokens behind the prompt without which it makes no sense: need [masks + 1] of each mask and those behind it,
 * <mask:i> and <eoss> included; without masks, of the image that the prompt ends in. */
static void count_needed(struct vlm_making *making)
{
    const size_t max = making->options.max_tokens;
    size_t *need = making->need;
    struct vlm_grammar page;
    vlm_grammar_init(&page, vlm_making_vocabulary(making));
    for (size_t i = 0; i < making->n_prompt; i++) {
        const int number =
            vlm_vocabulary_mask_number(vlm_making_vocabulary(making), making->prompt[i]);
        const size_t mask = (size_t)number;
        if (number < 0) {
            vlm_grammar_feed(&page, making->prompt[i]);
            continue;
        }
        struct vlm_hole hole = hole_at(making, &page, mask, 0);
        const size_t most = most_of(making, mask);
        need[mask] = most ? VLM_MIN(most, hole.least) : hole.least;
        need[mask] += mask + 1 < making->n_masks ? 2 : 1;
    }
    need[making->n_masks] = 0;
    for (size_t mask = making->n_masks; mask-- > 0;)
        need[mask] += need[mask + 1];
    if (making->n_masks)
        return;
    need[0] = 1;
    if (page.place == VLM_PLACE_IMAGE && page.codes < VLM_IMAGE_CODES && !max &&
        vlm_making_grammar(making))
        need[0] = VLM_IMAGE_CODES - page.codes;
}

int vlm_making_masks(struct vlm_making *making, struct vlm_err *err)
{
    int rc = find_masks(making, err);
    if (rc == VLM_OK)
        count_needed(making);
    return rc;
}

/* ---- rows ---- */

static void add_row(const struct vlm_making *making, struct vlm_line *line, uint32_t id)
{
    for (size_t i = 0; i <= making->n_guides; i++) {
        VLM_BUG_IF(line->n_rows[i] == making->stream.capacity);
        line->rows[i][line->n_rows[i]++] = id;
    }
}

/* Tokens that may be drawn so that so many more find room behind them. */
static size_t room(const struct vlm_making *making, const struct vlm_line *line, size_t kept)
{
    const size_t rows = VLM_MAX(line->n_rows[0], line->n_rows[1]);
    const size_t max = most_of(making, line->fill);
    const size_t left = making->stream.capacity - rows - kept;
    return max ? VLM_MIN(max, left) : left;
}

/* Nothing is drawn behind it: its last token needs no row of its own. */
static bool is_last(const struct vlm_making *making, const struct vlm_line *line)
{
    return line->fill + 1 >= making->n_masks;
}

/* ---- what may come ---- */

static void find_choice(const struct vlm_making *making, struct vlm_line *line)
{
    static const struct vlm_choice nothing;
    const struct vlm_choices *choices = making->choices;
    const struct vlm_hole *hole = making->n_masks ? &line->hole : NULL;
    line->may_end = true;
    if (!choices->images) {
        line->choice = &choices->text;
    } else if (making->options.no_grammar) {
        line->choice = &choices->any;
    } else {
        switch (vlm_grammar_allowed(&line->page, hole, &line->may_end)) {
        case VLM_ALLOW_CODES:
            line->choice = &choices->code;
            break;
        case VLM_ALLOW_QUOTE:
            line->choice = &choices->quote;
            break;
        case VLM_ALLOW_TEXT:
            line->choice = &choices->text;
            break;
        default:
            line->choice = &nothing;
        }
    }
    if ((making->options.ignore_end || vlm_line_wants_image(making, line)) && line->choice->n)
        line->may_end = false;
    if (hole && making->options.space && making->options.space[line->fill] && !line->n_fill &&
        line->choice == &choices->text && choices->space.n) {
        line->choice = &choices->space;
        line->may_end = false;
    }
}

/* The code that must come next, or VLM_CODE_UNKNOWN. */
static uint16_t forced_code(const struct vlm_making *making, const struct vlm_line *line)
{
    const uint16_t *forced = making->options.forced;
    if (!forced || !making->n_masks || !line->hole.inside || line->n_fill >= VLM_CODES)
        return VLM_CODE_UNKNOWN;
    return forced[line->fill * VLM_CODES + line->n_fill];
}

/* ---- tokens ---- */

static int grow_pool(struct vlm_making *making, struct vlm_err *err)
{
    const size_t n = making->n_pool, likely = making->options.likely;
    if (vlm_array_reserve(&making->pool, &making->pool_capacity, n, 1, sizeof(*making->pool)) &&
        vlm_array_reserve(&making->before, &making->before_capacity, n, 1,
                          sizeof(*making->before)) &&
        (!likely || vlm_array_reserve(&making->likely, &making->likely_capacity, n * likely, likely,
                                      sizeof(*making->likely))))
        return VLM_OK;
    return vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", n + 1);
}

/* Into the pool, and, unless it is one of many lines, into the answer. */
static int record(struct vlm_making *making, struct vlm_line *line, const struct vlm_drawn *token,
                  const struct vlm_likely *likely, struct vlm_err *err)
{
    const size_t n = making->options.likely;
    int rc = grow_pool(making, err);
    if (rc != VLM_OK)
        return rc;
    making->pool[making->n_pool] = *token;
    making->before[making->n_pool] = line->last;
    for (size_t i = 0; i < n; i++)
        making->likely[making->n_pool * n + i] =
            likely ? likely[i] : (struct vlm_likely){ token->id, token->logprob };
    line->last = (uint32_t)making->n_pool++;
    if (making->beams || token->end)
        return VLM_OK;
    return vlm_answer_push(&making->stream.answer.fills[line->fill], vlm_making_vocabulary(making),
                           token->id, err);
}

static struct vlm_bytes piece_of(const struct vlm_making *making, uint32_t id)
{
    const struct vlm_vocabulary *vocabulary = vlm_making_vocabulary(making);
    if (id >= vocabulary->n_text)
        return (struct vlm_bytes){ .at = NULL };
    return vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
}

/* The page sees a token. */
static void feed_page(const struct vlm_making *making, struct vlm_line *line, uint32_t id)
{
    const enum vlm_grammar_place before = line->page.place;
    const struct vlm_bytes piece = piece_of(making, id);
    const size_t n = piece.at ? vlm_bytes_left(&piece) : 0;
    vlm_grammar_feed(&line->page, id);
    line->images += line->page.place == VLM_PLACE_IMAGE && before != VLM_PLACE_IMAGE;
    line->behind_tag = line->page.place == VLM_PLACE_OUTSIDE && n && piece.at[n - 1] == '>';
}

/* A token of the fill: the page and the model see it. */
static int add_token(struct vlm_making *making, struct vlm_line *line,
                     const struct vlm_drawn *token, const struct vlm_likely *likely,
                     struct vlm_err *err)
{
    int rc = record(making, line, token, likely, err);
    line->n_fill++;
    feed_page(making, line, token->id);
    if (!is_last(making, line) || line->n_fill < line->room)
        add_row(making, line, token->id);
    return rc;
}

/* A fill that stands in front of an image may have closed the tag that the image is in. The image comes all the same: its
 * codes were promised, and the page behind them is known. */
static void open_image(const struct vlm_making *making, struct vlm_line *line)
{
    const uint32_t *codes = making->options.mask_codes;
    if (!vlm_making_grammar(making) || line->hole.inside || !codes ||
        codes[line->fill] == VLM_MASK_ANY)
        return;
    line->page.place = VLM_PLACE_IMAGE;
    line->page.codes = 0;
    line->hole =
        (struct vlm_hole){ .inside = true, .least = codes[line->fill], .most = codes[line->fill] };
}

static void begin_fill(struct vlm_making *making, struct vlm_line *line)
{
    const size_t i = line->fill;
    if (making->behind) { /* the page up to here may have got fills since */
        const size_t n = splice_part(making, i, 0, making->mask[i]);
        vlm_grammar_init(&line->page, vlm_making_vocabulary(making));
        for (size_t k = 0; k < n; k++)
            vlm_grammar_feed(&line->page, making->behind[k]);
    }
    for (; !making->behind && line->at < making->mask[i]; line->at++)
        vlm_grammar_feed(&line->page, making->prompt[line->at]);
    line->at++;
    line->hole = hole_at(making, &line->page, i, i);
    open_image(making, line);
    line->n_fill = 0;
    add_row(making, line, vlm_making_vocabulary(making)->mask[i]);
    line->room = room(making, line, making->need[i + 1] + !is_last(making, line));
}

/* The fill is complete: on to the next one. */
static void end_fill(struct vlm_making *making, struct vlm_line *line, enum vlm_stop_reason why)
{
    line->why[line->fill] = why;
    line->over = is_last(making, line);
    if (line->over)
        return;
    add_row(making, line, vlm_making_end(making));
    line->fill++;
    begin_fill(making, line);
}

/* An image that has to be: the ids that begin it. */
static int start_image(struct vlm_making *making, struct vlm_line *line, struct vlm_err *err)
{
    const struct vlm_generate_options *options = &making->options;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < options->n_image_start; i++)
        rc = add_token(making, line,
                       &(struct vlm_drawn){ .id = options->image_start[i],
                                            .fill = (uint32_t)line->fill,
                                            .forced = true },
                       NULL, err);
    return rc;
}

/* On to where something is to be drawn. Where nothing but the end may come, it comes undrawn. */
static int settle(struct vlm_making *making, struct vlm_line *line, struct vlm_err *err)
{
    int rc = VLM_OK;
    while (rc == VLM_OK && !line->over) {
        if (line->behind_tag && vlm_line_wants_image(making, line))
            rc = start_image(making, line, err);
        if (rc != VLM_OK)
            break;
        find_choice(making, line);
        if (!line->choice->n || line->n_fill == line->room) {
            end_fill(making, line, line->choice->n ? VLM_STOP_LIMIT : VLM_STOP_END);
            continue;
        }
        const uint16_t code = forced_code(making, line);
        if (code == VLM_CODE_UNKNOWN)
            break;
        const struct vlm_drawn token = { .id = vlm_making_vocabulary(making)->first_code + code,
                                         .fill = (uint32_t)line->fill,
                                         .forced = true };
        rc = add_token(making, line, &token, NULL, err);
    }
    return rc;
}

int vlm_line_begin(struct vlm_making *making, struct vlm_line *line, struct vlm_err *err)
{
    vlm_grammar_init(&line->page, vlm_making_vocabulary(making));
    line->last = VLM_NO_TOKEN;
    if (making->n_masks) {
        begin_fill(making, line);
    } else {
        for (; line->at < making->n_prompt; line->at++)
            vlm_grammar_feed(&line->page, making->prompt[line->at]);
        line->room = room(making, line, 0);
    }
    return settle(making, line, err);
}

static bool is_stop(const struct vlm_generate_options *options, uint32_t id)
{
    size_t i = 0;
    while (i < options->n_stop && options->stop[i] != id)
        i++;
    return i < options->n_stop;
}

/* ---- ends ---- */

/* Whether a stop word ends in the bytes of the last token: the bytes of the tokens before it are looked at too, as far
 * back as the longest word reaches, the fill's begin, or a code. */
static bool ends_word(const struct vlm_making *making, const struct vlm_line *line)
{
    const struct vlm_generate_options *options = &making->options;
    uint8_t bytes[2 * VLM_STOP_WORD_SIZE_MAX];
    size_t begin = VLM_STOP_WORD_SIZE_MAX, word;
    const struct vlm_bytes last = piece_of(making, making->pool[line->last].id);
    for (uint32_t at = making->before[line->last]; begin && at != VLM_NO_TOKEN;
         at = making->before[at]) {
        const struct vlm_drawn *token = &making->pool[at];
        if (token->fill != line->fill ||
            vlm_vocabulary_is_code(vlm_making_vocabulary(making), token->id))
            break;
        struct vlm_bytes piece = piece_of(making, token->id);
        for (size_t n = piece.at ? vlm_bytes_left(&piece) : 0; n && begin; n--)
            bytes[--begin] = piece.at[n - 1];
    }
    /* The last one goes in slices, since it may be longer than the room for it. */
    size_t n = VLM_STOP_WORD_SIZE_MAX, left = last.at ? vlm_bytes_left(&last) : 0;
    for (const uint8_t *at = last.at; left; at++, left--) {
        if (n == sizeof(bytes)) {
            memmove(bytes, bytes + VLM_STOP_WORD_SIZE_MAX, VLM_STOP_WORD_SIZE_MAX);
            n = VLM_STOP_WORD_SIZE_MAX;
            begin = 0;
        }
        bytes[n++] = *at;
        if (vlm_spell_find(bytes + begin, n - begin, n - begin - 1, options->words,
                           options->n_words, &word) != SIZE_MAX)
            return true;
    }
    return false;
}

static void end_drawn(struct vlm_making *making, struct vlm_line *line)
{
    const struct vlm_generate_options *options = &making->options;
    const bool text = !making->n_masks || !line->hole.inside;
    if (options->one_image && !making->n_masks && line->page.place == VLM_PLACE_IMAGE &&
        line->page.codes == VLM_IMAGE_CODES)
        end_fill(making, line, VLM_STOP_IMAGE);
    else if (options->n_words && text && ends_word(making, line))
        end_fill(making, line, VLM_STOP_WORD);
}

int vlm_line_take(struct vlm_making *making, struct vlm_line *line, const struct vlm_drawn *drawn,
                  const struct vlm_likely *likely, struct vlm_err *err)
{
    struct vlm_drawn token = *drawn;
    const bool end = token.id == vlm_making_end(making);
    const bool stop = !making->n_masks && is_stop(&making->options, token.id);
    token.fill = (uint32_t)line->fill;
    token.end = end || stop;
    line->generated++;
    int rc = VLM_OK;
    if (token.end) {
        rc = record(making, line, &token, likely, err);
        end_fill(making, line, end ? VLM_STOP_END : VLM_STOP_WORD);
    } else {
        rc = add_token(making, line, &token, likely, err);
        if (rc == VLM_OK)
            end_drawn(making, line);
    }
    return rc == VLM_OK ? settle(making, line, err) : rc;
}
