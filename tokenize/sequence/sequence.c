/* sequence.c - documents as ids: renders one with <image:N> in the place of each image, and
 * tokenises segment by segment.
 *
 * Tags repeat from page to page, so their ids are kept in a small table: a tag is then one
 * look-up and not one for each of its pieces. What the table holds never changes an id. */
#include "base/vlm.h"

#include "base/array.h"
#include "base/hash.h"
#include "tokenize/sequence/sequencer.h"

/* Sizes such that nearly all tags without URLs fit. */
enum { TAG_SLOTS = 1024, TAG_BYTES = 40, TAG_IDS = 24, BLOCK = 8 };

struct cached_tag {
    uint64_t hash;
    uint8_t n_bytes, n_ids; /* n_bytes 0: empty */
    char bytes[TAG_BYTES];
    uint32_t ids[TAG_IDS], start[TAG_IDS];
};

struct vlm_tag_cache {
    struct cached_tag slots[TAG_SLOTS];
};

const char *vlm_modality_name(unsigned modality)
{
    static const char *const names[VLM_MODALITIES] = {
        [VLM_MODALITY_TEXT] = "text",
        [VLM_MODALITY_MARKUP] = "markup",
        [VLM_MODALITY_IMAGE] = "image",
    };
    VLM_BUG_IF(modality >= VLM_MODALITIES);
    return names[modality];
}

static int no_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory for the tokens of a document");
}

bool vlm_sequence_reserve(struct vlm_sequence *sequence, size_t more)
{
    const size_t n = sequence->n, was = sequence->capacity;
    size_t ids = was, weights = was, modality = was, start = was; /* all become the same */
    if (more <= was - n)
        return true;
    if (!vlm_array_reserve(&sequence->ids, &ids, n, more, sizeof(*sequence->ids)) ||
        !vlm_array_reserve(&sequence->weights, &weights, n, more, sizeof(*sequence->weights)) ||
        !vlm_array_reserve(&sequence->modality, &modality, n, more, sizeof(*sequence->modality)) ||
        !vlm_array_reserve(&sequence->start, &start, n, more, sizeof(*sequence->start)))
        return false;
    sequence->capacity = ids;
    return true;
}

bool vlm_sequence_reserve_images(struct vlm_sequence *sequence, size_t more)
{
    return vlm_array_reserve(&sequence->images, &sequence->images_capacity, sequence->n_images,
                             more, sizeof(*sequence->images));
}

void vlm_sequence_reset(struct vlm_sequence *sequence)
{
    sequence->n = sequence->n_images = 0;
}

void vlm_sequence_release(struct vlm_sequence *sequence)
{
    free(sequence->ids);
    free(sequence->weights);
    free(sequence->modality);
    free(sequence->start);
    free(sequence->images);
    *sequence = (struct vlm_sequence){ 0 };
}

int vlm_sequencer_new(struct vlm_sequencer **out, const struct vlm_vocabulary *vocabulary,
                      struct vlm_err *err)
{
    struct vlm_sequencer *sequencer = calloc(1, sizeof(*sequencer));
    *out = sequencer;
    if (!sequencer || !(sequencer->cache = calloc(1, sizeof(*sequencer->cache))))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a sequencer");
    sequencer->vocabulary = vocabulary;
    sequencer->tokens.with_spans = true;
    return vlm_text_encoder_new(&sequencer->encoder, vocabulary->tokenizer, err);
}

void vlm_sequencer_free(struct vlm_sequencer *sequencer)
{
    if (!sequencer)
        return;
    vlm_text_encoder_free(sequencer->encoder);
    vlm_tokens_release(&sequencer->tokens);
    vlm_buffer_release(&sequencer->rendering);
    free(sequencer->cache);
    free(sequencer);
}

struct vlm_bytes vlm_sequencer_rendering(const struct vlm_sequencer *sequencer)
{
    const struct vlm_buffer *rendering = &sequencer->rendering;
    return (struct vlm_bytes){ rendering->data, rendering->data + rendering->size, false };
}

/* Counts n tokens whose ids and starts are written already; weights come at the end. */
static void count(struct vlm_sequence *out, size_t n, enum vlm_modality modality)
{
    memset(out->modality + out->n, (int)modality, n);
    out->n += n;
}

int vlm_sequencer_end(struct vlm_sequence *out, struct vlm_err *err)
{
    if (!vlm_sequence_reserve(out, BLOCK))
        return no_memory(err);
    for (size_t i = 0; i < out->n; i += BLOCK) {
        float *block = out->weights + i;
        for (size_t k = 0; k < BLOCK; k++)
            block[k] = 1;
    }
    return VLM_OK;
}

int vlm_sequencer_add(struct vlm_sequence *out, uint32_t id, enum vlm_modality modality,
                      uint32_t start, struct vlm_err *err)
{
    if (!vlm_sequence_reserve(out, 1))
        return no_memory(err);
    out->ids[out->n] = id;
    out->start[out->n] = start;
    count(out, 1, modality);
    return VLM_OK;
}

int vlm_sequencer_add_image(struct vlm_sequence *out, const struct vlm_sequence_image *image,
                            struct vlm_err *err)
{
    if (!vlm_sequence_reserve_images(out, 1))
        return no_memory(err);
    out->images[out->n_images++] = *image;
    return VLM_OK;
}

static int add_text(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                    const struct vlm_segment *segment, enum vlm_modality modality,
                    struct vlm_err *err)
{
    struct vlm_tokens *tokens = &sequencer->tokens;
    tokens->n = 0;
    int rc = vlm_text_encode(sequencer->encoder, tokens, sequencer->text + segment->start,
                             segment->end - segment->start, 0, err);
    if (rc != VLM_OK)
        return rc;
    if (!vlm_sequence_reserve(out, tokens->n))
        return no_memory(err);
    uint32_t *start = out->start + out->n;
    if (tokens->n)
        memcpy(out->ids + out->n, tokens->ids, tokens->n * sizeof(*tokens->ids));
    for (size_t i = 0; i < tokens->n; i++)
        start[i] = segment->start + tokens->spans[i].start;
    count(out, tokens->n, modality);
    return VLM_OK;
}

static void remember_tag(struct cached_tag *slot, uint64_t hash, const char *text, size_t n,
                         const struct vlm_tokens *tokens)
{
    if (tokens->n > TAG_IDS)
        return;
    slot->hash = hash;
    slot->n_bytes = (uint8_t)n;
    slot->n_ids = (uint8_t)tokens->n;
    memcpy(slot->bytes, text, n);
    for (size_t i = 0; i < tokens->n; i++) {
        slot->ids[i] = tokens->ids[i];
        slot->start[i] = tokens->spans[i].start;
    }
}

/* Whole blocks, for loops of fixed length are the fast ones; there is room for them. */
static void copy_block(uint32_t *restrict ids, uint32_t *restrict start,
                       const struct cached_tag *slot, size_t from, uint32_t base)
{
    for (size_t i = 0; i < BLOCK; i++) {
        ids[i] = slot->ids[from + i];
        start[i] = base + slot->start[from + i];
    }
}

static int add_markup(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                      const struct vlm_segment *segment, struct vlm_err *err)
{
    const char *text = sequencer->text + segment->start;
    const size_t n = segment->end - segment->start;
    if (*text == '<')
        sequencer->tag = out->n;
    if (n > TAG_BYTES)
        return add_text(sequencer, out, segment, VLM_MODALITY_MARKUP, err);
    const uint64_t hash = vlm_xxh3(text, n);
    struct cached_tag *slot = &sequencer->cache->slots[hash % TAG_SLOTS];
    if (slot->hash != hash || slot->n_bytes != n || memcmp(slot->bytes, text, n) != 0) {
        int rc = add_text(sequencer, out, segment, VLM_MODALITY_MARKUP, err);
        if (rc == VLM_OK)
            remember_tag(slot, hash, text, n, &sequencer->tokens);
        return rc;
    }
    if (!vlm_sequence_reserve(out, TAG_IDS))
        return no_memory(err);
    for (size_t i = 0; i < slot->n_ids; i += BLOCK)
        copy_block(out->ids + out->n + i, out->start + out->n + i, slot, i, segment->start);
    count(out, slot->n_ids, VLM_MODALITY_MARKUP);
    return VLM_OK;
}

int vlm_sequencer_add_segment(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                              const struct vlm_segment *segment, struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = sequencer->vocabulary;
    switch (segment->kind) {
    case VLM_SEGMENT_TEXT:
        return add_text(sequencer, out, segment, VLM_MODALITY_TEXT, err);
    case VLM_SEGMENT_MARKUP:
        return add_markup(sequencer, out, segment, err);
    case VLM_SEGMENT_CONTROL:
        return vlm_sequencer_add(out,
                                 segment->number < VLM_CONTROLS
                                     ? vocabulary->control[segment->number]
                                     : vocabulary->mask[segment->number - VLM_CONTROLS],
                                 VLM_MODALITY_MARKUP, segment->start, err);
    default:
        VLM_BUG_IF(true);
    }
}

/* Returns the largest code. */
static uint32_t copy_codes(uint32_t *restrict ids, const uint16_t *restrict codes, uint32_t first)
{
    uint16_t largest = 0;
    for (size_t i = 0; i < VLM_IMAGE_CODES; i++) {
        largest = VLM_MAX(largest, codes[i]);
        ids[i] = first + codes[i];
    }
    return largest;
}

/* The codes of an image in the place of its <image:N>. */
static int add_codes(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                     const struct vlm_segment *segment, const struct vlm_document *document,
                     struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = sequencer->vocabulary;
    const uint16_t *codes = document->images[segment->number].codes;
    if (!vocabulary->n_codes)
        return vlm_fail(err, VLM_SKIP, "image %" PRIu32 " has codes, the vocabulary has none",
                        segment->number);
    const struct vlm_sequence_image image = { .image = segment->number,
                                              .position = (uint32_t)out->n,
                                              .n_tokens = VLM_IMAGE_CODES,
                                              .tag = (uint32_t)sequencer->tag };
    int rc = vlm_sequencer_add_image(out, &image, err);
    if (rc < 0)
        return rc;
    if (!vlm_sequence_reserve(out, VLM_IMAGE_CODES))
        return no_memory(err);
    uint32_t largest = copy_codes(out->ids + out->n, codes, vocabulary->first_code);
    for (size_t i = 0; i < VLM_IMAGE_CODES; i++)
        out->start[out->n + i] = segment->start;
    if (largest >= vocabulary->n_codes)
        return vlm_fail(err, VLM_EDIFFER,
                        "image %" PRIu32 " has the code %" PRIu32 ", the vocabulary has %" PRIu32
                        " of them",
                        segment->number, largest, vocabulary->n_codes);
    count(out, VLM_IMAGE_CODES, VLM_MODALITY_IMAGE);
    return VLM_OK;
}

/* <image:N> is codes in markup, one token in text. */
static int add_image(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                     const struct vlm_segment *segment, const struct vlm_document *document,
                     bool markup, struct vlm_err *err)
{
    VLM_BUG_IF(segment->number >= document->n_images);
    if (markup)
        return add_codes(sequencer, out, segment, document, err);
    const struct vlm_sequence_image image = { .image = segment->number,
                                              .position = (uint32_t)out->n,
                                              .n_tokens = 1,
                                              .tag = (uint32_t)out->n };
    int rc = vlm_sequencer_add_image(out, &image, err);
    if (rc < 0)
        return rc;
    return vlm_sequencer_add(out, sequencer->vocabulary->control[VLM_CONTROL_IMAGE],
                             VLM_MODALITY_MARKUP, segment->start, err);
}

/* The bytes [from, to) of the rendering. */
static int add_rendering(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                         const struct vlm_document *document, bool markup, size_t from, size_t to,
                         struct vlm_err *err)
{
    struct vlm_segmenter segmenter = { .text = sequencer->text,
                                       .n = to,
                                       .at = from,
                                       .markup = markup,
                                       .words = !markup,
                                       .images = true };
    struct vlm_segment segment;
    int rc = VLM_OK;
    while (rc == VLM_OK && vlm_segment_next(&segmenter, &segment))
        rc = segment.kind == VLM_SEGMENT_IMAGE
                 ? add_image(sequencer, out, &segment, document, markup, err)
                 : vlm_sequencer_add_segment(sequencer, out, &segment, err);
    return rc;
}

/* The lines of a rendering, each with an end behind it: those of pair are samples of their own. */
static int add_lines(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                     const struct vlm_document *document, enum vlm_render form, struct vlm_err *err)
{
    const size_t n = sequencer->rendering.size;
    int rc = VLM_OK;
    for (size_t from = 0; rc == VLM_OK && from < n;) {
        const char *line = sequencer->text + from;
        const char *found = form == VLM_RENDER_PAIR ? memchr(line, '\n', n - from) : NULL;
        size_t to = found ? (size_t)(found - sequencer->text) : n;
        rc = add_rendering(sequencer, out, document, false, from, to, err);
        if (rc == VLM_OK)
            rc = vlm_sequencer_add(out, sequencer->vocabulary->control[VLM_CONTROL_END],
                                   VLM_MODALITY_MARKUP, VLM_NOWHERE, err);
        from = to + 1;
    }
    return rc;
}

int vlm_sequence_render(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                        const struct vlm_document *document, enum vlm_render form, unsigned flags,
                        struct vlm_err *err)
{
    struct vlm_buffer *rendering = &sequencer->rendering;
    vlm_sequence_reset(out);
    vlm_buffer_reset(rendering);
    vlm_render(rendering, document, form, flags | VLM_RENDER_PLACEHOLDERS | VLM_RENDER_CODED);
    if (rendering->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory to render a document");
    if (rendering->size >= VLM_NOWHERE)
        return vlm_fail(err, VLM_ELIMIT, "a rendering of %zu bytes is over the limit",
                        rendering->size);
    sequencer->text = (const char *)rendering->data;
    const struct vlm_segment all = { .kind = VLM_SEGMENT_TEXT, .end = (uint32_t)rendering->size };
    int rc;
    if (!rendering->size)
        return VLM_OK;
    switch (form) {
    case VLM_RENDER_JSON:
    case VLM_RENDER_TEXT:
        rc = add_text(sequencer, out, &all, VLM_MODALITY_TEXT, err);
        break;
    case VLM_RENDER_CM3:
    case VLM_RENDER_HTLM:
        rc = add_rendering(sequencer, out, document, true, 0, rendering->size, err);
        break;
    case VLM_RENDER_M3W:
    case VLM_RENDER_PAIR:
        rc = add_lines(sequencer, out, document, form, err);
        break;
    default:
        VLM_BUG_IF(true); /* not a form */
    }
    return rc == VLM_OK ? vlm_sequencer_end(out, err) : rc;
}
