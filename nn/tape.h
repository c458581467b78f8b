/* tape.h - records ops as they run, and walks back over them for the gradients.
 *
 *   struct vlm_tape tape;
 *   int rc = vlm_tape_init(&tape, &engine, &(struct vlm_tape_options){ .memory = bytes }, &err);
 *   for (each step) {
 *       struct vlm_tensor *x = vlm_embedding(&tape, table, ids, rows);
 *       x = vlm_linear(&tape, x, &(struct vlm_linear){ .weight = w, .bias = b });
 *       struct vlm_tensor *loss = vlm_vocabulary_loss(&tape, x, table, &(...){ ... });
 *       rc = vlm_backward(&tape, loss, &err);    // fills ->grad of the parameters: += into them
 *       vlm_tape_reset(&tape);                   // all tensors of the step are gone
 *   }
 *   vlm_tape_release(&tape);
 *
 * An op is a function: it takes a tensor from the tape's memory for its result, runs, and records a
 * node that knows how to push the gradient of the result to its inputs. Three stacks of memory:
 * `step` for results and nodes, `grads` for gradients of results (a buffer is used again as soon as
 * the node that made the result has been walked), `scratch` for the inside of one op.
 *
 * Failure is sticky: when memory is exhausted the tape remembers the sentence, ops run no kernel any
 * more, and vlm_backward() or vlm_tape_error() returns it. So a forward pass needs no checks between
 * ops. With VLM_TAPE_DRY no kernel runs at all and no memory exists: the same forward (and backward)
 * then only counts, and vlm_tape_peak() is the estimate. One thread owns a tape.
 *
 * Inside an op:
 *
 *   struct scale_node { struct vlm_node node; struct vlm_tensor *x; float factor; };
 *
 *   static void scale_backward(struct vlm_tape *tape, struct vlm_node *node)
 *   {
 *       struct scale_node *self = (struct scale_node *)node;
 *       float *dx = vlm_grad(tape, self->x);          // NULL: x needs none, or the tape is dry
 *       if (dx)
 *           axpy(dx, self->factor, node->out->grad, vlm_tensor_count(node->out));
 *   }
 *
 *   struct vlm_tensor *vlm_scale(struct vlm_tape *tape, struct vlm_tensor *x, float factor)
 *   {
 *       struct vlm_tensor *y = vlm_tensor_like(tape, "scale", x);
 *       if (vlm_tape_runs(tape))
 *           ... y->data[i] = factor * x->data[i] ...
 *       struct scale_node *self = vlm_record(tape, sizeof(*self), scale_backward, y, x->needs_grad);
 *       if (self) { self->x = x; self->factor = factor; }
 *       return y;
 *   }
 */
#ifndef VLM_NN_TAPE_H
#define VLM_NN_TAPE_H

#include "base/arena.h"
#include "nn/engine.h"
#include "nn/memory.h"
#include "nn/tensor.h"

#include <stdatomic.h>

struct vlm_tape;
struct vlm_node;

/* Adds to the gradients of the node's inputs what node->out->grad causes. Called only when out has
 * a gradient (in a dry run too: take gradients and scratch there, run no kernel). */
typedef void (*vlm_backward_fn)(struct vlm_tape *tape, struct vlm_node *node);

struct vlm_node { /* first member of the node of every op */
    vlm_backward_fn backward;
    struct vlm_tensor *out;
    struct vlm_node *previous;
};

enum vlm_tape_flags {
    VLM_TAPE_DRY = 1,          /* count memory, run no kernel */
    VLM_TAPE_FORWARD = 2,      /* inference: record nothing */
    VLM_TAPE_CHECK_FINITE = 4, /* fail at the first op whose result or gradient has NaN or Inf */
};

struct vlm_tape_options {
    size_t memory; /* cap in bytes of each of the three stacks; 0: the machine's memory */
    enum vlm_dtype precision; /* of the operands of products and attention */
    unsigned flags;
};

struct vlm_tape {
    const struct vlm_engine *engine;
    enum vlm_dtype precision;
    unsigned flags;
    struct vlm_memory step, grads, scratch;
    struct vlm_arena records; /* tensors and nodes: real in a dry run too */
    struct vlm_tensor spare;  /* what vlm_tensor_new() returns when even that is exhausted */
    struct vlm_node *last;
    struct vlm_free_grad *free_grads; /* buffers of `grads` that wait to be used again */
    uint64_t seed, ops;               /* dropout: key of the step, number of the op in it */
    double
        flops; /* of the products that ran forward since the last reset, a multiply-add as two and
                     a convolution by its definition; counted in a dry run too */
    bool failed;
    struct vlm_err err;
    /* NULL, or what another thread sets when nobody wants the result any more: the op that is running is the
     * last, and the tape fails with VLM_ESTOPPED. Set after vlm_tape_init(); a reset keeps it. */
    const atomic_bool *stop;
};

VLM_MUST_CHECK int vlm_tape_init(struct vlm_tape *tape, const struct vlm_engine *engine,
                                 const struct vlm_tape_options *options, struct vlm_err *err);
void vlm_tape_release(struct vlm_tape *tape); /* safe on a zeroed struct */

/* Forgets all tensors, nodes and a failure; keeps the memory. */
void vlm_tape_reset(struct vlm_tape *tape);

/* VLM_OK, or the code of the first failure with its sentence in err. */
VLM_MUST_CHECK int vlm_tape_error(const struct vlm_tape *tape, struct vlm_err *err);

/* Largest number of bytes in use so far, all three stacks together. */
size_t vlm_tape_peak(const struct vlm_tape *tape);

/* Gradients of the scalar (or, with a gradient of ones, the sum of) loss by every tensor that needs
 * one; += into parameters, whose ->grad must be set and as large as ->data. The tape is spent: reset
 * it before the next forward. */
VLM_MUST_CHECK int vlm_backward(struct vlm_tape *tape, struct vlm_tensor *loss,
                                struct vlm_err *err);

/* A block of a network: makes its result from x on the tape. `block` is its own business. */
typedef struct vlm_tensor *(*vlm_block_fn)(struct vlm_tape *tape, struct vlm_tensor *x,
                                           const void *block);

/* fn(tape, x, block) without keeping what happens inside: in the backward pass it runs again, same
 * bits, and is walked then. Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost". */
struct vlm_tensor *vlm_recompute(struct vlm_tape *tape, vlm_block_fn fn, struct vlm_tensor *x,
                                 const void *block);

/* ---- for ops ---- */

/* An uninitialised tensor of the step. Never NULL; ->data is NULL or must not be followed unless
 * vlm_tape_runs(). */
struct vlm_tensor *vlm_tensor_new(struct vlm_tape *tape, const char *name, enum vlm_dtype dtype,
                                  unsigned rank, const size_t *shape);
/* The same shape as x, VLM_F32. */
struct vlm_tensor *vlm_tensor_like(struct vlm_tape *tape, const char *name,
                                   const struct vlm_tensor *x);
/* rows x cols, VLM_F32. */
struct vlm_tensor *vlm_tensor_matrix(struct vlm_tape *tape, const char *name, size_t rows,
                                     size_t cols);

/* Whether kernels are to run now: not dry, not failed. */
static inline bool vlm_tape_runs(const struct vlm_tape *tape)
{
    return !(tape->flags & VLM_TAPE_DRY) && !tape->failed;
}

/* Whether an op that records a node now will be walked: for ops that prepare for it. */
static inline bool vlm_tape_records(const struct vlm_tape *tape)
{
    return !(tape->flags & VLM_TAPE_FORWARD) && !tape->failed;
}

/* Remembers the first failure (sentence as vlm_fail) and stops all kernels. */
void vlm_tape_fail(struct vlm_tape *tape, int code, const char *format, ...) VLM_PRINTF(3, 4);

/* Records a node of `size` bytes, zeroed, its first member filled. Sets out->needs_grad. NULL when
 * nothing is to be recorded (no gradient needed, inference, failure). Counts the op either way. */
void *vlm_record(struct vlm_tape *tape, size_t size, vlm_backward_fn backward,
                 struct vlm_tensor *out, bool needs_grad);

/* Where to add the gradient by t: its buffer, filled with zeros on the first call. NULL when t needs
 * none or kernels do not run. */
float *vlm_grad(struct vlm_tape *tape, struct vlm_tensor *t);

/* The same for ops that can store as well as add: on the first call *accumulate is false and the
 * buffer is not cleared. */
float *vlm_grad_begin(struct vlm_tape *tape, struct vlm_tensor *t, bool *accumulate);

/* Adds out->grad, unchanged, to the gradient by t (same count): hands the buffer over when t has
 * none yet. The last thing a backward function does with node->out->grad. */
void vlm_grad_give(struct vlm_tape *tape, struct vlm_node *node, struct vlm_tensor *t);

/* Memory until the op returns; NULL when kernels do not run. For `workers` = true one such block for
 * each thread of the pool, vlm_scratch_stride(count, size) bytes apart. */
void *vlm_scratch(struct vlm_tape *tape, size_t count, size_t size);
void *vlm_scratch_workers(struct vlm_tape *tape, size_t count, size_t size);
size_t vlm_scratch_stride(size_t count, size_t size);

/* Memory as long as the step (saved statistics); NULL when kernels do not run. */
void *vlm_step_memory(struct vlm_tape *tape, size_t count, size_t size);

/* Gives scratch back: size_t mark = vlm_memory_mark(&tape->scratch) at the start of an op's forward
 * and backward, vlm_memory_return(&tape->scratch, mark) at the end. */

#endif
