/* fuzz_prompt.c - prompts of any bytes, answered by a model of width 8 with random weights.
 *
 * Whatever the prompt is: it is refused in a sentence, or answered; then drawn codes stand in the src of an img
 * only, an image that no limit cut is whole, a hole within an image got what it lacks, and no control token was
 * drawn. The first byte is the seed, the second says how many tokens, the third whether the rest is a string or parts:
 * then a byte below 32 begins a part of a kind. No text of a part but of VLM_PROMPT_WORDS becomes a control token, and
 * cells that are not to be drawn keep their codes. */
#include "base/vlm.h"

#include "models/generate/grammar.h"
#include "models/generate/prompt.h"
#include "tests/sequence_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CODES = 20, CONTEXT = 400, PROMPT_MAX = 2000, PARTS_MAX = 24 };

static struct vlm_engine engine; /* one of each for all runs */
static struct vlm_vocabulary vocabulary;
static struct vlm_sequencer *sequencer;
static struct vlm_model model;
static struct vlm_generator *generator;
static struct vlm_recipe recipe;

static void open_once(void)
{
    const struct vlm_vocabulary_options options = { .n_codes = CODES };
    struct vlm_err err = { 0 };
    if (generator)
        return;
    struct vlm_text_tokenizer *tokenizer = fixture_tokenizer(true);
    if (!tokenizer || vlm_vocabulary_init(&vocabulary, tokenizer, &options, &err) ||
        vlm_sequencer_new(&sequencer, &vocabulary, &err) ||
        vlm_recipe_open(&recipe, "cm3", NULL, 0, &err) ||
        vlm_engine_init(&engine, 1, VLM_GEMM_OWN, &err))
        abort();
    const struct vlm_model_config config = {
        .layer = vlm_layer_find("pre-ln"),
        .sizes = { .width = 8,
                   .heads = 1,
                   .kv_heads = 1,
                   .head_size = 8,
                   .hidden = 8,
                   .biases = true,
                   .activation = VLM_GELU_TANH,
                   .norm_epsilon = 1e-5f,
                   .position = VLM_POSITION_SINUSOID },
        .layers = 1,
        .vocabulary = vocabulary.size,
        .context = CONTEXT,
        .tied = true,
    };
    if (vlm_model_init(&model, &config, 0, &err))
        abort();
    vlm_model_fill(&model, 1);
    if (vlm_generator_new(&generator, &engine, &model, &vocabulary, 0, VLM_F32, &err))
        abort();
}

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* Walks over the page with its spans in place. */
static void check(const struct vlm_prompt *prompt, const struct vlm_answer *answer)
{
    const struct vlm_sequence *page = &answer->sequence;
    struct vlm_grammar grammar;
    size_t at = 0;
    vlm_grammar_init(&grammar, &vocabulary);
    for (size_t i = 0, mask = 0; i <= prompt->sequence.n; i++) {
        bool hole = i < prompt->sequence.n &&
                    vlm_vocabulary_mask_number(&vocabulary, prompt->sequence.ids[i]) >= 0;
        if (i < prompt->sequence.n && !hole) {
            require(page->ids[at] == prompt->sequence.ids[i], "the prompt is another");
            vlm_grammar_feed(&grammar, page->ids[at++]);
            continue;
        }
        if (mask == answer->n_fills)
            break;
        const struct vlm_sequence *fill = &answer->fills[mask++];
        for (size_t k = 0; k < fill->n; k++) {
            bool code = vlm_vocabulary_is_code(&vocabulary, fill->ids[k]);
            require(page->ids[at] == fill->ids[k], "the fill is another");
            require(code || fill->ids[k] >= FIXTURE_CONTROLS, "a control token was drawn");
            require(!code || grammar.place == VLM_PLACE_IMAGE, "a code outside of images");
            require(code || grammar.place != VLM_PLACE_IMAGE || grammar.codes >= 256,
                    "an image was cut");
            vlm_grammar_feed(&grammar, page->ids[at++]);
        }
    }
    require(at == page->n, "tokens of nobody");
    require(page->n <= CONTEXT, "an answer beyond the context");
}

/* ---- parts ---- */

struct cut {
    struct vlm_prompt_part parts[PARTS_MAX];
    size_t n, masks;
    bool words;
    uint16_t codes[256];
    uint8_t drawn[256];
};

static void cut_parts(struct cut *cut, const char *text, size_t n, unsigned seed)
{
    for (size_t i = 0; i < 256; i++) {
        cut->codes[i] = (uint16_t)(i * 7 % CODES);
        cut->drawn[i] = (i * (seed | 1) + i / 16) % 11 < 2;
    }
    for (size_t at = 0; at < n && cut->n < PARTS_MAX;) {
        struct vlm_prompt_part *part = &cut->parts[cut->n++];
        unsigned kind = (unsigned char)text[at] < 32 ? (unsigned char)text[at++] : 1;
        size_t end = at;
        while (end < n && (unsigned char)text[end] >= 32)
            end++;
        *part = (struct vlm_prompt_part){ .kind = kind % 5, .text = text + at, .n = end - at };
        at = end;
        cut->words |= part->kind == VLM_PROMPT_WORDS;
        if (part->kind == VLM_PROMPT_IMAGE) {
            part->codes = kind & 8 ? NULL : cut->codes;
            part->drawn = kind & 16 && part->codes ? cut->drawn : NULL;
            part->text = part->n ? part->text : NULL;
            cut->masks += !part->codes || part->drawn;
        }
        cut->masks += part->kind == VLM_PROMPT_MASK;
    }
}

static void check_parts(const struct cut *cut, const struct vlm_prompt *prompt)
{
    size_t controls = 0, masks = 0;
    for (size_t i = 1; i < prompt->sequence.n; i++) {
        const uint32_t id = prompt->sequence.ids[i];
        const bool mask = vlm_vocabulary_mask_number(&vocabulary, id) >= 0;
        masks += mask;
        controls += !mask && id < FIXTURE_CONTROLS;
    }
    require(masks == prompt->n_masks, "masks were miscounted");
    if (cut->words)
        return;
    require(masks == cut->masks, "another number of masks");
    require(!controls, "text became a control token");
}

static void check_forced(const struct vlm_prompt *prompt, const struct vlm_answer *answer)
{
    for (size_t i = 0; prompt->forced && i < answer->n_fills; i++)
        for (size_t k = 0; k < answer->fills[i].n && k < 256; k++) {
            const uint16_t code = prompt->forced[i * 256 + k];
            require(code == VLM_CODE_UNKNOWN ||
                        answer->fills[i].ids[k] == vocabulary.first_code + code,
                    "a known cell has changed");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const words[] = { "ab", "<p>", "\xc3\xa4" };
    struct vlm_prompt prompt;
    struct vlm_answer answer = { 0 };
    struct vlm_err err = { 0 };
    struct cut cut = { .n = 0 };
    uint16_t codes[2 * 256] = { 0 };
    open_once();
    if (size < 3 || size > PROMPT_MAX)
        return 0;
    const char *text = (const char *)data + 3;
    const bool parts = data[2] & 1;
    size_t n = size - 3, images = vlm_prompt_images(text, n);
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    options.seed = data[0];
    options.max_tokens = data[1] % 32; /* 0: to the end, in one of 32 */
    options.one_image = data[1] & 64;
    options.temperature = data[1] & 128 ? 0 : 1;
    options.words = words;
    options.n_words = data[2] & 2 ? 3 : 0;
    options.beams = data[2] & 4 && options.max_tokens ? 3 : 0;
    options.repeat = data[2] & 8 ? 1.5 : 1;
    options.ignore_end = data[2] & 16;
    if (parts)
        cut_parts(&cut, text, n, data[0]);
    int rc = parts ? vlm_prompt_from_parts(&prompt, sequencer, &vocabulary, &recipe, cut.parts,
                                           cut.n, data[2] >> 5, &err)
                   : vlm_prompt_make(&prompt, sequencer, &vocabulary, &recipe, text, n, codes,
                                     VLM_MIN(images, (size_t)2), &err);
    if (rc == VLM_OK && parts)
        check_parts(&cut, &prompt);
    if (parts)
        vlm_prompt_options(&options, &prompt);
    if (rc == VLM_OK)
        rc = vlm_generate(generator, &answer, prompt.sequence.ids, prompt.sequence.n, NULL, 0,
                          &options, &err);
    require(rc == VLM_OK || (rc == VLM_EUSAGE && err.msg[0]), "neither an answer nor a sentence");
    if (rc == VLM_OK) {
        check(&prompt, &answer);
        check_forced(&prompt, &answer);
    }
    vlm_answer_release(&answer);
    vlm_prompt_release(&prompt);
    return 0;
}
