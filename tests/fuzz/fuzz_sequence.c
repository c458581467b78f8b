/* fuzz_sequence.c - strings of any bytes to ids and back, as HTML and as text, with and without
 * control words.
 *
 * Whatever the string is: ids are of the vocabulary, codes stand where an image says so, and the
 * string of the ids gives the same ids. HTML without control words gives none, and its string is
 * what went in. */
#include "base/vlm.h"

#include "tests/sequence_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vlm_text_tokenizer *tokenizer; /* one for all runs */
static struct vlm_vocabulary vocabulary;
static struct vlm_sequencer *sequencer;

static void open_once(void)
{
    const struct vlm_vocabulary_options options = { .n_codes = 300 };
    struct vlm_err err = { 0 };
    if (sequencer)
        return;
    tokenizer = fixture_tokenizer(true);
    if (!tokenizer || vlm_vocabulary_init(&vocabulary, tokenizer, &options, &err) ||
        vlm_sequencer_new(&sequencer, &vocabulary, &err))
        abort();
}

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void check(const struct vlm_sequence *sequence, size_t size, bool plain)
{
    size_t codes = 0, listed = 0;
    uint32_t last = 0;
    for (size_t i = 0; i < sequence->n; i++) {
        const uint32_t id = sequence->ids[i];
        require(id < vocabulary.size, "an id beyond the vocabulary");
        require(sequence->start[i] >= last && sequence->start[i] < size, "starts go back");
        require(sequence->weights[i] > 0, "no weight");
        last = sequence->start[i];
        codes += vlm_vocabulary_is_code(&vocabulary, id);
        require(!plain || id >= FIXTURE_CONTROLS, "a control token out of nothing");
    }
    for (size_t i = 0; i < sequence->n_images; i++) {
        const struct vlm_sequence_image *image = &sequence->images[i];
        require(image->position + image->n_tokens <= sequence->n, "an image beyond the end");
        bool code = vlm_vocabulary_is_code(&vocabulary, sequence->ids[image->position]);
        listed += code ? image->n_tokens : 0;
        require(!plain || image->n_tokens == 256, "an image in part");
    }
    require(codes == listed, "codes of no image");
}

static void run(const char *text, size_t size, unsigned flags)
{
    struct vlm_sequence first = { 0 }, second = { 0 };
    struct vlm_buffer string = { 0 };
    struct vlm_err err = { 0 };
    const bool plain = flags == VLM_PARSE_MARKUP;
    if (vlm_sequence_parse(sequencer, &first, text, size, flags, &err) != VLM_OK ||
        vlm_sequence_text(&string, &vocabulary, first.ids, first.n, &err) != VLM_OK ||
        vlm_sequence_parse(sequencer, &second, (const char *)string.data, string.size, flags,
                           &err) != VLM_OK)
        require(false, err.msg);
    check(&first, size, plain);
    if (plain)
        require(string.size == size && (!size || !memcmp(string.data, text, size)),
                "the string is another");
    require(second.n == first.n && (!first.n || !memcmp(second.ids, first.ids, 4 * first.n)),
            "the ids of the string are others");
    vlm_sequence_release(&first);
    vlm_sequence_release(&second);
    vlm_buffer_release(&string);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_once();
    run((const char *)data, size, VLM_PARSE_MARKUP);
    run((const char *)data, size, VLM_PARSE_MARKUP | VLM_PARSE_PROMPT);
    run((const char *)data, size, 0);
    return 0;
}
