/* tokenize_train.c - vlm-tokenize train: a vocabulary from texts. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/progress.h"
#include "tokenize/sequence/vocabulary.h"
#include "tools/common/print.h"
#include "tools/common/signals.h"
#include "tools/tokenize/tokenize.h"
#include "tools/tokenize/train_texts.h"

#include <sys/resource.h>

enum { SPECIALS = VLM_CONTROLS + VLM_MASKS_DEFAULT, BYTES = 256, VOCABULARY_MAX = 1 << 20 };

struct training {
    const char *output, *temporary;
    int64_t vocab_size, min_count, threads, limit;
    uint64_t memory;
    int form, progress_mode;
    bool json, quiet, no_text;

    struct vlm_train_texts texts;
    struct vlm_pool *pool;
    struct vlm_word_counts *counts;
    struct vlm_bpe_trained trained;
    struct vlm_progress progress;
    char words[SPECIALS][VLM_CONTROL_WORD_SIZE];
    const char *specials[SPECIALS];
};

static void show_texts(const struct vlm_train_texts *texts, void *context)
{
    struct training *training = context;
    char line[128], documents[VLM_FORMAT_SIZE], bytes[VLM_FORMAT_SIZE];
    snprintf(line, sizeof(line), "count  %s texts  %s",
             vlm_format_count(documents, (double)texts->documents),
             vlm_format_bytes(bytes, (double)texts->bytes));
    vlm_progress_update(&training->progress, -1, line);
}

static void show_merges(void *context, uint32_t merges, uint32_t wanted)
{
    struct training *training = context;
    char line[64];
    snprintf(line, sizeof(line), "train  %" PRIu32 " of %" PRIu32 " merges", merges, wanted);
    vlm_progress_update(&training->progress, (double)merges / (double)wanted, line);
}

static int count(struct training *training, char **inputs, size_t n, struct vlm_err *err)
{
    struct vlm_train_texts *texts = &training->texts;
    int rc = vlm_pool_new(&training->pool, (size_t)training->threads, err);
    if (rc < 0)
        return rc;
    const struct vlm_word_count_options options = {
        .split = VLM_SPLIT_GPT2,
        .threads = vlm_pool_threads(training->pool),
        .memory = training->memory / 4,
        .folder = training->temporary,
    };
    rc = vlm_word_counts_new(&training->counts, &options, err);
    texts->counts = training->counts;
    texts->pool = training->pool;
    texts->form = (enum vlm_render)(VLM_RENDER_CM3 + training->form);
    texts->limit = (uint64_t)training->limit;
    texts->progress = show_texts;
    texts->context = training;
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        rc = vlm_train_texts_add(texts, inputs[i], err);
    if (rc == VLM_OK || rc == VLM_EOF)
        rc = vlm_word_counts_end(training->counts, err);
    if (rc == VLM_OK && !texts->bytes) {
        training->no_text = true;
        rc = texts->not_text
                 ? vlm_fail(err, VLM_EFORMAT,
                            "no text to learn from: %" PRIu64 " files are not text; of a crawl, "
                            "make a shard set first: vlm-shard",
                            texts->not_text)
                 : vlm_fail(err, VLM_EFORMAT, "no text to learn from");
    }
    return rc;
}

static int learn(struct training *training, struct vlm_err *err)
{
    const struct vlm_bpe_train_options options = {
        .vocab_size = (uint32_t)training->vocab_size,
        .n_specials = SPECIALS,
        .min_count = (uint64_t)training->min_count,
        .memory = training->memory / 4 * 3,
        .progress = show_merges,
        .context = training,
        .stop = training->texts.stop,
    };
    int rc = vlm_bpe_train(&training->trained, training->counts, &options, err);
    if (rc == VLM_OK)
        rc = vlm_bpe_trained_save(&training->trained, training->specials, VLM_SPLIT_GPT2,
                                  training->output, err);
    return rc;
}

static int print_json(const struct training *training, struct vlm_err *err)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    struct rusage usage;
    const struct vlm_bpe_trained *trained = &training->trained;
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "output", training->output);
    vlm_json_member_number(&json, "documents", training->texts.documents);
    vlm_json_member_number(&json, "not_text", training->texts.not_text);
    vlm_json_member_number(&json, "bytes", trained->bytes);
    vlm_json_member_number(&json, "words", trained->occurrences);
    vlm_json_member_number(&json, "distinct_words", trained->words);
    vlm_json_member_number(&json, "words_left_out", trained->words_left_out);
    vlm_json_member_number(&json, "vocab_size", SPECIALS + BYTES + trained->n_merges);
    vlm_json_member_number(&json, "merges", trained->n_merges);
    vlm_json_key(&json, "seconds");
    vlm_json_real(&json, vlm_progress_seconds(&training->progress));
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        vlm_json_member_number(&json, "peak_rss", (uint64_t)usage.ru_maxrss * 1024);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&out, '\n');
    int rc = vlm_print(&out, err);
    vlm_buffer_release(&out);
    return rc;
}

/* What somebody should know: a vocabulary smaller than wanted, texts and words that were left out. */
static void print_summary(const struct training *training)
{
    const struct vlm_bpe_trained *trained = &training->trained;
    uint32_t size = SPECIALS + BYTES + trained->n_merges;
    fprintf(stderr,
            "vlm-tokenize: %" PRIu32 " tokens from %" PRIu64 " bytes of text, %" PRIu64
            " distinct words\n",
            size, trained->bytes, trained->words);
    if (size < training->vocab_size)
        fprintf(stderr,
                "vlm-tokenize: fewer than the %" PRId64 " wanted: no other pair occurs %" PRId64
                " times\n",
                training->vocab_size, training->min_count);
    if (trained->words_left_out)
        fprintf(stderr,
                "vlm-tokenize: words that did not fit into --memory, the rarest, were left out: "
                "%" PRIu64 "\n",
                trained->words_left_out);
    if (training->texts.not_text)
        fprintf(stderr, "vlm-tokenize: files that are not text were left out: %" PRIu64 "\n",
                training->texts.not_text);
}

static int check(const struct training *training, int inputs, struct vlm_err *err)
{
    if (!inputs)
        return vlm_fail(err, VLM_EUSAGE, "no input given");
    if (!training->output)
        return vlm_fail(err, VLM_EUSAGE, "no output given: use -o tokenizer.json");
    if (!strcmp(training->output, "-"))
        return vlm_fail(err, VLM_EUSAGE, "-o -: give a file; standard output has the report");
    if (training->vocab_size < SPECIALS + BYTES)
        return vlm_fail(err, VLM_EUSAGE,
                        "--vocab-size %" PRId64 " has no room for %d special tokens and 256 bytes: "
                        "it takes at least %d",
                        training->vocab_size, SPECIALS, SPECIALS + BYTES);
    return VLM_OK;
}

static int run(struct training *training, char **inputs, size_t n, struct vlm_err *err)
{
    for (uint32_t i = 0; i < SPECIALS; i++)
        training->specials[i] = vlm_vocabulary_word(training->words[i], i);
    vlm_progress_init(&training->progress, training->progress_mode, training->quiet);
    int rc = count(training, inputs, n, err);
    if (rc == VLM_OK)
        rc = learn(training, err);
    vlm_progress_end(&training->progress);
    if (rc == VLM_OK && training->json)
        rc = print_json(training, err);
    if (rc == VLM_OK && !training->quiet)
        print_summary(training);
    return rc;
}

static void release(struct training *training)
{
    vlm_bpe_trained_release(&training->trained);
    vlm_word_counts_free(training->counts);
    vlm_train_texts_release(&training->texts);
    vlm_pool_free(training->pool);
}

int vlm_tokenize_train(int argc, char **argv)
{
    struct training training = { .vocab_size = 32768, .min_count = 2, .memory = VLM_GIB };
    const char *folder = getenv("TMPDIR");
    training.temporary = folder && *folder ? folder : "/tmp";
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('o', "output", &training.output, "FILE", "tokenizer.json to write"),
        VLM_OPTION_NUMBER(0, "vocab-size", &training.vocab_size, "N",
                          "special tokens, 256 bytes and merges together", 0, VOCABULARY_MAX),
        VLM_OPTION_NUMBER(0, "min-count", &training.min_count, "N",
                          "pairs that occur less often are not merged", 1, INT64_MAX),
        VLM_OPTION_CHOICE(0, "render", &training.form, VLM_RENDER_WORDS_BUT_JSON,
                          "form of the documents of shard sets"),
        VLM_OPTION_NUMBER(0, "limit", &training.limit, "N", "texts in all, 0: no limit", 0,
                          INT64_MAX),
        VLM_OPTION_NUMBER('j', "threads", &training.threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_SIZE(
            0, "memory", &training.memory, "SIZE",
            "for words; counts beyond it go to files in $TMPDIR, and the rarest words are "
            "left out of the training",
            1000000, 1024 * VLM_GIB),
        VLM_OPTION_CHOICE(0, "progress", &training.progress_mode, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG(0, "json", &training.json, "print the report as one JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &training.quiet, "no progress and no summary"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-tokenize train",
        .synopsis = "INPUT... -o FILE [options]",
        .summary =
            "Learns a vocabulary of byte pairs from shard sets, text files, folders of text files, "
            "or \"-\", standard input. Its first ids are the tokens that sequences need: <pad>, "
            "<s>, "
            "</s>, <eoss>, <image>, <EOC>, <mask:0> to <mask:15>. The same texts give the same "
            "file, whatever their order and the number of threads.",
        .examples = "  vlm-tokenize train out --vocab-size 16384 -o tokenizer.json\n"
                    "  vlm-tokenize train books/ pages.txt --vocab-size 8192 -o tokenizer.json\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &training.json,
        .quiet = &training.quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK)
        rc = check(&training, argc - 1, &err);
    if (rc == VLM_OK) {
        training.texts.stop = vlm_catch_signals();
        rc = run(&training, argv + 1, (size_t)argc - 1, &err);
    }
    int status = vlm_tool_end_caught(&tool, rc, &err);
    if (training.no_text)
        status = VLM_EXIT_NOTHING;
    release(&training);
    return status;
}
