/* model.c - the parameters of a model: which there are, their names and shapes, where they lie in memory,
 * how they begin, and which are frozen. One walk over the blocks' tables counts them and another lays
 * them out; every other list of parameters follows the order of this one. */
#include "base/vlm.h"

#include "base/random.h"
#include "models/blocks/block_internal.h"
#include "models/model/model.h"
#include "nn/ops/attention.h"
#include "nn/ops/positions.h"

#include <fnmatch.h>
#include <math.h>

enum { SIZE_MAX_OF_A_DIM = 1 << 24, LAYERS_MAX = 1 << 16 };
#define DEVIATION 0.02 /* of random weights: Radford et al. 2018 */

/* ---- what fits together ---- */

/* Sizes of layers of a kind; `what` for sentences. */
static int check_sizes(const char *what, const struct vlm_layer_kind *kind,
                       const struct vlm_sizes *sizes, struct vlm_err *err)
{
    const struct {
        const char *name;
        size_t value;
    } dims[] = { { "width", sizes->width },
                 { "heads", sizes->heads },
                 { "kv_heads", sizes->kv_heads },
                 { "size of a head", sizes->head_size },
                 { "hidden", sizes->hidden } };
    for (size_t i = 0; i < VLM_COUNTOF(dims); i++)
        if (dims[i].value < 1 || dims[i].value > SIZE_MAX_OF_A_DIM)
            return vlm_fail(err, VLM_EUSAGE, "%s: %s is %zu, not 1 to %d", what, dims[i].name,
                            dims[i].value, SIZE_MAX_OF_A_DIM);
    if (sizes->heads % sizes->kv_heads)
        return vlm_fail(err, VLM_EUSAGE, "%s: %zu heads do not divide among %zu heads of keys",
                        what, sizes->heads, sizes->kv_heads);
    if (sizes->head_size > VLM_ATTENTION_HEAD_MAX)
        return vlm_fail(err, VLM_EUSAGE, "%s: heads of %zu numbers, expected at most %d", what,
                        sizes->head_size, VLM_ATTENTION_HEAD_MAX);
    if (kind == &vlm_layer_pre_ln && sizes->heads * sizes->head_size != sizes->width)
        return vlm_fail(err, VLM_EUSAGE, "%s: a width of %zu does not divide among %zu heads", what,
                        sizes->width, sizes->heads);
    if (sizes->position == VLM_POSITION_ROTARY && sizes->head_size % 2)
        return vlm_fail(err, VLM_EUSAGE,
                        "%s: rotary positions turn pairs, and heads have %zu numbers", what,
                        sizes->head_size);
    if (sizes->position == VLM_POSITION_ROTARY && !(sizes->rotary_base > 0))
        return vlm_fail(err, VLM_EUSAGE, "%s: the base of the rotary positions is %g, not above 0",
                        what, sizes->rotary_base);
    if (!(sizes->norm_epsilon >= 0 && isfinite(sizes->norm_epsilon)))
        return vlm_fail(err, VLM_EUSAGE, "%s: the epsilon of the norms is %g, not a number from 0",
                        what, (double)sizes->norm_epsilon);
    return VLM_OK;
}

static int check_encoder(const struct vlm_model_config *config, struct vlm_err *err)
{
    const struct vlm_sizes *encoder = &config->encoder_sizes, *bridge = &config->bridge_sizes;
    if (!config->encoder && !config->bridge)
        return VLM_OK;
    if (!config->encoder || !config->bridge)
        return vlm_fail(err, VLM_EUSAGE, "an encoder needs a bridge, and a bridge an encoder");
    int rc = check_sizes("encoder", &vlm_layer_pre_ln, encoder, err);
    if (rc != VLM_OK)
        return rc;
    if (encoder->position != VLM_POSITION_LEARNED)
        return vlm_fail(err, VLM_EUSAGE, "encoder: its positions are learned, nothing else");
    if (config->encoder_layers > LAYERS_MAX)
        return vlm_fail(err, VLM_EUSAGE, "encoder: %zu layers, expected at most %d",
                        config->encoder_layers, LAYERS_MAX);
    if (encoder->inputs < 1 || encoder->inputs > SIZE_MAX_OF_A_DIM || encoder->length < 1 ||
        encoder->length > SIZE_MAX_OF_A_DIM)
        return vlm_fail(err, VLM_EUSAGE, "encoder: images of %zu rows of %zu codes, not 1 to %d",
                        encoder->length, encoder->inputs, SIZE_MAX_OF_A_DIM);
    if (bridge->width != config->sizes.width || bridge->inputs != encoder->width)
        return vlm_fail(err, VLM_EUSAGE,
                        "bridge: from a width of %zu to %zu, but the encoder's is %zu and the "
                        "trunk's %zu",
                        bridge->inputs, bridge->width, encoder->width, config->sizes.width);
    if (bridge->length < 1 || bridge->length > encoder->length || encoder->length % bridge->length)
        return vlm_fail(err, VLM_EUSAGE,
                        "bridge: the %zu rows of an image do not divide among %zu rows",
                        encoder->length, bridge->length);
    return VLM_OK;
}

static bool count_of(size_t *count, size_t *n, const struct vlm_model_config *config);

int vlm_model_check(const struct vlm_model_config *config, struct vlm_err *err)
{
    if (!config->layer)
        return vlm_fail(err, VLM_EUSAGE, "trunk: no kind of layer, expected one of %s",
                        vlm_layer_names());
    int rc = check_sizes("trunk", config->layer, &config->sizes, err);
    if (rc != VLM_OK)
        return rc;
    if (config->layers < 1 || config->layers > LAYERS_MAX)
        return vlm_fail(err, VLM_EUSAGE, "trunk: %zu layers, not 1 to %d", config->layers,
                        LAYERS_MAX);
    if (config->vocabulary < 1 || config->vocabulary > SIZE_MAX_OF_A_DIM)
        return vlm_fail(err, VLM_EUSAGE, "a vocabulary of %zu, not 1 to %d", config->vocabulary,
                        SIZE_MAX_OF_A_DIM);
    if (config->context < 1 || config->context > SIZE_MAX_OF_A_DIM)
        return vlm_fail(err, VLM_EUSAGE, "a context of %zu, not 1 to %d", config->context,
                        SIZE_MAX_OF_A_DIM);
    rc = check_encoder(config, err);
    size_t count, n;
    if (rc == VLM_OK && !count_of(&count, &n, config))
        rc = vlm_fail(err, VLM_EUSAGE, "a model of %zu layers of width %zu is beyond counting",
                      config->layers, config->sizes.width);
    return rc;
}

/* ---- layout ---- */

/* The walk over all parameters. Without a model it only counts. */
struct layout {
    struct vlm_model *model;
    size_t n, count;
    bool overflow;
};

/* One more tensor; rows 0: a vector of cols, cols 0: one that this model goes without. */
static struct vlm_tensor *add(struct layout *layout, const char *prefix, const char *name,
                              size_t rows, size_t cols, enum vlm_fill fill)
{
    size_t count = 0;
    const bool absent = !cols;
    if (__builtin_mul_overflow(rows ? rows : 1, cols, &count) ||
        __builtin_add_overflow(layout->count, count, &layout->count))
        layout->overflow = true;
    const size_t i = layout->n++;
    if (!layout->model)
        return NULL;
    struct vlm_model_parameter *p = &layout->model->parameters[i];
    struct vlm_tensor *t = &layout->model->tensors[i];
    snprintf(p->name, sizeof(p->name), "%s%s", prefix, name);
    p->fill = fill;
    p->decay = rows > 0 && !absent;
    p->frozen = absent;
    *t = (struct vlm_tensor){ .name = p->name, .needs_grad = !absent };
    if (absent)
        return t;
    t->rank = rows ? 2 : 1;
    t->shape[0] = rows ? rows : cols;
    t->shape[1] = rows ? cols : 0;
    return t;
}

/* The tensors of a block; the first of them. */
static struct vlm_tensor *add_entries(struct layout *layout, const char *prefix,
                                      const struct vlm_entry *entries, size_t n,
                                      const struct vlm_sizes *sizes, size_t image_rows)
{
    struct vlm_tensor *first = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct vlm_entry *e = &entries[i];
        const bool absent = (e->only_with == VLM_BIAS_ATTENTION && !sizes->biases) ||
                            (e->only_with == VLM_BIAS_HIDDEN && !sizes->hidden_biases);
        struct vlm_tensor *t =
            add(layout, prefix, e->name, vlm_block_dim(e->rows, sizes, image_rows),
                absent ? 0 : vlm_block_dim(e->cols, sizes, image_rows), e->fill);
        first = i ? first : t;
    }
    return first;
}

static struct vlm_tensor *add_layers(struct layout *layout, const char *prefix,
                                     const struct vlm_layer_kind *kind, size_t layers,
                                     const struct vlm_sizes *sizes)
{
    struct vlm_tensor *first = NULL;
    for (size_t i = 0; i < layers; i++) {
        char name[VLM_PARAMETER_NAME_SIZE];
        snprintf(name, sizeof(name), "%s.%zu.", prefix, i);
        struct vlm_tensor *t = add_entries(layout, name, kind->entries, kind->n_entries, sizes, 0);
        first = i ? first : t;
    }
    return first;
}

static void walk(struct layout *layout, struct vlm_model *places,
                 const struct vlm_model_config *config)
{
    const struct vlm_sizes *sizes = &config->sizes;
    places->embed =
        add(layout, "embed.", "tokens.weight", config->vocabulary, sizes->width, VLM_FILL_NORMAL);
    if (sizes->position != VLM_POSITION_ROTARY)
        places->positions = add(layout, "embed.", "positions.weight", config->context, sizes->width,
                                VLM_FILL_NORMAL);
    places->trunk = add_layers(layout, "trunk", config->layer, config->layers, sizes);
    places->norm_weight = add(layout, "trunk.", "norm.weight", 0, sizes->width, VLM_FILL_ONES);
    if (config->layer->norm_bias)
        places->norm_bias = add(layout, "trunk.", "norm.bias", 0, sizes->width, VLM_FILL_ZEROS);
    places->head = config->tied ? places->embed
                                : add(layout, "head.", "weight", config->vocabulary, sizes->width,
                                      VLM_FILL_NORMAL);
    if (!config->encoder)
        return;
    const size_t image_rows = config->encoder_sizes.length;
    places->encoder = add_entries(layout, "encoder.", config->encoder->entries,
                                  config->encoder->n_entries, &config->encoder_sizes, image_rows);
    places->encoder_trunk = add_layers(layout, "encoder", &vlm_layer_pre_ln, config->encoder_layers,
                                       &config->encoder_sizes);
    places->bridge = add_entries(layout, "bridge.", config->bridge->entries,
                                 config->bridge->n_entries, &config->bridge_sizes, image_rows);
}

/* Numbers and tensors of a model; false: more than can be addressed, weights and gradients together. */
static bool count_of(size_t *count, size_t *n, const struct vlm_model_config *config)
{
    struct layout layout = { 0 };
    struct vlm_model places = { 0 };
    walk(&layout, &places, config);
    *count = layout.count;
    *n = layout.n;
    return !layout.overflow && layout.count < SIZE_MAX / (4 * sizeof(float));
}

/* ---- memory ---- */

/* Numbers of a table of cosines and sines, or 0. */
static size_t rotary_count(const struct vlm_model_config *config)
{
    return config->sizes.position == VLM_POSITION_ROTARY ? config->context * config->sizes.head_size
                                                         : 0;
}

static int take_memory(struct vlm_model *model, unsigned flags, struct vlm_err *err)
{
    const bool grads = flags & VLM_MODEL_GRADS, counts = flags & VLM_MODEL_COUNT;
    const size_t table = rotary_count(&model->config);
    size_t bytes = ((grads ? 2 : 1) * model->count + table) * sizeof(float) + 3 * VLM_MEMORY_ALIGN;
    int rc = vlm_memory_init(&model->memory, bytes, counts ? VLM_MEMORY_COUNT : 0, err);
    if (rc != VLM_OK)
        return rc;
    /* Fresh from the system: zeros. */
    model->values = vlm_memory_take(&model->memory, model->count, sizeof(float));
    if (grads)
        model->grads = vlm_memory_take(&model->memory, model->count, sizeof(float));
    size_t used = 0;
    for (size_t i = 0; i < model->n; i++) {
        struct vlm_tensor *t = &model->tensors[i];
        if (t->rank == 0)
            continue;
        t->data = model->values + used;
        t->grad = grads ? model->grads + used : NULL;
        t->needs_grad = t->needs_grad && grads; /* else a tape would lend it memory of a step */
        used += vlm_tensor_count(t);
    }
    if (table) {
        model->rotary_table = vlm_memory_take(&model->memory, table, sizeof(float));
        if (!counts)
            vlm_rotary_table(model->rotary_table, model->config.context,
                             model->config.sizes.head_size, model->config.sizes.rotary_base);
    }
    return VLM_OK;
}

int vlm_model_init(struct vlm_model *model, const struct vlm_model_config *config, unsigned flags,
                   struct vlm_err *err)
{
    *model = (struct vlm_model){ .config = *config };
    int rc = vlm_model_check(config, err);
    if (rc != VLM_OK)
        return rc;
    VLM_BUG_IF(!count_of(&model->count, &model->n, config));
    const size_t layers = config->layers + (config->encoder ? config->encoder_layers : 0);
    model->tensors = calloc(model->n, sizeof(*model->tensors));
    model->parameters = calloc(model->n, sizeof(*model->parameters));
    model->calls = calloc(layers, sizeof(*model->calls));
    if (!model->tensors || !model->parameters || !model->calls)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the tables of %zu parameters", model->n);
    if (rc == VLM_OK) {
        struct layout layout = { .model = model };
        walk(&layout, model, config);
        if (config->sizes.position == VLM_POSITION_SINUSOID) {
            model->parameters[model->positions - model->tensors].frozen = true;
            model->positions->needs_grad = false;
        }
        rc = take_memory(model, flags, err);
    }
    if (rc != VLM_OK)
        vlm_model_release(model);
    return rc;
}

void vlm_model_release(struct vlm_model *model)
{
    vlm_memory_release(&model->memory);
    free(model->tensors);
    free(model->parameters);
    free(model->calls);
    *model = (struct vlm_model){ 0 };
}

/* ---- how weights begin ---- */

/* Four uniform numbers of 16 bits: their sum has variance 4 / 12 and is close enough to normal. No
 * function of the C library is asked, so the bits are the same everywhere. */
static float nearly_normal(struct vlm_random *random)
{
    uint64_t bits = vlm_random_next(random);
    uint64_t sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    return ((float)sum * 0x1p-16f - 2) * 1.7320508f;
}

/* Deviations: Radford et al. 2018 (0.02) and 2019, section 2.3 (1 / sqrt(N) for N products that are
 * added to the residual stream, two a layer). */
static void fill(struct vlm_tensor *t, enum vlm_fill kind, size_t layers, uint64_t seed, size_t i)
{
    struct vlm_random random = vlm_random_at(seed, 0, i);
    const size_t n = vlm_tensor_count(t);
    float deviation = (float)DEVIATION;
    if (kind == VLM_FILL_RESIDUAL)
        deviation = (float)(DEVIATION / sqrt(2.0 * (double)layers));
    for (size_t k = 0; k < n; k++)
        switch (kind) {
        case VLM_FILL_ZEROS:
            t->data[k] = 0;
            break;
        case VLM_FILL_ONES:
            t->data[k] = 1;
            break;
        case VLM_FILL_NORMAL:
        case VLM_FILL_RESIDUAL:
            t->data[k] = deviation * nearly_normal(&random);
            break;
        }
}

/* fairseq and Vaswani et al. (section 3.4) multiply the embedding, of deviation width^-1/2, by width^1/2 and add
 * sinusoids of 1. GPT-2's form has no such factor and embeddings of deviation 0.02: so the table is multiplied
 * instead, and a token and its place count as they do there. Unscaled, places drown the tokens, and a small model
 * learns nothing but how often each token comes in its first hundreds of steps. */
static void fill_sinusoids(struct vlm_tensor *t)
{
    const size_t count = vlm_tensor_count(t);
    vlm_sinusoids(t->data, t->shape[0], t->shape[1], 0, VLM_SINUSOID_INTERLEAVED);
    for (size_t i = 0; i < count; i++)
        t->data[i] *= VLM_SINUSOID_SCALE;
}

void vlm_model_fill(struct vlm_model *model, uint64_t seed)
{
    const struct vlm_model_config *config = &model->config;
    for (size_t i = 0; i < model->n; i++) {
        struct vlm_tensor *t = &model->tensors[i];
        const bool encoder = model->encoder_trunk && t >= model->encoder_trunk;
        if (t->rank == 0)
            continue;
        if (t == model->positions && config->sizes.position == VLM_POSITION_SINUSOID)
            fill_sinusoids(t);
        else
            fill(t, model->parameters[i].fill, encoder ? config->encoder_layers : config->layers,
                 seed, i);
    }
}

/* ---- lists ---- */

void vlm_model_list(struct vlm_parameter *list, const struct vlm_model *model)
{
    for (size_t i = 0; i < model->n; i++) {
        const struct vlm_model_parameter *p = &model->parameters[i];
        list[i] = (struct vlm_parameter){ .tensor = &model->tensors[i],
                                          .flags = (p->decay ? VLM_PARAMETER_DECAY : 0U) |
                                                   (p->frozen ? VLM_PARAMETER_FROZEN : 0U) };
    }
}

/* ---- by name ---- */

size_t vlm_model_find(const struct vlm_model *model, const char *name)
{
    size_t i = 0;
    while (i < model->n && (model->tensors[i].rank == 0 || strcmp(model->parameters[i].name, name)))
        i++;
    return i;
}

static bool matches_any(const char *name, const char *const *globs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!fnmatch(globs[i], name, 0))
            return true;
    return false;
}

/* A glob that matches no parameter is a typing error. */
static int check_globs(const struct vlm_model *model, const char *key, const char *const *globs,
                       size_t n, struct vlm_err *err)
{
    for (size_t g = 0; g < n; g++) {
        size_t i = 0;
        while (i < model->n && (model->tensors[i].rank == 0 ||
                                !matches_any(model->parameters[i].name, &globs[g], 1)))
            i++;
        if (i == model->n)
            return vlm_fail(err, VLM_EUSAGE,
                            "%s: '%s' matches no parameter (names are such as %s and %s)", key,
                            globs[g], model->parameters[0].name, model->norm_weight->name);
    }
    return VLM_OK;
}

int vlm_model_freeze(struct vlm_model *model, const char *const *freeze, size_t n_freeze,
                     const char *const *train, size_t n_train, struct vlm_err *err)
{
    int rc = check_globs(model, "freeze", freeze, n_freeze, err);
    if (rc == VLM_OK)
        rc = check_globs(model, "train", train, n_train, err);
    if (rc != VLM_OK)
        return rc;
    size_t trained = 0;
    for (size_t i = 0; i < model->n; i++) {
        struct vlm_model_parameter *p = &model->parameters[i];
        if (matches_any(p->name, freeze, n_freeze) && !matches_any(p->name, train, n_train)) {
            p->frozen = true;
            model->tensors[i].needs_grad = false;
        }
        trained += !p->frozen;
    }
    if (!trained)
        return vlm_fail(err, VLM_EUSAGE, "freeze: all %zu parameters are frozen", model->n);
    return VLM_OK;
}
