/* tokenize_render.c - vlm-tokenize render: exactly what a trainer would see of a shard set in an epoch.
 *
 * Every document has a sampler's whole attention on one thread; what it draws depends on seed, epoch and
 * document alone, so that threads change nothing but the time. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/option.h"
#include "base/progress.h"
#include "tools/common/find_document.h"
#include "tools/common/print.h"
#include "tools/common/terminal.h"
#include "tools/tokenize/sample_lines.h"
#include "tools/tokenize/set_documents.h"
#include "tools/tokenize/tokenize.h"

enum { KEY_BYTES = 64 };

struct rendering {
    const char *folder, *tokenizer, *recipe, *image_tokenizer, *id;
    int64_t seed, epoch, limit, threads, width;
    int colour, progress_mode;
    bool show, tokens, quiet;
    struct vlm_settings settings;

    struct vlm_sampling sampling;
    struct vlm_text_tokenizer *text_tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_pool *pool;
    struct vlm_sampler **samplers; /* [n_samplers] one a thread */
    size_t n_samplers;
    struct vlm_sample_style style;
    struct vlm_progress progress;
    uint64_t all, documents, skipped, samples; /* all: documents of the set */
};

/* Recipe and set -------------------------------------------------------------------------------- */

static int apply_setting(struct vlm_sampling *sampling, const char *line, struct vlm_err *err)
{
    char key[KEY_BYTES];
    const char *equals = strchr(line, '=');
    int n = snprintf(key, sizeof(key), "%.*s", (int)(equals - line), line);
    if (n < 0 || n >= KEY_BYTES)
        return vlm_fail(err, VLM_EUSAGE, "unknown key '%.200s'", line);
    return vlm_sampling_set(sampling, key, equals + 1, err);
}

static int init_sampling(struct rendering *rendering, struct vlm_err *err)
{
    struct vlm_sampling *sampling = &rendering->sampling;
    int rc = vlm_sampling_init(sampling, rendering->recipe, err);
    for (size_t i = 0; rc == VLM_OK && i < rendering->settings.n; i++)
        rc = apply_setting(sampling, rendering->settings.line[i], err);
    sampling->seed = (uint64_t)rendering->seed;
    return rc;
}

static int open_samplers(struct rendering *rendering, const struct vlm_set *set,
                         struct vlm_err *err)
{
    const struct vlm_manifest *manifest = vlm_set_manifest(set);
    const struct vlm_set_tokenizer *codes;
    struct vlm_vocabulary_options options = { .n_masks = rendering->sampling.mask.max };
    if (vlm_manifest_has_profile(manifest))
        rendering->sampling.render_flags |= VLM_RENDER_MAIN;
    for (size_t i = 0; i < manifest->n_parts; i++)
        rendering->all += manifest->parts[i].documents;
    options.n_masks = VLM_MAX(options.n_masks, (uint32_t)VLM_MASKS_DEFAULT);
    int rc = vlm_set_tokenizer(set, rendering->image_tokenizer, &codes, err);
    options.n_codes = codes ? (uint32_t)codes->codebook_size : 0;
    if (rc == VLM_OK)
        rc = vlm_text_tokenizer_open(&rendering->text_tokenizer, rendering->tokenizer, err);
    if (rc == VLM_OK)
        rc = vlm_vocabulary_init(&rendering->vocabulary, rendering->text_tokenizer, &options, err);
    if (rc == VLM_OK)
        rc = vlm_pool_new(&rendering->pool, (size_t)rendering->threads, err);
    size_t n = rc == VLM_OK ? vlm_pool_threads(rendering->pool) : 0;
    rendering->samplers = calloc(n + 1, sizeof(struct vlm_sampler *));
    if (!rendering->samplers)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu threads", n);
    for (; rc == VLM_OK && rendering->n_samplers < n; rendering->n_samplers++)
        rc = vlm_sampler_new(&rendering->samplers[rendering->n_samplers], &rendering->sampling,
                             &rendering->vocabulary, err);
    return rc;
}

static void close_samplers(struct rendering *rendering)
{
    for (size_t i = 0; i < rendering->n_samplers; i++)
        vlm_sampler_free(rendering->samplers[i]);
    free(rendering->samplers);
    vlm_pool_free(rendering->pool);
    vlm_text_tokenizer_close(rendering->text_tokenizer);
}

/* Documents --------------------------------------------------------------------------------------- */

static bool is_wanted(void *context, const uint8_t id[16])
{
    const struct rendering *rendering = context;
    return vlm_id_begins(id, rendering->id);
}

/* Samples still wanted of a document that comes next; others on their way may make it fewer. */
static uint64_t samples_left(const struct rendering *rendering)
{
    return rendering->limit ? (uint64_t)rendering->limit - rendering->samples : UINT64_MAX;
}

static int render_document(void *context, size_t worker, struct vlm_documents_item *item,
                           struct vlm_err *err)
{
    const struct rendering *rendering = context;
    struct vlm_sampler *sampler = rendering->samplers[worker];
    struct vlm_sample sample;
    int rc = vlm_sampler_start(sampler, item->document, (uint64_t)rendering->epoch, err);
    for (uint64_t left = samples_left(rendering); rc == VLM_OK && left > 0; left--) {
        rc = vlm_sampler_next(sampler, &sample, err);
        if (rc != VLM_OK)
            break;
        const struct vlm_shown_sample shown = { .document = item->document,
                                                .id = item->id,
                                                .vocabulary = &rendering->vocabulary,
                                                .sample = &sample };
        if (rendering->show)
            vlm_sample_show(&item->out, &shown, &rendering->style);
        else
            vlm_sample_json(&item->out, &shown);
        vlm_buffer_u64(&item->ends, item->out.size);
    }
    return rc == VLM_EOF ? VLM_OK : rc;
}

static void show_progress(struct rendering *rendering)
{
    char line[120], done[VLM_FORMAT_SIZE], all[VLM_FORMAT_SIZE], samples[VLM_FORMAT_SIZE];
    char eta[VLM_FORMAT_SIZE];
    double share = rendering->all ? (double)rendering->documents / (double)rendering->all : 1;
    snprintf(line, sizeof(line), "render  %s of %s documents  %s samples  eta %s",
             vlm_format_count(done, (double)rendering->documents),
             vlm_format_count(all, (double)rendering->all),
             vlm_format_count(samples, (double)rendering->samples),
             vlm_format_eta(eta, vlm_progress_seconds(&rendering->progress), share));
    vlm_progress_update(&rendering->progress, share, line);
}

static int print_document(void *context, struct vlm_documents_item *item, struct vlm_err *err)
{
    struct rendering *rendering = context;
    struct vlm_bytes ends = { item->ends.data, item->ends.data + item->ends.size, false };
    uint64_t n = VLM_MIN(item->ends.size / sizeof(uint64_t), samples_left(rendering)), size = 0;
    rendering->documents++;
    rendering->skipped += item->skipped || !n;
    rendering->samples += n;
    for (uint64_t i = 0; i < n; i++)
        size = vlm_bytes_u64(&ends);
    if (size && fwrite(item->out.data, 1, size, stdout) != size)
        return vlm_fail_errno(err, errno, "cannot write to standard output");
    show_progress(rendering);
    return samples_left(rendering) ? VLM_OK : VLM_EOF;
}

/* The verb ---------------------------------------------------------------------------------------- */

static int print_legend(const struct rendering *rendering, struct vlm_err *err)
{
    struct vlm_buffer legend = { 0 };
    vlm_sample_legend(&legend, rendering->sampling.kind, &rendering->style);
    int rc = vlm_print(&legend, err);
    vlm_buffer_release(&legend);
    return rc;
}

static int render_set(struct rendering *rendering, struct vlm_err *err)
{
    struct vlm_set *set = NULL;
    int rc = vlm_set_open(&set, rendering->folder, err);
    if (rc == VLM_OK)
        rc = open_samplers(rendering, set, err);
    const struct vlm_documents job = {
        .set = set,
        .image_tokenizer = rendering->image_tokenizer,
        .pool = rendering->pool,
        .at_once = rendering->limit ? VLM_MIN((size_t)rendering->limit, 64) : 0,
        .wanted = rendering->id ? is_wanted : NULL,
        .work = render_document,
        .done = print_document,
        .context = rendering,
    };
    if (rc == VLM_OK && rendering->show)
        rc = print_legend(rendering, err);
    vlm_progress_init(&rendering->progress, rendering->progress_mode, rendering->quiet);
    if (rc == VLM_OK)
        rc = vlm_documents_run(&job, err);
    vlm_progress_end(&rendering->progress);
    if (rc == VLM_OK && !rendering->quiet)
        vlm_documents_note_codes(rendering->folder, vlm_set_manifest(set),
                                 rendering->sampling.form);
    if (rc == VLM_OK && rendering->id && !rendering->documents)
        rc = vlm_fail(err, VLM_EFAIL, "'%s' has no document whose id begins with '%s'",
                      rendering->folder, rendering->id);
    vlm_set_close(set);
    close_samplers(rendering);
    return rc;
}

static int end(const struct rendering *rendering, const struct vlm_tool *tool, int result,
               const struct vlm_err *err)
{
    int status = vlm_tool_end(tool, result, err);
    if (result != VLM_OK || status != VLM_EXIT_DONE)
        return status;
    if (rendering->skipped && !rendering->quiet)
        fprintf(stderr, "vlm-tokenize: %" PRIu64 " of %" PRIu64 " documents hold nothing for %s\n",
                rendering->skipped, rendering->documents, rendering->recipe);
    if (!rendering->documents && !rendering->quiet)
        fprintf(stderr, "vlm-tokenize: '%s' holds no documents\n", rendering->folder);
    return rendering->samples ? status : VLM_EXIT_NOTHING;
}

int vlm_tokenize_render(int argc, char **argv)
{
    struct rendering rendering = { .recipe = "cm3",
                                   .settings = { .sections = "data|cm3|objective" } };
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('t', "tokenizer", &rendering.tokenizer, "TOKENIZER", VLM_TOKENIZER_HELP),
        VLM_OPTION_STRING(0, "recipe", &rendering.recipe, "NAME", "cm3, htlm, text, m3w or pair"),
        VLM_OPTION_NUMBER(0, "seed", &rendering.seed, "N", "of everything that is drawn", 0,
                          INT64_MAX),
        VLM_OPTION_NUMBER(0, "epoch", &rendering.epoch, "E", "each one draws anew", 0, INT64_MAX),
        VLM_OPTION_NUMBER('n', "limit", &rendering.limit, "N", "print at most N samples, 0: all", 0,
                          INT64_MAX),
        VLM_OPTION_STRING(0, "id", &rendering.id, "ID",
                          "only the document with this id, or these first digits of it"),
        VLM_OPTION_STRING(0, "image-tokenizer", &rendering.image_tokenizer, "ID",
                          "whose codes the images are; else those of the set's first"),
        VLM_OPTION_FLAG(0, "show", &rendering.show, "for people, instead of lines of JSON"),
        VLM_OPTION_FLAG(0, "tokens", &rendering.tokens, "with --show, a dot between tokens"),
        VLM_OPTION_NUMBER(0, "width", &rendering.width, "N",
                          "with --show, columns; 0: those of the terminal", 0, 1000),
        VLM_OPTION_CHOICE(0, "color", &rendering.colour, VLM_COLOUR_WORDS, "with --show"),
        VLM_OPTION_NUMBER('j', "threads", &rendering.threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_CHOICE(0, "progress", &rendering.progress_mode, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG('q', "quiet", &rendering.quiet, "no progress and no summary"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-tokenize render",
        .synopsis = "OUT [--recipe NAME] [--epoch E] [options]",
        .summary =
            "Prints what a trainer sees of a shard set: a line of JSON for each block, window or "
            "pair "
            "with id, tokens, ids, weights, images, block and modality. --show prints it for "
            "people: which parts were masked, and where they went.\n\n"
            "The keys of a recipe are set by --set, or in a file of options in their sections: "
            "data.lambda, data.min, data.max, data.images, data.block, data.overflow, data.window, "
            "data.p_next, data.space, data.labels, objective.weight.mask, cm3.paper, cm3.release.",
        .examples = "  vlm-tokenize render out --show --limit 2\n"
                    "  vlm-tokenize render out --epoch 3 --set data.lambda=0 >plain.jsonl\n"
                    "  vlm-tokenize render out --recipe m3w --show --id 5f0c1a\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .quiet = &rendering.quiet,
        .settings = &rendering.settings,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one shard set");
    if (rc == VLM_OK && rendering.id)
        rc = vlm_id_check(rendering.id, &err);
    if (rc == VLM_OK)
        rc = init_sampling(&rendering, &err);
    if (rc == VLM_OK) {
        rendering.folder = argv[1];
        rendering.style = (struct vlm_sample_style){
            .width = rendering.width ? (unsigned)rendering.width : vlm_terminal_width(),
            .colour = vlm_terminal_colour(rendering.colour),
            .tokens = rendering.tokens,
        };
        rc = render_set(&rendering, &err);
    }
    /* --help and --version end with VLM_EOF and are no renderings. */
    return end(&rendering, &tool, rc, &err);
}
