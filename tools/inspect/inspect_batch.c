/* inspect_batch.c - vlm-inspect batch: which documents were in a step of a training run.
 *
 * Nothing was stored but the place where the step began: the loader gives the same batch again, since it
 * depends on the place alone. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/option.h"
#include "tools/common/print.h"
#include "tools/common/terminal.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/run_config.h"
#include "trainer/run/run_internal.h"

enum { TEXT_TOKENS = 32, TEXT_COLUMNS = 48, URL_COLUMNS = 48 };

struct replay {
    const char *folder;
    int64_t step;
    bool json, quiet, no_verify;
    struct vlm_run_config config;
    struct vlm_train_plan plan;
    struct vlm_run_step found;
    struct vlm_loader *loader;
    struct vlm_corpus_reader *reader;
    struct vlm_arena arena;
    struct vlm_buffer text; /* first tokens of a sample */
    struct vlm_buffer out;
};

/* The batch ---------------------------------------------------------------------------------------------- */

static int open_run(struct replay *replay, struct vlm_err *err)
{
    int rc = vlm_run_config_read(&replay->config, replay->folder, err);
    if (rc == VLM_OK)
        rc = vlm_run_place(&replay->found, &replay->config, (uint64_t)replay->step, err);
    if (rc != VLM_OK)
        return rc;
    replay->config.options.data.no_verify = replay->no_verify;
    const uint64_t step = replay->step ? (uint64_t)replay->step : replay->found.step;
    if (step != replay->found.step && replay->found.rolled_back)
        return vlm_fail(err, VLM_EFAIL,
                        "step %" PRIu64 " is not logged, and cannot be found from step %" PRIu64
                        ": the run went back and left batches out; ask for a step of "
                        "metrics.jsonl",
                        step, replay->found.step);
    rc = vlm_train_plan_make(&replay->plan, &replay->config.options, err);
    if (rc == VLM_OK)
        rc = vlm_train_plan_verify(&replay->plan, err);
    if (rc == VLM_OK)
        rc = vlm_corpus_reader_new(&replay->reader, replay->plan.corpus, err);
    if (rc != VLM_OK)
        return rc;
    const struct vlm_loader_options options =
        vlm_train_plan_loader(&replay->plan, VLM_SPLIT_TRAIN, 0);
    rc = vlm_loader_new(&replay->loader, replay->plan.corpus, &options, &replay->found.place, err);
    /* Steps between the logged one and this; --overfit repeats the first. */
    uint64_t skip = replay->config.options.overfit
                        ? 0
                        : (step - replay->found.step) * replay->plan.accumulation;
    struct vlm_batch batch;
    for (; rc == VLM_OK && skip > 0; skip--)
        rc = vlm_loader_next(replay->loader, &batch, err);
    replay->step = (int64_t)step;
    return rc;
}

/* Samples ------------------------------------------------------------------------------------------------ */

/* The first tokens as people read them. */
static void read_text(struct replay *replay, const struct vlm_batch *batch,
                      const struct vlm_batch_sample *sample)
{
    const size_t n = VLM_MIN(sample->rows, (uint32_t)TEXT_TOKENS);
    vlm_buffer_reset(&replay->text);
    for (size_t i = 0; i < n; i++)
        (void)vlm_vocabulary_token(&replay->text, &replay->plan.vocabulary,
                                   batch->rows.ids[sample->first_row + i]);
}

/* Text for a table: one line, nothing that a terminal obeys, at most so many characters. */
static void add_column(struct vlm_buffer *out, const char *text, size_t n, size_t columns)
{
    size_t used = 0;
    for (size_t at = 0; at < n && used < columns; used++) {
        bool visible;
        const size_t bytes = vlm_terminal_character(text + at, n - at, &visible);
        if (visible && text[at] != '\n' && text[at] != '\t')
            vlm_buffer_add(out, text + at, bytes);
        else
            vlm_buffer_byte(out, ' ');
        at += bytes;
    }
    for (; used < columns; used++)
        vlm_buffer_byte(out, ' ');
}

static void add_row(struct replay *replay, const struct vlm_batch_sample *sample, const char *url,
                    size_t micro_batch)
{
    struct vlm_buffer *out = &replay->out;
    char hex[2 * sizeof(sample->id) + 1];
    vlm_buffer_printf(out, "%4zu %7" PRIu32 " %6" PRIu32 " %5" PRIu64 " %5" PRIu64 "  %s  ",
                      micro_batch, sample->first_row, sample->rows, sample->pick.epoch,
                      sample->block, vlm_hex(hex, sample->id, sizeof(sample->id)));
    add_column(out, url, strlen(url), URL_COLUMNS);
    vlm_buffer_text(out, "  ");
    add_column(out, (const char *)replay->text.data, replay->text.size, TEXT_COLUMNS);
    while (out->size && out->data[out->size - 1] == ' ')
        out->size--;
    vlm_buffer_byte(out, '\n');
}

static void add_line(struct replay *replay, const struct vlm_batch_sample *sample, const char *url,
                     size_t micro_batch)
{
    struct vlm_json json = { .out = &replay->out };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "step", (uint64_t)replay->step);
    vlm_json_member_number(&json, "micro_batch", micro_batch);
    vlm_json_member_number(&json, "first_row", sample->first_row);
    vlm_json_member_number(&json, "rows", sample->rows);
    vlm_json_member_number(&json, "epoch", sample->pick.epoch);
    vlm_json_member_number(&json, "block", sample->block);
    vlm_json_member_string(&json, "set",
                           vlm_corpus_source(replay->plan.corpus, sample->pick.source)->folder);
    vlm_json_member_number(&json, "number", sample->pick.number);
    vlm_json_key(&json, "id");
    vlm_json_hex(&json, sample->id, sizeof(sample->id));
    vlm_json_member_string(&json, "url", url);
    vlm_json_key(&json, "text");
    vlm_json_text(&json, (const char *)replay->text.data, replay->text.size);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&replay->out, '\n');
}

static int add_sample(struct replay *replay, const struct vlm_batch *batch, size_t i,
                      size_t micro_batch, struct vlm_err *err)
{
    const struct vlm_batch_sample *sample = &batch->sample[i];
    struct vlm_document *document;
    enum vlm_left_out why;
    vlm_arena_reset(&replay->arena);
    int rc = vlm_corpus_document(replay->reader, sample->pick, VLM_SPLIT_ALL, &document, &why,
                                 &replay->arena, err);
    if (rc != VLM_OK)
        return rc == VLM_SKIP ? vlm_recode(err, VLM_EFORMAT) : rc;
    read_text(replay, batch, sample);
    if (replay->json)
        add_line(replay, sample, document->url, micro_batch);
    else
        add_row(replay, sample, document->url, micro_batch);
    return VLM_OK;
}

static int replay_step(struct replay *replay, struct vlm_err *err)
{
    size_t rows = 0, samples = 0;
    int rc = open_run(replay, err);
    if (rc == VLM_OK && !replay->json)
        vlm_buffer_printf(&replay->out,
                          "step %" PRId64 " of %s\n%4s %7s %6s %5s %5s  %-32s  %-*s  %s\n",
                          replay->step, replay->folder, "part", "row", "rows", "epoch", "block",
                          "document", (int)URL_COLUMNS, "url", "first tokens");
    for (size_t k = 0; rc == VLM_OK && k < replay->plan.accumulation; k++) {
        struct vlm_batch batch;
        rc = vlm_loader_next(replay->loader, &batch, err);
        for (size_t i = 0; rc == VLM_OK && i < batch.samples; i++)
            rc = add_sample(replay, &batch, i, k, err);
        if (rc == VLM_OK) {
            rows += batch.rows.n;
            samples += batch.samples;
        }
    }
    if (rc == VLM_OK && !replay->json)
        vlm_buffer_printf(&replay->out, "%zu samples, %zu rows, %zu parts (micro-batches)\n",
                          samples, rows, replay->plan.accumulation);
    if (rc == VLM_OK)
        rc = vlm_print(&replay->out, err);
    if (rc == VLM_OK && vlm_corpus_generation(replay->plan.corpus) && !replay->quiet)
        fprintf(stderr, "vlm-inspect: what deleted.jsonl names is left out here; a step before the "
                        "deletion had it\n");
    return rc;
}

/* The verb ----------------------------------------------------------------------------------------------- */

static void release(struct replay *replay)
{
    vlm_loader_free(replay->loader);
    vlm_corpus_reader_free(replay->reader);
    vlm_train_plan_release(&replay->plan);
    vlm_run_config_release(&replay->config);
    vlm_arena_release(&replay->arena);
    vlm_buffer_release(&replay->text);
    vlm_buffer_release(&replay->out);
}

int vlm_inspect_batch(int argc, char **argv)
{
    struct replay replay = { .step = 0 };
    const struct vlm_option table[] = {
        VLM_OPTION_NUMBER(0, "step", &replay.step, "N", "0: the last that is logged", 0, INT64_MAX),
        VLM_OPTION_FLAG(0, "json", &replay.json, "a line of JSON for each sample"),
        VLM_OPTION_FLAG(0, "no-verify", &replay.no_verify,
                        "read parts without comparing them with their checksums"),
        VLM_OPTION_FLAG('q', "quiet", &replay.quiet, "only errors"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-inspect batch",
        .synopsis = "RUN [--step N] [options]",
        .summary =
            "Shows which documents were in a step of a training run: id, URL, first tokens, rows, "
            "and which block of the document. Reads config.resolved.ini and metrics.jsonl of the "
            "run, "
            "and the shard sets that it learned from, under the same paths.",
        .examples = "  vlm-inspect batch run --step 1200\n"
                    "  vlm-inspect batch run --step 1200 --json | jq -r .url\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &replay.json,
        .quiet = &replay.quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one run folder");
    if (rc == VLM_OK) {
        replay.folder = argv[1];
        vlm_arena_init(&replay.arena, VLM_GIB);
        rc = replay_step(&replay, &err);
        release(&replay);
    }
    return vlm_tool_end(&tool, rc, &err);
}
