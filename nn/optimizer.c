/* optimizer.c - AdamW over a list of parameters.
 *
 * Each parameter is cut into blocks of BLOCK floats; a block is one task for the threads, whatever
 * their number, and one partial sum of the norm. The kernels are update_kernels.h. */
#include "base/vlm.h"

#include <math.h>

#include "nn/optimizer.h"

/* Floats of a task: p, g, m and v of it together stay in the second cache, where the moving average
 * finds p again. */
enum { BLOCK = 1 << 14, ALIGN_FLOATS = VLM_MEMORY_ALIGN / sizeof(float) };

/* Beyond this a square may overflow a float, and v would be infinite for ever. */
static const double norm_max = 1e19;

static bool is_frozen(const struct vlm_parameter *p)
{
    return p->flags & VLM_PARAMETER_FROZEN;
}

static size_t aligned_count(const struct vlm_parameter *p)
{
    size_t count = vlm_tensor_count(p->tensor);
    return is_frozen(p) ? 0 : (count + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

/* Arrays in the state: m, v and perhaps the average. */
static size_t state_arrays(const struct vlm_optimizer_options *options)
{
    return options->average > 0 ? 3 : 2;
}

size_t vlm_optimizer_bytes(const struct vlm_parameter *list, size_t count,
                           const struct vlm_optimizer_options *options)
{
    size_t floats = 0;
    for (size_t i = 0; i < count; i++)
        floats += aligned_count(&list[i]);
    return floats * state_arrays(options) * sizeof(float);
}

static int check_options(const struct vlm_optimizer_options *o, struct vlm_err *err)
{
    const struct {
        const char *name;
        double value, end; /* 0 <= value < end */
    } number[] = {
        { "beta1", o->beta1, 1 },     { "beta2", o->beta2, 1 },
        { "epsilon", o->epsilon, 1 }, { "weight decay", o->decay, INFINITY },
        { "average", o->average, 1 }, { "gradient norm to clip at", o->clip_norm, INFINITY },
    };
    for (size_t i = 0; i < VLM_COUNTOF(number); i++)
        if (!(number[i].value >= 0 && number[i].value < number[i].end))
            return vlm_fail(err, VLM_EUSAGE, "%s of %g is not from 0 to below %g", number[i].name,
                            number[i].value, number[i].end);
    return VLM_OK;
}

static int allocate(struct vlm_optimizer *o, struct vlm_err *err)
{
    size_t bytes = vlm_optimizer_bytes(o->list, o->count, &o->options);
    o->partial = calloc(o->first_block[o->count] + 1, sizeof(*o->partial));
    if (!o->partial)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the norms of %zu parameters", o->count);
    if (bytes == 0) /* everything is frozen */
        return VLM_OK;
    int rc = vlm_memory_init(&o->memory, bytes, 0, err);
    if (rc)
        return vlm_wrap(err, "state of the optimizer");
    o->state = vlm_memory_take(&o->memory, 1, bytes);
    memset(o->state, 0, bytes);
    for (size_t i = 0; i < o->count; i++) {
        float *average = vlm_optimizer_state(o, i, VLM_STATE_AVERAGE);
        const struct vlm_tensor *p = o->list[i].tensor;
        if (average)
            memcpy(average, p->data, vlm_tensor_count(p) * sizeof(float));
    }
    return VLM_OK;
}

int vlm_optimizer_init(struct vlm_optimizer *o, const struct vlm_engine *engine,
                       const struct vlm_parameter *list, size_t count,
                       const struct vlm_optimizer_options *options, struct vlm_err *err)
{
    *o = (struct vlm_optimizer){ .options = *options, .engine = engine, .count = count };
    int rc = check_options(options, err);
    if (rc)
        return rc;
    o->list = calloc(count + 1, sizeof(*o->list));
    o->first_block = calloc(count + 1, sizeof(*o->first_block));
    o->offset = calloc(count + 1, sizeof(*o->offset));
    if (!o->list || !o->first_block || !o->offset) {
        vlm_optimizer_release(o);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu parameters", count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct vlm_tensor *t = list[i].tensor;
        size_t n = is_frozen(&list[i]) ? 0 : vlm_tensor_count(t);
        VLM_BUG_IF(!is_frozen(&list[i]) && (t->dtype != VLM_F32 || !t->data || !t->grad));
        o->list[i] = list[i];
        o->offset[i] = o->state_floats;
        o->state_floats += aligned_count(&list[i]);
        o->first_block[i + 1] = o->first_block[i] + (n + BLOCK - 1) / BLOCK;
    }
    rc = allocate(o, err);
    if (rc)
        vlm_optimizer_release(o);
    return rc;
}

void vlm_optimizer_release(struct vlm_optimizer *o)
{
    free(o->list);
    free(o->first_block);
    free(o->offset);
    free(o->partial);
    vlm_memory_release(&o->memory);
    *o = (struct vlm_optimizer){ 0 };
}

float *vlm_optimizer_state(struct vlm_optimizer *o, size_t index, enum vlm_optimizer_part which)
{
    VLM_BUG_IF(index >= o->count);
    if (is_frozen(&o->list[index]) || (size_t)which >= state_arrays(&o->options) || !o->state)
        return NULL;
    return o->state + which * o->state_floats + o->offset[index];
}

/* A block of the list: floats begin to begin + n of parameter `index`. */
struct block {
    size_t index, begin, n;
};

static struct block find_block(const struct vlm_optimizer *o, size_t number)
{
    size_t low = 0, high = o->count; /* first_block[low] <= number < first_block[high] */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (o->first_block[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    size_t begin = (number - o->first_block[low]) * BLOCK;
    size_t rest = vlm_tensor_count(o->list[low].tensor) - begin;
    return (struct block){ low, begin, VLM_MIN(rest, (size_t)BLOCK) };
}

static void clear_block(void *job, size_t task, size_t worker)
{
    (void)worker;
    const struct vlm_optimizer *o = job;
    struct block b = find_block(o, task);
    memset(o->list[b.index].tensor->grad + b.begin, 0, b.n * sizeof(float));
}

void vlm_optimizer_clear(struct vlm_optimizer *o)
{
    vlm_pool_run(o->engine->pool, o->first_block[o->count], clear_block, o);
}

static void norm_of_block(void *job, size_t task, size_t worker)
{
    (void)worker;
    struct vlm_optimizer *o = job;
    struct block b = find_block(o, task);
    const float *g = o->list[b.index].tensor->grad + b.begin;
    o->partial[task] = o->engine->kernels->update->sum_squares(g, b.n);
}

double vlm_optimizer_norm(struct vlm_optimizer *o)
{
    size_t blocks = o->first_block[o->count];
    vlm_pool_run(o->engine->pool, blocks, norm_of_block, o);
    double sum = 0;
    for (size_t i = 0; i < blocks; i++)
        sum += o->partial[i];
    return sqrt(sum);
}

struct step_job {
    struct vlm_optimizer *optimizer;
    double rate, clip;
    double m_part, v_part; /* 1 - beta^t of both moments */
};

static void update_block(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct step_job *job = argument;
    struct vlm_optimizer *o = job->optimizer;
    const struct vlm_update_kernels *kernels = o->engine->kernels->update;
    struct block b = find_block(o, task);
    const struct vlm_parameter *p = &o->list[b.index];
    double rate = p->rate_scale != 0 ? job->rate * (double)p->rate_scale : job->rate;
    double decay = p->flags & VLM_PARAMETER_DECAY ? o->options.decay : 0;
    struct vlm_adamw_factors factors = {
        .gradient = (float)job->clip,
        .keep = (float)(1 - rate * decay),
        .m_new = (float)(1 - o->options.beta1),
        .v_old = (float)o->options.beta2,
        .v_new = (float)(1 - o->options.beta2),
        .rate = (float)(rate / job->m_part),
        .inverse_root = (float)(1 / sqrt(job->v_part)),
        .epsilon = (float)o->options.epsilon,
    };
    float *m = vlm_optimizer_state(o, b.index, VLM_STATE_M) + b.begin;
    float *v = vlm_optimizer_state(o, b.index, VLM_STATE_V) + b.begin;
    float *average = vlm_optimizer_state(o, b.index, VLM_STATE_AVERAGE);
    kernels->adamw(p->tensor->data + b.begin, m, v, p->tensor->grad + b.begin, b.n, &factors);
    if (average)
        kernels->average(average + b.begin, p->tensor->data + b.begin,
                         (float)(1 - o->options.average), b.n);
}

int vlm_optimizer_step(struct vlm_optimizer *o, double rate, double norm, struct vlm_err *err)
{
    VLM_BUG_IF(!isfinite(rate));
    double clip = o->options.clip_norm > 0 ? fmin(1, o->options.clip_norm / (norm + 1e-6)) : 1;
    if (!isfinite(norm) || norm * clip > norm_max)
        return vlm_fail(err, VLM_SKIP, "norm of the gradient is %g", norm);
    o->step++;
    struct step_job job = {
        .optimizer = o,
        .rate = rate,
        .clip = clip,
        .m_part = 1 - pow(o->options.beta1, (double)o->step),
        .v_part = 1 - pow(o->options.beta2, (double)o->step),
    };
    vlm_pool_run(o->engine->pool, o->first_block[o->count], update_block, &job);
    return VLM_OK;
}
