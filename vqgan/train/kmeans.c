/* kmeans.c - k-means++ and Lloyd's rounds over gemm.
 *
 * Distances come from products of blocks of vectors with all centres, |v - c|^2 / 2 = |v|^2 / 2 - (v . c
 * - |c|^2 / 2); the largest bracket wins, the lowest number on a tie. Sums over the vectors of a centre
 * are made in the order of vectors by one thread, in double. */
#include "base/vlm.h"

#include "vqgan/train/kmeans.h"

#include "base/limits.h"
#include "base/random.h"
#include "nn/gemm.h"

#include <math.h>

enum {
    BLOCK = 4096,        /* vectors whose products are in memory at once */
    TASK = 64,           /* vectors of a task */
    SEED_SAMPLE = 65536, /* vectors that k-means++ looks at */
    SUM_TASKS = 16,      /* fixed: parts of the centres whose sums are made side by side */
};

struct work {
    const struct vlm_engine *engine;
    const struct vlm_kmeans *job;
    float *centres;
    uint32_t *nearest; /* [n] */
    float *distance;   /* [n] square, to the nearest */
    float *half;       /* [K] |c|^2 / 2 */
    float *scores;     /* [BLOCK, K] */
    double *sums;      /* [K, width] */
    uint64_t *counts;  /* [K] */
    void *scratch;
    size_t first, end; /* of the block at hand */
};

static float square(const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static float square_distance(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* ---- the nearest centre of each vector ---- */

static void choose(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct work *work = argument;
    const size_t codes = work->job->centres, width = work->job->width;
    const size_t blocks = (codes + VLM_MAX_BLOCK - 1) / VLM_MAX_BLOCK;
    float max[VLM_CODEBOOK_MAX / VLM_MAX_BLOCK + 1];
    const size_t first = work->first + task * TASK, end = VLM_MIN(first + TASK, work->end);
    for (size_t v = first; v < end; v++) {
        const float *scores = work->scores + (v - work->first) * codes;
        work->engine->kernels->rows->block_max(max, scores, work->half, codes);
        size_t block = 0;
        for (size_t b = 1; b < blocks; b++)
            block = max[b] > max[block] ? b : block;
        size_t best = block * VLM_MAX_BLOCK;
        while (best + 1 < codes && scores[best] - work->half[best] < max[block])
            best++;
        work->nearest[v] = (uint32_t)best;
        work->distance[v] =
            square_distance(work->job->vectors + v * width, work->centres + best * width, width);
    }
}

static struct vlm_gemm product(const struct work *work, size_t first, size_t rows)
{
    const struct vlm_kmeans *job = work->job;
    return (struct vlm_gemm){
        .m = rows,
        .n = job->centres,
        .k = job->width,
        .a = { .f32 = job->vectors + first * job->width, .row = job->width, .col = 1 },
        .b = { .f32 = work->centres, .row = job->width, .col = 1 },
        .c = work->scores,
        .c_row = job->centres,
    };
}

/* Mean square distance. */
static double assign(struct work *work)
{
    const struct vlm_kmeans *job = work->job;
    double sum = 0;
    for (size_t k = 0; k < job->centres; k++)
        work->half[k] = square(work->centres + k * job->width, job->width) / 2;
    for (size_t first = 0; first < job->n; first += BLOCK) {
        work->first = first;
        work->end = VLM_MIN(first + BLOCK, job->n);
        struct vlm_gemm gemm = product(work, first, work->end - first);
        vlm_gemm(work->engine, &gemm, work->scratch);
        vlm_pool_run(work->engine->pool, (gemm.m + TASK - 1) / TASK, choose, work);
    }
    for (size_t v = 0; v < job->n; v++)
        sum += (double)work->distance[v];
    return sum / (double)job->n;
}

/* ---- the mean of each centre's vectors ---- */

static void sum_up(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct work *work = argument;
    const struct vlm_kmeans *job = work->job;
    const size_t first = job->centres * task / SUM_TASKS,
                 end = job->centres * (task + 1) / SUM_TASKS;
    memset(work->counts + first, 0, (end - first) * sizeof(*work->counts));
    memset(work->sums + first * job->width, 0, (end - first) * job->width * sizeof(*work->sums));
    for (size_t v = 0; v < job->n; v++) {
        const size_t k = work->nearest[v];
        if (k < first || k >= end)
            continue;
        work->counts[k]++;
        for (size_t i = 0; i < job->width; i++)
            work->sums[k * job->width + i] += (double)job->vectors[v * job->width + i];
    }
}

/* The vector that is farthest from its centre; it is then on one. */
static size_t take_farthest(struct work *work)
{
    size_t farthest = 0;
    for (size_t v = 1; v < work->job->n; v++)
        if (work->distance[v] > work->distance[farthest])
            farthest = v;
    work->distance[farthest] = 0;
    return farthest;
}

static void move_centres(struct work *work)
{
    const struct vlm_kmeans *job = work->job;
    vlm_pool_run(work->engine->pool, SUM_TASKS, sum_up, work);
    for (size_t k = 0; k < job->centres; k++) {
        float *centre = work->centres + k * job->width;
        if (!work->counts[k])
            memcpy(centre, job->vectors + take_farthest(work) * job->width,
                   job->width * sizeof(float));
        for (size_t i = 0; work->counts[k] && i < job->width; i++)
            centre[i] = (float)(work->sums[k * job->width + i] / (double)work->counts[k]);
    }
}

/* ---- the first centres ---- */

struct nearer_job {
    const struct work *work;
    const float *centre;
    size_t sample;
};

/* Vector s of the sample, which is spread evenly over all. */
static const float *sampled(const struct vlm_kmeans *job, size_t sample, size_t s)
{
    return job->vectors + (size_t)((double)s * ((double)job->n / (double)sample)) * job->width;
}

static void nearer(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct nearer_job *self = argument;
    const struct vlm_kmeans *job = self->work->job;
    const size_t first = task * 1024, end = VLM_MIN(first + 1024, self->sample);
    for (size_t s = first; s < end; s++) {
        float d = square_distance(sampled(job, self->sample, s), self->centre, job->width);
        self->work->distance[s] = VLM_MIN(self->work->distance[s], d);
    }
}

/* Each next centre is a vector drawn with a chance proportional to its square distance to the nearest
 * of those before. */
static void plus_plus(struct work *work)
{
    const struct vlm_kmeans *job = work->job;
    const size_t sample = VLM_MIN(job->n, VLM_MAX((size_t)SEED_SAMPLE, job->centres));
    struct vlm_random random = vlm_random_at(job->seed, 0x6b6d65616e73u, 0);
    size_t chosen = (size_t)vlm_random_below(&random, sample);
    for (size_t s = 0; s < sample; s++)
        work->distance[s] = INFINITY;
    for (size_t k = 0; k < job->centres; k++) {
        float *centre = work->centres + k * job->width;
        memcpy(centre, sampled(job, sample, chosen), job->width * sizeof(float));
        struct nearer_job self = { work, centre, sample };
        vlm_pool_run(work->engine->pool, (sample + 1023) / 1024, nearer, &self);
        double sum = 0;
        for (size_t s = 0; s < sample; s++)
            sum += (double)work->distance[s];
        double mark = sum * vlm_random_unit(&random);
        for (chosen = 0; chosen + 1 < sample; chosen++)
            if ((mark -= (double)work->distance[chosen]) < 0)
                break;
    }
}

static int check(const struct vlm_kmeans *job, struct vlm_err *err)
{
    VLM_BUG_IF(job->centres > VLM_CODEBOOK_MAX);
    if (job->n < job->centres || !job->centres)
        return vlm_fail(err, VLM_EFORMAT, "%zu vectors cannot have %zu centres", job->n,
                        job->centres);
    for (size_t i = 0; i < job->n * job->width; i++)
        if (!isfinite(job->vectors[i]))
            return vlm_fail(err, VLM_EFORMAT, "vector %zu has a number that is not finite",
                            i / job->width);
    return VLM_OK;
}

int vlm_kmeans(const struct vlm_engine *engine, float *centres, uint32_t *nearest,
               const struct vlm_kmeans *job, struct vlm_err *err)
{
    int rc = check(job, err);
    if (rc != VLM_OK)
        return rc;
    struct work work = { .engine = engine, .job = job, .centres = centres };
    struct vlm_gemm largest = product(&work, 0, VLM_MIN(job->n, (size_t)BLOCK));
    const size_t scratch = (vlm_gemm_scratch(engine, &largest) + 63) / 64 * 64;
    work.nearest = nearest ? nearest : calloc(job->n, sizeof(*work.nearest));
    work.distance = calloc(job->n, sizeof(*work.distance));
    work.half = calloc(job->centres, sizeof(*work.half));
    work.scores = calloc((size_t)BLOCK * job->centres, sizeof(*work.scores));
    work.sums = calloc(job->centres * job->width, sizeof(*work.sums));
    work.counts = calloc(job->centres, sizeof(*work.counts));
    work.scratch = aligned_alloc(64, scratch);
    if (!work.nearest || !work.distance || !work.half || !work.scores || !work.sums ||
        !work.counts || !work.scratch)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for k-means over %zu vectors", job->n);
    if (rc == VLM_OK) {
        plus_plus(&work);
        double before = assign(&work);
        for (size_t round = 0; round < job->rounds; round++) {
            move_centres(&work);
            double distance = assign(&work);
            if (job->tell)
                job->tell(round + 1, distance, job->context);
            if (distance >= before)
                break;
            before = distance;
        }
    }
    if (!nearest)
        free(work.nearest);
    free(work.distance);
    free(work.half);
    free(work.scores);
    free(work.sums);
    free(work.counts);
    free(work.scratch);
    return rc;
}
