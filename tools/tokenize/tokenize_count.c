/* tokenize_count.c - vlm-tokenize count: how many tokens there are, by kind, without printing them.
 *
 * Each line of a file is a text, as for encode; each document of a shard set is rendered in a form. Threads
 * count for themselves; sums do not depend on who counted what. */
#include "base/vlm.h"

#include "base/json.h"
#include "tokenize/sequence/sequence.h"
#include "tools/common/print.h"
#include "tools/tokenize/set_documents.h"
#include "tools/tokenize/text_lines.h"
#include "tools/tokenize/tokenize.h"

#include <math.h>
#include <sys/stat.h>

enum { NAME_WIDTH_MIN = 24, NAME_WIDTH_MAX = 60 };

/* Bytes of codes are not counted: they are decimal numbers that nobody ever tokenises. */
struct tally {
    uint64_t documents, skipped, images;
    uint64_t bytes[VLM_MODALITIES], tokens[VLM_MODALITIES];
};

struct counted {
    const char *input;
    bool is_set;
    struct tally tally;
    uint64_t bad; /* lines */
};

struct counting {
    struct vlm_text_workers workers;
    struct tally *tallies; /* [workers.n] */
    const char *image_tokenizer;
    int form;
    bool jsonl, json, quiet;
    struct vlm_progress progress;
    struct vlm_line_job job;
    /* Of one shard set: */
    struct vlm_vocabulary vocabulary;
    struct vlm_sequencer **sequencers; /* [workers.n] */
    struct vlm_sequence *sequences;    /* [workers.n] */
    unsigned render_flags;
    uint64_t done, all;
};

static enum vlm_render form_of(const struct counting *counting)
{
    return (enum vlm_render)(VLM_RENDER_CM3 + counting->form);
}

static void add_tally(struct tally *sum, const struct tally *one)
{
    sum->documents += one->documents;
    sum->skipped += one->skipped;
    sum->images += one->images;
    for (size_t i = 0; i < VLM_MODALITIES; i++) {
        sum->bytes[i] += one->bytes[i];
        sum->tokens[i] += one->tokens[i];
    }
}

static void take_tallies(struct counting *counting, struct tally *sum)
{
    for (size_t i = 0; i < counting->workers.n; i++) {
        add_tally(sum, &counting->tallies[i]);
        counting->tallies[i] = (struct tally){ 0 };
    }
}

/* Files of lines ---------------------------------------------------------------------------------- */

static int count_line(void *context, size_t number, char *line, size_t n, struct vlm_buffer *out,
                      struct vlm_err *err)
{
    struct counting *counting = context;
    struct vlm_text_worker *worker = &counting->workers.list[number];
    struct tally *tally = &counting->tallies[number];
    const char *text = line;
    (void)out;
    int rc = counting->jsonl ? vlm_line_text(&text, &n, line, n, err) : VLM_OK;
    worker->tokens.n = 0;
    if (rc == VLM_OK)
        rc = vlm_text_encode(worker->encoder, &worker->tokens, text, n, 0, err);
    if (rc != VLM_OK)
        return rc == VLM_ELIMIT ? vlm_recode(err, VLM_EFORMAT) : rc;
    tally->documents++;
    tally->bytes[VLM_MODALITY_TEXT] += n;
    tally->tokens[VLM_MODALITY_TEXT] += worker->tokens.n;
    return VLM_OK;
}

static int count_file(struct counting *counting, struct counted *counted, struct vlm_err *err)
{
    uint64_t bad = counting->job.bad;
    int rc = vlm_lines_run(&counting->job, counted->input, err);
    counted->bad = counting->job.bad - bad;
    return rc;
}

/* Shard sets -------------------------------------------------------------------------------------- */

static int count_document(void *context, size_t number, struct vlm_documents_item *item,
                          struct vlm_err *err)
{
    struct counting *counting = context;
    struct vlm_sequencer *sequencer = counting->sequencers[number];
    struct vlm_sequence *sequence = &counting->sequences[number];
    struct tally *tally = &counting->tallies[number];
    vlm_sequence_reset(sequence);
    int rc = vlm_sequence_render(sequencer, sequence, item->document, form_of(counting),
                                 counting->render_flags, err);
    bool something = rc == VLM_OK && sequence->n;
    tally->documents += something;
    tally->skipped += rc == VLM_SKIP || (rc == VLM_OK && !something);
    if (!something)
        return rc;
    struct vlm_bytes rendering = vlm_sequencer_rendering(sequencer);
    size_t end = vlm_bytes_left(&rendering);
    for (size_t i = sequence->n; i-- > 0;) {
        uint8_t modality = sequence->modality[i];
        tally->tokens[modality]++;
        if (sequence->start[i] == VLM_NOWHERE)
            continue;
        if (modality != VLM_MODALITY_IMAGE && end > sequence->start[i])
            tally->bytes[modality] += end - sequence->start[i];
        end = sequence->start[i];
    }
    tally->images += sequence->n_images;
    return VLM_OK;
}

static int document_done(void *context, struct vlm_documents_item *item, struct vlm_err *err)
{
    struct counting *counting = context;
    char line[100], done[VLM_FORMAT_SIZE], all[VLM_FORMAT_SIZE];
    (void)item;
    (void)err;
    counting->done++;
    snprintf(line, sizeof(line), "count  %s of %s documents",
             vlm_format_count(done, (double)counting->done),
             vlm_format_count(all, (double)counting->all));
    vlm_progress_update(&counting->progress,
                        counting->all ? (double)counting->done / (double)counting->all : 1, line);
    return VLM_OK;
}

static int open_sequencers(struct counting *counting, const struct vlm_set *set,
                           struct vlm_err *err)
{
    const struct vlm_manifest *manifest = vlm_set_manifest(set);
    const struct vlm_set_tokenizer *codes;
    int rc = vlm_set_tokenizer(set, counting->image_tokenizer, &codes, err);
    if (rc != VLM_OK)
        return rc;
    const struct vlm_vocabulary_options options = {
        .n_codes = codes ? (uint32_t)codes->codebook_size : 0,
    };
    counting->render_flags = vlm_manifest_has_profile(manifest) ? VLM_RENDER_MAIN : 0;
    counting->done = counting->all = 0;
    for (size_t k = 0; k < manifest->n_parts; k++)
        counting->all += manifest->parts[k].documents;
    rc = vlm_vocabulary_init(&counting->vocabulary, counting->workers.tokenizer, &options, err);
    for (size_t k = 0; rc == VLM_OK && k < counting->workers.n; k++)
        rc = vlm_sequencer_new(&counting->sequencers[k], &counting->vocabulary, err);
    return rc;
}

static int count_set(struct counting *counting, const char *folder, struct vlm_err *err)
{
    struct vlm_set *set = NULL;
    int rc = vlm_set_open(&set, folder, err);
    if (rc == VLM_OK)
        rc = open_sequencers(counting, set, err);
    const struct vlm_documents job = { .set = set,
                                       .image_tokenizer = counting->image_tokenizer,
                                       .pool = counting->workers.pool,
                                       .work = count_document,
                                       .done = document_done,
                                       .context = counting };
    if (rc == VLM_OK)
        rc = vlm_documents_run(&job, err);
    vlm_progress_end(&counting->progress);
    if (rc == VLM_OK && !counting->quiet)
        vlm_documents_note_codes(folder, vlm_set_manifest(set), form_of(counting));
    for (size_t k = 0; k < counting->workers.n; k++) {
        vlm_sequencer_free(counting->sequencers[k]);
        counting->sequencers[k] = NULL;
    }
    vlm_set_close(set);
    return rc;
}

/* The report -------------------------------------------------------------------------------------- */

static uint64_t all_tokens(const struct tally *tally)
{
    uint64_t n = 0;
    for (size_t i = 0; i < VLM_MODALITIES; i++)
        n += tally->tokens[i];
    return n;
}

/* Text and markup; NaN, which JSON has as null, when there is none. */
static double bytes_a_token(uint64_t bytes, uint64_t tokens)
{
    return tokens ? (double)bytes / (double)tokens : (double)NAN;
}

static double text_bytes_a_token(const struct tally *tally)
{
    return bytes_a_token(tally->bytes[VLM_MODALITY_TEXT] + tally->bytes[VLM_MODALITY_MARKUP],
                         tally->tokens[VLM_MODALITY_TEXT] + tally->tokens[VLM_MODALITY_MARKUP]);
}

static void json_sums(struct vlm_json *json, const struct tally *tally)
{
    vlm_json_member_number(json, "documents", tally->documents);
    vlm_json_member_number(json, "skipped", tally->skipped);
    vlm_json_member_number(json, "images", tally->images);
    vlm_json_member_number(json, "bytes",
                           tally->bytes[VLM_MODALITY_TEXT] + tally->bytes[VLM_MODALITY_MARKUP]);
    vlm_json_member_number(json, "tokens", all_tokens(tally));
    vlm_json_key(json, "bytes_per_token");
    vlm_json_real(json, text_bytes_a_token(tally));
    vlm_json_key(json, "modality");
    vlm_json_open(json, '{');
    for (size_t i = 0; i < VLM_MODALITIES; i++) {
        vlm_json_key(json, vlm_modality_name((unsigned)i));
        vlm_json_open(json, '{');
        if (i != VLM_MODALITY_IMAGE)
            vlm_json_member_number(json, "bytes", tally->bytes[i]);
        vlm_json_member_number(json, "tokens", tally->tokens[i]);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, '}');
}

static int print_json(const struct counting *counting, const struct counted *list, size_t n,
                      const struct tally *total, struct vlm_err *err)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "tokenizer", vlm_text_tokenizer_id(counting->workers.tokenizer));
    vlm_json_member_string(&json, "render", vlm_render_name(form_of(counting)));
    vlm_json_key(&json, "inputs");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < n; i++) {
        vlm_json_open(&json, '{');
        vlm_json_member_string(&json, "input", list[i].input);
        json_sums(&json, &list[i].tally);
        if (!list[i].is_set)
            vlm_json_member_number(&json, "bad_lines", list[i].bad);
        vlm_json_close(&json, '}');
    }
    vlm_json_close(&json, ']');
    vlm_json_key(&json, "total");
    vlm_json_open(&json, '{');
    json_sums(&json, total);
    vlm_json_close(&json, '}');
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&out, '\n');
    int rc = vlm_print(&out, err);
    vlm_buffer_release(&out);
    return rc;
}

static void print_row(int width, const char *name, const char *documents, const char *bytes,
                      uint64_t tokens, double ratio)
{
    char text[32] = "";
    if (!isnan(ratio))
        snprintf(text, sizeof(text), "%.2f", ratio);
    printf("%-*s %11s %13s %13" PRIu64 " %12s\n", width, name, documents, bytes, tokens, text);
}

static void print_tally(int width, const char *name, const struct tally *tally, bool by_modality)
{
    char documents[24], bytes[24];
    snprintf(documents, sizeof(documents), "%" PRIu64, tally->documents);
    snprintf(bytes, sizeof(bytes), "%" PRIu64,
             tally->bytes[VLM_MODALITY_TEXT] + tally->bytes[VLM_MODALITY_MARKUP]);
    print_row(width, name, documents, bytes, all_tokens(tally), text_bytes_a_token(tally));
    for (size_t i = 0; by_modality && i < VLM_MODALITIES; i++) {
        bool image = i == VLM_MODALITY_IMAGE;
        char label[32];
        if (image)
            snprintf(label, sizeof(label), "  images (%" PRIu64 ")", tally->images);
        else
            snprintf(label, sizeof(label), "  %s", vlm_modality_name((unsigned)i));
        snprintf(bytes, sizeof(bytes), "%" PRIu64, tally->bytes[i]);
        print_row(width, label, "", image ? "" : bytes, tally->tokens[i],
                  image ? (double)NAN : bytes_a_token(tally->bytes[i], tally->tokens[i]));
    }
}

static void print_table(const struct counting *counting, const struct counted *list, size_t n,
                        const struct tally *total)
{
    bool any_set = false;
    int width = NAME_WIDTH_MIN;
    for (size_t i = 0; i < n; i++)
        width = VLM_MAX(width, (int)VLM_MIN(strlen(list[i].input), (size_t)NAME_WIDTH_MAX));
    printf("%-*s %11s %13s %13s %12s\n", width, vlm_text_tokenizer_id(counting->workers.tokenizer),
           "documents", "bytes", "tokens", "bytes/token");
    for (size_t i = 0; i < n; i++) {
        print_tally(width, list[i].input, &list[i].tally, list[i].is_set);
        any_set |= list[i].is_set;
    }
    if (n > 1)
        print_tally(width, "total", total, any_set);
}

/* The verb ---------------------------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static int count_all(struct counting *counting, char **inputs, size_t n, struct vlm_err *err)
{
    struct counted *list = calloc(n, sizeof(*list));
    struct tally total = { 0 };
    counting->tallies = calloc(counting->workers.n, sizeof(*counting->tallies));
    counting->sequencers = calloc(counting->workers.n, sizeof(struct vlm_sequencer *));
    counting->sequences = calloc(counting->workers.n, sizeof(*counting->sequences));
    int rc = VLM_OK;
    if (!list || !counting->tallies || !counting->sequencers || !counting->sequences)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu threads", counting->workers.n);
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        list[i].input = inputs[i];
        list[i].is_set = is_folder(inputs[i]);
        rc = list[i].is_set ? count_set(counting, inputs[i], err)
                            : count_file(counting, &list[i], err);
        take_tallies(counting, &list[i].tally);
        add_tally(&total, &list[i].tally);
    }
    vlm_progress_end(&counting->progress);
    if (rc == VLM_OK && counting->json)
        rc = print_json(counting, list, n, &total, err);
    else if (rc == VLM_OK)
        print_table(counting, list, n, &total);
    if (rc == VLM_OK && total.skipped && !counting->quiet)
        fprintf(stderr, "vlm-tokenize: %" PRIu64 " document%s nothing as %s\n", total.skipped,
                total.skipped == 1 ? " has" : "s have", vlm_render_name(form_of(counting)));
    for (size_t i = 0; counting->sequences && i < counting->workers.n; i++)
        vlm_sequence_release(&counting->sequences[i]);
    free(counting->sequences);
    free(counting->sequencers);
    free(counting->tallies);
    free(list);
    return rc;
}

int vlm_tokenize_count(int argc, char **argv)
{
    struct counting counting = { .form = 0 };
    const char *tokenizer = NULL;
    int64_t threads = 0;
    int progress_mode = VLM_PROGRESS_AUTO;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('t', "tokenizer", &tokenizer, "TOKENIZER", VLM_TOKENIZER_HELP),
        VLM_OPTION_CHOICE(0, "render", &counting.form, VLM_RENDER_WORDS_BUT_JSON,
                          "the form of a shard set's documents"),
        VLM_OPTION_STRING(0, "image-tokenizer", &counting.image_tokenizer, "ID",
                          "whose codes the images are; else those of the set's first"),
        VLM_OPTION_FLAG(0, "jsonl", &counting.jsonl, "lines of files are {\"text\": ...}"),
        VLM_OPTION_NUMBER('j', "threads", &threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_CHOICE(0, "progress", &progress_mode, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG(0, "json", &counting.json, "print the result as one JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &counting.quiet, "no progress and no remarks"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-tokenize count",
        .synopsis = "FILE...|OUT... [-t TOKENIZER] [options]",
        .summary =
            "Counts tokens: of the lines of a file, as encode would print them, or of the "
            "documents "
            "of a shard set, by kind. Each line of a file counts as a document; its line end does "
            "not count. bytes/token is that of text and markup, without images.",
        .examples = "  vlm-tokenize count out\n"
                    "  vlm-tokenize count out --render m3w --json\n"
                    "  vlm-tokenize count -t gpt2/tokenizer.json *.txt\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &counting.json,
        .quiet = &counting.quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc < 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "no file given");
    if (rc == VLM_OK)
        rc = vlm_text_workers_open(&counting.workers, tokenizer, (size_t)threads, &err);
    vlm_progress_init(&counting.progress, progress_mode, counting.quiet);
    counting.job = (struct vlm_line_job){ .tool = "vlm-tokenize",
                                          .pool = counting.workers.pool,
                                          .work = count_line,
                                          .context = &counting,
                                          .silent = true,
                                          .what = "count",
                                          .progress = &counting.progress };
    if (rc == VLM_OK)
        rc = count_all(&counting, argv + 1, (size_t)argc - 1, &err);
    vlm_text_workers_close(&counting.workers);
    return vlm_lines_end(&counting.job, &tool, rc, &err);
}
