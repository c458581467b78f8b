/* vq_run.c - a whole run of training vq-s or vq-xs: steps, figures on the way, checkpoints, the model.
 *
 * The folder of the run holds the model (moving averages of the weights; whole at any time, from the first
 * export on), checkpoint.safetensors, metrics.jsonl (a line each interval, nothing in it depends on the
 * clock; cut back when a run goes on from a checkpoint), perf.jsonl (speed) and sheets/. */
#include "base/vlm.h"

#include "vqgan/train/train.h"

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "nn/ops/quantise.h"
#include "vqgan/tokenizer/model.h"
#include "vqgan/train/quality.h"
#include "vqgan/train/sheet.h"
#include "vqgan/train/vq_trainer.h"

#include <fcntl.h>
#include <math.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STEPS_DEFAULT = 20000,
    BATCH_DEFAULT = 32,
    EVAL_DEFAULT = 500,
    EVAL_PICTURES = 128, /* at most */
    EVAL_BATCH = 4,
    SHEET_COLS = 8,
    METRICS_INTERVAL = 10,
    ROLL_BACKS_MAX = 5,
    IDENTITY_SIZE = 512,
};

struct run {
    int lock; /* the output folder */
    const struct vlm_pictures *pictures;
    const struct vlm_train_options *options;
    struct vlm_vq_trainer trainer;
    struct vlm_vq_crops crops;
    struct vlm_progress progress;
    char *checkpoint, *metrics, *perf, *sheets;
    char identity[IDENTITY_SIZE];
    char id[VLM_TOKENIZER_ID_SIZE]; /* of the last export */
    uint64_t first_step;            /* of this process */
    uint64_t crops_done;            /* by this process */
    double eval_seconds;
    unsigned roll_backs;
    /* figures of the last evaluation */
    struct vlm_quality_report quality;
    uint64_t evaluated; /* at this step; checked together with has_quality */
    bool has_quality;
};

static uint64_t interval(int64_t asked, uint64_t otherwise)
{
    return asked > 0 ? (uint64_t)asked : otherwise;
}

/* ---- figures on held-out pictures ---- */

/* Reconstructions and codes of n squares by the averaged model. */
static int reconstruct(struct run *run, const uint8_t *squares, uint8_t *out, uint16_t *codes,
                       size_t n, struct vlm_err *err)
{
    struct vlm_vq_trainer *t = &run->trainer;
    struct vlm_tape *tape = &t->look;
    uint32_t chosen[EVAL_BATCH * VLM_CODES] = { 0 };
    struct vlm_tensor *x = vlm_tensor_new(tape, "squares", VLM_F32, 4,
                                          (size_t[]){ n, VLM_SQUARE_SIDE, VLM_SQUARE_SIDE, 3 });
    for (size_t i = 0; i < n * VLM_SQUARE_BYTES && vlm_tape_runs(tape); i++)
        x->data[i] = (float)squares[i] / 127.5f - 1.0f;
    struct vlm_tensor *z = vlm_unit_rows(tape, vlm_vq_encode(tape, &t->average, x));
    struct vlm_tensor *q = vlm_quantise(
        tape, z, &(struct vlm_quantise){ .codebook = &t->average.codebook, .codes = chosen }, NULL);
    struct vlm_tensor *y = vlm_vq_decode(tape, &t->average, q);
    int rc = vlm_tape_error(tape, err);
    for (size_t i = 0; rc == VLM_OK && i < n * VLM_SQUARE_BYTES; i++) {
        float value = (y->data[i] + 1.0f) * 127.5f;
        out[i] = (uint8_t)lrintf(value > 0 ? fminf(value, 255) : 0); /* NaN: 0 */
    }
    for (size_t i = 0; rc == VLM_OK && i < n * VLM_CODES; i++)
        codes[i] = (uint16_t)chosen[i];
    vlm_tape_reset(tape);
    return rc;
}

/* Squares first to first + n of the held-out ones, or of the others when none are held out. */
static int read_squares(struct run *run, uint8_t *squares, size_t first, size_t n,
                        struct vlm_err *err)
{
    const struct vlm_pictures *pictures = run->pictures;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        rc = pictures->read(pictures, pictures->held_out > 0, first + i,
                            squares + i * VLM_SQUARE_BYTES, err);
    return rc;
}

/* squares: room for EVAL_BATCH + EVAL_BATCH squares, then a sheet of two rows. */
static int measure(struct run *run, struct vlm_quality *quality, uint8_t *squares, size_t count,
                   struct vlm_err *err)
{
    uint8_t *out = squares + EVAL_BATCH * VLM_SQUARE_BYTES;
    uint8_t *sheet = out + EVAL_BATCH * VLM_SQUARE_BYTES;
    uint16_t codes[EVAL_BATCH * VLM_CODES];
    const size_t cols = VLM_MIN(count, (size_t)SHEET_COLS);
    int rc = VLM_OK;
    for (size_t first = 0; rc == VLM_OK && first < count; first += EVAL_BATCH) {
        const size_t n = VLM_MIN(count - first, (size_t)EVAL_BATCH);
        rc = read_squares(run, squares, first, n, err);
        if (rc == VLM_OK)
            rc = reconstruct(run, squares, out, codes, n, err);
        for (size_t i = 0; rc == VLM_OK && i < n; i++) {
            const uint8_t *original = squares + i * VLM_SQUARE_BYTES;
            const uint8_t *made = out + i * VLM_SQUARE_BYTES;
            vlm_quality_add(quality, original, made, codes + i * VLM_CODES);
            if (first + i >= cols)
                continue;
            memcpy(sheet + (first + i) * VLM_SQUARE_BYTES, original, VLM_SQUARE_BYTES);
            memcpy(sheet + (cols + first + i) * VLM_SQUARE_BYTES, made, VLM_SQUARE_BYTES);
        }
    }
    char name[40];
    snprintf(name, sizeof(name), "step-%06" PRIu64 ".png", run->trainer.step);
    char *path = vlm_path_join(run->sheets, name);
    if (rc == VLM_OK)
        rc = vlm_sheet_write(path, sheet, 2, cols, err);
    free(path);
    return rc;
}

/* The model of the averaged weights. */
static int write_model(struct run *run, struct vlm_err *err)
{
    const struct vlm_vq_trainer *t = &run->trainer;
    const struct vlm_vq *vq = &t->average;
    struct vlm_buffer architecture = { 0 }, training = { 0 };
    struct vlm_model_tensor *tensors = calloc(vq->n_parameters, sizeof(*tensors));
    vlm_vq_architecture(&architecture, &vq->shape);
    vlm_buffer_byte(&architecture, 0);
    vlm_buffer_printf(&training, "{\"pictures\": %zu, \"step\": %" PRIu64 ", \"options\": %s}",
                      run->pictures->train, t->step, run->identity);
    vlm_buffer_byte(&training, 0);
    int rc = VLM_OK;
    if (!tensors || architecture.failed || training.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a model");
    for (size_t i = 0; rc == VLM_OK && i < vq->n_parameters; i++) {
        const struct vlm_tensor *p = vq->parameters[i].tensor;
        tensors[i] = (struct vlm_model_tensor){ .name = p->name, .rank = p->rank, .data = p->data };
        memcpy(tensors[i].shape, p->shape, sizeof(p->shape));
    }
    if (rc == VLM_OK)
        rc = vlm_model_write(
            run->options->output,
            &(struct vlm_model_content){ .kind = vq->shape.kind,
                                         .architecture = (const char *)architecture.data,
                                         .training = (const char *)training.data,
                                         .codebook_size = vq->shape.codes,
                                         .code_width = vq->shape.code_width,
                                         .tensors = tensors,
                                         .count = vq->n_parameters,
                                         .store_bf16 = run->options->store_bf16 },
            run->id, err);
    vlm_buffer_release(&architecture);
    vlm_buffer_release(&training);
    free(tensors);
    return rc;
}

/* Figures, sheet and model. */
static int evaluate(struct run *run, struct vlm_err *err)
{
    const struct vlm_pictures *pictures = run->pictures;
    const size_t there = pictures->held_out ? pictures->held_out : pictures->train;
    const size_t count = VLM_MIN(there, (size_t)EVAL_PICTURES);
    const double began = vlm_progress_seconds(&run->progress);
    struct vlm_quality quality = { 0 };
    uint8_t *squares = malloc((2 * EVAL_BATCH + 2 * SHEET_COLS) * VLM_SQUARE_BYTES);
    int rc = squares ? vlm_quality_init(&quality, run->trainer.recipe.shape.codes, err)
                     : vlm_fail(err, VLM_ENOMEM, "no memory for pictures");
    if (rc == VLM_OK)
        rc = vlm_vq_trainer_average(&run->trainer, &run->crops, err);
    const struct vlm_vq *average = &run->trainer.average;
    for (size_t i = 0; run->options->store_bf16 && i < average->n_parameters; i++)
        vlm_model_round(average->parameters[i].tensor->data,
                        vlm_tensor_count(average->parameters[i].tensor));
    if (rc == VLM_OK)
        rc = measure(run, &quality, squares, count, err);
    if (rc == VLM_OK)
        rc = write_model(run, err);
    if (rc == VLM_OK) {
        run->quality = vlm_quality_report(&quality);
        run->has_quality = true;
        run->evaluated = run->trainer.step;
    }
    vlm_quality_release(&quality);
    free(squares);
    run->eval_seconds += vlm_progress_seconds(&run->progress) - began;
    return rc;
}

/* ---- lines of metrics.jsonl and perf.jsonl ---- */

static int append(const char *path, struct vlm_buffer *line, struct vlm_err *err)
{
    vlm_buffer_byte(line, '\n');
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int rc = VLM_OK;
    if (line->failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a line");
    else if (fd < 0)
        rc = vlm_fail_errno(err, errno, "cannot open '%s'", path);
    else
        rc = vlm_write_all(fd, line->data, line->size, path, err);
    if (fd >= 0)
        close(fd);
    vlm_buffer_release(line);
    return rc;
}

static void member_real(struct vlm_json *json, const char *key, double value)
{
    vlm_json_key(json, key);
    vlm_json_real(json, value);
}

static void add_quality(struct vlm_json *json, const struct run *run)
{
    const struct vlm_quality_report *q = &run->quality;
    member_real(json, "psnr", q->psnr);
    member_real(json, "ssim", q->ssim);
    member_real(json, "edge_psnr", q->edge_psnr);
    member_real(json, "usage", q->usage);
    member_real(json, "perplexity", q->perplexity);
}

static int add_metrics(const struct run *run, struct vlm_err *err)
{
    const struct vlm_vq_trainer *t = &run->trainer;
    const struct vlm_vq_step *last = &t->last;
    static const char *const verdicts[] = { "accept", "skip", "roll-back" };
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "step", t->step);
    member_real(&json, "loss", last->loss);
    member_real(&json, "l1", last->parts.absolute);
    member_real(&json, "l2", last->parts.square);
    member_real(&json, "scales", last->parts.scales);
    member_real(&json, "commitment", last->commitment);
    member_real(&json, "norm", last->norm);
    member_real(&json, "rate", last->rate);
    vlm_json_member_number(&json, "revived", last->revived);
    vlm_json_member_string(&json, "verdict", verdicts[last->verdict]);
    if (run->has_quality && run->evaluated == t->step)
        add_quality(&json, run);
    vlm_json_close(&json, '}');
    return append(run->metrics, &line, err);
}

static double crops_per_second(const struct run *run)
{
    double seconds = vlm_progress_seconds(&run->progress) - run->eval_seconds;
    return seconds > 0 ? (double)run->crops_done / seconds : 0;
}

static int add_perf(const struct run *run, struct vlm_err *err)
{
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "step", run->trainer.step);
    member_real(&json, "crops_per_second", crops_per_second(run));
    member_real(&json, "seconds", vlm_progress_seconds(&run->progress));
    member_real(&json, "eval_seconds", run->eval_seconds);
    vlm_json_close(&json, '}');
    return append(run->perf, &line, err);
}

static void show(struct run *run)
{
    const struct vlm_vq_trainer *t = &run->trainer;
    const double seconds = vlm_progress_seconds(&run->progress);
    const uint64_t steps = t->recipe.steps, left = steps - run->first_step;
    const double fraction = left ? (double)(t->step - run->first_step) / (double)left : 1;
    char line[200], eta[VLM_FORMAT_SIZE], memory[VLM_FORMAT_SIZE], figures[48] = "";
    if (run->has_quality)
        snprintf(figures, sizeof(figures), "  psnr %.2f  usage %.0f%%", run->quality.psnr,
                 100 * run->quality.usage);
    size_t bytes = vlm_tape_peak(&t->tape) + vlm_tape_peak(&t->look);
    bytes += t->model.memory.used + t->average.memory.used + t->optimizer.memory.used;
    snprintf(line, sizeof(line),
             "%s  step %" PRIu64 "/%" PRIu64 "  loss %.4f%s  %.1f crops/s  eta %s  %s",
             t->recipe.shape.kind, t->step, steps, t->last.loss, figures, crops_per_second(run),
             vlm_format_eta(eta, seconds, fraction), vlm_format_bytes(memory, (double)bytes));
    vlm_progress_update(&run->progress, (double)t->step / (double)steps, line);
}

/* ---- checkpoints ---- */

static uint64_t size_of_file(const char *path)
{
    struct stat status;
    return stat(path, &status) ? 0 : (uint64_t)status.st_size;
}

static int save(struct run *run, struct vlm_err *err)
{
    return vlm_vq_trainer_save(&run->trainer, run->checkpoint, run->identity,
                               size_of_file(run->metrics), err);
}

/* Loads the last checkpoint and cuts metrics back to it. */
static int load(struct run *run, struct vlm_err *err)
{
    uint64_t lines = 0;
    int rc = vlm_vq_trainer_load(&run->trainer, run->checkpoint, run->identity, &lines, err);
    if (rc == VLM_OK && size_of_file(run->metrics) > lines && truncate(run->metrics, (off_t)lines))
        return vlm_fail_errno(err, errno, "cannot cut '%s' back", run->metrics);
    return rc;
}

/* Back to the last checkpoint; the batches since then are left out. */
static int roll_back(struct run *run, struct vlm_err *err)
{
    struct vlm_vq_trainer *t = &run->trainer;
    const uint64_t reached = t->step + t->dropped;
    if (++run->roll_backs > ROLL_BACKS_MAX)
        return vlm_fail(err, VLM_EFAIL,
                        "training of %s does not recover: step %" PRIu64 ", loss %g, %u roll-backs",
                        t->recipe.shape.kind, t->step, t->last.loss, ROLL_BACKS_MAX);
    struct vlm_vq_batch unused;
    int rc = run->crops.running ? vlm_vq_crops_wait(&run->crops, &unused, err) : VLM_OK;
    if (rc == VLM_OK)
        rc = load(run, err);
    t->dropped = reached - t->step;
    return rc;
}

/* ---- the loop ---- */

/* What a run must have in common with the checkpoint that it goes on from: a JSON object. */
static void identify(struct run *run)
{
    const struct vlm_vq_recipe *r = &run->trainer.recipe;
    char digest[2 * VLM_SHA256_SIZE + 1];
    vlm_hex(digest, run->pictures->digest, VLM_SHA256_SIZE);
    digest[16] = 0;
    snprintf(run->identity, sizeof(run->identity),
             "{\"kind\": \"%s\", \"codes\": %zu, \"steps\": %" PRIu64
             ", \"batch\": %zu, \"seed\": %" PRIu64
             ", \"bf16\": %s, \"overfit\": %s, \"pictures\": \"%s\"}",
             r->shape.kind, r->shape.codes, r->steps, r->batch, r->seed, r->bf16 ? "true" : "false",
             run->options->overfit ? "true" : "false", digest);
}

/* Begins to make the batch of step number `step`. */
static int start_batch(struct run *run, uint64_t step, struct vlm_err *err)
{
    const struct vlm_vq_trainer *t = &run->trainer;
    size_t size, count;
    vlm_vq_trainer_batch(&t->recipe, step, &size, &count);
    return vlm_vq_crops_start(&run->crops, step + t->dropped, size, count, err);
}

static bool must_stop(const struct run *run)
{
    const struct vlm_train_options *options = run->options;
    if (options->stop && *options->stop)
        return true;
    return options->time_limit > 0 && vlm_progress_seconds(&run->progress) > options->time_limit;
}

/* One batch; the next one is made meanwhile. */
static int one_step(struct run *run, struct vlm_err *err)
{
    struct vlm_vq_trainer *t = &run->trainer;
    struct vlm_vq_batch batch;
    int rc = VLM_OK;
    if (!t->quantised && t->step >= t->recipe.unquantised)
        rc = vlm_vq_trainer_quantise(t, &run->crops, err);
    if (rc == VLM_OK && !run->crops.running)
        rc = start_batch(run, t->step, err);
    if (rc == VLM_OK)
        rc = vlm_vq_crops_wait(&run->crops, &batch, err);
    if (rc == VLM_OK && t->step + 1 < t->recipe.steps)
        rc = start_batch(run, t->step + 1, err);
    if (rc != VLM_OK)
        return rc;
    run->crops_done += batch.count * batch.size * batch.size / (t->recipe.crop * t->recipe.crop);
    return vlm_vq_trainer_step(t, &batch, err);
}

/* What is due after a step. */
static int after_step(struct run *run, struct vlm_err *err)
{
    const struct vlm_vq_trainer *t = &run->trainer;
    const uint64_t step = t->step, every = interval(run->options->eval_interval, EVAL_DEFAULT);
    const bool last = step == t->recipe.steps, evaluates = last || step % every == 0;
    int rc = VLM_OK;
    if (evaluates)
        rc = evaluate(run, err);
    if (rc == VLM_OK && (evaluates || step % METRICS_INTERVAL == 0 || t->last.verdict))
        rc = add_metrics(run, err);
    if (rc == VLM_OK && evaluates)
        rc = add_perf(run, err);
    if (rc == VLM_OK && (last || step % interval(run->options->checkpoint_interval, every) == 0))
        rc = save(run, err);
    return rc;
}

static int stop(struct run *run, struct vlm_err *err)
{
    int rc = save(run, err);
    if (rc == VLM_OK)
        rc = vlm_vq_trainer_average(&run->trainer, &run->crops, err);
    if (rc == VLM_OK)
        rc = write_model(run, err);
    if (rc != VLM_OK)
        return rc;
    return vlm_fail(err, VLM_ESTOPPED,
                    "stopped after step %" PRIu64 " of %" PRIu64 ": the same command goes on",
                    run->trainer.step, run->trainer.recipe.steps);
}

static int loop(struct run *run, struct vlm_err *err)
{
    struct vlm_vq_trainer *t = &run->trainer;
    int rc = VLM_OK;
    while (rc == VLM_OK && t->step < t->recipe.steps) {
        if (must_stop(run))
            return stop(run, err);
        rc = one_step(run, err);
        if (rc == VLM_OK && t->last.verdict == VLM_GUARD_ROLL_BACK)
            rc = roll_back(run, err);
        else if (rc == VLM_OK)
            rc = after_step(run, err);
        show(run);
    }
    /* A run that was complete already: its figures, anew. */
    if (rc == VLM_OK && !run->has_quality)
        rc = evaluate(run, err);
    return rc;
}

/* ---- beginning and end ---- */

static struct vlm_vq_recipe choose_recipe(const struct vlm_pictures *pictures,
                                          const struct vlm_train_options *options)
{
    struct vlm_vq_shape shape =
        *vlm_vq_shape_named(options->kind == VLM_TRAIN_VQ_S ? "vq-s" : "vq-xs");
    if (options->codes > 0)
        shape.codes = (size_t)options->codes;
    size_t batch = options->batch > 0 ? (size_t)options->batch : BATCH_DEFAULT;
    if (options->overfit)
        batch = VLM_MIN(batch, pictures->train);
    struct vlm_vq_recipe recipe =
        vlm_vq_recipe(&shape, interval(options->steps, STEPS_DEFAULT), batch);
    recipe.seed = options->seed;
    recipe.bf16 = options->bf16;
    if (options->overfit) {
        recipe.crop = recipe.large_crop;
        recipe.large = 0;
    }
    return recipe;
}

/* Two trainings never write into one folder. */
static int lock_output(struct run *run, struct vlm_err *err)
{
    const char *output = run->options->output;
    run->lock = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run->lock < 0)
        return vlm_fail_errno(err, errno, "cannot open '%s'", output);
    if (flock(run->lock, LOCK_EX | LOCK_NB) < 0)
        return vlm_fail(err, VLM_EFAIL, "another training writes into '%s'", output);
    return VLM_OK;
}

static int begin(struct run *run, struct vlm_err *err)
{
    const struct vlm_train_options *options = run->options;
    const struct vlm_vq_recipe recipe = choose_recipe(run->pictures, options);
    const size_t floats = 3 * VLM_MAX(recipe.batch * recipe.crop * recipe.crop,
                                      recipe.large_batch * recipe.large_crop * recipe.large_crop);
    run->checkpoint = vlm_path_join(options->output, "checkpoint.safetensors");
    run->metrics = vlm_path_join(options->output, "metrics.jsonl");
    run->perf = vlm_path_join(options->output, "perf.jsonl");
    run->sheets = vlm_path_join(options->output, "sheets");
    int rc = vlm_folder_make(run->sheets, err);
    if (rc == VLM_OK)
        rc = lock_output(run, err);
    if (rc == VLM_OK)
        rc = vlm_vq_trainer_init(&run->trainer, &recipe, (size_t)options->threads, err);
    if (rc == VLM_OK)
        rc = vlm_vq_crops_init(&run->crops, run->pictures, recipe.seed, options->overfit, floats,
                               err);
    if (rc != VLM_OK)
        return rc;
    identify(run);
    if (access(run->checkpoint, F_OK) == 0)
        rc = load(run, err);
    else /* something to roll back to */
        rc = truncate(run->metrics, 0) && errno != ENOENT
                 ? vlm_fail_errno(err, errno, "cannot empty '%s'", run->metrics)
                 : save(run, err);
    run->first_step = run->trainer.step;
    return rc;
}

static void report_on(struct vlm_buffer *report, const struct run *run)
{
    struct vlm_json json = { .out = report };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "tokenizer", run->id);
    vlm_json_member_number(&json, "pictures", run->pictures->train);
    vlm_json_member_number(&json, "held_out", run->quality.images);
    vlm_json_member_number(&json, "steps", run->trainer.step);
    vlm_json_member_number(&json, "codebook_size", run->trainer.recipe.shape.codes);
    vlm_json_member_number(&json, "skipped", run->trainer.guard.skipped);
    member_real(&json, "loss", run->trainer.last.loss);
    add_quality(&json, run);
    member_real(&json, "crops_per_second", crops_per_second(run));
    member_real(&json, "seconds", vlm_progress_seconds(&run->progress));
    vlm_json_close(&json, '}');
}

int vlm_train_vq(const struct vlm_pictures *pictures, const struct vlm_train_options *options,
                 struct vlm_buffer *report, struct vlm_err *err)
{
    if (!pictures->train)
        return vlm_fail(err, VLM_EUSAGE, "there are no pictures to learn from");
    struct run *run = calloc(1, sizeof(*run));
    if (!run)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a run");
    run->pictures = pictures;
    run->options = options;
    run->lock = -1;
    vlm_progress_init(&run->progress, options->progress, options->quiet);
    int rc = begin(run, err);
    if (rc == VLM_OK)
        rc = loop(run, err);
    vlm_progress_end(&run->progress);
    if (rc == VLM_OK || rc == VLM_ESTOPPED)
        report_on(report, run);
    vlm_vq_crops_release(&run->crops);
    vlm_vq_trainer_release(&run->trainer);
    free(run->checkpoint);
    free(run->metrics);
    free(run->perf);
    free(run->sheets);
    if (run->lock >= 0)
        close(run->lock);
    free(run);
    return rc;
}
