/* model_serve.c - the matrices of a model in the type that a server reads them in.
 *
 * The model gets one new block of memory, in which each matrix that is the weight of a product is bf16 or int8 and all
 * else is as it was; then the old block goes. For fp32 nothing changes. */
#include "base/vlm.h"

#include "models/model/model_serve.h"

#include <math.h>

enum { NUMBERS = 1 << 16 }; /* that a task rounds, about */

enum vlm_dtype vlm_model_serve_precision(enum vlm_weights weights)
{
    return weights == VLM_WEIGHTS_BF16 ? VLM_BF16 : VLM_F32;
}

/* Whether t is the weight of a product: all matrices but the tables that are only looked up. */
static bool multiplies(const struct vlm_model *model, const struct vlm_tensor *t)
{
    const struct vlm_model_config *config = &model->config;
    const bool of_encoder =
        config->encoder && t >= model->encoder && t < model->encoder + config->encoder->n_entries;
    if (t == model->head)
        return true;
    return t->rank == 2 && t != model->embed && t != model->positions && !of_encoder;
}

static size_t number_bytes(enum vlm_dtype dtype)
{
    return dtype == VLM_INT8   ? sizeof(int8_t)
           : dtype == VLM_BF16 ? sizeof(uint16_t)
                               : sizeof(float);
}

/* ---- one matrix ---- */

struct rounding {
    const struct vlm_gemm_kernels *kernels;
    const float *from;
    struct vlm_tensor to;
    size_t task_rows;
};

/* w ~ scale q, the largest |w| of the row being 127 scale. A row with a number that is none has a scale that is
 * none. */
static void round_to_int8(int8_t *q, float *scale, const float *w, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fabsf(w[i]) > largest || isnan(w[i]) ? fabsf(w[i]) : largest;
    *scale = largest / 127;
    const bool usable = *scale > 0 && isfinite(*scale);
    for (size_t i = 0; i < n; i++) {
        const float nearest = usable ? nearbyintf(w[i] / *scale) : 1;
        q[i] = (int8_t)VLM_MAX(VLM_MIN(nearest, 127.0F), -127.0F);
    }
    if (largest == 0)
        memset(q, 0, n);
}

static void round_rows(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct rounding *job = argument;
    const size_t cols = vlm_tensor_cols(&job->to);
    const size_t end = VLM_MIN((task + 1) * job->task_rows, job->to.shape[0]);
    for (size_t r = task * job->task_rows; r < end; r++)
        if (job->to.dtype == VLM_BF16)
            job->kernels->round_bf16(job->to.bits + r * cols, job->from + r * cols, cols);
        else
            round_to_int8(job->to.integers + r * cols, &job->to.scales[r], job->from + r * cols,
                          cols);
}

/* ---- the model ---- */

/* Room for all of it in the new types. */
static size_t new_bytes(const struct vlm_model *model, enum vlm_dtype dtype, size_t table)
{
    size_t bytes = table * sizeof(float) + 2 * VLM_MEMORY_ALIGN;
    if (model->head == &model->served_head)
        bytes += vlm_tensor_count(model->head) * number_bytes(dtype);
    for (size_t i = 0; i < model->n; i++) {
        const struct vlm_tensor *t = &model->tensors[i];
        if (t->rank == 0)
            continue;
        const enum vlm_dtype to = multiplies(model, t) ? dtype : VLM_F32;
        bytes += vlm_tensor_count(t) * number_bytes(to) + VLM_MEMORY_ALIGN;
        if (to == VLM_INT8)
            bytes += vlm_tensor_rows(t) * sizeof(float) + VLM_MEMORY_ALIGN;
    }
    return bytes;
}

/* One tensor into the new block. */
static void move(struct vlm_memory *memory, const struct vlm_model *model,
                 const struct vlm_engine *engine, struct vlm_tensor *t, enum vlm_dtype dtype)
{
    const enum vlm_dtype to = multiplies(model, t) ? dtype : VLM_F32;
    const size_t rows = vlm_tensor_rows(t), cols = vlm_tensor_cols(t);
    struct rounding job = { .kernels = engine->kernels->gemm, .from = t->data, .to = *t };
    job.to.dtype = to;
    job.to.data = vlm_memory_take(memory, vlm_tensor_count(t), number_bytes(to));
    if (to == VLM_INT8)
        job.to.scales = vlm_memory_take(memory, rows, sizeof(float));
    job.task_rows = VLM_MAX((size_t)NUMBERS / VLM_MAX(cols, (size_t)1), (size_t)1);
    if (to == VLM_F32)
        memcpy(job.to.data, job.from, vlm_tensor_count(t) * sizeof(float));
    else
        vlm_pool_run(engine->pool, (rows + job.task_rows - 1) / job.task_rows, round_rows, &job);
    *t = job.to;
}

/* Rows of integers that are longer than a product of them may be. */
static int check_lengths(const struct vlm_model *model, struct vlm_err *err)
{
    for (size_t i = 0; i < model->n; i++) {
        const struct vlm_tensor *t = &model->tensors[i];
        if (t->rank == 2 && multiplies(model, t) && vlm_tensor_cols(t) > VLM_INT8_K)
            return vlm_fail(err, VLM_EUSAGE,
                            "'%s' has rows of %zu numbers, and weights in int8 %d at most", t->name,
                            vlm_tensor_cols(t), VLM_INT8_K);
    }
    return VLM_OK;
}

int vlm_model_serve(struct vlm_model *model, const struct vlm_engine *engine,
                    enum vlm_weights weights, struct vlm_err *err)
{
    const enum vlm_dtype dtype = weights == VLM_WEIGHTS_BF16   ? VLM_BF16
                                 : weights == VLM_WEIGHTS_INT8 ? VLM_INT8
                                                               : VLM_F32;
    if (model->grads)
        return vlm_fail(err, VLM_EUSAGE, "a model with gradients is for training, not for serving");
    if (model->head->dtype != VLM_F32)
        return vlm_fail(err, VLM_EUSAGE, "the weights of this model are rounded already");
    if (dtype == VLM_F32)
        return VLM_OK;
    int rc = dtype == VLM_INT8 ? check_lengths(model, err) : VLM_OK;
    if (rc != VLM_OK)
        return rc;
    const size_t table =
        model->rotary_table ? model->config.context * model->config.sizes.head_size : 0;
    const bool both = dtype == VLM_BF16 && model->head == model->embed;
    if (both) {
        model->served_head = *model->embed;
        model->head = &model->served_head;
    }
    struct vlm_memory memory;
    rc = vlm_memory_init(&memory, new_bytes(model, dtype, table), 0, err);
    if (rc != VLM_OK) {
        model->head = both ? model->embed : model->head;
        return rc;
    }
    for (size_t i = 0; i < model->n; i++)
        if (model->tensors[i].rank > 0)
            move(&memory, model, engine, &model->tensors[i], dtype);
    if (both)
        move(&memory, model, engine, model->head, dtype);
    if (table) {
        float *moved = vlm_memory_take(&memory, table, sizeof(float));
        memcpy(moved, model->rotary_table, table * sizeof(float));
        model->rotary_table = moved;
    }
    vlm_memory_release(&model->memory);
    model->memory = memory;
    model->values = NULL;
    return VLM_OK;
}

size_t vlm_model_serve_bytes(const struct vlm_model *model)
{
    size_t bytes = 0;
    if (model->head == &model->served_head)
        bytes += vlm_tensor_count(model->head) * number_bytes(model->head->dtype);
    for (size_t i = 0; i < model->n; i++) {
        const struct vlm_tensor *t = &model->tensors[i];
        if (t->rank != 2 || !multiplies(model, t))
            continue;
        const bool image = model->encoder_trunk && t >= model->encoder;
        if (image)
            continue;
        bytes += vlm_tensor_count(t) * number_bytes(t->dtype);
        if (t->dtype == VLM_INT8)
            bytes += vlm_tensor_rows(t) * sizeof(float);
    }
    return bytes;
}

const char *vlm_weights_word(enum vlm_weights weights)
{
    static const char *const words[] = {
        [VLM_WEIGHTS_F32] = "fp32", [VLM_WEIGHTS_BF16] = "bf16", [VLM_WEIGHTS_INT8] = "int8"
    };
    return words[weights];
}
