/* draw.c - the next token, without sorting the vocabulary: what is kept of it lies above a threshold,
 * which is found by selection (Hoare 1961, "Find"), with weights where a share is asked for. */
#include "base/vlm.h"

#include "models/generate/draw.h"

#include <math.h>

static uint32_t largest(const float *logits, const uint32_t *ids, size_t n)
{
    uint32_t best = ids[0];
    for (size_t i = 1; i < n; i++)
        if (logits[ids[i]] > logits[best] || (logits[ids[i]] == logits[best] && ids[i] < best))
            best = ids[i];
    return best;
}

static bool before(const struct vlm_draw_item *a, const struct vlm_draw_item *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void swap(struct vlm_draw_item *a, struct vlm_draw_item *b)
{
    struct vlm_draw_item kept = *a;
    *a = *b;
    *b = kept;
}

/* Moves those before the middle one of three in front; returns where it then stands. */
static size_t partition(struct vlm_draw_item *items, size_t begin, size_t end)
{
    struct vlm_draw_item *first = items + begin, *middle = items + begin + (end - begin) / 2,
                         *last = items + end - 1;
    if (before(middle, first))
        swap(middle, first);
    if (before(last, middle))
        swap(last, middle);
    if (before(middle, first))
        swap(middle, first);
    swap(middle, last);
    size_t at = begin;
    for (size_t i = begin; i + 1 < end; i++)
        if (before(&items[i], last))
            swap(&items[i], &items[at++]);
    swap(&items[at], last);
    return at;
}

static double weight(const struct vlm_draw_item *item, bool by_share)
{
    return by_share ? item->p : 1;
}

/* Reorders items so that the fewest whose weights, in order, sum to target at least are in front; returns
 * how many they are: all when the sum falls short. */
static size_t select_first(struct vlm_draw_item *items, size_t n, bool by_share, double target)
{
    size_t begin = 0, end = n;
    double sum = 0; /* of those before begin, which are in for certain */
    while (begin < end) {
        size_t at = partition(items, begin, end);
        double more = sum;
        for (size_t i = begin; i < at; i++)
            more += weight(&items[i], by_share);
        if (more >= target && at > begin) {
            end = at;
            continue;
        }
        begin = at + 1;
        sum = more + weight(&items[at], by_share);
        if (sum >= target)
            break;
    }
    return begin;
}

/* The item in which `unit` of the sum of p lies. */
static uint32_t take(const struct vlm_draw_item *items, size_t n, double unit)
{
    double sum = 0, passed = 0;
    for (size_t i = 0; i < n; i++)
        sum += items[i].p;
    for (size_t i = 0; i < n; i++) {
        passed += items[i].p;
        if (passed > unit * sum)
            return items[i].id;
    }
    return items[n - 1].id;
}

uint32_t vlm_draw(struct vlm_draw_item *scratch, const float *logits, const uint32_t *ids, size_t n,
                  const struct vlm_draw_rule *rule, double unit)
{
    uint32_t best = largest(logits, ids, n);
    if (rule->temperature == 0)
        return best;
    for (size_t i = 0; i < n; i++) {
        float logit = logits[ids[i]];
        double p = exp(((double)logit - (double)logits[best]) / rule->temperature);
        scratch[i] = (struct vlm_draw_item){ p, logit, ids[i] };
    }
    if (rule->top_k && rule->top_k < n)
        n = select_first(scratch, n, false, (double)rule->top_k);
    if (rule->top_p < 1) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += scratch[i].p;
        n = select_first(scratch, n, true, rule->top_p * sum);
    }
    return take(scratch, n, unit);
}
