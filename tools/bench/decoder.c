/* decoder.c - a GPT-2-style decoder: one table of parameters, one forward pass.
 *
 * The table below gives names, shapes, the layout in memory and the order of parameters. It holds no
 * more than the benchmark needs: systems of the survey are made in models/. */
#include "base/vlm.h"

#include "base/random.h"
#include "nn/ops/activation.h"
#include "nn/ops/attention.h"
#include "nn/ops/embedding.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"
#include "nn/ops/vocabulary_loss.h"
#include "tools/bench/decoder.h"

#define NORM_EPSILON 1e-5f /* PyTorch's, and GPT-2's */

/* One call of block_forward(): must outlive the backward pass when blocks are computed again. */
struct vlm_decoder_call {
    const struct vlm_decoder *decoder;
    struct vlm_decoder_block *block;
    const struct vlm_decoder_batch *batch;
};

/* Sizes in widths; cols 0: a vector of rows. */
struct entry {
    const char *name;
    size_t offset; /* of the tensor in its struct */
    size_t rows, cols;
};

static const struct entry block_table[] = {
    { "norm1.weight", offsetof(struct vlm_decoder_block, norm1_weight), 1, 0 },
    { "norm1.bias", offsetof(struct vlm_decoder_block, norm1_bias), 1, 0 },
    { "qkv.weight", offsetof(struct vlm_decoder_block, qkv_weight), 3, 1 },
    { "qkv.bias", offsetof(struct vlm_decoder_block, qkv_bias), 3, 0 },
    { "out.weight", offsetof(struct vlm_decoder_block, out_weight), 1, 1 },
    { "out.bias", offsetof(struct vlm_decoder_block, out_bias), 1, 0 },
    { "norm2.weight", offsetof(struct vlm_decoder_block, norm2_weight), 1, 0 },
    { "norm2.bias", offsetof(struct vlm_decoder_block, norm2_bias), 1, 0 },
    { "up.weight", offsetof(struct vlm_decoder_block, up_weight), 4, 1 },
    { "up.bias", offsetof(struct vlm_decoder_block, up_bias), 4, 0 },
    { "down.weight", offsetof(struct vlm_decoder_block, down_weight), 1, 4 },
    { "down.bias", offsetof(struct vlm_decoder_block, down_bias), 1, 0 },
};

enum { OUTSIDE_BLOCKS = 4 };

/* Names the tensor and takes it into the list; its numbers follow those of the one before. */
static void add_parameter(struct vlm_decoder *decoder, struct vlm_tensor *tensor, const char *name,
                          size_t rows, size_t cols)
{
    struct vlm_decoder_parameter *p = &decoder->parameters[decoder->n_parameters++];
    p->tensor = tensor;
    snprintf(p->name, sizeof(p->name), "%s", name);
    *tensor = (struct vlm_tensor){
        .name = p->name, .rank = cols ? 2 : 1, .shape = { rows, cols }, .needs_grad = true
    };
    decoder->count += vlm_tensor_count(tensor);
}

static void lay_out(struct vlm_decoder *decoder)
{
    const struct vlm_decoder_shape *shape = &decoder->shape;
    const size_t width = shape->width;
    add_parameter(decoder, &decoder->embed, "embed.weight", shape->vocabulary, width);
    add_parameter(decoder, &decoder->place, "place.weight", shape->positions, width);
    for (size_t i = 0; i < shape->layers; i++)
        for (size_t k = 0; k < VLM_COUNTOF(block_table); k++) {
            const struct entry *entry = &block_table[k];
            char name[sizeof(decoder->parameters->name)];
            snprintf(name, sizeof(name), "blocks.%zu.%s", i, entry->name);
            add_parameter(decoder,
                          (struct vlm_tensor *)((char *)&decoder->blocks[i] + entry->offset), name,
                          entry->rows * width, entry->cols * width);
        }
    add_parameter(decoder, &decoder->norm_weight, "norm.weight", width, 0);
    add_parameter(decoder, &decoder->norm_bias, "norm.bias", width, 0);
}

int vlm_decoder_init(struct vlm_decoder *decoder, const struct vlm_decoder_shape *shape,
                     unsigned memory_flags, struct vlm_err *err)
{
    VLM_BUG_IF(!shape->heads || shape->width % shape->heads);
    const size_t n_parameters = OUTSIDE_BLOCKS + shape->layers * VLM_COUNTOF(block_table);
    *decoder = (struct vlm_decoder){ .shape = *shape };
    decoder->blocks = calloc(shape->layers + 1, sizeof(*decoder->blocks));
    decoder->calls = calloc(shape->layers + 1, sizeof(*decoder->calls));
    decoder->parameters = calloc(n_parameters, sizeof(*decoder->parameters));
    int rc = VLM_OK;
    if (!decoder->blocks || !decoder->calls || !decoder->parameters)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the tables of %zu parameters", n_parameters);
    if (rc == VLM_OK) {
        lay_out(decoder);
        size_t bytes = 2 * (decoder->count * sizeof(float) + VLM_MEMORY_ALIGN);
        rc = vlm_memory_init(&decoder->memory, bytes, memory_flags, err);
    }
    if (rc != VLM_OK) {
        vlm_decoder_release(decoder);
        return rc;
    }
    /* Fresh from the system: zeros. */
    decoder->weights = vlm_memory_take(&decoder->memory, decoder->count, sizeof(float));
    decoder->grads = vlm_memory_take(&decoder->memory, decoder->count, sizeof(float));
    size_t used = 0;
    for (size_t i = 0; i < decoder->n_parameters; i++) {
        struct vlm_tensor *tensor = decoder->parameters[i].tensor;
        tensor->data = decoder->weights + used;
        tensor->grad = decoder->grads + used;
        used += vlm_tensor_count(tensor);
    }
    return VLM_OK;
}

void vlm_decoder_release(struct vlm_decoder *decoder)
{
    vlm_memory_release(&decoder->memory);
    free(decoder->parameters);
    free(decoder->calls);
    free(decoder->blocks);
    *decoder = (struct vlm_decoder){ 0 };
}

/* Four uniform numbers of 16 bits: their sum has variance 4 / 12 and is close enough to normal. */
static float nearly_normal(struct vlm_random *random)
{
    uint64_t bits = vlm_random_next(random);
    uint64_t sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    return ((float)sum * 0x1p-16f - 2) * 1.7320508f;
}

void vlm_decoder_fill(struct vlm_decoder *decoder, uint64_t seed)
{
    for (size_t i = 0; i < decoder->n_parameters; i++) {
        const struct vlm_tensor *tensor = decoder->parameters[i].tensor;
        struct vlm_random random = vlm_random_at(seed, 0, i);
        const bool gain = tensor->rank == 1 && strstr(tensor->name, "weight");
        for (size_t k = 0; k < vlm_tensor_count(tensor); k++)
            tensor->data[k] = tensor->rank == 2 ? 0.02f * nearly_normal(&random) : (float)gain;
    }
}

void vlm_decoder_rows(uint32_t *positions, uint32_t *lo, uint32_t *hi, const size_t *lengths,
                      size_t sequences)
{
    uint32_t row = 0;
    for (size_t i = 0; i < sequences; i++) {
        const uint32_t first = row;
        for (size_t k = 0; k < lengths[i]; k++, row++) {
            positions[row] = row - first;
            lo[row] = first;
            hi[row] = row + 1;
        }
    }
}

static struct vlm_tensor *block_forward(struct vlm_tape *tape, struct vlm_tensor *x,
                                        const void *argument)
{
    const struct vlm_decoder_call *call = argument;
    struct vlm_decoder_block *p = call->block;
    const size_t width = call->decoder->shape.width, heads = call->decoder->shape.heads;

    struct vlm_tensor *y =
        vlm_layernorm_operand(tape, x, &p->norm1_weight, &p->norm1_bias, NORM_EPSILON);
    struct vlm_tensor *qkv =
        vlm_linear(tape, y, &(struct vlm_linear){ .weight = &p->qkv_weight, .bias = &p->qkv_bias });
    y = vlm_attention(tape, &(struct vlm_attention){ .q = qkv,
                                                     .k = qkv,
                                                     .v = qkv,
                                                     .q_col = 0,
                                                     .k_col = width,
                                                     .v_col = 2 * width,
                                                     .heads = heads,
                                                     .kv_heads = heads,
                                                     .head_size = width / heads,
                                                     .lo = call->batch->lo,
                                                     .hi = call->batch->hi });
    x = vlm_linear(
        tape, y,
        &(struct vlm_linear){ .weight = &p->out_weight, .bias = &p->out_bias, .residual = x });

    y = vlm_layernorm_operand(tape, x, &p->norm2_weight, &p->norm2_bias, NORM_EPSILON);
    y = vlm_linear(tape, y,
                   &(struct vlm_linear){
                       .weight = &p->up_weight, .bias = &p->up_bias, .activation = VLM_GELU_TANH });
    return vlm_linear(
        tape, y,
        &(struct vlm_linear){ .weight = &p->down_weight, .bias = &p->down_bias, .residual = x });
}

struct vlm_tensor *vlm_decoder_loss(struct vlm_tape *tape, struct vlm_decoder *decoder,
                                    const struct vlm_decoder_batch *batch, unsigned flags)
{
    struct vlm_tensor *x = vlm_embedding(tape, &decoder->embed, batch->ids, batch->rows);
    x = vlm_add(tape, x, vlm_embedding(tape, &decoder->place, batch->positions, batch->rows));
    for (size_t i = 0; i < decoder->shape.layers; i++) {
        struct vlm_decoder_call *call = &decoder->calls[i];
        *call = (struct vlm_decoder_call){ decoder, &decoder->blocks[i], batch };
        x = flags & VLM_DECODER_RECOMPUTE ? vlm_recompute(tape, block_forward, x, call)
                                          : block_forward(tape, x, call);
    }
    x = vlm_layernorm_operand(tape, x, &decoder->norm_weight, &decoder->norm_bias, NORM_EPSILON);
    return vlm_vocabulary_loss(tape, x,
                               &(struct vlm_vocabulary_loss){ .weight = &decoder->embed,
                                                              .targets = batch->targets,
                                                              .weight_sum = batch->weight_sum });
}

double vlm_decoder_flops(const struct vlm_decoder_shape *shape,
                         const struct vlm_decoder_batch *batch)
{
    const double width = (double)shape->width;
    /* Multiply-adds forward: 3 + 1 + 4 + 4 widths squared a row, scores and mixture a pair. */
    const double row =
        (double)shape->layers * 12 * width * width + (double)shape->vocabulary * width;
    const double pair = (double)shape->layers * 2 * width;
    double pairs = 0;
    for (size_t i = 0; i < batch->rows; i++)
        pairs += batch->hi[i] > batch->lo[i] ? batch->hi[i] - batch->lo[i] : 0;
    return 3 * 2 * ((double)batch->rows * row + pairs * pair);
}
