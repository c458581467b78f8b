/* toy_model.c - a training loop in a screen, without files, for the claims of learn_shapes.c.
 *
 * It uses the parts that vlm-train uses (model, masks, optimizer, schedule) and nothing of its loop, so that a
 * failure here points at these parts. */
#include "base/vlm.h"
#include "tools/learn/toy_model.h"

#include "nn/ops/vocabulary_loss.h"
#include "nn/schedule.h"
#include "tokenize/sequence/mask.h"

enum {
    BATCH = 32,
    MASKS_MAX = 16,
    SAMPLE_MAX = TOY_DOCUMENT + 2 + 3 * MASKS_MAX,
    ROWS_MAX = BATCH * SAMPLE_MAX,
    CONTEXT = 96, /* SAMPLE_MAX and TOY_QUERY_MAX fit */
    WARMUP = 20,
    QUERIES_AT_ONCE = 64,
};

/* What one forward pass is given; arrays of ROWS_MAX or more. */
struct batch {
    size_t n;
    uint32_t ids[ROWS_MAX], positions[ROWS_MAX], lo[ROWS_MAX], hi[ROWS_MAX], targets[ROWS_MAX];
    float losses[ROWS_MAX];
};

static struct vlm_rows rows_of(const struct batch *batch)
{
    return (struct vlm_rows){ .n = batch->n,
                              .ids = batch->ids,
                              .positions = batch->positions,
                              .lo = batch->lo,
                              .hi = batch->hi };
}

/* One sequence behind those that are there; its last token predicts nothing and is no row. first: the first
 * token that is a target. */
static void add(struct batch *batch, const uint32_t *ids, const float *weights, size_t n,
                size_t first)
{
    const uint32_t begin = (uint32_t)batch->n;
    for (size_t i = 0; i + 1 < n; i++) {
        const size_t row = batch->n++;
        batch->ids[row] = ids[i];
        batch->positions[row] = (uint32_t)i;
        batch->lo[row] = begin;
        batch->hi[row] = (uint32_t)row + 1;
        bool counts = i + 1 >= first && !(weights && weights[i + 1] <= 0);
        batch->targets[row] = counts ? ids[i + 1] : VLM_IGNORE;
    }
}

/* --- training --- */

struct sampler {
    struct vlm_vocabulary vocabulary;
    struct vlm_mask_rules rules;
    struct vlm_sequence document, masked;
};

/* Sample number `number`: </s>, a document with its spans moved, </s>. */
static int add_sample(struct batch *batch, struct sampler *sampler,
                      const struct toy_pictures *pictures, const struct toy_training *training,
                      uint64_t number, struct vlm_err *err)
{
    struct vlm_random random = vlm_random_at(training->seed, 1, number);
    struct vlm_sequence *document = &sampler->document, *masked = &sampler->masked;
    struct vlm_span spans[MASKS_MAX];
    const size_t at = vlm_random_below(&random, pictures->n);
    uint32_t count = training->causal ? 0 : vlm_mask_count(&sampler->rules, &random);
    toy_document(document->ids, training->form, pictures->caption[at],
                 pictures->codes + at * TOY_CODES);
    size_t n = vlm_mask_draw(spans, count, &sampler->rules, &random, document->n, NULL, 0);
    vlm_sequence_reset(masked);
    int rc = vlm_mask_apply(masked, document, 0, document->n, spans, n, &sampler->vocabulary, err);
    if (rc != VLM_OK)
        return rc;
    uint32_t ids[SAMPLE_MAX] = { TOY_END };
    float weights[SAMPLE_MAX] = { 0 };
    memcpy(ids + 1, masked->ids, masked->n * sizeof(*ids));
    memcpy(weights + 1, masked->weights, masked->n * sizeof(*weights));
    ids[1 + masked->n] = TOY_END;
    weights[1 + masked->n] = 1;
    add(batch, ids, weights, masked->n + 2, 1);
    return VLM_OK;
}

static int init_sampler(struct sampler *sampler, struct vlm_err *err)
{
    *sampler = (struct sampler){
        .rules = { .lambda = 1, .max = MASKS_MAX, .images = VLM_MASK_IMAGES_FREE }
    };
    toy_vocabulary(&sampler->vocabulary);
    if (!vlm_sequence_reserve(&sampler->document, TOY_DOCUMENT))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a document");
    sampler->document.n = TOY_DOCUMENT;
    for (size_t i = 0; i < TOY_DOCUMENT; i++) {
        sampler->document.weights[i] = 1;
        sampler->document.modality[i] = VLM_MODALITY_TEXT;
        sampler->document.start[i] = VLM_NOWHERE;
    }
    return VLM_OK;
}

/* Learned positions, as the models had that the thresholds come from. */
static int init_model(struct vlm_model *model, uint64_t seed, struct vlm_err *err)
{
    const struct vlm_model_config config = {
        .layer = vlm_layer_find("pre-ln"),
        .sizes = { .width = 96,
                   .heads = 4,
                   .kv_heads = 4,
                   .head_size = 24,
                   .hidden = 384,
                   .biases = true,
                   .activation = VLM_GELU_TANH,
                   .norm_epsilon = 1e-5f,
                   .position = VLM_POSITION_LEARNED },
        .layers = 3,
        .vocabulary = TOY_IDS,
        .context = CONTEXT,
        .tied = true,
    };
    int rc = vlm_model_init(model, &config, VLM_MODEL_GRADS, err);
    if (rc == VLM_OK)
        vlm_model_fill(model, seed);
    return rc;
}

static int init_optimizer(struct vlm_optimizer *optimizer, const struct vlm_engine *engine,
                          const struct vlm_model *model, struct vlm_err *err)
{
    struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
    struct vlm_parameter *list = calloc(model->n, sizeof(*list));
    if (!list)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu parameters", model->n);
    options.beta2 = .999;
    options.decay = .01;
    vlm_model_list(list, model);
    int rc = vlm_optimizer_init(optimizer, engine, list, model->n, &options, err);
    free(list);
    return rc;
}

struct trainer {
    struct vlm_model *model;
    struct vlm_tape tape;
    struct vlm_optimizer optimizer;
    struct sampler sampler;
    struct batch *batch;
};

static int train_step(struct trainer *trainer, const struct toy_pictures *pictures,
                      const struct toy_training *training, size_t step, struct vlm_err *err)
{
    const struct vlm_schedule schedule = { .kind = VLM_SCHEDULE_COSINE,
                                           .peak = 2e-3,
                                           .floor = 1e-4,
                                           .warmup = WARMUP,
                                           .total = training->steps };
    struct batch *batch = trainer->batch;
    int rc = VLM_OK;
    batch->n = 0;
    for (size_t i = 0; i < BATCH && rc == VLM_OK; i++)
        rc = add_sample(batch, &trainer->sampler, pictures, training, step * BATCH + i, err);
    if (rc != VLM_OK)
        return rc;
    const struct vlm_rows rows = rows_of(batch);
    vlm_optimizer_clear(&trainer->optimizer);
    struct vlm_tensor *loss = vlm_model_loss(&trainer->tape, trainer->model, &rows,
                                             &(struct vlm_targets){ .ids = batch->targets }, 0);
    rc = vlm_backward(&trainer->tape, loss, err);
    vlm_tape_reset(&trainer->tape);
    double norm = vlm_optimizer_norm(&trainer->optimizer);
    if (rc == VLM_OK)
        rc = vlm_optimizer_step(&trainer->optimizer, vlm_schedule_rate(&schedule, step + 1), norm,
                                err);
    return rc == VLM_SKIP
               ? vlm_fail(err, VLM_EFORMAT, "the gradient of step %zu is not finite", step)
               : rc;
}

int toy_train(struct vlm_model *model, const struct vlm_engine *engine,
              const struct toy_pictures *pictures, const struct toy_training *training,
              struct vlm_err *err)
{
    struct trainer trainer = { .model = model, .batch = malloc(sizeof(*trainer.batch)) };
    int rc = trainer.batch ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a batch");
    if (rc == VLM_OK)
        rc = init_model(model, training->seed, err);
    if (rc == VLM_OK)
        rc = init_sampler(&trainer.sampler, err);
    if (rc == VLM_OK)
        rc = init_optimizer(&trainer.optimizer, engine, model, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&trainer.tape, engine, &(struct vlm_tape_options){ 0 }, err);
    for (size_t step = 0; step < training->steps && rc == VLM_OK; step++)
        rc = train_step(&trainer, pictures, training, step, err);
    vlm_tape_release(&trainer.tape);
    vlm_optimizer_release(&trainer.optimizer);
    vlm_sequence_release(&trainer.sampler.document);
    vlm_sequence_release(&trainer.sampler.masked);
    free(trainer.batch);
    return rc;
}

/* --- asking --- */

/* Runs take() on each part of the queries: forward passes over their first `length` tokens. */
struct asking {
    struct vlm_model *model;
    struct vlm_tape tape;
    struct batch *batch;
};

static int init_asking(struct asking *asking, struct vlm_model *model,
                       const struct vlm_engine *engine, struct vlm_err *err)
{
    *asking = (struct asking){ .model = model, .batch = malloc(sizeof(*asking->batch)) };
    if (!asking->batch)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a batch");
    return vlm_tape_init(&asking->tape, engine,
                         &(struct vlm_tape_options){ .flags = VLM_TAPE_FORWARD }, err);
}

static void release_asking(struct asking *asking)
{
    vlm_tape_release(&asking->tape);
    free(asking->batch);
}

/* The losses of the answers of queries [from, to), in batch->losses. */
static int forward_losses(struct asking *asking, const struct toy_queries *queries, size_t from,
                          size_t to, struct vlm_err *err)
{
    struct batch *batch = asking->batch;
    batch->n = 0;
    for (size_t i = from; i < to; i++)
        add(batch, queries->query[i].ids, NULL, queries->prompt + queries->answer, queries->prompt);
    const struct vlm_rows rows = rows_of(batch);
    const struct vlm_targets targets = { .ids = batch->targets, .losses = batch->losses };
    (void)vlm_model_loss(&asking->tape, asking->model, &rows, &targets, 0);
    int rc = vlm_tape_error(&asking->tape, err);
    vlm_tape_reset(&asking->tape);
    return rc;
}

int toy_loss(double *nats, struct vlm_model *model, const struct vlm_engine *engine,
             const struct toy_queries *queries, struct vlm_err *err)
{
    struct asking asking;
    int rc = init_asking(&asking, model, engine, err);
    double sum = 0;
    for (size_t i = 0; i < queries->n && rc == VLM_OK; i += QUERIES_AT_ONCE) {
        rc = forward_losses(&asking, queries, i, VLM_MIN(i + QUERIES_AT_ONCE, queries->n), err);
        for (size_t row = 0; row < asking.batch->n && rc == VLM_OK; row++)
            if (asking.batch->targets[row] != VLM_IGNORE)
                sum += (double)asking.batch->losses[row];
    }
    *nats = sum / (double)queries->n;
    release_asking(&asking);
    return rc;
}

/* The most likely token behind the first `length` of each query [from, to), written there. */
static int forward_tokens(struct asking *asking, struct toy_queries *queries, size_t from,
                          size_t to, size_t length, struct vlm_err *err)
{
    struct batch *batch = asking->batch;
    batch->n = 0;
    for (size_t i = from; i < to; i++)
        add(batch, queries->query[i].ids, NULL, length + 1, length + 1);
    const struct vlm_rows rows = rows_of(batch);
    struct vlm_tensor *state = vlm_model_forward(&asking->tape, asking->model, &rows, NULL, 0);
    struct vlm_tensor *logits = vlm_model_logits(&asking->tape, asking->model, state);
    int rc = vlm_tape_error(&asking->tape, err);
    for (size_t i = from; i < to && rc == VLM_OK; i++) {
        const float *row = logits->data + ((i - from + 1) * length - 1) * TOY_IDS;
        uint32_t best = 0;
        for (uint32_t id = 1; id < TOY_IDS; id++)
            if (row[id] > row[best])
                best = id;
        queries->query[i].ids[length] = best;
    }
    vlm_tape_reset(&asking->tape);
    return rc;
}

int toy_answer(struct vlm_model *model, const struct vlm_engine *engine,
               struct toy_queries *queries, struct vlm_err *err)
{
    struct asking asking;
    int rc = init_asking(&asking, model, engine, err);
    for (size_t i = 0; i < queries->n; i += QUERIES_AT_ONCE)
        for (size_t k = 0; k < queries->answer && rc == VLM_OK; k++)
            rc = forward_tokens(&asking, queries, i, VLM_MIN(i + QUERIES_AT_ONCE, queries->n),
                                queries->prompt + k, err);
    release_asking(&asking);
    return rc;
}
