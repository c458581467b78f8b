/* test_blocks.c - layers, encoder and bridge inside of small models: gradients against differences, what
 * a row may see, the cache, and what is refused. */
#include "base/vlm.h"

#include "nn/ops/attention.h"
#include "nn/ops/rows.h"
#include "tests/model_fixture.h"

static const char *const kinds_of_kernels[] = { "plain", "avx2", "avx512", "avx512-bf16" };

/* ---- lists ---- */

/* Each name of a list between ", " finds something, and nothing is missing. */
static void check_names(const char *names, bool (*known)(const char *name), size_t expected)
{
    char copy[256], *rest = copy, *name;
    size_t n = 0;
    snprintf(copy, sizeof(copy), "%s", names);
    while ((name = strsep(&rest, ","))) {
        name += *name == ' ';
        if (!known(name))
            fail_msg("'%s' of '%s' is not known", name, names);
        n++;
    }
    assert_int_equal(n, expected);
}

static bool is_layer(const char *name)
{
    const struct vlm_layer_kind *kind = vlm_layer_find(name);
    return kind && !strcmp(kind->name, name);
}

static bool is_encoder(const char *name)
{
    const struct vlm_encoder_kind *kind = vlm_encoder_find(name);
    return kind && !strcmp(kind->name, name);
}

static bool is_bridge(const char *name)
{
    const struct vlm_bridge_kind *kind = vlm_bridge_find(name);
    return kind && !strcmp(kind->name, name);
}

static void blocks_are_found_by_name(void **state)
{
    (void)state;
    check_names(vlm_layer_names(), is_layer, 2);
    check_names(vlm_encoder_names(), is_encoder, 1);
    check_names(vlm_bridge_names(), is_bridge, 1);
    assert_null(vlm_layer_find("post-ln"));
    assert_null(vlm_encoder_find(""));
    assert_null(vlm_bridge_find("prefix "));
}

static void parameters_are_named_in_their_order(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "embed.tokens.weight",
        "trunk.0.norm1.weight",
        "trunk.0.attention.qkv.weight",
        "trunk.0.attention.qkv.bias",
        "trunk.0.attention.out.weight",
        "trunk.0.attention.out.bias",
        "trunk.0.norm2.weight",
        "trunk.0.mlp.gate.weight",
        "trunk.0.mlp.gate.bias",
        "trunk.0.mlp.up.weight",
        "trunk.0.mlp.up.bias",
        "trunk.0.mlp.down.weight",
        "trunk.0.mlp.down.bias",
        "trunk.norm.weight",
        "head.weight",
    };
    struct vlm_model_config config = model_config(MODEL_LLAMA);
    struct vlm_model model;
    struct vlm_err err = { 0 };
    config.layers = 1;
    assert_int_equal(vlm_model_init(&model, &config, 0, &err), VLM_OK);
    assert_int_equal(model.n, VLM_COUNTOF(expected));
    size_t count = 0;
    for (size_t i = 0; i < model.n; i++) {
        const struct vlm_tensor *t = &model.tensors[i];
        const bool absent = strstr(expected[i], ".bias");
        assert_string_equal(model.parameters[i].name, expected[i]);
        assert_int_equal(t->rank == 0, absent);
        assert_int_equal(model.parameters[i].decay, t->rank == 2);
        assert_int_equal(vlm_model_find(&model, expected[i]), absent ? model.n : i);
        if (absent)
            continue;
        assert_ptr_equal(t->data, model.values + count);
        count += vlm_tensor_count(t);
    }
    assert_int_equal(count, model.count);
    assert_null(model.grads);
    assert_ptr_not_equal(model.head, model.embed);
    assert_null(model.positions);
    vlm_model_release(&model);
}

static void weights_begin_as_their_entries_say(void **state)
{
    (void)state;
    struct vlm_model_config config = model_config(MODEL_CAPTIONER);
    struct vlm_model model, again;
    struct vlm_err err = { 0 };
    config.layers = 8;
    assert_int_equal(vlm_model_init(&model, &config, 0, &err), VLM_OK);
    assert_int_equal(vlm_model_init(&again, &config, 0, &err), VLM_OK);
    vlm_model_fill(&model, 5);
    vlm_model_fill(&again, 5);
    nn_check_bits(model.values, again.values, model.count);
    vlm_model_fill(&again, 6);
    assert_memory_not_equal(model.values, again.values, model.count * sizeof(float));
    double sum[4] = { 0 }, squares[4] = { 0 }, n[4] = { 0 };
    for (size_t i = 0; i < model.n; i++) {
        const struct vlm_tensor *t = &model.tensors[i];
        const enum vlm_fill fill = model.parameters[i].fill;
        if (!strncmp(t->name, "encoder.", 8))
            continue;
        for (size_t k = 0; k < vlm_tensor_count(t); k++) {
            const double x = (double)t->data[k];
            sum[fill] += x;
            squares[fill] += x * x;
            n[fill]++;
        }
    }
    assert_true(squares[VLM_FILL_ZEROS] == 0 && sum[VLM_FILL_ONES] == n[VLM_FILL_ONES] &&
                squares[VLM_FILL_ONES] == n[VLM_FILL_ONES]);
    /* Thousands of numbers: a deviation is known to some percent. */
    assert_true(fabs(sqrt(squares[VLM_FILL_NORMAL] / n[VLM_FILL_NORMAL]) / 0.02 - 1) < 0.03);
    assert_true(fabs(sqrt(squares[VLM_FILL_RESIDUAL] / n[VLM_FILL_RESIDUAL]) / 0.005 - 1) < 0.03);
    assert_true(fabs(sum[VLM_FILL_NORMAL] / n[VLM_FILL_NORMAL]) < 1e-3);
    vlm_model_release(&model);
    vlm_model_release(&again);
}

/* ---- gradients ---- */

struct gradient_case {
    struct vlm_model *model;
    struct model_rows *data;
    bool loss;
};

static struct vlm_tensor *run_case(struct vlm_tape *tape, void *context)
{
    struct gradient_case *c = context;
    if (c->loss)
        return vlm_model_loss(tape, c->model, &c->data->rows, &c->data->targets, 0);
    struct vlm_tensor *state = vlm_model_forward(tape, c->model, &c->data->rows, NULL, 0);
    return vlm_model_logits(tape, c->model, state);
}

static void check_gradients(struct vlm_model_config config, const char *kernels, bool loss)
{
    struct vlm_model model;
    struct nn nn;
    struct model_rows *d = model_rows_new(&config, (size_t[]){ 5, 4 }, 2, 1);
    nn_begin(&nn, kernels, 1);
    model_begin(&model, &config, VLM_MODEL_GRADS);
    /* The model's own memory: it must not be freed as that of nn_tensor(). */
    for (size_t i = 0; i < model.n; i++)
        if (model.tensors[i].needs_grad)
            nn.tensor[nn.n_tensors++] = &model.tensors[i];
    assert_in_range(nn.n_tensors, 1, NN_TENSORS_MAX);
    nn_check_gradients(&nn, run_case, &(struct gradient_case){ &model, d, loss }, 2e-3, 4e-3);
    nn.n_tensors = 0;
    vlm_model_release(&model);
    nn_end(&nn);
    free(d);
}

static void gradients_match_differences(void **state)
{
    (void)state;
    for (int form = 0; form < MODEL_FORMS; form++) {
        struct vlm_model_config config = model_config((enum model_form)form);
        config.layers = 1;
        config.encoder_layers = 1;
        config.context = 6;
        config.vocabulary = 13;
        check_gradients(config, NULL, form % 2 == 0);
    }
}

/* The smooth activations of GPT-2's form (differences over the corner of ReLU are none), heads of an odd
 * size, a head that is not tied. */
static void gradients_match_differences_in_odd_sizes(void **state)
{
    (void)state;
    static const enum vlm_activation activations[] = { VLM_GELU_TANH, VLM_GELU_ERF, VLM_SILU };
    for (size_t i = 0; i < VLM_COUNTOF(activations); i++) {
        struct vlm_model_config config = model_config(MODEL_GPT2);
        config.layers = 1;
        config.context = 5;
        config.vocabulary = 7;
        config.tied = i % 2;
        config.sizes.width = 9;
        config.sizes.heads = config.sizes.kv_heads = 3;
        config.sizes.head_size = 3;
        config.sizes.hidden = 11;
        config.sizes.activation = activations[i];
        check_gradients(config, kinds_of_kernels[0], true);
    }
}

/* ---- what a row may see ---- */

/* A change of tokens from row t on leaves all logits before t as they were, to the bit. */
static void rows_see_nothing_of_what_follows(void **state)
{
    (void)state;
    enum { LENGTH = 150 };
    for (int form = 0; form < MODEL_FORMS; form++) {
        const struct vlm_model_config config = model_config((enum model_form)form);
        struct model_rows *d = model_rows_new(&config, (size_t[]){ LENGTH }, 1, 1);
        struct vlm_model model;
        struct nn nn;
        nn_begin(&nn, NULL, 2);
        model_begin(&model, &config, 0);
        float *before = model_logits(&nn, &model, &d->rows, NULL);
        for (size_t t = MODEL_PREFIX + 1; t < LENGTH; t += 29) {
            uint32_t kept[MODEL_ROWS_MAX];
            memcpy(kept, d->ids, sizeof(kept));
            for (size_t i = t; i < LENGTH; i++)
                d->ids[i] = (uint32_t)((d->ids[i] + 1 + i) % config.vocabulary);
            float *after = model_logits(&nn, &model, &d->rows, NULL);
            nn_check_bits(after, before, t * config.vocabulary);
            assert_memory_not_equal(after + t * config.vocabulary, before + t * config.vocabulary,
                                    config.vocabulary * sizeof(float));
            memcpy(d->ids, kept, sizeof(kept));
            free(after);
        }
        free(before);
        vlm_model_release(&model);
        nn_end(&nn);
        free(d);
    }
}

/* Rows that image number `index` fills, and those behind it, change with one of its codes; others do
 * not. */
static void images_are_seen_from_their_rows_on(void **state)
{
    (void)state;
    const struct vlm_model_config config = model_config(MODEL_CAPTIONER);
    const size_t vocabulary = config.vocabulary;
    struct model_rows *d = model_rows_new(&config, (size_t[]){ 10, 10 }, 2, 1);
    struct vlm_model model;
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    model_begin(&model, &config, 0);
    for (size_t i = 0; i < MODEL_PREFIX; i++) /* the second image's rows: 14, 15, 16 */
        d->image_rows[MODEL_PREFIX + i] += 4;
    float *before = model_logits(&nn, &model, &d->rows, NULL);
    const size_t last = 2 * MODEL_PLACES - 1;
    d->codes[last] = (d->codes[last] + 1) % MODEL_CODES;
    float *after = model_logits(&nn, &model, &d->rows, NULL);
    nn_check_bits(after, before, 14 * vocabulary);
    for (size_t r = 14; r < 20; r++)
        assert_memory_not_equal(after + r * vocabulary, before + r * vocabulary,
                                vocabulary * sizeof(float));
    /* The token under an image does not matter. */
    d->ids[15] = (d->ids[15] + 1) % (uint32_t)vocabulary;
    float *again = model_logits(&nn, &model, &d->rows, NULL);
    nn_check_bits(again, after, 20 * vocabulary);
    free(before);
    free(after);
    free(again);
    vlm_model_release(&model);
    nn_end(&nn);
    free(d);
}

/* n rows from `first` on as a batch of their own, with the image of that sequence. */
static struct vlm_rows part_of(const struct model_rows *d, size_t first, size_t n, uint32_t *lo,
                               uint32_t *hi, size_t sequence, size_t n_images)
{
    static uint32_t image_rows[MODEL_PREFIX];
    for (size_t i = 0; i < n; i++) {
        lo[i] = d->lo[first + i] - (uint32_t)first;
        hi[i] = d->hi[first + i] - (uint32_t)first;
    }
    for (size_t i = 0; i < MODEL_PREFIX; i++)
        image_rows[i] = (uint32_t)i;
    return (struct vlm_rows){ .n = n,
                              .ids = d->ids + first,
                              .positions = d->positions + first,
                              .lo = lo,
                              .hi = hi,
                              .n_images = n_images,
                              .codes = d->codes + sequence * MODEL_PLACES,
                              .image_rows = image_rows };
}

/* Three sequences that begin at multiples of a block of keys, padding between them: each has the bits
 * that it has alone. Padding sees nothing (lo = hi) and has no target. */
static void a_sequence_among_others_has_the_bits_of_one_alone(void **state)
{
    (void)state;
    enum { BLOCK = VLM_ATTENTION_KEYS, SEQUENCES = 3 };
    static const size_t lengths[SEQUENCES] = { 100, 128, 37 };
    for (int form = 0; form < MODEL_FORMS; form++)
        for (size_t k = 0; k < VLM_COUNTOF(kinds_of_kernels); k++) {
            const struct vlm_model_config config = model_config((enum model_form)form);
            struct model_rows *d =
                model_rows_new(&config, (size_t[]){ BLOCK, BLOCK, BLOCK }, SEQUENCES, 1);
            struct vlm_model model;
            struct nn nn;
            uint32_t lo[BLOCK], hi[BLOCK];
            nn_begin(&nn, kinds_of_kernels[k], 2);
            model_begin(&model, &config, 0);
            for (size_t s = 0; s < SEQUENCES; s++)
                for (size_t i = lengths[s]; i < BLOCK; i++)
                    d->lo[s * BLOCK + i] = d->hi[s * BLOCK + i];
            float *together = model_logits(&nn, &model, &d->rows, NULL);
            for (size_t s = 0; s < SEQUENCES; s++) {
                const struct vlm_rows rows =
                    part_of(d, s * BLOCK, lengths[s], lo, hi, s, config.encoder ? 1 : 0);
                float *alone = model_logits(&nn, &model, &rows, NULL);
                nn_check_bits(together + s * BLOCK * config.vocabulary, alone,
                              lengths[s] * config.vocabulary);
                free(alone);
            }
            free(together);
            vlm_model_release(&model);
            nn_end(&nn);
            free(d);
        }
}

/* Packed without gaps, sums are made in other blocks: equal but for rounding, the gradients too. */
static void packed_sequences_equal_sequences_alone(void **state)
{
    (void)state;
    enum { SEQUENCES = 3 };
    static const size_t lengths[SEQUENCES] = { 21, 50, 9 };
    for (int form = 0; form < MODEL_FORMS; form++) {
        const struct vlm_model_config config = model_config((enum model_form)form);
        struct model_rows *d = model_rows_new(&config, lengths, SEQUENCES, 1);
        struct vlm_model model;
        struct nn nn;
        uint32_t lo[64], hi[64];
        nn_begin(&nn, NULL, 1);
        model_begin(&model, &config, VLM_MODEL_GRADS);
        for (size_t i = 0; i < d->rows.n; i++)
            d->targets.weight_sum += d->target_ids[i] != VLM_IGNORE;
        const double together = model_derive(&nn, &model, &d->rows, &d->targets, 0);
        float *grads = malloc(model.count * sizeof(float));
        assert_non_null(grads);
        memcpy(grads, model.grads, model.count * sizeof(float));
        memset(model.grads, 0, model.count * sizeof(float));
        double alone = 0;
        for (size_t s = 0, first = 0; s < SEQUENCES; first += lengths[s++]) {
            const struct vlm_rows rows =
                part_of(d, first, lengths[s], lo, hi, s, config.encoder ? 1 : 0);
            struct vlm_targets targets = d->targets;
            targets.ids += first;
            alone += model_derive(&nn, &model, &rows, &targets, 0);
        }
        assert_true(fabs(alone - together) < 1e-6 * together);
        assert_true(model_distance(model.grads, grads, model.count) < 2e-6);
        free(grads);
        vlm_model_release(&model);
        nn_end(&nn);
        free(d);
    }
}

/* The row losses that a caller asks for, unweighted; their weighted mean is the loss. */
static void weights_and_row_losses_make_the_loss(void **state)
{
    (void)state;
    const struct vlm_model_config config = model_config(MODEL_LLAMA);
    struct model_rows *d = model_rows_new(&config, (size_t[]){ 30 }, 1, 1);
    struct vlm_model model;
    struct nn nn;
    float weights[30], losses[30] = { 0 };
    double sum = 0, expected = 0;
    nn_begin(&nn, NULL, 1);
    model_begin(&model, &config, VLM_MODEL_GRADS);
    float *logits = model_logits(&nn, &model, &d->rows, NULL);
    for (size_t i = 0; i < 30; i++) {
        weights[i] = (float)(i % 3);
        sum += d->target_ids[i] == VLM_IGNORE ? 0 : (double)weights[i];
    }
    d->targets.weights = weights;
    d->targets.losses = losses;
    const double loss = model_derive(&nn, &model, &d->rows, &d->targets, 0);
    for (size_t i = 0; i < 30; i++) {
        const float *z = logits + i * config.vocabulary;
        double total = 0, row = 0;
        for (size_t v = 0; v < config.vocabulary; v++)
            total += exp((double)z[v]);
        if (d->target_ids[i] != VLM_IGNORE)
            row = log(total) - (double)z[d->target_ids[i]];
        assert_true(fabs((double)losses[i] - row) < 1e-5 * (1 + row));
        expected += row * (double)weights[i] / sum;
    }
    assert_true(fabs(loss - expected) < 1e-5 * expected);
    free(logits);
    vlm_model_release(&model);
    nn_end(&nn);
    free(d);
}

/* ---- the cache ---- */

enum { SLOTS = 2, SLOT = 2 * VLM_ATTENTION_KEYS, CACHED = 140 };

/* Rows first to first + n of both sequences, for slots of a cache that begin at multiples of SLOT. */
static struct vlm_rows cached_rows(const struct model_rows *d, size_t first, size_t n,
                                   struct model_rows *part, uint32_t *places)
{
    for (size_t s = 0, r = 0; s < SLOTS; s++)
        for (size_t i = first; i < first + n; i++, r++) {
            part->ids[r] = d->ids[s * CACHED + i];
            part->positions[r] = (uint32_t)i;
            part->lo[r] = (uint32_t)(s * SLOT);
            part->hi[r] = (uint32_t)(s * SLOT + i + 1);
            places[r] = (uint32_t)(s * SLOT + i);
        }
    struct vlm_rows rows = { .n = SLOTS * n,
                             .ids = part->ids,
                             .positions = part->positions,
                             .lo = part->lo,
                             .hi = part->hi,
                             .places = places };
    /* Images are in front, and all of them in the first part. */
    if (first == 0 && d->rows.n_images) {
        assert_true(n >= MODEL_PREFIX);
        rows.n_images = SLOTS;
        rows.codes = d->codes;
        for (size_t s = 0; s < SLOTS; s++)
            for (size_t i = 0; i < MODEL_PREFIX; i++)
                part->image_rows[s * MODEL_PREFIX + i] = (uint32_t)(s * n + i);
        rows.image_rows = part->image_rows;
    }
    return rows;
}

/* In parts of `chunk` rows of each sequence, the first of at least an image. */
static void check_cached(struct nn *nn, struct vlm_model *model, const struct model_rows *d,
                         const float *whole, size_t chunk)
{
    const size_t vocabulary = model->config.vocabulary;
    struct model_rows *part = calloc(1, sizeof(*part));
    uint32_t places[MODEL_ROWS_MAX];
    struct vlm_cache cache;
    struct vlm_err err = { 0 };
    assert_non_null(part);
    assert_int_equal(vlm_cache_init(&cache, model, SLOTS * SLOT, &err), VLM_OK);
    for (size_t first = 0, n = VLM_MAX(chunk, (size_t)MODEL_PREFIX); first < CACHED;
         first += n, n = chunk) {
        n = VLM_MIN(n, CACHED - first);
        const struct vlm_rows rows = cached_rows(d, first, n, part, places);
        float *x = model_logits(nn, model, &rows, &cache);
        for (size_t s = 0; s < SLOTS; s++)
            nn_check_bits(x + s * n * vocabulary, whole + (s * CACHED + first) * vocabulary,
                          n * vocabulary);
        free(x);
    }
    vlm_cache_release(&cache);
    free(part);
}

static void the_cache_gives_the_bits_of_one_pass(void **state)
{
    (void)state;
    static const size_t chunks[] = { 1, 7, 64, CACHED };
    for (int form = 0; form < MODEL_FORMS; form++)
        for (int precision = VLM_F32; precision <= VLM_BF16; precision++) {
            const struct vlm_model_config config = model_config((enum model_form)form);
            const size_t vocabulary = config.vocabulary;
            struct model_rows *d = model_rows_new(&config, (size_t[]){ CACHED, CACHED }, SLOTS, 1);
            struct vlm_model model;
            struct nn nn;
            uint32_t lo[CACHED], hi[CACHED];
            nn_begin_with(&nn, NULL, 2, (enum vlm_dtype)precision, 0);
            model_begin(&model, &config, 0);
            /* Each alone: together the second would not begin at a block of keys. */
            float *whole = malloc(SLOTS * CACHED * vocabulary * sizeof(*whole));
            assert_non_null(whole);
            for (size_t s = 0; s < SLOTS; s++) {
                const struct vlm_rows rows =
                    part_of(d, s * CACHED, CACHED, lo, hi, s, config.encoder ? 1 : 0);
                float *x = model_logits(&nn, &model, &rows, NULL);
                memcpy(whole + s * CACHED * vocabulary, x, CACHED * vocabulary * sizeof(*x));
                free(x);
            }
            for (size_t i = 0; i < VLM_COUNTOF(chunks); i++)
                check_cached(&nn, &model, d, whole, chunks[i]);
            free(whole);
            vlm_model_release(&model);
            nn_end(&nn);
            free(d);
        }
}

static void a_cache_beyond_counting_is_refused(void **state)
{
    (void)state;
    const struct vlm_model_config config = model_config(MODEL_GPT2);
    struct vlm_model model;
    struct vlm_cache cache;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_model_init(&model, &config, 0, &err), VLM_OK);
    assert_int_equal(vlm_cache_init(&cache, &model, SIZE_MAX / 8, &err), VLM_ELIMIT);
    vlm_cache_release(&cache);
    vlm_model_release(&model);
}

/* ---- what is refused ---- */

static void check_refusal(struct vlm_model_config config, const char *sentence)
{
    struct vlm_model model;
    struct vlm_model_estimate estimate;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_model_check(&config, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, sentence);
    assert_int_equal(vlm_model_init(&model, &config, 0, &err), VLM_EUSAGE);
    assert_int_equal(vlm_model_estimate(&estimate, &config, 8, 0, VLM_F32, 0, &err), VLM_EUSAGE);
    vlm_model_release(&model);
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct vlm_model_config c = model_config(MODEL_GPT2);
    c.sizes.heads = 4;
    c.sizes.kv_heads = 4;
    c.sizes.head_size = 4;
    check_refusal(c, "trunk: a width of 18 does not divide among 4 heads");
    c = model_config(MODEL_LLAMA);
    c.sizes.kv_heads = 3;
    check_refusal(c, "trunk: 4 heads do not divide among 3 heads of keys");
    c = model_config(MODEL_LLAMA);
    c.sizes.head_size = 5;
    check_refusal(c, "trunk: rotary positions turn pairs, and heads have 5 numbers");
    c = model_config(MODEL_LLAMA);
    c.sizes.rotary_base = 0;
    check_refusal(c, "trunk: the base of the rotary positions is 0, not above 0");
    c = model_config(MODEL_LLAMA);
    c.sizes.head_size = 514;
    check_refusal(c, "trunk: heads of 514 numbers, expected at most 512");
    c = model_config(MODEL_GPT2);
    c.sizes.norm_epsilon = NAN;
    check_refusal(c, "trunk: the epsilon of the norms is nan, not a number from 0");
    c = model_config(MODEL_GPT2);
    c.layer = NULL;
    check_refusal(c, "trunk: no kind of layer, expected one of pre-ln, llama");
    c = model_config(MODEL_GPT2);
    c.layers = 0;
    check_refusal(c, "trunk: 0 layers, not 1 to 65536");
    c = model_config(MODEL_GPT2);
    c.sizes.hidden = (size_t)1 << 60;
    check_refusal(c, "trunk: hidden is 1152921504606846976, not 1 to 16777216");
    c = model_config(MODEL_GPT2);
    c.sizes.width = c.sizes.heads = c.sizes.kv_heads = c.sizes.hidden = 1 << 24;
    c.sizes.head_size = 1;
    c.layers = 1 << 16;
    check_refusal(c, "a model of 65536 layers of width 16777216 is beyond counting");
}

static void encoders_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct vlm_model_config c = model_config(MODEL_CAPTIONER);
    c.bridge_sizes.length = 5;
    check_refusal(c, "bridge: the 12 rows of an image do not divide among 5 rows");
    c = model_config(MODEL_CAPTIONER);
    c.bridge_sizes.inputs = 9;
    check_refusal(c, "bridge: from a width of 9 to 18, but the encoder's is 8 and the trunk's 18");
    c = model_config(MODEL_CAPTIONER);
    c.bridge = NULL;
    check_refusal(c, "an encoder needs a bridge, and a bridge an encoder");
    c = model_config(MODEL_CAPTIONER);
    c.encoder_sizes.heads = c.encoder_sizes.kv_heads = 3;
    check_refusal(c, "encoder: a width of 8 does not divide among 3 heads");
    c = model_config(MODEL_CAPTIONER);
    c.encoder_sizes.position = VLM_POSITION_ROTARY;
    c.encoder_sizes.rotary_base = 10000;
    check_refusal(c, "encoder: its positions are learned, nothing else");
    c = model_config(MODEL_CAPTIONER);
    c.encoder_sizes.inputs = 0;
    check_refusal(c, "encoder: images of 12 rows of 0 codes, not 1 to 16777216");
}

/* A forward pass over rows that a file or a request spoiled. */
static void check_bad_rows(enum model_form form, const struct vlm_rows *rows, int code,
                           const char *sentence)
{
    const struct vlm_model_config config = model_config(form);
    struct vlm_model model;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    model_begin(&model, &config, 0);
    vlm_model_forward(&nn.tape, &model, rows, NULL, 0);
    assert_int_equal(vlm_tape_error(&nn.tape, &err), code);
    assert_string_equal(err.msg, sentence);
    vlm_model_release(&model);
    nn_end(&nn);
}

static void tokens_positions_and_codes_beyond_their_tables_fail_the_tape(void **state)
{
    (void)state;
    const struct vlm_model_config config = model_config(MODEL_CAPTIONER);
    struct model_rows *d = model_rows_new(&config, (size_t[]){ 6 }, 1, 1);
    check_bad_rows(MODEL_GPT2, &d->rows, VLM_EFORMAT, "1 images for a model without an encoder");
    d->codes[MODEL_PLACES - 1] = MODEL_CODES;
    check_bad_rows(MODEL_CAPTIONER, &d->rows, VLM_EFORMAT,
                   "image 0: code 11 is not below the codebook of 11");
    d->positions[5] = 160;
    check_bad_rows(MODEL_CAPTIONER, &d->rows, VLM_ELIMIT,
                   "row 5: position 160 is beyond the context of 160");
    d->ids[2] = 31;
    check_bad_rows(MODEL_CAPTIONER, &d->rows, VLM_EFORMAT,
                   "row 2: token 31 is not below the vocabulary of 31");
    free(d);
}

/* ---- a view ---- */

static struct vlm_tensor *squared_view(struct vlm_tape *tape, void *context)
{
    struct vlm_tensor *x = context;
    static const uint32_t rows[] = { 1, 0 };
    struct vlm_tensor *wide = vlm_reshape_rows(tape, x, 2, 6);
    return vlm_concat_rows(tape, 2,
                           (struct vlm_tensor *[]){ wide, vlm_gather_rows(tape, wide, rows, 2) });
}

static void reshaping_is_a_view_with_a_gradient(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct vlm_tensor *x = nn_tensor(&nn, 2, (size_t[]){ 4, 3 });
    const size_t used = vlm_memory_mark(&nn.tape.step);
    struct vlm_tensor *y = vlm_reshape_rows(&nn.tape, x, 2, 6);
    assert_ptr_equal(y->data, x->data);
    assert_int_equal(vlm_tensor_rows(y), 2);
    assert_int_equal(vlm_tensor_cols(y), 6);
    assert_int_equal(vlm_memory_mark(&nn.tape.step), used);
    vlm_tape_reset(&nn.tape);
    nn_check_gradients(&nn, squared_view, x, 1e-2, 1e-3);
    nn_end(&nn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_found_by_name),
        cmocka_unit_test(parameters_are_named_in_their_order),
        cmocka_unit_test(weights_begin_as_their_entries_say),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(gradients_match_differences_in_odd_sizes),
        cmocka_unit_test(rows_see_nothing_of_what_follows),
        cmocka_unit_test(images_are_seen_from_their_rows_on),
        cmocka_unit_test(a_sequence_among_others_has_the_bits_of_one_alone),
        cmocka_unit_test(packed_sequences_equal_sequences_alone),
        cmocka_unit_test(weights_and_row_losses_make_the_loss),
        cmocka_unit_test(the_cache_gives_the_bits_of_one_pass),
        cmocka_unit_test(a_cache_beyond_counting_is_refused),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(encoders_that_do_not_fit_are_refused),
        cmocka_unit_test(tokens_positions_and_codes_beyond_their_tables_fail_the_tape),
        cmocka_unit_test(reshaping_is_a_view_with_a_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
