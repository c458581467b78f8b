/* test_permutation.c - each number once, in an order that depends on the key and looks like chance. */
#include "base/vlm.h"

#include "base/random.h"
#include "trainer/data/permutation.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

enum { SMALL = 2000 };

static void each_number_comes_once(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= SMALL; n++) {
        bool seen[SMALL] = { false };
        const struct vlm_permutation order = vlm_permutation_of(n, 7, n % 3, n % 5);
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t to = vlm_permutation_at(&order, i);
            assert_true(to < n);
            assert_false(seen[to]);
            seen[to] = true;
        }
    }
}

/* A cycle-walking network is one-to-one if its rounds can be undone; here: no two of many places meet. */
static void large_ranges_do_not_collide(void **state)
{
    (void)state;
    enum { SAMPLES = 20000, SLOTS = 1 << 17 };
    static uint64_t table[SLOTS];
    struct vlm_random random = vlm_random_at(1, 2, 3);
    for (unsigned bits = 20; bits <= 40; bits += 5) {
        const uint64_t n = (UINT64_C(1) << bits) - 1 - vlm_random_below(&random, 1000);
        const struct vlm_permutation order = vlm_permutation_of(n, 9, 0, bits);
        memset(table, 0, sizeof(table));
        double sum = 0;
        for (uint64_t i = 0; i < SAMPLES; i++) {
            const uint64_t to = vlm_permutation_at(&order, i < SAMPLES / 2 ? i : n - 1 - i);
            assert_true(to < n);
            sum += (double)to / (double)n;
            size_t at = (size_t)(vlm_random_mix(to) % SLOTS);
            for (; table[at]; at = (at + 1) % SLOTS)
                assert_true(table[at] != to + 1);
            table[at] = to + 1;
        }
        /* The mean of evenly spread places: 1/2, standard error 1 / sqrt(12 SAMPLES). */
        assert_true(fabs(sum / SAMPLES - 0.5) < 5 / sqrt(12.0 * SAMPLES));
    }
}

static void keys_give_other_orders(void **state)
{
    (void)state;
    const uint64_t n = 1000;
    const struct vlm_permutation orders[] = {
        vlm_permutation_of(n, 1, 0, 0),
        vlm_permutation_of(n, 2, 0, 0),
        vlm_permutation_of(n, 1, 1, 0),
        vlm_permutation_of(n, 1, 0, 1),
    };
    for (size_t a = 0; a < VLM_COUNTOF(orders); a++)
        for (size_t b = 0; b < a; b++) {
            size_t same = 0;
            for (uint64_t i = 0; i < n; i++)
                same += vlm_permutation_at(&orders[a], i) == vlm_permutation_at(&orders[b], i);
            assert_true(same < 10); /* 1 is expected of two random orders */
        }
}

/* Over many keys, number i comes to place j equally often (chi-squared against n^2 equal cells). */
static void small_orders_are_even(void **state)
{
    (void)state;
    enum { KEYS = 4000, MOST = 13 };
    for (uint64_t n = 2; n <= MOST; n++) {
        unsigned count[MOST][MOST] = { { 0 } };
        for (uint64_t key = 0; key < KEYS; key++) {
            const struct vlm_permutation order = vlm_permutation_of(n, 3, key, 0);
            for (uint64_t i = 0; i < n; i++)
                count[i][vlm_permutation_at(&order, i)]++;
        }
        const double expected = (double)KEYS / (double)n;
        double chi = 0;
        for (uint64_t i = 0; i < n; i++)
            for (uint64_t k = 0; k < n; k++)
                chi += pow(count[i][k] - expected, 2) / expected;
        const double freedom = (double)((n - 1) * (n - 1));
        /* Rows and columns have fixed sums, which makes cells vary by n / (n - 1) more. */
        assert_true(chi * (double)(n - 1) / (double)n < freedom + 6 * sqrt(2 * freedom));
    }
}

static void order_stays_what_it_was(void **state)
{
    (void)state;
    /* From a second implementation, in Python: a run must find its documents again. */
    static const uint64_t expected[] = { 500235, 797645, 789382, 318098,
                                         351084, 149189, 843035, 862676 };
    const struct vlm_permutation order = vlm_permutation_of(1000000, 1, 0, 2);
    for (uint64_t i = 0; i < VLM_COUNTOF(expected); i++)
        assert_int_equal(vlm_permutation_at(&order, i), expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_comes_once),  cmocka_unit_test(large_ranges_do_not_collide),
        cmocka_unit_test(keys_give_other_orders),  cmocka_unit_test(small_orders_are_even),
        cmocka_unit_test(order_stays_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
