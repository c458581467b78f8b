/* test_positions.c - rotary positions and sinusoids against their formulas. */
#include "base/vlm.h"

#include "tests/nn_fixture.h"

#include "nn/ops/positions.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-bf16" };
static const uint32_t positions[] = { 0, 1, 7, 4095, 3, 2, 20000, 5, 5, 6, 11, 12, 13,
                                      0, 1, 2, 3,    4, 5, 6,     7, 8, 9, 10, 11 };

enum { POSITIONS = VLM_COUNTOF(positions) };

struct trial {
    struct vlm_tensor *x;
    struct vlm_rotary rotary;
};

static struct vlm_tensor *run_trial(struct vlm_tape *tape, void *context)
{
    struct trial *trial = context;
    return vlm_rotary(tape, trial->x, &trial->rotary);
}

static void expect(double *y, const struct trial *trial)
{
    const struct vlm_rotary *r = &trial->rotary;
    size_t cols = vlm_tensor_cols(trial->x), turned = r->turned ? r->turned : r->head_size;
    for (size_t i = 0; i < vlm_tensor_count(trial->x); i++)
        y[i] = (double)trial->x->data[i];
    for (size_t row = 0; row < vlm_tensor_rows(trial->x); row++)
        for (size_t h = 0; h < r->heads; h++)
            for (size_t i = 0; i < turned / 2; i++) {
                bool halves = r->pairs == VLM_ROTARY_HALVES;
                size_t first = row * cols + r->col + h * r->head_size;
                size_t p = first + (halves ? i : 2 * i);
                size_t q = first + (halves ? i + turned / 2 : 2 * i + 1);
                double a = y[p], b = y[q];
                double angle = r->positions[row] / pow(r->base, 2.0 * (double)i / (double)turned);
                y[p] = a * cos(angle) - b * sin(angle);
                y[q] = b * cos(angle) + a * sin(angle);
            }
}

static const struct {
    size_t rows, cols;
    struct vlm_rotary rotary;
} shapes[] = {
    { 1, 2, { .heads = 1, .head_size = 2, .base = 10000 } },
    { POSITIONS, 64, { .heads = 1, .head_size = 64, .base = 10000 } },
    { POSITIONS, 41, { .col = 3, .heads = 4, .head_size = 8, .base = 500000 } },
    { 17, 41, { .col = 1, .heads = 4, .head_size = 9, .turned = 6, .base = 10000 } },
    { 16, 24, { .heads = 2, .head_size = 8, .turned = 2, .base = 10000 } },
    { 0, 8, { .heads = 1, .head_size = 8, .base = 10000 } },
};

static void check(const char *kernels, size_t shape, enum vlm_rotary_pairs pairs)
{
    struct nn nn;
    nn_begin(&nn, kernels, 2);
    if (!nn.skip) {
        struct trial trial = { .rotary = shapes[shape].rotary };
        trial.x = nn_tensor(&nn, 2, (size_t[]){ shapes[shape].rows, shapes[shape].cols });
        trial.rotary.pairs = pairs;
        trial.rotary.positions = positions;
        size_t n = vlm_tensor_count(trial.x);
        double *expected = calloc(n + 1, sizeof(*expected));
        float *first = calloc(n + 1, sizeof(*first));
        assert_true(expected && first);
        expect(expected, &trial);
        struct vlm_tensor *y = run_trial(&nn.tape, &trial);
        nn_check_close(y->data, expected, n, 1e-6);
        memcpy(first, y->data, n * sizeof(float));
        vlm_tape_reset(&nn.tape);
        nn_check_gradients(&nn, run_trial, &trial, 1e-2, 1e-4);

        float *table = malloc(20001 * 64 * sizeof(float));
        assert_non_null(table);
        size_t turned = trial.rotary.turned ? trial.rotary.turned : trial.rotary.head_size;
        vlm_rotary_table(table, 20001, turned, trial.rotary.base);
        if (shape < 3 && pairs == VLM_ROTARY_HALVES) {
            float *gradient = calloc(n + 1, sizeof(*gradient));
            assert_non_null(gradient);
            memcpy(gradient, trial.x->grad, n * sizeof(float));
            trial.rotary.table = table;
            nn_check_bits(run_trial(&nn.tape, &trial)->data, first, n);
            vlm_tape_reset(&nn.tape);
            nn_backward(&nn, run_trial, &trial);
            nn_check_bits(trial.x->grad, gradient, n);
            free(gradient);
        }
        free(table);
        free(expected);
        free(first);
    }
    nn_end(&nn);
}

static void rotary_turns_pairs(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t i = 0; i < VLM_COUNTOF(shapes); i++)
            for (unsigned pairs = 0; pairs < 2; pairs++)
                check(every_kernel[k], i, pairs);
}

/* Scores depend on the distance only. */
static void rotary_keeps_scores_of_a_distance(void **state)
{
    (void)state;
    for (unsigned pairs = 0; pairs < 2; pairs++) {
        static const uint32_t at[] = { 3, 10, 1003, 1010 };
        struct nn nn;
        nn_begin_with(&nn, NULL, 1, VLM_F32, VLM_TAPE_FORWARD);
        struct vlm_tensor *x = nn_tensor(&nn, 2, (size_t[]){ 4, 32 });
        for (size_t i = 0; i < 64; i++)
            x->data[64 + i] = x->data[i];
        struct vlm_tensor *y = vlm_rotary(
            &nn.tape, x,
            &(struct vlm_rotary){
                .heads = 1, .head_size = 32, .base = 10000, .positions = at, .pairs = pairs });
        double score[2] = { 0 };
        for (size_t c = 0; c < 32; c++)
            for (size_t i = 0; i < 2; i++)
                score[i] += (double)y->data[i * 64 + c] * (double)y->data[i * 64 + 32 + c];
        assert_true(fabs(score[0] - score[1]) < 1e-5);
        nn_end(&nn);
    }
}

static void rotary_bits_and_memory(void **state)
{
    (void)state;
    float *first = NULL;
    size_t peak = 0;
    for (size_t threads = 1; threads <= 7; threads += 2) {
        struct nn nn;
        nn_begin(&nn, NULL, threads);
        struct trial trial = {
            .x = nn_tensor(&nn, 2, (size_t[]){ POSITIONS, 64 }),
            .rotary = { .heads = 2, .head_size = 32, .base = 10000, .positions = positions }
        };
        trial.x->data[5] = NAN;
        trial.x->data[70] = INFINITY;
        struct vlm_tensor *y = run_trial(&nn.tape, &trial);
        assert_true(isnan(y->data[5]) && isnan(y->data[21]));
        assert_true(!isfinite(y->data[70]) && !isfinite(y->data[86]) && isfinite(y->data[71]));
        if (first)
            nn_check_bits(y->data, first, vlm_tensor_count(y));
        else
            first = malloc(vlm_tensor_count(y) * sizeof(float));
        assert_non_null(first);
        memcpy(first, y->data, vlm_tensor_count(y) * sizeof(float));
        vlm_tape_reset(&nn.tape);
        nn_backward(&nn, run_trial, &trial);
        peak = vlm_tape_peak(&nn.tape);
        nn_end(&nn);
    }
    struct nn nn;
    nn_begin_with(&nn, NULL, 7, VLM_F32, VLM_TAPE_DRY);
    struct trial trial = { .x = nn_tensor(&nn, 2, (size_t[]){ POSITIONS, 64 }),
                           .rotary = { .heads = 2, .head_size = 32, .base = 10000 } };
    nn_backward(&nn, run_trial, &trial);
    assert_int_equal(vlm_tape_peak(&nn.tape), peak);
    nn_end(&nn);
    free(first);
}

static void sinusoids_follow_their_formulas(void **state)
{
    (void)state;
    float table[3 * 6];
    vlm_sinusoids(table, 3, 6, 0, VLM_SINUSOID_INTERLEAVED);
    for (size_t i = 0; i < 6; i++)
        assert_true(table[i] == (float)(i % 2));
    for (size_t i = 0; i < 3; i++) {
        double angle = 2 / pow(10000, 2.0 * (double)i / 6);
        assert_true(fabs((double)table[12 + 2 * i] - sin(angle)) < 1e-7);
        assert_true(fabs((double)table[12 + 2 * i + 1] - cos(angle)) < 1e-7);
    }
    /* fairseq: sinusoidal_positional_embedding.py, get_embedding(), with half_dim = 2 and 3. */
    float blocks[2 * 7];
    vlm_sinusoids(blocks, 2, 7, 2, VLM_SINUSOID_BLOCKS);
    static const double frequency[] = { 1, 0.01, 0.0001 };
    for (size_t i = 0; i < 3; i++) {
        assert_true(fabs((double)blocks[7 + i] - sin(3 * frequency[i])) < 1e-7);
        assert_true(fabs((double)blocks[7 + 3 + i] - cos(3 * frequency[i])) < 1e-7);
    }
    assert_true(blocks[6] == 0 && blocks[13] == 0);
    vlm_sinusoids(blocks, 1, 2, 1, VLM_SINUSOID_BLOCKS);
    assert_true(fabs((double)blocks[0] - sin(1)) < 1e-7 && fabs((double)blocks[1] - cos(1)) < 1e-7);
    vlm_sinusoids(blocks, 1, 1, 1, VLM_SINUSOID_BLOCKS);
    assert_true(blocks[0] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotary_turns_pairs),
        cmocka_unit_test(rotary_keeps_scores_of_a_distance),
        cmocka_unit_test(rotary_bits_and_memory),
        cmocka_unit_test(sinusoids_follow_their_formulas),
    };
    return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
