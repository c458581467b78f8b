/* test_draw.c - how the next token is drawn: how often each comes, and which may come at all, beside a plain
 * implementation that sorts. */
#include "base/vlm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/random.h"
#include "models/generate/draw.h"
#include "nn/kernels/kernels.h"

enum { IDS_MAX = 3000, FEW = 400, DRAWS = 200000 };

struct list {
    float logits[2 * IDS_MAX];
    uint32_t ids[IDS_MAX];
    size_t n;
};

/* Every second id is allowed; of coarse ones many are equal. */
static void make_list(struct list *list, size_t n, bool coarse, uint64_t seed)
{
    struct vlm_random random = vlm_random_at(seed, 1, 0);
    list->n = n;
    for (size_t i = 0; i < 2 * n; i++) {
        double z = 4 * vlm_random_unit(&random) - 2;
        list->logits[i] = (float)(coarse ? floor(z * 2) : z);
    }
    for (size_t i = 0; i < n; i++)
        list->ids[i] = (uint32_t)(2 * i);
}

/* ---- the plain implementation ---- */

/* As the functions here call it: ids are those of the logits that may come. */
static uint32_t draw(const float *logits, const uint32_t *ids, size_t n,
                     const struct vlm_draw_rule *rule, double unit)
{
    static float p[IDS_MAX], z[IDS_MAX];
    static struct vlm_draw_item items[IDS_MAX];
    const struct vlm_draw_scratch scratch = { p, items };
    for (size_t i = 0; i < n; i++)
        z[i] = logits[ids[i]];
    return ids[vlm_draw(vlm_kernels_best()->loss, &scratch, z, n, rule, unit)];
}

struct plain {
    double p;
    float logit;
    uint32_t id;
    float distance;
};

static int by_rank(const void *a, const void *b)
{
    const struct plain *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Nearest to the entropy first. */
static int by_distance(const void *a, const void *b)
{
    const struct plain *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The first n, of which the most typical with a share go to the front, in their order; returns how many. */
static size_t typical(struct plain *kept, size_t n, double share)
{
    double sum = 0, entropy = 0, passed = 0;
    size_t least = 0;
    for (size_t i = 0; i < n; i++)
        sum += kept[i].p;
    for (size_t i = 0; i < n; i++)
        entropy -= kept[i].p / sum * log(kept[i].p / sum);
    for (size_t i = 0; i < n; i++)
        kept[i].distance = (float)fabs(-log(kept[i].p / sum) - entropy);
    qsort(kept, n, sizeof(*kept), by_distance);
    while (least < n && passed < share * sum)
        passed += kept[least++].p;
    qsort(kept, least, sizeof(*kept), by_rank);
    return least;
}

/* Probabilities of what is kept, the likeliest first; returns how many. */
static size_t keep(struct plain *kept, const struct list *list, const struct vlm_draw_rule *rule)
{
    double sum = 0, passed = 0;
    for (size_t i = 0; i < list->n; i++) {
        float logit = list->logits[list->ids[i]];
        kept[i] =
            (struct plain){ exp(((double)logit - 5) / rule->temperature), logit, list->ids[i], 0 };
    }
    qsort(kept, list->n, sizeof(*kept), by_rank);
    size_t n = rule->top_k && rule->top_k < list->n ? rule->top_k : list->n, least = 0;
    if (rule->typical > 0 && rule->typical < 1)
        n = typical(kept, n, rule->typical);
    for (size_t i = 0; i < n; i++)
        sum += kept[i].p;
    while (rule->top_p < 1 && least < n && passed < rule->top_p * sum)
        passed += kept[least++].p;
    n = rule->top_p < 1 ? (least ? least : 1) : n;
    for (least = 0; least < n && kept[least].p >= rule->min_p * kept[0].p;)
        least++;
    n = least;
    sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += kept[i].p;
    for (size_t i = 0; i < n; i++)
        kept[i].p /= sum;
    return n;
}

static size_t find(const struct plain *kept, size_t n, uint32_t id)
{
    size_t i = 0;
    while (i < n && kept[i].id != id)
        i++;
    return i;
}

/* Draws with units that tile [0, 1): each kept id comes as often as it should, to within one for the edges of its
 * interval, and no other id comes. */
static void check_rule(const struct list *list, const struct vlm_draw_rule *rule, size_t draws)
{
    static struct plain kept[IDS_MAX];
    size_t count[IDS_MAX] = { 0 };
    size_t n = keep(kept, list, rule);
    for (size_t i = 0; i < draws; i++) {
        double unit = ((double)i + 0.5) / (double)draws;
        uint32_t id = draw(list->logits, list->ids, list->n, rule, unit);
        size_t found = find(kept, n, id);
        if (found == n)
            fail_msg("%" PRIu32 " was drawn, which is not among the %zu kept", id, n);
        count[found]++;
    }
    for (size_t i = 0; i < n; i++)
        if (fabs((double)count[i] - kept[i].p * (double)draws) > 1.01)
            fail_msg("%" PRIu32 " came %zu times of %zu, its probability is %g", kept[i].id,
                     count[i], draws, kept[i].p);
}

static void test_rules(void **state)
{
    (void)state;
    static const struct vlm_draw_rule rules[] = {
        { 1, 0, 1, 0, 0 },        { 0.5, 0, 1, 0, 0 },       { 3, 0, 1, 0, 0 },
        { 1, 1, 1, 0, 0 },        { 1, 7, 1, 0, 0 },         { 1, 0, 0.5, 0, 0 },
        { 1, 0, 0.01, 0, 0 },     { 0.7, 0, 0.95, 0, 0 },    { 1.3, 20, 0.83, 0, 0 },
        { 1, 1000, 0.999, 0, 0 }, { 1, 399, 1, 0, 0 },       { 1, 0, 0, 0, 0 },
        { 1, 0, 1, 0.05, 0 },     { 1, 0, 1, 0.5, 0 },       { 2, 0, 1, 1, 0 },
        { 0.6, 0, 0.9, 0.1, 0 },  { 1.5, 9, 0.99, 0.4, 0 },  { 1, 0, 1, 0, 0.5037 },
        { 1, 0, 1, 0, 0.0531 },   { 1.4, 30, 1, 0, 0.8113 }, { 1, 0, 0.7031, 0, 0.6173 },
        { 1, 0, 1, 0.3, 0.9071 }, { 1, 0, 1, 0, 1 },
    };
    static struct list list;
    static const size_t sizes[] = { 5, FEW, FEW, IDS_MAX, IDS_MAX }; /* few, and many */
    for (uint64_t seed = 0; seed < VLM_COUNTOF(sizes); seed++)
        for (size_t i = 0; i < VLM_COUNTOF(rules); i++) {
            make_list(&list, sizes[seed], seed % 2 == 0, seed);
            check_rule(&list, &rules[i], sizes[seed] == IDS_MAX ? 300 : 2000);
        }
}

/* With random numbers instead of a grid: chi-squared over all ids stays below its 99.99 % point for the degrees of
 * freedom (Wilson and Hilferty 1931). */
static void test_frequencies(void **state)
{
    (void)state;
    static struct list list;
    static struct plain kept[IDS_MAX];
    const struct vlm_draw_rule rule = { 1, 0, 1, 0, 0 };
    size_t count[IDS_MAX] = { 0 };
    double sum = 0;
    make_list(&list, 50, false, 9);
    size_t n = keep(kept, &list, &rule);
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct vlm_random random = vlm_random_at(3, VLM_STREAM_DRAW, i);
        count[find(kept, n,
                   draw(list.logits, list.ids, list.n, &rule, vlm_random_unit(&random)))]++;
    }
    for (size_t i = 0; i < n; i++) {
        double expected = kept[i].p * DRAWS;
        sum += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    }
    double k = (double)n - 1, root = 1 - 2 / (9 * k) + 3.72 * sqrt(2 / (9 * k));
    assert_true(sum < k * root * root * root);
}

static void test_greedy(void **state)
{
    (void)state;
    const float logits[] = { 1, 3, 3, 2, 3 };
    const uint32_t rising[] = { 0, 1, 2, 3, 4 }, falling[] = { 4, 3, 2, 1, 0 }, some[] = { 3, 0 };
    const struct vlm_draw_rule greedy = { 0, 0, 1, 0, 0 }, one = { 1, 1, 1, 0, 0 },
                               none = { 1, 0, 0, 0, 0 };
    for (double unit = 0; unit < 1; unit += 0.3) {
        assert_int_equal(draw(logits, rising, 5, &greedy, unit), 1);
        assert_int_equal(draw(logits, falling, 5, &greedy, unit), 4);
        assert_int_equal(draw(logits, falling, 5, &one, unit), 4);
        assert_int_equal(draw(logits, falling, 5, &none, unit), 4);
        assert_int_equal(draw(logits, some, 2, &greedy, unit), 3);
        assert_int_equal(draw(logits, some, 1, &greedy, unit), 3);
    }
}

/* Logits far apart, and equal ones: no overflow, no id lost. */
static void test_extremes(void **state)
{
    (void)state;
    const float far[] = { -3e38f, 3e38f, 0 };
    const uint32_t ids[] = { 0, 1, 2 };
    const struct vlm_draw_rule cold = { 1e-9, 0, 1, 0, 0 }, hot = { 1e9, 0, 1, 0, 0 };
    for (double unit = 0; unit < 1; unit += 0.1)
        assert_int_equal(draw(far, ids, 3, &cold, unit), 1);
    static struct list list;
    make_list(&list, IDS_MAX, false, 4);
    for (size_t i = 0; i < 2 * IDS_MAX; i++)
        list.logits[i] = 5;
    for (size_t i = 0; i < IDS_MAX; i++)
        assert_int_equal(draw(list.logits, list.ids, IDS_MAX, &hot, ((double)i + 0.5) / IDS_MAX),
                         2 * i);
    check_rule(&list, &(struct vlm_draw_rule){ 1, 0, 0.503, 0, 0 }, 2000);
    check_rule(&list, &(struct vlm_draw_rule){ 1, 17, 1, 0, 0 }, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
