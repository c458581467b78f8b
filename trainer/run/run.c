/* run.c - a training run: begin or go on, make steps, do what is due between them, end with a whole model.
 *
 * Between two steps everything is on record: lines of a step are written before a checkpoint of it, so a
 * checkpoint knows all lines up to its step, and whoever goes on from it cuts what stands behind. */
#include "base/vlm.h"

#include "trainer/run/run_internal.h"

#include <math.h>
#include <unistd.h>

enum { ROLL_BACKS_MAX = 3, FAILED_SAVES_MAX = 3 };

struct run {
    const struct vlm_train_run_options *options;
    struct vlm_train_plan *plan;
    struct vlm_stepper stepper;
    struct vlm_train_report report;
    struct vlm_metrics metrics, perf;
    int lock;
    uint32_t *bytes;          /* of each id */
    struct vlm_coder *images; /* for pictures of samples; NULL: they have none */
    uint64_t saved;           /* step of the last checkpoint; UINT64_MAX: none by this process */
    unsigned failed_saves;
    bool complete; /* it was when this process began */
    bool told_damage;
};

static bool is_due(int64_t interval, uint64_t step)
{
    return interval > 0 && step % (uint64_t)interval == 0;
}

/* ---- lines ---- */

static int write_line(struct vlm_metrics *file, struct vlm_buffer *line, struct vlm_err *err)
{
    int rc = vlm_metrics_line(file, line, err);
    vlm_buffer_release(line);
    return rc;
}

static int write_step(struct run *run, struct vlm_err *err)
{
    struct vlm_buffer line = { 0 };
    vlm_train_report_step(&line, &run->stepper);
    return write_line(&run->metrics, &line, err);
}

static int write_perf(struct run *run, struct vlm_err *err)
{
    struct vlm_buffer line = { 0 };
    vlm_train_report_perf(&line, &run->report, &run->stepper);
    return write_line(&run->perf, &line, err);
}

/* ---- validation ---- */

/* The fixed documents, masked as in epoch 0. */
static int validate(struct run *run, struct vlm_err *err)
{
    struct vlm_stepper *stepper = &run->stepper;
    struct vlm_trainer_state *state = &stepper->state;
    const struct vlm_place begin = { 0 };
    const struct vlm_loader_options options = vlm_train_plan_loader(
        run->plan, VLM_SPLIT_VALIDATION, (uint64_t)run->options->eval_documents);
    struct vlm_evaluation_sums *sums = &run->report.validation;
    struct vlm_loader *loader;
    int rc = vlm_loader_new(&loader, run->plan->corpus, &options, &begin, err);
    if (rc != VLM_OK)
        return rc;
    rc = vlm_evaluate_model(sums, &stepper->tape, &stepper->model, loader, run->bytes, err);
    vlm_loader_free(loader);
    if (rc != VLM_OK)
        return vlm_wrap(err, "validation at step %" PRIu64, state->step);
    run->report.has_validation = true;
    run->report.validated = state->step;
    const double loss = sums->weights > 0 ? sums->weighted / sums->weights : INFINITY;
    if (loss < state->best_loss) {
        state->best_loss = loss;
        state->best_step = state->step;
    }
    return VLM_OK;
}

static int validate_and_write(struct run *run, struct vlm_err *err)
{
    struct vlm_buffer line = { 0 };
    int rc = validate(run, err);
    if (rc != VLM_OK)
        return rc;
    vlm_eval_line_write(&line, run->stepper.state.step, &run->report.validation);
    return write_line(&run->metrics, &line, err);
}

/* ---- samples ---- */

static int sample(struct run *run, struct vlm_err *err)
{
    const struct vlm_train_plan *plan = run->plan;
    const struct vlm_samples samples = { .engine = &run->stepper.engine,
                                         .model = &run->stepper.model,
                                         .vocabulary = &plan->vocabulary,
                                         .recipe = &plan->recipe,
                                         .corpus = plan->corpus,
                                         .images = run->images,
                                         .folder = run->options->output,
                                         .step = run->stepper.state.step,
                                         .seed = run->options->seed,
                                         .precision = run->stepper.tape.precision };
    struct vlm_buffer line = { 0 };
    int rc = vlm_run_samples(&samples, run->report.samples, err);
    if (rc != VLM_OK)
        return vlm_wrap(err, "samples at step %" PRIu64, samples.step);
    run->report.has_samples = true;
    vlm_sample_line_write(&line, samples.step, run->report.samples);
    return write_line(&run->metrics, &line, err);
}

/* ---- checkpoints ---- */

static int save_with(struct run *run, const char *readme, const char *provenance,
                     struct vlm_err *err)
{
    const struct vlm_train_plan *plan = run->plan;
    struct vlm_stepper *stepper = &run->stepper;
    const struct vlm_checkpoint_options options = { .run = run->options->output,
                                                    .keep = (size_t)run->options->keep,
                                                    .keep_every =
                                                        (uint64_t)run->options->keep_every };
    const struct vlm_model_content content = { .model = &stepper->model,
                                               .recipe = &plan->recipe,
                                               .vocabulary = &plan->vocabulary,
                                               .image_tokenizer_id = plan->image_tokenizer_id,
                                               .image_tokenizer = run->options->image_tokenizer,
                                               .readme = readme,
                                               .provenance = provenance };
    int rc = vlm_metrics_sync(&run->metrics, err); /* a checkpoint knows the lines up to its step */
    return rc == VLM_OK ? vlm_checkpoint_save(&options, &content, &stepper->optimizer,
                                              &stepper->state, &plan->identity, err)
                        : rc;
}

static int save(struct run *run, struct vlm_err *err)
{
    struct vlm_buffer readme = { 0 }, provenance = { 0 };
    const double began = vlm_progress_seconds(&run->report.progress);
    vlm_train_report_card(&readme, &provenance, &run->report, &run->stepper);
    int rc = readme.failed || provenance.failed
                 ? vlm_fail(err, VLM_ENOMEM, "no memory for a model card")
                 : save_with(run, (const char *)readme.data, (const char *)provenance.data, err);
    vlm_buffer_release(&readme);
    vlm_buffer_release(&provenance);
    const double took = vlm_progress_seconds(&run->report.progress) - began;
    run->report.save_seconds += took;
    if (rc != VLM_OK)
        return rc;
    run->report.perf.checkpoint_ms = 1000 * took;
    run->saved = run->stepper.state.step;
    run->failed_saves = 0;
    return VLM_OK;
}

/* A full disk is no reason to lose what was learned since: the checkpoints that were there are whole. */
static int save_or_go_on(struct run *run, struct vlm_err *err)
{
    int rc = save(run, err);
    if (rc != VLM_ELIMIT)
        return rc;
    if (++run->failed_saves < FAILED_SAVES_MAX) {
        vlm_train_report_tell(
            &run->report, "%s; the checkpoints before are whole, and the run goes on", err->msg);
        return VLM_OK;
    }
    vlm_wrap(err, "no checkpoint could be written for the last %d times", FAILED_SAVES_MAX);
    return vlm_append(err, "; make room, then the same command goes on from the last one");
}

static void tell_damaged(const char *sentence, void *context)
{
    struct run *run = context;
    vlm_train_report_tell(&run->report, "%s", sentence);
}

static int load(struct run *run, uint64_t at_most, struct vlm_err *err)
{
    struct vlm_stepper *stepper = &run->stepper;
    return vlm_checkpoint_load(run->options->output, at_most, &stepper->model, &stepper->optimizer,
                               &stepper->state, &run->plan->identity, tell_damaged, run, err);
}

/* ---- the guard ---- */

static void tell_bad(struct run *run)
{
    const struct vlm_stepper *stepper = &run->stepper;
    const struct vlm_bad_step *bad = &stepper->bad[stepper->n_bad - 1];
    vlm_train_report_tell(&run->report,
                          "step %" PRIu64 " is left out: loss %g, norm of the gradient %g; "
                          "documents %s",
                          bad->step, bad->loss, bad->norm, bad->ids);
}

/* What happened, for the last sentence of a run that does not recover. */
static int give_up(const struct run *run, const char *why, struct vlm_err *err)
{
    const struct vlm_stepper *stepper = &run->stepper;
    char text[700];
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < stepper->n_bad && used < sizeof(text); i++) {
        const struct vlm_bad_step *bad = &stepper->bad[i];
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "%sstep %" PRIu64 " has loss %g and gradient norm %g",
                                 i ? ", " : "", bad->step, bad->loss, bad->norm);
    }
    return vlm_fail(err, VLM_EFAIL, "training does not recover: %s; %s; documents of the last: %s",
                    text, why, stepper->bad[stepper->n_bad - 1].ids);
}

/* Back to the last checkpoint, or to the beginning; the batches that were bad are left out from now on. */
static int roll_back(struct run *run, struct vlm_err *err)
{
    struct vlm_stepper *stepper = &run->stepper;
    const struct vlm_trainer_state before = stepper->state;
    struct vlm_buffer line = { 0 };
    char why[80];
    snprintf(why, sizeof(why), "%" PRIu64 " roll-backs were in vain", before.roll_backs);
    if (run->options->on_bad)
        return give_up(run, "--on-spike stop", err);
    if (before.roll_backs >= ROLL_BACKS_MAX)
        return give_up(run, why, err);
    int rc = load(run, before.step, err);
    if (rc == VLM_EOF)
        rc = vlm_stepper_restart(stepper, err);
    if (rc != VLM_OK)
        return vlm_wrap(err, "roll-back from step %" PRIu64, before.step);
    memcpy(stepper->state.left_out, before.left_out, sizeof(before.left_out));
    stepper->state.n_left_out = before.n_left_out;
    stepper->state.roll_backs = before.roll_backs + 1;
    rc = vlm_stepper_leave_out(stepper, stepper->bad, stepper->n_bad, err);
    stepper->n_bad = 0;
    if (rc == VLM_OK)
        rc = vlm_stepper_seek(stepper, err);
    if (rc != VLM_OK)
        return rc;
    vlm_train_report_tell(&run->report,
                          "%d bad steps in a row: back from step %" PRIu64 " to step %" PRIu64
                          ", without their documents",
                          VLM_GUARD_PATIENCE, before.step, stepper->state.step);
    vlm_roll_back_line_write(&line, before.step, stepper->state.step);
    return write_line(&run->metrics, &line, err);
}

/* ---- the loop ---- */

static int one_step(struct run *run, struct vlm_err *err)
{
    struct vlm_stepper *stepper = &run->stepper;
    const double began = vlm_progress_seconds(&run->report.progress);
    uint64_t deleted = 0;
    int rc = vlm_corpus_tombstones(run->plan->corpus, &deleted, err);
    if (rc == VLM_SKIP)
        vlm_train_report_tell(&run->report, "%s", err->msg);
    if (rc == VLM_SKIP)
        rc = VLM_OK;
    if (rc == VLM_OK && deleted)
        vlm_train_report_tell(&run->report,
                              "deleted.jsonl has %" PRIu64 " new names: left out from step %" PRIu64
                              " on",
                              deleted, stepper->state.step + 1);
    if (rc == VLM_OK)
        rc = vlm_stepper_step(stepper, err);
    const char *damage = vlm_loader_damage(stepper->loader);
    if (*damage && !run->told_damage)
        vlm_train_report_tell(&run->report, "damaged documents are left out: %s", damage);
    run->told_damage = run->told_damage || *damage;
    run->report.step_seconds += vlm_progress_seconds(&run->report.progress) - began;
    return rc;
}

/* What is due after a step. */
static int after_step(struct run *run, struct vlm_err *err)
{
    const struct vlm_train_run_options *options = run->options;
    const uint64_t step = run->stepper.state.step;
    const bool last = step == run->plan->steps;
    const bool bad = run->stepper.last.verdict != VLM_GUARD_ACCEPT;
    const bool evaluates = options->eval_interval && (last || is_due(options->eval_interval, step));
    const bool samples =
        options->sample_interval && (last || is_due(options->sample_interval, step));
    int rc = VLM_OK;
    if (bad || last || is_due(options->log_interval, step))
        rc = write_step(run, err);
    if (rc == VLM_OK && run->stepper.last.verdict == VLM_GUARD_ROLL_BACK)
        return roll_back(run, err);
    if (rc == VLM_OK && bad)
        tell_bad(run);
    if (rc == VLM_OK && evaluates)
        rc = validate_and_write(run, err);
    if (rc == VLM_OK && samples)
        rc = sample(run, err);
    if (rc == VLM_OK && last)
        rc = save(run, err);
    else if (rc == VLM_OK && !bad && is_due(options->checkpoint_interval, step))
        rc = save_or_go_on(run, err);
    if (rc == VLM_OK && (last || evaluates || is_due(options->log_interval * 10, step)))
        rc = write_perf(run, err);
    return rc;
}

static bool is_over_time(const struct run *run)
{
    return run->options->time_limit > 0 &&
           vlm_progress_seconds(&run->report.progress) >= run->options->time_limit;
}

/* A checkpoint, unless there is one of this step. Among bad steps none is made where there is one: what a
 * roll-back has to know is not in it, so whoever goes on makes these steps again. */
static int stop(struct run *run, int code, const char *why, struct vlm_err *err)
{
    const uint64_t step = run->stepper.state.step;
    const bool there = run->saved != UINT64_MAX;
    int rc = run->saved == step || (there && run->stepper.n_bad) ? VLM_OK : save(run, err);
    if (rc != VLM_OK)
        return rc;
    return vlm_fail(err, code,
                    "stopped %s after step %" PRIu64 " of %" PRIu64
                    ": the same command goes on from there",
                    why, step, run->plan->steps);
}

static int loop(struct run *run, struct vlm_err *err)
{
    const struct vlm_train_run_options *options = run->options;
    int rc = VLM_OK;
    while (rc == VLM_OK && run->stepper.state.step < run->plan->steps) {
        if (options->stop && *options->stop)
            return stop(run, VLM_ESTOPPED, "by a signal", err);
        if (is_over_time(run))
            return stop(run, VLM_ELIMIT, "by --time-limit", err);
        rc = one_step(run, err);
        if (rc == VLM_ESTOPPED)
            return stop(run, VLM_ESTOPPED, "by a signal", err);
        if (rc == VLM_OK)
            rc = after_step(run, err);
        if (rc == VLM_OK)
            vlm_train_report_show(&run->report, &run->stepper);
    }
    return rc;
}

/* ---- beginning and end ---- */

static int check_resume(const struct vlm_train_run_options *options, struct vlm_err *err)
{
    uint64_t *steps;
    size_t n;
    int rc = vlm_checkpoint_steps(&steps, &n, options->output, err);
    free(steps);
    if (rc != VLM_OK)
        return rc;
    if (options->resume == VLM_RESUME_NEVER && n)
        return vlm_fail(err, VLM_EUSAGE,
                        "'%s' holds a run already: --resume auto goes on with it, another -o "
                        "begins a new one",
                        options->output);
    if (options->resume == VLM_RESUME_MUST && !n)
        return vlm_fail(err, VLM_EUSAGE, "'%s' holds no checkpoint to resume from",
                        options->output);
    return VLM_OK;
}

static int remove_file(const char *path, struct vlm_err *err)
{
    return unlink(path) < 0 && errno != ENOENT
               ? vlm_fail_errno(err, errno, "cannot remove '%s'", path)
               : VLM_OK;
}

/* Opens both files of lines; of a run that begins anew, empty. */
static int open_lines(struct run *run, bool anew, struct vlm_err *err)
{
    char *metrics = vlm_path_join(run->options->output, "metrics.jsonl");
    char *perf = vlm_path_join(run->options->output, "perf.jsonl");
    int rc = VLM_OK;
    if (anew)
        rc = remove_file(metrics, err);
    if (rc == VLM_OK && anew)
        rc = remove_file(perf, err);
    if (rc == VLM_OK)
        rc = vlm_metrics_open(&run->metrics, metrics, run->stepper.state.step, err);
    if (rc == VLM_OK)
        rc = vlm_metrics_open(&run->perf, perf, UINT64_MAX, err);
    free(metrics);
    free(perf);
    return rc;
}

static int write_config(const struct run *run, struct vlm_err *err)
{
    const struct vlm_buffer *ini = &run->plan->config_ini;
    char *path = vlm_path_join(run->options->output, "config.resolved.ini");
    int rc = vlm_file_write(path, ini->data, ini->size, err);
    free(path);
    return rc;
}

static void tell_going_on(struct run *run)
{
    const struct vlm_train_plan *plan = run->plan;
    const uint64_t step = run->stepper.state.step;
    if (run->complete) {
        vlm_train_report_tell(&run->report,
                              "'%s' has made its %" PRIu64 " steps: a larger --max-iters goes on",
                              run->options->output, step);
        return;
    }
    vlm_train_report_tell(&run->report, "'%s' goes on from step %" PRIu64, run->options->output,
                          step);
    if (plan->as_begun)
        vlm_train_report_tell(&run->report,
                              "it goes to step %" PRIu64 " with the --warmup-iters %" PRIu64
                              " and --lr-decay-iters %" PRIu64 " that it began with",
                              plan->steps, plan->warmup, plan->decay_steps);
}

static int begin(struct run *run, struct vlm_err *err)
{
    struct vlm_stepper *stepper = &run->stepper;
    struct vlm_train_report *report = &run->report;
    int rc = vlm_train_plan_verify(run->plan, err);
    if (rc == VLM_OK)
        rc = vlm_stepper_init(stepper, run->plan, err);
    if (rc == VLM_OK)
        rc = vlm_vocabulary_bytes(&run->bytes, &run->plan->vocabulary, err);
    if (rc == VLM_OK && run->plan->images)
        rc = vlm_coder_new(&run->images, run->plan->images, (size_t)run->options->threads, err);
    if (rc == VLM_OK)
        rc = vlm_run_lock(run->options->output, &run->lock, err);
    if (rc != VLM_OK)
        return rc;
    rc = load(run, UINT64_MAX, err);
    const bool anew = rc == VLM_EOF;
    if (anew || rc == VLM_OK)
        rc = write_config(run, err);
    if (rc == VLM_OK)
        rc = open_lines(run, anew, err);
    if (rc == VLM_OK)
        rc = vlm_stepper_seek(stepper, err);
    if (rc != VLM_OK)
        return rc;
    run->saved = anew ? UINT64_MAX : stepper->state.step;
    run->complete = stepper->state.step >= run->plan->steps;
    report->first_step = stepper->state.step;
    report->first_tokens = report->perf_tokens = stepper->state.tokens;
    if (!anew)
        tell_going_on(run);
    return anew && run->options->eval_interval ? validate_and_write(run, err) : VLM_OK;
}

static void release(struct run *run)
{
    vlm_metrics_close(&run->metrics);
    vlm_metrics_close(&run->perf);
    vlm_stepper_release(&run->stepper);
    vlm_coder_free(run->images);
    free(run->bytes);
    if (run->lock >= 0)
        close(run->lock);
}

int vlm_train_carry_out(struct vlm_train_plan *plan,
                        const struct vlm_train_disturbance *disturbance, struct vlm_buffer *report,
                        struct vlm_err *err)
{
    struct run run = { .options = plan->options,
                       .plan = plan,
                       .metrics = { .fd = -1 },
                       .perf = { .fd = -1 },
                       .lock = -1,
                       .saved = UINT64_MAX };
    vlm_train_report_init(&run.report, plan);
    int rc = begin(&run, err);
    if (disturbance)
        run.stepper.disturbance = *disturbance;
    if (rc == VLM_OK)
        rc = loop(&run, err);
    if (rc == VLM_OK && run.complete) /* its figures, anew */
        rc = validate(&run, err);
    vlm_progress_end(&run.report.progress);
    if (run.stepper.loader)
        vlm_train_report_end(report, &run.report, &run.stepper);
    release(&run);
    return rc;
}

int vlm_train_run_start(const struct vlm_train_run_options *options, struct vlm_buffer *report,
                        struct vlm_err *err)
{
    struct vlm_train_plan plan = { 0 };
    int rc = check_resume(options, err);
    if (rc == VLM_OK)
        rc = vlm_train_output_check(options, err);
    if (rc == VLM_OK)
        rc = vlm_train_plan_make(&plan, options, err);
    if (rc == VLM_OK && options->dry_run)
        vlm_train_report_plan(report, &plan);
    else if (rc == VLM_OK)
        rc = vlm_train_carry_out(&plan, NULL, report, err);
    if (rc >= 0 && report->failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the report");
    vlm_train_plan_release(&plan);
    return rc;
}
