/* pupil.c - prompts for a model of the simple world, and what it makes of them. */
#include "base/vlm.h"
#include "tools/learn/pupil.h"

#include "base/limits.h"
#include "models/generate/prompt.h"
#include "shard/parts/set.h"
#include "tools/crawl/scene_words.h"

#define PAGE_BEGIN "<html lang=\"en\"><body><img "

int pupil_open(struct pupil *pupil, const char *model, size_t threads, struct vlm_err *err)
{
    int rc = vlm_model_folder_open(&pupil->folder, model, 0, err);
    if (rc == VLM_OK && (!pupil->folder->has_vocabulary || !pupil->folder->images))
        rc = vlm_fail(err, VLM_EUSAGE, "'%s' is a model that knows no pictures", model);
    if (rc == VLM_OK)
        rc = vlm_coder_new(&pupil->coder, pupil->folder->images, threads, err);
    if (rc == VLM_OK)
        rc = vlm_sequencer_new(&pupil->sequencer, &pupil->folder->vocabulary, err);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&pupil->engine, threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = vlm_generator_new(&pupil->generator, &pupil->engine, &pupil->folder->model,
                               &pupil->folder->vocabulary, 0, VLM_F32, err);
    return rc;
}

void pupil_close(struct pupil *pupil)
{
    vlm_generator_free(pupil->generator);
    vlm_sequencer_free(pupil->sequencer);
    vlm_coder_free(pupil->coder);
    vlm_model_folder_close(pupil->folder);
    vlm_engine_release(&pupil->engine);
    *pupil = (struct pupil){ 0 };
}

/* --- pages --- */

/* The value of the first alt or title. */
static bool take_words(struct pupil_page *page, const struct vlm_document *document)
{
    const int alt = vlm_attribute_find("alt", 3), title = vlm_attribute_find("title", 5);
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind != VLM_EVENT_ATTRIBUTE || (event->name != alt && event->name != title) ||
            event->length >= PUPIL_WORDS_MAX)
            continue;
        memcpy(page->words, document->text + event->start, event->length);
        page->words[event->length] = 0;
        page->behind = event->name == title;
        return scene_parse(&page->facts, page->words, event->length) && page->facts.colour >= 0 &&
               page->facts.shape >= 0 && page->facts.place >= 0;
    }
    return false;
}

/* The tokens that overlap the bytes [from, to) of the rendering. */
static struct vlm_span tokens_of(const struct vlm_sequence *sequence, size_t from, size_t to)
{
    size_t start = 0, end = 0;
    while (start + 1 < sequence->n && sequence->start[start + 1] <= from)
        start++;
    for (end = start; end < sequence->n && sequence->start[end] < to;)
        end++;
    return (struct vlm_span){ (uint32_t)start, (uint32_t)end };
}

static bool find_spans(struct pupil_page *page, const struct vlm_sequence *sequence,
                       struct vlm_bytes rendering)
{
    const char *word[PUPIL_FACTS] = {
        scene_colour_word(scene_simple_colour((size_t)page->facts.colour)),
        scene_shape_word(scene_simple_shape((size_t)page->facts.shape)),
        scene_place_words((enum scene_place)page->facts.place),
    };
    const size_t n = vlm_bytes_left(&rendering);
    const uint8_t *text = vlm_bytes_take(&rendering, n);
    const uint8_t *words = memmem(text, n, page->words, strlen(page->words));
    if (!words)
        return false;
    for (size_t i = 0; i < PUPIL_FACTS; i++) {
        const char *at = strstr(page->words, word[i]);
        if (!at)
            return false;
        size_t from = (size_t)(words - text) + (size_t)(at - page->words);
        page->span[i] = tokens_of(sequence, from, from + strlen(word[i]));
    }
    return true;
}

static int take_page(struct pupil_page *page, struct pupil *pupil,
                     const struct vlm_document *document, struct vlm_sequence *sequence,
                     struct vlm_err *err)
{
    vlm_sequence_reset(sequence);
    int rc = vlm_sequence_render(pupil->sequencer, sequence, document, VLM_RENDER_CM3, 0, err);
    if (rc < 0)
        return rc;
    if (rc != VLM_OK || sequence->n_images != 1 || sequence->images[0].n_tokens != VLM_CODES ||
        !take_words(page, document) ||
        !find_spans(page, sequence, vlm_sequencer_rendering(pupil->sequencer)))
        return vlm_fail(err, VLM_EFORMAT, "%s is no page of the simple world", document->url);
    page->n = sequence->n;
    page->ids = malloc(sequence->n * sizeof(*page->ids));
    if (!page->ids)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a page");
    memcpy(page->ids, sequence->ids, sequence->n * sizeof(*page->ids));
    page->image.start = sequence->images[0].position;
    page->image.end = page->image.start + VLM_CODES;
    vlm_answer_codes(page->codes, &pupil->folder->vocabulary, page->ids + page->image.start,
                     VLM_CODES);
    return VLM_OK;
}

int pupil_pages_read(struct pupil_pages *pages, struct pupil *pupil, const char *folder,
                     size_t most, struct vlm_err *err)
{
    struct vlm_set *set = NULL;
    struct vlm_arena arena;
    struct vlm_sequence sequence = { 0 };
    vlm_arena_init(&arena, VLM_GIB);
    pages->n = 0;
    pages->page = calloc(most, sizeof(*pages->page));
    int rc = pages->page ? vlm_set_open(&set, folder, err)
                         : vlm_fail(err, VLM_ENOMEM, "no memory for %zu pages", most);
    while (rc == VLM_OK && pages->n < most) {
        struct vlm_document *document;
        vlm_arena_reset(&arena);
        rc = vlm_set_next(set, &document, &arena, err);
        if (rc == VLM_OK && !document->n_images)
            continue;
        if (rc == VLM_OK)
            rc = vlm_set_add_codes(set, pupil->folder->image_tokenizer_id, document, &arena, err);
        if (rc == VLM_OK)
            rc = take_page(&pages->page[pages->n], pupil, document, &sequence, err);
        pages->n += rc == VLM_OK;
    }
    vlm_sequence_release(&sequence);
    vlm_arena_release(&arena);
    vlm_set_close(set);
    if (rc == VLM_EOF)
        rc = VLM_OK;
    if (rc == VLM_OK && pages->n < 2)
        rc = vlm_fail(err, VLM_EFORMAT, "'%s' has %zu pages, expected 2 or more", folder, pages->n);
    return rc;
}

void pupil_pages_release(struct pupil_pages *pages)
{
    for (size_t i = 0; pages->page && i < pages->n; i++)
        free(pages->page[i].ids);
    free(pages->page);
    *pages = (struct pupil_pages){ 0 };
}

/* --- questions --- */

static int ask(struct vlm_answer *answer, struct pupil *pupil, const char *text,
               const struct pupil_page *page, const struct vlm_generate_options *options,
               struct vlm_err *err)
{
    struct vlm_prompt prompt = { 0 };
    int rc = vlm_prompt_make(&prompt, pupil->sequencer, &pupil->folder->vocabulary,
                             &pupil->folder->recipe, text, strlen(text), page ? page->codes : NULL,
                             page ? 1 : 0, err);
    *answer = (struct vlm_answer){ 0 };
    if (rc == VLM_OK)
        rc = vlm_generate(pupil->generator, answer, prompt.sequence.ids, prompt.sequence.n,
                          prompt.codes, prompt.n_images, options, err);
    vlm_prompt_release(&prompt);
    return rc;
}

int pupil_caption(struct vlm_buffer *words, struct pupil *pupil, const struct pupil_page *page,
                  enum pupil_caption kind, struct vlm_err *err)
{
    enum { CAPTION_TOKENS = 20 };
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    struct vlm_answer answer;
    options.temperature = options.image_temperature = 0;
    options.max_tokens = CAPTION_TOKENS;
    const char *text = kind == PUPIL_CAPTION_TITLE ? PAGE_BEGIN "src=\"{image}\" title=\""
                                                   : PAGE_BEGIN
                           "alt=\"<mask:0>\" src=\"{image}\"></body></html>";
    int rc = ask(&answer, pupil, text, page, &options, err);
    vlm_buffer_reset(words);
    if (rc == VLM_OK && answer.n_fills)
        rc = vlm_sequence_text(words, &pupil->folder->vocabulary, answer.fills[0].ids,
                               answer.fills[0].n, err);
    const uint8_t *quote = words->size ? memchr(words->data, '"', words->size) : NULL;
    if (quote)
        words->size = (size_t)(quote - words->data);
    vlm_answer_release(&answer);
    return rc;
}

int pupil_nats(double *nats, struct pupil *pupil, const struct pupil_page *page,
               enum pupil_fact fact, enum pupil_sides sides, const struct pupil_page *other,
               struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = &pupil->folder->vocabulary;
    const struct vlm_span span = page->span[fact];
    uint32_t *ids = malloc((page->n + 3) * sizeof(*ids));
    if (!ids)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a prompt");
    size_t n = 0;
    ids[n++] = vocabulary->control[VLM_CONTROL_END];
    for (size_t i = 0; i < span.start; i++)
        ids[n++] = page->ids[i];
    if (sides == PUPIL_BOTH) {
        ids[n++] = vocabulary->mask[0];
        for (size_t i = span.end; i < page->n; i++) {
            bool code = i >= page->image.start && i < page->image.end;
            ids[n++] =
                code ? vocabulary->first_code + other->codes[i - page->image.start] : page->ids[i];
        }
        ids[n++] = vocabulary->mask[0];
    }
    double total = 0;
    int rc = vlm_score(pupil->generator, &total, NULL, ids, n, page->ids + span.start,
                       span.end - span.start, NULL, 0, err);
    *nats = -total;
    free(ids);
    return rc;
}

int pupil_draw(uint8_t *square, bool *whole, struct pupil *pupil, const struct pupil_page *page,
               double temperature, double top_p, uint64_t seed, struct vlm_err *err)
{
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    struct vlm_answer answer;
    char text[PUPIL_WORDS_MAX + 64];
    uint16_t codes[VLM_CODES];
    options.seed = seed;
    options.image_temperature = temperature;
    options.image_top_p = top_p;
    options.one_image = true;
    snprintf(text, sizeof(text), PAGE_BEGIN "alt=\"%s\" src=\"", page->words);
    int rc = ask(&answer, pupil, text, NULL, &options, err);
    const struct vlm_sequence *page_drawn = &answer.sequence;
    *whole =
        rc == VLM_OK && page_drawn->n_images == 1 && page_drawn->images[0].n_tokens == VLM_CODES;
    if (*whole) {
        vlm_answer_codes(codes, &pupil->folder->vocabulary,
                         page_drawn->ids + page_drawn->images[0].position, VLM_CODES);
        rc = vlm_coder_decode(pupil->coder, square, codes, 1, err);
    }
    vlm_answer_release(&answer);
    return rc;
}
