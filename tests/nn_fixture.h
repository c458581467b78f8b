/* nn_fixture.h - what the tests of the numeric core share: engines, tensors, finite differences.
 *
 *   struct nn nn;
 *   nn_begin(&nn, "avx2", 2);                       // kernels and threads; NULL: the best
 *   struct vlm_tensor *x = nn_tensor(&nn, 2, (size_t[]){ 5, 7 });   // random, wants a gradient
 *   nn_check_gradients(&nn, make_loss, &context, 1e-3, 2e-3);
 *   nn_end(&nn);
 *
 * make_loss(tape, context) runs the op on tensors of nn_tensor() and returns its result y; the number
 * that is differentiated is sum c_i y_i with fixed random c. A kind of kernels that this CPU cannot
 * run leaves nn->skip set. */
#ifndef VLM_TESTS_NN_FIXTURE_H
#define VLM_TESTS_NN_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/random.h"
#include "nn/tape.h"

enum { NN_TENSORS_MAX = 64 };

struct nn {
    struct vlm_engine engine;
    struct vlm_tape tape;
    struct vlm_tensor *tensor[NN_TENSORS_MAX]; /* of nn_tensor() */
    size_t n_tensors;
    bool skip;
};

typedef struct vlm_tensor *(*nn_forward)(struct vlm_tape *tape, void *context);

/* Uniform in [-1, 1), a pure function of seed and index. */
static inline float nn_random(uint64_t seed, size_t i)
{
    struct vlm_random random = vlm_random_at(seed, 99, i);
    return (float)(2 * vlm_random_unit(&random) - 1);
}

static inline void nn_fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = nn_random(seed, i);
}

static inline void nn_begin_with(struct nn *nn, const char *kernels, size_t threads,
                                 enum vlm_dtype precision, unsigned flags)
{
    struct vlm_err err = { 0 };
    memset(nn, 0, sizeof(*nn));
    assert_int_equal(vlm_engine_init(&nn->engine, threads, VLM_GEMM_OWN, &err), VLM_OK);
    if (kernels) {
        const struct vlm_kernels *found = vlm_kernels_named(kernels);
        nn->skip = !found;
        if (found)
            nn->engine.kernels = found;
    }
    struct vlm_tape_options options = { .precision = precision, .flags = flags };
    assert_int_equal(vlm_tape_init(&nn->tape, &nn->engine, &options, &err), VLM_OK);
}

static inline void nn_begin(struct nn *nn, const char *kernels, size_t threads)
{
    nn_begin_with(nn, kernels, threads, VLM_F32, 0);
}

static inline void nn_end(struct nn *nn)
{
    for (size_t i = 0; i < nn->n_tensors; i++) {
        free(nn->tensor[i]->data);
        free(nn->tensor[i]->grad);
        free(nn->tensor[i]);
    }
    vlm_tape_release(&nn->tape);
    vlm_engine_release(&nn->engine);
}

/* A tensor that outlives the tape's steps, random, with a gradient of zeros. Not a float longer than
 * it must be, so that a checker sees reads behind its end. */
static inline struct vlm_tensor *nn_tensor(struct nn *nn, unsigned rank, const size_t *shape)
{
    assert_true(nn->n_tensors < NN_TENSORS_MAX);
    struct vlm_tensor *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    t->name = "test";
    t->rank = rank;
    memcpy(t->shape, shape, rank * sizeof(*shape));
    size_t n = vlm_tensor_count(t);
    t->data = calloc(VLM_MAX(n, (size_t)1), sizeof(float));
    t->grad = calloc(VLM_MAX(n, (size_t)1), sizeof(float));
    assert_true(t->data && t->grad);
    t->needs_grad = true;
    nn_fill(t->data, n, 1000 + nn->n_tensors);
    nn->tensor[nn->n_tensors++] = t;
    return t;
}

struct nn_weighted_node {
    struct vlm_node node;
    struct vlm_tensor *y;
};

/* sum c_i y_i as an op, so that the backward pass starts from the gradient c. */
static inline void nn_weighted_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct nn_weighted_node *self = (struct nn_weighted_node *)node;
    float *dy = vlm_grad(tape, self->y);
    for (size_t i = 0; dy && i < vlm_tensor_count(self->y); i++)
        dy[i] += nn_random(7, i) * node->out->grad[0];
}

/* Value in double of sum c_i y_i; *loss is the op's result. */
static inline double nn_weighted(struct vlm_tape *tape, struct vlm_tensor *y,
                                 struct vlm_tensor **loss)
{
    double sum = 0;
    if (vlm_tape_runs(tape))
        for (size_t i = 0; i < vlm_tensor_count(y); i++)
            sum += (double)nn_random(7, i) * (double)y->data[i];
    struct vlm_tensor *out = vlm_tensor_new(tape, "weighted", VLM_F32, 1, (size_t[]){ 1 });
    if (vlm_tape_runs(tape))
        out->data[0] = (float)sum;
    struct nn_weighted_node *self =
        vlm_record(tape, sizeof(*self), nn_weighted_backward, out, y->needs_grad);
    if (self)
        self->y = y;
    *loss = out;
    return sum;
}

static inline double nn_value(struct nn *nn, nn_forward forward, void *context)
{
    struct vlm_tensor *loss;
    struct vlm_err err = { 0 };
    double value = nn_weighted(&nn->tape, forward(&nn->tape, context), &loss);
    assert_int_equal(vlm_tape_error(&nn->tape, &err), VLM_OK);
    vlm_tape_reset(&nn->tape);
    return value;
}

/* Fills the gradients of all tensors of nn_tensor() from zero. */
static inline double nn_backward(struct nn *nn, nn_forward forward, void *context)
{
    struct vlm_tensor *loss;
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < nn->n_tensors; i++)
        if (nn->tensor[i]->grad)
            memset(nn->tensor[i]->grad, 0, vlm_tensor_count(nn->tensor[i]) * sizeof(float));
    double value = nn_weighted(&nn->tape, forward(&nn->tape, context), &loss);
    if (vlm_backward(&nn->tape, loss, &err))
        fail_msg("backward: %s", err.msg);
    vlm_tape_reset(&nn->tape);
    return value;
}

/* Compares each gradient (of up to 200 elements a tensor, spread) with the central difference of
 * width 2 * step: |difference - gradient| <= tolerance * (1 + |gradient|). */
static inline void nn_check_gradients(struct nn *nn, nn_forward forward, void *context, double step,
                                      double tolerance)
{
    nn_backward(nn, forward, context);
    for (size_t t = 0; t < nn->n_tensors; t++) {
        struct vlm_tensor *x = nn->tensor[t];
        size_t n = vlm_tensor_count(x), stride = 1 + n / 200;
        for (size_t i = 0; x->needs_grad && i < n; i += stride) {
            float kept = x->data[i], up = kept + (float)step, down = kept - (float)step;
            x->data[i] = up;
            double high = nn_value(nn, forward, context);
            x->data[i] = down;
            double low = nn_value(nn, forward, context);
            x->data[i] = kept;
            double difference = (high - low) / ((double)up - (double)down);
            double gradient = (double)x->grad[i];
            if (!(fabs(difference - gradient) <= tolerance * (1 + fabs(gradient))))
                fail_msg("tensor %zu, element %zu of %zu: difference %g, gradient %g", t, i, n,
                         difference, gradient);
        }
    }
}

static inline void nn_check_close(const float *x, const double *expected, size_t n,
                                  double tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)x[i] - expected[i]) <= tolerance * (1 + fabs(expected[i]))))
            fail_msg("element %zu of %zu: %.9g, expected %.9g", i, n, (double)x[i], expected[i]);
}

static inline void nn_check_bits(const float *x, const float *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&x[i], &expected[i], sizeof(float)))
            fail_msg("element %zu of %zu: %.9g, not bit for bit %.9g", i, n, (double)x[i],
                     (double)expected[i]);
}

/* Gradients of all tensors of nn_tensor(), one behind the other: to be kept from the first run, to be
 * the same in the others. */
static inline void nn_same_gradients(const struct nn *nn, float *kept, bool first)
{
    for (size_t t = 0; t < nn->n_tensors; t++) {
        size_t n = vlm_tensor_count(nn->tensor[t]);
        if (!first)
            nn_check_bits(nn->tensor[t]->grad, kept, n);
        memcpy(kept, nn->tensor[t]->grad, n * sizeof(*kept));
        kept += n;
    }
}

#endif
