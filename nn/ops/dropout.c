/* dropout.c - multiplies by a mask that is drawn again whenever it is needed. */
#include "base/vlm.h"

#include "base/random.h"
#include "nn/ops/dropout.h"

enum {
    CHUNK = 16384,       /* numbers of a task; even, as the kernel wants */
    STREAM = 0x64726f70, /* of the generator: nothing else draws from it */
};

struct dropout_node {
    struct vlm_node node;
    struct vlm_tensor *x;
    struct vlm_dropout_key key;
};

struct job {
    const struct vlm_row_kernels *kernels;
    struct vlm_dropout_key key;
    float *y;
    const float *x;
    size_t count;
};

static void run_chunk(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    struct vlm_dropout_key key = job->key;
    size_t first = task * CHUNK;
    key.first = first;
    job->kernels->dropout(job->y + first, job->x + first,
                          VLM_MIN((size_t)CHUNK, job->count - first), &key);
}

static void run(const struct vlm_tape *tape, float *y, const float *x, size_t count,
                struct vlm_dropout_key key)
{
    struct job job = { tape->engine->kernels->rows, key, y, x, count };
    vlm_pool_run(tape->engine->pool, count / CHUNK + (count % CHUNK > 0), run_chunk, &job);
}

/* dx in the place of dy. */
static void dropout_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct dropout_node *self = (struct dropout_node *)node;
    float *dy = node->out->grad;
    if (vlm_tape_runs(tape))
        run(tape, dy, dy, vlm_tensor_count(self->x), self->key);
    vlm_grad_give(tape, node, self->x);
}

struct vlm_tensor *vlm_dropout(struct vlm_tape *tape, struct vlm_tensor *x, float rate)
{
    VLM_BUG_IF(x->dtype != VLM_F32 || !(rate >= 0 && rate < 1));
    if (rate == 0)
        return x;
    struct vlm_dropout_key key = {
        .key = vlm_random_at(tape->seed, STREAM, tape->ops).key,
        .threshold = (uint32_t)((double)rate * 0x1p32),
        .scale = 1 / (1 - rate),
    };
    struct vlm_tensor *y = vlm_tensor_like(tape, "dropout", x);
    if (vlm_tape_runs(tape))
        run(tape, y->data, x->data, vlm_tensor_count(x), key);
    struct dropout_node *self = vlm_record(tape, sizeof(*self), dropout_backward, y, x->needs_grad);
    if (self) {
        self->x = x;
        self->key = key;
    }
    return y;
}
