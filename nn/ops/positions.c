/* positions.c - rotary positions as an op, and tables of sinusoids. Angles are in double precision:
 * a position of some thousands times a rounded frequency would be off in the fourth digit. */
#include "base/vlm.h"

#include <math.h>

#include "nn/ops/positions.h"

enum { ROWS = 16 }; /* of a task */

struct rotary_node {
    struct vlm_node node;
    struct vlm_rotary rotary;
    struct vlm_tensor *x;
};

/* cosine[pairs] and sine[pairs] of a position. */
static void angles(float *cosine, float *sine, double position, size_t turned, double base)
{
    for (size_t i = 0; i < turned / 2; i++) {
        double angle = position * pow(base, -2.0 * (double)i / (double)turned);
        cosine[i] = (float)cos(angle);
        sine[i] = (float)sin(angle);
    }
}

void vlm_rotary_table(float *table, size_t positions, size_t turned, double base)
{
    for (size_t m = 0; m < positions; m++, table += turned)
        angles(table, table + turned / 2, (double)m, turned, base);
}

struct rotary_job {
    const struct vlm_attention_kernels *kernels;
    const struct vlm_rotary *rotary;
    float *to;
    const float *from; /* may be to */
    size_t rows, cols;
    bool back;
    float *angle; /* scratch of each thread: [2][turned] */
    size_t stride;
};

static void turn_rows(void *argument, size_t task, size_t worker)
{
    struct rotary_job *job = argument;
    const struct vlm_rotary *r = job->rotary;
    float *own = (float *)(void *)((char *)job->angle + worker * job->stride);
    size_t pairs = r->turned / 2;
    for (size_t i = task * ROWS; i < VLM_MIN((task + 1) * ROWS, job->rows); i++) {
        const float *cosine = own, *from = job->from + i * job->cols;
        float *to = job->to + i * job->cols;
        if (r->table)
            cosine = r->table + r->positions[i] * r->turned;
        else
            angles(own, own + pairs, r->positions[i], r->turned, r->base);
        if (job->back) { /* by the negative angle */
            if (r->table)
                memcpy(own, cosine, r->turned * sizeof(float));
            for (size_t p = pairs; p < r->turned; p++)
                own[p] = -own[p];
            cosine = own;
        }
        if (to != from)
            memcpy(to, from, job->cols * sizeof(float));
        job->kernels->rotate(to + r->col, to + r->col, r->heads, r->head_size, pairs,
                             r->pairs == VLM_ROTARY_INTERLEAVED, cosine, cosine + pairs);
    }
}

/* Fills `to` when kernels run; takes the same scratch when they do not. */
static void turn(struct vlm_tape *tape, const struct vlm_rotary *rotary, float *to,
                 const float *from, size_t rows, size_t cols, bool back)
{
    size_t mark = vlm_memory_mark(&tape->scratch);
    struct rotary_job job = { .kernels = tape->engine->kernels->attention,
                              .rotary = rotary,
                              .to = to,
                              .from = from,
                              .rows = rows,
                              .cols = cols,
                              .back = back,
                              .angle = vlm_scratch_workers(tape, rotary->turned, sizeof(float)),
                              .stride = vlm_scratch_stride(rotary->turned, sizeof(float)) };
    if (vlm_tape_runs(tape))
        vlm_pool_run(tape->engine->pool, (rows + ROWS - 1) / ROWS, turn_rows, &job);
    vlm_memory_return(&tape->scratch, mark);
}

static void rotary_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct rotary_node *self = (struct rotary_node *)node;
    struct vlm_tensor *out = node->out;
    turn(tape, &self->rotary, out->grad, out->grad, vlm_tensor_rows(out), vlm_tensor_cols(out),
         true);
    vlm_grad_give(tape, node, self->x);
}

struct vlm_tensor *vlm_rotary(struct vlm_tape *tape, struct vlm_tensor *x,
                              const struct vlm_rotary *rotary)
{
    struct vlm_rotary r = *rotary;
    if (!r.turned)
        r.turned = r.head_size;
    VLM_BUG_IF(x->dtype != VLM_F32 || r.turned % 2 != 0 || r.turned > r.head_size || r.base <= 0);
    VLM_BUG_IF(r.col + r.heads * r.head_size > vlm_tensor_cols(x));
    struct vlm_tensor *y = vlm_tensor_like(tape, "rotary", x);
    turn(tape, &r, y->data, x->data, vlm_tensor_rows(x), vlm_tensor_cols(x), false);
    struct rotary_node *self = vlm_record(tape, sizeof(*self), rotary_backward, y, x->needs_grad);
    if (self) {
        self->rotary = r;
        self->x = x;
    }
    return y;
}

void vlm_sinusoids(float *table, size_t rows, size_t cols, size_t first, enum vlm_sinusoid kind)
{
    size_t half = cols / 2;
    for (size_t r = 0; r < rows; r++, table += cols) {
        double m = (double)(first + r);
        for (size_t c = 0; c < cols; c++) {
            if (kind == VLM_SINUSOID_INTERLEAVED) {
                double angle = m * pow(10000, -2.0 * (double)(c / 2) / (double)cols);
                table[c] = (float)(c % 2 ? cos(angle) : sin(angle));
            } else if (c == 2 * half) {
                table[c] = 0;
            } else {
                size_t i = c % half;
                double angle = half > 1 ? m * pow(10000, -(double)i / (double)(half - 1)) : m;
                table[c] = (float)(c < half ? sin(angle) : cos(angle));
            }
        }
    }
}
