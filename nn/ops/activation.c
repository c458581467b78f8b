/* activation.c - ops that treat each number for itself.
 *
 * Each op is a job of pointers and a function that does numbers [first, first + n) of it; the pool
 * runs the function over fixed chunks. The gradient of a result is dead after the node, so most
 * backward passes turn it into the gradient of the input where it lies and give the buffer away.
 */
#include "base/vlm.h"

#include "nn/ops/activation.h"

#include <math.h>

enum {
    CHUNK = 16384, /* numbers of a task: enough to be worth a wake-up, few enough to share out */
    PART = 512,    /* numbers of a temporary on the stack */
    COLS = 64,     /* columns that one task sums over many rows */
};

struct job {
    const struct vlm_row_kernels *kernels;
    void (*work)(const struct job *job, size_t first, size_t n);
    size_t count;
    enum vlm_activation kind;
    float factor;
    float *y, *z;
    const float *a, *b, *dy;
    size_t repeat;   /* b has this many numbers */
    bool accumulate; /* add to y, do not store */
    float *partial;  /* one for each chunk */
};

static void run_chunk(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t first = task * CHUNK;
    job->work(job, first, VLM_MIN((size_t)CHUNK, job->count - first));
}

/* Tasks that n things make, `part` in each. */
static size_t parts(size_t n, size_t part)
{
    return n / part + (n % part > 0);
}

static void run(const struct vlm_tape *tape, struct job *job)
{
    job->kernels = tape->engine->kernels->rows;
    vlm_pool_run(tape->engine->pool, parts(job->count, CHUNK), run_chunk, job);
}

/* ---- y = act(x) ---- */

struct activate_node {
    struct vlm_node node;
    struct vlm_tensor *x;
    enum vlm_activation kind;
};

static void activate_chunk(const struct job *job, size_t first, size_t n)
{
    job->kernels->activate(job->kind, job->y + first, job->a + first, n);
}

static void activate_backward_chunk(const struct job *job, size_t first, size_t n)
{
    job->kernels->activate_backward(job->kind, job->y + first, job->a + first, job->y + first, n);
}

static void activate_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct activate_node *self = (struct activate_node *)node;
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = activate_backward_chunk,
                                 .count = vlm_tensor_count(self->x),
                                 .kind = self->kind,
                                 .y = node->out->grad,
                                 .a = self->x->data });
    vlm_grad_give(tape, node, self->x);
}

struct vlm_tensor *vlm_activate(struct vlm_tape *tape, struct vlm_tensor *x,
                                enum vlm_activation kind)
{
    VLM_BUG_IF(x->dtype != VLM_F32);
    struct vlm_tensor *y = vlm_tensor_like(tape, "activate", x);
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = activate_chunk,
                                 .count = vlm_tensor_count(x),
                                 .kind = kind,
                                 .y = y->data,
                                 .a = x->data });
    struct activate_node *self =
        vlm_record(tape, sizeof(*self), activate_backward, y, x->needs_grad);
    if (self) {
        self->x = x;
        self->kind = kind;
    }
    return y;
}

/* ---- y = a + b ---- */

struct pair_node {
    struct vlm_node node;
    struct vlm_tensor *a, *b;
};

/* b repeated: the chunk is cut where b begins again. */
static void add_chunk(const struct job *job, size_t first, size_t n)
{
    while (n > 0) {
        size_t at = first % job->repeat;
        size_t part = VLM_MIN(n, job->repeat - at);
        job->kernels->add(job->y + first, job->a + first, job->b + at, part);
        first += part;
        n -= part;
    }
}

static void copy_chunk(const struct job *job, size_t first, size_t n)
{
    memcpy(job->y + first, job->a + first, n * sizeof(float));
}

static void scale_add_chunk(const struct job *job, size_t first, size_t n)
{
    job->kernels->scale_add(job->y + first, job->a + first, job->factor, n);
}

/* db of a b that was repeated: some columns of it, summed over the copies in order. */
static void sum_copies(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t first = task * COLS, n = VLM_MIN((size_t)COLS, job->repeat - first);
    double sum[COLS] = { 0 };
    for (size_t at = first; at < job->count; at += job->repeat)
        for (size_t i = 0; i < n; i++)
            sum[i] += (double)job->a[at + i];
    for (size_t i = 0; i < n; i++)
        job->y[first + i] = (float)sum[i] + (job->accumulate ? job->y[first + i] : 0);
}

static void add_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct pair_node *self = (struct pair_node *)node;
    struct job job = { .count = vlm_tensor_count(self->a),
                       .repeat = vlm_tensor_count(self->b),
                       .factor = 1,
                       .a = node->out->grad };
    job.y = vlm_grad_begin(tape, self->b, &job.accumulate);
    job.work = job.accumulate ? scale_add_chunk : copy_chunk;
    if (job.y && job.count == job.repeat)
        run(tape, &job);
    else if (job.y)
        vlm_pool_run(tape->engine->pool, parts(job.repeat, COLS), sum_copies, &job);
    vlm_grad_give(tape, node, self->a);
}

struct vlm_tensor *vlm_add(struct vlm_tape *tape, struct vlm_tensor *a, struct vlm_tensor *b)
{
    size_t count = vlm_tensor_count(a), repeat = vlm_tensor_count(b);
    VLM_BUG_IF(a->dtype != VLM_F32 || b->dtype != VLM_F32);
    VLM_BUG_IF(repeat == 0 ? count > 0 : count % repeat != 0);
    struct vlm_tensor *y = vlm_tensor_like(tape, "add", a);
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = add_chunk,
                                 .count = count,
                                 .repeat = repeat,
                                 .y = y->data,
                                 .a = a->data,
                                 .b = b->data });
    struct pair_node *self =
        vlm_record(tape, sizeof(*self), add_backward, y, a->needs_grad || b->needs_grad);
    if (self) {
        self->a = a;
        self->b = b;
    }
    return y;
}

/* ---- y = a b ---- */

static void multiply_chunk(const struct job *job, size_t first, size_t n)
{
    job->kernels->multiply(job->y + first, job->a + first, job->b + first, n);
}

static void multiply_add_chunk(const struct job *job, size_t first, size_t n)
{
    job->kernels->multiply_add(job->y + first, job->a + first, job->b + first, n);
}

/* db += a dy; da = b dy in the place of dy. When a is b both are added to the same buffer. */
static void multiply_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct pair_node *self = (struct pair_node *)node;
    struct job job = { .count = vlm_tensor_count(self->a), .dy = node->out->grad };
    job.y = vlm_grad_begin(tape, self->b, &job.accumulate);
    if (job.y) {
        job.work = job.accumulate ? multiply_add_chunk : multiply_chunk;
        job.a = self->a->data;
        job.b = node->out->grad;
        run(tape, &job);
    }
    if (!self->a->needs_grad)
        return;
    if (vlm_tape_runs(tape)) {
        job.work = multiply_chunk;
        job.y = node->out->grad;
        job.a = self->b->data;
        job.b = node->out->grad;
        run(tape, &job);
    }
    vlm_grad_give(tape, node, self->a);
}

struct vlm_tensor *vlm_multiply(struct vlm_tape *tape, struct vlm_tensor *a, struct vlm_tensor *b)
{
    VLM_BUG_IF(a->dtype != VLM_F32 || b->dtype != VLM_F32);
    VLM_BUG_IF(vlm_tensor_count(a) != vlm_tensor_count(b));
    struct vlm_tensor *y = vlm_tensor_like(tape, "multiply", a);
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = multiply_chunk,
                                 .count = vlm_tensor_count(a),
                                 .y = y->data,
                                 .a = a->data,
                                 .b = b->data });
    struct pair_node *self =
        vlm_record(tape, sizeof(*self), multiply_backward, y, a->needs_grad || b->needs_grad);
    if (self) {
        self->a = a;
        self->b = b;
    }
    return y;
}

/* ---- y = factor x ---- */

struct scale_node {
    struct vlm_node node;
    struct vlm_tensor *x;
    float factor;
};

static void scale_chunk(const struct job *job, size_t first, size_t n)
{
    job->kernels->scale(job->y + first, job->a + first, job->factor, n);
}

static void scale_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct scale_node *self = (struct scale_node *)node;
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = scale_chunk,
                                 .count = vlm_tensor_count(self->x),
                                 .factor = self->factor,
                                 .y = node->out->grad,
                                 .a = node->out->grad });
    vlm_grad_give(tape, node, self->x);
}

struct vlm_tensor *vlm_scale(struct vlm_tape *tape, struct vlm_tensor *x, float factor)
{
    VLM_BUG_IF(x->dtype != VLM_F32);
    struct vlm_tensor *y = vlm_tensor_like(tape, "scale", x);
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = scale_chunk,
                                 .count = vlm_tensor_count(x),
                                 .factor = factor,
                                 .y = y->data,
                                 .a = x->data });
    struct scale_node *self = vlm_record(tape, sizeof(*self), scale_backward, y, x->needs_grad);
    if (self) {
        self->x = x;
        self->factor = factor;
    }
    return y;
}

/* ---- y = silu(gate) up ---- */

static void swiglu_chunk(const struct job *job, size_t first, size_t n)
{
    job->kernels->swiglu(job->y + first, job->a + first, job->b + first, n);
}

/* dgate (a) in the place of dy (y), dup (b) added to z if it is wanted. */
static void swiglu_backward_chunk(const struct job *job, size_t first, size_t n)
{
    float dup[PART];
    for (size_t i = first; i < first + n; i += PART) {
        size_t part = VLM_MIN((size_t)PART, first + n - i);
        float *dy = job->y + i;
        job->kernels->swiglu_backward(dy, dup, job->a + i, job->b + i, dy, part);
        if (job->z)
            job->kernels->scale_add(job->z + i, dup, 1, part);
    }
}

static void swiglu_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct pair_node *self = (struct pair_node *)node;
    float *dup = vlm_grad(tape, self->b);
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = swiglu_backward_chunk,
                                 .count = vlm_tensor_count(self->a),
                                 .y = node->out->grad,
                                 .z = dup,
                                 .a = self->a->data,
                                 .b = self->b->data });
    vlm_grad_give(tape, node, self->a);
}

struct vlm_tensor *vlm_swiglu(struct vlm_tape *tape, struct vlm_tensor *gate, struct vlm_tensor *up)
{
    VLM_BUG_IF(gate->dtype != VLM_F32 || up->dtype != VLM_F32);
    VLM_BUG_IF(vlm_tensor_count(gate) != vlm_tensor_count(up));
    struct vlm_tensor *y = vlm_tensor_like(tape, "swiglu", gate);
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = swiglu_chunk,
                                 .count = vlm_tensor_count(gate),
                                 .y = y->data,
                                 .a = gate->data,
                                 .b = up->data });
    struct pair_node *self =
        vlm_record(tape, sizeof(*self), swiglu_backward, y, gate->needs_grad || up->needs_grad);
    if (self) {
        self->a = gate;
        self->b = up;
    }
    return y;
}

/* ---- y = x + tanh(gate) f ---- */

struct gated_node {
    struct vlm_node node;
    struct vlm_tensor *x, *f, *gate;
};

static void gated_chunk(const struct job *job, size_t first, size_t n)
{
    memcpy(job->y + first, job->a + first, n * sizeof(float));
    job->kernels->scale_add(job->y + first, job->b + first, job->factor, n);
}

static void dot_chunk(const struct job *job, size_t first, size_t n)
{
    job->partial[first / CHUNK] = job->kernels->dot(job->b + first, job->dy + first, n);
}

/* dgate: the dot products of the chunks are added in their order. */
static void gate_backward(struct vlm_tape *tape, struct gated_node *self, const float *dy)
{
    size_t mark = vlm_memory_mark(&tape->scratch);
    size_t count = vlm_tensor_count(self->f);
    float *partial = vlm_scratch(tape, parts(count, CHUNK), sizeof(*partial));
    float *dgate = vlm_grad(tape, self->gate);
    if (dgate && partial) {
        run(tape, &(struct job){ .work = dot_chunk,
                                 .count = count,
                                 .b = self->f->data,
                                 .dy = dy,
                                 .partial = partial });
        double sum = 0;
        for (size_t i = 0; i < parts(count, CHUNK); i++)
            sum += partial[i];
        double tanh_gate = tanh(self->gate->data[0]);
        *dgate += (float)((1 - tanh_gate * tanh_gate) * sum);
    }
    vlm_memory_return(&tape->scratch, mark);
}

static void gated_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct gated_node *self = (struct gated_node *)node;
    if (self->gate->needs_grad)
        gate_backward(tape, self, node->out->grad);
    bool accumulate;
    float *df = vlm_grad_begin(tape, self->f, &accumulate);
    if (df)
        run(tape, &(struct job){ .work = accumulate ? scale_add_chunk : scale_chunk,
                                 .count = vlm_tensor_count(self->f),
                                 .factor = tanhf(self->gate->data[0]),
                                 .y = df,
                                 .a = node->out->grad });
    vlm_grad_give(tape, node, self->x);
}

struct vlm_tensor *vlm_gated_residual(struct vlm_tape *tape, struct vlm_tensor *x,
                                      struct vlm_tensor *f, struct vlm_tensor *gate)
{
    VLM_BUG_IF(x->dtype != VLM_F32 || f->dtype != VLM_F32);
    VLM_BUG_IF(vlm_tensor_count(x) != vlm_tensor_count(f) || vlm_tensor_count(gate) != 1);
    struct vlm_tensor *y = vlm_tensor_like(tape, "gated residual", x);
    if (vlm_tape_runs(tape))
        run(tape, &(struct job){ .work = gated_chunk,
                                 .count = vlm_tensor_count(x),
                                 .factor = tanhf(gate->data[0]),
                                 .y = y->data,
                                 .a = x->data,
                                 .b = f->data });
    struct gated_node *self = vlm_record(tape, sizeof(*self), gated_backward, y,
                                         x->needs_grad || f->needs_grad || gate->needs_grad);
    if (self) {
        self->x = x;
        self->f = f;
        self->gate = gate;
    }
    return y;
}
