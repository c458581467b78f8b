/* taming_graph.c - from the numbers of an architecture to its layers, tensors and operations. */
#include "base/vlm.h"

#include "vqgan/tokenizer/taming_graph.h"
#include "nn/ops/attention.h"
#include "vqgan/image/image.h"

enum {
    LEVELS = VLM_TAMING_LEVELS,
    LAYERS_MAX = 2 * (LEVELS * (2 * VLM_TAMING_BLOCKS_MAX + 1) + VLM_TAMING_BLOCKS_MAX + 4),
};

/* ---- the architecture as JSON ---- */

struct number_field {
    const char *key;
    size_t offset, min, max;
};

#define NUMBER(field, min, max)                                                                    \
    {                                                                                              \
#field, offsetof(struct vlm_taming_shape, field), min, max                                 \
    }

static const struct number_field numbers[] = {
    NUMBER(channels, 1, VLM_TAMING_CHANNELS_MAX),
    NUMBER(encoder_blocks, 1, VLM_TAMING_BLOCKS_MAX),
    NUMBER(decoder_blocks, 1, VLM_TAMING_BLOCKS_MAX),
    NUMBER(middle_blocks, 1, VLM_TAMING_BLOCKS_MAX),
    NUMBER(latent_channels, 1, VLM_TAMING_CHANNELS_MAX),
    NUMBER(latent_taps, 1, 3),
    NUMBER(code_width, 1, VLM_TAMING_CHANNELS_MAX),
};

struct flag_field {
    const char *key;
    size_t offset;
};

#define FLAG(field)                                                                                \
    {                                                                                              \
#field, offsetof(struct vlm_taming_shape, field)                                           \
    }

static const struct flag_field flags[] = {
    FLAG(middle_attention),   FLAG(quant_convs), FLAG(block_biases),     FLAG(mean_pool),
    FLAG(shortcut_of_output), FLAG(cosine),      FLAG(minus_one_to_one),
};

static const struct flag_field level_flags[] = {
    FLAG(encoder_attention),
    FLAG(decoder_attention),
};

enum { KEYS = VLM_COUNTOF(numbers) + VLM_COUNTOF(flags) + VLM_COUNTOF(level_flags) + 1 };

static const void *field_at(const struct vlm_taming_shape *shape, size_t offset)
{
    return (const char *)shape + offset;
}

static void *field_to(struct vlm_taming_shape *shape, size_t offset)
{
    return (char *)shape + offset;
}

static int read_number(size_t *to, json_object *value, const char *key, size_t min, size_t max,
                       struct vlm_err *err)
{
    int64_t number = json_object_get_int64(value);
    if (!json_object_is_type(value, json_type_int) || number < (int64_t)min ||
        number > (int64_t)max)
        return vlm_fail(err, VLM_EFORMAT, "architecture: '%s' is not a number of %zu to %zu", key,
                        min, max);
    *to = (size_t)number;
    return VLM_OK;
}

static int read_flag(bool *to, json_object *value, const char *key, struct vlm_err *err)
{
    if (!json_object_is_type(value, json_type_boolean))
        return vlm_fail(err, VLM_EFORMAT, "architecture: '%s' is neither true nor false", key);
    *to = json_object_get_boolean(value);
    return VLM_OK;
}

static int read_list(json_object **list, json_object *architecture, const char *key,
                     struct vlm_err *err)
{
    if (!json_object_object_get_ex(architecture, key, list) ||
        !json_object_is_type(*list, json_type_array) || json_object_array_length(*list) != LEVELS)
        return vlm_fail(err, VLM_EFORMAT,
                        "architecture: '%s' is not a list of %d, one for each level from 256 to 16 "
                        "rows",
                        key, LEVELS);
    return VLM_OK;
}

static int read_levels(struct vlm_taming_shape *shape, json_object *architecture,
                       struct vlm_err *err)
{
    json_object *list;
    int rc = read_list(&list, architecture, "widths", err);
    for (size_t i = 0; rc == VLM_OK && i < LEVELS; i++)
        rc = read_number(&shape->width[i], json_object_array_get_idx(list, i), "widths", 1,
                         VLM_TAMING_CHANNELS_MAX, err);
    for (size_t f = 0; rc == VLM_OK && f < VLM_COUNTOF(level_flags); f++) {
        bool *to = field_to(shape, level_flags[f].offset);
        rc = read_list(&list, architecture, level_flags[f].key, err);
        for (size_t i = 0; rc == VLM_OK && i < LEVELS; i++)
            rc = read_flag(to + i, json_object_array_get_idx(list, i), level_flags[f].key, err);
    }
    return rc;
}

int vlm_taming_shape_read(struct vlm_taming_shape *shape, json_object *architecture,
                          struct vlm_err *err)
{
    memset(shape, 0, sizeof(*shape));
    if (!json_object_is_type(architecture, json_type_object))
        return vlm_fail(err, VLM_EFORMAT, "'architecture' is not an object");
    int rc = read_levels(shape, architecture, err);
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(numbers); i++) {
        json_object *value = NULL;
        json_object_object_get_ex(architecture, numbers[i].key, &value);
        rc = read_number(field_to(shape, numbers[i].offset), value, numbers[i].key, numbers[i].min,
                         numbers[i].max, err);
    }
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(flags); i++) {
        json_object *value = NULL;
        json_object_object_get_ex(architecture, flags[i].key, &value);
        rc = read_flag(field_to(shape, flags[i].offset), value, flags[i].key, err);
    }
    if (rc == VLM_OK && json_object_object_length(architecture) != KEYS)
        rc = vlm_fail(err, VLM_EFORMAT, "architecture has %d keys, not the %d of this kind",
                      json_object_object_length(architecture), (int)KEYS);
    return rc;
}

void vlm_taming_shape_write(const struct vlm_taming_shape *shape, struct vlm_buffer *out)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_key(&json, "widths");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < LEVELS; i++)
        vlm_json_number(&json, shape->width[i]);
    vlm_json_close(&json, ']');
    for (size_t i = 0; i < VLM_COUNTOF(numbers); i++)
        vlm_json_member_number(&json, numbers[i].key,
                               *(const size_t *)field_at(shape, numbers[i].offset));
    for (size_t f = 0; f < VLM_COUNTOF(level_flags); f++) {
        const bool *level = field_at(shape, level_flags[f].offset);
        vlm_json_key(&json, level_flags[f].key);
        vlm_json_open(&json, '[');
        for (size_t i = 0; i < LEVELS; i++)
            vlm_json_bool(&json, level[i]);
        vlm_json_close(&json, ']');
    }
    for (size_t i = 0; i < VLM_COUNTOF(flags); i++) {
        vlm_json_key(&json, flags[i].key);
        vlm_json_bool(&json, *(const bool *)field_at(shape, flags[i].offset));
    }
    vlm_json_close(&json, '}');
}

/* ---- layers ---- */

/* Where the list of layers has got to. */
struct builder {
    struct vlm_taming_graph *graph;
    const struct vlm_taming_shape *shape;
    const char *half;      /* "encoder." */
    size_t channels, side; /* of the result so far */
};

static struct vlm_taming_layer *add_layer(struct builder *b, enum vlm_taming_type type)
{
    VLM_BUG_IF(b->graph->count == LAYERS_MAX);
    struct vlm_taming_layer *layer = &b->graph->layers[b->graph->count++];
    memset(layer, 0, sizeof(*layer));
    layer->type = type;
    layer->side = b->side;
    return layer;
}

/* Named half + prefix + name. */
static struct vlm_taming_part *add_part(struct builder *b, struct vlm_taming_layer *layer,
                                        const char *prefix, const char *name)
{
    VLM_BUG_IF(layer->parts == VLM_TAMING_PARTS);
    struct vlm_taming_part *part = &layer->part[layer->parts++];
    int length = snprintf(part->name, sizeof(part->name), "%s%s%s", b->half, prefix, name);
    VLM_BUG_IF(length < 0 || (size_t)length >= sizeof(part->name));
    return part;
}

static void add_norm(struct builder *b, struct vlm_taming_layer *layer, const char *prefix,
                     const char *name, size_t channels)
{
    struct vlm_taming_part *part = add_part(b, layer, prefix, name);
    part->norm = part->bias = true;
    part->out = channels;
}

static void add_conv(struct builder *b, struct vlm_taming_layer *layer, const char *prefix,
                     const char *name, size_t in, size_t out, size_t taps, bool bias)
{
    struct vlm_taming_part *part = add_part(b, layer, prefix, name);
    part->out = out;
    part->in = in;
    part->taps = taps;
    part->bias = bias;
}

/* A layer that is one convolution. */
static void conv_layer(struct builder *b, enum vlm_taming_type type, const char *name, size_t out,
                       size_t taps, bool bias)
{
    struct vlm_taming_layer *layer = add_layer(b, type);
    add_conv(b, layer, "", name, b->channels, out, taps, bias);
    b->channels = out;
}

static void block_layer(struct builder *b, const char *prefix, size_t out)
{
    const struct vlm_taming_shape *shape = b->shape;
    struct vlm_taming_layer *layer = add_layer(b, VLM_TAMING_BLOCK);
    const size_t in = b->channels;
    add_norm(b, layer, prefix, "norm1", in);
    add_conv(b, layer, prefix, "conv1", in, out, 3, shape->block_biases);
    add_norm(b, layer, prefix, "norm2", out);
    add_conv(b, layer, prefix, "conv2", out, out, 3, shape->block_biases);
    if (in != out)
        add_conv(b, layer, prefix, "nin_shortcut", shape->shortcut_of_output ? out : in, out, 1,
                 shape->block_biases);
    b->channels = out;
}

static void attention_layer(struct builder *b, const char *prefix)
{
    struct vlm_taming_layer *layer = add_layer(b, VLM_TAMING_ATTENTION);
    static const char *const names[] = { "q", "k", "v", "proj_out" };
    add_norm(b, layer, prefix, "norm", b->channels);
    for (size_t i = 0; i < VLM_COUNTOF(names); i++)
        add_conv(b, layer, prefix, names[i], b->channels, b->channels, 1, true);
}

static void out_layer(struct builder *b, size_t out, size_t taps)
{
    struct vlm_taming_layer *layer = add_layer(b, VLM_TAMING_OUT);
    add_norm(b, layer, "", "norm_out", b->channels);
    add_conv(b, layer, "", "conv_out", b->channels, out, taps, true);
    b->channels = out;
}

static void level_layers(struct builder *b, const char *level_name, size_t level, size_t blocks,
                         bool attention)
{
    char prefix[VLM_TAMING_NAME_SIZE];
    for (size_t i = 0; i < blocks; i++) {
        snprintf(prefix, sizeof(prefix), "%s.%zu.block.%zu.", level_name, level, i);
        block_layer(b, prefix, b->shape->width[level]);
        snprintf(prefix, sizeof(prefix), "%s.%zu.attn.%zu.", level_name, level, i);
        if (attention)
            attention_layer(b, prefix);
    }
}

static void middle_layers(struct builder *b)
{
    char prefix[VLM_TAMING_NAME_SIZE];
    for (size_t i = 1; i <= b->shape->middle_blocks; i++) {
        snprintf(prefix, sizeof(prefix), "mid.block_%zu.", i);
        block_layer(b, prefix, b->channels);
        if (i == 1 && b->shape->middle_attention)
            attention_layer(b, "mid.attn_1.");
    }
}

static void encoder_layers(struct builder *b)
{
    const struct vlm_taming_shape *shape = b->shape;
    char name[VLM_TAMING_NAME_SIZE];
    b->half = "encoder.";
    b->channels = 3;
    b->side = VLM_SQUARE_SIDE;
    conv_layer(b, VLM_TAMING_CONV, "conv_in", shape->channels, 3, shape->block_biases);
    for (size_t level = 0; level < LEVELS; level++) {
        level_layers(b, "down", level, shape->encoder_blocks, shape->encoder_attention[level]);
        if (level + 1 == LEVELS)
            break;
        b->side /= 2;
        snprintf(name, sizeof(name), "down.%zu.downsample.conv", level);
        if (shape->mean_pool)
            add_layer(b, VLM_TAMING_MEAN);
        else
            conv_layer(b, VLM_TAMING_DOWN, name, b->channels, 3, true);
    }
    middle_layers(b);
    out_layer(b, shape->latent_channels, shape->latent_taps);
    b->half = "";
    if (shape->quant_convs)
        conv_layer(b, VLM_TAMING_CONV, "quant_conv", shape->code_width, 1, true);
    b->graph->encoder_layers = b->graph->count;
}

static void decoder_layers(struct builder *b)
{
    const struct vlm_taming_shape *shape = b->shape;
    char name[VLM_TAMING_NAME_SIZE];
    b->half = "";
    b->channels = shape->code_width;
    if (shape->quant_convs)
        conv_layer(b, VLM_TAMING_CONV, "post_quant_conv", shape->latent_channels, 1, true);
    b->half = "decoder.";
    conv_layer(b, VLM_TAMING_CONV, "conv_in", shape->width[LEVELS - 1], 3, true);
    middle_layers(b);
    for (size_t level = LEVELS; level-- > 0;) {
        level_layers(b, "up", level, shape->decoder_blocks, shape->decoder_attention[level]);
        if (!level)
            break;
        b->side *= 2;
        snprintf(name, sizeof(name), "up.%zu.upsample.conv", level);
        conv_layer(b, VLM_TAMING_UP, name, b->channels, 3, true);
    }
    out_layer(b, 3, 3);
}

/* ---- tensors ---- */

static void add_tensor(struct vlm_taming_graph *graph, const struct vlm_taming_part *part,
                       const char *kind, unsigned rank)
{
    struct vlm_taming_tensor *tensor = &graph->tensors[graph->tensor_count++];
    *tensor =
        (struct vlm_taming_tensor){ .rank = rank,
                                    .shape = { part->out, part->in, part->taps, part->taps } };
    if (rank == 1)
        tensor->shape[1] = tensor->shape[2] = tensor->shape[3] = 0;
    snprintf(tensor->name, sizeof(tensor->name), "%s.%s", part->name, kind);
}

static void list_tensors(struct vlm_taming_graph *graph)
{
    for (size_t i = 0; i < graph->count; i++)
        for (size_t p = 0; p < graph->layers[i].parts; p++) {
            const struct vlm_taming_part *part = &graph->layers[i].part[p];
            add_tensor(graph, part, "weight", part->norm ? 1 : 4);
            if (part->bias)
                add_tensor(graph, part, "bias", 1);
        }
}

/* Sizes of a shape are small, so the product of four does not overflow. */
static int check_size(const struct vlm_taming_graph *graph, struct vlm_err *err)
{
    size_t total = 0;
    for (size_t i = 0; i < graph->tensor_count; i++) {
        size_t count = 1;
        for (unsigned k = 0; k < graph->tensors[i].rank; k++)
            count *= graph->tensors[i].shape[k];
        total += count;
    }
    if (total > VLM_TAMING_NUMBERS_MAX)
        return vlm_fail(err, VLM_ELIMIT, "a tokenizer of %zu numbers is over the limit of %d",
                        total, VLM_TAMING_NUMBERS_MAX);
    return VLM_OK;
}

static int check_shape(const struct vlm_taming_shape *shape, struct vlm_err *err)
{
    if (shape->latent_taps != 1 && shape->latent_taps != 3)
        return vlm_fail(err, VLM_EFORMAT,
                        "the encoder's last convolution has %zu x %zu taps, not 1 x 1 or 3 x 3",
                        shape->latent_taps, shape->latent_taps);
    if (!shape->quant_convs && shape->code_width != shape->latent_channels)
        return vlm_fail(
            err, VLM_EFORMAT,
            "codes of %zu numbers for latents of %zu channels, and no quant_conv between",
            shape->code_width, shape->latent_channels);
    if (shape->channels % VLM_TAMING_GROUPS)
        return vlm_fail(err, VLM_EFORMAT, "conv_in makes %zu channels, not a multiple of %d",
                        shape->channels, VLM_TAMING_GROUPS);
    for (size_t i = 0; i < LEVELS; i++) {
        bool attention = shape->encoder_attention[i] || shape->decoder_attention[i] ||
                         (i + 1 == LEVELS && shape->middle_attention);
        if (shape->width[i] % VLM_TAMING_GROUPS)
            return vlm_fail(err, VLM_EFORMAT, "level %zu has %zu channels, not a multiple of %d", i,
                            shape->width[i], VLM_TAMING_GROUPS);
        if (attention && shape->width[i] > VLM_ATTENTION_HEAD_MAX)
            return vlm_fail(err, VLM_EFORMAT,
                            "level %zu has attention over %zu channels; the most here is %d", i,
                            shape->width[i], VLM_ATTENTION_HEAD_MAX);
    }
    return VLM_OK;
}

int vlm_taming_graph_init(struct vlm_taming_graph *graph, const struct vlm_taming_shape *shape,
                          struct vlm_err *err)
{
    memset(graph, 0, sizeof(*graph));
    int rc = check_shape(shape, err);
    if (rc)
        return rc;
    graph->layers = calloc(LAYERS_MAX, sizeof(*graph->layers));
    graph->tensors = calloc(2 * VLM_TAMING_PARTS * LAYERS_MAX, sizeof(*graph->tensors));
    if (!graph->layers || !graph->tensors) {
        vlm_taming_graph_release(graph);
        return vlm_fail(err, VLM_ENOMEM, "no memory for the layers of a tokenizer");
    }
    struct builder b = { .graph = graph, .shape = shape };
    encoder_layers(&b);
    decoder_layers(&b);
    list_tensors(graph);
    rc = check_size(graph, err);
    if (rc)
        vlm_taming_graph_release(graph);
    return rc;
}

void vlm_taming_graph_release(struct vlm_taming_graph *graph)
{
    free(graph->layers);
    free(graph->tensors);
    memset(graph, 0, sizeof(*graph));
}

static double layer_operations(const struct vlm_taming_layer *layer)
{
    double positions = (double)layer->side * (double)layer->side, sum = 0;
    for (size_t p = 0; p < layer->parts; p++) {
        const struct vlm_taming_part *part = &layer->part[p];
        if (!part->norm)
            sum += 2 * positions * (double)(part->taps * part->taps) * (double)part->in *
                   (double)part->out;
    }
    if (layer->type == VLM_TAMING_ATTENTION)
        sum += 4 * positions * positions * (double)layer->part[0].out;
    return sum;
}

double vlm_taming_encode_operations(const struct vlm_taming_graph *graph)
{
    double sum = 0;
    for (size_t i = 0; i < graph->encoder_layers; i++)
        sum += layer_operations(&graph->layers[i]);
    return sum;
}

double vlm_taming_decode_operations(const struct vlm_taming_graph *graph)
{
    double sum = 0;
    for (size_t i = graph->encoder_layers; i < graph->count; i++)
        sum += layer_operations(&graph->layers[i]);
    return sum;
}
