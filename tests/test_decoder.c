/* test_decoder.c - training steps of small decoders against PyTorch, and against themselves.
 *
 *   build/release/tests/test_decoder [FILE.safetensors...]
 *
 * The vectors are made by tests/reference/make_decoder.py, which describes them; with file names the
 * comparison is done with these. Compared are the loss of every step (1e-4), every gradient of the
 * first and of the last step and every weight after it (norm of the difference to norm, 1e-3). */
#include "base/vlm.h"

#include "nn/ops/activation.h"
#include "nn/ops/attention.h"
#include "nn/ops/embedding.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"
#include "nn/ops/positions.h"
#include "nn/ops/vocabulary_loss.h"
#include "nn/optimizer.h"
#include "nn/safetensors.h"
#include "tests/nn_fixture.h"
#include "tools/bench/decoder.h"

#include <math.h>

enum { PARAMETERS_MAX = 128, SEQUENCES_MAX = 16, NAME_MAX_SIZE = 64 };
#define LOSS_TOLERANCE 1e-4
#define NORM_TOLERANCE 1e-3

static const char *const kinds_of_kernels[] = { "plain", "avx2", "avx512", "avx512-bf16" };

/* ---- the file ---- */

struct vectors {
    struct vlm_safetensors *file;
    const char *path;
    size_t steps, rows, sequences;
    size_t lengths[SEQUENCES_MAX];
    uint32_t *ids, *targets;       /* [steps, rows] */
    uint32_t *positions, *lo, *hi; /* [rows] */
    float *losses, *norms;         /* [steps] */
};

static const struct vlm_safetensors_entry *entry_of(const struct vectors *v, const char *name)
{
    const struct vlm_safetensors_entry *entry = vlm_safetensors_find(v->file, name);
    if (!entry)
        fail_msg("%s: no tensor '%s'", v->path, name);
    return entry;
}

/* As PyTorch's int32: -1 becomes VLM_IGNORE. */
static uint32_t *read_ids(const struct vectors *v, const char *name)
{
    struct vlm_err err = { 0 };
    const struct vlm_safetensors_entry *entry = entry_of(v, name);
    assert_int_equal(entry->dtype, VLM_SAFETENSORS_I32);
    uint32_t *ids = malloc(entry->bytes);
    assert_non_null(ids);
    assert_int_equal(vlm_safetensors_read_raw(v->file, entry, ids, &err), VLM_OK);
    return ids;
}

static float *read_floats(const struct vectors *v, const char *name, size_t count)
{
    struct vlm_err err = { 0 };
    const struct vlm_safetensors_entry *entry = entry_of(v, name);
    assert_int_equal(entry->count, count);
    float *x = malloc((count + 1) * sizeof(*x));
    assert_non_null(x);
    assert_int_equal(vlm_safetensors_read_f32(v->file, entry, x, VLM_SAFETENSORS_FINITE, &err),
                     VLM_OK);
    return x;
}

static double setting(const struct vectors *v, const char *key)
{
    const char *value = vlm_safetensors_metadata_find(v->file, key);
    if (!value)
        fail_msg("%s: no '%s' in the metadata", v->path, key);
    return strtod(value, NULL);
}

static void open_vectors(struct vectors *v, const char *path)
{
    struct vlm_err err = { 0 };
    *v = (struct vectors){ .path = path };
    if (vlm_safetensors_open(&v->file, path, &err))
        fail_msg("%s", err.msg);
    const struct vlm_safetensors_entry *ids = entry_of(v, "ids");
    assert_int_equal(ids->rank, 2);
    v->steps = ids->shape[0];
    v->rows = ids->shape[1];
    v->ids = read_ids(v, "ids");
    v->targets = read_ids(v, "targets");
    v->sequences = entry_of(v, "lengths")->count;
    assert_in_range(v->sequences, 1, SEQUENCES_MAX);
    uint32_t *lengths = read_ids(v, "lengths");
    for (size_t i = 0; i < v->sequences; i++)
        v->lengths[i] = lengths[i];
    free(lengths);
    v->positions = calloc(v->rows, sizeof(uint32_t));
    v->lo = calloc(v->rows, sizeof(uint32_t));
    v->hi = calloc(v->rows, sizeof(uint32_t));
    assert_true(v->positions && v->lo && v->hi);
    vlm_decoder_rows(v->positions, v->lo, v->hi, v->lengths, v->sequences);
    v->losses = read_floats(v, "losses", v->steps);
    v->norms = read_floats(v, "norms", v->steps);
}

static void close_vectors(struct vectors *v)
{
    vlm_safetensors_close(v->file);
    free(v->ids);
    free(v->targets);
    free(v->positions);
    free(v->lo);
    free(v->hi);
    free(v->losses);
    free(v->norms);
}

static struct vlm_decoder_batch batch_of(const struct vectors *v, size_t step)
{
    return (struct vlm_decoder_batch){
        .rows = v->rows,
        .ids = v->ids + step * v->rows,
        .targets = v->targets + step * v->rows,
        .positions = v->positions,
        .lo = v->lo,
        .hi = v->hi,
    };
}

/* ---- a model: its parameters by PyTorch's names, and how to get the loss ---- */

struct model {
    struct vlm_tensor *parameter[PARAMETERS_MAX]; /* ->name is PyTorch's */
    size_t n_parameters;
    struct vlm_tensor *(*loss)(struct vlm_tape *tape, struct model *model,
                               const struct vlm_decoder_batch *batch);
    unsigned flags;
    struct vlm_decoder decoder; /* GPT-2's form */
    struct llama *llama;        /* Llama's */
};

static struct vlm_tensor *decoder_loss(struct vlm_tape *tape, struct model *model,
                                       const struct vlm_decoder_batch *batch)
{
    return vlm_decoder_loss(tape, &model->decoder, batch, model->flags);
}

static void open_decoder(struct model *model, const struct vectors *v)
{
    struct vlm_err err = { 0 };
    const struct vlm_safetensors_entry *embed = entry_of(v, "start.embed.weight");
    struct vlm_decoder_shape shape = {
        .width = embed->shape[1],
        .heads = (size_t)setting(v, "heads"),
        .vocabulary = embed->shape[0],
        .positions = entry_of(v, "start.place.weight")->shape[0],
    };
    char name[NAME_MAX_SIZE] = "start.blocks.0.qkv.weight";
    while (vlm_safetensors_find(v->file, name))
        snprintf(name, sizeof(name), "start.blocks.%zu.qkv.weight", ++shape.layers);
    assert_int_equal(vlm_decoder_init(&model->decoder, &shape, 0, &err), VLM_OK);
    assert_in_range(model->decoder.n_parameters, 1, PARAMETERS_MAX);
    for (size_t i = 0; i < model->decoder.n_parameters; i++)
        model->parameter[model->n_parameters++] = model->decoder.parameters[i].tensor;
    model->loss = decoder_loss;
}

/* ---- Llama's form, straight from ops ---- */

struct llama {
    struct vlm_tensor tensor[PARAMETERS_MAX];
    char name[PARAMETERS_MAX][NAME_MAX_SIZE];
    int layers;
    size_t heads, kv_heads;
};

/* A parameter of block number `block`, or of none. */
enum { NO_BLOCK = -1 };
static struct vlm_tensor *find(struct model *model, int block, const char *part)
{
    char name[NAME_MAX_SIZE];
    if (block == NO_BLOCK)
        snprintf(name, sizeof(name), "%s", part);
    else
        snprintf(name, sizeof(name), "blocks.%d.%s", block, part);
    for (size_t i = 0; i < model->n_parameters; i++)
        if (!strcmp(model->parameter[i]->name, name))
            return model->parameter[i];
    fail_msg("no parameter '%s'", name);
    return NULL;
}

static struct vlm_tensor *product(struct vlm_tape *tape, struct vlm_tensor *x,
                                  struct vlm_tensor *weight, struct vlm_tensor *residual)
{
    return vlm_linear(tape, x, &(struct vlm_linear){ .weight = weight, .residual = residual });
}

static struct vlm_tensor *rotate(struct vlm_tape *tape, struct vlm_tensor *x, size_t size,
                                 const struct vlm_decoder_batch *batch)
{
    return vlm_rotary(tape, x,
                      &(struct vlm_rotary){ .heads = vlm_tensor_cols(x) / size,
                                            .head_size = size,
                                            .base = 10000,
                                            .positions = batch->positions });
}

static struct vlm_tensor *llama_loss(struct vlm_tape *tape, struct model *model,
                                     const struct vlm_decoder_batch *batch)
{
    const struct llama *llama = model->llama;
    struct vlm_tensor *embed = find(model, NO_BLOCK, "embed.weight");
    struct vlm_tensor *x = vlm_embedding(tape, embed, batch->ids, batch->rows);
    const size_t size = vlm_tensor_cols(x) / llama->heads;
    for (int i = 0; i < llama->layers; i++) {
        struct vlm_tensor *h = vlm_rmsnorm(tape, x, find(model, i, "norm1.weight"), 1e-5f);
        struct vlm_tensor *q = product(tape, h, find(model, i, "q.weight"), NULL);
        struct vlm_tensor *k = product(tape, h, find(model, i, "k.weight"), NULL);
        struct vlm_tensor *v = product(tape, h, find(model, i, "v.weight"), NULL);
        q = rotate(tape, q, size, batch);
        k = rotate(tape, k, size, batch);
        h = vlm_attention(tape, &(struct vlm_attention){ .q = q,
                                                         .k = k,
                                                         .v = v,
                                                         .heads = llama->heads,
                                                         .kv_heads = llama->kv_heads,
                                                         .head_size = size,
                                                         .lo = batch->lo,
                                                         .hi = batch->hi });
        x = product(tape, h, find(model, i, "out.weight"), x);
        h = vlm_rmsnorm(tape, x, find(model, i, "norm2.weight"), 1e-5f);
        struct vlm_tensor *gate = product(tape, h, find(model, i, "gate.weight"), NULL);
        struct vlm_tensor *up = product(tape, h, find(model, i, "up.weight"), NULL);
        h = vlm_swiglu(tape, gate, up);
        x = product(tape, h, find(model, i, "down.weight"), x);
    }
    x = vlm_rmsnorm(tape, x, find(model, NO_BLOCK, "norm.weight"), 1e-5f);
    return vlm_vocabulary_loss(
        tape, x, &(struct vlm_vocabulary_loss){ .weight = embed, .targets = batch->targets });
}

/* All parameters of the file, in its order. */
static void open_llama(struct model *model, const struct vectors *v)
{
    struct llama *llama = model->llama = calloc(1, sizeof(*llama));
    assert_non_null(llama);
    llama->heads = (size_t)setting(v, "heads");
    llama->kv_heads = (size_t)setting(v, "kv_heads");
    for (size_t i = 0; i < vlm_safetensors_count(v->file); i++) {
        const struct vlm_safetensors_entry *entry = vlm_safetensors_at(v->file, i);
        if (strncmp(entry->name, "start.", 6) != 0)
            continue;
        assert_in_range(model->n_parameters, 0, PARAMETERS_MAX - 1);
        struct vlm_tensor *t = &llama->tensor[model->n_parameters];
        char *name = llama->name[model->n_parameters];
        snprintf(name, NAME_MAX_SIZE, "%s", entry->name + 6);
        *t = (struct vlm_tensor){ .name = name, .rank = entry->rank, .needs_grad = true };
        memcpy(t->shape, entry->shape, entry->rank * sizeof(*t->shape));
        t->data = calloc(entry->count, sizeof(float));
        t->grad = calloc(entry->count, sizeof(float));
        assert_true(t->data && t->grad);
        llama->layers += strstr(name, "norm1") != NULL;
        model->parameter[model->n_parameters++] = t;
    }
    model->loss = llama_loss;
}

static void close_model(struct model *model)
{
    for (size_t i = 0; model->llama && i < model->n_parameters; i++) {
        free(model->parameter[i]->data);
        free(model->parameter[i]->grad);
    }
    free(model->llama);
    vlm_decoder_release(&model->decoder);
}

/* ---- the comparison ---- */

/* Norm of the difference of n numbers to the norm of those expected. */
static double distance(const float *x, const float *expected, size_t n)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)expected[i];
        difference += d * d;
        norm += (double)expected[i] * (double)expected[i];
    }
    return sqrt(difference / (norm > 0 ? norm : 1));
}

/* The gradient by a key's bias is 0 but for rounding, since softmax does not see what all scores of a
 * row have in common; AdamW makes steps of full length of such noise. So that third of a weight is
 * anybody's. */
static void forget_key_bias(const char *name, float *x, float *expected, size_t n)
{
    const char *end = strstr(name, "qkv.bias");
    if (!end)
        return;
    memset(x + n / 3, 0, n / 3 * sizeof(*x));
    memset(expected + n / 3, 0, n / 3 * sizeof(*expected));
}

static void check_parameters(const struct vectors *v, const struct model *model,
                             const char *kernels, const char *what)
{
    double worst = 0;
    for (size_t i = 0; i < model->n_parameters; i++) {
        const struct vlm_tensor *t = model->parameter[i];
        const size_t n = vlm_tensor_count(t);
        char name[2 * NAME_MAX_SIZE];
        snprintf(name, sizeof(name), "%s.%s", what, t->name);
        float *expected = read_floats(v, name, n);
        float *x = malloc(n * sizeof(*x));
        assert_non_null(x);
        const bool weights = !strcmp(what, "last");
        memcpy(x, weights ? t->data : t->grad, n * sizeof(*x));
        if (weights)
            forget_key_bias(t->name, x, expected, n);
        double d = distance(x, expected, n);
        worst = d > worst ? d : worst;
        if (!(d <= NORM_TOLERANCE))
            fail_msg("%s, %s: %s differs by %.2g of its norm", v->path, kernels, name, d);
        free(x);
        free(expected);
    }
    print_message("%s, %s: %s.*: largest difference %.2g\n", v->path, kernels, what, worst);
}

static void load_parameters(const struct vectors *v, const struct model *model)
{
    for (size_t i = 0; i < model->n_parameters; i++) {
        struct vlm_tensor *t = model->parameter[i];
        char name[2 * NAME_MAX_SIZE];
        snprintf(name, sizeof(name), "start.%s", t->name);
        float *x = read_floats(v, name, vlm_tensor_count(t));
        memcpy(t->data, x, vlm_tensor_count(t) * sizeof(*x));
        free(x);
    }
}

static void start_optimizer(struct vlm_optimizer *optimizer, const struct vlm_engine *engine,
                            const struct vectors *v, const struct model *model)
{
    struct vlm_err err = { 0 };
    struct vlm_parameter list[PARAMETERS_MAX];
    for (size_t i = 0; i < model->n_parameters; i++)
        list[i] =
            (struct vlm_parameter){ .tensor = model->parameter[i], .flags = VLM_PARAMETER_DECAY };
    const struct vlm_optimizer_options options = {
        .beta1 = setting(v, "beta1"),
        .beta2 = setting(v, "beta2"),
        .epsilon = setting(v, "epsilon"),
        .decay = setting(v, "decay"),
        .clip_norm = setting(v, "clip"),
    };
    assert_int_equal(
        vlm_optimizer_init(optimizer, engine, list, model->n_parameters, &options, &err), VLM_OK);
}

/* Forward and backward of a step; the loss. */
static double derive(struct nn *nn, struct model *model, const struct vlm_decoder_batch *batch)
{
    struct vlm_err err = { 0 };
    struct vlm_tensor *loss = model->loss(&nn->tape, model, batch);
    if (vlm_backward(&nn->tape, loss, &err))
        fail_msg("%s", err.msg);
    double value = (double)loss->data[0];
    vlm_tape_reset(&nn->tape);
    return value;
}

static void compare_steps(const char *path, const char *kernels)
{
    struct vectors v;
    struct model model = { 0 };
    struct vlm_optimizer optimizer;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin(&nn, kernels, 2);
    if (nn.skip) {
        nn_end(&nn);
        return;
    }
    open_vectors(&v, path);
    if (!strcmp(vlm_safetensors_metadata_find(v.file, "kind"), "gpt2"))
        open_decoder(&model, &v);
    else
        open_llama(&model, &v);
    load_parameters(&v, &model);
    start_optimizer(&optimizer, &nn.engine, &v, &model);
    const double rate = setting(&v, "lr");
    for (size_t step = 0; step < v.steps; step++) {
        vlm_optimizer_clear(&optimizer);
        struct vlm_decoder_batch batch = batch_of(&v, step);
        double loss = derive(&nn, &model, &batch);
        if (!(fabs(loss - (double)v.losses[step]) <= LOSS_TOLERANCE))
            fail_msg("%s, step %zu: loss %.7f, expected %.7f", path, step, loss,
                     (double)v.losses[step]);
        if (step == 0)
            check_parameters(&v, &model, kernels, "first_grad");
        if (step + 1 == v.steps)
            check_parameters(&v, &model, kernels, "last_grad");
        double norm = vlm_optimizer_norm(&optimizer);
        assert_true(fabs(norm - (double)v.norms[step]) <= NORM_TOLERANCE * norm);
        assert_int_equal(vlm_optimizer_step(&optimizer, rate, norm, &err), VLM_OK);
    }
    check_parameters(&v, &model, kernels, "last");
    vlm_optimizer_release(&optimizer);
    close_model(&model);
    close_vectors(&v);
    nn_end(&nn);
}

/* Files to compare with: those of the command line, or the committed ones. */
static const char *const default_paths[] = { "tests/vectors/decoder_gpt2.safetensors",
                                             "tests/vectors/decoder_llama.safetensors" };
static const char *const *paths = default_paths;
static size_t n_paths = VLM_COUNTOF(default_paths);

static void ten_steps_equal_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_paths; i++)
        for (size_t k = 0; k < VLM_COUNTOF(kinds_of_kernels); k++)
            compare_steps(paths[i], kinds_of_kernels[k]);
}

/* ---- the decoder beside itself ---- */

struct run {
    double losses[3];
    float *weights, *grads; /* of the decoder, after the last step */
    size_t count, peak;
};

/* Three steps on the vectors of GPT-2's form. */
static struct run train(size_t threads, enum vlm_dtype precision, unsigned flags)
{
    struct run run = { 0 };
    struct vectors v;
    struct model model = { .flags = flags };
    struct vlm_optimizer optimizer;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin_with(&nn, NULL, threads, precision, 0);
    open_vectors(&v, default_paths[0]);
    open_decoder(&model, &v);
    load_parameters(&v, &model);
    start_optimizer(&optimizer, &nn.engine, &v, &model);
    for (size_t step = 0; step < VLM_COUNTOF(run.losses); step++) {
        struct vlm_decoder_batch batch = batch_of(&v, step);
        vlm_optimizer_clear(&optimizer);
        run.losses[step] = derive(&nn, &model, &batch);
        double norm = vlm_optimizer_norm(&optimizer);
        assert_int_equal(vlm_optimizer_step(&optimizer, 1e-2, norm, &err), VLM_OK);
    }
    run.count = model.decoder.count;
    run.peak = vlm_tape_peak(&nn.tape);
    run.weights = malloc(run.count * sizeof(float));
    run.grads = malloc(run.count * sizeof(float));
    assert_true(run.weights && run.grads);
    memcpy(run.weights, model.decoder.weights, run.count * sizeof(float));
    memcpy(run.grads, model.decoder.grads, run.count * sizeof(float));
    vlm_optimizer_release(&optimizer);
    close_model(&model);
    close_vectors(&v);
    nn_end(&nn);
    return run;
}

static void release_run(struct run *run)
{
    free(run->weights);
    free(run->grads);
}

static void check_same_bits(enum vlm_dtype precision, unsigned flags)
{
    static const size_t threads[] = { 2, 3, 7 };
    struct run one = train(1, precision, flags);
    for (size_t i = 0; i < VLM_COUNTOF(threads); i++) {
        struct run many = train(threads[i], precision, flags);
        assert_memory_equal(many.losses, one.losses, sizeof(one.losses));
        nn_check_bits(many.grads, one.grads, one.count);
        nn_check_bits(many.weights, one.weights, one.count);
        release_run(&many);
    }
    release_run(&one);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    check_same_bits(VLM_F32, 0);
    check_same_bits(VLM_BF16, 0);
    check_same_bits(VLM_F32, VLM_DECODER_RECOMPUTE);
}

static void recomputed_blocks_give_the_same_bits_in_less_memory(void **state)
{
    (void)state;
    for (int precision = VLM_F32; precision <= VLM_BF16; precision++) {
        struct run kept = train(2, (enum vlm_dtype)precision, 0);
        struct run again = train(2, (enum vlm_dtype)precision, VLM_DECODER_RECOMPUTE);
        nn_check_bits(again.grads, kept.grads, kept.count);
        nn_check_bits(again.weights, kept.weights, kept.count);
        assert_true(again.peak < kept.peak);
        release_run(&kept);
        release_run(&again);
    }
}

static void bf16_is_close_to_fp32(void **state)
{
    (void)state;
    struct run exact = train(1, VLM_F32, 0), rounded = train(1, VLM_BF16, 0);
    for (size_t i = 0; i < VLM_COUNTOF(exact.losses); i++)
        assert_true(fabs(rounded.losses[i] - exact.losses[i]) < 0.02 * exact.losses[i]);
    double d = distance(rounded.grads, exact.grads, exact.count);
    assert_true(d > 1e-5 && d < 0.1);
    release_run(&exact);
    release_run(&rounded);
}

/* Sequences packed together know nothing of each other. */
static void packed_sequences_equal_sequences_alone(void **state)
{
    (void)state;
    struct vectors v;
    struct model model = { 0 };
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    open_vectors(&v, default_paths[0]);
    open_decoder(&model, &v);
    load_parameters(&v, &model);
    struct vlm_decoder_batch packed = batch_of(&v, 0);
    for (size_t i = 0; i < packed.rows; i++)
        packed.weight_sum += packed.targets[i] != VLM_IGNORE;
    struct vlm_decoder *decoder = &model.decoder;
    double together = derive(&nn, &model, &packed);
    float *grads = malloc(decoder->count * sizeof(float));
    assert_non_null(grads);
    memcpy(grads, decoder->grads, decoder->count * sizeof(float));
    memset(decoder->grads, 0, decoder->count * sizeof(float));

    double alone = 0;
    for (size_t s = 0, first = 0; s < v.sequences; first += v.lengths[s++]) {
        struct vlm_decoder_batch one = { .rows = v.lengths[s],
                                         .ids = packed.ids + first,
                                         .targets = packed.targets + first,
                                         .positions = packed.positions + first,
                                         .weight_sum = packed.weight_sum };
        uint32_t lo[64], hi[64];
        assert_in_range(one.rows, 1, VLM_COUNTOF(lo));
        vlm_decoder_rows((uint32_t[64]){ 0 }, lo, hi, &v.lengths[s], 1);
        one.lo = lo;
        one.hi = hi;
        alone += derive(&nn, &model, &one);
    }
    assert_true(fabs(alone - together) < 1e-6 * together);
    assert_true(distance(decoder->grads, grads, decoder->count) < 1e-6);
    free(grads);
    close_model(&model);
    close_vectors(&v);
    nn_end(&nn);
}

static size_t peak_of(unsigned memory_flags, unsigned tape_flags, unsigned decoder_flags)
{
    enum { ROWS = 40 };
    const struct vlm_decoder_shape shape = {
        .layers = 3, .width = 24, .heads = 3, .vocabulary = 61, .positions = ROWS
    };
    struct vlm_decoder decoder;
    struct vlm_err err = { 0 };
    struct nn nn;
    uint32_t ids[ROWS], positions[ROWS], lo[ROWS], hi[ROWS];
    nn_begin_with(&nn, NULL, 2, VLM_F32, tape_flags);
    assert_int_equal(vlm_decoder_init(&decoder, &shape, memory_flags, &err), VLM_OK);
    if (!memory_flags)
        vlm_decoder_fill(&decoder, 1);
    for (uint32_t i = 0; i < ROWS; i++)
        ids[i] = i;
    vlm_decoder_rows(positions, lo, hi, (size_t[]){ ROWS }, 1);
    const struct vlm_decoder_batch batch = {
        .rows = ROWS, .ids = ids, .targets = ids, .positions = positions, .lo = lo, .hi = hi
    };
    struct vlm_tensor *loss = vlm_decoder_loss(&nn.tape, &decoder, &batch, decoder_flags);
    assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_OK);
    size_t peak = vlm_tape_peak(&nn.tape);
    vlm_decoder_release(&decoder);
    nn_end(&nn);
    return peak;
}

static void a_dry_run_counts_what_a_run_takes(void **state)
{
    (void)state;
    const unsigned flags[] = { 0, VLM_DECODER_RECOMPUTE };
    for (size_t i = 0; i < VLM_COUNTOF(flags); i++) {
        size_t dry = peak_of(VLM_MEMORY_COUNT, VLM_TAPE_DRY, flags[i]);
        assert_true(dry > 0);
        assert_int_equal(dry, peak_of(0, 0, flags[i]));
    }
}

static void operations_are_counted_once(void **state)
{
    (void)state;
    const struct vlm_decoder_shape shape = {
        .layers = 2, .width = 4, .heads = 1, .vocabulary = 10, .positions = 3
    };
    uint32_t positions[5], lo[5], hi[5];
    vlm_decoder_rows(positions, lo, hi, (size_t[]){ 3, 2 }, 2);
    const struct vlm_decoder_batch batch = { .rows = 5, .lo = lo, .hi = hi };
    /* 5 rows of 2 blocks of 12 x 4 x 4 and a head of 40; 6 + 3 pairs, 2 blocks, 2 x 4 each. */
    double products = 5 * (2 * 12 * 16 + 40), pairs = 9 * 2 * 2 * 4;
    assert_true(vlm_decoder_flops(&shape, &batch) == 6 * (products + pairs));
    const uint32_t expected_lo[] = { 0, 0, 0, 3, 3 }, expected_hi[] = { 1, 2, 3, 4, 5 };
    const uint32_t expected_positions[] = { 0, 1, 2, 0, 1 };
    assert_memory_equal(lo, expected_lo, sizeof(lo));
    assert_memory_equal(hi, expected_hi, sizeof(hi));
    assert_memory_equal(positions, expected_positions, sizeof(positions));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_equal_pytorch),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(recomputed_blocks_give_the_same_bits_in_less_memory),
        cmocka_unit_test(bf16_is_close_to_fp32),
        cmocka_unit_test(packed_sequences_equal_sequences_alone),
        cmocka_unit_test(a_dry_run_counts_what_a_run_takes),
        cmocka_unit_test(operations_are_counted_once),
    };
    if (argc > 1) {
        paths = (const char *const *)(argv + 1);
        n_paths = (size_t)argc - 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
