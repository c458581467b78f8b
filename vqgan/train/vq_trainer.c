/* vq_trainer.c - forward, loss, backward, guard, AdamW, codebook: one step of training. */
#include "base/vlm.h"

#include "vqgan/train/vq_trainer.h"

#include "nn/ops/activation.h"
#include "nn/ops/quantise.h"
#include "nn/schedule.h"

#include <math.h>

enum {
    CELL = 16,
    FIT_LATENTS = 16, /* for each code, to begin with */
    FIT_ROUNDS = 10,
    /* Batches of k-means have numbers that no step has. */
    FIT_BATCHES_BEGIN = 1 << 30,
};

struct vlm_vq_recipe vlm_vq_recipe(const struct vlm_vq_shape *shape, uint64_t steps, size_t batch)
{
    return (struct vlm_vq_recipe){
        .shape = *shape,
        .steps = steps,
        .warmup = VLM_MIN(steps / 10, (uint64_t)500),
        .peak = 1e-3,
        .floor = 2e-5,
        .decay = 0.01,
        .unquantised = VLM_MIN(steps / 8, (uint64_t)500),
        .large = steps / 10,
        .batch = batch,
        .crop = 128,
        .large_batch = VLM_MAX(batch / 4, (size_t)1),
        .large_crop = 256,
        .average = 0.999,
        .codebook_decay = 0.99,
        .dead = 0.1,
        .square = 4,
        .scale_weight = 0.05f,
        .commitment = 0.25f,
    };
}

/* ---- life ---- */

static int start_optimizer(struct vlm_vq_trainer *t, struct vlm_err *err)
{
    const struct vlm_optimizer_options options = { .beta1 = 0.9,
                                                   .beta2 = 0.95,
                                                   .epsilon = 1e-8,
                                                   .decay = t->recipe.decay,
                                                   .clip_norm = 1,
                                                   .average = t->recipe.average };
    const size_t n = t->model.n_parameters - 1; /* all but the codebook */
    struct vlm_parameter *list = calloc(n, sizeof(*list));
    if (!list)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu parameters", n);
    for (size_t i = 0; i < n; i++) {
        list[i].tensor = t->model.parameters[i].tensor;
        list[i].flags = list[i].tensor->rank > 1 ? VLM_PARAMETER_DECAY : 0;
    }
    int rc = vlm_optimizer_init(&t->optimizer, &t->engine, list, n, &options, err);
    free(list);
    return rc;
}

static size_t latents_of(size_t size, size_t count)
{
    return size / CELL * (size / CELL) * count;
}

static int start(struct vlm_vq_trainer *t, size_t threads, struct vlm_err *err)
{
    const struct vlm_vq_recipe *r = &t->recipe;
    const struct vlm_tape_options train = { .precision = r->bf16 ? VLM_BF16 : VLM_F32 };
    const struct vlm_tape_options look = { .precision = train.precision,
                                           .flags = VLM_TAPE_FORWARD };
    const size_t latents =
        VLM_MAX(latents_of(r->crop, r->batch), latents_of(r->large_crop, r->large_batch));
    int rc = vlm_engine_init(&t->engine, threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&t->tape, &t->engine, &train, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&t->look, &t->engine, &look, err);
    if (rc == VLM_OK)
        rc = vlm_vq_init(&t->model, &r->shape, VLM_VQ_GRADIENTS, err);
    if (rc == VLM_OK)
        rc = vlm_vq_init(&t->average, &r->shape, 0, err);
    if (rc == VLM_OK)
        rc = vlm_vq_codebook_init(&t->book, &t->model.codebook, err);
    if (rc == VLM_OK) {
        vlm_vq_fill(&t->model, r->seed);
        rc = start_optimizer(t, err);
    }
    t->codes = calloc(latents, sizeof(*t->codes));
    t->book_average = calloc(r->shape.codes * r->shape.code_width, sizeof(float));
    if (rc == VLM_OK && (!t->codes || !t->book_average))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu latents and %zu codes", latents,
                      r->shape.codes);
    return rc;
}

int vlm_vq_trainer_init(struct vlm_vq_trainer *trainer, const struct vlm_vq_recipe *recipe,
                        size_t threads, struct vlm_err *err)
{
    memset(trainer, 0, sizeof(*trainer));
    trainer->recipe = *recipe;
    int rc = start(trainer, threads, err);
    if (rc != VLM_OK)
        vlm_vq_trainer_release(trainer);
    return rc;
}

void vlm_vq_trainer_release(struct vlm_vq_trainer *trainer)
{
    free(trainer->codes);
    free(trainer->book_average);
    vlm_optimizer_release(&trainer->optimizer);
    vlm_vq_codebook_release(&trainer->book);
    vlm_vq_release(&trainer->average);
    vlm_vq_release(&trainer->model);
    vlm_tape_release(&trainer->look);
    vlm_tape_release(&trainer->tape);
    vlm_engine_release(&trainer->engine);
    memset(trainer, 0, sizeof(*trainer));
}

void vlm_vq_trainer_batch(const struct vlm_vq_recipe *recipe, uint64_t step, size_t *size,
                          size_t *count)
{
    const bool large = step + recipe->large >= recipe->steps;
    *size = large ? recipe->large_crop : recipe->crop;
    *count = large ? recipe->large_batch : recipe->batch;
}

/* A tensor of numbers that need no gradient and are only read. */
static struct vlm_tensor input(const struct vlm_vq_batch *batch)
{
    union {
        const float *pixels;
        float *data;
    } numbers = { .pixels = batch->pixels };
    return (struct vlm_tensor){ .name = "crops",
                                .rank = 4,
                                .shape = { batch->count, batch->size, batch->size, 3 },
                                .data = numbers.data };
}

/* ---- the codebook to begin with ---- */

/* Latents of some batches, in memory that the caller frees. */
static int gather_latents(struct vlm_vq_trainer *t, struct vlm_vq *model,
                          const struct vlm_vq_crops *like, float **latents, size_t *rows,
                          struct vlm_err *err)
{
    const struct vlm_vq_recipe *r = &t->recipe;
    struct vlm_vq_crops crops;
    const size_t width = t->recipe.shape.code_width;
    const size_t each = latents_of(t->recipe.crop, t->recipe.batch);
    const size_t batches = (FIT_LATENTS * t->recipe.shape.codes + each - 1) / each;
    *rows = batches * each;
    *latents = malloc(*rows * width * sizeof(float));
    if (!*latents)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu latents", *rows);
    int rc = vlm_vq_crops_init(&crops, like->pictures, like->seed, like->whole,
                               r->batch * r->crop * r->crop * 3, err);
    for (size_t i = 0; rc == VLM_OK && i < batches; i++) {
        struct vlm_vq_batch batch;
        rc = vlm_vq_crops_start(&crops, FIT_BATCHES_BEGIN + i, r->crop, r->batch, err);
        if (rc == VLM_OK)
            rc = vlm_vq_crops_wait(&crops, &batch, err);
        if (rc != VLM_OK)
            break;
        struct vlm_tensor x = input(&batch);
        struct vlm_tensor *z = vlm_unit_rows(&t->look, vlm_vq_encode(&t->look, model, &x));
        rc = vlm_tape_error(&t->look, err);
        if (rc == VLM_OK)
            memcpy(*latents + i * each * width, z->data, each * width * sizeof(float));
        vlm_tape_reset(&t->look);
    }
    vlm_vq_crops_release(&crops);
    return rc;
}

/* Fills a codebook whose table is the model's. */
static int fit_codebook(struct vlm_vq_trainer *t, struct vlm_vq *model,
                        struct vlm_vq_codebook *book, const struct vlm_vq_crops *crops,
                        struct vlm_err *err)
{
    float *latents = NULL;
    size_t rows = 0;
    int rc = gather_latents(t, model, crops, &latents, &rows, err);
    const struct vlm_vq_fit fit = { .z = latents,
                                    .rows = rows,
                                    .rounds = FIT_ROUNDS,
                                    .seed = t->recipe.seed,
                                    .step_rows = latents_of(t->recipe.crop, t->recipe.batch) };
    if (rc == VLM_OK)
        rc = vlm_vq_codebook_fit(book, &t->engine, &fit, err);
    free(latents);
    return rc == VLM_OK ? VLM_OK : vlm_wrap(err, "k-means for the codebook");
}

int vlm_vq_trainer_quantise(struct vlm_vq_trainer *t, const struct vlm_vq_crops *crops,
                            struct vlm_err *err)
{
    const struct vlm_tensor *table = &t->model.codebook;
    int rc = fit_codebook(t, &t->model, &t->book, crops, err);
    if (rc == VLM_OK)
        memcpy(t->book_average, table->data, vlm_tensor_count(table) * sizeof(float));
    t->quantised = rc == VLM_OK;
    return rc;
}

/* ---- a step ---- */

/* Whether steps from here on have a loss that those before cannot be compared with. */
static bool is_turn(const struct vlm_vq_trainer *t)
{
    return t->step == t->recipe.unquantised || t->step + t->recipe.large == t->recipe.steps;
}

/* The loss of a batch, and the latents. */
static struct vlm_tensor *forward(struct vlm_vq_trainer *t, struct vlm_tensor *x,
                                  struct vlm_tensor **z, struct vlm_tensor **commitment)
{
    const struct vlm_vq_recipe *r = &t->recipe;
    struct vlm_tape *tape = &t->tape;
    *z = vlm_unit_rows(tape, vlm_vq_encode(tape, &t->model, x));
    *commitment = NULL;
    struct vlm_tensor *q = *z;
    if (t->quantised)
        q = vlm_quantise(tape, *z,
                         &(struct vlm_quantise){ .codebook = &t->model.codebook,
                                                 .codes = t->codes,
                                                 .beta = r->commitment },
                         commitment);
    struct vlm_tensor *y = vlm_vq_decode(tape, &t->model, q);
    struct vlm_tensor *loss =
        vlm_image_loss(tape, y,
                       &(struct vlm_image_loss){ .target = x->data,
                                                 .absolute = r->absolute,
                                                 .square = r->square,
                                                 .scales = 3,
                                                 .scale_weight = r->scale_weight,
                                                 .parts = &t->last.parts });
    return *commitment ? vlm_add(tape, loss, *commitment) : loss;
}

static double rate_of(const struct vlm_vq_recipe *r, uint64_t step)
{
    const struct vlm_schedule schedule = { .kind = VLM_SCHEDULE_COSINE,
                                           .peak = r->peak,
                                           .floor = r->floor,
                                           .warmup = r->warmup,
                                           .total = r->steps };
    return vlm_schedule_rate(&schedule, step);
}

/* The moving averages of rows of the codebook, as those of the weights; what was revived begins anew. */
static void average_codebook(struct vlm_vq_trainer *t, double stay, const uint32_t *revived)
{
    const size_t width = t->recipe.shape.code_width;
    const float *row = t->model.codebook.data;
    float *average = t->book_average;
    for (size_t i = 0; i < vlm_tensor_count(&t->model.codebook); i++)
        average[i] += (float)(1 - stay) * (row[i] - average[i]);
    for (size_t i = 0; i < t->last.revived; i++)
        memcpy(average + revived[i] * width, row + revived[i] * width, width * sizeof(float));
}

/* Weights, codebook and averages after an accepted step. */
static int update(struct vlm_vq_trainer *t, const struct vlm_tensor *z, uint32_t *revived,
                  struct vlm_err *err)
{
    const struct vlm_vq_recipe *r = &t->recipe;
    /* Young averages forget faster, else they would be mostly the weights of the beginning. */
    const double age = (double)t->optimizer.step;
    const double stay = fmin(r->average, (1 + age) / (10 + age));
    t->optimizer.options.average = stay;
    int rc = vlm_optimizer_step(&t->optimizer, t->last.rate, t->last.norm, err);
    if (rc != VLM_OK || !t->quantised)
        return rc;
    t->last.revived = vlm_vq_codebook_move(&t->book,
                                           &(struct vlm_vq_move){ .z = z->data,
                                                                  .codes = t->codes,
                                                                  .rows = vlm_tensor_rows(z),
                                                                  .decay = r->codebook_decay,
                                                                  .dead = r->dead,
                                                                  .seed = r->seed,
                                                                  .step = t->step },
                                           revived);
    average_codebook(t, stay, revived);
    return VLM_OK;
}

int vlm_vq_trainer_step(struct vlm_vq_trainer *t, const struct vlm_vq_batch *batch,
                        struct vlm_err *err)
{
    struct vlm_tensor x = input(batch), *z, *commitment;
    uint32_t *revived = calloc(t->recipe.shape.codes, sizeof(*revived));
    if (!revived)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu codes", t->recipe.shape.codes);
    t->last = (struct vlm_vq_step){ .rate = rate_of(&t->recipe, t->step + 1) };
    if (is_turn(t))
        t->guard.count = t->guard.next = 0;
    vlm_tape_reset(&t->tape);
    vlm_optimizer_clear(&t->optimizer);
    struct vlm_tensor *loss = forward(t, &x, &z, &commitment);
    int rc = vlm_tape_error(&t->tape, err);
    if (rc == VLM_OK)
        rc = vlm_backward(&t->tape, loss, err);
    if (rc == VLM_OK) {
        t->last.loss = (double)loss->data[0];
        if (commitment)
            t->last.commitment = (double)commitment->data[0] / (1 + (double)t->recipe.commitment);
        t->last.norm = vlm_optimizer_norm(&t->optimizer);
        t->last.verdict = vlm_guard_judge(&t->guard, t->last.loss, t->last.norm);
        if (t->last.verdict == VLM_GUARD_ACCEPT)
            rc = update(t, z, revived, err);
        t->step++;
    } else if (rc == VLM_EFORMAT) {
        /* Latents with NaN: the guard's business, as a loss that is not finite. */
        t->last.loss = t->last.norm = NAN;
        t->last.verdict = vlm_guard_judge(&t->guard, NAN, NAN);
        t->step++;
        rc = VLM_OK;
    }
    vlm_tape_reset(&t->tape);
    free(revived);
    return rc;
}

int vlm_vq_trainer_average(struct vlm_vq_trainer *t, const struct vlm_vq_crops *crops,
                           struct vlm_err *err)
{
    for (size_t i = 0; i + 1 < t->model.n_parameters; i++) {
        const struct vlm_tensor *to = t->average.parameters[i].tensor;
        memcpy(to->data, vlm_optimizer_state(&t->optimizer, i, VLM_STATE_AVERAGE),
               vlm_tensor_count(to) * sizeof(float));
    }
    if (t->quantised) {
        const size_t width = t->recipe.shape.code_width;
        for (size_t k = 0; k < t->recipe.shape.codes; k++)
            vlm_vq_set_unit(t->average.codebook.data + k * width, t->book_average + k * width,
                            width);
        return VLM_OK;
    }
    struct vlm_vq_codebook own;
    int rc = vlm_vq_codebook_init(&own, &t->average.codebook, err);
    if (rc == VLM_OK)
        rc = fit_codebook(t, &t->average, &own, crops, err);
    vlm_vq_codebook_release(&own);
    return rc;
}
