/* test_schedule.c - learning rates against the same curves made another way. */
#include "base/vlm.h"

#include "nn/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check_close(double x, double expected)
{
    if (!(fabs(x - expected) <= 1e-12 * (1 + fabs(expected))))
        fail_msg("%.17g, expected %.17g", x, expected);
}

static void check_valid(const struct vlm_schedule *schedule)
{
    struct vlm_err err = { 0 };
    if (vlm_schedule_check(schedule, &err))
        fail_msg("%s", err.msg);
}

static void every_schedule_warms_up_in_equal_steps(void **state)
{
    (void)state;
    for (int kind = VLM_SCHEDULE_CONSTANT; kind <= VLM_SCHEDULE_WSD_EXPONENTIAL; kind++) {
        struct vlm_schedule s = { .kind = (enum vlm_schedule_kind)kind,
                                  .peak = 0.6,
                                  .floor = 0.1,
                                  .warmup = 30,
                                  .total = 100,
                                  .decay = 20 };
        check_valid(&s);
        double rate = 0;
        for (uint64_t step = 1; step <= 30; step++)
            check_close(vlm_schedule_rate(&s, step), rate += 0.02);
        check_close(vlm_schedule_rate(&s, 30), 0.6);
        s.warmup = 0;
        assert_true(vlm_schedule_rate(&s, 1) > 0.59);
    }
}

/* cos(k a) from cos((k - 1) a) and cos((k - 2) a), after Chebyshev. */
static void cosine_follows_its_recurrence(void **state)
{
    (void)state;
    struct vlm_schedule s = {
        .kind = VLM_SCHEDULE_COSINE, .peak = 3e-4, .floor = 3e-5, .warmup = 10, .total = 110
    };
    check_valid(&s);
    double step_cosine = 0.99950656036573155700; /* of pi / 100 */
    double before = step_cosine, now = 1;
    for (uint64_t step = 10; step <= 110; step++) {
        check_close(vlm_schedule_rate(&s, step), 3e-5 + 2.7e-4 * (0.5 + now / 2));
        double next = 2 * step_cosine * now - before;
        before = now, now = next;
    }
    check_close(vlm_schedule_rate(&s, 60), 1.65e-4); /* half way */
    check_close(vlm_schedule_rate(&s, 110), 3e-5);
    check_close(vlm_schedule_rate(&s, 1000000), 3e-5);
}

static void polynomials_are_products(void **state)
{
    (void)state;
    struct vlm_schedule s = {
        .kind = VLM_SCHEDULE_POLYNOMIAL, .peak = 1, .floor = 0.2, .warmup = 5, .total = 45
    };
    check_valid(&s);
    for (int power = 0; power <= 3; power++)
        for (uint64_t step = 5; step <= 45; step++) {
            double left = (double)(45 - step) / 40, product = 1;
            for (int i = 0; i < VLM_MAX(power, 1); i++)
                product *= left;
            s.power = power; /* 0 stands for 1 */
            check_close(vlm_schedule_rate(&s, step), 0.2 + 0.8 * product);
        }
    s.power = 0.5;
    check_close(vlm_schedule_rate(&s, 35), 0.2 + 0.8 * 0.5);
    check_close(vlm_schedule_rate(&s, 46), 0.2);
}

static void stable_until_the_decay(void **state)
{
    (void)state;
    struct vlm_schedule s = {
        .kind = VLM_SCHEDULE_WSD, .peak = 1, .floor = 0.25, .warmup = 10, .total = 100, .decay = 16
    };
    check_valid(&s);
    for (uint64_t step = 10; step <= 84; step++)
        check_close(vlm_schedule_rate(&s, step), 1);
    for (uint64_t step = 85; step <= 100; step++)
        check_close(vlm_schedule_rate(&s, step), 1 - 0.75 * (double)(step - 84) / 16);
    /* A quarter in 16 steps: half in 8, and the same factor each step. */
    s.kind = VLM_SCHEDULE_WSD_EXPONENTIAL;
    check_valid(&s);
    double rate = 1, factor = sqrt(sqrt(sqrt(0.5)));
    for (uint64_t step = 84; step <= 100; step++, rate *= factor)
        check_close(vlm_schedule_rate(&s, step), rate);
    check_close(vlm_schedule_rate(&s, 92), 0.5);
    check_close(vlm_schedule_rate(&s, 101), 0.25);
    s.decay = 0;
    check_close(vlm_schedule_rate(&s, 100), 1);
    check_close(vlm_schedule_rate(&s, 101), 0.25);
}

static void constant_stays(void **state)
{
    (void)state;
    struct vlm_schedule s = { .kind = VLM_SCHEDULE_CONSTANT, .peak = 0.5 };
    check_valid(&s);
    check_close(vlm_schedule_rate(&s, 1), 0.5);
    check_close(vlm_schedule_rate(&s, UINT64_MAX), 0.5);
}

static void numbers_that_make_no_schedule_are_refused(void **state)
{
    (void)state;
    const struct {
        struct vlm_schedule schedule;
        const char *sentence;
    } each[] = {
        { { .kind = (enum vlm_schedule_kind)9, .peak = 1 }, "schedule 9 is unknown" },
        { { .peak = -1 }, "learning rate -1 is not a number from 0" },
        { { .peak = NAN }, "learning rate nan is not a number from 0" },
        { { .kind = VLM_SCHEDULE_COSINE, .peak = 1, .floor = 2, .total = 1 },
          "last learning rate 2 is not between 0 and the peak, 1" },
        { { .kind = VLM_SCHEDULE_COSINE, .peak = 1 },
          "warm-up of 0 steps does not fit in 0 steps" },
        { { .kind = VLM_SCHEDULE_POLYNOMIAL, .peak = 1, .warmup = 5, .total = 4 },
          "warm-up of 5 steps does not fit in 4 steps" },
        { { .kind = VLM_SCHEDULE_POLYNOMIAL, .peak = 1, .total = 4, .power = INFINITY },
          "power inf of the schedule is not a number from 0" },
        { { .kind = VLM_SCHEDULE_WSD, .peak = 1, .warmup = 5, .total = 9, .decay = 5 },
          "decay of 5 steps does not fit in the 4 after the warm-up" },
        { { .kind = VLM_SCHEDULE_WSD_EXPONENTIAL, .peak = 1, .total = 9, .decay = 5 },
          "exponential decay needs a last learning rate above 0" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(each); i++) {
        struct vlm_err err = { 0 };
        assert_int_equal(vlm_schedule_check(&each[i].schedule, &err), VLM_EUSAGE);
        assert_string_equal(err.msg, each[i].sentence);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schedule_warms_up_in_equal_steps),
        cmocka_unit_test(cosine_follows_its_recurrence),
        cmocka_unit_test(polynomials_are_products),
        cmocka_unit_test(stable_until_the_decay),
        cmocka_unit_test(constant_stays),
        cmocka_unit_test(numbers_that_make_no_schedule_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
