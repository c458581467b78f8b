/* test_vocabulary_loss.c - the head of a language model and cross-entropy, against plain loops. */
#include "base/vlm.h"

#include "tests/nn_fixture.h"

#include "nn/ops/cross_entropy.h"
#include "nn/ops/linear.h"
#include "nn/ops/vocabulary_loss.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-vnni",
                                            "avx512-bf16" };

enum { ROWS_MAX = 1100 };

/* A loss with its inputs. */
struct head {
    struct vlm_tensor *x, *weight, *bias;
    uint32_t targets[ROWS_MAX];
    float weights[ROWS_MAX], row_losses[ROWS_MAX];
    struct vlm_vocabulary_loss options;
};

enum head_flags { BIAS = 1, WEIGHTS = 2, IGNORED = 4, SMOOTHED = 8 };

static struct head new_head(struct nn *nn, size_t rows, size_t vocabulary, size_t d, unsigned flags)
{
    struct head head = { 0 };
    assert_true(rows <= ROWS_MAX);
    head.x = nn_tensor(nn, 2, (size_t[]){ rows, d });
    head.weight = nn_tensor(nn, 2, (size_t[]){ vocabulary, d });
    if (flags & BIAS)
        head.bias = nn_tensor(nn, 1, (size_t[]){ vocabulary });
    for (size_t r = 0; r < rows; r++) {
        struct vlm_random random = vlm_random_at(3, 4, r);
        head.targets[r] = (uint32_t)vlm_random_below(&random, vocabulary);
        head.weights[r] = (float)vlm_random_unit(&random) * 2;
        if ((flags & IGNORED) && vlm_random_chance(&random, 40))
            head.targets[r] = VLM_IGNORE;
    }
    head.options.weight = head.weight;
    head.options.bias = head.bias;
    head.options.smoothing = flags & SMOOTHED ? 0.1f : 0;
    return head;
}

static struct vlm_tensor *run_head(struct vlm_tape *tape, void *context)
{
    struct head *head = context;
    head->options.targets = head->targets;
    head->options.row_losses = head->row_losses;
    return vlm_vocabulary_loss(tape, head->x, &head->options);
}

/* What the op must make, in double. */
struct expected {
    double loss;
    double *row_losses, *dx, *dw, *db;
};

static double *doubles(size_t n)
{
    double *x = calloc(n + 1, sizeof(*x));
    assert_non_null(x);
    return x;
}

static void expect_row(struct expected *e, const struct head *head, size_t r, double *p,
                       double scale)
{
    size_t d = head->x->shape[1], vocabulary = head->weight->shape[0];
    const float *x = head->x->data + r * d, *w = head->weight->data;
    double largest = -INFINITY, sum = 0, mean = 0, smoothing = (double)head->options.smoothing;
    for (size_t v = 0; v < vocabulary; v++) {
        p[v] = head->bias ? (double)head->bias->data[v] : 0;
        for (size_t i = 0; i < d; i++)
            p[v] += (double)x[i] * (double)w[v * d + i];
        largest = fmax(largest, p[v]);
        mean += p[v] / (double)vocabulary;
    }
    double target = p[head->targets[r]];
    for (size_t v = 0; v < vocabulary; v++)
        sum += exp(p[v] - largest);
    e->row_losses[r] = largest + log(fmax(sum, 1)) - (1 - smoothing) * target - smoothing * mean;
    e->loss += scale * e->row_losses[r];
    for (size_t v = 0; v < vocabulary; v++) {
        double dz = exp(p[v] - largest) / sum - smoothing / (double)vocabulary;
        dz = scale * (dz - (v == head->targets[r] ? 1 - smoothing : 0));
        e->db[v] += dz;
        for (size_t i = 0; i < d; i++) {
            e->dx[r * d + i] += dz * (double)w[v * d + i];
            e->dw[v * d + i] += dz * (double)x[i];
        }
    }
}

/* Gradients times g, the gradient by the loss. */
static struct expected expect(const struct head *head, double g)
{
    size_t rows = head->x->shape[0], d = head->x->shape[1], vocabulary = head->weight->shape[0];
    struct expected e = { 0, doubles(rows), doubles(rows * d), doubles(vocabulary * d),
                          doubles(vocabulary) };
    double *p = doubles(vocabulary), sum = 0;
    const float *weights = head->options.weights;
    for (size_t r = 0; r < rows; r++)
        if (head->targets[r] != VLM_IGNORE)
            sum += weights ? (double)weights[r] : 1;
    if (head->options.weight_sum > 0)
        sum = head->options.weight_sum;
    for (size_t r = 0; r < rows; r++)
        if (head->targets[r] != VLM_IGNORE)
            expect_row(&e, head, r, p, (weights ? (double)weights[r] : 1) / sum);
    for (size_t i = 0; i < rows * d; i++)
        e.dx[i] *= g;
    for (size_t i = 0; i < vocabulary * d; i++)
        e.dw[i] *= g;
    for (size_t v = 0; v < vocabulary; v++)
        e.db[v] *= g;
    free(p);
    return e;
}

static void free_expected(struct expected *e)
{
    free(e->row_losses);
    free(e->dx);
    free(e->dw);
    free(e->db);
}

/* Largest difference, relative to the largest number. */
static double distance(const float *x, const double *expected, size_t n)
{
    double worst = 0, size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)x[i] - expected[i]);
        worst = difference > worst || isnan(difference) ? difference : worst;
        size = fmax(size, fabs(expected[i]));
    }
    return worst / size;
}

static void check_head(const char *kernels, enum vlm_dtype precision, size_t rows,
                       size_t vocabulary, size_t d, unsigned flags)
{
    struct nn nn;
    nn_begin_with(&nn, kernels, 2, precision, 0);
    struct head head = new_head(&nn, rows, vocabulary, d, flags);
    head.options.weights = flags & WEIGHTS ? head.weights : NULL;
    head.options.weight_sum = flags & BIAS ? 3.5 : 0;
    double g = (double)nn_random(7, 0);
    struct expected e = expect(&head, g);
    double tolerance = precision == VLM_BF16 ? 2e-2 : 2e-5;
    if (!nn.skip) {
        double loss = nn_backward(&nn, run_head, &head) / g;
        if (!(fabs(loss - e.loss) <= tolerance * (1 + fabs(e.loss))))
            fail_msg("loss %.9g, expected %.9g (%zu x %zu)", loss, e.loss, rows, vocabulary);
        assert_true(distance(head.row_losses, e.row_losses, rows) < tolerance);
        if (vocabulary > 1) {
            assert_true(distance(head.x->grad, e.dx, rows * d) < tolerance);
            assert_true(distance(head.weight->grad, e.dw, vocabulary * d) < tolerance);
            assert_true(!head.bias || distance(head.bias->grad, e.db, vocabulary) < tolerance);
        } else { /* always certain, and right */
            assert_true(loss == 0);
            for (size_t i = 0; i < rows * d; i++)
                assert_true(head.x->grad[i] == 0);
        }
    }
    free_expected(&e);
    nn_end(&nn);
}

static void head_equals_a_plain_loop(void **state)
{
    (void)state;
    const size_t size[][3] = { { 1, 1, 1 },    { 3, 2, 5 },    { 5, 37, 7 },
                               { 37, 31, 33 }, { 2, 2048, 3 }, { 3, 4099, 9 } };
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        for (int precision = VLM_F32; precision <= VLM_BF16; precision++)
            for (size_t i = 0; i < VLM_COUNTOF(size); i++)
                for (unsigned flags = 0; flags < 16; flags += flags < 1 ? 1 : 7)
                    check_head(every_kernel[kind], (enum vlm_dtype)precision, size[i][0],
                               size[i][1], size[i][2], flags);
}

static void head_of_many_words_and_of_many_rows(void **state)
{
    (void)state;
    for (int precision = VLM_F32; precision <= VLM_BF16; precision++) {
        check_head(NULL, (enum vlm_dtype)precision, 3, 50257, 4, BIAS | SMOOTHED);
        check_head(NULL, (enum vlm_dtype)precision, ROWS_MAX, 67, 8, BIAS | WEIGHTS | IGNORED);
    }
}

static void head_gradients_are_differences(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 16; flags += 5) {
        struct nn nn;
        nn_begin(&nn, NULL, 1);
        struct head head = new_head(&nn, 7, 13, 5, flags | BIAS);
        head.options.weights = flags & WEIGHTS ? head.weights : NULL;
        nn_check_gradients(&nn, run_head, &head, 1e-2, 2e-3);
        nn_end(&nn);
    }
}

/* ---- bits ---- */

struct result {
    float loss, row_losses[ROWS_MAX];
    float dx[ROWS_MAX * 8], dw[2100 * 8], db[2100];
};

static void keep_result(struct result *result, struct nn *nn, struct head *head)
{
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < nn->n_tensors; i++)
        memset(nn->tensor[i]->grad, 0, vlm_tensor_count(nn->tensor[i]) * sizeof(float));
    struct vlm_tensor *loss = run_head(&nn->tape, head);
    assert_int_equal(vlm_backward(&nn->tape, loss, &err), VLM_OK);
    memset(result, 0, sizeof(*result));
    result->loss = loss->data[0];
    memcpy(result->row_losses, head->row_losses, sizeof(result->row_losses));
    memcpy(result->dx, head->x->grad, vlm_tensor_count(head->x) * sizeof(float));
    memcpy(result->dw, head->weight->grad, vlm_tensor_count(head->weight) * sizeof(float));
    memcpy(result->db, head->bias->grad, vlm_tensor_count(head->bias) * sizeof(float));
    vlm_tape_reset(&nn->tape);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static struct result first, other;
    const size_t threads[] = { 1, 2, 3, 7 };
    for (int precision = VLM_F32; precision <= VLM_BF16; precision++)
        for (size_t i = 0; i < VLM_COUNTOF(threads); i++) {
            struct nn nn;
            nn_begin_with(&nn, NULL, threads[i], (enum vlm_dtype)precision, 0);
            struct head head = new_head(&nn, 530, 2100, 8, BIAS | IGNORED | SMOOTHED);
            keep_result(i == 0 ? &first : &other, &nn, &head);
            assert_true(i == 0 || !memcmp(&first, &other, sizeof(first)));
            nn_end(&nn);
        }
}

static void bits_of_a_row_do_not_depend_on_the_others(void **state)
{
    (void)state;
    static struct result all, alone;
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        for (int precision = VLM_F32; precision <= VLM_BF16; precision++) {
            struct nn nn;
            nn_begin_with(&nn, every_kernel[kind], 1, (enum vlm_dtype)precision, 0);
            struct head head = new_head(&nn, 29, 2100, 8, BIAS);
            head.options.weight_sum = 4;
            if (!nn.skip)
                keep_result(&all, &nn, &head);
            for (size_t r = 0; !nn.skip && r < 29; r += 7) {
                uint32_t targets[29];
                memcpy(targets, head.targets, sizeof(targets));
                for (size_t i = 0; i < 29; i++)
                    if (i != r)
                        head.targets[i] = VLM_IGNORE;
                keep_result(&alone, &nn, &head);
                nn_check_bits(&alone.row_losses[r], &all.row_losses[r], 1);
                nn_check_bits(&alone.dx[r * 8], &all.dx[r * 8], 8);
                assert_true(alone.row_losses[(r + 1) % 29] == 0 && alone.dx[(r + 1) % 29 * 8] == 0);
                memcpy(head.targets, targets, sizeof(targets));
            }
            nn_end(&nn);
        }
}

static void ignored_rows_change_no_bit(void **state)
{
    (void)state;
    static struct result without, with;
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    struct head few = new_head(&nn, 300, 70, 8, BIAS);
    keep_result(&without, &nn, &few);
    nn_end(&nn);
    /* Three chunks of which 300 rows count, the same ones, 750 of nonsense between them. */
    nn_begin(&nn, NULL, 2);
    struct head many = new_head(&nn, 1050, 70, 8, BIAS);
    for (size_t r = 0; r < 1050; r++)
        many.targets[r] = VLM_IGNORE;
    for (size_t r = 0; r < 300; r++)
        many.targets[r * 7 / 2] = few.targets[r];
    for (size_t i = 0; i < 1050 * 8; i++)
        many.x->data[i] = (float)NAN;
    for (size_t i = 0; i < 300 * 8; i++)
        many.x->data[i / 8 * 7 / 2 * 8 + i % 8] = nn_random(1000, i);
    keep_result(&with, &nn, &many);
    nn_check_bits(&with.loss, &without.loss, 1);
    nn_check_bits(with.dw, without.dw, 70 * 8);
    for (size_t r = 0; r < 300; r++)
        nn_check_bits(with.dx + r * 7 / 2 * 8, without.dx + r * 8, 8);
    nn_end(&nn);
}

/* ---- states ---- */

static void nothing_to_count_gives_zeros(void **state)
{
    (void)state;
    const struct {
        size_t rows;
        float weight;
        bool ignored;
    } each[] = { { 0, 1, false }, { 5, 1, true }, { 5, 0, false } };
    for (size_t i = 0; i < VLM_COUNTOF(each); i++) {
        static struct result result;
        struct nn nn;
        nn_begin(&nn, NULL, 2);
        struct head head = new_head(&nn, each[i].rows, 11, 8, BIAS);
        for (size_t r = 0; r < each[i].rows; r++) {
            head.weights[r] = each[i].weight;
            if (each[i].ignored)
                head.targets[r] = VLM_IGNORE;
        }
        head.options.weights = head.weights;
        keep_result(&result, &nn, &head);
        assert_true(result.loss == 0);
        for (size_t j = 0; j < 5 * 8; j++)
            assert_true(result.dx[j] == 0);
        for (size_t j = 0; j < 11 * 8; j++)
            assert_true(result.dw[j] == 0);
        for (size_t j = 0; j < 11; j++)
            assert_true(result.db[j] == 0);
        if (each[i].weight == 0)
            assert_true(result.row_losses[0] > 0); /* weight 0: its loss is still told */
        nn_end(&nn);
    }
}

static void numbers_that_are_not_finite_reach_the_loss(void **state)
{
    (void)state;
    const float bad[] = { (float)NAN, INFINITY, -INFINITY };
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        for (size_t place = 0; place < 3 * 3; place++) {
            struct nn nn;
            nn_begin(&nn, every_kernel[kind], 1);
            struct head head = new_head(&nn, 6, 2077, 5, BIAS);
            struct vlm_tensor *t[] = { head.x, head.weight, head.bias };
            size_t at[] = { 2 * 5 + 1, 2070 * 5 + 2, 2050 };
            t[place / 3]->data[at[place / 3]] = bad[place % 3];
            struct vlm_tensor *loss = run_head(&nn.tape, &head);
            assert_true(nn.skip || isnan(loss->data[0]));
            for (size_t r = 0; !nn.skip && r < 6; r++)
                assert_int_equal(isnan(head.row_losses[r]) != 0, place >= 3 || r == 2);
            nn_end(&nn);
        }
}

static void targets_beyond_the_vocabulary_are_refused(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct head head = new_head(&nn, 6, 9, 5, 0);
    head.targets[4] = 9;
    struct vlm_tensor *loss = run_head(&nn.tape, &head);
    assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "target 9 of row 4 is not in the vocabulary of 9");
    vlm_tape_reset(&nn.tape);
    head.targets[4] = 8;
    loss = run_head(&nn.tape, &head);
    assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_OK);
    nn_end(&nn);
}

static void the_nearly_certain_have_small_gradients(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct head head = new_head(&nn, 1, 2, 1, BIAS);
    head.targets[0] = 0;
    head.x->data[0] = 1;
    head.weight->data[0] = 10, head.weight->data[1] = 0;
    head.bias->data[0] = head.bias->data[1] = 0;
    struct vlm_err err = { 0 };
    struct vlm_tensor *loss = run_head(&nn.tape, &head);
    assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_OK);
    double p = exp(-10.0); /* beside 1 in a float: three digits */
    assert_true(fabs((double)loss->data[0] / p - 1) < 2e-3);
    assert_true(fabs((double)head.bias->grad[0] / -p - 1) < 2e-3);
    assert_true(fabs((double)head.bias->grad[1] / p - 1) < 2e-3);
    nn_end(&nn);
}

static void frozen_parts_and_inference_keep_their_bits(void **state)
{
    (void)state;
    static struct result all, part, none;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    struct head head = new_head(&nn, 40, 2100, 8, BIAS);
    keep_result(&all, &nn, &head);
    size_t with_all = nn.tape.scratch.peak;
    for (unsigned frozen = 1; frozen < 8; frozen++) {
        head.x->needs_grad = !(frozen & 1);
        head.weight->needs_grad = !(frozen & 2);
        head.bias->needs_grad = !(frozen & 4);
        keep_result(&part, &nn, &head);
        nn_check_bits(&part.loss, &all.loss, 1);
        nn_check_bits(part.dx, frozen & 1 ? none.dx : all.dx, 320);
        nn_check_bits(part.db, frozen & 4 ? none.db : all.db, 2100);
        assert_true(frozen & 2 ? part.dw[77] == 0 : !memcmp(part.dw, all.dw, sizeof(all.dw)));
    }
    head.x->needs_grad = head.weight->needs_grad = head.bias->needs_grad = true;
    nn.tape.flags |= VLM_TAPE_FORWARD;
    nn.tape.scratch.peak = 0;
    struct vlm_tensor *loss = run_head(&nn.tape, &head);
    nn_check_bits(loss->data, &all.loss, 1);
    nn_check_bits(head.row_losses, all.row_losses, 40);
    assert_int_equal(vlm_tape_error(&nn.tape, &err), VLM_OK);
    assert_true(nn.tape.scratch.peak < with_all * 3 / 4); /* one block of logits, no gradients */
    nn_end(&nn);
}

static void dry_run_counts_what_a_real_run_uses(void **state)
{
    (void)state;
    const size_t rows[] = { 5, 513, ROWS_MAX };
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++)
        for (int precision = VLM_F32; precision <= VLM_BF16; precision++) {
            size_t peak[2];
            for (unsigned dry = 0; dry < 2; dry++) {
                struct nn nn;
                struct vlm_err err = { 0 };
                nn_begin_with(&nn, NULL, 2, (enum vlm_dtype)precision, dry ? VLM_TAPE_DRY : 0);
                struct head head = new_head(&nn, rows[i], 3000, 9, BIAS | IGNORED);
                struct vlm_tensor *loss = run_head(&nn.tape, &head);
                assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_OK);
                peak[dry] = vlm_tape_peak(&nn.tape);
                nn_end(&nn);
            }
            assert_int_equal(peak[0], peak[1]);
        }
}

static void memory_that_runs_out_is_a_sentence(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct head head = new_head(&nn, 5, 3000, 9, BIAS);
    nn.tape.scratch.cap = 10000;
    struct vlm_tensor *loss = run_head(&nn.tape, &head);
    assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_ELIMIT);
    nn_end(&nn);
}

/* ---- cross-entropy on given logits ---- */

struct classes {
    struct vlm_tensor *z;
    uint32_t targets[ROWS_MAX];
    float row_losses[ROWS_MAX];
    struct vlm_cross_entropy options;
};

static struct vlm_tensor *run_classes(struct vlm_tape *tape, void *context)
{
    struct classes *classes = context;
    classes->options.row_losses = classes->row_losses;
    return vlm_cross_entropy(tape, classes->z, &classes->options);
}

/* With weight = 1 and d = V, W = identity, the two ops compute the same. */
static void cross_entropy_equals_the_head_of_an_identity(void **state)
{
    (void)state;
    const size_t size[][2] = { { 1, 1 }, { 3, 2 }, { 7, 37 }, { 37, 16 }, { 2, 2100 } };
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        for (size_t i = 0; i < VLM_COUNTOF(size); i++)
            for (unsigned flags = 0; flags < 16; flags += 2) {
                size_t rows = size[i][0], v = size[i][1];
                struct nn nn;
                nn_begin(&nn, every_kernel[kind], 1);
                struct head head = new_head(&nn, rows, v, v, flags);
                memset(head.weight->data, 0, v * v * sizeof(float));
                for (size_t j = 0; j < v; j++)
                    head.weight->data[j * v + j] = 1;
                head.options.weights = flags & WEIGHTS ? head.weights : NULL;
                double a = 0;
                if (!nn.skip && (v < 2000 || flags == 14))
                    a = nn_backward(&nn, run_head, &head);
                double *dz = doubles(rows * v);
                for (size_t j = 0; j < rows * v; j++)
                    dz[j] = (double)head.x->grad[j];
                struct classes classes = { .z = head.x };
                classes.options = (struct vlm_cross_entropy){
                    .targets = head.targets,
                    .weights = head.options.weights,
                    .smoothing = head.options.smoothing,
                };
                if (!nn.skip && (v < 2000 || flags == 14)) {
                    double b = nn_backward(&nn, run_classes, &classes);
                    assert_true(fabs(a - b) <= 1e-6 * (1 + fabs(a)));
                    assert_true(v == 1 || distance(head.x->grad, dz, rows * v) < 1e-5);
                    for (size_t r = 0; r < rows; r++)
                        assert_true(fabsf(head.row_losses[r] - classes.row_losses[r]) < 1e-5f);
                }
                free(dz);
                nn_end(&nn);
            }
}

static void cross_entropy_gradients_are_differences(void **state)
{
    (void)state;
    for (int soft = 0; soft < 2; soft++) {
        struct nn nn;
        nn_begin(&nn, NULL, 2);
        struct classes classes = { .z = nn_tensor(&nn, 2, (size_t[]){ 5, 37 }) };
        float t[5 * 37];
        float weights[] = { 1, 0.5f, 0, 2, -1 };
        for (size_t i = 0; i < 5 * 37; i++)
            t[i] = 4 * (1 + nn_random(5, i)) / 37;
        for (uint32_t r = 0; r < 5; r++)
            classes.targets[r] = r == 1 ? VLM_IGNORE : r * 9;
        classes.options.weights = weights;
        classes.options.weight_sum = 2;
        if (soft)
            classes.options.soft = t;
        else
            classes.options.targets = classes.targets;
        nn_check_gradients(&nn, run_classes, &classes, 1e-2, 2e-3);
        nn_end(&nn);
    }
}

static void soft_targets_of_one_class_are_that_class(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct classes classes = { .z = nn_tensor(&nn, 2, (size_t[]){ 4, 9 }) };
    float soft[4 * 9] = { 0 };
    for (uint32_t r = 0; r < 4; r++) {
        classes.targets[r] = 2 * r;
        soft[r * 9 + 2 * r] = 1;
    }
    classes.options.targets = classes.targets;
    double a = nn_backward(&nn, run_classes, &classes);
    double dz[4 * 9];
    for (size_t i = 0; i < 4 * 9; i++)
        dz[i] = (double)classes.z->grad[i];
    classes.options.targets = NULL;
    classes.options.soft = soft;
    double b = nn_backward(&nn, run_classes, &classes);
    assert_true(fabs(a - b) < 1e-6);
    nn_check_close(classes.z->grad, dz, 4 * 9, 1e-6);
    nn_end(&nn);
}

static void cross_entropy_hides_nothing(void **state)
{
    (void)state;
    const float bad[] = { (float)NAN, INFINITY, -INFINITY };
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        for (size_t i = 0; i < VLM_COUNTOF(bad); i++)
            for (size_t at = 0; at < 70; at += 23) {
                struct nn nn;
                nn_begin(&nn, every_kernel[kind], 1);
                struct classes classes = { .z = nn_tensor(&nn, 2, (size_t[]){ 3, 70 }) };
                classes.options.targets = classes.targets;
                classes.z->data[70 + at] = bad[i];
                struct vlm_tensor *loss = run_classes(&nn.tape, &classes);
                assert_true(nn.skip || isnan(loss->data[0]));
                assert_true(nn.skip ||
                            (isfinite(classes.row_losses[0]) && isnan(classes.row_losses[1])));
                nn_end(&nn);
            }
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct classes classes = { .z = nn_tensor(&nn, 2, (size_t[]){ 3, 7 }) };
    classes.options.targets = classes.targets;
    classes.targets[2] = 7;
    struct vlm_tensor *loss = run_classes(&nn.tape, &classes);
    assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "target 7 of row 2 is not one of 7 classes");
    nn_end(&nn);
}

static void cross_entropy_bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static float first[ROWS_MAX * 70];
    const size_t threads[] = { 1, 2, 3, 7 };
    for (size_t i = 0; i < VLM_COUNTOF(threads); i++) {
        struct nn nn;
        nn_begin(&nn, NULL, threads[i]);
        struct classes classes = { .z = nn_tensor(&nn, 2, (size_t[]){ ROWS_MAX, 70 }) };
        classes.options.targets = classes.targets;
        nn_backward(&nn, run_classes, &classes);
        if (i == 0)
            memcpy(first, classes.z->grad, sizeof(first));
        nn_check_bits(classes.z->grad, first, ROWS_MAX * 70);
        nn_end(&nn);
    }
}

/* ---- both behind a layer, so that the gradient goes into memory of the tape ---- */

struct network {
    struct vlm_tensor *x, *layer;
    struct head head;
    struct classes classes;
    bool through_head;
    enum vlm_dtype result; /* of the layer */
};

static struct vlm_tensor *run_network(struct vlm_tape *tape, void *context)
{
    struct network *network = context;
    struct vlm_linear layer = { .weight = network->layer, .result = network->result };
    struct vlm_tensor *y = vlm_linear(tape, network->x, &layer);
    if (network->through_head) {
        network->head.x = y;
        return run_head(tape, &network->head);
    }
    network->classes.z = y;
    return run_classes(tape, &network->classes);
}

static void gradients_go_on_into_the_layer_before(void **state)
{
    (void)state;
    for (int through_head = 0; through_head < 2; through_head++) {
        struct nn nn;
        nn_begin(&nn, NULL, 2);
        struct network network = { .through_head = through_head };
        network.head = new_head(&nn, 9, 13, 6, BIAS);
        network.x = nn_tensor(&nn, 2, (size_t[]){ 9, 5 });
        network.layer = nn_tensor(&nn, 2, (size_t[]){ 6, 5 });
        for (uint32_t r = 0; r < 9; r++)
            network.classes.targets[r] = r % 6;
        network.classes.options.targets = network.classes.targets;
        nn_backward(&nn, run_network, &network); /* leaves numbers in the buffers */
        network.head.targets[2] = network.head.targets[5] = VLM_IGNORE;
        network.classes.targets[3] = network.classes.targets[8] = VLM_IGNORE;
        nn.tensor[0]->needs_grad = false; /* the head's own x, not used here */
        nn_check_gradients(&nn, run_network, &network, 1e-2, 2e-3);
        nn_end(&nn);
    }
}

static void rows_in_bf16_are_rows_rounded_to_it(void **state)
{
    (void)state;
    float row_losses[2][9], grads[2][6 * 5];
    for (int rounded = 0; rounded < 2; rounded++) {
        struct nn nn;
        nn_begin_with(&nn, NULL, 2, VLM_BF16, 0);
        struct network network = { .through_head = true, .result = (enum vlm_dtype)rounded };
        network.head = new_head(&nn, 9, 13, 6, BIAS | IGNORED);
        network.x = nn_tensor(&nn, 2, (size_t[]){ 9, 5 });
        network.layer = nn_tensor(&nn, 2, (size_t[]){ 6, 5 });
        nn_backward(&nn, run_network, &network);
        memcpy(row_losses[rounded], network.head.row_losses, sizeof(row_losses[0]));
        memcpy(grads[rounded], network.layer->grad, sizeof(grads[0]));
        nn_end(&nn);
    }
    nn_check_bits(row_losses[1], row_losses[0], 9);
    nn_check_bits(grads[1], grads[0], 6 * 5);
}

static void openblas_gives_the_same_numbers(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    nn.engine.backend = VLM_GEMM_OPENBLAS;
    struct head head = new_head(&nn, ROWS_MAX, 2100, 8, BIAS | IGNORED | SMOOTHED);
    double g = (double)nn_random(7, 0);
    struct expected e = expect(&head, g);
    double loss = nn_backward(&nn, run_head, &head) / g;
    assert_true(fabs(loss - e.loss) < 1e-5);
    assert_true(distance(head.x->grad, e.dx, ROWS_MAX * 8) < 2e-5);
    assert_true(distance(head.weight->grad, e.dw, 2100 * 8) < 2e-5);
    assert_true(distance(head.bias->grad, e.db, 2100) < 2e-5);
    free_expected(&e);
    nn_end(&nn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_equals_a_plain_loop),
        cmocka_unit_test(head_of_many_words_and_of_many_rows),
        cmocka_unit_test(head_gradients_are_differences),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(bits_of_a_row_do_not_depend_on_the_others),
        cmocka_unit_test(ignored_rows_change_no_bit),
        cmocka_unit_test(nothing_to_count_gives_zeros),
        cmocka_unit_test(numbers_that_are_not_finite_reach_the_loss),
        cmocka_unit_test(targets_beyond_the_vocabulary_are_refused),
        cmocka_unit_test(the_nearly_certain_have_small_gradients),
        cmocka_unit_test(frozen_parts_and_inference_keep_their_bits),
        cmocka_unit_test(dry_run_counts_what_a_real_run_uses),
        cmocka_unit_test(memory_that_runs_out_is_a_sentence),
        cmocka_unit_test(cross_entropy_equals_the_head_of_an_identity),
        cmocka_unit_test(cross_entropy_gradients_are_differences),
        cmocka_unit_test(soft_targets_of_one_class_are_that_class),
        cmocka_unit_test(cross_entropy_hides_nothing),
        cmocka_unit_test(cross_entropy_bits_do_not_depend_on_threads),
        cmocka_unit_test(gradients_go_on_into_the_layer_before),
        cmocka_unit_test(rows_in_bf16_are_rows_rounded_to_it),
        cmocka_unit_test(openblas_gives_the_same_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
