/* test_guard.c - the spike guard on traces whose right verdicts are known. */
#include "base/vlm.h"

#include "base/random.h"
#include "nn/guard.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Roughly normal, mean 0, deviation 1. */
static double noise(uint64_t seed, uint64_t i)
{
    struct vlm_random random = vlm_random_at(seed, 0, i);
    double sum = -6;
    for (int k = 0; k < 12; k++)
        sum += vlm_random_unit(&random);
    return sum;
}

/* A loss that falls from 10 to 3 with some noise, as in training. */
static double loss_at(uint64_t seed, uint64_t step)
{
    return 3 + 7 * exp(-(double)step / 300) + 0.1 * noise(seed, step);
}

static double norm_at(uint64_t seed, uint64_t step)
{
    return 1 + 0.2 * noise(seed + 1000, step);
}

static void run(struct vlm_guard *guard, uint64_t seed, uint64_t from, uint64_t to)
{
    for (uint64_t step = from; step < to; step++)
        assert_int_equal(vlm_guard_judge(guard, loss_at(seed, step), norm_at(seed, step)),
                         VLM_GUARD_ACCEPT);
}

static void ordinary_training_is_accepted(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct vlm_guard guard = { 0 };
        struct vlm_err err = { 0 };
        run(&guard, seed, 0, 2000);
        assert_int_equal(guard.accepted, 2000);
        assert_int_equal(guard.skipped, 0);
        assert_int_equal(guard.count, VLM_GUARD_WINDOW);
        assert_int_equal(vlm_guard_check(&guard, &err), VLM_OK);
    }
}

static void spikes_of_either_are_skipped(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct vlm_guard guard = { 0 };
        run(&guard, seed, 0, 500);
        assert_int_equal(vlm_guard_judge(&guard, 9, 1), VLM_GUARD_SKIP);
        run(&guard, seed, 500, 501);
        assert_int_equal(vlm_guard_judge(&guard, loss_at(seed, 501), 5), VLM_GUARD_SKIP);
        assert_int_equal(guard.spikes, 2);
        assert_int_equal(guard.not_finite, 0);
        run(&guard, seed, 501, 600); /* and none of it is in the window */
        for (size_t i = 0; i < VLM_GUARD_WINDOW; i++)
            assert_true(guard.loss[i] < 8 && guard.norm[i] < 4);
    }
}

/* Small batches: norms of .3 with hardly any deviation, and a healthy step of three times as much. */
static void norms_may_vary(void **state)
{
    (void)state;
    struct vlm_guard guard = { 0 };
    for (uint64_t i = 0; i < VLM_GUARD_WINDOW; i++)
        assert_int_equal(vlm_guard_judge(&guard, 1, 0.3 + 0.01 * noise(7, i)), VLM_GUARD_ACCEPT);
    assert_int_equal(vlm_guard_judge(&guard, 1, 1.3), VLM_GUARD_SKIP);
    assert_int_equal(vlm_guard_judge(&guard, 1, 1.1), VLM_GUARD_ACCEPT);
}

static void six_deviations_are_the_border(void **state)
{
    (void)state;
    struct vlm_guard guard = { 0 };
    /* Mean 5, deviation sqrt(128 / 127). */
    for (int i = 0; i < VLM_GUARD_WINDOW; i++)
        assert_int_equal(vlm_guard_judge(&guard, i % 2 ? 4 : 6, 1), VLM_GUARD_ACCEPT);
    struct vlm_guard again = guard;
    double border = 5 + 6 * sqrt(128.0 / 127);
    assert_int_equal(vlm_guard_judge(&guard, border + 1e-9, 1), VLM_GUARD_SKIP);
    assert_int_equal(vlm_guard_judge(&again, border - 1e-9, 1), VLM_GUARD_ACCEPT);
}

static void good_steps_are_no_spikes(void **state)
{
    (void)state;
    struct vlm_guard guard = { 0 };
    run(&guard, 1, 0, 500);
    assert_int_equal(vlm_guard_judge(&guard, 0, 0), VLM_GUARD_ACCEPT);
    assert_int_equal(vlm_guard_judge(&guard, -100, 1e-9), VLM_GUARD_ACCEPT);
}

static void what_is_not_finite_is_skipped_from_the_first_step(void **state)
{
    (void)state;
    const double bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++) {
        struct vlm_guard guard = { 0 };
        assert_int_equal(vlm_guard_judge(&guard, bad[i], 1), VLM_GUARD_SKIP);
        assert_int_equal(vlm_guard_judge(&guard, 1, bad[i]), VLM_GUARD_SKIP);
        assert_int_equal(guard.not_finite, 2);
        assert_int_equal(guard.count, 0);
        /* One NaN must not switch the guard off: spikes are still seen after it. */
        run(&guard, 2, 0, 300);
        assert_int_equal(vlm_guard_judge(&guard, bad[i], bad[i]), VLM_GUARD_SKIP);
        assert_int_equal(vlm_guard_judge(&guard, 50, 1), VLM_GUARD_SKIP);
        run(&guard, 2, 300, 301);
        for (size_t k = 0; k < guard.count; k++)
            assert_true(isfinite(guard.loss[k]) && isfinite(guard.norm[k]));
    }
}

static void spikes_are_not_judged_before_there_is_a_window(void **state)
{
    (void)state;
    for (uint64_t seen = 0; seen < 70; seen += 3) {
        struct vlm_guard guard = { 0 };
        run(&guard, 3, 0, seen);
        assert_int_equal(vlm_guard_judge(&guard, 1000, 1),
                         seen < VLM_GUARD_BEGIN ? VLM_GUARD_ACCEPT : VLM_GUARD_SKIP);
    }
}

static void three_bad_steps_in_a_row_roll_back(void **state)
{
    (void)state;
    struct vlm_guard guard = { 0 };
    run(&guard, 4, 0, 200);
    assert_int_equal(vlm_guard_judge(&guard, NAN, 1), VLM_GUARD_SKIP);
    assert_int_equal(vlm_guard_judge(&guard, 100, 1), VLM_GUARD_SKIP);
    run(&guard, 4, 200, 201); /* a good one between them */
    assert_int_equal(vlm_guard_judge(&guard, NAN, 1), VLM_GUARD_SKIP);
    assert_int_equal(vlm_guard_judge(&guard, 100, 1), VLM_GUARD_SKIP);
    assert_int_equal(vlm_guard_judge(&guard, 3, 100), VLM_GUARD_ROLL_BACK);
    assert_int_equal(vlm_guard_judge(&guard, NAN, 1), VLM_GUARD_SKIP); /* counted anew */
    assert_int_equal(guard.skipped, 6);
    assert_int_equal(guard.accepted, 201);
}

static void a_window_that_does_not_move_lets_small_changes_pass(void **state)
{
    (void)state;
    struct vlm_guard guard = { 0 };
    for (int i = 0; i < 200; i++)
        assert_int_equal(vlm_guard_judge(&guard, 2, 0), VLM_GUARD_ACCEPT);
    assert_int_equal(vlm_guard_judge(&guard, 2.001, 0), VLM_GUARD_ACCEPT);
    assert_int_equal(vlm_guard_judge(&guard, 2.1, 0), VLM_GUARD_SKIP);
}

static void a_saved_guard_goes_on_the_same(void **state)
{
    (void)state;
    struct vlm_guard guard = { 0 };
    run(&guard, 5, 0, 333);
    struct vlm_guard loaded = guard;
    for (uint64_t step = 333; step < 700; step++) {
        double loss = step % 50 == 0 ? 20 : loss_at(5, step);
        assert_int_equal(vlm_guard_judge(&guard, loss, 1), vlm_guard_judge(&loaded, loss, 1));
    }
    assert_memory_equal(&guard, &loaded, sizeof(guard));
}

static void a_damaged_guard_is_refused(void **state)
{
    (void)state;
    struct vlm_guard good = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_guard_check(&good, &err), VLM_OK);
    run(&good, 6, 0, 10);
    assert_int_equal(vlm_guard_check(&good, &err), VLM_OK);
    struct vlm_guard bad = good;
    bad.count = VLM_GUARD_WINDOW + 1;
    assert_int_equal(vlm_guard_check(&bad, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "guard: 129 values, the next at 10");
    bad = good;
    bad.next = 9;
    assert_int_equal(vlm_guard_check(&bad, &err), VLM_EFORMAT);
    bad = good;
    bad.count = VLM_GUARD_WINDOW, bad.next = VLM_GUARD_WINDOW;
    assert_int_equal(vlm_guard_check(&bad, &err), VLM_EFORMAT);
    bad = good;
    bad.bad_in_row = 3;
    assert_int_equal(vlm_guard_check(&bad, &err), VLM_EFORMAT);
    bad = good;
    bad.norm[9] = NAN;
    assert_int_equal(vlm_guard_check(&bad, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "guard: value 9 is not finite");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_training_is_accepted),
        cmocka_unit_test(spikes_of_either_are_skipped),
        cmocka_unit_test(norms_may_vary),
        cmocka_unit_test(six_deviations_are_the_border),
        cmocka_unit_test(good_steps_are_no_spikes),
        cmocka_unit_test(what_is_not_finite_is_skipped_from_the_first_step),
        cmocka_unit_test(spikes_are_not_judged_before_there_is_a_window),
        cmocka_unit_test(three_bad_steps_in_a_row_roll_back),
        cmocka_unit_test(a_window_that_does_not_move_lets_small_changes_pass),
        cmocka_unit_test(a_saved_guard_goes_on_the_same),
        cmocka_unit_test(a_damaged_guard_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
