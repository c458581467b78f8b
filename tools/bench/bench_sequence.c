/* bench_sequence.c - how fast documents of a shard set become ids, and what each stage costs.
 *
 * The set is read again and again, each time up to a later stage: decoding of the records,
 * look-up of the codes, rendering, tokenising, masking. The best time of each counts, and the
 * cost of a stage is the difference to the one before it, so no clock runs inside the loop.
 * Costs are CPU time, which other programs on the machine disturb less; the rate is by the clock
 * on the wall. Each thread reads the whole set with a reader of its own. The first pass is not
 * timed: it brings the file into memory. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/option.h"
#include "base/progress.h"
#include "nn/pool.h"
#include "shard/parts/set.h"
#include "tokenize/sequence/sample.h"
#include "tools/bench/bench_sequence.h"
#include "tools/bench/machine.h"

enum { THREADS_MAX = 256 };

enum stage { READ, CODES, RENDER, TOKENISE, SAMPLE, STAGES };

static const char *const stage_names[STAGES] = { "read", "codes", "render", "tokenise", "sample" };

struct bench {
    const char *folder, *tokenizer_path, *recipe;
    int64_t threads, repeat;
    bool json;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_sampling sampling;
    struct worker *workers;
    enum stage stage;
    double cpu[STAGES]; /* seconds of a pass up to it, of all threads */
    double wall;        /* of one up to the last */
};

struct worker {
    struct vlm_set *set;
    struct vlm_sequencer *sequencer;
    struct vlm_sampler *sampler;
    struct vlm_sequence sequence;
    struct vlm_buffer text;
    struct vlm_arena arena;
    struct vlm_err err;
    int rc;
    uint64_t documents, skipped, bytes, tokens[VLM_MODALITIES]; /* of a pass */
};

static void count_tokens(struct worker *worker, const struct vlm_sequence *sequence)
{
    for (size_t i = 0; i < sequence->n; i++)
        worker->tokens[sequence->modality[i]]++;
}

/* All samples of a document in the first epoch. */
static int sample(struct worker *worker, const struct vlm_document *document, bool count)
{
    struct vlm_sample sample;
    int rc = vlm_sampler_start(worker->sampler, document, 0, &worker->err);
    while (rc == VLM_OK &&
           (rc = vlm_sampler_next(worker->sampler, &sample, &worker->err)) == VLM_OK)
        if (count)
            count_tokens(worker, sample.sequence);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int use(const struct bench *bench, struct worker *worker, struct vlm_document *document,
               bool count)
{
    const enum vlm_render form = bench->sampling.form;
    const unsigned flags = bench->sampling.render_flags;
    struct vlm_err *err = &worker->err;
    int rc = VLM_OK;
    if (bench->stage >= CODES)
        rc = vlm_set_add_codes(worker->set, NULL, document, &worker->arena, err);
    if (rc == VLM_OK && (bench->stage == RENDER || count)) {
        vlm_buffer_reset(&worker->text);
        vlm_render(&worker->text, document, form, flags | VLM_RENDER_PLACEHOLDERS);
    }
    if (rc == VLM_OK && bench->stage == TOKENISE)
        rc = vlm_sequence_render(worker->sequencer, &worker->sequence, document, form, flags, err);
    if (rc == VLM_OK && bench->stage == SAMPLE)
        rc = sample(worker, document, count);
    worker->bytes += count && rc == VLM_OK ? worker->text.size : 0;
    worker->documents += count && rc == VLM_OK;
    worker->skipped += count && rc == VLM_SKIP;
    return rc == VLM_SKIP ? VLM_OK : rc;
}

static int pass(const struct bench *bench, struct worker *worker, bool count)
{
    struct vlm_document *document;
    int rc = vlm_set_open(&worker->set, bench->folder, &worker->err);
    while (rc == VLM_OK &&
           (rc = vlm_set_next(worker->set, &document, &worker->arena, &worker->err)) == VLM_OK) {
        rc = use(bench, worker, document, count);
        vlm_arena_reset(&worker->arena);
    }
    vlm_set_close(worker->set);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static void task(void *job, size_t number, size_t thread)
{
    struct bench *bench = job;
    (void)thread;
    bench->workers[number].rc = pass(bench, &bench->workers[number], false);
}

static int first_failure(const struct bench *bench, struct vlm_err *err)
{
    for (int64_t i = 0; i < bench->threads; i++)
        if (bench->workers[i].rc < 0) {
            *err = bench->workers[i].err;
            return err->code;
        }
    return VLM_OK;
}

static int time_stages(struct bench *bench, struct vlm_pool *pool, struct vlm_err *err)
{
    for (int64_t turn = 0; turn < bench->repeat; turn++)
        for (unsigned stage = 0; stage < STAGES; stage++) {
            bench->stage = stage;
            double wall = vlm_now(), cpu = vlm_machine_cpu_seconds();
            vlm_pool_run(pool, (size_t)bench->threads, task, bench);
            wall = vlm_now() - wall;
            cpu = vlm_machine_cpu_seconds() - cpu;
            int rc = first_failure(bench, err);
            if (rc < 0)
                return rc;
            if (!turn || cpu < bench->cpu[stage])
                bench->cpu[stage] = cpu;
            if (stage == STAGES - 1 && (!turn || wall < bench->wall))
                bench->wall = wall;
        }
    return VLM_OK;
}

/* The sizes of the vocabulary follow from the set's first tokenizer of images. */
static int prepare(struct bench *bench, struct vlm_err *err)
{
    struct vlm_set *set;
    int rc = vlm_set_open(&set, bench->folder, err);
    const struct vlm_set_tokenizers *codes =
        rc == VLM_OK ? &vlm_set_manifest(set)->tokenizers : NULL;
    const uint32_t n_codes = codes && codes->n ? (uint32_t)codes->list[0].codebook_size : 0;
    vlm_set_close(set);
    if (rc == VLM_OK)
        rc = vlm_text_tokenizer_open(&bench->tokenizer, bench->tokenizer_path, err);
    if (rc == VLM_OK)
        rc = vlm_vocabulary_init(&bench->vocabulary, bench->tokenizer,
                                 &(struct vlm_vocabulary_options){ .n_codes = n_codes }, err);
    if (rc == VLM_OK)
        rc = vlm_sampling_init(&bench->sampling, bench->recipe, err);
    bench->workers = calloc((size_t)bench->threads, sizeof(*bench->workers));
    if (rc == VLM_OK && !bench->workers)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %" PRId64 " threads", bench->threads);
    for (int64_t i = 0; rc == VLM_OK && i < bench->threads; i++) {
        vlm_arena_init(&bench->workers[i].arena, VLM_GIB);
        rc = vlm_sequencer_new(&bench->workers[i].sequencer, &bench->vocabulary, err);
        if (rc == VLM_OK)
            rc = vlm_sampler_new(&bench->workers[i].sampler, &bench->sampling, &bench->vocabulary,
                                 err);
    }
    return rc;
}

static void release(struct bench *bench)
{
    for (int64_t i = 0; bench->workers && i < bench->threads; i++) {
        struct worker *worker = &bench->workers[i];
        vlm_sequencer_free(worker->sequencer);
        vlm_sampler_free(worker->sampler);
        vlm_sequence_release(&worker->sequence);
        vlm_buffer_release(&worker->text);
        vlm_arena_release(&worker->arena);
    }
    free(bench->workers);
    vlm_text_tokenizer_close(bench->tokenizer);
}

static void print_text(const struct bench *bench, const struct worker *counted, double tokens)
{
    const double all = bench->cpu[STAGES - 1], threads = (double)bench->threads;
    const double documents = VLM_MAX((double)counted->documents, 1);
    printf("%.2f million tokens/s, %.2f in a second of CPU time: %" PRIu64 " documents (%" PRIu64
           " skipped), threads: %" PRId64 "\n",
           1e-6 * tokens * threads / bench->wall, 1e-6 * tokens * threads / all, counted->documents,
           counted->skipped, bench->threads);
    printf("a document: %.0f tokens of text, %.0f of markup, %.0f of images, from %.0f bytes\n",
           (double)counted->tokens[VLM_MODALITY_TEXT] / documents,
           (double)counted->tokens[VLM_MODALITY_MARKUP] / documents,
           (double)counted->tokens[VLM_MODALITY_IMAGE] / documents,
           (double)counted->bytes / documents);
    for (unsigned i = 0; i < STAGES; i++) {
        double own = bench->cpu[i] - (i ? bench->cpu[i - 1] : 0);
        printf("%-9s %6.2f us a document, %2.0f %%\n", stage_names[i],
               1e6 * own / documents / threads, 100 * own / all);
    }
}

static void print_json(const struct bench *bench, const struct worker *counted, double tokens)
{
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", "sequence");
    vlm_json_member_string(&json, "peer", "vlm");
    vlm_json_member_string(&json, "tokenizer", vlm_text_tokenizer_id(bench->tokenizer));
    vlm_json_member_number(&json, "threads", (uint64_t)bench->threads);
    vlm_json_member_number(&json, "documents", counted->documents);
    vlm_json_member_number(&json, "skipped", counted->skipped);
    vlm_json_member_number(&json, "tokens", (uint64_t)tokens);
    vlm_json_member_number(&json, "tokens_image", counted->tokens[VLM_MODALITY_IMAGE]);
    vlm_json_member_string(&json, "unit", "tokens/s");
    vlm_json_key(&json, "value");
    vlm_json_real(&json, tokens * (double)bench->threads / bench->wall);
    for (unsigned i = 0; i < STAGES; i++) {
        char key[32];
        snprintf(key, sizeof(key), "cpu_seconds_%s", stage_names[i]);
        vlm_json_key(&json, key);
        vlm_json_real(&json, bench->cpu[i] - (i ? bench->cpu[i - 1] : 0));
    }
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    vlm_buffer_release(&line);
}

static int measure(struct bench *bench, struct vlm_err *err)
{
    struct vlm_pool *pool = NULL;
    int rc = prepare(bench, err);
    if (rc == VLM_OK) {
        bench->stage = STAGES - 1;
        rc = pass(bench, &bench->workers[0], true);
        if (rc < 0)
            *err = bench->workers[0].err;
    }
    const struct worker *counted = bench->workers;
    double tokens = 0;
    for (unsigned i = 0; rc == VLM_OK && i < VLM_MODALITIES; i++)
        tokens += (double)counted->tokens[i];
    if (rc == VLM_OK)
        rc = vlm_pool_new(&pool, (size_t)bench->threads, err);
    if (rc == VLM_OK)
        rc = time_stages(bench, pool, err);
    vlm_pool_free(pool);
    if (rc == VLM_OK && bench->json)
        print_json(bench, counted, tokens);
    else if (rc == VLM_OK)
        print_text(bench, counted, tokens);
    release(bench);
    return rc;
}

int vlm_bench_sequence(int argc, char **argv)
{
    struct bench bench = { .recipe = "cm3", .threads = 1, .repeat = 5 };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING('t', "tokenizer", &bench.tokenizer_path, "TOKENIZER",
                          "of text; else the shipped one"),
        VLM_OPTION_STRING(0, "recipe", &bench.recipe, "NAME", "cm3, htlm, text, m3w or pair"),
        VLM_OPTION_NUMBER('j', "threads", &bench.threads, "N", "each reads the whole set", 1,
                          THREADS_MAX),
        VLM_OPTION_NUMBER(0, "repeat", &bench.repeat, "N", "passes, of which the best counts", 1,
                          1 << 20),
    };
    const struct vlm_tool tool = {
        .name = "vlm-bench sequence",
        .synopsis = "OUT [options]",
        .summary = "Times the documents of a shard set on their way to ids.",
        .examples = "  vlm-bench sequence out --recipe m3w\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
        .json = &bench.json,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "expected one shard set, got %d", argc - 1);
    if (rc == VLM_OK) {
        bench.folder = argv[1];
        rc = measure(&bench, &err);
    }
    return vlm_tool_end(&tool, rc, &err);
}
