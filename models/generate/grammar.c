/* grammar.c - the scanner of segment.c, a byte at a time and without looking ahead.
 *
 * A tag is "<" and a letter, or "</" and a letter, up to ">"; a value stands between double quotes, the
 * first directly behind "=". Only one kind of value matters: the src of an img. */
#include "base/vlm.h"

#include "models/generate/grammar.h"
#include "tokenize/document.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

void vlm_grammar_init(struct vlm_grammar *grammar, const struct vlm_vocabulary *vocabulary)
{
    *grammar = (struct vlm_grammar){ .vocabulary = vocabulary };
}

static void begin_value(struct vlm_grammar *grammar)
{
    bool src = grammar->img && is_space(grammar->last[0]) && !memcmp(grammar->last + 1, "src=", 4);
    grammar->place = src ? VLM_PLACE_IMAGE : VLM_PLACE_VALUE;
    grammar->codes = 0;
}

/* A byte inside a tag, outside of values. */
static void feed_tag(struct vlm_grammar *grammar, char c)
{
    if (c == '>')
        grammar->place = VLM_PLACE_OUTSIDE;
    else if (c == '<') /* the tag was never closed */
        grammar->place = VLM_PLACE_LESS;
    else if (c == '"' && grammar->last[4] == '=')
        begin_value(grammar);
    memmove(grammar->last, grammar->last + 1, sizeof(grammar->last) - 1);
    grammar->last[4] = c;
}

/* A byte of a tag's name behind its first letter. */
static void feed_name(struct vlm_grammar *grammar, char c)
{
    bool whole = grammar->matched == 3;
    if (!whole && c == "img"[grammar->matched]) {
        grammar->matched++;
    } else {
        grammar->img = whole && is_space(c);
        grammar->place = VLM_PLACE_TAG;
    }
    feed_tag(grammar, c);
}

static void feed_less(struct vlm_grammar *grammar, char c)
{
    if (c == '/' && grammar->place == VLM_PLACE_LESS) {
        grammar->place = VLM_PLACE_CLOSING;
    } else if (is_letter(c)) {
        bool opens = grammar->place == VLM_PLACE_LESS;
        grammar->place = opens && c == 'i' ? VLM_PLACE_NAME : VLM_PLACE_TAG;
        grammar->matched = 1;
        grammar->img = false;
        memset(grammar->last, 0, sizeof(grammar->last));
    } else {
        grammar->place = c == '<' ? VLM_PLACE_LESS : VLM_PLACE_OUTSIDE;
    }
}

static void feed_byte(struct vlm_grammar *grammar, char c)
{
    switch (grammar->place) {
    case VLM_PLACE_OUTSIDE:
        if (c == '<')
            grammar->place = VLM_PLACE_LESS;
        break;
    case VLM_PLACE_LESS:
    case VLM_PLACE_CLOSING:
        feed_less(grammar, c);
        break;
    case VLM_PLACE_NAME:
        feed_name(grammar, c);
        break;
    case VLM_PLACE_TAG:
        feed_tag(grammar, c);
        break;
    default:
        if (c == '"') {
            grammar->place = VLM_PLACE_TAG;
            memset(grammar->last, 0, sizeof(grammar->last));
        } else if (grammar->place == VLM_PLACE_IMAGE) {
            grammar->place = VLM_PLACE_NOT_CODES;
        }
        break;
    }
}

/* A control word stands where a tag or a name might have gone on. */
static void feed_control(struct vlm_grammar *grammar, uint32_t id)
{
    memset(grammar->last, 0, sizeof(grammar->last));
    if (id == grammar->vocabulary->control[VLM_CONTROL_END] || grammar->place == VLM_PLACE_LESS ||
        grammar->place == VLM_PLACE_CLOSING)
        grammar->place = VLM_PLACE_OUTSIDE;
    else if (grammar->place == VLM_PLACE_NAME)
        grammar->place = VLM_PLACE_TAG;
    else if (grammar->place == VLM_PLACE_IMAGE)
        grammar->place = VLM_PLACE_NOT_CODES;
}

void vlm_grammar_feed(struct vlm_grammar *grammar, uint32_t id)
{
    const struct vlm_vocabulary *vocabulary = grammar->vocabulary;
    if (vlm_vocabulary_is_code(vocabulary, id)) {
        grammar->codes += grammar->place == VLM_PLACE_IMAGE;
        return;
    }
    if (vlm_vocabulary_mask_number(vocabulary, id) >= 0)
        return;
    if (vlm_vocabulary_is_control(vocabulary, id)) {
        feed_control(grammar, id);
        return;
    }
    if (id >= vocabulary->n_text)
        return;
    struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    for (size_t i = 0; piece.at && i < vlm_bytes_left(&piece); i++)
        feed_byte(grammar, (char)piece.at[i]);
}

void vlm_grammar_text(struct vlm_grammar *grammar, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        feed_byte(grammar, text[i]);
}

/* Whether all that follows is of an img's tag. */
static bool is_img(const struct vlm_grammar *grammar)
{
    return (grammar->place == VLM_PLACE_NAME && grammar->matched == 3) ||
           (grammar->place >= VLM_PLACE_TAG && grammar->img);
}

bool vlm_grammar_opens_image(const struct vlm_grammar *grammar, uint32_t id)
{
    struct vlm_grammar page = *grammar;
    if (id >= page.vocabulary->n_text || vlm_vocabulary_is_control(page.vocabulary, id))
        return false;
    const struct vlm_bytes piece = vlm_text_tokenizer_piece(page.vocabulary->tokenizer, id);
    const size_t n = piece.at ? vlm_bytes_left(&piece) : 0;
    if (!n || (page.place == VLM_PLACE_OUTSIDE && !memchr(piece.at, '<', n)))
        return false;
    for (size_t i = 0; i < n; i++) {
        const bool img = is_img(&page), image = page.place == VLM_PLACE_IMAGE;
        feed_byte(&page, (char)piece.at[i]);
        if ((is_img(&page) && !img) || (page.place == VLM_PLACE_IMAGE && !image))
            return true;
    }
    return false;
}

bool vlm_grammar_is_quote(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    if (id >= vocabulary->n_text || vlm_vocabulary_is_control(vocabulary, id))
        return false;
    struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    return piece.at && vlm_bytes_left(&piece) && piece.at[0] == '"';
}

struct vlm_hole vlm_grammar_hole(const struct vlm_grammar *grammar, const uint32_t *ids, size_t n)
{
    const struct vlm_vocabulary *vocabulary = grammar->vocabulary;
    struct vlm_hole hole = { .begin = grammar->codes };
    uint32_t known = grammar->codes, masks = 0;
    size_t i = 0;
    while (i < n && vlm_vocabulary_is_code(vocabulary, ids[i]))
        i++;
    hole.behind = (uint32_t)i;
    hole.quote = i == 0 && n && vlm_grammar_is_quote(vocabulary, ids[0]);
    for (i = 0; i < n; i++) {
        bool mask = vlm_vocabulary_mask_number(vocabulary, ids[i]) >= 0;
        if (!mask && !vlm_vocabulary_is_code(vocabulary, ids[i]))
            break;
        masks += mask;
        known += !mask;
    }
    /* A src that ends with the prompt has its mask inside only when codes are behind that. */
    bool closed = i < n && vlm_grammar_is_quote(vocabulary, ids[i]);
    hole.inside = grammar->place == VLM_PLACE_IMAGE && (closed || i > masks);
    if (!hole.inside)
        return hole;
    hole.most = known < VLM_IMAGE_CODES ? VLM_IMAGE_CODES - known : 0;
    hole.least = masks ? 0 : hole.most;
    return hole;
}

static enum vlm_allowed inside_image(const struct vlm_grammar *grammar, const struct vlm_hole *hole,
                                     bool *may_end)
{
    uint32_t drawn = grammar->codes - hole->begin;
    *may_end = drawn >= hole->least;
    return drawn < hole->most ? VLM_ALLOW_CODES : VLM_ALLOW_NOTHING;
}

enum vlm_allowed vlm_grammar_allowed(const struct vlm_grammar *grammar, const struct vlm_hole *hole,
                                     bool *may_end)
{
    if (hole && hole->inside)
        return inside_image(grammar, hole, may_end);
    if (grammar->place == VLM_PLACE_IMAGE && grammar->codes < VLM_IMAGE_CODES) {
        /* Of a page given as ids, the mask may have taken the beginning of an image with its tag. */
        *may_end = hole && hole->behind && grammar->codes + hole->behind == VLM_IMAGE_CODES;
        return VLM_ALLOW_CODES;
    }
    if (grammar->place == VLM_PLACE_IMAGE) {
        *may_end = hole && hole->quote;
        return VLM_ALLOW_QUOTE;
    }
    *may_end = hole ? !hole->behind : grammar->place == VLM_PLACE_OUTSIDE;
    return VLM_ALLOW_TEXT;
}
