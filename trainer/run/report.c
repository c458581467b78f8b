/* report.c - what a run tells: the line of progress, lines of metrics.jsonl and perf.jsonl, the JSON reports.
 *
 * Figures of time and memory are of this process; those of metrics.jsonl never are. */
#include "base/vlm.h"

#include "trainer/run/run_internal.h"

#include "trainer/save/model_card.h"

#include <math.h>
#include <unistd.h>

enum { SENTENCE_SIZE = 1024, LINE_SIZE = 240 };

void vlm_train_report_init(struct vlm_train_report *report, const struct vlm_train_plan *plan)
{
    *report = (struct vlm_train_report){ .plan = plan };
    vlm_progress_init(&report->progress, plan->options->progress, plan->options->quiet);
}

void vlm_train_report_tell(struct vlm_train_report *report, const char *format, ...)
{
    const struct vlm_train_run_options *options = report->plan->options;
    char sentence[SENTENCE_SIZE];
    va_list args;
    if (!options->tell)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    vlm_progress_end(&report->progress);
    options->tell(sentence, options->tell_context);
}

/* ---- the line of progress ---- */

/* Bytes of memory that are the process's own now: pages of mapped parts, which the system may drop, are not. */
static uint64_t resident(void)
{
    unsigned long long pages = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*u %llu %llu", &pages, &shared) != 2 || shared > pages)
        pages = shared = 0;
    fclose(file);
    return (pages - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double tokens_per_second(const struct vlm_train_report *report,
                                const struct vlm_stepper *stepper)
{
    const double tokens = (double)(stepper->state.tokens - report->first_tokens);
    return report->step_seconds > 0 ? tokens / report->step_seconds : 0;
}

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* "  text 3.21", or nothing when a step has no such targets. */
static void add_loss(char *line, size_t size, const char *name, double loss)
{
    const size_t used = strlen(line);
    if (isfinite(loss) && used < size)
        snprintf(line + used, size - used, "  %s %.3f", name, loss);
}

void vlm_train_report_show(struct vlm_train_report *report, const struct vlm_stepper *stepper)
{
    const struct vlm_train_step *last = &stepper->last;
    const uint64_t step = stepper->state.step, steps = report->plan->steps;
    const double seconds = vlm_progress_seconds(&report->progress);
    const uint64_t left = steps > report->first_step ? steps - report->first_step : 0;
    const double done = left ? (double)(step - report->first_step) / (double)left : 1;
    char line[LINE_SIZE], eta[VLM_FORMAT_SIZE], speed[VLM_FORMAT_SIZE], memory[VLM_FORMAT_SIZE];
    snprintf(line, sizeof(line), "train  step %" PRIu64 "/%" PRIu64 "  loss %.3f", step, steps,
             last->loss);
    add_loss(line, sizeof(line), "text", last->loss_of[VLM_MODALITY_TEXT]);
    add_loss(line, sizeof(line), "image", last->loss_of[VLM_MODALITY_IMAGE]);
    if (report->has_validation && report->validation.weights > 0)
        add_loss(line, sizeof(line), "val",
                 report->validation.weighted / report->validation.weights);
    const size_t used = strlen(line);
    snprintf(line + used, sizeof(line) - used, "  %s tok/s  wait %.1f%%  eta %s  mem %s",
             vlm_format_count(speed, tokens_per_second(report, stepper)),
             100 * share(vlm_stepper_waited(stepper), report->step_seconds),
             vlm_format_eta(eta, seconds, done), vlm_format_bytes(memory, (double)resident()));
    vlm_progress_update(&report->progress, share((double)step, (double)steps), line);
}

/* ---- texts of the model ---- */

void vlm_train_report_card(struct vlm_buffer *readme, struct vlm_buffer *provenance,
                           const struct vlm_train_report *report, const struct vlm_stepper *stepper)
{
    const struct vlm_train_plan *plan = report->plan;
    const struct vlm_trainer_state *state = &stepper->state;
    const struct vlm_source_info *source[VLM_SOURCES_MAX];
    const size_t sources = vlm_corpus_sources(plan->corpus);
    for (size_t i = 0; i < sources; i++)
        source[i] = vlm_corpus_source(plan->corpus, i);
    const struct vlm_model_card card = {
        .name = plan->options->output,
        .recipe = &plan->recipe,
        .model = &stepper->model,
        .preset = plan->preset->name,
        .source = source,
        .n_sources = sources,
        .tokenizer = vlm_text_tokenizer_id(plan->vocabulary.tokenizer),
        .image_tokenizer = plan->image_tokenizer_id,
        .codes = plan->codes,
        .steps = state->step,
        .updates = state->updates,
        .tokens = state->tokens,
        .documents = state->documents,
        .batch_tokens = plan->batch_tokens * plan->accumulation,
        .learning_rate = plan->schedule.peak,
        .schedule = plan->schedule_word,
        .precision = plan->options->bf16 ? "bf16" : "fp32",
        .validation = report->has_validation ? &report->validation : NULL,
        .validation_step = report->validated,
        .seed = plan->options->seed,
    };
    vlm_model_card_write(readme, &card);
    vlm_provenance_write(provenance, &card);
    vlm_buffer_byte(readme, 0);
    vlm_buffer_byte(provenance, 0);
}

/* ---- lines of files ---- */

void vlm_train_report_step(struct vlm_buffer *line, const struct vlm_stepper *stepper)
{
    const struct vlm_train_step *last = &stepper->last;
    const struct vlm_trainer_state *state = &stepper->state;
    struct vlm_step_line content = { .step = state->step,
                                     .loss = last->loss,
                                     .rate = last->rate,
                                     .grad_norm = last->norm,
                                     .tokens = state->tokens,
                                     .documents = state->documents,
                                     .epoch = last->epoch,
                                     .verdict = last->verdict,
                                     .place = &last->before,
                                     .sources = vlm_corpus_sources(stepper->plan->corpus) };
    memcpy(content.loss_of, last->loss_of, sizeof(content.loss_of));
    vlm_step_line_write(line, &content);
}

void vlm_train_report_perf(struct vlm_buffer *line, struct vlm_train_report *report,
                           const struct vlm_stepper *stepper)
{
    const double waited = vlm_stepper_waited(stepper);
    const double seconds = report->step_seconds - report->perf_step_seconds;
    const uint64_t tokens = stepper->state.tokens - report->perf_tokens;
    report->perf.step = stepper->state.step;
    report->perf.seconds = vlm_progress_seconds(&report->progress);
    report->perf.tokens_per_second = share((double)tokens, seconds);
    report->perf.data_wait_ms = 1000 * (waited - report->perf_wait);
    report->perf.rss = resident();
    vlm_perf_line_write(line, &report->perf);
    report->perf.checkpoint_ms = 0;
    report->perf_step_seconds = report->step_seconds;
    report->perf_wait = waited;
    report->perf_tokens = stepper->state.tokens;
}

/* ---- JSON reports ---- */

static void add_memory(struct vlm_json *json, const struct vlm_train_plan *plan)
{
    const struct vlm_model_estimate *e = &plan->estimate;
    vlm_json_key(json, "memory");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "weights", e->weights);
    vlm_json_member_number(json, "gradients", e->grads);
    vlm_json_member_number(json, "moments", e->optimizer);
    vlm_json_member_number(json, "step", e->step);
    vlm_json_member_number(json, "sum", e->weights + e->grads + e->optimizer + e->step);
    vlm_json_member_number(json, "available", plan->available);
    vlm_json_close(json, '}');
}

static void add_model(struct vlm_json *json, const struct vlm_train_plan *plan)
{
    const struct vlm_model_config *config = &plan->config;
    vlm_json_member_string(json, "recipe", plan->recipe.name);
    vlm_json_member_string(json, "preset", plan->preset->name);
    vlm_json_member_number(json, "parameters", plan->estimate.parameters);
    vlm_json_member_number(json, "layers", config->layers);
    vlm_json_member_number(json, "width", config->sizes.width);
    vlm_json_member_number(json, "vocabulary", config->vocabulary);
    vlm_json_member_number(json, "block", plan->recipe.sampling.block);
    vlm_json_member_string(json, "dtype", plan->options->bf16 ? "bf16" : "fp32");
    vlm_json_member_string(json, "tokenizer", vlm_text_tokenizer_id(plan->vocabulary.tokenizer));
    vlm_json_member_string(json, "image_tokenizer",
                           plan->image_tokenizer_id[0] ? plan->image_tokenizer_id : NULL);
}

void vlm_train_report_plan(struct vlm_buffer *out, const struct vlm_train_plan *plan)
{
    struct vlm_json json = { .out = out };
    const uint64_t tokens = plan->batch_tokens * plan->accumulation;
    vlm_json_open(&json, '{');
    add_model(&json, plan);
    vlm_json_member_number(&json, "documents", plan->documents);
    vlm_json_member_number(&json, "steps", plan->steps);
    vlm_json_member_number(&json, "batch_tokens", plan->batch_tokens);
    vlm_json_member_number(&json, "accumulation", plan->accumulation);
    vlm_json_member_number(&json, "tokens_of_a_step", tokens);
    vlm_json_member_number(&json, "tokens", tokens * plan->steps);
    add_memory(&json, plan);
    vlm_json_close(&json, '}');
}

static void add_speed(struct vlm_json *json, const struct vlm_train_report *report,
                      const struct vlm_stepper *stepper)
{
    vlm_json_member_real(json, "tokens_per_second", tokens_per_second(report, stepper));
    vlm_json_member_real(json, "data_wait",
                         share(vlm_stepper_waited(stepper), report->step_seconds));
    vlm_json_member_real(json, "seconds", vlm_progress_seconds(&report->progress));
    vlm_json_member_real(json, "step_seconds", report->step_seconds);
    vlm_json_member_real(json, "checkpoint_seconds", report->save_seconds);
    vlm_json_member_number(json, "rss", resident());
}

static void add_skipped(struct vlm_json *json, const struct vlm_stepper *stepper)
{
    const struct vlm_loader_counts counts =
        stepper->loader ? vlm_loader_counts(stepper->loader) : (struct vlm_loader_counts){ 0 };
    vlm_json_key(json, "skipped");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "steps", stepper->state.guard.skipped);
    vlm_json_member_number(json, "validation", counts.skipped_validation);
    vlm_json_member_number(json, "deleted", counts.skipped_deleted);
    vlm_json_member_number(json, "empty", counts.skipped_empty);
    vlm_json_member_number(json, "damaged", counts.skipped_damaged);
    vlm_json_close(json, '}');
}

void vlm_train_report_end(struct vlm_buffer *out, const struct vlm_train_report *report,
                          const struct vlm_stepper *stepper)
{
    const struct vlm_trainer_state *state = &stepper->state;
    struct vlm_json json = { .out = out };
    char *model = vlm_path_join(report->plan->options->output, "model");
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "run", report->plan->options->output);
    vlm_json_member_string(&json, "model", model);
    add_model(&json, report->plan);
    vlm_json_member_number(&json, "step", state->step);
    vlm_json_member_number(&json, "steps", report->plan->steps);
    vlm_json_member_number(&json, "tokens", state->tokens);
    vlm_json_member_number(&json, "documents", state->documents);
    vlm_json_member_real(&json, "loss", state->step ? stepper->last.loss : NAN);
    vlm_json_key(&json, "validation");
    if (report->has_validation) {
        vlm_json_open(&json, '{');
        vlm_json_member_number(&json, "step", report->validated);
        vlm_evaluation_sums_write(&json, &report->validation);
        vlm_json_close(&json, '}');
    } else {
        vlm_json_null(&json);
    }
    vlm_json_member_string(&json, "samples", report->has_samples ? report->samples : NULL);
    vlm_json_member_number(&json, "roll_backs", state->roll_backs);
    add_skipped(&json, stepper);
    add_speed(&json, report, stepper);
    vlm_json_close(&json, '}');
    free(model);
}
