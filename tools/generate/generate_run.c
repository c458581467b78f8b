/* generate_run.c - a model folder, a prompt and its pictures; answers side by side, printed in the order of their
 * seeds. The prompt goes through the model once, whatever the number of answers. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/progress.h"
#include "models/generate/decoder.h"
#include "tools/generate/generate_tool.h"

#define PROMPT_MAX (4 * VLM_MIB)

#define SLOTS_BYTES (4 * VLM_GIB)

enum { BRANCHES_MAX = 16 };

/* An answer in the making. */
struct branch {
    struct vlm_stream *stream;
    uint64_t seed;
    int rc;
    struct vlm_err err;
};

struct run {
    const struct vlm_generate_request *request;
    struct vlm_engine engine;
    struct vlm_model_folder *folder;
    struct vlm_coder *coder; /* NULL: there is no image tokenizer */
    struct vlm_sequencer *sequencer;
    struct vlm_choices choices;
    struct vlm_decoder *decoder;
    struct vlm_buffer text; /* of the prompt */
    struct vlm_prompt prompt, negative;
    struct branch branch[BRANCHES_MAX]; /* answer i is branch i % BRANCHES_MAX */
    size_t begun, printed;              /* answers */
    size_t lanes;                       /* of each */
    struct vlm_progress progress;
};

static int read_prompt(struct run *run, struct vlm_err *err)
{
    const struct vlm_generate_request *request = run->request;
    if (request->text) {
        vlm_buffer_text(&run->text, request->text);
        return VLM_OK;
    }
    int rc = vlm_file_read(&run->text,
                           strcmp(request->prompt_file, "-") ? request->prompt_file : "/dev/stdin",
                           PROMPT_MAX, err);
    if (rc == VLM_OK && run->text.size && run->text.data[run->text.size - 1] == '\n')
        run->text.size--; /* an editor's */
    return rc;
}

/* Without a prompt: the recipe's first one for as many pictures. */
static int default_prompt(struct run *run, struct vlm_err *err)
{
    const struct vlm_recipe *recipe = &run->folder->recipe;
    for (size_t i = 0; i < recipe->n_prompts; i++)
        if (vlm_prompt_images(recipe->prompts[i], strlen(recipe->prompts[i])) ==
            run->request->n_images) {
            vlm_buffer_text(&run->text, recipe->prompts[i]);
            return VLM_OK;
        }
    return vlm_fail(err, VLM_EUSAGE, "no prompt given: use --text or --prompt");
}

static int open_model(struct run *run, struct vlm_err *err)
{
    const struct vlm_generate_request *request = run->request;
    int rc = vlm_model_folder_open(&run->folder, request->model, 0, err);
    if (rc == VLM_OK && !run->folder->tokenizer)
        rc = vlm_fail(err, VLM_EFORMAT, "'%s' has no text tokenizer: a prompt has no ids",
                      request->model);
    if (rc == VLM_OK && run->folder->images)
        rc = vlm_coder_new(&run->coder, run->folder->images, request->threads, err);
    if (rc == VLM_OK)
        rc = vlm_sequencer_new(&run->sequencer, &run->folder->vocabulary, err);
    if (rc == VLM_OK) /* with OpenBLAS a row's bits depend on how many rows there are */
        rc = vlm_engine_init(&run->engine, request->threads, VLM_GEMM_OWN, err);
    if (rc == VLM_OK)
        rc = vlm_model_serve(&run->folder->model, &run->engine, request->weights, err);
    if (rc == VLM_OK)
        rc = vlm_choices_init(&run->choices, &run->engine, &run->folder->model,
                              &run->folder->vocabulary, err);
    return rc;
}

static int make_prompt(struct run *run, struct vlm_err *err)
{
    const size_t n = run->request->n_images;
    uint16_t *codes = calloc(n + 1, VLM_CODES * sizeof(*codes));
    int rc = codes ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for %zu images", n);
    if (rc == VLM_OK && n && !run->coder)
        rc = vlm_fail(err, VLM_EUSAGE, "'%s' has no image tokenizer, so it takes no pictures",
                      run->request->model);
    if (rc == VLM_OK && n)
        rc = vlm_generate_encode(codes, run->request->images, n, run->coder, err);
    if (rc == VLM_OK)
        rc = vlm_prompt_make(
            &run->prompt, run->sequencer, &run->folder->vocabulary, &run->folder->recipe,
            run->text.size ? (const char *)run->text.data : "", run->text.size, codes, n, err);
    free(codes);
    if (rc == VLM_OK) {
        vlm_prompt_drop_start(&run->prompt, &run->folder->vocabulary);
        rc = vlm_prompt_take_spaces(&run->prompt, &run->folder->vocabulary, err);
    }
    const char *negative = run->request->negative;
    if (rc == VLM_OK && negative)
        rc = vlm_prompt_make(&run->negative, run->sequencer, &run->folder->vocabulary,
                             &run->folder->recipe, negative, strlen(negative), NULL, 0, err);
    if (rc == VLM_OK && negative) {
        vlm_prompt_drop_start(&run->negative, &run->folder->vocabulary);
        rc = vlm_prompt_take_spaces(&run->negative, &run->folder->vocabulary, err);
    }
    return rc;
}

/* ---- answers ---- */

/* Lanes of as many answers as are made side by side: one at least, whatever its memory. */
static size_t count_slots(const struct run *run)
{
    const size_t bytes = run->lanes * vlm_decoder_slot_bytes(&run->folder->model, 0);
    const size_t most = VLM_MIN(BRANCHES_MAX / run->lanes, SLOTS_BYTES / bytes);
    return run->lanes * VLM_MAX(VLM_MIN(run->request->answers, most), 1);
}

static int begin(struct run *run, const struct vlm_generate_options *options, struct vlm_err *err)
{
    const size_t context = run->folder->model.config.context;
    struct branch *branch = &run->branch[run->begun % BRANCHES_MAX];
    const struct vlm_stream_prompt prompt = {
        .ids = run->prompt.sequence.ids,
        .n = run->prompt.sequence.n,
        .image_codes = run->prompt.codes,
        .n_images = run->prompt.n_images,
        .negative = run->negative.sequence.ids,
        .n_negative = run->negative.sequence.n,
    };
    struct vlm_generate_options own = *options;
    *branch = (struct branch){ .seed = options->seed + run->begun };
    own.seed = branch->seed;
    int rc = vlm_stream_new(&branch->stream, &run->choices, &prompt, context, &own, err);
    if (rc == VLM_OK && !run->decoder) {
        run->lanes = branch->stream->n_lanes;
        const struct vlm_decoder_options slots = {
            .slots = count_slots(run),
            .precision = vlm_model_serve_precision(run->request->weights),
        };
        rc = vlm_decoder_new(&run->decoder, &run->engine, &run->folder->model, &run->choices,
                             &slots, err);
    }
    if (rc == VLM_OK && !branch->stream->over)
        rc = vlm_decoder_add(run->decoder, branch->stream, err);
    run->begun++;
    return rc;
}

static bool has_room(const struct run *run)
{
    if (!run->begun)
        return true;
    if (run->begun == run->request->answers || run->begun - run->printed == BRANCHES_MAX)
        return false;
    return vlm_decoder_has_room(run->decoder, run->lanes);
}

static void show_progress(struct run *run)
{
    char line[80];
    size_t tokens = 0;
    for (size_t i = run->printed; i < run->begun; i++)
        tokens += run->branch[i % BRANCHES_MAX].stream->n_drawn;
    snprintf(line, sizeof(line), "generate  %zu of %zu answers  %zu tokens of the next %zu",
             run->printed, run->request->answers, tokens, run->begun - run->printed);
    vlm_progress_update(&run->progress, -1, line);
}

static void note(void *context, struct vlm_stream *stream, int rc, const struct vlm_err *err)
{
    struct run *run = context;
    size_t i = run->printed;
    while (run->branch[i % BRANCHES_MAX].stream != stream)
        i++;
    if (rc == VLM_OK)
        return;
    run->branch[i % BRANCHES_MAX].rc = rc;
    run->branch[i % BRANCHES_MAX].err = *err;
}

/* Prints the answers that are complete, up to the first that is not. */
static int print_complete(struct run *run, struct vlm_answer_printer *printer, struct vlm_err *err)
{
    int rc = VLM_OK;
    while (rc == VLM_OK && run->printed < run->begun) {
        struct branch *branch = &run->branch[run->printed % BRANCHES_MAX];
        rc = branch->rc;
        if (rc != VLM_OK)
            *err = branch->err;
        else if (!branch->stream->over)
            break;
        vlm_progress_end(&run->progress);
        if (rc == VLM_OK)
            rc = vlm_answer_print(printer, &branch->stream->answer, branch->seed, err);
        vlm_stream_free(branch->stream);
        branch->stream = NULL;
        run->printed++;
    }
    return rc;
}

static int answer(struct run *run, struct vlm_err *err)
{
    const struct vlm_generate_request *request = run->request;
    struct vlm_generate_options options = request->options;
    struct vlm_answer_printer printer = { .request = request,
                                          .vocabulary = &run->folder->vocabulary,
                                          .prompt = &run->prompt.sequence,
                                          .coder = run->coder };
    uint32_t stop[1];
    options.n_stop = vlm_prompt_stops(stop, &run->folder->vocabulary, &run->folder->recipe);
    options.stop = stop;
    vlm_prompt_options(&options, &run->prompt);
    options.no_grammar = options.no_grammar || !run->folder->recipe.image_grammar;
    vlm_progress_init(&run->progress, VLM_PROGRESS_AUTO, request->quiet || request->stream);
    int rc = VLM_OK;
    while (rc == VLM_OK && run->printed < request->answers) {
        while (rc == VLM_OK && has_room(run))
            rc = begin(run, &options, err);
        if (rc == VLM_OK && request->stream)
            rc = vlm_answer_print_part(&printer, run->branch[0].stream, err);
        if (rc == VLM_OK) {
            vlm_decoder_step(run->decoder, note, run);
            show_progress(run);
            rc = print_complete(run, &printer, err);
        }
    }
    vlm_progress_end(&run->progress);
    if (rc == VLM_OK && printer.pictures && !run->coder && !request->quiet)
        fprintf(stderr,
                "vlm-generate: '%s' has no image tokenizer: %zu pictures were left as codes\n",
                request->model, printer.pictures);
    return rc;
}

int vlm_generate_run(const struct vlm_generate_request *request, struct vlm_err *err)
{
    struct run run = { .request = request };
    int rc = VLM_OK;
    if (request->text || request->prompt_file)
        rc = read_prompt(&run, err);
    if (rc == VLM_OK)
        rc = open_model(&run, err);
    if (rc == VLM_OK && !request->text && !request->prompt_file)
        rc = default_prompt(&run, err);
    if (rc == VLM_OK)
        rc = make_prompt(&run, err);
    if (rc == VLM_OK)
        rc = answer(&run, err);
    vlm_decoder_free(run.decoder);
    for (size_t i = 0; i < BRANCHES_MAX; i++)
        vlm_stream_free(run.branch[i].stream);
    vlm_choices_release(&run.choices);
    vlm_prompt_release(&run.prompt);
    vlm_prompt_release(&run.negative);
    vlm_sequencer_free(run.sequencer);
    vlm_coder_free(run.coder);
    vlm_model_folder_close(run.folder);
    vlm_engine_release(&run.engine);
    vlm_buffer_release(&run.text);
    return rc;
}
