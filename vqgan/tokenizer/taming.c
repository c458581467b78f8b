/* taming.c - the kinds "taming", "llamagen", "maskgit" and "chameleon": one graph, whose differences are
 * in its architecture.
 *
 * Weights are packed for the products when a model is opened and unpacked copies are forgotten. A coder
 * holds three activations of the largest size at a time: a block computes into the place of its input
 * wherever the sizes agree, and gives back everything else. */
#include "base/vlm.h"

#include "nn/ops/attention.h"
#include "nn/ops/conv2d.h"
#include "nn/ops/groupnorm.h"
#include "nn/ops/resample.h"
#include "vqgan/tokenizer/kind.h"
#include "vqgan/tokenizer/taming_graph.h"

#include <math.h>

enum { PARTS = VLM_TAMING_PARTS, QKV = 1, PROJECTION = 4 };

static const float group_norm_eps = 1e-6f;

/* A norm or a convolution as the ops want it. */
struct part {
    struct vlm_tensor weight, bias; /* of a convolution: [out, taps, taps, in] without data */
    bool has_bias;
    void *packed;
    enum vlm_conv_mode mode;
    enum vlm_dtype dtype; /* of the operands */
};

struct taming {
    struct vlm_taming_graph graph;
    struct part *parts;       /* [layers][PARTS]; in attention the part QKV is q, k and v as one */
    struct vlm_memory memory; /* of all weights */
    struct vlm_tensor table;
};

/* ---- opening ---- */

static void taming_close(void *model)
{
    struct taming *taming = model;
    vlm_taming_graph_release(&taming->graph);
    vlm_memory_release(&taming->memory);
    free(taming->parts);
    free(taming);
}

static struct vlm_conv2d conv_of(struct part *part)
{
    return (struct vlm_conv2d){ .weight = &part->weight,
                                .bias = part->has_bias ? &part->bias : NULL,
                                .mode = part->mode,
                                .f32 = part->dtype == VLM_F32,
                                .packed = part->packed };
}

static struct vlm_tensor new_vector(struct vlm_memory *memory, const char *name, size_t n)
{
    return (struct vlm_tensor){
        .name = name, .rank = 1, .shape = { n }, .data = vlm_memory_take(memory, n, sizeof(float))
    };
}

/* How a 3 x 3 convolution is done. On a level of few pixels F(4 x 4) would wait for its large weights.
 * Elsewhere it is faster, in fp32, than bf16 products of a direct convolution. */
static void choose_mode(struct part *part, const struct vlm_taming_layer *layer,
                        enum vlm_precision precision)
{
    const bool many = layer->side > VLM_CODES_SIDE && layer->type != VLM_TAMING_DOWN &&
                      part->weight.shape[1] == 3 &&
                      VLM_MIN(part->weight.shape[0], part->weight.shape[3]) >= VLM_TAMING_GROUPS;
    part->mode = precision != VLM_PRECISION_EXACT && many ? VLM_CONV_FAST : VLM_CONV_EXACT;
    part->dtype = precision == VLM_PRECISION_BF16 && !many ? VLM_BF16 : VLM_F32;
}

/* Shapes and places of one part. stride: a property of the packing. */
static void place_part(struct vlm_memory *memory, const struct vlm_kind_source *source,
                       struct part *part, const struct vlm_taming_layer *layer, size_t number)
{
    const struct vlm_taming_part *of = &layer->part[number];
    size_t out = layer->type == VLM_TAMING_ATTENTION && number == QKV ? 3 * of->out : of->out;
    *part = (struct part){ .has_bias = of->bias };
    if (of->bias)
        part->bias = new_vector(memory, of->name, out);
    if (of->norm) {
        part->weight = new_vector(memory, of->name, out);
        return;
    }
    part->weight = (struct vlm_tensor){ .name = of->name,
                                        .rank = 4,
                                        .shape = { out, of->taps, of->taps, of->in } };
    choose_mode(part, layer, source->precision);
    struct vlm_conv2d conv = conv_of(part);
    conv.stride = layer->type == VLM_TAMING_DOWN ? 2 : 1;
    conv.before = conv.after = of->taps / 2;
    part->packed =
        vlm_memory_take(memory, 1, vlm_conv2d_packed_size(source->engine, &conv, part->dtype));
}

/* Called twice: to count, and to place. */
static void place(struct taming *taming, const struct vlm_kind_source *source,
                  struct vlm_memory *memory)
{
    const struct vlm_taming_graph *graph = &taming->graph;
    for (size_t i = 0; i < graph->count; i++) {
        const struct vlm_taming_layer *layer = &graph->layers[i];
        for (size_t p = 0; p < layer->parts; p++)
            if (layer->type != VLM_TAMING_ATTENTION || p <= QKV || p >= PROJECTION)
                place_part(memory, source, &taming->parts[i * PARTS + p], layer, p);
    }
    size_t *book = taming->table.shape;
    taming->table.data = vlm_memory_take(memory, book[0] * book[1], sizeof(float));
}

/* Room for the largest convolution on its way from the file. */
struct work {
    float *file, *turned; /* [Co, Ci, h, w] and [Co, h, w, Ci] */
    void *scratch;
    struct vlm_memory memory;
};

static int work_init(struct work *work, const struct taming *taming,
                     const struct vlm_kind_source *source, struct vlm_err *err)
{
    size_t largest = vlm_tensor_count(&taming->table), scratch = 0;
    for (size_t i = 0; i < taming->graph.count * PARTS; i++) {
        struct part *part = &taming->parts[i];
        if (part->weight.rank != 4)
            continue;
        struct vlm_conv2d conv = conv_of(part);
        conv.before = conv.after = part->weight.shape[1] / 2;
        largest = VLM_MAX(largest, vlm_tensor_count(&part->weight));
        for (conv.stride = 1; conv.stride <= 2; conv.stride++)
            scratch = VLM_MAX(scratch, vlm_conv2d_pack_scratch(source->engine, &conv, VLM_F32));
    }
    int rc = vlm_memory_init(&work->memory, 2 * largest * sizeof(float) + scratch + 4096, 0, err);
    if (rc)
        return rc;
    work->file = vlm_memory_take(&work->memory, largest, sizeof(float));
    work->turned = vlm_memory_take(&work->memory, largest, sizeof(float));
    work->scratch = vlm_memory_take(&work->memory, 1, scratch);
    return VLM_OK;
}

static int read_tensor(const struct vlm_safetensors *file, const char *part, const char *kind,
                       float *to, struct vlm_err *err)
{
    char name[VLM_TAMING_NAME_SIZE + 8];
    snprintf(name, sizeof(name), "%s.%s", part, kind);
    return vlm_safetensors_read_f32(file, vlm_safetensors_find(file, name), to,
                                    VLM_SAFETENSORS_FINITE, err);
}

/* [out, in, taps] -> [out, taps, in] */
static void turn(float *to, const float *from, size_t out, size_t taps, size_t in)
{
    for (size_t o = 0; o < out; o++)
        for (size_t t = 0; t < taps; t++)
            for (size_t i = 0; i < in; i++)
                *to++ = from[(o * in + i) * taps + t];
}

/* `count` convolutions of the file become one: they follow each other in its output channels. */
static int load_conv(struct part *part, const struct vlm_taming_layer *layer, size_t number,
                     size_t count, struct work *work, const struct vlm_kind_source *source,
                     struct vlm_err *err)
{
    const struct vlm_taming_part *of = &layer->part[number];
    const size_t taps = of->taps * of->taps, size = of->out * of->in * taps;
    for (size_t i = 0; i < count; i++, of++) {
        int rc = read_tensor(source->file, of->name, "weight", work->file, err);
        if (rc == VLM_OK && of->bias)
            rc = read_tensor(source->file, of->name, "bias", part->bias.data + i * of->out, err);
        if (rc)
            return rc;
        turn(work->turned + i * size, work->file, of->out, taps, of->in);
    }
    struct vlm_conv2d conv = conv_of(part);
    conv.stride = layer->type == VLM_TAMING_DOWN ? 2 : 1;
    conv.before = conv.after = part->weight.shape[1] / 2;
    part->weight.data = work->turned;
    vlm_conv2d_pack(source->engine, part->packed, &conv, part->dtype, work->scratch);
    part->weight.data = NULL;
    return VLM_OK;
}

static int load_layer(struct taming *taming, size_t number, struct work *work,
                      const struct vlm_kind_source *source, struct vlm_err *err)
{
    const struct vlm_taming_layer *layer = &taming->graph.layers[number];
    int rc = VLM_OK;
    for (size_t p = 0; rc == VLM_OK && p < layer->parts; p++) {
        struct part *part = &taming->parts[number * PARTS + p];
        const char *name = layer->part[p].name;
        size_t count = layer->type == VLM_TAMING_ATTENTION && p == QKV ? PROJECTION - QKV : 1;
        if (layer->part[p].norm) {
            rc = read_tensor(source->file, name, "weight", part->weight.data, err);
            if (rc == VLM_OK)
                rc = read_tensor(source->file, name, "bias", part->bias.data, err);
        } else {
            rc = load_conv(part, layer, p, count, work, source, err);
            p += count - 1;
        }
    }
    return rc;
}

static void unit_rows(struct vlm_tensor *table)
{
    for (size_t r = 0; r < table->shape[0]; r++) {
        float *row = table->data + r * table->shape[1];
        double sum = 0;
        for (size_t c = 0; c < table->shape[1]; c++)
            sum += (double)row[c] * (double)row[c];
        for (size_t c = 0; c < table->shape[1]; c++)
            row[c] = (float)((double)row[c] / VLM_MAX(sqrt(sum), 1e-12));
    }
}

static int load(struct taming *taming, bool cosine, const struct vlm_kind_source *source,
                struct vlm_err *err)
{
    struct work work = { 0 };
    int rc = work_init(&work, taming, source, err);
    for (size_t i = 0; rc == VLM_OK && i < taming->graph.count; i++)
        rc = load_layer(taming, i, &work, source, err);
    if (rc == VLM_OK)
        rc = read_tensor(source->file, "quantize.embedding", "weight", taming->table.data, err);
    if (rc == VLM_OK && cosine)
        unit_rows(&taming->table);
    vlm_memory_release(&work.memory);
    return rc;
}

static int check_tensor(const struct vlm_safetensors *file, const char *name, unsigned rank,
                        const size_t *shape, struct vlm_err *err)
{
    const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, name);
    if (!entry)
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is missing", name);
    if (entry->rank != rank || memcmp(entry->shape, shape, rank * sizeof(*shape)))
        return vlm_fail(err, VLM_EFORMAT,
                        "tensor '%s' does not have the shape that the "
                        "architecture asks for",
                        name);
    return VLM_OK;
}

/* All names and shapes, before memory is taken for values. */
static int check_tensors(struct taming *taming, const struct vlm_taming_shape *shape,
                         const struct vlm_safetensors *file, struct vlm_err *err)
{
    const struct vlm_safetensors_entry *book =
        vlm_safetensors_find(file, "quantize.embedding.weight");
    if (!book || book->rank != 2 || book->shape[1] != shape->code_width || !book->shape[0] ||
        book->shape[0] > VLM_CODEBOOK_MAX)
        return vlm_fail(err, VLM_EFORMAT,
                        "tensor 'quantize.embedding.weight' is missing or not 1 to %d rows of %zu",
                        VLM_CODEBOOK_MAX, shape->code_width);
    taming->table = (struct vlm_tensor){ .name = "codebook",
                                         .rank = 2,
                                         .shape = { book->shape[0], book->shape[1] } };
    for (size_t i = 0; i < taming->graph.tensor_count; i++) {
        const struct vlm_taming_tensor *t = &taming->graph.tensors[i];
        int rc = check_tensor(file, t->name, t->rank, t->shape, err);
        if (rc)
            return rc;
    }
    if (vlm_safetensors_count(file) != taming->graph.tensor_count + 1)
        return vlm_fail(err, VLM_EFORMAT, "%zu tensors, expected %zu", vlm_safetensors_count(file),
                        taming->graph.tensor_count + 1);
    return VLM_OK;
}

static int taming_open(void **model, struct vlm_kind_codebook *codebook,
                       const struct vlm_kind_source *source, struct vlm_err *err)
{
    struct vlm_taming_shape shape;
    struct vlm_memory count = { 0 };
    struct taming *taming = calloc(1, sizeof(*taming));
    if (!taming)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer");
    int rc = vlm_taming_shape_read(&shape, source->architecture, err);
    if (rc == VLM_OK)
        rc = vlm_taming_graph_init(&taming->graph, &shape, err);
    if (rc == VLM_OK)
        rc = check_tensors(taming, &shape, source->file, err);
    if (rc == VLM_OK) {
        taming->parts = calloc(taming->graph.count * PARTS, sizeof(*taming->parts));
        if (!taming->parts)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer");
    }
    if (rc == VLM_OK)
        rc = vlm_memory_init(&count, SIZE_MAX / 2, VLM_MEMORY_COUNT, err);
    if (rc == VLM_OK) {
        place(taming, source, &count);
        rc = vlm_memory_init(&taming->memory, count.peak, 0, err);
    }
    if (rc == VLM_OK) {
        place(taming, source, &taming->memory);
        rc = load(taming, shape.cosine, source, err);
    }
    if (rc) {
        taming_close(taming);
        return rc;
    }
    *codebook = (struct vlm_kind_codebook){ .table = taming->table,
                                            .cosine = shape.cosine,
                                            .minus_one_to_one = shape.minus_one_to_one };
    *model = taming;
    return VLM_OK;
}

/* ---- running ---- */

static struct vlm_tensor *run_conv(struct vlm_tape *tape, const struct part *part,
                                   struct vlm_tensor *x, struct vlm_tensor *residual,
                                   struct vlm_tensor *into)
{
    struct part own = *part; /* the op's arguments are not const */
    struct vlm_conv2d conv = conv_of(&own);
    conv.before = conv.after = own.weight.shape[1] / 2;
    conv.residual = residual;
    conv.into = into;
    return vlm_conv2d(tape, x, &conv);
}

static struct vlm_tensor *run_norm(struct vlm_tape *tape, const struct part *part,
                                   struct vlm_tensor *x, bool silu, struct vlm_tensor *into)
{
    struct part own = *part;
    return vlm_groupnorm(tape, x,
                         &(struct vlm_groupnorm){ .weight = &own.weight,
                                                  .bias = &own.bias,
                                                  .groups = VLM_TAMING_GROUPS,
                                                  .eps = group_norm_eps,
                                                  .silu = silu,
                                                  .into = into });
}

/* An uninitialised image of x's size but for the channels. */
static struct vlm_tensor *new_image(struct vlm_tape *tape, const struct vlm_tensor *x,
                                    size_t factor, size_t channels)
{
    return vlm_tensor_new(
        tape, "image", VLM_F32, 4,
        (size_t[]){ x->shape[0], factor * x->shape[1], factor * x->shape[2], channels });
}

/* The result takes the place of x where it has as many channels. */
static struct vlm_tensor *run_block(struct vlm_tape *tape, const struct part part[PARTS],
                                    bool shortcut, struct vlm_tensor *x)
{
    const struct part *nin = &part[4];
    const size_t out = part[3].weight.shape[0];
    const bool of_output = shortcut && nin->weight.shape[3] != vlm_tensor_cols(x);
    struct vlm_tensor *y = shortcut ? new_image(tape, x, 1, out) : x;
    size_t mark = vlm_memory_mark(&tape->step);
    struct vlm_tensor *h = run_norm(tape, &part[0], x, true, NULL);
    h = run_conv(tape, &part[1], h, NULL, NULL);
    h = run_norm(tape, &part[2], h, true, h);
    if (of_output) {
        h = run_conv(tape, &part[3], h, NULL, NULL);
        run_conv(tape, nin, h, h, y);
    } else {
        if (shortcut)
            run_conv(tape, nin, x, NULL, y);
        run_conv(tape, &part[3], h, y, y);
    }
    vlm_memory_return(&tape->step, mark);
    return y;
}

static struct vlm_tensor *run_attention(struct vlm_tape *tape, const struct part part[PARTS],
                                        struct vlm_tensor *x)
{
    size_t mark = vlm_memory_mark(&tape->step), positions = vlm_tensor_rows(x);
    const size_t channels = vlm_tensor_cols(x);
    uint32_t *lo = vlm_step_memory(tape, positions, sizeof(*lo));
    uint32_t *hi = vlm_step_memory(tape, positions, sizeof(*hi));
    for (size_t i = 0; vlm_tape_runs(tape) && i < positions; i++) {
        lo[i] = 0;
        hi[i] = (uint32_t)positions;
    }
    struct vlm_tensor *h = run_norm(tape, &part[0], x, false, NULL);
    h = run_conv(tape, &part[QKV], h, NULL, NULL);
    h = vlm_attention(tape, &(struct vlm_attention){ .q = h,
                                                     .k = h,
                                                     .v = h,
                                                     .k_col = channels,
                                                     .v_col = 2 * channels,
                                                     .heads = 1,
                                                     .kv_heads = 1,
                                                     .head_size = channels,
                                                     .lo = lo,
                                                     .hi = hi });
    h->rank = x->rank;
    memcpy(h->shape, x->shape, sizeof(h->shape));
    run_conv(tape, &part[PROJECTION], h, x, x);
    vlm_memory_return(&tape->step, mark);
    return x;
}

static struct vlm_tensor *run_down(struct vlm_tape *tape, const struct part *part,
                                   struct vlm_tensor *x)
{
    struct part own = *part;
    struct vlm_conv2d conv = conv_of(&own);
    conv.stride = 2;
    conv.after = 1;
    return vlm_conv2d(tape, x, &conv);
}

static struct vlm_tensor *run_up(struct vlm_tape *tape, const struct part *part,
                                 struct vlm_tensor *x)
{
    struct vlm_tensor *y = new_image(tape, x, 2, part->weight.shape[0]);
    size_t mark = vlm_memory_mark(&tape->step);
    run_conv(tape, part, vlm_upsample(tape, x), NULL, y);
    vlm_memory_return(&tape->step, mark);
    return y;
}

static struct vlm_tensor *run_out(struct vlm_tape *tape, const struct part part[PARTS],
                                  struct vlm_tensor *x)
{
    struct vlm_tensor *y = new_image(tape, x, 1, part[1].weight.shape[0]);
    x = run_norm(tape, &part[0], x, true, x);
    return run_conv(tape, &part[1], x, NULL, y);
}

static struct vlm_tensor *run_layer(struct vlm_tape *tape, const struct vlm_taming_layer *layer,
                                    const struct part part[PARTS], struct vlm_tensor *x)
{
    switch (layer->type) {
    case VLM_TAMING_CONV:
        return run_conv(tape, part, x, NULL, NULL);
    case VLM_TAMING_BLOCK:
        return run_block(tape, part, layer->parts == PARTS, x);
    case VLM_TAMING_ATTENTION:
        return run_attention(tape, part, x);
    case VLM_TAMING_DOWN:
        return run_down(tape, part, x);
    case VLM_TAMING_MEAN:
        return vlm_downsample(tape, x);
    case VLM_TAMING_UP:
        return run_up(tape, part, x);
    case VLM_TAMING_OUT:
        return run_out(tape, part, x);
    }
    VLM_BUG_IF(true);
    return x;
}

static struct vlm_tensor *taming_encode(struct vlm_tape *tape, const void *model,
                                        struct vlm_tensor *x)
{
    const struct taming *taming = model;
    for (size_t i = 0; i < taming->graph.encoder_layers; i++)
        x = run_layer(tape, &taming->graph.layers[i], taming->parts + i * PARTS, x);
    return x;
}

static struct vlm_tensor *taming_decode(struct vlm_tape *tape, const void *model,
                                        struct vlm_tensor *q)
{
    const struct taming *taming = model;
    for (size_t i = taming->graph.encoder_layers; i < taming->graph.count; i++)
        q = run_layer(tape, &taming->graph.layers[i], taming->parts + i * PARTS, q);
    return q;
}

#define KIND(name)                                                                                 \
    {                                                                                              \
        name, taming_open, taming_close, taming_encode, taming_decode                              \
    }

const struct vlm_kind vlm_kind_taming = KIND("taming");
const struct vlm_kind vlm_kind_llamagen = KIND("llamagen");
const struct vlm_kind vlm_kind_maskgit = KIND("maskgit");
const struct vlm_kind vlm_kind_chameleon = KIND("chameleon");
