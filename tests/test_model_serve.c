/* test_model_serve.c - models whose weights were rounded for serving: against the model that they were, against
 * themselves whatever goes through at the same time, and their memory. */
#include "base/vlm.h"

#include "models/model/model_serve.h"
#include "nn/ops/attention.h"
#include "nn/ops/linear.h"
#include "tests/model_fixture.h"

enum { LENGTH = 40, WIDE = 72 };

static const char *const kinds_of_kernels[] = { "plain", "avx2", "avx512", "avx512-vnni",
                                                "avx512-bf16" };

static const enum vlm_weights all_weights[] = { VLM_WEIGHTS_F32, VLM_WEIGHTS_BF16,
                                                VLM_WEIGHTS_INT8 };

static void begin(struct nn *nn, const char *kernels, size_t threads, enum vlm_weights weights)
{
    nn_begin_with(nn, kernels, threads, vlm_model_serve_precision(weights), VLM_TAPE_FORWARD);
}

static void serve(struct vlm_model *model, const struct nn *nn, enum vlm_weights weights)
{
    struct vlm_err err = { 0 };
    if (vlm_model_serve(model, &nn->engine, weights, &err))
        fail_msg("%s", err.msg);
}

/* The fixture's forms, with rows of no round number of columns. */
static struct vlm_model_config config_of(int form)
{
    struct vlm_model_config config = model_config((enum model_form)form);
    if (form == MODEL_GPT2) { /* more than a square of every kind of kernels */
        config.sizes.width = WIDE;
        config.sizes.head_size = WIDE / 3;
        config.sizes.hidden = 3 * WIDE + 1;
    }
    return config;
}

/* Rounds a row in place as it would be served in int8. */
static void round_row(float *row, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmaxf(largest, fabsf(row[i]));
    for (size_t i = 0; i < n; i++)
        row[i] = largest > 0 ? largest / 127 * rintf(row[i] / (largest / 127)) : 0;
}

/* For int8 all matrices of a model but those that are only looked up, by name: not as the code under test finds them. A
 * tape in bf16 rounds by itself. */
static void round_model(struct vlm_model *model, enum vlm_weights weights)
{
    static const char *const tables[] = { "embed.positions.weight", "encoder.tokens.weight",
                                          "encoder.positions.weight" };
    for (size_t i = 0; weights == VLM_WEIGHTS_INT8 && i < model->n; i++) {
        struct vlm_tensor *t = &model->tensors[i];
        bool table = !strcmp(t->name, "embed.tokens.weight") && !model->config.tied;
        for (size_t k = 0; k < VLM_COUNTOF(tables); k++)
            table = table || !strcmp(t->name, tables[k]);
        for (size_t r = 0; t->rank == 2 && !table && r < t->shape[0]; r++)
            round_row(t->data + r * t->shape[1], t->shape[1]);
    }
}

/* ---- beside the model that was ---- */

static void check_form(int form, const char *kernels, enum vlm_weights weights)
{
    const struct vlm_model_config config = config_of(form);
    struct model_rows *d = model_rows_new(&config, (size_t[]){ LENGTH, 7 }, 2, 1);
    const size_t n = d->rows.n * config.vocabulary;
    struct vlm_model model, before;
    struct nn nn;
    begin(&nn, kernels, 2, weights);
    model_begin(&model, &config, 0);
    model_begin(&before, &config, 0);
    serve(&model, &nn, weights);
    round_model(&before, weights);
    float *x = model_logits(&nn, &model, &d->rows, NULL);
    float *expected = model_logits(&nn, &before, &d->rows, NULL);
    if (weights == VLM_WEIGHTS_INT8)
        assert_true(model_distance(x, expected, n) < 2e-6); /* the scale goes in at the end */
    else
        nn_check_bits(x, expected, n);
    free(x);
    free(expected);
    vlm_model_release(&model);
    vlm_model_release(&before);
    nn_end(&nn);
    free(d);
}

static void logits_are_those_of_rounded_weights(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(kinds_of_kernels); k++)
        for (int form = 0; form < MODEL_FORMS && vlm_kernels_named(kinds_of_kernels[k]); form++)
            for (size_t i = 0; i < VLM_COUNTOF(all_weights); i++)
                check_form(form, kinds_of_kernels[k], all_weights[i]);
}

static void the_loss_is_that_of_rounded_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(all_weights); i++) {
        const struct vlm_model_config config = config_of(MODEL_GPT2);
        struct model_rows *d = model_rows_new(&config, (size_t[]){ LENGTH, 7 }, 2, 1);
        struct vlm_model model[2];
        float loss[2];
        struct nn nn;
        begin(&nn, NULL, 2, all_weights[i]);
        for (size_t k = 0; k < 2; k++) {
            struct vlm_err err = { 0 };
            model_begin(&model[k], &config, 0);
            if (k == 0)
                serve(&model[k], &nn, all_weights[i]);
            else
                round_model(&model[k], all_weights[i]);
            struct vlm_tensor *y = vlm_model_loss(&nn.tape, &model[k], &d->rows, &d->targets, 0);
            assert_int_equal(vlm_tape_error(&nn.tape, &err), VLM_OK);
            loss[k] = y->data[0];
            vlm_tape_reset(&nn.tape);
            vlm_model_release(&model[k]);
        }
        assert_true(loss[1] > 1 && fabsf(loss[0] - loss[1]) < 1e-5f * loss[1]);
        nn_end(&nn);
        free(d);
    }
}

/* ---- beside itself ---- */

enum { STREAMS = 40, SLOT = VLM_ATTENTION_KEYS };

/* Rows `first` to first + n of a sequence that is in all of `streams` slots. */
struct step {
    uint32_t ids[STREAMS * LENGTH], positions[STREAMS * LENGTH], lo[STREAMS * LENGTH],
        hi[STREAMS * LENGTH], places[STREAMS * LENGTH];
    uint32_t image_rows[STREAMS * MODEL_PREFIX], codes[STREAMS * MODEL_PLACES];
    struct vlm_rows rows;
};

static void make_step(struct step *step, const struct model_rows *d, size_t first, size_t n,
                      size_t streams)
{
    size_t r = 0;
    for (size_t s = 0; s < streams; s++)
        for (size_t i = first; i < first + n; i++, r++) {
            step->ids[r] = d->ids[i];
            step->positions[r] = (uint32_t)i;
            step->lo[r] = (uint32_t)(s * SLOT);
            step->hi[r] = (uint32_t)(s * SLOT + i + 1);
            step->places[r] = (uint32_t)(s * SLOT + i);
        }
    step->rows = (struct vlm_rows){ .n = r,
                                    .ids = step->ids,
                                    .positions = step->positions,
                                    .lo = step->lo,
                                    .hi = step->hi,
                                    .places = step->places };
    if (!d->rows.n_images || first > 0)
        return;
    step->rows.n_images = streams;
    step->rows.codes = step->codes;
    step->rows.image_rows = step->image_rows;
    for (size_t s = 0; s < streams; s++) {
        memcpy(step->codes + s * MODEL_PLACES, d->codes, MODEL_PLACES * sizeof(*d->codes));
        for (size_t i = 0; i < MODEL_PREFIX; i++)
            step->image_rows[s * MODEL_PREFIX + i] = (uint32_t)(s * n + i);
    }
}

/* The sequence in chunks of `chunk` rows, in as many streams at once: every row's bits are those of `whole`. */
static void check_chunks(struct nn *nn, struct vlm_model *model, const struct model_rows *d,
                         const float *whole, size_t chunk, size_t streams)
{
    const size_t vocabulary = model->config.vocabulary;
    /* The fixture's images are shorter than a block of keys: the encoder's rows of an eleventh would lie in two. */
    streams = model->config.encoder ? VLM_MIN(streams, (size_t)VLM_ATTENTION_KEYS / MODEL_PLACES)
                                    : streams;
    struct step *step = calloc(1, sizeof(*step));
    struct vlm_cache cache;
    struct vlm_err err = { 0 };
    assert_non_null(step);
    assert_int_equal(vlm_cache_init(&cache, model, streams * SLOT, &err), VLM_OK);
    for (size_t first = 0, n = VLM_MAX(chunk, (size_t)MODEL_PREFIX); first < LENGTH;
         first += n, n = chunk) {
        n = VLM_MIN(n, LENGTH - first);
        make_step(step, d, first, n, streams);
        float *x = model_logits(nn, model, &step->rows, &cache);
        for (size_t s = 0; s < streams; s++)
            nn_check_bits(x + s * n * vocabulary, whole + first * vocabulary, n * vocabulary);
        free(x);
    }
    vlm_cache_release(&cache);
    free(step);
}

static void check_bits_of(int form, const char *kernels, enum vlm_weights weights)
{
    static const size_t chunks[] = { 1, 3, 8, 25, LENGTH }, streams[] = { 1, 2, 16, 40 },
                        threads[] = { 1, 2, 5 };
    const struct vlm_model_config config = config_of(form);
    struct model_rows *d = model_rows_new(&config, (size_t[]){ LENGTH }, 1, 1);
    float *whole = NULL;
    for (size_t t = 0; t < VLM_COUNTOF(threads); t++) {
        struct vlm_model model;
        struct nn nn;
        begin(&nn, kernels, threads[t], weights);
        model_begin(&model, &config, 0);
        serve(&model, &nn, weights);
        if (!whole)
            whole = model_logits(&nn, &model, &d->rows, NULL);
        for (size_t i = 0; i < VLM_COUNTOF(chunks); i++)
            check_chunks(&nn, &model, d, whole, chunks[i], streams[(i + t) % 3]);
        check_chunks(&nn, &model, d, whole, 20, streams[t + 1]);
        vlm_model_release(&model);
        nn_end(&nn);
    }
    free(whole);
    free(d);
}

static void bits_do_not_depend_on_chunks_streams_or_threads(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(kinds_of_kernels); k++)
        for (size_t i = 0; i < VLM_COUNTOF(all_weights) && vlm_kernels_named(kinds_of_kernels[k]);
             i++) {
            check_bits_of(MODEL_GPT2, kinds_of_kernels[k], all_weights[i]);
            check_bits_of(MODEL_CAPTIONER, kinds_of_kernels[k], all_weights[i]);
            check_bits_of(MODEL_LLAMA, kinds_of_kernels[k], all_weights[i]);
        }
}

/* Some rows of the head, as a decoder of images wants them: the columns of the whole. */
static void a_view_of_the_head_gives_its_columns(void **state)
{
    (void)state;
    enum { FIRST = 5, COUNT = 23, ROWS = 9 };
    for (size_t i = 0; i < VLM_COUNTOF(all_weights); i++) {
        const struct vlm_model_config config = config_of(MODEL_GPT2);
        struct vlm_model model;
        struct nn nn;
        begin(&nn, NULL, 1, all_weights[i]);
        model_begin(&model, &config, 0);
        serve(&model, &nn, all_weights[i]);
        struct vlm_tensor *x = nn_tensor(&nn, 2, (size_t[]){ ROWS, WIDE });
        struct vlm_tensor view = vlm_tensor_rows_view(model.head, FIRST, COUNT);
        struct vlm_tensor *all = vlm_model_logits(&nn.tape, &model, x);
        struct vlm_tensor *some = vlm_linear(&nn.tape, x, &(struct vlm_linear){ .weight = &view });
        for (size_t r = 0; r < ROWS; r++)
            nn_check_bits(some->data + r * COUNT, all->data + r * config.vocabulary + FIRST, COUNT);
        vlm_model_release(&model);
        nn_end(&nn);
    }
}

/* ---- the numbers, and their memory ---- */

static void int8_rows_are_the_nearest_to_their_scale(void **state)
{
    (void)state;
    const struct vlm_model_config config = config_of(MODEL_GPT2);
    struct vlm_model model, before;
    struct nn nn;
    begin(&nn, NULL, 2, VLM_WEIGHTS_INT8);
    model_begin(&model, &config, 0);
    model_begin(&before, &config, 0);
    memset(model.head->data, 0, 2 * WIDE * sizeof(float));
    memset(before.head->data, 0, 2 * WIDE * sizeof(float));
    model.head->data[WIDE] = before.head->data[WIDE] = -3;
    serve(&model, &nn, VLM_WEIGHTS_INT8);
    const struct vlm_tensor *t = model.head, *w = before.head;
    assert_int_equal(t->dtype, VLM_INT8);
    for (size_t r = 0; r < t->shape[0]; r++) {
        int largest = 0;
        for (size_t i = 0; i < WIDE; i++) {
            const int q = t->integers[r * WIDE + i];
            largest = VLM_MAX(largest, abs(q));
            assert_true(fabs((double)t->scales[r] * q - (double)w->data[r * WIDE + i]) <=
                        0.5001 * (double)t->scales[r]);
        }
        assert_int_equal(largest, r ? 127 : 0);
    }
    assert_int_equal(t->integers[WIDE], -127);
    vlm_model_release(&model);
    vlm_model_release(&before);
    nn_end(&nn);
}

static void memory_is_that_of_the_new_types(void **state)
{
    (void)state;
    static const double expected[] = { 1, 0.5, 0.25 };
    struct vlm_model_config config = config_of(MODEL_LLAMA_BIASED);
    config.sizes.width = 256; /* so that matrices are nearly all of it */
    config.sizes.hidden = 512;
    size_t bytes_f32 = 0, used_f32 = 0;
    for (size_t i = 0; i < VLM_COUNTOF(all_weights); i++) {
        struct vlm_model model;
        struct nn nn;
        begin(&nn, NULL, 2, all_weights[i]);
        model_begin(&model, &config, 0);
        serve(&model, &nn, all_weights[i]);
        const size_t bytes = vlm_model_serve_bytes(&model), used = model.memory.used;
        bytes_f32 = i ? bytes_f32 : bytes;
        used_f32 = i ? used_f32 : used;
        assert_true(fabs((double)bytes / (double)bytes_f32 - expected[i]) < 0.03);
        assert_true(fabs((double)used / (double)used_f32 - expected[i]) < 0.06);
        assert_true(i == 0 || model.values == NULL);
        vlm_model_release(&model);
        nn_end(&nn);
    }
    /* qkv, out, gate, up and down of two layers, and the head. */
    assert_int_equal(bytes_f32, 4 * 256 * (2 * (80 + 40 + 3 * 512) + 31));
}

static void only_what_can_be_rounded_is(void **state)
{
    (void)state;
    const struct vlm_model_config config = config_of(MODEL_GPT2);
    struct vlm_err err = { 0 };
    struct vlm_model model;
    struct nn nn;
    begin(&nn, NULL, 1, VLM_WEIGHTS_INT8);
    model_begin(&model, &config, VLM_MODEL_GRADS);
    assert_int_equal(vlm_model_serve(&model, &nn.engine, VLM_WEIGHTS_INT8, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "a model with gradients is for training, not for serving");
    vlm_model_release(&model);
    model_begin(&model, &config, 0);
    serve(&model, &nn, VLM_WEIGHTS_INT8);
    assert_int_equal(vlm_model_serve(&model, &nn.engine, VLM_WEIGHTS_BF16, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "the weights of this model are rounded already");
    vlm_model_release(&model);
    struct vlm_model_config long_rows = config;
    long_rows.sizes.width = 6;
    long_rows.sizes.head_size = 2;
    long_rows.sizes.hidden = VLM_INT8_K + 1;
    assert_int_equal(vlm_model_init(&model, &long_rows, 0, &err), VLM_OK);
    assert_int_equal(vlm_model_serve(&model, &nn.engine, VLM_WEIGHTS_INT8, &err), VLM_EUSAGE);
    assert_non_null(
        strstr(err.msg, "has rows of 4194305 numbers, and weights in int8 4194304 at most"));
    vlm_model_release(&model);
    nn_end(&nn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_rounded_weights),
        cmocka_unit_test(the_loss_is_that_of_rounded_weights),
        cmocka_unit_test(bits_do_not_depend_on_chunks_streams_or_threads),
        cmocka_unit_test(a_view_of_the_head_gives_its_columns),
        cmocka_unit_test(int8_rows_are_the_nearest_to_their_scale),
        cmocka_unit_test(memory_is_that_of_the_new_types),
        cmocka_unit_test(only_what_can_be_rounded_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
