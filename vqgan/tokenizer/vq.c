/* vq.c - the graph of vq.h: one table of parameters, one forward pass for training and for use. */
#include "base/vlm.h"

#include "vqgan/tokenizer/vq.h"

#include "base/json.h"
#include "base/random.h"
#include "nn/ops/groupnorm.h"
#include "nn/ops/resample.h"

#include <math.h>

#define NORM_EPSILON 1e-6f

enum { CELL = 16, PIXEL = 3, CODES_MAX = 1 << 16 };

static const struct vlm_vq_shape shapes[] = {
    { "vq-s", 4, 3, { 64, 128, 256 }, { 1, 2, 3 }, { 2, 3, 4 }, 0, 16, 1024, 8 },
    { "vq-xs", 8, 2, { 64, 160 }, { 0, 1 }, { 3, 4 }, 48, 16, 1024, 8 },
};

const struct vlm_vq_shape *vlm_vq_shape_named(const char *kind)
{
    for (size_t i = 0; i < VLM_COUNTOF(shapes); i++)
        if (!strcmp(shapes[i].kind, kind))
            return &shapes[i];
    return NULL;
}

/* ---- the table ---- */

static void add_tensor(struct vlm_vq *vq, struct vlm_tensor *tensor, const char *prefix,
                       const char *name, unsigned rank, const size_t *shape)
{
    struct vlm_vq_parameter *p = &vq->parameters[vq->n_parameters++];
    p->tensor = tensor;
    snprintf(p->name, sizeof(p->name), "%s%s", prefix, name);
    *tensor = (struct vlm_tensor){ .name = p->name, .rank = rank };
    memcpy(tensor->shape, shape, rank * sizeof(*shape));
    vq->count += vlm_tensor_count(tensor);
}

static void add_conv(struct vlm_vq *vq, struct vlm_vq_conv *conv, const char *prefix, size_t out,
                     size_t taps, size_t in)
{
    add_tensor(vq, &conv->weight, prefix, ".weight", 4, (size_t[]){ out, taps, taps, in });
    add_tensor(vq, &conv->bias, prefix, ".bias", 1, (size_t[]){ out });
}

static void add_norm(struct vlm_vq *vq, struct vlm_vq_norm *norm, const char *prefix, size_t width)
{
    add_tensor(vq, &norm->weight, prefix, ".weight", 1, (size_t[]){ width });
    add_tensor(vq, &norm->bias, prefix, ".bias", 1, (size_t[]){ width });
}

static void add_blocks(struct vlm_vq *vq, struct vlm_vq_half *half, const char *side, size_t level,
                       size_t width, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct vlm_vq_block *block = &half->blocks[level][i];
        char name[VLM_VQ_NAME_SIZE - 16];
        const char *part[] = { "norm1", "conv1", "norm2", "conv2" };
        for (size_t k = 0; k < VLM_COUNTOF(part); k++) {
            snprintf(name, sizeof(name), "%s.blocks.%zu.%zu.%s", side, level, i, part[k]);
            if (k % 2)
                add_conv(vq, k == 1 ? &block->conv1 : &block->conv2, name, width, 3, width);
            else
                add_norm(vq, k == 0 ? &block->norm1 : &block->norm2, name, width);
        }
    }
}

static void lay_out_encoder(struct vlm_vq *vq)
{
    const struct vlm_vq_shape *shape = &vq->shape;
    const size_t *widths = shape->widths, last = shape->levels - 1;
    struct vlm_vq_half *half = &vq->encoder;
    const size_t width = shape->patch_width ? shape->patch_width : widths[last];
    if (shape->patch_width)
        add_conv(vq, &half->stem, "encoder.stem", width, 1, PIXEL * CELL * CELL);
    else
        add_conv(vq, &half->stem, "encoder.stem", widths[0], 3, PIXEL * shape->stem * shape->stem);
    for (size_t level = shape->patch_width ? last : 0; level <= last; level++) {
        char name[VLM_VQ_NAME_SIZE - 16];
        snprintf(name, sizeof(name), "encoder.down.%zu", level);
        if (level && !shape->patch_width)
            add_conv(vq, &half->change[level], name, widths[level], 1, 4 * widths[level - 1]);
        add_blocks(vq, half, "encoder", level, shape->patch_width ? width : widths[level],
                   shape->encoder_blocks[level]);
    }
    add_norm(vq, &half->norm, "encoder.norm", width);
    add_conv(vq, &half->out, "encoder.out", shape->code_width, 1, width);
}

static void lay_out_decoder(struct vlm_vq *vq)
{
    const struct vlm_vq_shape *shape = &vq->shape;
    const size_t *widths = shape->widths, last = shape->levels - 1;
    struct vlm_vq_half *half = &vq->decoder;
    add_conv(vq, &half->stem, "decoder.stem", widths[last], 3, shape->code_width);
    for (size_t level = last + 1; level-- > 0;) {
        char name[VLM_VQ_NAME_SIZE - 16];
        snprintf(name, sizeof(name), "decoder.up.%zu", level);
        if (level < last)
            add_conv(vq, &half->change[level], name, 4 * widths[level], 1, widths[level + 1]);
        add_blocks(vq, half, "decoder", level, widths[level], shape->decoder_blocks[level]);
    }
    add_norm(vq, &half->norm, "decoder.norm", widths[0]);
    add_conv(vq, &half->out, "decoder.out", PIXEL * shape->stem * shape->stem, 3, widths[0]);
}

static bool is_within(size_t n, size_t most)
{
    return n && n <= most;
}

static int check_shape(const struct vlm_vq_shape *shape, struct vlm_err *err)
{
    if (!is_within(shape->levels, VLM_VQ_LEVELS_MAX) || !is_within(shape->stem, CELL) ||
        shape->stem << (shape->levels - 1) != CELL)
        return vlm_fail(err, VLM_EUSAGE,
                        "a stem of %zu and %zu levels do not make a code of %d pixels", shape->stem,
                        shape->levels, CELL);
    if (!is_within(shape->codes, CODES_MAX) || !is_within(shape->code_width, VLM_VQ_WIDTH_MAX))
        return vlm_fail(err, VLM_EUSAGE, "a codebook of %zu x %zu is not from 1 x 1 to %d x %d",
                        shape->codes, shape->code_width, CODES_MAX, VLM_VQ_WIDTH_MAX);
    if (!shape->groups || shape->patch_width % shape->groups ||
        shape->patch_width > VLM_VQ_WIDTH_MAX)
        return vlm_fail(err, VLM_EUSAGE, "%zu groups do not divide a patch width of %zu",
                        shape->groups, shape->patch_width);
    for (size_t i = 0; i < shape->levels; i++) {
        if (!is_within(shape->widths[i], VLM_VQ_WIDTH_MAX) || shape->widths[i] % shape->groups)
            return vlm_fail(err, VLM_EUSAGE, "level %zu: %zu groups do not divide a width of %zu",
                            i, shape->groups, shape->widths[i]);
        if (shape->encoder_blocks[i] > VLM_VQ_BLOCKS_MAX ||
            shape->decoder_blocks[i] > VLM_VQ_BLOCKS_MAX)
            return vlm_fail(err, VLM_EUSAGE, "level %zu has more than %d blocks", i,
                            VLM_VQ_BLOCKS_MAX);
    }
    return VLM_OK;
}

/* Parameters of the graph: stem, norm and out of both halves, changes, four pairs a block, codebook. */
static size_t parameters_of(const struct vlm_vq_shape *shape)
{
    const size_t first = shape->patch_width ? shape->levels - 1 : 0; /* level of the encoder */
    size_t n = 2 * 6 + 2 * (shape->levels - 1) + 2 * (shape->levels - 1 - first) + 1;
    for (size_t i = 0; i < shape->levels; i++)
        n += 8 * ((i < first ? 0 : shape->encoder_blocks[i]) + shape->decoder_blocks[i]);
    return n;
}

static size_t aligned(size_t floats)
{
    const size_t line = VLM_MEMORY_ALIGN / sizeof(float);
    return (floats + line - 1) / line * line;
}

static int take_memory(struct vlm_vq *vq, unsigned flags, struct vlm_err *err)
{
    const bool gradients = flags & VLM_VQ_GRADIENTS;
    size_t floats = 0;
    for (size_t i = 0; i < vq->n_parameters; i++)
        floats += aligned(vlm_tensor_count(vq->parameters[i].tensor));
    size_t bytes = (gradients ? 2 : 1) * floats * sizeof(float);
    int rc = vlm_memory_init(&vq->memory, bytes, flags & VLM_VQ_COUNT ? VLM_MEMORY_COUNT : 0, err);
    for (size_t i = 0; rc == VLM_OK && i < vq->n_parameters; i++) {
        struct vlm_tensor *tensor = vq->parameters[i].tensor;
        size_t count = vlm_tensor_count(tensor);
        tensor->data = vlm_memory_take(&vq->memory, count, sizeof(float));
        tensor->needs_grad = gradients && tensor != &vq->codebook;
        if (tensor->needs_grad)
            tensor->grad = vlm_memory_take(&vq->memory, count, sizeof(float));
    }
    return rc;
}

int vlm_vq_init(struct vlm_vq *vq, const struct vlm_vq_shape *shape, unsigned flags,
                struct vlm_err *err)
{
    memset(vq, 0, sizeof(*vq));
    int rc = check_shape(shape, err);
    if (rc != VLM_OK)
        return rc;
    vq->shape = *shape;
    vq->parameters = calloc(parameters_of(shape), sizeof(*vq->parameters));
    if (!vq->parameters)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a table of parameters");
    lay_out_encoder(vq);
    lay_out_decoder(vq);
    add_tensor(vq, &vq->codebook, "codebook", ".weight", 2,
               (size_t[]){ shape->codes, shape->code_width });
    VLM_BUG_IF(vq->n_parameters != parameters_of(shape));
    rc = take_memory(vq, flags, err);
    if (rc != VLM_OK) {
        vlm_vq_release(vq);
        return vlm_wrap(err, "weights of %s", shape->kind);
    }
    return VLM_OK;
}

void vlm_vq_release(struct vlm_vq *vq)
{
    free(vq->parameters);
    vlm_memory_release(&vq->memory);
    vlm_memory_release(&vq->packed);
    memset(vq, 0, sizeof(*vq));
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

void vlm_vq_fill(struct vlm_vq *vq, uint64_t seed)
{
    for (size_t i = 0; i < vq->n_parameters; i++) {
        const struct vlm_tensor *tensor = vq->parameters[i].tensor;
        const bool gain = tensor->rank == 1 && ends_with(tensor->name, ".weight");
        size_t count = vlm_tensor_count(tensor), summed = count / tensor->shape[0];
        bool random_values = tensor->rank > 1 && !ends_with(tensor->name, "conv2.weight");
        struct vlm_random random = vlm_random_at(seed, 0, i);
        double bound = random_values ? sqrt(3.0 / (double)summed) : 0;
        for (size_t k = 0; k < count; k++)
            tensor->data[k] = gain ? 1 : (float)(bound * (2 * vlm_random_unit(&random) - 1));
    }
}

/* ---- packing ---- */

/* fn(vq, conv, context) for every convolution. */
typedef void (*conv_fn)(struct vlm_vq *vq, struct vlm_vq_conv *conv, void *context);

static void for_convs(struct vlm_vq *vq, conv_fn fn, void *context)
{
    const struct vlm_vq_shape *shape = &vq->shape;
    struct vlm_vq_half *halves[] = { &vq->encoder, &vq->decoder };
    for (size_t h = 0; h < VLM_COUNTOF(halves); h++) {
        struct vlm_vq_half *half = halves[h];
        const size_t *blocks = h ? shape->decoder_blocks : shape->encoder_blocks;
        fn(vq, &half->stem, context);
        for (size_t level = h || !shape->patch_width ? 0 : shape->levels - 1; level < shape->levels;
             level++) {
            if (half->change[level].weight.data)
                fn(vq, &half->change[level], context);
            for (size_t i = 0; i < blocks[level]; i++) {
                fn(vq, &half->blocks[level][i].conv1, context);
                fn(vq, &half->blocks[level][i].conv2, context);
            }
        }
        fn(vq, &half->out, context);
    }
}

static struct vlm_conv2d conv_options(const struct vlm_vq *vq, struct vlm_vq_conv *conv)
{
    const bool wide = conv->weight.shape[1] == 3;
    return (struct vlm_conv2d){ .weight = &conv->weight,
                                .bias = &conv->bias,
                                .before = wide,
                                .after = wide,
                                .mode = vq->mode,
                                .packed = conv->packed };
}

struct packing {
    const struct vlm_engine *engine;
    enum vlm_dtype precision;
    size_t bytes, scratch; /* of all packed weights; the largest scratch */
    void *scratch_memory;
};

static void measure_conv(struct vlm_vq *vq, struct vlm_vq_conv *conv, void *context)
{
    struct packing *packing = context;
    struct vlm_conv2d options = conv_options(vq, conv);
    size_t scratch = vlm_conv2d_pack_scratch(packing->engine, &options, packing->precision);
    packing->bytes += vlm_conv2d_packed_size(packing->engine, &options, packing->precision);
    packing->bytes += VLM_MEMORY_ALIGN;
    packing->scratch = VLM_MAX(packing->scratch, scratch);
}

static void pack_conv(struct vlm_vq *vq, struct vlm_vq_conv *conv, void *context)
{
    const struct packing *packing = context;
    struct vlm_conv2d options = conv_options(vq, conv);
    size_t bytes = vlm_conv2d_packed_size(packing->engine, &options, packing->precision);
    void *packed = vlm_memory_take(&vq->packed, 1, bytes);
    vlm_conv2d_pack(packing->engine, packed, &options, packing->precision, packing->scratch_memory);
    conv->packed = packed;
}

int vlm_vq_pack(struct vlm_vq *vq, const struct vlm_engine *engine, enum vlm_dtype precision,
                struct vlm_err *err)
{
    struct packing packing = { .engine = engine, .precision = precision };
    for_convs(vq, measure_conv, &packing);
    size_t scratch = packing.scratch + VLM_MEMORY_ALIGN;
    int rc = vlm_memory_init(&vq->packed, packing.bytes + scratch, 0, err);
    if (rc != VLM_OK)
        return vlm_wrap(err, "packed weights of %s", vq->shape.kind);
    packing.scratch_memory = vlm_memory_take(&vq->packed, 1, packing.scratch);
    for_convs(vq, pack_conv, &packing);
    return VLM_OK;
}

/* ---- forward ---- */

static struct vlm_tensor *conv(struct vlm_tape *tape, struct vlm_vq *vq, struct vlm_vq_conv *conv,
                               struct vlm_tensor *x, struct vlm_tensor *residual)
{
    struct vlm_conv2d options = conv_options(vq, conv);
    options.residual = residual;
    return vlm_conv2d(tape, x, &options);
}

static struct vlm_tensor *norm_silu(struct vlm_tape *tape, struct vlm_vq *vq,
                                    struct vlm_vq_norm *norm, struct vlm_tensor *x)
{
    return vlm_groupnorm(tape, x,
                         &(struct vlm_groupnorm){ .weight = &norm->weight,
                                                  .bias = &norm->bias,
                                                  .groups = vq->shape.groups,
                                                  .eps = NORM_EPSILON,
                                                  .silu = true });
}

static struct vlm_tensor *blocks(struct vlm_tape *tape, struct vlm_vq *vq,
                                 struct vlm_vq_block *block, size_t count, struct vlm_tensor *x)
{
    for (size_t i = 0; i < count; i++, block++) {
        struct vlm_tensor *h = norm_silu(tape, vq, &block->norm1, x);
        h = conv(tape, vq, &block->conv1, h, NULL);
        h = norm_silu(tape, vq, &block->norm2, h);
        x = conv(tape, vq, &block->conv2, h, x);
    }
    return x;
}

struct vlm_tensor *vlm_vq_encode(struct vlm_tape *tape, struct vlm_vq *vq, struct vlm_tensor *x)
{
    const struct vlm_vq_shape *shape = &vq->shape;
    struct vlm_vq_half *half = &vq->encoder;
    const bool patches = shape->patch_width;
    x = vlm_space_to_depth(tape, x, patches ? CELL : shape->stem);
    x = conv(tape, vq, &half->stem, x, NULL);
    for (size_t level = patches ? shape->levels - 1 : 0; level < shape->levels; level++) {
        if (level && !patches) {
            x = vlm_space_to_depth(tape, x, 2);
            x = conv(tape, vq, &half->change[level], x, NULL);
        }
        x = blocks(tape, vq, half->blocks[level], shape->encoder_blocks[level], x);
    }
    return conv(tape, vq, &half->out, norm_silu(tape, vq, &half->norm, x), NULL);
}

struct vlm_tensor *vlm_vq_decode(struct vlm_tape *tape, struct vlm_vq *vq, struct vlm_tensor *q)
{
    const struct vlm_vq_shape *shape = &vq->shape;
    struct vlm_vq_half *half = &vq->decoder;
    struct vlm_tensor *x = conv(tape, vq, &half->stem, q, NULL);
    for (size_t level = shape->levels; level-- > 0;) {
        if (level + 1 < shape->levels) {
            x = conv(tape, vq, &half->change[level], x, NULL);
            x = vlm_depth_to_space(tape, x, 2);
        }
        x = blocks(tape, vq, half->blocks[level], shape->decoder_blocks[level], x);
    }
    x = conv(tape, vq, &half->out, norm_silu(tape, vq, &half->norm, x), NULL);
    return vlm_depth_to_space(tape, x, shape->stem);
}

/* ---- config.json ---- */

static void write_sizes(struct vlm_json *json, const char *key, const size_t *sizes, size_t n)
{
    vlm_json_key(json, key);
    vlm_json_open(json, '[');
    for (size_t i = 0; i < n; i++)
        vlm_json_number(json, sizes[i]);
    vlm_json_close(json, ']');
}

void vlm_vq_architecture(struct vlm_buffer *out, const struct vlm_vq_shape *shape)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "stem", shape->stem);
    write_sizes(&json, "widths", shape->widths, shape->levels);
    write_sizes(&json, "encoder_blocks", shape->encoder_blocks, shape->levels);
    write_sizes(&json, "decoder_blocks", shape->decoder_blocks, shape->levels);
    if (shape->patch_width)
        vlm_json_member_number(&json, "patch_width", shape->patch_width);
    vlm_json_member_number(&json, "groups", shape->groups);
    vlm_json_close(&json, '}');
}
