/* generate_run.c - a model folder, a prompt and its pictures; answers one after the other. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "tools/generate/generate_tool.h"

#define PROMPT_MAX (4 * VLM_MIB)

struct run {
    const struct vlm_generate_request *request;
    struct vlm_engine engine;
    struct vlm_model_folder *folder;
    struct vlm_coder *coder; /* NULL: there is no image tokenizer */
    struct vlm_sequencer *sequencer;
    struct vlm_generator *generator;
    struct vlm_buffer text; /* of the prompt */
    struct vlm_prompt prompt;
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
    if (rc == VLM_OK && !run->folder->has_vocabulary)
        rc = vlm_fail(err, VLM_EFORMAT, "'%s' has no text tokenizer: a prompt has no ids",
                      request->model);
    if (rc == VLM_OK && run->folder->images)
        rc = vlm_coder_new(&run->coder, run->folder->images, request->threads, err);
    if (rc == VLM_OK)
        rc = vlm_sequencer_new(&run->sequencer, &run->folder->vocabulary, err);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&run->engine, request->threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = vlm_generator_new(&run->generator, &run->engine, &run->folder->model,
                               &run->folder->vocabulary, 0, request->precision, err);
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
    return rc;
}

static int answer(struct run *run, struct vlm_err *err)
{
    const struct vlm_generate_request *request = run->request;
    struct vlm_generate_options options = request->options;
    struct vlm_answer_printer printer = { .request = request,
                                          .vocabulary = &run->folder->vocabulary,
                                          .coder = run->coder };
    uint32_t stop[1];
    options.n_stop = vlm_prompt_stops(stop, &run->folder->vocabulary, &run->folder->recipe);
    options.stop = stop;
    options.no_grammar = options.no_grammar || !run->folder->recipe.image_grammar;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < request->answers; i++, options.seed++) {
        struct vlm_answer made = { 0 };
        rc = vlm_generate(run->generator, &made, run->prompt.sequence.ids, run->prompt.sequence.n,
                          run->prompt.codes, run->prompt.n_images, &options, err);
        if (rc == VLM_OK)
            rc = vlm_answer_print(&printer, &made, options.seed, err);
        vlm_answer_release(&made);
    }
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
    vlm_generator_free(run.generator);
    vlm_prompt_release(&run.prompt);
    vlm_sequencer_free(run.sequencer);
    vlm_coder_free(run.coder);
    vlm_model_folder_close(run.folder);
    vlm_engine_release(&run.engine);
    vlm_buffer_release(&run.text);
    return rc;
}
