/* draw.c - the next token, without sorting the vocabulary: what is kept of it lies above a threshold,
 * which is found by selection (Hoare 1961, "Find"), with weights where a share is asked for.
 *
 * Of many logits, most can be seen to be left out by a threshold that is found before: the k-th largest logit, the share
 * that all below it cannot have together, the least p. Those that remain are treated as if there were few. */
#include "base/vlm.h"

#include "models/generate/draw.h"

#include <float.h>
#include <math.h>

static bool before(const struct vlm_draw_item *a, const struct vlm_draw_item *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->at < b->at);
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
static size_t take(const struct vlm_draw_item *items, size_t n, double unit)
{
    double sum = 0, passed = 0;
    for (size_t i = 0; i < n; i++)
        sum += items[i].p;
    for (size_t i = 0; i < n; i++) {
        passed += items[i].p;
        if (passed > unit * sum)
            return items[i].at;
    }
    return items[n - 1].at;
}

/* Moves those with at least that p to the front, in their order; returns how many they are. */
static size_t drop_below(struct vlm_draw_item *items, size_t n, double least)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (items[i].p >= least)
            items[kept++] = items[i];
    return kept;
}

static bool is_typical(const struct vlm_draw_rule *rule)
{
    return rule->typical > 0 && rule->typical < 1;
}

/* Moves to the front those whose -log p lies nearest to the entropy, as many as have that share; returns how many. */
static size_t keep_typical(struct vlm_draw_item *items, size_t n, double share)
{
    double sum = 0, entropy = 0;
    for (size_t i = 0; i < n; i++)
        sum += items[i].p;
    for (size_t i = 0; i < n; i++)
        entropy -= items[i].p > 0 ? items[i].p / sum * log(items[i].p / sum) : 0;
    for (size_t i = 0; i < n; i++)
        items[i].logit = -(float)fabs(entropy + log(items[i].p / sum));
    n = select_first(items, n, true, share * sum);
    for (size_t i = 0; i < n; i++) /* in the order of p again */
        items[i].logit = (float)log(items[i].p);
    return n;
}

static double largest_p(const struct vlm_draw_item *items, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = VLM_MAX(largest, items[i].p);
    return largest;
}

/* From what is left. total: the sum of p over all that top_p is a share of, 0: over these. */
static size_t draw_few(struct vlm_draw_item *items, size_t n, const struct vlm_draw_rule *rule,
                       double largest, double total, double unit)
{
    for (size_t i = 0; i < n; i++)
        items[i].p = exp(((double)items[i].logit - largest) / rule->temperature);
    if (rule->top_k && rule->top_k < n)
        n = select_first(items, n, false, (double)rule->top_k);
    if (is_typical(rule))
        n = keep_typical(items, n, rule->typical);
    if (rule->top_p < 1) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += items[i].p;
        total = total > 0 ? total : sum;
        n = select_first(items, n, true, rule->top_p * total);
    }
    if (rule->min_p > 0)
        n = drop_below(items, n, rule->min_p * largest_p(items, n));
    return take(items, n, unit);
}

/* ---- many ---- */

enum { LANES = 16, BLOCK = 256, TOP_K_MOST = 512 };

/* The largest, in as many chains as a vector has lanes. */
static float find_largest(const float *z, size_t n)
{
    float lane[LANES];
    for (size_t k = 0; k < LANES; k++)
        lane[k] = z[0];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] = z[i + k] > lane[k] ? z[i + k] : lane[k];
    for (; i < n; i++)
        lane[0] = z[i] > lane[0] ? z[i] : lane[0];
    for (size_t k = 1; k < LANES; k++)
        lane[0] = lane[k] > lane[0] ? lane[k] : lane[0];
    return lane[0];
}

/* Whether one of LANES numbers is over a bound. */
static bool any_over(const float *z, float bound)
{
    int over = 0;
    for (size_t k = 0; k < LANES; k++)
        over |= z[k] > bound;
    return over;
}

static void sift_down(float *heap, size_t n, float value)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (value <= heap[child])
            break;
        heap[at] = heap[child];
    }
    heap[at] = value;
}

/* The k-th largest of n > k numbers: the smallest of a heap of the k largest so far. */
static float kth_largest(const float *z, size_t n, size_t k)
{
    float heap[TOP_K_MOST] = { 0 };
    size_t used = 0;
    for (size_t i = 0; i < k; i++) { /* grows at its end, upwards */
        size_t at = used++;
        for (; at && heap[(at - 1) / 2] > z[i]; at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
        heap[at] = z[i];
    }
    for (size_t i = k; i < n;) {
        if (i + LANES <= n && !any_over(z + i, heap[0])) {
            i += LANES;
            continue;
        }
        for (size_t end = VLM_MIN(i + LANES, n); i < end; i++)
            if (z[i] > heap[0])
                sift_down(heap, k, z[i]);
    }
    return heap[0];
}

/* In chains too, so that one addition need not wait for the one before it. */
static double sum_of(const float *p, size_t n)
{
    double lane[LANES] = { 0 };
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += (double)p[i + k];
    for (; i < n; i++)
        lane[0] += (double)p[i];
    for (size_t k = 1; k < LANES; k++)
        lane[0] += lane[k];
    return lane[0];
}

/* Those whose logit is at least that, in their order. */
static size_t keep_from(struct vlm_draw_item *items, const float *z, size_t n, float least)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        items[kept] = (struct vlm_draw_item){ .logit = z[i], .at = (uint32_t)i };
        kept += z[i] >= least;
    }
    return kept;
}

/* p of all, as floats, in the memory of p. */
static void make_p(const struct vlm_loss_kernels *kernels, float *p, const float *z, size_t n,
                   float largest, double temperature)
{
    const float factor = (float)VLM_MIN(1 / temperature, (double)FLT_MAX);
    for (size_t i = 0; i < n; i++)
        p[i] = (z[i] - largest) * factor;
    kernels->row_exp(p, p, 0, n);
}

/* Nothing is left out: the block in which `unit` of the sum lies, then the place in it. */
static size_t draw_any(const float *p, size_t n, double unit)
{
    double total = 0, passed = 0;
    for (size_t i = 0; i < n; i += BLOCK)
        total += sum_of(p + i, VLM_MIN((size_t)BLOCK, n - i));
    size_t last = 0;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t size = VLM_MIN((size_t)BLOCK, n - i);
        const double sum = sum_of(p + i, size);
        if (!(passed + sum > unit * total)) {
            passed += sum;
            continue;
        }
        for (size_t k = 0; k < size; k++) {
            last = p[i + k] > 0 ? i + k : last;
            passed += (double)p[i + k];
            if (passed > unit * total)
                return i + k;
        }
        break;
    }
    return last;
}

/* A logit below which nothing can be kept; *total as draw_few() wants it. */
static float find_least(const struct vlm_loss_kernels *kernels, float *p, const float *z, size_t n,
                        float largest, const struct vlm_draw_rule *rule, double *total)
{
    double least = -INFINITY; /* of p, as a logarithm */
    *total = 0;
    if (rule->top_k && rule->top_k < n)
        return kth_largest(z, n, rule->top_k);
    if (rule->top_p < 1) {
        make_p(kernels, p, z, n, largest, rule->temperature);
        for (size_t i = 0; i < n; i += BLOCK)
            *total += sum_of(p + i, VLM_MIN((size_t)BLOCK, n - i));
        /* All below have less than 1 - top_p together; half of it, for rounding. */
        least = log(0.5 * (1 - rule->top_p) * *total / (double)n);
    }
    if (rule->min_p > 0)
        least = VLM_MAX(least, log(rule->min_p) - 1e-3);
    return (float)((double)largest + least * rule->temperature - 1e-6 * fabs((double)largest));
}

static size_t draw_many(const struct vlm_loss_kernels *kernels,
                        const struct vlm_draw_scratch *scratch, const float *z, size_t n,
                        const struct vlm_draw_rule *rule, double unit)
{
    const float largest = find_largest(z, n);
    if (rule->temperature == 0) {
        size_t at = 0;
        while (z[at] != largest)
            at++;
        return at;
    }
    const bool all = !(rule->top_k && rule->top_k < n) && !(rule->top_p < 1) && !(rule->min_p > 0);
    if (all) {
        make_p(kernels, scratch->p, z, n, largest, rule->temperature);
        return draw_any(scratch->p, n, unit);
    }
    double total;
    const float least = find_least(kernels, scratch->p, z, n, largest, rule, &total);
    const size_t kept = keep_from(scratch->items, z, n, least);
    return draw_few(scratch->items, kept, rule, (double)largest, total, unit);
}

size_t vlm_draw(const struct vlm_loss_kernels *kernels, const struct vlm_draw_scratch *scratch,
                float *logits, size_t n, const struct vlm_draw_rule *rule, double unit)
{
    const bool slow = (rule->top_k > TOP_K_MOST && rule->top_k < n) || is_typical(rule);
    if (rule->temperature == 0 || (n > VLM_DRAW_FEW && !slow))
        return draw_many(kernels, scratch, logits, n, rule, unit);
    struct vlm_draw_item *items = scratch->items;
    const float largest = find_largest(logits, n);
    for (size_t i = 0; i < n; i++)
        items[i] = (struct vlm_draw_item){ .logit = logits[i], .at = (uint32_t)i };
    return draw_few(items, n, rule, (double)largest, 0, unit);
}
