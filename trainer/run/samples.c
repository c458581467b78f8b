/* samples.c - the recipe's prompts answered with the weights of a step; a text and a sheet of pictures.
 *
 * Pictures of prompts are the first of validation documents that have codes, one a document, and the seed of
 * an answer does not change from step to step: so sheets of one run can be laid side by side. */
#include "base/vlm.h"

#include "base/array.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "models/generate/generate.h"
#include "models/generate/grammar.h"
#include "models/generate/prompt.h"
#include "trainer/run/samples.h"
#include "vqgan/train/sheet.h"

enum {
    ANSWERS = 4,            /* to a prompt; also the squares of a row */
    PICTURES_MAX = 16,      /* of validation documents */
    DOCUMENTS_MAX = 100000, /* looked at for them */
    WORDS_MAX = 512,        /* bytes of a picture's alt text */
    FILL_TEXT = 64,         /* tokens */
    FILL_IMAGE = VLM_IMAGE_CODES + 64,
};
/* Of text; codes are drawn as the model has them. */
#define TEMPERATURE 0.7
#define TOP_P       0.95
/* A large model answers each prompt once: a picture costs as much as some steps. */
#define SMALL_MODEL ((size_t)40000000)

/* A picture of a validation document. */
struct picture {
    uint16_t codes[VLM_CODES];
    char words[WORDS_MAX];
    char url[WORDS_MAX];
};

struct making {
    const struct vlm_samples *samples;
    struct vlm_generator *generator;
    struct vlm_sequencer *sequencer;
    struct picture *pictures; /* [PICTURES_MAX] */
    size_t n_pictures;
    struct vlm_buffer text, scratch;
    uint8_t *squares;              /* [rows][ANSWERS] */
    size_t rows, capacity, column; /* column: the next one of the last row */
};

/* ---- pictures of validation documents ---- */

static void copy_words(char to[WORDS_MAX], const char *text, size_t n)
{
    n = vlm_utf8_valid_prefix(text, VLM_MIN(n, (size_t)WORDS_MAX - 1)); /* not inside a character */
    memcpy(to, text, n);
    to[n] = 0;
}

/* The first usable picture, if there is one; `words`: that has an alt text. */
static void take_picture(struct making *making, const struct vlm_document *document, bool words)
{
    for (size_t i = 0; i < document->n_images; i++) {
        const struct vlm_document_image *image = &document->images[i];
        if (!image->codes || (words && !image->alt.length))
            continue;
        struct picture *picture = &making->pictures[making->n_pictures++];
        memcpy(picture->codes, image->codes, sizeof(picture->codes));
        copy_words(picture->words, document->text + image->alt.start, image->alt.length);
        copy_words(picture->url, document->url, strlen(document->url));
        return;
    }
}

static int look_through(struct making *making, struct vlm_corpus_reader *reader, size_t wanted,
                        bool words, struct vlm_err *err)
{
    struct vlm_corpus *corpus = making->samples->corpus;
    struct vlm_arena arena;
    uint64_t seen = 0;
    int rc = VLM_OK;
    vlm_arena_init(&arena, VLM_GIB);
    for (size_t s = 0; rc >= 0 && s < vlm_corpus_sources(corpus); s++) {
        const uint64_t n = vlm_corpus_source(corpus, s)->documents;
        for (uint64_t i = 0; rc >= 0 && i < n && making->n_pictures < wanted; i++) {
            struct vlm_document *document;
            enum vlm_left_out why;
            if (seen++ >= DOCUMENTS_MAX)
                break;
            vlm_arena_reset(&arena);
            rc = vlm_corpus_document(reader, (struct vlm_pick){ .source = s, .number = i },
                                     VLM_SPLIT_VALIDATION, &document, &why, &arena, err);
            if (rc == VLM_OK)
                take_picture(making, document, words);
        }
    }
    vlm_arena_release(&arena);
    return VLM_MIN(rc, VLM_OK);
}

/* Those with words, which answers can be compared with; when there are none, any. */
static int find_pictures(struct making *making, size_t wanted, struct vlm_err *err)
{
    struct vlm_corpus_reader *reader = NULL;
    if (!wanted)
        return VLM_OK;
    int rc = vlm_corpus_reader_new(&reader, making->samples->corpus, err);
    if (rc == VLM_OK)
        rc = look_through(making, reader, wanted, true, err);
    if (rc == VLM_OK && !making->n_pictures)
        rc = look_through(making, reader, wanted, false, err);
    vlm_corpus_reader_free(reader);
    return rc;
}

/* ---- the sheet ---- */

/* n squares side by side, in a new white row when the last one has no room. NULL: no memory. */
static uint8_t *squares_for(struct making *making, size_t n)
{
    const size_t row = (size_t)ANSWERS * VLM_SQUARE_BYTES;
    if (making->rows == 0 || making->column + n > ANSWERS) {
        if (!vlm_array_reserve(&making->squares, &making->capacity, making->rows, 1, row))
            return NULL;
        memset(making->squares + making->rows++ * row, 255, row);
        making->column = 0;
    }
    uint8_t *at = making->squares + (making->rows - 1) * row + making->column * VLM_SQUARE_BYTES;
    making->column += n;
    return at;
}

/* The codes of a picture in a prompt; what its masks stand for in the answer is unknown. */
static void copy_known(uint16_t codes[VLM_CODES], const struct vlm_vocabulary *vocabulary,
                       const uint32_t *ids, size_t n, const struct vlm_answer *answer)
{
    size_t used = 0;
    for (size_t i = 0; i < VLM_CODES; i++)
        codes[i] = VLM_CODE_UNKNOWN;
    for (size_t i = 0; i < n && used < VLM_CODES; i++) {
        int mask = vlm_vocabulary_mask_number(vocabulary, ids[i]);
        if (mask >= 0)
            used += answer->fills[mask].n;
        else if (vlm_vocabulary_is_code(vocabulary, ids[i]))
            codes[used++] = (uint16_t)(ids[i] - vocabulary->first_code);
        else
            break;
    }
}

/* ---- a prompt ---- */

/* What a prompt asks for. */
struct asked {
    const char *text;
    struct vlm_prompt prompt;
    size_t images;   /* {image} in it */
    bool masks;      /* holes are to be filled; else it is to be continued */
    bool inside;     /* the first hole, or the end, is within an image, */
    size_t image_at; /* whose codes begin here */
};

static void look_at(struct asked *asked, const struct vlm_vocabulary *vocabulary)
{
    const struct vlm_sequence *ids = &asked->prompt.sequence;
    struct vlm_grammar grammar;
    size_t i = 0;
    vlm_grammar_init(&grammar, vocabulary);
    for (; i < ids->n && vlm_vocabulary_mask_number(vocabulary, ids->ids[i]) < 0; i++) {
        vlm_grammar_feed(&grammar, ids->ids[i]);
        if (grammar.place == VLM_PLACE_IMAGE && !grammar.codes)
            asked->image_at = i + 1;
    }
    asked->masks = i < ids->n;
    asked->inside = grammar.place == VLM_PLACE_IMAGE;
}

static struct vlm_generate_options
options_for(const struct making *making, const struct asked *asked, size_t answer, uint32_t stop[1])
{
    const struct vlm_samples *samples = making->samples;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    options.seed = samples->seed + answer;
    options.temperature = TEMPERATURE;
    options.top_p = TOP_P;
    options.max_tokens = FILL_TEXT;
    options.one_image = true;
    options.no_grammar = !samples->recipe->image_grammar;
    options.n_stop = vlm_prompt_stops(stop, samples->vocabulary, samples->recipe);
    options.stop = stop;
    if (asked->inside ||
        (!asked->masks && samples->vocabulary->n_codes && !samples->recipe->encoder))
        options.max_tokens = FILL_IMAGE;
    return options;
}

/* Squares of an answer: the picture, with its hole, filled, when there was a hole within it; else the picture that
 * words were found for, or what was drawn. */
static int add_squares(struct making *making, const struct asked *asked,
                       const struct vlm_answer *answer, const struct picture *picture,
                       struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = making->samples->vocabulary;
    const struct vlm_sequence *page = &answer->sequence, *prompt = &asked->prompt.sequence;
    uint16_t codes[3][VLM_CODES];
    size_t n = 0, at = asked->image_at;
    if (asked->images)
        memcpy(codes[n++], picture->codes, sizeof(codes[0]));
    if (asked->images && asked->inside)
        copy_known(codes[n++], vocabulary, prompt->ids + at, prompt->n - at, answer);
    if (!asked->inside && page->n_images)
        at = page->images[0].position;
    if (asked->inside || (!n && page->n_images))
        vlm_answer_codes(codes[n++], vocabulary, page->ids + at, page->n - at);
    if (!n || !making->samples->images)
        return VLM_OK;
    uint8_t *squares = squares_for(making, n);
    if (!squares)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a sheet of %zu rows", making->rows + 1);
    return vlm_coder_decode(making->samples->images, squares, codes[0], n, err);
}

/* ---- the text ---- */

/* In one line of valid UTF-8. */
static void add_line(struct vlm_buffer *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t bytes = vlm_utf8_valid_at(text + i, n - i);
        if (!bytes)
            vlm_buffer_text(out, VLM_UTF8_REPLACEMENT);
        else if ((unsigned char)text[i] < ' ')
            vlm_buffer_byte(out, ' ');
        else
            vlm_buffer_add(out, text + i, bytes);
        i += VLM_MAX(bytes, (size_t)1);
    }
}

/* What was drawn, runs of codes as "[256 codes]". */
static int add_fill(struct making *making, const struct vlm_sequence *fill, struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = making->samples->vocabulary;
    struct vlm_buffer *out = &making->scratch;
    size_t at = 0;
    int rc = VLM_OK;
    vlm_buffer_reset(out);
    for (size_t i = 0; rc == VLM_OK && i < fill->n_images; i++) {
        rc = vlm_sequence_text(out, vocabulary, fill->ids + at, fill->images[i].position - at, err);
        vlm_buffer_printf(out, "[%" PRIu32 " codes]", fill->images[i].n_tokens);
        at = fill->images[i].position + fill->images[i].n_tokens;
    }
    if (rc == VLM_OK)
        rc = vlm_sequence_text(out, vocabulary, fill->ids + at, fill->n - at, err);
    add_line(&making->text, out->size ? (const char *)out->data : "", out->size);
    return rc;
}

static int add_answer(struct making *making, size_t number, const struct asked *asked,
                      const struct vlm_answer *answer, const struct picture *picture,
                      struct vlm_err *err)
{
    int rc = VLM_OK;
    vlm_buffer_printf(&making->text, "%zu. answer: ", number + 1);
    for (size_t i = 0; rc == VLM_OK && i < answer->n_fills; i++) {
        if (i)
            vlm_buffer_text(&making->text, " | ");
        rc = add_fill(making, &answer->fills[i], err);
        if (answer->why[i] == VLM_STOP_LIMIT)
            vlm_buffer_text(&making->text, " ...");
    }
    vlm_buffer_byte(&making->text, '\n');
    if (asked->images) {
        vlm_buffer_text(&making->text, "   page:   ");
        add_line(&making->text, picture->words, strlen(picture->words));
        vlm_buffer_text(&making->text, "   ");
        add_line(&making->text, picture->url, strlen(picture->url));
        vlm_buffer_byte(&making->text, '\n');
    }
    return rc;
}

/* ---- prompts and answers ---- */

/* Answer number `number` to a prompt. VLM_EUSAGE: it cannot be answered. */
static int answer_once(struct making *making, struct asked *asked, size_t number,
                       struct vlm_err *err)
{
    const struct vlm_samples *samples = making->samples;
    const struct picture *picture = making->pictures + number * asked->images;
    struct vlm_answer answer = { 0 };
    uint32_t stop[1];
    uint16_t codes[PICTURES_MAX * VLM_CODES];
    for (size_t i = 0; i < asked->images; i++)
        memcpy(codes + i * VLM_CODES, picture[i].codes, sizeof(picture[i].codes));
    int rc =
        vlm_prompt_make(&asked->prompt, making->sequencer, samples->vocabulary, samples->recipe,
                        asked->text, strlen(asked->text), codes, asked->images, err);
    if (rc == VLM_OK) {
        look_at(asked, samples->vocabulary);
        const struct vlm_generate_options options = options_for(making, asked, number, stop);
        const struct vlm_prompt *prompt = &asked->prompt;
        rc = vlm_generate(making->generator, &answer, prompt->sequence.ids, prompt->sequence.n,
                          prompt->codes, prompt->n_images, &options, err);
    }
    if (rc == VLM_OK)
        rc = add_answer(making, number, asked, &answer, picture, err);
    if (rc == VLM_OK)
        rc = add_squares(making, asked, &answer, picture, err);
    vlm_answer_release(&answer);
    vlm_prompt_release(&asked->prompt);
    return rc;
}

static size_t answers_to(const struct making *making, const struct asked *asked)
{
    size_t answers = making->samples->model->count > SMALL_MODEL ? 1 : ANSWERS;
    return asked->images ? VLM_MIN(answers, making->n_pictures / asked->images) : answers;
}

static int answer_prompt(struct making *making, const char *text, struct vlm_err *err)
{
    struct asked asked = { .text = text, .images = vlm_prompt_images(text, strlen(text)) };
    struct vlm_err problem = { 0 };
    const size_t rows = making->rows, answers = answers_to(making, &asked);
    int rc = VLM_OK;
    making->column = ANSWERS; /* a row of its own */
    vlm_buffer_printf(&making->text, "\n## %s\n", text);
    for (size_t i = 0; rc == VLM_OK && i < answers; i++)
        rc = answer_once(making, &asked, i, &problem);
    if (rc == VLM_EUSAGE)
        vlm_buffer_printf(&making->text, "not answered: %s\n", problem.msg);
    else if (rc != VLM_OK)
        *err = problem;
    else if (!answers)
        vlm_buffer_text(&making->text, "not answered: no validation document has a picture\n");
    if (making->rows > rows + 1)
        vlm_buffer_printf(&making->text, "pictures: rows %zu to %zu\n", rows + 1, making->rows);
    else if (making->rows > rows)
        vlm_buffer_printf(&making->text, "pictures: row %zu\n", making->rows);
    return rc == VLM_EUSAGE ? VLM_OK : rc;
}

static size_t pictures_wanted(const struct vlm_recipe *recipe)
{
    size_t most = 0;
    for (size_t i = 0; i < recipe->n_prompts; i++)
        most = VLM_MAX(most, vlm_prompt_images(recipe->prompts[i], strlen(recipe->prompts[i])));
    return VLM_MIN(most * ANSWERS, (size_t)PICTURES_MAX);
}

/* ---- files ---- */

static int write_files(struct making *making, char file[VLM_SAMPLES_NAME_SIZE], struct vlm_err *err)
{
    const struct vlm_samples *samples = making->samples;
    char name[VLM_SAMPLES_NAME_SIZE];
    snprintf(file, VLM_SAMPLES_NAME_SIZE, "samples/step-%" PRIu64 ".txt", samples->step);
    snprintf(name, sizeof(name), "samples/step-%" PRIu64 ".png", samples->step);
    if (making->text.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for samples");
    char *folder = vlm_path_join(samples->folder, "samples");
    char *text = vlm_path_join(samples->folder, file),
         *sheet = vlm_path_join(samples->folder, name);
    int rc = vlm_folder_make(folder, err);
    if (rc == VLM_OK && making->rows)
        rc = vlm_sheet_write(sheet, making->squares, making->rows, ANSWERS, err);
    if (rc == VLM_OK)
        rc = vlm_file_write(text, making->text.data, making->text.size, err);
    free(folder);
    free(text);
    free(sheet);
    return rc;
}

int vlm_run_samples(const struct vlm_samples *samples, char file[VLM_SAMPLES_NAME_SIZE],
                    struct vlm_err *err)
{
    const struct vlm_recipe *recipe = samples->recipe;
    struct making making = { .samples = samples };
    making.pictures = calloc(PICTURES_MAX, sizeof(*making.pictures));
    int rc = making.pictures ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for pictures");
    if (rc == VLM_OK)
        rc = vlm_sequencer_new(&making.sequencer, samples->vocabulary, err);
    if (rc == VLM_OK)
        rc = vlm_generator_new(&making.generator, samples->engine, samples->model,
                               samples->vocabulary, 0, samples->precision, err);
    if (rc == VLM_OK)
        rc = find_pictures(&making, pictures_wanted(recipe), err);
    vlm_buffer_printf(&making.text,
                      "step %" PRIu64 ", seed %" PRIu64
                      "; text: temperature %g, top-p %g; codes: temperature 1\n",
                      samples->step, samples->seed, TEMPERATURE, TOP_P);
    for (size_t i = 0; rc == VLM_OK && i < recipe->n_prompts; i++)
        rc = answer_prompt(&making, recipe->prompts[i], err);
    if (rc == VLM_OK)
        rc = write_files(&making, file, err);
    vlm_generator_free(making.generator);
    vlm_sequencer_free(making.sequencer);
    vlm_buffer_release(&making.text);
    vlm_buffer_release(&making.scratch);
    free(making.squares);
    free(making.pictures);
    return rc;
}
