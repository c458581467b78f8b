/* prompt_parts.c - prompts of parts: what programs put together from words of others, masks and images.
 *
 * All becomes one string, which is read as prompts are (sequence_parse.c), but control words count in it only where
 * this file has put them. So tokens are those of training wherever a part begins, and no text is ever a control token. */
#include "base/vlm.h"

#include "base/array.h"
#include "base/utf8.h"
#include "models/generate/grammar.h"
#include "models/generate/prompt.h"
#include "tokenize/render/attributes.h"
#include "tokenize/sequence/run.h"
#include "tokenize/sequence/segment.h"

struct builder {
    struct vlm_prompt *prompt;
    const struct vlm_vocabulary *vocabulary;
    const struct vlm_recipe *recipe;
    bool markup;
    unsigned flags;
    struct vlm_buffer text;
    uint32_t *places; /* of control words in it */
    size_t n_places, places_capacity;
    struct vlm_grammar page; /* where the text ends */
    bool in_src;             /* an image was put into the src where it ends */
    size_t part;
};

/* ---- bytes ---- */

static int no_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory for a prompt");
}

static void put(struct builder *it, const char *text, size_t n)
{
    vlm_buffer_add(&it->text, text, n);
    if (it->markup)
        vlm_grammar_text(&it->page, text, n);
    if (it->page.place != VLM_PLACE_IMAGE)
        it->in_src = false;
}

/* A control word counts that begins where the text ends now, and so many bytes on. */
static int add_place(struct builder *it, size_t on, struct vlm_err *err)
{
    if (it->text.size + on >= VLM_NOWHERE)
        return vlm_fail(err, VLM_ELIMIT, "part %zu: a prompt of %zu bytes is over the limit",
                        it->part, it->text.size);
    if (!vlm_array_reserve(&it->places, &it->places_capacity, it->n_places, 1, sizeof(*it->places)))
        return no_memory(err);
    it->places[it->n_places++] = (uint32_t)(it->text.size + on);
    return VLM_OK;
}

static bool is_value(enum vlm_grammar_place place)
{
    return place == VLM_PLACE_VALUE || place == VLM_PLACE_IMAGE || place == VLM_PLACE_NOT_CODES;
}

/* Text, as markup has it. */
static int put_words(struct builder *it, const char *text, size_t n, bool value,
                     struct vlm_err *err)
{
    struct vlm_buffer escaped = { 0 };
    if (!it->markup) {
        put(it, text, n);
        return VLM_OK;
    }
    vlm_escape(&escaped, text, n, value);
    if (!escaped.failed && escaped.size)
        put(it, (const char *)escaped.data, escaped.size);
    bool failed = escaped.failed;
    vlm_buffer_release(&escaped);
    return failed ? no_memory(err) : VLM_OK;
}

/* ---- masks ---- */

/* Of the mask that a part has. */
static size_t number_of(const struct builder *it, const struct vlm_prompt_part *part)
{
    return part->number ? part->number - 1 : it->prompt->n_masks;
}

static int count_mask(struct builder *it, size_t number, struct vlm_err *err)
{
    struct vlm_prompt *prompt = it->prompt;
    if (prompt->n_masks == VLM_MASKS_DEFAULT || number >= VLM_MASKS_DEFAULT)
        return vlm_fail(err, VLM_EUSAGE, "part %zu: more than %d masks", it->part,
                        VLM_MASKS_DEFAULT);
    prompt->any_order = prompt->any_order || number != prompt->n_masks;
    prompt->mask_codes[number] = VLM_MASK_ANY;
    prompt->part[number] = it->part;
    prompt->n_masks++;
    return VLM_OK;
}

/* A mask; the grammar does not move. */
static int put_mask(struct builder *it, size_t number, struct vlm_err *err)
{
    int rc = count_mask(it, number, err);
    if (rc == VLM_OK)
        rc = add_place(it, 0, err);
    if (rc == VLM_OK)
        vlm_buffer_printf(&it->text, "<mask:%zu>", number);
    return rc;
}

/* Whether the text ends with one space behind a word. */
static bool ends_with_space(const struct builder *it)
{
    const size_t n = it->text.size;
    const uint8_t *text = it->text.data;
    if (n < 2 || text[n - 1] != ' ' || !vlm_text_tokenizer_is_bytewise(it->vocabulary->tokenizer))
        return false;
    if (it->markup && it->page.place != VLM_PLACE_OUTSIDE && it->page.place != VLM_PLACE_VALUE)
        return false;
    return !strchr(it->markup ? " \n\t\r\f>\"" : " \n\t\r\f", text[n - 2]);
}

static int add_mask(struct builder *it, const struct vlm_prompt_part *part, struct vlm_err *err)
{
    const size_t number = number_of(it, part);
    if ((it->flags & VLM_PROMPT_SPACE) && ends_with_space(it) && number < VLM_MASKS_DEFAULT) {
        it->text.size--;
        it->prompt->space[number] = true;
    }
    return put_mask(it, number, err);
}

/* ---- text ---- */

/* Whoever writes <mask: where control words count means a mask: what is none is not taken for words. */
static int no_mask(const struct builder *it, const struct vlm_prompt_part *part, size_t at,
                   struct vlm_err *err)
{
    size_t n = 0;
    while (at + n < part->n && n < 24 && part->text[at + n] != '>' &&
           (unsigned char)part->text[at + n] >= ' ')
        n++;
    n += at + n < part->n && part->text[at + n] == '>';
    return vlm_fail(err, VLM_EUSAGE,
                    "part %zu: '%.*s' at byte %zu is no mask, <mask:0> to <mask:%" PRIu32 "> are",
                    it->part, (int)vlm_utf8_valid_prefix(part->text + at, n), part->text + at, at,
                    it->vocabulary->n_masks - 1);
}

/* Every word of a part in which control words count; none goes on in the next part. */
static int find_words(struct builder *it, const struct vlm_prompt_part *part, struct vlm_err *err)
{
    const char *last = memrchr(part->text, '>', part->n); /* words end with one */
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < part->n; i++) {
        const size_t left = part->n - i;
        uint32_t number;
        const size_t prefix = 6; /* <mask: */
        if (it->vocabulary->n_masks && left >= prefix &&
            !memcmp(part->text + i, "<mask:", prefix)) {
            size_t digits = vlm_segment_number(part->text + i + prefix, left - prefix,
                                               it->vocabulary->n_masks, &number);
            if (!digits || prefix + digits == left || part->text[i + prefix + digits] != '>')
                return no_mask(it, part, i, err);
            rc = count_mask(it, it->prompt->n_masks, err);
        }
        if (rc == VLM_OK && part->text[i] == '<' && last > part->text + i)
            rc = add_place(it, i, err);
    }
    return rc;
}

static int add_text(struct builder *it, const struct vlm_prompt_part *part, struct vlm_err *err)
{
    if (vlm_prompt_check_text(part->text ? part->text : "", part->n, err) != VLM_OK)
        return vlm_wrap(err, "part %zu", it->part);
    if (it->in_src && part->n && part->text[0] != '"')
        return vlm_fail(err, VLM_EUSAGE, "part %zu: text behind an image, in its src", it->part);
    if (part->kind == VLM_PROMPT_TEXT)
        return put_words(it, part->text, part->n, is_value(it->page.place), err);
    int rc = part->kind == VLM_PROMPT_WORDS ? find_words(it, part, err) : VLM_OK;
    if (rc == VLM_OK)
        put(it, part->text, part->n);
    return rc;
}

/* ---- images ---- */

/* To the encoder. */
static int show_image(struct builder *it, const struct vlm_prompt_part *part, struct vlm_err *err)
{
    struct vlm_prompt *prompt = it->prompt;
    if (!part->codes || part->drawn)
        return vlm_fail(err, VLM_EUSAGE, "part %zu: this model sees images, it draws none",
                        it->part);
    uint32_t *codes =
        realloc(prompt->codes, (prompt->n_images + 1) * VLM_IMAGE_CODES * sizeof(*codes));
    if (!codes)
        return no_memory(err);
    prompt->codes = codes;
    for (size_t i = 0; i < VLM_IMAGE_CODES; i++)
        codes[prompt->n_images * VLM_IMAGE_CODES + i] = part->codes[i];
    prompt->n_images++;
    int rc = add_place(it, 0, err);
    vlm_buffer_text(&it->text, "<image>");
    return rc;
}

/* Numbers of the cells [first, end). */
static void put_codes(struct builder *it, const uint16_t *codes, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        vlm_buffer_printf(&it->text, "%s%u", i > first ? " " : "", codes[i]);
}

/* The known cells among those that a mask stands for. */
static int force(struct builder *it, const struct vlm_prompt_part *part, size_t first, size_t end,
                 size_t mask, struct vlm_err *err)
{
    const size_t n = (size_t)VLM_MASKS_DEFAULT * VLM_CODES;
    uint16_t *forced = it->prompt->forced;
    if (!part->drawn)
        return VLM_OK;
    if (!forced) {
        forced = it->prompt->forced = malloc(n * sizeof(*forced));
        for (size_t i = 0; forced && i < n; i++)
            forced[i] = VLM_CODE_UNKNOWN;
    }
    if (!forced)
        return no_memory(err);
    for (size_t i = first; i < end; i++)
        if (!part->drawn[i])
            forced[mask * VLM_CODES + i - first] = part->codes[i];
    return VLM_OK;
}

static int put_image(struct builder *it, const struct vlm_prompt_part *part, struct vlm_err *err)
{
    size_t first = 0, end = VLM_CODES; /* cells that a mask stands for */
    while (part->codes && first < end && !(part->drawn && part->drawn[first]))
        first++;
    while (part->codes && end > first && !part->drawn[end - 1])
        end--;
    if (first == end) {
        put_codes(it, part->codes, 0, VLM_CODES);
        return VLM_OK;
    }
    const size_t mask = number_of(it, part);
    put_codes(it, part->codes, 0, first);
    int rc = put_mask(it, mask, err);
    if (rc == VLM_OK)
        rc = force(it, part, first, end, mask, err);
    if (rc == VLM_OK)
        it->prompt->mask_codes[mask] = (uint32_t)(end - first);
    if (end < VLM_CODES)
        put_codes(it, part->codes, end, VLM_CODES);
    return rc;
}

static int check_image(const struct builder *it, const struct vlm_prompt_part *part,
                       struct vlm_err *err)
{
    if (!it->recipe->encoder && !(it->markup && it->vocabulary->n_codes))
        return vlm_fail(err, VLM_EUSAGE, "part %zu: an image for a model that takes none",
                        it->part);
    if (part->text && vlm_utf8_valid_prefix(part->text, part->n) < part->n)
        return vlm_fail(err, VLM_EUSAGE, "part %zu: the alt is not UTF-8", it->part);
    if (!part->codes && part->drawn)
        for (size_t i = 0; i < VLM_CODES; i++)
            if (!part->drawn[i])
                return vlm_fail(err, VLM_EUSAGE, "part %zu: cell %zu is known, but has no code",
                                it->part, i);
    for (size_t i = 0; part->codes && !it->recipe->encoder && i < VLM_CODES; i++)
        if (!(part->drawn && part->drawn[i]) && part->codes[i] >= it->vocabulary->n_codes)
            return vlm_fail(err, VLM_EUSAGE,
                            "part %zu: code %zu is %u, the model knows 0 to %" PRIu32, it->part, i,
                            part->codes[i], it->vocabulary->n_codes - 1);
    return VLM_OK;
}

static int add_image(struct builder *it, const struct vlm_prompt_part *part, struct vlm_err *err)
{
    const enum vlm_grammar_place place = it->page.place;
    int rc = check_image(it, part, err);
    if (rc == VLM_OK && it->recipe->encoder)
        return show_image(it, part, err);
    if (rc != VLM_OK)
        return rc;
    if (it->in_src)
        return vlm_fail(err, VLM_EUSAGE, "part %zu: a second image in one src", it->part);
    if (place == VLM_PLACE_IMAGE) {
        if (part->text)
            return vlm_fail(err, VLM_EUSAGE, "part %zu: an alt for an image whose tag is there",
                            it->part);
        it->in_src = true;
        return put_image(it, part, err);
    }
    if (place != VLM_PLACE_OUTSIDE && place != VLM_PLACE_LESS && place != VLM_PLACE_CLOSING)
        return vlm_fail(err, VLM_EUSAGE, "part %zu: an image inside a tag, outside of its src",
                        it->part);
    put(it, "<img ", 5);
    if (part->text) {
        put(it, "alt=\"", 5);
        rc = put_words(it, part->text, part->n, true, err);
        put(it, "\" ", 2);
    }
    put(it, "src=\"", 5);
    if (rc == VLM_OK)
        rc = put_image(it, part, err);
    put(it, "\">", 2);
    return rc;
}

/* ---- ends ---- */

enum { OPEN_MAX = 64 };

/* Elements that are open, innermost last; deeper ones are not closed. */
struct open_elements {
    struct {
        const char *name;
        size_t n;
    } list[OPEN_MAX];
    size_t n;
};

static bool is_void(const char *name, size_t n)
{
    static const char *const names[] = { "area",  "base", "br",   "col",    "embed", "hr", "img",
                                         "input", "link", "meta", "source", "track", "wbr" };
    for (size_t i = 0; i < VLM_COUNTOF(names); i++)
        if (strlen(names[i]) == n && !memcmp(names[i], name, n))
            return true;
    return false;
}

/* Letters and digits of a tag's name. */
static size_t name_length(const char *at, const char *end)
{
    size_t n = 0;
    while (at + n < end && ((at[n] >= 'a' && at[n] <= 'z') || (at[n] >= 'A' && at[n] <= 'Z') ||
                            (n && at[n] >= '0' && at[n] <= '9')))
        n++;
    return n;
}

static void close_element(struct open_elements *open, const char *name, size_t n)
{
    for (size_t i = open->n; i-- > 0;)
        if (open->list[i].n == n && !memcmp(open->list[i].name, name, n)) {
            open->n = i;
            return;
        }
}

/* Whether a control word counts at an offset. Such a word ends in ">". */
static bool is_place(const struct builder *it, size_t at)
{
    size_t i = 0;
    while (i < it->n_places && it->places[i] < at)
        i++;
    return i < it->n_places && it->places[i] == at;
}

/* Walks over the tags of a page as grammar.c sees them: not over what values hold. */
static void find_open(struct open_elements *open, const struct builder *it)
{
    const char *text = (const char *)it->text.data, *end = text + it->text.size;
    struct vlm_grammar page;
    vlm_grammar_init(&page, it->vocabulary);
    for (const char *at = text; at < end; at++) {
        if (end - at > 6 && !memcmp(at, "<mask:", 6) && is_place(it, (size_t)(at - text))) {
            at = memchr(at, '>', (size_t)(end - at));
            continue;
        }
        vlm_grammar_text(&page, at, 1);
        if (*at != '<' || page.place != VLM_PLACE_LESS)
            continue;
        const bool closes = at + 1 < end && at[1] == '/';
        const char *name = at + 1 + closes;
        const size_t n = name_length(name, end);
        if (closes)
            close_element(open, name, n);
        else if (n && !is_void(name, n) && open->n < OPEN_MAX) {
            open->list[open->n].name = name;
            open->list[open->n++].n = n;
        }
    }
}

/* What an unfinished page lacks. */
static int close_page(struct builder *it, struct vlm_err *err)
{
    struct open_elements open = { .n = 0 };
    struct vlm_buffer ends = { 0 };
    if (is_value(it->page.place))
        put(it, "\"", 1);
    if (it->page.place == VLM_PLACE_TAG || it->page.place == VLM_PLACE_NAME)
        put(it, ">", 1);
    if (it->text.failed || !it->text.size)
        return it->text.failed ? no_memory(err) : VLM_OK;
    find_open(&open, it);
    while (open.n--)
        vlm_buffer_printf(&ends, "</%.*s>", (int)open.list[open.n].n, open.list[open.n].name);
    if (!ends.failed && ends.size)
        put(it, (const char *)ends.data, ends.size);
    bool failed = ends.failed;
    vlm_buffer_release(&ends);
    return failed ? no_memory(err) : VLM_OK;
}

/* ---- all of it ---- */

static int add_part(struct builder *it, const struct vlm_prompt_part *part, struct vlm_err *err)
{
    switch (part->kind) {
    case VLM_PROMPT_MASK:
        return add_mask(it, part, err);
    case VLM_PROMPT_IMAGE:
        return add_image(it, part, err);
    default:
        return part->n ? add_text(it, part, err) : VLM_OK;
    }
}

static int read_text(struct builder *it, struct vlm_sequencer *sequencer, struct vlm_err *err)
{
    struct vlm_sequence ids = { 0 };
    struct vlm_sequence *out = &it->prompt->sequence;
    size_t masks = 0;
    const char *text = it->text.size ? (const char *)it->text.data : "";
    int rc = vlm_sequence_parse_at(sequencer, &ids, text, it->text.size,
                                   VLM_PARSE_PROMPT | (it->markup ? VLM_PARSE_MARKUP : 0),
                                   it->places, it->n_places, err);
    if (rc == VLM_OK && (!vlm_prompt_begin(out, it->vocabulary, it->recipe) ||
                         !vlm_sequence_append(out, &ids, 0, ids.n)))
        rc = no_memory(err);
    for (size_t i = 0; rc == VLM_OK && i < out->n; i++)
        masks += vlm_vocabulary_mask_number(it->vocabulary, out->ids[i]) >= 0;
    if (rc == VLM_OK && masks != it->prompt->n_masks)
        rc = vlm_fail(err, VLM_EUSAGE, "%zu masks of %zu stand where none can",
                      it->prompt->n_masks - masks, it->prompt->n_masks);
    vlm_sequence_release(&ids);
    return rc;
}

int vlm_prompt_from_parts(struct vlm_prompt *prompt, struct vlm_sequencer *sequencer,
                          const struct vlm_vocabulary *vocabulary, const struct vlm_recipe *recipe,
                          const struct vlm_prompt_part *parts, size_t n, unsigned flags,
                          struct vlm_err *err)
{
    struct builder it = { .prompt = prompt,
                          .vocabulary = vocabulary,
                          .recipe = recipe,
                          .markup = vlm_prompt_is_markup(recipe),
                          .flags = flags };
    *prompt = (struct vlm_prompt){ .codes = NULL };
    vlm_grammar_init(&it.page, vocabulary);
    int rc = VLM_OK;
    for (; rc == VLM_OK && it.part < n; it.part++)
        rc = add_part(&it, &parts[it.part], err);
    if (rc == VLM_OK && (flags & VLM_PROMPT_CLOSE) && it.markup && prompt->n_masks)
        rc = close_page(&it, err);
    if (rc == VLM_OK && it.text.failed)
        rc = no_memory(err);
    if (rc == VLM_OK)
        rc = read_text(&it, sequencer, err);
    vlm_buffer_release(&it.text);
    free(it.places);
    return rc;
}

int vlm_prompt_from_ids(struct vlm_prompt *prompt, const struct vlm_vocabulary *vocabulary,
                        const uint32_t *ids, size_t n, struct vlm_err *err)
{
    *prompt = (struct vlm_prompt){ .codes = NULL };
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= vocabulary->size)
            return vlm_fail(err, VLM_EUSAGE,
                            "token %zu is %" PRIu32 ", the model knows 0 to %" PRIu32, i, ids[i],
                            vocabulary->size - 1);
        if (!vlm_sequence_push(&prompt->sequence, ids[i], 1))
            return no_memory(err);
        if (vlm_vocabulary_mask_number(vocabulary, ids[i]) >= 0 &&
            prompt->n_masks < VLM_MASKS_DEFAULT)
            prompt->mask_codes[prompt->n_masks++] = VLM_MASK_ANY;
    }
    return VLM_OK;
}

void vlm_prompt_drop_start(struct vlm_prompt *prompt, const struct vlm_vocabulary *vocabulary)
{
    struct vlm_sequence *ids = &prompt->sequence;
    if (!vocabulary->n_masks || ids->n < 2 || ids->ids[ids->n - 1] != vocabulary->mask[0])
        return;
    for (size_t i = 0; i + 1 < ids->n; i++)
        if (ids->ids[i] == vocabulary->mask[0]) {
            ids->n--;
            prompt->n_masks -= prompt->n_masks > 0; /* none are counted in ids */
            return;
        }
}

void vlm_prompt_options(struct vlm_generate_options *options, const struct vlm_prompt *prompt)
{
    options->mask_codes = prompt->n_masks ? prompt->mask_codes : NULL;
    options->forced = prompt->forced;
    options->any_order = prompt->any_order;
    options->space = prompt->n_masks ? prompt->space : NULL;
}

bool vlm_prompt_rectangle(uint8_t drawn[VLM_CODES], int64_t r0, int64_t c0, int64_t r1, int64_t c1)
{
    if (r0 < 0 || c0 < 0 || r1 > VLM_CODES_SIDE || c1 > VLM_CODES_SIDE || r0 >= r1 || c0 >= c1)
        return false;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++)
            drawn[r * VLM_CODES_SIDE + c] = 1;
    return true;
}
