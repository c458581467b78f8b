/* test_optimizer.c - AdamW against PyTorch and a plain loop; norm, clipping, averages, frozen parts.
 *
 * tests/reference/make_adamw.py made tests/vectors/adamw.tsv. */
#include "base/vlm.h"

#include "tests/nn_fixture.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/limits.h"
#include "nn/optimizer.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-bf16" };

enum { SIZES = 3, FIELDS = 6, STEPS = 10, BLOCK = 1 << 14 };

/* The same as in make_adamw.py. */
static const struct {
    size_t size;
    unsigned flags;
    float rate_scale;
} of_vectors[SIZES] = { { 37, VLM_PARAMETER_DECAY, 1 },
                        { 5, 0, 0 },
                        { 21, VLM_PARAMETER_DECAY, 0.5f } };

static const struct vlm_optimizer_options configuration[] = {
    { .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .decay = 0.1, .clip_norm = 1, .average = 0.9 },
    { .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-6, .decay = 0.01, .average = 0.99 },
};

static float number(uint32_t parameter, uint32_t step, uint32_t i)
{
    uint32_t word = (i * 7919 + parameter * 104729 + step * 1299709 + 12345) * 2654435761u;
    return (float)(word >> 8) * 0x1p-23f - 1;
}

/* Some parameters under an optimizer. */
struct model {
    struct nn nn;
    struct vlm_parameter list[NN_TENSORS_MAX];
    struct vlm_optimizer optimizer;
};

static void add(struct model *model, size_t size, unsigned flags, float rate_scale)
{
    model->list[model->nn.n_tensors] = (struct vlm_parameter){
        .flags = flags,
        .rate_scale = rate_scale,
    };
    size_t at = model->nn.n_tensors;
    model->list[at].tensor = nn_tensor(&model->nn, 1, (size_t[]){ size });
}

static void start(struct model *model, const struct vlm_optimizer_options *options)
{
    struct vlm_err err = { 0 };
    if (vlm_optimizer_init(&model->optimizer, &model->nn.engine, model->list, model->nn.n_tensors,
                           options, &err))
        fail_msg("%s", err.msg);
}

static void finish(struct model *model)
{
    vlm_optimizer_release(&model->optimizer);
    nn_end(&model->nn);
}

/* ---- PyTorch ---- */

struct line {
    size_t configuration, step, parameter, element;
    char what[16];
    double value;
};

static bool read_line(char **rest, struct line *line)
{
    char *text = strsep(rest, "\n"), *field[FIELDS];
    if (!text || !*text)
        return false;
    for (size_t i = 0; i < FIELDS; i++) {
        field[i] = strsep(&text, "\t");
        assert_non_null(field[i]);
    }
    line->configuration = strtoul(field[0], NULL, 10);
    line->step = strtoul(field[1], NULL, 10);
    snprintf(line->what, sizeof(line->what), "%s", field[2]);
    line->parameter = strtoul(field[3], NULL, 10);
    line->element = strtoul(field[4], NULL, 10);
    line->value = strtod(field[5], NULL);
    return true;
}

static double value_of(struct model *model, const struct line *line, double norm)
{
    if (!strcmp(line->what, "norm"))
        return norm;
    if (!strcmp(line->what, "p"))
        return (double)model->list[line->parameter].tensor->data[line->element];
    enum vlm_optimizer_part part = !strcmp(line->what, "m")   ? VLM_STATE_M
                                   : !strcmp(line->what, "v") ? VLM_STATE_V
                                                              : VLM_STATE_AVERAGE;
    return (double)vlm_optimizer_state(&model->optimizer, line->parameter, part)[line->element];
}

static double one_step(struct model *model, uint32_t step)
{
    struct vlm_err err = { 0 };
    for (uint32_t k = 0; k < SIZES; k++)
        for (uint32_t i = 0; i < of_vectors[k].size; i++)
            model->list[k].tensor->grad[i] = number(k, step, i) * exp2f((float)(step % 4) - 3);
    double norm = vlm_optimizer_norm(&model->optimizer);
    assert_int_equal(vlm_optimizer_step(&model->optimizer, 0.01 / step, norm, &err), VLM_OK);
    return norm;
}

static void new_model(struct model *model, const char *kernels)
{
    memset(model, 0, sizeof(*model));
    nn_begin(&model->nn, kernels, 2);
    for (uint32_t k = 0; k < SIZES; k++) {
        add(model, of_vectors[k].size, of_vectors[k].flags, of_vectors[k].rate_scale);
        for (uint32_t i = 0; i < of_vectors[k].size; i++)
            model->list[k].tensor->data[i] = number(k, 0, i);
    }
}

static void check_vectors(const char *kernels)
{
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    struct model model;
    assert_int_equal(vlm_file_read(&text, "tests/vectors/adamw.tsv", VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&text, 0);
    char *rest = (char *)text.data;
    size_t lines = 0, step = 0, at = SIZE_MAX;
    double norm = 0;
    for (struct line line; read_line(&rest, &line); lines++) {
        if (line.configuration != at) {
            if (at != SIZE_MAX)
                finish(&model);
            at = line.configuration, step = 0;
            assert_true(at < VLM_COUNTOF(configuration));
            new_model(&model, kernels);
            start(&model, &configuration[at]);
        }
        while (step < line.step)
            norm = one_step(&model, (uint32_t)++step);
        double value = value_of(&model, &line, norm);
        if (!(fabs(value - line.value) <= 1e-6 * fabs(line.value) + 2e-8))
            fail_msg("line %zu: %s %.9g, PyTorch %.9g", lines + 1, line.what, value, line.value);
    }
    assert_int_equal(lines, 1028);
    assert_int_equal(model.optimizer.step, STEPS);
    finish(&model);
    vlm_buffer_release(&text);
}

static void ten_steps_equal_pytorch(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        if (vlm_kernels_named(every_kernel[kind]))
            check_vectors(every_kernel[kind]);
}

/* ---- other properties ---- */

static const struct vlm_optimizer_options usual = VLM_OPTIMIZER_DEFAULTS;

/* Several parameters of awkward sizes, two of which take more than one block. */
static void new_large_model(struct model *model, const char *kernels, size_t threads)
{
    memset(model, 0, sizeof(*model));
    nn_begin(&model->nn, kernels, threads);
    const size_t size[] = { 1, BLOCK, 0, 2 * BLOCK + 3, 17, 31, 100 };
    for (size_t i = 0; i < VLM_COUNTOF(size); i++) {
        add(model, size[i], i % 2 ? VLM_PARAMETER_DECAY : i == 6 ? VLM_PARAMETER_FROZEN : 0, 0);
        nn_fill(model->nn.tensor[i]->grad, size[i], 50 + i);
    }
}

static double plain_norm(const struct model *model)
{
    double sum = 0;
    for (size_t i = 0; i < model->nn.n_tensors; i++)
        for (size_t j = 0; j < vlm_tensor_count(model->nn.tensor[i]); j++)
            if (!(model->list[i].flags & VLM_PARAMETER_FROZEN))
                sum += pow((double)model->nn.tensor[i]->grad[j], 2);
    return sqrt(sum);
}

static void norm_is_exact_and_says_what_is_not_finite(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++) {
        struct model model;
        new_large_model(&model, every_kernel[kind], 2);
        start(&model, &usual);
        double expected = plain_norm(&model), norm = vlm_optimizer_norm(&model.optimizer);
        assert_true(fabs(norm / expected - 1) < 1e-12);
        model.list[6].tensor->grad[3] = (float)NAN; /* frozen: nobody looks */
        assert_true(vlm_optimizer_norm(&model.optimizer) == norm);
        float *g = model.list[3].tensor->grad;
        const size_t place[] = { 0, 5, BLOCK, 2 * BLOCK + 2 };
        for (size_t i = 0; i < VLM_COUNTOF(place); i++) {
            float kept = g[place[i]];
            g[place[i]] = 3e38f;
            assert_true(vlm_optimizer_norm(&model.optimizer) < 3.1e38);
            g[place[i]] = (float)NAN;
            assert_true(isnan(vlm_optimizer_norm(&model.optimizer)));
            g[place[i]] = -INFINITY;
            assert_true(isinf(vlm_optimizer_norm(&model.optimizer)));
            g[place[i]] = kept;
        }
        finish(&model);
    }
}

static void a_step_with_a_bad_norm_changes_nothing(void **state)
{
    (void)state;
    const float bad[] = { (float)NAN, INFINITY, 1e25f };
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++) {
        struct model model;
        struct vlm_err err = { 0 };
        struct vlm_optimizer_options options = usual;
        options.average = 0.5;
        options.clip_norm = 0;
        new_large_model(&model, NULL, 1);
        start(&model, &options);
        double norm = vlm_optimizer_norm(&model.optimizer);
        assert_int_equal(vlm_optimizer_step(&model.optimizer, 0.1, norm, &err), VLM_OK);
        size_t n = vlm_tensor_count(model.list[3].tensor);
        float *p = model.list[3].tensor->data;
        float *kept = calloc(4 * n, sizeof(float));
        assert_non_null(kept);
        for (size_t part = 0; part < 4; part++)
            memcpy(kept + part * n,
                   part == 3
                       ? p
                       : vlm_optimizer_state(&model.optimizer, 3, (enum vlm_optimizer_part)part),
                   n * sizeof(float));
        model.list[1].tensor->grad[77] = bad[i];
        norm = vlm_optimizer_norm(&model.optimizer);
        assert_int_equal(vlm_optimizer_step(&model.optimizer, 0.1, norm, &err), VLM_SKIP);
        assert_int_equal(model.optimizer.step, 1);
        for (size_t part = 0; part < 4; part++)
            nn_check_bits(
                part == 3 ? p
                          : vlm_optimizer_state(&model.optimizer, 3, (enum vlm_optimizer_part)part),
                kept + part * n, n);
        free(kept);
        finish(&model);
    }
    /* Clipped, a large gradient is no danger. */
    struct model model;
    struct vlm_err err = { 0 };
    new_large_model(&model, NULL, 1);
    start(&model, &usual);
    model.list[1].tensor->grad[77] = 1e25f;
    double norm = vlm_optimizer_norm(&model.optimizer);
    assert_int_equal(vlm_optimizer_step(&model.optimizer, 0.1, norm, &err), VLM_OK);
    assert_true(isfinite(model.list[1].tensor->data[77]));
    finish(&model);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static float first[3 * (2 * BLOCK + 3)];
    size_t n = 2 * BLOCK + 3;
    double first_norm = 0;
    const size_t threads[] = { 1, 2, 3, 7 };
    for (size_t i = 0; i < VLM_COUNTOF(threads); i++) {
        struct model model;
        struct vlm_err err = { 0 };
        struct vlm_optimizer_options options = usual;
        options.average = 0.99;
        new_large_model(&model, NULL, threads[i]);
        start(&model, &options);
        double norm = vlm_optimizer_norm(&model.optimizer);
        for (int step = 0; step < 3; step++)
            assert_int_equal(vlm_optimizer_step(&model.optimizer, 0.01, norm, &err), VLM_OK);
        const float *after[] = { model.list[3].tensor->data,
                                 vlm_optimizer_state(&model.optimizer, 3, VLM_STATE_V),
                                 vlm_optimizer_state(&model.optimizer, 3, VLM_STATE_AVERAGE) };
        for (size_t part = 0; part < 3; part++) {
            if (i == 0)
                memcpy(first + part * n, after[part], n * sizeof(float));
            nn_check_bits(after[part], first + part * n, n);
        }
        first_norm = i == 0 ? norm : first_norm;
        assert_true(norm == first_norm);
        finish(&model);
    }
}

static void a_resumed_run_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    struct model whole, resumed;
    struct vlm_optimizer_options options = usual;
    options.average = 0.9;
    new_model(&whole, NULL);
    new_model(&resumed, NULL);
    start(&whole, &options);
    for (uint32_t step = 1; step <= 4; step++)
        one_step(&whole, step);
    start(&resumed, &options);
    resumed.optimizer.step = whole.optimizer.step;
    for (size_t i = 0; i < SIZES; i++) {
        size_t bytes = of_vectors[i].size * sizeof(float);
        memcpy(resumed.list[i].tensor->data, whole.list[i].tensor->data, bytes);
        for (int part = VLM_STATE_M; part <= VLM_STATE_AVERAGE; part++)
            memcpy(vlm_optimizer_state(&resumed.optimizer, i, (enum vlm_optimizer_part)part),
                   vlm_optimizer_state(&whole.optimizer, i, (enum vlm_optimizer_part)part), bytes);
    }
    for (uint32_t step = 5; step <= 8; step++) {
        one_step(&whole, step);
        one_step(&resumed, step);
    }
    for (size_t i = 0; i < SIZES; i++)
        nn_check_bits(resumed.list[i].tensor->data, whole.list[i].tensor->data, of_vectors[i].size);
    finish(&whole);
    finish(&resumed);
}

static void frozen_means_frozen(void **state)
{
    (void)state;
    struct model model;
    struct vlm_err err = { 0 };
    float kept[100];
    new_large_model(&model, NULL, 2);
    free(model.list[6].tensor->grad);
    model.list[6].tensor->grad = NULL;
    memcpy(kept, model.list[6].tensor->data, sizeof(kept));
    start(&model, &usual);
    double norm = vlm_optimizer_norm(&model.optimizer);
    assert_int_equal(vlm_optimizer_step(&model.optimizer, 0.1, norm, &err), VLM_OK);
    nn_check_bits(model.list[6].tensor->data, kept, 100);
    assert_null(vlm_optimizer_state(&model.optimizer, 6, VLM_STATE_M));
    assert_null(vlm_optimizer_state(&model.optimizer, 0, VLM_STATE_AVERAGE));
    assert_int_equal(vlm_optimizer_bytes(model.list, 7, &usual),
                     2 * (16 + BLOCK + 2 * BLOCK + 16 + 32 + 32) * sizeof(float));
    vlm_optimizer_clear(&model.optimizer);
    for (size_t i = 0; i < vlm_tensor_count(model.list[3].tensor); i++)
        assert_true(model.list[3].tensor->grad[i] == 0);
    assert_true(vlm_optimizer_norm(&model.optimizer) == 0);
    finish(&model);

    memset(&model, 0, sizeof(model));
    nn_begin(&model.nn, NULL, 1);
    start(&model, &usual);
    assert_true(vlm_optimizer_norm(&model.optimizer) == 0);
    assert_int_equal(vlm_optimizer_step(&model.optimizer, 0.1, 0, &err), VLM_OK);
    finish(&model);
}

static void options_without_sense_are_refused(void **state)
{
    (void)state;
    const struct {
        struct vlm_optimizer_options options;
        const char *sentence;
    } each[] = {
        { { .beta1 = 1 }, "beta1 of 1 is not from 0 to below 1" },
        { { .beta2 = -0.5 }, "beta2 of -0.5 is not from 0 to below 1" },
        { { .epsilon = NAN }, "epsilon of nan is not from 0 to below 1" },
        { { .decay = -1 }, "weight decay of -1 is not from 0 to below inf" },
        { { .clip_norm = INFINITY }, "gradient norm to clip at of inf is not from 0 to below inf" },
        { { .average = 1 }, "average of 1 is not from 0 to below 1" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(each); i++) {
        struct vlm_optimizer optimizer;
        struct vlm_err err = { 0 };
        struct nn nn;
        nn_begin(&nn, NULL, 1);
        assert_int_equal(
            vlm_optimizer_init(&optimizer, &nn.engine, NULL, 0, &each[i].options, &err),
            VLM_EUSAGE);
        assert_string_equal(err.msg, each[i].sentence);
        vlm_optimizer_release(&optimizer);
        nn_end(&nn);
    }
}

static void nan_in_a_weight_stays_there(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        for (size_t at = 0; at < 37; at += 4) {
            struct model model;
            new_model(&model, every_kernel[kind]);
            start(&model, &usual);
            model.list[0].tensor->data[at] = (float)NAN;
            one_step(&model, 1);
            for (size_t i = 0; i < 37; i++)
                assert_int_equal(isnan(model.list[0].tensor->data[i]) != 0, i == at);
            finish(&model);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_equal_pytorch),
        cmocka_unit_test(norm_is_exact_and_says_what_is_not_finite),
        cmocka_unit_test(a_step_with_a_bad_norm_changes_nothing),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(a_resumed_run_goes_on_with_the_same_bits),
        cmocka_unit_test(frozen_means_frozen),
        cmocka_unit_test(options_without_sense_are_refused),
        cmocka_unit_test(nan_in_a_weight_stays_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
