/* prompt.c - what people write, with images in it, as the ids that training would have. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "models/generate/prompt.h"
#include "tokenize/document.h"
#include "tokenize/sequence/run.h"
#include "tokenize/sequence/segment.h"

/* What stands for an image in a prompt. */
struct place {
    const char *at;
    size_t length;        /* bytes */
    bool part;            /* {image:A-B} */
    uint32_t first, last; /* codes */
    size_t image;         /* its number */
};

static size_t read_range(struct place *place, const char *text, size_t n)
{
    size_t first = vlm_segment_number(text, n, VLM_IMAGE_CODES, &place->first);
    if (!first || first == n || text[first] != '-')
        return 0;
    size_t last =
        vlm_segment_number(text + first + 1, n - first - 1, VLM_IMAGE_CODES, &place->last);
    return last && place->last >= place->first ? first + 1 + last : 0;
}

/* Reads the {image} at a brace. */
static bool read_place(struct place *place, const char *text, size_t n)
{
    static const char word[] = "{image";
    size_t length = sizeof(word) - 1;
    if (n <= length || memcmp(text, word, length) != 0)
        return false;
    place->part = text[length] == ':';
    place->first = 0;
    place->last = VLM_IMAGE_CODES - 1;
    if (place->part) {
        length++;
        size_t range = read_range(place, text + length, n - length);
        if (!range)
            return false;
        length += range;
    }
    place->at = text;
    place->length = length + 1;
    return length < n && text[length] == '}';
}

/* The next one behind the last, which a zeroed place is not; at first place->at is NULL. */
static bool next_place(struct place *place, const char *text, size_t n)
{
    const struct place before = *place;
    const char *end = text + n, *at = before.at ? before.at + before.length : text;
    while (at < end && (at = memchr(at, '{', (size_t)(end - at)))) {
        if (!read_place(place, at, (size_t)(end - at))) {
            at++;
            continue;
        }
        bool same = before.at && place->part && before.part && place->first > before.last;
        place->image = before.at ? before.image + !same : 0;
        return true;
    }
    return false;
}

size_t vlm_prompt_images(const char *text, size_t n)
{
    struct place place = { .at = NULL };
    size_t images = 0;
    while (next_place(&place, text, n))
        images = place.image + 1;
    return images;
}

size_t vlm_prompt_stops(uint32_t stop[1], const struct vlm_vocabulary *vocabulary,
                        const struct vlm_recipe *recipe)
{
    stop[0] = vocabulary->control[VLM_CONTROL_END_OF_CHUNK];
    return recipe->sampling.kind == VLM_SAMPLE_PAIRS;
}

bool vlm_prompt_is_markup(const struct vlm_recipe *recipe)
{
    return recipe->sampling.form == VLM_RENDER_CM3 || recipe->sampling.form == VLM_RENDER_HTLM;
}

int vlm_prompt_check_text(const char *text, size_t n, struct vlm_err *err)
{
    const size_t valid = vlm_utf8_valid_prefix(text, n);
    return valid < n ? vlm_fail(err, VLM_EUSAGE, "byte %zu is not UTF-8", valid) : VLM_OK;
}

static int check(const struct vlm_vocabulary *vocabulary, const struct vlm_recipe *recipe,
                 const char *text, size_t n, const uint16_t *codes, size_t n_images,
                 struct vlm_err *err)
{
    const size_t wanted = vlm_prompt_images(text, n);
    if (wanted != n_images)
        return vlm_fail(err, VLM_EUSAGE, "%zu images for a prompt with %zu {image}", n_images,
                        wanted);
    if (n_images && !recipe->encoder && !(vlm_prompt_is_markup(recipe) && vocabulary->n_codes))
        return vlm_fail(err, VLM_EUSAGE, "an image for a model that takes none");
    struct place place = { .at = NULL };
    while (recipe->encoder && next_place(&place, text, n))
        if (place.part)
            return vlm_fail(err, VLM_EUSAGE, "'%.*s': this model sees whole images only",
                            (int)place.length, place.at);
    for (size_t i = 0; i < n_images * VLM_IMAGE_CODES; i++)
        if (!recipe->encoder && codes[i] >= vocabulary->n_codes)
            return vlm_fail(err, VLM_EUSAGE,
                            "image %zu has the code %u, the model knows 0 to %" PRIu32,
                            i / VLM_IMAGE_CODES, codes[i], vocabulary->n_codes - 1);
    return VLM_OK;
}

/* The text with each {image} written out. */
static void write_out(struct vlm_buffer *out, const struct vlm_recipe *recipe, const char *text,
                      size_t n, const uint16_t *codes)
{
    struct place place = { .at = NULL };
    const char *at = text;
    while (next_place(&place, text, n)) {
        vlm_buffer_add(out, at, (size_t)(place.at - at));
        at = place.at + place.length;
        if (recipe->encoder)
            vlm_buffer_text(out, "<image>");
        for (uint32_t i = place.first; !recipe->encoder && i <= place.last; i++)
            vlm_buffer_printf(out, "%s%u", i > place.first ? " " : "",
                              codes[place.image * VLM_IMAGE_CODES + i]);
    }
    vlm_buffer_add(out, at, (size_t)(text + n - at));
}

/* schemas/sample.md: blocks begin with </s>, windows and pairs with <s>. */
uint32_t vlm_prompt_begin_token(const struct vlm_vocabulary *vocabulary,
                                const struct vlm_recipe *recipe)
{
    const uint32_t begin = vocabulary->control[VLM_CONTROL_BEGIN];
    if (vocabulary->foreign)
        return begin < vocabulary->size ? begin : UINT32_MAX;
    return recipe->sampling.kind == VLM_SAMPLE_CAUSAL_MASK ? vocabulary->control[VLM_CONTROL_END]
                                                           : begin;
}

bool vlm_prompt_begin(struct vlm_sequence *sequence, const struct vlm_vocabulary *vocabulary,
                      const struct vlm_recipe *recipe)
{
    const uint32_t begin = vlm_prompt_begin_token(vocabulary, recipe);
    return begin == UINT32_MAX || vlm_sequence_push(sequence, begin, 0);
}

static void count_masks(struct vlm_prompt *prompt, const struct vlm_vocabulary *vocabulary)
{
    for (size_t i = 0; i < prompt->sequence.n && prompt->n_masks < VLM_MASKS_DEFAULT; i++)
        if (vlm_vocabulary_mask_number(vocabulary, prompt->sequence.ids[i]) >= 0)
            prompt->mask_codes[prompt->n_masks++] = VLM_MASK_ANY;
}

int vlm_prompt_make(struct vlm_prompt *prompt, struct vlm_sequencer *sequencer,
                    const struct vlm_vocabulary *vocabulary, const struct vlm_recipe *recipe,
                    const char *text, size_t n, const uint16_t *codes, size_t n_images,
                    struct vlm_err *err)
{
    struct vlm_buffer whole = { 0 };
    struct vlm_sequence ids = { 0 };
    *prompt = (struct vlm_prompt){ .codes = NULL };
    int rc = vlm_prompt_check_text(text, n, err);
    if (rc != VLM_OK)
        return vlm_wrap(err, "a prompt");
    rc = check(vocabulary, recipe, text, n, codes, n_images, err);
    if (rc != VLM_OK)
        return rc;
    write_out(&whole, recipe, text, n, codes);
    if (whole.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a prompt of %zu bytes", n);
    unsigned flags = VLM_PARSE_PROMPT | (vlm_prompt_is_markup(recipe) ? VLM_PARSE_MARKUP : 0);
    if (rc == VLM_OK)
        rc = vlm_sequence_parse(sequencer, &ids, whole.size ? (const char *)whole.data : "",
                                whole.size, flags, err);
    if (rc == VLM_OK && (!vlm_prompt_begin(&prompt->sequence, vocabulary, recipe) ||
                         !vlm_sequence_append(&prompt->sequence, &ids, 0, ids.n)))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a prompt of %zu tokens", ids.n);
    count_masks(prompt, vocabulary);
    if (rc == VLM_OK && recipe->encoder && n_images) {
        prompt->codes = calloc(n_images, VLM_IMAGE_CODES * sizeof(*prompt->codes));
        if (!prompt->codes)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu images", n_images);
        for (size_t i = 0; rc == VLM_OK && i < n_images * VLM_IMAGE_CODES; i++)
            prompt->codes[i] = codes[i];
        prompt->n_images = n_images;
    }
    vlm_sequence_release(&ids);
    vlm_buffer_release(&whole);
    return rc;
}

/* The last byte of a text token; 0: it is none, or has none. */
static char last_byte(const struct vlm_vocabulary *vocabulary, uint32_t id, size_t *n)
{
    *n = 0;
    if (id >= vocabulary->n_text || vlm_vocabulary_is_control(vocabulary, id) ||
        vlm_vocabulary_mask_number(vocabulary, id) >= 0)
        return 0;
    const struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    *n = piece.at ? vlm_bytes_left(&piece) : 0;
    return *n ? (char)piece.at[*n - 1] : 0;
}

/* Whether token i is one space, between a word and a mask. */
static bool is_taken(const struct vlm_sequence *ids, size_t i,
                     const struct vlm_vocabulary *vocabulary)
{
    size_t n, before;
    const int mask = vlm_vocabulary_mask_number(vocabulary, ids->ids[i + 1]);
    if (mask < 0 || mask >= VLM_MASKS_DEFAULT)
        return false;
    if (last_byte(vocabulary, ids->ids[i], &n) != ' ' || n != 1)
        return false;
    const char word = last_byte(vocabulary, ids->ids[i - 1], &before);
    return before && !strchr(" \n\t\r\f>\"", word);
}

int vlm_prompt_take_spaces(struct vlm_prompt *prompt, const struct vlm_vocabulary *vocabulary,
                           struct vlm_err *err)
{
    struct vlm_sequence *ids = &prompt->sequence, out = { 0 };
    size_t from = 0;
    bool good = true;
    if (!vlm_text_tokenizer_is_bytewise(vocabulary->tokenizer))
        return VLM_OK;
    for (size_t i = 1; good && i + 1 < ids->n; i++) {
        if (!is_taken(ids, i, vocabulary))
            continue;
        prompt->space[vlm_vocabulary_mask_number(vocabulary, ids->ids[i + 1])] = true;
        good = vlm_sequence_append(&out, ids, from, i);
        from = i + 1;
    }
    good = good && vlm_sequence_append(&out, ids, from, ids->n);
    struct vlm_sequence kept = *ids;
    *ids = out;
    vlm_sequence_release(&kept);
    return good ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a prompt");
}

void vlm_prompt_release(struct vlm_prompt *prompt)
{
    vlm_sequence_release(&prompt->sequence);
    free(prompt->codes);
    free(prompt->forced);
    *prompt = (struct vlm_prompt){ .codes = NULL };
}
