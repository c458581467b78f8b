/* fsq.c - finite scalar quantisation (quantise.h): no codebook, every number is rounded by itself.
 *
 * Few numbers a row (four to six), so this is plain C in double; the gradient needs tanh again and
 * computes it again. */
#include "base/vlm.h"

#include "nn/ops/quantise.h"

#include <math.h>

/* One dimension: bound = tanh(z + shift) * half - offset. */
struct bound {
    double half, offset, shift, middle; /* middle: floor(L / 2) */
};

static struct bound bound_of(unsigned levels)
{
    VLM_BUG_IF(levels < 2);
    struct bound bound = { .half = (levels - 1) * 1.001 / 2, .offset = levels % 2 ? 0 : 0.5 };
    bound.shift = atanh(bound.offset / bound.half);
    bound.middle = levels / 2;
    return bound;
}

size_t vlm_fsq_codes(const unsigned *levels, size_t dims)
{
    size_t codes = 1;
    for (size_t i = 0; i < dims; i++) {
        VLM_BUG_IF(levels[i] < 2 || codes > UINT32_MAX / levels[i]);
        codes *= levels[i];
    }
    return codes;
}

void vlm_fsq_values(float *q, const unsigned *levels, size_t dims, uint32_t code)
{
    for (size_t i = 0; i < dims; i++) {
        unsigned middle = levels[i] / 2;
        q[i] = ((float)(code % levels[i]) - (float)middle) / (float)middle;
        code /= levels[i];
    }
}

struct fsq_node {
    struct vlm_node node;
    struct vlm_tensor *z;
    const unsigned *levels;
};

static void fsq_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct fsq_node *self = (struct fsq_node *)node;
    size_t rows = vlm_tensor_rows(self->z), dims = vlm_tensor_cols(self->z);
    float *dz = vlm_grad(tape, self->z);
    for (size_t d = 0; dz && d < dims; d++) {
        struct bound bound = bound_of(self->levels[d]);
        for (size_t r = 0; r < rows; r++) {
            size_t i = r * dims + d;
            double t = tanh((double)self->z->data[i] + bound.shift);
            dz[i] += (float)((double)node->out->grad[i] * bound.half / bound.middle * (1 - t * t));
        }
    }
}

struct vlm_tensor *vlm_fsq(struct vlm_tape *tape, struct vlm_tensor *z, const struct vlm_fsq *fsq)
{
    size_t rows = vlm_tensor_rows(z), dims = fsq->dims;
    VLM_BUG_IF(vlm_tensor_cols(z) != dims || z->dtype != VLM_F32);
    vlm_fsq_codes(fsq->levels, dims); /* checks them */
    struct vlm_tensor *q = vlm_tensor_like(tape, "fsq", z);
    for (size_t r = 0; r < rows && fsq->codes && vlm_tape_runs(tape); r++)
        fsq->codes[r] = 0;
    uint32_t basis = 1;
    for (size_t d = 0; d < dims; d++, basis *= fsq->levels[d - 1]) {
        struct bound bound = bound_of(fsq->levels[d]);
        for (size_t r = 0; r < rows && vlm_tape_runs(tape); r++) {
            size_t i = r * dims + d;
            if (!isfinite(z->data[i])) {
                vlm_tape_fail(tape, VLM_EFORMAT,
                              "row %zu has a number that is not finite: no code for it", r);
                break;
            }
            long level = lrint(tanh((double)z->data[i] + bound.shift) * bound.half - bound.offset);
            q->data[i] = (float)((double)level / bound.middle);
            if (fsq->codes)
                fsq->codes[r] += (uint32_t)(level + (long)bound.middle) * basis;
        }
    }
    struct fsq_node *self = vlm_record(tape, sizeof(*self), fsq_backward, q, z->needs_grad);
    if (self) {
        self->z = z;
        self->levels = fsq->levels;
    }
    return q;
}
