/* call_job.c - a call whose pictures are codes: its prompts, its choices, and the job that draws them. */
#include "base/vlm.h"
#include "serve/api/call.h"

#include "base/progress.h"
#include "serve/api/call_internal.h"

#include <sys/random.h>

struct vlm_call_prompt *vlm_call_prompts(struct vlm_call *call, size_t n)
{
    call->prompts = calloc(n, sizeof(*call->prompts));
    if (!call->prompts) {
        vlm_call_fail(call, 503, NULL, "no memory for %zu prompts", n);
        return NULL;
    }
    call->n_prompts = n;
    return call->prompts;
}

/* Rows of a prompt: an <image> of a model with an encoder is several. */
static size_t rows_of(const struct vlm_call *call, const struct vlm_prompt *made)
{
    const size_t length = call->service->choices->image_length;
    return made->sequence.n + made->n_images * (length ? length - 1 : 0);
}

static bool check_length(struct vlm_call *call, const struct vlm_call_prompt *prompt)
{
    const size_t rows = rows_of(call, &prompt->made), context = call->service->context;
    const int64_t wanted = call->request.max_tokens;
    if (!rows) {
        vlm_call_fail(call, 400, prompt->param, "the prompt is empty");
        return false;
    }
    if (prompt->score_from ? rows > context : rows >= context) {
        vlm_call_fail(call, 400, prompt->param,
                      "the prompt is too long: n_prompt_tokens %zu, n_ctx %zu, with at least one "
                      "token of an answer",
                      rows, context);
        return false;
    }
    if (!prompt->score_from && wanted > 0 && !call->request.max_is_cap &&
        (size_t)wanted > context - rows) {
        vlm_call_fail(call, 400, "max_tokens",
                      "the answer does not fit: n_prompt_tokens %zu, max_tokens %" PRId64
                      ", n_ctx %zu",
                      rows, wanted, context);
        return false;
    }
    return true;
}

static void count_prompt(struct vlm_call *call, const struct vlm_prompt *made)
{
    const struct vlm_vocabulary *vocabulary = call->service->choices->vocabulary;
    const size_t length = call->service->choices->image_length;
    call->prompt_tokens += rows_of(call, made);
    call->prompt_image_tokens += made->n_images * length;
    for (size_t i = 0; i < made->sequence.n; i++)
        call->prompt_image_tokens += vlm_vocabulary_is_code(vocabulary, made->sequence.ids[i]);
}

static void set_branch(struct vlm_call *call, size_t i)
{
    struct vlm_call_choice *choice = &call->choices[i];
    const struct vlm_call_prompt *prompt = &call->prompts[choice->prompt];
    struct vlm_job_branch *branch = &call->job.branches[i];
    const struct vlm_vocabulary *vocabulary = call->service->choices->vocabulary;
    branch->prompt = (struct vlm_stream_prompt){
        .ids = prompt->made.sequence.ids,
        .n = prompt->made.sequence.n,
        .image_codes = prompt->made.codes,
        .n_images = prompt->made.n_images,
        .negative = prompt->negative.sequence.n ? prompt->negative.sequence.ids : NULL,
        .n_negative = prompt->negative.sequence.n,
    };
    branch->score_from = prompt->score_from;
    branch->options = call->request.options;
    branch->options.seed = choice->seed;
    branch->options.stop = call->stop;
    branch->options.n_stop =
        vlm_prompt_stops(call->stop, vocabulary, &call->service->folder->recipe);
    vlm_prompt_options(&branch->options, &prompt->made);
    branch->options.mask_tokens = prompt->mask_tokens;
    for (size_t f = 0; f < VLM_MASKS_DEFAULT; f++)
        vlm_spell_init(&choice->fills[f].spell, vocabulary, branch->options.words,
                       branch->options.n_words);
}

static void draw_seed(struct vlm_call *call)
{
    uint32_t seed = 0;
    if (call->request.seed >= 0)
        return;
    /* 32 bits, which every client reads back exactly. */
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint32_t)call->created;
    call->request.seed = seed;
}

/* How many prompts are scored beside: those of one token have nothing to score. */
static size_t count_scores(const struct vlm_call *call)
{
    for (size_t i = 0; i < call->n_prompts; i++)
        if (call->prompts[i].made.sequence.n < 2)
            return 0;
    return call->scores_prompts ? call->n_prompts : 0;
}

static bool make_choices(struct vlm_call *call)
{
    const size_t each = (size_t)VLM_MAX(call->request.n, call->request.best_of);
    const size_t n = call->n_prompts * each;
    if (n > call->service->limits.n * VLM_MASKS_DEFAULT) {
        vlm_call_fail(call, 400, "n", "%zu answers in one request are over the limit of %zu", n,
                      call->service->limits.n * VLM_MASKS_DEFAULT);
        return false;
    }
    const size_t scores = count_scores(call);
    call->choices = calloc(n + scores, sizeof(*call->choices));
    call->job.branches = calloc(n + scores, sizeof(*call->job.branches));
    if (!call->choices || !call->job.branches) {
        vlm_call_fail(call, 503, NULL, "no memory for %zu answers", n);
        return false;
    }
    call->n_choices = n;
    call->n_scores = scores;
    call->job.n_branches = n + scores;
    draw_seed(call);
    for (size_t i = 0; i < n; i++) {
        call->choices[i].prompt = i / each;
        call->choices[i].seed = (uint64_t)call->request.seed + i % each;
        set_branch(call, i);
    }
    for (size_t i = n; i < n + scores; i++) {
        call->choices[i].prompt = i - n;
        set_branch(call, i);
        call->job.branches[i].score_from = 1;
        call->job.branches[i].prompt.likely = call->request.options.likely;
    }
    return true;
}

static void submit(struct vlm_call *call)
{
    struct vlm_err err = { 0 };
    struct vlm_job *job = &call->job;
    job->on_event = vlm_call_on_event;
    job->context = call;
    job->wants_progress = call->request.return_progress && call->request.stream;
    double deadline = call->service->timeout_seconds;
    if (call->request.deadline_ms > 0 &&
        (deadline <= 0 || call->request.deadline_ms / 1e3 < deadline))
        deadline = call->request.deadline_ms / 1e3;
    if (deadline > 0)
        job->deadline_seconds = VLM_MAX(deadline - (vlm_now() - call->began), 1e-3);
    call->queued = vlm_now();
    int rc = vlm_work_submit(call->service->work, job, &err);
    if (rc != VLM_OK) {
        vlm_call_fail_job(call, rc, &err);
        return;
    }
    call->submitted = true;
    if (!vlm_call_start_pings(call))
        vlm_call_fail(call, 503, NULL, "no memory for a timer");
}

void vlm_call_begin(struct vlm_call *call)
{
    if (!call->kind->prepare(call))
        return;
    for (size_t i = 0; i < call->n_prompts; i++) {
        if (!call->prompts[i].score_from) {
            vlm_prompt_drop_start(&call->prompts[i].made, call->service->choices->vocabulary);
            vlm_prompt_drop_start(&call->prompts[i].negative, call->service->choices->vocabulary);
        }
        if (!vlm_call_truncate(call, &call->prompts[i]) || !check_length(call, &call->prompts[i]))
            return;
        count_prompt(call, &call->prompts[i].made);
    }
    if (make_choices(call))
        submit(call);
}
