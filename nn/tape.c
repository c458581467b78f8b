/* tape.c - records ops as they run, and walks back over them for the gradients.
 *
 * Gradients of results are taken from the stack `grads` and, once the node that made the result has
 * been walked, kept in a list to be used again for a result of the same size: a network of equal
 * blocks then needs the gradients of about one block. The walk is one loop; recomputation is a node
 * that runs its block again and walks what that recorded. */
#include "base/vlm.h"

#include <math.h>
#include <unistd.h>

#include "base/limits.h"
#include "nn/tape.h"

enum { ADD_BLOCK = 1 << 14 };      /* floats that one task of vlm_grad_give() adds */
#define STACK_LEAST (64 * VLM_MIB) /* that is worth a try where address space is limited */
#define RECORDS_MAX VLM_GIB        /* tensors and nodes of one step: millions */

struct vlm_free_grad {
    float *buffer;
    size_t bytes;
    struct vlm_free_grad *next;
};

static size_t memory_of_machine(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : (size_t)1 << 34;
}

static int reserve(struct vlm_tape *tape, size_t cap, unsigned flags, struct vlm_err *err)
{
    struct vlm_memory *stack[] = { &tape->step, &tape->grads, &tape->scratch };
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(stack); i++)
        rc = vlm_memory_init(stack[i], cap, flags, err);
    for (size_t i = 0; rc != VLM_OK && i < VLM_COUNTOF(stack); i++)
        vlm_memory_release(stack[i]);
    return rc;
}

/* All that the machine has, for it costs nothing before it is used; where address space is limited (RLIMIT_AS, strict
 * overcommit) half of what can be had, since others need some. */
static int reserve_most(struct vlm_tape *tape, struct vlm_err *err)
{
    size_t cap = memory_of_machine();
    int rc = reserve(tape, cap, 0, err);
    if (rc == VLM_OK)
        return rc;
    while (rc != VLM_OK && cap > STACK_LEAST) {
        cap /= 2;
        rc = reserve(tape, cap, 0, err);
    }
    if (rc != VLM_OK)
        return rc;
    vlm_memory_release(&tape->step);
    vlm_memory_release(&tape->grads);
    vlm_memory_release(&tape->scratch);
    return reserve(tape, cap / 2, 0, err);
}

int vlm_tape_init(struct vlm_tape *tape, const struct vlm_engine *engine,
                  const struct vlm_tape_options *options, struct vlm_err *err)
{
    *tape = (struct vlm_tape){
        .engine = engine,
        .precision = options->precision,
        .flags = options->flags,
    };
    vlm_arena_init(&tape->records, RECORDS_MAX);
    bool dry = options->flags & VLM_TAPE_DRY;
    int rc = dry               ? reserve(tape, SIZE_MAX / 4, VLM_MEMORY_COUNT, err)
             : options->memory ? reserve(tape, options->memory, 0, err)
                               : reserve_most(tape, err);
    if (rc != VLM_OK)
        vlm_tape_release(tape);
    return rc;
}

void vlm_tape_release(struct vlm_tape *tape)
{
    vlm_memory_release(&tape->step);
    vlm_memory_release(&tape->grads);
    vlm_memory_release(&tape->scratch);
    vlm_arena_release(&tape->records);
    *tape = (struct vlm_tape){ 0 };
}

void vlm_tape_reset(struct vlm_tape *tape)
{
    vlm_memory_return(&tape->step, 0);
    vlm_memory_return(&tape->grads, 0);
    vlm_memory_return(&tape->scratch, 0);
    vlm_arena_reset(&tape->records);
    tape->last = NULL;
    tape->free_grads = NULL;
    tape->ops = 0;
    tape->flops = 0;
    tape->failed = false;
    tape->err = (struct vlm_err){ 0 };
}

int vlm_tape_error(const struct vlm_tape *tape, struct vlm_err *err)
{
    if (!tape->failed)
        return VLM_OK;
    return vlm_fail(err, tape->err.code, "%s", tape->err.msg);
}

void vlm_tape_fail(struct vlm_tape *tape, int code, const char *format, ...)
{
    if (tape->failed)
        return;
    char sentence[sizeof(tape->err.msg)];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof(sentence), format, list);
    va_end(list);
    tape->failed = true;
    vlm_fail(&tape->err, code, "%s", sentence);
}

size_t vlm_tape_peak(const struct vlm_tape *tape)
{
    return tape->step.peak + tape->grads.peak + tape->scratch.peak;
}

/* count * size bytes of a stack; the tape fails when there are none. */
static void *take(struct vlm_tape *tape, struct vlm_memory *stack, const char *what, size_t count,
                  size_t size)
{
    if (tape->failed)
        return NULL;
    void *p = vlm_memory_take(stack, count, size);
    if (!p)
        vlm_tape_fail(tape, VLM_ELIMIT,
                      "%s of %zu x %zu bytes does not fit: %zu of %zu bytes are in use", what,
                      count, size, stack->used, stack->cap);
    return p;
}

struct vlm_tensor *vlm_tensor_new(struct vlm_tape *tape, const char *name, enum vlm_dtype dtype,
                                  unsigned rank, const size_t *shape)
{
    VLM_BUG_IF(rank < 1 || rank > VLM_RANK_MAX);
    struct vlm_tensor *t = vlm_arena_zero(&tape->records, 1, sizeof(*t));
    if (!t) {
        vlm_tape_fail(tape, VLM_ELIMIT, "too many tensors in one step");
        t = &tape->spare;
        *t = (struct vlm_tensor){ 0 };
    }
    t->name = name;
    t->dtype = dtype;
    t->rank = rank;
    memcpy(t->shape, shape, rank * sizeof(*shape));
    size_t count = 1;
    for (unsigned i = 0; i < rank; i++)
        if (__builtin_mul_overflow(count, shape[i], &count))
            count = SIZE_MAX; /* take() refuses it */
    t->data = take(tape, &tape->step, name, count, dtype == VLM_BF16 ? 2 : 4);
    return t;
}

struct vlm_tensor *vlm_tensor_like(struct vlm_tape *tape, const char *name,
                                   const struct vlm_tensor *x)
{
    return vlm_tensor_new(tape, name, VLM_F32, x->rank, x->shape);
}

struct vlm_tensor *vlm_tensor_matrix(struct vlm_tape *tape, const char *name, size_t rows,
                                     size_t cols)
{
    return vlm_tensor_new(tape, name, VLM_F32, 2, (size_t[]){ rows, cols });
}

/* Fails the tape when some of the rows x cols numbers of x are NaN or infinite. */
static void check_finite(struct vlm_tape *tape, const char *what, const struct vlm_tensor *t,
                         const float *x)
{
    size_t count = vlm_tensor_count(t), cols = vlm_tensor_cols(t), bad = 0, first = 0;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i]) && bad++ == 0)
            first = i;
    if (bad)
        vlm_tape_fail(tape, VLM_EFORMAT,
                      "%s of %s (op %" PRIu64
                      " of the step): %zu of %zu values are not finite, the "
                      "first at row %zu, column %zu",
                      what, t->name, tape->ops, bad, count, first / cols, first % cols);
}

void *vlm_record(struct vlm_tape *tape, size_t size, vlm_backward_fn backward,
                 struct vlm_tensor *out, bool needs_grad)
{
    tape->ops++;
    out->needs_grad = needs_grad;
    if (tape->stop && atomic_load(tape->stop))
        vlm_tape_fail(tape, VLM_ESTOPPED, "nobody wants the result any more");
    if ((tape->flags & VLM_TAPE_CHECK_FINITE) && vlm_tape_runs(tape) && out->dtype == VLM_F32)
        check_finite(tape, "result", out, out->data);
    if (!needs_grad || !vlm_tape_records(tape))
        return NULL;
    struct vlm_node *node = vlm_arena_zero(&tape->records, 1, size);
    if (!node) {
        vlm_tape_fail(tape, VLM_ELIMIT, "too many ops in one step");
        return NULL;
    }
    node->backward = backward;
    node->out = out;
    node->previous = tape->last;
    tape->last = node;
    return node;
}

/* A gradient buffer of so many floats: one that waits, or a new one. Not cleared. */
static float *grad_buffer(struct vlm_tape *tape, size_t count)
{
    size_t bytes = count * sizeof(float);
    for (struct vlm_free_grad **at = &tape->free_grads; *at; at = &(*at)->next)
        if ((*at)->bytes == bytes) {
            float *buffer = (*at)->buffer;
            *at = (*at)->next;
            return buffer;
        }
    return take(tape, &tape->grads, "gradient", count, sizeof(float));
}

static void grad_buffer_return(struct vlm_tape *tape, struct vlm_tensor *t)
{
    struct vlm_free_grad *waiting = vlm_arena_alloc(&tape->records, 1, sizeof(*waiting));
    if (waiting) { /* else it is lost until the reset */
        waiting->buffer = t->grad;
        waiting->bytes = vlm_tensor_count(t) * sizeof(float);
        waiting->next = tape->free_grads;
        tape->free_grads = waiting;
    }
    t->grad = NULL;
}

float *vlm_grad_begin(struct vlm_tape *tape, struct vlm_tensor *t, bool *accumulate)
{
    *accumulate = true;
    if (!t->needs_grad)
        return NULL;
    if (!t->grad) {
        *accumulate = false;
        t->grad = grad_buffer(tape, vlm_tensor_count(t));
    }
    return vlm_tape_runs(tape) ? t->grad : NULL;
}

float *vlm_grad(struct vlm_tape *tape, struct vlm_tensor *t)
{
    bool accumulate;
    float *grad = vlm_grad_begin(tape, t, &accumulate);
    if (grad && !accumulate)
        memset(grad, 0, vlm_tensor_count(t) * sizeof(float));
    return grad;
}

struct add_job {
    float *to;
    const float *from;
    size_t count;
};

static void add_block(void *argument, size_t task, size_t worker)
{
    (void)worker;
    struct add_job *job = argument;
    size_t begin = task * ADD_BLOCK, end = VLM_MIN(begin + ADD_BLOCK, job->count);
    float *restrict to = job->to;
    const float *restrict from = job->from;
    for (size_t i = begin; i < end; i++)
        to[i] += from[i];
}

void vlm_grad_give(struct vlm_tape *tape, struct vlm_node *node, struct vlm_tensor *t)
{
    struct vlm_tensor *out = node->out;
    if (!t->needs_grad)
        return;
    if (!t->grad) {
        t->grad = out->grad;
        out->grad = NULL;
    } else if (vlm_tape_runs(tape)) {
        struct add_job job = { t->grad, out->grad, vlm_tensor_count(t) };
        vlm_pool_run(tape->engine->pool, (job.count + ADD_BLOCK - 1) / ADD_BLOCK, add_block, &job);
    }
}

/* Walks back from tape->last to the first node. */
static void walk(struct vlm_tape *tape)
{
    for (struct vlm_node *node = tape->last; node && !tape->failed; node = node->previous) {
        if (!node->out->grad)
            continue;
        if ((tape->flags & VLM_TAPE_CHECK_FINITE) && vlm_tape_runs(tape))
            check_finite(tape, "gradient", node->out, node->out->grad);
        node->backward(tape, node);
        if (node->out->grad)
            grad_buffer_return(tape, node->out);
    }
    tape->last = NULL;
}

int vlm_backward(struct vlm_tape *tape, struct vlm_tensor *loss, struct vlm_err *err)
{
    if (!tape->failed && tape->last && loss->needs_grad) {
        VLM_BUG_IF(tape->last->out != loss);
        bool accumulate;
        float *grad = vlm_grad_begin(tape, loss, &accumulate);
        for (size_t i = 0; grad && i < vlm_tensor_count(loss); i++)
            grad[i] = 1;
        walk(tape);
    }
    return vlm_tape_error(tape, err);
}

struct recompute_node {
    struct vlm_node node;
    struct vlm_tensor *x;
    vlm_block_fn fn;
    const void *block;
    uint64_t ops; /* before the block: dropout draws the same numbers again */
};

static void recompute_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct recompute_node *self = (struct recompute_node *)node;
    struct vlm_node *last = tape->last;
    uint64_t ops = tape->ops;
    size_t mark = vlm_memory_mark(&tape->step);
    tape->last = NULL;
    tape->ops = self->ops;
    struct vlm_tensor *out = self->fn(tape, self->x, self->block);
    vlm_grad_give(tape, node, out); /* which may be x itself, with a gradient already */
    walk(tape);
    tape->last = last;
    tape->ops = ops;
    vlm_memory_return(&tape->step, mark);
}

struct vlm_tensor *vlm_recompute(struct vlm_tape *tape, vlm_block_fn fn, struct vlm_tensor *x,
                                 const void *block)
{
    if (!vlm_tape_records(tape))
        return fn(tape, x, block);
    uint64_t ops = tape->ops;
    size_t mark = vlm_memory_mark(&tape->step);
    tape->flags |= VLM_TAPE_FORWARD;
    struct vlm_tensor *inner = fn(tape, x, block);
    tape->flags &= ~(unsigned)VLM_TAPE_FORWARD;
    /* The result slides down to where the block's memory began; the rest of it is free. */
    vlm_memory_return(&tape->step, mark);
    struct vlm_tensor *out =
        vlm_tensor_new(tape, "recompute", inner->dtype, inner->rank, inner->shape);
    if (vlm_tape_runs(tape))
        memmove(out->data, inner->data,
                vlm_tensor_count(out) *
                    (out->dtype == VLM_BF16 ? sizeof(uint16_t) : sizeof(float)));
    /* Not an op of its own: a nested block must leave the same count when it is run without nodes. */
    uint64_t after = tape->ops;
    struct recompute_node *self =
        vlm_record(tape, sizeof(*self), recompute_backward, out, inner->needs_grad);
    tape->ops = after;
    if (self) {
        self->x = x;
        self->fn = fn;
        self->block = block;
        self->ops = ops;
    }
    return out;
}

void *vlm_scratch(struct vlm_tape *tape, size_t count, size_t size)
{
    void *p = take(tape, &tape->scratch, "scratch", count, size);
    return vlm_tape_runs(tape) ? p : NULL;
}

size_t vlm_scratch_stride(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - VLM_MEMORY_ALIGN)
        return SIZE_MAX;
    return (bytes + VLM_MEMORY_ALIGN - 1) & ~(size_t)(VLM_MEMORY_ALIGN - 1);
}

void *vlm_scratch_workers(struct vlm_tape *tape, size_t count, size_t size)
{
    return vlm_scratch(tape, vlm_pool_threads(tape->engine->pool), vlm_scratch_stride(count, size));
}

void *vlm_step_memory(struct vlm_tape *tape, size_t count, size_t size)
{
    void *p = take(tape, &tape->step, "saved values", count, size);
    return vlm_tape_runs(tape) ? p : NULL;
}
