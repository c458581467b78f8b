/* test_model.c - training steps of small models against PyTorch, and against themselves.
 *
 *   build/release/tests/test_model [FILE.safetensors...]
 *
 * The vectors are made by tests/reference/make_model.py, which describes them; with file names the
 * comparison is done with these. Compared are the logits of the first step (1e-5 of the largest), its
 * gradients (norm of the difference to norm, 1e-4), the loss of every step (relative, 1e-5) and the
 * weights after the last. */
#include "base/vlm.h"

#include "nn/safetensors.h"
#include "tests/model_fixture.h"

enum { SEQUENCES_MAX = 16 };
#define LOSS_TOLERANCE   1e-5
#define LOGITS_TOLERANCE 1e-5
#define GRAD_TOLERANCE   1e-4
#define WEIGHT_TOLERANCE 1e-4

static const char *const kinds_of_kernels[] = { "plain", "avx2", "avx512", "avx512-bf16" };

/* ---- the file ---- */

struct vectors {
    struct vlm_safetensors *file;
    const char *path;
    size_t steps, rows, sequences;
    size_t lengths[SEQUENCES_MAX];
    uint32_t *ids, *targets, *codes; /* [steps, ...] */
    uint32_t *positions, *lo, *hi;   /* [rows] */
    uint32_t *image_rows;
    float *losses, *norms; /* [steps] */
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
    if (entry->count != count)
        fail_msg("%s: '%s' has %zu numbers, expected %zu", v->path, name, entry->count, count);
    float *x = malloc((count + 1) * sizeof(*x));
    assert_non_null(x);
    assert_int_equal(vlm_safetensors_read_f32(v->file, entry, x, VLM_SAFETENSORS_FINITE, &err),
                     VLM_OK);
    return x;
}

static const char *word(const struct vectors *v, const char *key)
{
    const char *value = vlm_safetensors_metadata_find(v->file, key);
    if (!value)
        fail_msg("%s: no '%s' in the metadata", v->path, key);
    return value;
}

static double setting(const struct vectors *v, const char *key)
{
    return strtod(word(v, key), NULL);
}

static size_t size_setting(const struct vectors *v, const char *key)
{
    return (size_t)setting(v, key);
}

static bool is_captioner(const struct vectors *v)
{
    return !strcmp(word(v, "kind"), "captioner");
}

static void read_images(struct vectors *v)
{
    const size_t prefix = size_setting(v, "prefix");
    v->codes = read_ids(v, "codes");
    v->image_rows = calloc(v->sequences * prefix, sizeof(uint32_t));
    assert_non_null(v->image_rows);
    for (size_t s = 0, row = 0; s < v->sequences; row += v->lengths[s++])
        for (size_t i = 0; i < prefix; i++)
            v->image_rows[s * prefix + i] = (uint32_t)(row + i);
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
    vlm_rows_causal(v->positions, v->lo, v->hi, v->lengths, v->sequences);
    v->losses = read_floats(v, "losses", v->steps);
    v->norms = read_floats(v, "norms", v->steps);
    if (is_captioner(v))
        read_images(v);
}

static void close_vectors(struct vectors *v)
{
    vlm_safetensors_close(v->file);
    free(v->ids);
    free(v->targets);
    free(v->codes);
    free(v->positions);
    free(v->lo);
    free(v->hi);
    free(v->image_rows);
    free(v->losses);
    free(v->norms);
}

static struct vlm_rows rows_of(const struct vectors *v, size_t step)
{
    struct vlm_rows rows = {
        .n = v->rows,
        .ids = v->ids + step * v->rows,
        .positions = v->positions,
        .lo = v->lo,
        .hi = v->hi,
    };
    if (v->codes) {
        rows.n_images = v->sequences;
        rows.codes = v->codes + step * entry_of(v, "codes")->count / v->steps;
        rows.image_rows = v->image_rows;
    }
    return rows;
}

static struct vlm_targets targets_of(const struct vectors *v, size_t step)
{
    return (struct vlm_targets){ .ids = v->targets + step * v->rows };
}

/* ---- the model ---- */

static struct vlm_model_config config_of(const struct vectors *v)
{
    const bool llama = !strcmp(word(v, "kind"), "llama");
    const struct vlm_safetensors_entry *embed = entry_of(v, "start.embed.tokens.weight");
    struct vlm_model_config config = {
        .layer = vlm_layer_find(llama ? "llama" : "pre-ln"),
        .sizes = { .width = embed->shape[1],
                   .heads = size_setting(v, "heads"),
                   .kv_heads = size_setting(v, "kv_heads"),
                   .head_size = size_setting(v, "head_size"),
                   .hidden = size_setting(v, "hidden"),
                   .activation = VLM_GELU_TANH,
                   .norm_epsilon = 1e-5f,
                   .position = llama ? VLM_POSITION_ROTARY : VLM_POSITION_LEARNED,
                   .rotary_base = 10000 },
        .layers = size_setting(v, "layers"),
        .vocabulary = embed->shape[0],
        .tied = !vlm_safetensors_find(v->file, "start.head.weight"),
    };
    for (size_t i = 0; i < v->sequences; i++)
        config.context = VLM_MAX(config.context, v->lengths[i]);
    if (is_captioner(v)) {
        const struct vlm_safetensors_entry *codes = entry_of(v, "start.encoder.tokens.weight");
        const size_t width = codes->shape[1], heads = size_setting(v, "image_heads");
        config.encoder = vlm_encoder_find("codes");
        config.encoder_layers = size_setting(v, "image_layers");
        config.encoder_sizes =
            (struct vlm_sizes){ .width = width,
                                .heads = heads,
                                .kv_heads = heads,
                                .head_size = width / heads,
                                .hidden = 4 * width,
                                .inputs = codes->shape[0],
                                .length = entry_of(v, "start.encoder.positions.weight")->shape[0],
                                .activation = VLM_GELU_TANH,
                                .norm_epsilon = 1e-5f,
                                .position = VLM_POSITION_LEARNED };
        config.bridge = vlm_bridge_find("prefix");
        config.bridge_sizes = (struct vlm_sizes){ .width = config.sizes.width,
                                                  .inputs = width,
                                                  .length = size_setting(v, "prefix") };
    }
    return config;
}

static void open_model(struct vlm_model *model, const struct vectors *v)
{
    struct vlm_err err = { 0 };
    struct vlm_model_config config = config_of(v);
    if (vlm_model_init(model, &config, VLM_MODEL_GRADS, &err))
        fail_msg("%s", err.msg);
    size_t in_file = 0;
    for (size_t i = 0; i < vlm_safetensors_count(v->file); i++)
        in_file += !strncmp(vlm_safetensors_at(v->file, i)->name, "start.", 6);
    size_t present = 0;
    for (size_t i = 0; i < model->n; i++) {
        struct vlm_tensor *t = &model->tensors[i];
        if (!t->rank)
            continue;
        char name[2 * VLM_PARAMETER_NAME_SIZE];
        snprintf(name, sizeof(name), "start.%s", t->name);
        float *x = read_floats(v, name, vlm_tensor_count(t));
        memcpy(t->data, x, vlm_tensor_count(t) * sizeof(*x));
        free(x);
        present++;
    }
    assert_int_equal(in_file, present);
}

/* ---- the comparison ---- */

/* The gradient by a key's bias is 0 but for rounding, since softmax does not see what all scores of a
 * row have in common; AdamW makes steps of full length of such noise. So that third of the vector is
 * anybody's. */
static void forget_key_bias(const char *name, float *x, float *expected, size_t n)
{
    const char *end = strstr(name, "qkv.bias");
    if (!end)
        return;
    memset(x + n / 3, 0, n / 3 * sizeof(*x));
    memset(expected + n / 3, 0, n / 3 * sizeof(*expected));
}

/* what: "first_grad" or "last" */
static void check_parameters(const struct vectors *v, const struct vlm_model *model,
                             const char *kernels, const char *what, double tolerance)
{
    const bool weights = !strcmp(what, "last");
    double worst = 0;
    for (size_t i = 0; i < model->n; i++) {
        const struct vlm_tensor *t = &model->tensors[i];
        if (!t->rank)
            continue;
        const size_t n = vlm_tensor_count(t);
        char name[2 * VLM_PARAMETER_NAME_SIZE];
        snprintf(name, sizeof(name), "%s.%s", what, t->name);
        float *expected = read_floats(v, name, n);
        float *x = malloc(n * sizeof(*x));
        assert_non_null(x);
        memcpy(x, weights ? t->data : t->grad, n * sizeof(*x));
        if (weights)
            forget_key_bias(t->name, x, expected, n);
        double d = model_distance(x, expected, n);
        worst = d > worst ? d : worst;
        if (!(d <= tolerance))
            fail_msg("%s, %s: %s differs by %.2g of its norm", v->path, kernels, name, d);
        free(x);
        free(expected);
    }
    print_message("%s, %s: %s.*: largest difference %.2g\n", v->path, kernels, what, worst);
}

static void check_logits(const struct vectors *v, struct nn *nn, struct vlm_model *model,
                         const char *kernels)
{
    const struct vlm_rows rows = rows_of(v, 0);
    const size_t n = rows.n * model->config.vocabulary;
    float *expected = read_floats(v, "logits", n), *x = model_logits(nn, model, &rows, NULL);
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)x[i] - (double)expected[i]) / largest);
    print_message("%s, %s: logits: largest difference %.2g\n", v->path, kernels, worst);
    assert_true(worst <= LOGITS_TOLERANCE);
    free(expected);
    free(x);
}

static void compare_steps(const char *path, const char *kernels)
{
    struct vectors v;
    struct vlm_model model;
    struct vlm_optimizer optimizer;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin(&nn, kernels, 2);
    if (nn.skip) {
        nn_end(&nn);
        return;
    }
    open_vectors(&v, path);
    open_model(&model, &v);
    check_logits(&v, &nn, &model, kernels);
    const struct vlm_optimizer_options options = {
        .beta1 = setting(&v, "beta1"),
        .beta2 = setting(&v, "beta2"),
        .epsilon = setting(&v, "epsilon"),
        .decay = setting(&v, "decay"),
        .clip_norm = setting(&v, "clip"),
    };
    model_optimizer(&optimizer, &nn.engine, &model, &options, true);
    const double rate = setting(&v, "lr");
    double worst = 0;
    for (size_t step = 0; step < v.steps; step++) {
        const struct vlm_rows rows = rows_of(&v, step);
        const struct vlm_targets targets = targets_of(&v, step);
        vlm_optimizer_clear(&optimizer);
        double loss = model_derive(&nn, &model, &rows, &targets, 0);
        double d = fabs(loss - (double)v.losses[step]) / (double)v.losses[step];
        worst = d > worst ? d : worst;
        if (!(d <= LOSS_TOLERANCE))
            fail_msg("%s, step %zu: loss %.7f, expected %.7f", path, step, loss,
                     (double)v.losses[step]);
        if (step == 0)
            check_parameters(&v, &model, kernels, "first_grad", GRAD_TOLERANCE);
        double norm = vlm_optimizer_norm(&optimizer);
        assert_true(fabs(norm - (double)v.norms[step]) <= GRAD_TOLERANCE * norm);
        assert_int_equal(vlm_optimizer_step(&optimizer, rate, norm, &err), VLM_OK);
    }
    print_message("%s, %s: losses: largest difference %.2g\n", v.path, kernels, worst);
    check_parameters(&v, &model, kernels, "last", WEIGHT_TOLERANCE);
    vlm_optimizer_release(&optimizer);
    vlm_model_release(&model);
    close_vectors(&v);
    nn_end(&nn);
}

/* Files to compare with: those of the command line, or the committed ones. */
static const char *const default_paths[] = { "tests/vectors/model_gpt2.safetensors",
                                             "tests/vectors/model_llama.safetensors",
                                             "tests/vectors/model_captioner.safetensors" };
static const char *const *paths = default_paths;
static size_t n_paths = VLM_COUNTOF(default_paths);

static void ten_steps_equal_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_paths; i++)
        for (size_t k = 0; k < VLM_COUNTOF(kinds_of_kernels); k++)
            compare_steps(paths[i], kinds_of_kernels[k]);
}

/* ---- models beside themselves ---- */

enum { STEPS = 5 };

struct run {
    double losses[STEPS];
    float *weights, *grads; /* after the last step */
    size_t count, peak;
};

static struct run train(enum model_form form, size_t threads, enum vlm_dtype precision,
                        unsigned flags)
{
    const struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
    const struct vlm_model_config config = model_config(form);
    struct run run = { 0 };
    struct vlm_model model;
    struct vlm_optimizer optimizer;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin_with(&nn, NULL, threads, precision, 0);
    model_begin(&model, &config, VLM_MODEL_GRADS);
    model_optimizer(&optimizer, &nn.engine, &model, &options, false);
    for (size_t step = 0; step < STEPS; step++) {
        struct model_rows *d = model_rows_new(&config, (size_t[]){ 33, 150, 20 }, 3, step);
        vlm_optimizer_clear(&optimizer);
        run.losses[step] = model_derive(&nn, &model, &d->rows, &d->targets, flags);
        double norm = vlm_optimizer_norm(&optimizer);
        assert_int_equal(vlm_optimizer_step(&optimizer, 1e-2, norm, &err), VLM_OK);
        free(d);
    }
    run.count = model.count;
    run.peak = vlm_tape_peak(&nn.tape);
    run.weights = malloc(run.count * sizeof(float));
    run.grads = malloc(run.count * sizeof(float));
    assert_true(run.weights && run.grads);
    memcpy(run.weights, model.values, run.count * sizeof(float));
    memcpy(run.grads, model.grads, run.count * sizeof(float));
    vlm_optimizer_release(&optimizer);
    vlm_model_release(&model);
    nn_end(&nn);
    return run;
}

static void release_run(struct run *run)
{
    free(run->weights);
    free(run->grads);
}

static void check_same_bits(enum model_form form, enum vlm_dtype precision, unsigned flags)
{
    static const size_t threads[] = { 2, 3 };
    struct run one = train(form, 1, precision, flags);
    for (size_t i = 0; i < VLM_COUNTOF(threads); i++) {
        struct run many = train(form, threads[i], precision, flags);
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
    for (int form = 0; form < MODEL_FORMS; form++)
        check_same_bits((enum model_form)form, VLM_F32, 0);
    check_same_bits(MODEL_LLAMA, VLM_BF16, 0);
    check_same_bits(MODEL_CAPTIONER, VLM_BF16, VLM_MODEL_RECOMPUTE);
}

static void recomputed_layers_give_the_same_bits_in_less_memory(void **state)
{
    (void)state;
    for (int form = 0; form < MODEL_FORMS; form++)
        for (int precision = VLM_F32; precision <= VLM_BF16; precision++) {
            struct run kept = train((enum model_form)form, 2, (enum vlm_dtype)precision, 0);
            struct run again =
                train((enum model_form)form, 2, (enum vlm_dtype)precision, VLM_MODEL_RECOMPUTE);
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
    for (int form = 0; form < MODEL_FORMS; form++) {
        struct run exact = train((enum model_form)form, 1, VLM_F32, 0);
        struct run rounded = train((enum model_form)form, 1, VLM_BF16, 0);
        for (size_t i = 0; i < STEPS; i++)
            assert_true(fabs(rounded.losses[i] - exact.losses[i]) < 0.02 * exact.losses[i]);
        double d = model_distance(rounded.grads, exact.grads, exact.count);
        assert_true(d > 1e-5 && d < 0.1);
        release_run(&exact);
        release_run(&rounded);
    }
}

/* ---- frozen parts ---- */

static void frozen_parts_stay_and_let_gradients_through(void **state)
{
    (void)state;
    static const char *const frozen[] = { "trunk.*", "embed.*" }, *const trained[] = { "*.bias" };
    const struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
    const struct vlm_model_config config = model_config(MODEL_CAPTIONER);
    struct vlm_model model, whole;
    struct vlm_optimizer optimizer;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    model_begin(&model, &config, VLM_MODEL_GRADS);
    model_begin(&whole, &config, VLM_MODEL_GRADS);
    assert_int_equal(vlm_model_freeze(&model, frozen, 2, trained, 1, &err), VLM_OK);
    model_optimizer(&optimizer, &nn.engine, &model, &options, false);
    for (size_t step = 0; step < 3; step++) {
        struct model_rows *d = model_rows_new(&config, (size_t[]){ 9, 14 }, 2, step);
        vlm_optimizer_clear(&optimizer);
        model_derive(&nn, &model, &d->rows, &d->targets, 0);
        if (step == 0)
            model_derive(&nn, &whole, &d->rows, &d->targets, 0);
        for (size_t i = 0; step == 0 && i < model.n; i++)
            if (!model.parameters[i].frozen)
                nn_check_bits(model.tensors[i].grad, whole.tensors[i].grad,
                              vlm_tensor_count(&model.tensors[i]));
        double norm = vlm_optimizer_norm(&optimizer);
        assert_int_equal(vlm_optimizer_step(&optimizer, 1e-2, norm, &err), VLM_OK);
        free(d);
    }
    size_t moved = 0;
    for (size_t i = 0; i < model.n; i++) {
        const char *name = model.parameters[i].name;
        const size_t bytes = vlm_tensor_count(&model.tensors[i]) * sizeof(float);
        const bool same = !memcmp(model.tensors[i].data, whole.tensors[i].data, bytes);
        const bool expected =
            (!strncmp(name, "trunk.", 6) || !strncmp(name, "embed.", 6)) && !strstr(name, ".bias");
        assert_int_equal(model.parameters[i].frozen, expected);
        if (same != expected)
            fail_msg("%s %s", name, same ? "did not move" : "moved");
        moved += !same;
    }
    assert_true(moved > 0);
    vlm_optimizer_release(&optimizer);
    vlm_model_release(&model);
    vlm_model_release(&whole);
    nn_end(&nn);
}

static void sinusoids_are_frozen_and_interleaved(void **state)
{
    (void)state;
    const struct vlm_model_config config = model_config(MODEL_CM3);
    struct vlm_model model;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_model_init(&model, &config, 0, &err), VLM_OK);
    vlm_model_fill(&model, 1);
    const size_t i = vlm_model_find(&model, "embed.positions.weight");
    assert_ptr_equal(&model.tensors[i], model.positions);
    assert_true(model.parameters[i].frozen && !model.positions->needs_grad);
    for (size_t m = 0; m < 5; m++)
        for (size_t c = 0; c < config.sizes.width; c++) {
            double angle =
                (double)m * pow(10000, -(double)(c / 2 * 2) / (double)config.sizes.width);
            double expected = 0.02 * (c % 2 ? cos(angle) : sin(angle));
            assert_true(fabs((double)model.positions->data[m * config.sizes.width + c] - expected) <
                        2e-8);
        }
    /* A glob that would train it does not, since nothing froze it. */
    assert_int_equal(vlm_model_freeze(&model, NULL, 0, (const char *[]){ "*" }, 1, &err), VLM_OK);
    assert_true(model.parameters[i].frozen);
    vlm_model_release(&model);
}

static void globs_that_match_nothing_or_all_are_refused(void **state)
{
    (void)state;
    const struct vlm_model_config config = model_config(MODEL_LLAMA);
    struct vlm_model model;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_model_init(&model, &config, 0, &err), VLM_OK);
    const char *typo[] = { "trunk.*", "trnk.*" }, *bias[] = { "*.bias" }, *all[] = { "*" };
    assert_int_equal(vlm_model_freeze(&model, typo, 2, NULL, 0, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "freeze: 'trnk.*' matches no parameter (names are such as "
                                 "embed.tokens.weight and trunk.norm.weight)");
    /* Biases that this model goes without are no parameters. */
    assert_int_equal(vlm_model_freeze(&model, bias, 1, NULL, 0, &err), VLM_EUSAGE);
    assert_int_equal(vlm_model_freeze(&model, all, 1, typo + 1, 1, &err), VLM_EUSAGE);
    assert_non_null(strstr(err.msg, "train: 'trnk.*' matches no parameter"));
    for (size_t i = 0; i < model.n; i++)
        assert_int_equal(model.parameters[i].frozen, model.tensors[i].rank == 0);
    assert_int_equal(vlm_model_freeze(&model, all, 1, NULL, 0, &err), VLM_EUSAGE);
    assert_non_null(strstr(err.msg, "parameters are frozen"));
    vlm_model_release(&model);
}

/* ---- costs ---- */

static void check_estimate(enum model_form form, enum vlm_dtype precision, unsigned flags)
{
    const struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
    const struct vlm_model_config config = model_config(form);
    struct vlm_model_estimate estimate;
    struct vlm_model model;
    struct vlm_optimizer optimizer;
    struct vlm_err err = { 0 };
    struct nn nn;
    struct model_rows *d = model_rows_new(&config, (size_t[]){ 160, 160, 40 }, 3, 1);
    nn_begin_with(&nn, NULL, 0, precision, 0);
    assert_int_equal(
        vlm_model_estimate(&estimate, &config, d->rows.n, d->rows.n_images, precision, flags, &err),
        VLM_OK);
    model_begin(&model, &config, VLM_MODEL_GRADS);
    model_optimizer(&optimizer, &nn.engine, &model, &options, false);
    model_derive(&nn, &model, &d->rows, &d->targets, flags);
    const double step = (double)vlm_tape_peak(&nn.tape);
    assert_true((double)estimate.step >= step && (double)estimate.step <= 1.2 * step);
    assert_int_equal(estimate.parameters, model.count);
    assert_int_equal(estimate.weights + estimate.grads, model.memory.used);
    assert_true(estimate.optimizer >= optimizer.memory.used &&
                (double)estimate.optimizer <= 1.2 * (double)optimizer.memory.used);
    vlm_optimizer_release(&optimizer);
    vlm_model_release(&model);
    nn_end(&nn);
    free(d);
}

static void the_estimate_is_what_a_run_takes(void **state)
{
    (void)state;
    for (int form = 0; form < MODEL_FORMS; form++)
        for (int precision = VLM_F32; precision <= VLM_BF16; precision++) {
            check_estimate((enum model_form)form, (enum vlm_dtype)precision, 0);
            check_estimate((enum model_form)form, (enum vlm_dtype)precision, VLM_MODEL_RECOMPUTE);
        }
}

/* 13 billion parameters on any machine: nothing is allocated. */
static void the_largest_preset_can_be_estimated(void **state)
{
    (void)state;
    const size_t width = 5120;
    struct vlm_model_config config = model_config(MODEL_CM3);
    config.sizes.width = width;
    config.sizes.heads = config.sizes.kv_heads = 40;
    config.sizes.head_size = 128;
    config.sizes.hidden = 4 * width;
    config.layers = 40;
    config.vocabulary = 50000;
    config.context = 2048;
    struct vlm_model_estimate estimate;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_model_estimate(&estimate, &config, 2048, 0, VLM_BF16, 0, &err), VLM_OK);
    const size_t layer = 12 * width * width + 13 * width;
    assert_int_equal(estimate.parameters, 40 * layer + (50000 + 2048) * width + 2 * width);
    assert_int_equal(estimate.grads, estimate.parameters * sizeof(float));
    assert_true(estimate.optimizer > estimate.parameters * 7);
    assert_true(estimate.step > (size_t)1 << 30);
}

static void operations_are_counted_once(void **state)
{
    (void)state;
    struct vlm_model_config config = model_config(MODEL_GPT2);
    config.sizes.width = config.sizes.head_size = 4;
    config.sizes.heads = config.sizes.kv_heads = 1;
    config.sizes.hidden = 16;
    config.vocabulary = 10;
    uint32_t positions[5], lo[5], hi[5];
    vlm_rows_causal(positions, lo, hi, (size_t[]){ 3, 2 }, 2);
    const struct vlm_rows rows = { .n = 5, .lo = lo, .hi = hi };
    /* 5 rows of 2 layers of 12 x 4 x 4 and a head of 40; 6 + 3 pairs, 2 layers, 2 x 4 each. */
    double products = 5 * (2 * 12 * 16 + 40), pairs = 9 * 2 * 2 * 4;
    assert_true(vlm_model_flops(&config, &rows) == 6 * (products + pairs));
    const uint32_t expected_lo[] = { 0, 0, 0, 3, 3 }, expected_hi[] = { 1, 2, 3, 4, 5 };
    const uint32_t expected_positions[] = { 0, 1, 2, 0, 1 };
    assert_memory_equal(lo, expected_lo, sizeof(lo));
    assert_memory_equal(hi, expected_hi, sizeof(hi));
    assert_memory_equal(positions, expected_positions, sizeof(positions));
}

/* The formula beside what the ops of a forward pass say that they did, for every form. */
static void operations_are_those_of_the_ops(void **state)
{
    (void)state;
    for (int form = 0; form < MODEL_FORMS; form++) {
        const struct vlm_model_config config = model_config((enum model_form)form);
        struct model_rows *d = model_rows_new(&config, (size_t[]){ 17, 40 }, 2, 1);
        struct vlm_model model;
        struct vlm_err err = { 0 };
        struct nn nn;
        nn_begin_with(&nn, NULL, 1, VLM_F32, VLM_TAPE_FORWARD);
        model_begin(&model, &config, 0);
        vlm_model_logits(&nn.tape, &model, vlm_model_forward(&nn.tape, &model, &d->rows, NULL, 0));
        assert_int_equal(vlm_tape_error(&nn.tape, &err), VLM_OK);
        const double ran = nn.tape.flops, counted = vlm_model_flops(&config, &d->rows) / 3;
        if (!(fabs(counted - ran) <= 1e-9 * ran))
            fail_msg("%s: %.0f counted, %.0f ran", model_form_name((enum model_form)form), counted,
                     ran);
        vlm_model_release(&model);
        nn_end(&nn);
        free(d);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_equal_pytorch),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(recomputed_layers_give_the_same_bits_in_less_memory),
        cmocka_unit_test(bf16_is_close_to_fp32),
        cmocka_unit_test(frozen_parts_stay_and_let_gradients_through),
        cmocka_unit_test(sinusoids_are_frozen_and_interleaved),
        cmocka_unit_test(globs_that_match_nothing_or_all_are_refused),
        cmocka_unit_test(the_estimate_is_what_a_run_takes),
        cmocka_unit_test(the_largest_preset_can_be_estimated),
        cmocka_unit_test(operations_are_counted_once),
        cmocka_unit_test(operations_are_those_of_the_ops),
    };
    if (argc > 1) {
        paths = (const char *const *)(argv + 1);
        n_paths = (size_t)argc - 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
