/* step.c - one step of training: micro-batches, their loss and gradients, the guard, the update.
 *
 * A batch here is all micro-batches of a step. They are drawn before the first is computed, since each one's
 * loss is divided by the weights of all of them. Batches have numbers, from 0 in the order they are drawn:
 * a roll-back leaves some of them out. */
#include "base/vlm.h"

#include "trainer/run/run_internal.h"

#include "base/hash.h"
#include "nn/ops/vocabulary_loss.h"

#include <math.h>

/* ---- beginning and end ---- */

static int make_optimizer(struct vlm_stepper *stepper, struct vlm_err *err)
{
    struct vlm_model *model = &stepper->model;
    struct vlm_parameter *list = calloc(model->n, sizeof(*list));
    if (!list)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu parameters", model->n);
    vlm_model_list(list, model);
    int rc = vlm_optimizer_init(&stepper->optimizer, &stepper->engine, list, model->n,
                                &stepper->plan->adam, err);
    free(list);
    return rc;
}

static int freeze(struct vlm_stepper *stepper, struct vlm_err *err)
{
    const struct vlm_recipe *recipe = &stepper->plan->recipe;
    const char *frozen[VLM_RECIPE_GLOBS_MAX], *trained[VLM_RECIPE_GLOBS_MAX];
    for (size_t i = 0; i < recipe->freeze.n; i++)
        frozen[i] = recipe->freeze.list[i];
    for (size_t i = 0; i < recipe->train.n; i++)
        trained[i] = recipe->train.list[i];
    return vlm_model_freeze(&stepper->model, frozen, recipe->freeze.n, trained, recipe->train.n,
                            err);
}

static int fill_model(struct vlm_stepper *stepper, struct vlm_err *err)
{
    const struct vlm_train_plan *plan = stepper->plan;
    size_t taken;
    vlm_model_fill(&stepper->model, plan->options->seed);
    if (!plan->from)
        return VLM_OK;
    int rc = vlm_model_folder_adopt(&stepper->model, &plan->vocabulary, plan->from, &taken, err);
    return rc == VLM_OK ? rc : vlm_wrap(err, "'%s'", plan->options->init_from);
}

int vlm_stepper_init(struct vlm_stepper *stepper, const struct vlm_train_plan *plan,
                     struct vlm_err *err)
{
    const struct vlm_tape_options tape = { .precision = plan->options->bf16 ? VLM_BF16 : VLM_F32 };
    *stepper = (struct vlm_stepper){ .plan = plan,
                                     .state = { .best_loss = INFINITY },
                                     .last = { .loss = NAN } };
    stepper->batch = calloc(plan->accumulation, sizeof(*stepper->batch));
    stepper->row_losses = calloc(plan->batch_tokens, sizeof(*stepper->row_losses));
    int rc =
        stepper->batch && stepper->row_losses
            ? VLM_OK
            : vlm_fail(err, VLM_ENOMEM, "no memory for batches of %zu tokens", plan->batch_tokens);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&stepper->engine, (size_t)plan->options->threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = vlm_model_init(&stepper->model, &plan->config, VLM_MODEL_GRADS, err);
    if (rc == VLM_OK)
        rc = freeze(stepper, err);
    if (rc == VLM_OK)
        rc = fill_model(stepper, err);
    if (rc == VLM_OK)
        rc = make_optimizer(stepper, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&stepper->tape, &stepper->engine, &tape, err);
    return rc;
}

static void drop_batches(struct vlm_stepper *stepper)
{
    for (size_t i = 0; stepper->batch && i < stepper->plan->accumulation; i++)
        vlm_batch_release(&stepper->batch[i]);
    stepper->n_batch = 0;
}

static void close_loader(struct vlm_stepper *stepper)
{
    if (stepper->loader)
        stepper->wait_before += vlm_loader_counts(stepper->loader).wait_seconds;
    vlm_loader_free(stepper->loader);
    stepper->loader = NULL;
}

void vlm_stepper_release(struct vlm_stepper *stepper)
{
    close_loader(stepper);
    if (stepper->plan)
        drop_batches(stepper);
    free(stepper->batch);
    free(stepper->row_losses);
    vlm_tape_release(&stepper->tape);
    vlm_optimizer_release(&stepper->optimizer);
    vlm_model_release(&stepper->model);
    vlm_engine_release(&stepper->engine);
    *stepper = (struct vlm_stepper){ 0 };
}

int vlm_stepper_restart(struct vlm_stepper *stepper, struct vlm_err *err)
{
    stepper->state = (struct vlm_trainer_state){ .best_loss = INFINITY };
    vlm_optimizer_release(&stepper->optimizer);
    int rc = fill_model(stepper, err);
    return rc == VLM_OK ? make_optimizer(stepper, err) : rc;
}

int vlm_stepper_seek(struct vlm_stepper *stepper, struct vlm_err *err)
{
    const struct vlm_loader_options options =
        vlm_train_plan_loader(stepper->plan, VLM_SPLIT_TRAIN, 0);
    close_loader(stepper);
    drop_batches(stepper);
    return vlm_loader_new(&stepper->loader, stepper->plan->corpus, &options, &stepper->state.place,
                          err);
}

double vlm_stepper_waited(const struct vlm_stepper *stepper)
{
    return stepper->wait_before +
           (stepper->loader ? vlm_loader_counts(stepper->loader).wait_seconds : 0);
}

/* ---- batches ---- */

static int draw(struct vlm_stepper *stepper, struct vlm_err *err)
{
    const size_t wanted = stepper->plan->accumulation;
    drop_batches(stepper);
    for (size_t i = 0; i < wanted; i++) {
        struct vlm_batch batch;
        int rc = vlm_loader_next(stepper->loader, &batch, err);
        if (rc == VLM_OK)
            rc = vlm_batch_copy(&stepper->batch[i], &batch, err);
        if (rc != VLM_OK)
            return rc;
        stepper->n_batch = i + 1;
    }
    return VLM_OK;
}

static bool is_left_out(const struct vlm_trainer_state *state)
{
    for (size_t i = 0; i < state->n_left_out; i++)
        if (state->left_out[i] == state->batches)
            return true;
    return false;
}

/* The batch of the next step: the one that follows, left-out ones passed over; with --overfit always the
 * first. */
static int next_batch(struct vlm_stepper *stepper, struct vlm_err *err)
{
    struct vlm_trainer_state *state = &stepper->state;
    const bool again = stepper->plan->options->overfit && stepper->n_batch;
    int rc = again ? VLM_OK : draw(stepper, err);
    while (rc == VLM_OK && is_left_out(state)) {
        state->batches++;
        rc = draw(stepper, err);
    }
    return rc;
}

int vlm_stepper_leave_out(struct vlm_stepper *stepper, const struct vlm_bad_step *bad, size_t n,
                          struct vlm_err *err)
{
    struct vlm_trainer_state *state = &stepper->state;
    size_t kept = 0;
    for (size_t i = 0; i < state->n_left_out; i++)
        if (state->left_out[i] >= state->batches)
            state->left_out[kept++] = state->left_out[i];
    state->n_left_out = kept;
    for (size_t i = 0; i < n; i++) {
        if (state->n_left_out == VLM_LEFT_OUT_MAX)
            return vlm_fail(err, VLM_EFAIL, "more than %d batches would have to be left out",
                            VLM_LEFT_OUT_MAX);
        state->left_out[state->n_left_out++] = bad[i].batch;
    }
    return VLM_OK;
}

/* ---- a step ---- */

/* Forward and backward; loss is the whole step's so far. */
static int learn(struct vlm_stepper *stepper, const struct vlm_batch *batch, double weight_sum,
                 struct vlm_evaluation_sums *sums, struct vlm_err *err)
{
    const unsigned flags = stepper->plan->options->recompute ? VLM_MODEL_RECOMPUTE : 0;
    const struct vlm_targets targets = { .ids = batch->targets,
                                         .weights = batch->weights,
                                         .weight_sum = weight_sum,
                                         .losses = stepper->row_losses };
    struct vlm_tensor *loss =
        vlm_model_loss(&stepper->tape, &stepper->model, &batch->rows, &targets, flags);
    int rc = vlm_backward(&stepper->tape, loss, err);
    vlm_tape_reset(&stepper->tape);
    if (rc == VLM_OK)
        vlm_evaluation_sums_add(sums, batch, stepper->row_losses, NULL);
    return rc;
}

/* The first ids of a batch's documents, each once. */
static void list_documents(char text[VLM_ID_TEXT_SIZE], const struct vlm_stepper *stepper)
{
    const uint8_t *before = NULL;
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < stepper->n_batch; i++) {
        const struct vlm_batch *batch = &stepper->batch[i];
        for (size_t k = 0; k < batch->samples; k++) {
            const uint8_t *id = batch->sample[k].id;
            if (before && !memcmp(before, id, sizeof(batch->sample[k].id)))
                continue;
            char digits[2 * sizeof(batch->sample[k].id) + 1];
            if (used + sizeof(digits) + 8 > VLM_ID_TEXT_SIZE) {
                snprintf(text + used, VLM_ID_TEXT_SIZE - used, " ...");
                return;
            }
            vlm_hex(digits, id, sizeof(batch->sample[k].id));
            used += (size_t)snprintf(text + used, VLM_ID_TEXT_SIZE - used, "%s%s", used ? " " : "",
                                     digits);
            before = id;
        }
    }
}

static void note_bad(struct vlm_stepper *stepper)
{
    const struct vlm_trainer_state *state = &stepper->state;
    if (stepper->n_bad == VLM_BAD_STEPS_MAX)
        memmove(stepper->bad, stepper->bad + 1, --stepper->n_bad * sizeof(*stepper->bad));
    struct vlm_bad_step *bad = &stepper->bad[stepper->n_bad++];
    bad->step = state->step + 1;
    bad->batch = state->batches;
    bad->loss = stepper->last.loss;
    bad->norm = stepper->last.norm;
    list_documents(bad->ids, stepper);
}

/* The guard's verdict, and the update when it accepts. */
static int update(struct vlm_stepper *stepper, struct vlm_err *err)
{
    struct vlm_train_step *last = &stepper->last;
    last->norm = vlm_optimizer_norm(&stepper->optimizer);
    last->rate = vlm_schedule_rate(&stepper->plan->schedule, stepper->state.step + 1);
    last->verdict = vlm_guard_judge(&stepper->state.guard, last->loss, last->norm);
    if (last->verdict != VLM_GUARD_ACCEPT) {
        note_bad(stepper);
        return VLM_OK;
    }
    stepper->n_bad = 0;
    int rc = vlm_optimizer_step(&stepper->optimizer, last->rate, last->norm, err);
    return rc == VLM_SKIP ? VLM_OK : rc; /* finite, but beyond all measure: as if it had not been */
}

static void count(struct vlm_stepper *stepper, const struct vlm_evaluation_sums *sums)
{
    struct vlm_trainer_state *state = &stepper->state;
    struct vlm_train_step *last = &stepper->last;
    for (size_t i = 0; i < stepper->n_batch; i++)
        last->tokens += stepper->batch[i].rows.n;
    last->documents = sums->documents;
    state->step++;
    state->batches++;
    state->updates = stepper->optimizer.step;
    state->tokens += last->tokens;
    state->documents += last->documents;
    if (!stepper->plan->options->overfit)
        state->place = stepper->batch[stepper->n_batch - 1].after;
}

/* Between micro-batches: whoever stops a program does not wait long. Nothing of the step is left. */
static int give_way(struct vlm_stepper *stepper, uint64_t batches, struct vlm_err *err)
{
    const volatile sig_atomic_t *stop = stepper->plan->options->stop;
    if (!stop || !*stop)
        return VLM_OK;
    stepper->state.batches = batches;
    return vlm_fail(err, VLM_ESTOPPED, "stopped by a signal");
}

int vlm_stepper_step(struct vlm_stepper *stepper, struct vlm_err *err)
{
    struct vlm_evaluation_sums sums = { 0 };
    const uint64_t batches = stepper->state.batches;
    double weight_sum = 0;
    int rc = next_batch(stepper, err);
    if (rc != VLM_OK)
        return rc;
    stepper->last = (struct vlm_train_step){ .before = stepper->batch[0].before };
    if (stepper->batch[0].samples)
        stepper->last.epoch = stepper->batch[0].sample[0].pick.epoch;
    for (size_t i = 0; i < stepper->n_batch; i++)
        weight_sum += stepper->batch[i].weight_sum;
    vlm_optimizer_clear(&stepper->optimizer);
    for (size_t i = 0; rc == VLM_OK && i < stepper->n_batch; i++) {
        rc = i ? give_way(stepper, batches, err) : VLM_OK;
        if (rc == VLM_OK)
            rc = learn(stepper, &stepper->batch[i], weight_sum, &sums, err);
    }
    if (rc == VLM_ESTOPPED)
        return rc;
    if (rc != VLM_OK)
        return vlm_wrap(err, "step %" PRIu64, stepper->state.step + 1);
    stepper->last.loss = weight_sum > 0 ? sums.weighted / weight_sum : 0;
    for (unsigned i = 0; i < VLM_MODALITIES; i++)
        stepper->last.loss_of[i] = vlm_evaluation_sums_loss(&sums, (enum vlm_modality)i);
    if (stepper->disturbance.spoil)
        stepper->disturbance.spoil(stepper, &stepper->last.loss, stepper->disturbance.context);
    rc = update(stepper, err);
    if (rc == VLM_OK)
        count(stepper, &sums);
    return rc;
}
