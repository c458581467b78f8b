/* folder_names.c - how parameters are called and laid out in model.safetensors.
 *
 * A trunk has the names that transformers gives to GPT-2 (whose matrices stand turned, [in, out], as its
 * "Conv1D" has them) or to Llama (which keeps q, k and v apart). Encoders and bridges keep our own
 * names, which transformers does not know. One table a family; the rest follows from it. */
#include "base/vlm.h"

#include "models/folder/folder_internal.h"

enum part { WHOLE, Q, K, V };

struct place {
    const char *ours, *theirs;
    enum part part;
    bool turned;
};

static const struct place gpt2_layer[] = {
    { "norm1.weight", "ln_1.weight", WHOLE, false },
    { "norm1.bias", "ln_1.bias", WHOLE, false },
    { "attention.qkv.weight", "attn.c_attn.weight", WHOLE, true },
    { "attention.qkv.bias", "attn.c_attn.bias", WHOLE, false },
    { "attention.out.weight", "attn.c_proj.weight", WHOLE, true },
    { "attention.out.bias", "attn.c_proj.bias", WHOLE, false },
    { "norm2.weight", "ln_2.weight", WHOLE, false },
    { "norm2.bias", "ln_2.bias", WHOLE, false },
    { "mlp.up.weight", "mlp.c_fc.weight", WHOLE, true },
    { "mlp.up.bias", "mlp.c_fc.bias", WHOLE, false },
    { "mlp.down.weight", "mlp.c_proj.weight", WHOLE, true },
    { "mlp.down.bias", "mlp.c_proj.bias", WHOLE, false },
};

static const struct place llama_layer[] = {
    { "norm1.weight", "input_layernorm.weight", WHOLE, false },
    { "attention.qkv.weight", "self_attn.q_proj.weight", Q, false },
    { "attention.qkv.weight", "self_attn.k_proj.weight", K, false },
    { "attention.qkv.weight", "self_attn.v_proj.weight", V, false },
    { "attention.qkv.bias", "self_attn.q_proj.bias", Q, false },
    { "attention.qkv.bias", "self_attn.k_proj.bias", K, false },
    { "attention.qkv.bias", "self_attn.v_proj.bias", V, false },
    { "attention.out.weight", "self_attn.o_proj.weight", WHOLE, false },
    { "attention.out.bias", "self_attn.o_proj.bias", WHOLE, false },
    { "norm2.weight", "post_attention_layernorm.weight", WHOLE, false },
    { "mlp.gate.weight", "mlp.gate_proj.weight", WHOLE, false },
    { "mlp.gate.bias", "mlp.gate_proj.bias", WHOLE, false },
    { "mlp.up.weight", "mlp.up_proj.weight", WHOLE, false },
    { "mlp.up.bias", "mlp.up_proj.bias", WHOLE, false },
    { "mlp.down.weight", "mlp.down_proj.weight", WHOLE, false },
    { "mlp.down.bias", "mlp.down_proj.bias", WHOLE, false },
};

static const struct family {
    const char *layer;              /* of struct vlm_layer_kind */
    const char *prefix, *layers;    /* "transformer." and "h." */
    const char *tokens, *positions; /* behind the prefix */
    const char *norm_weight, *norm_bias;
    const struct place *places;
    size_t n;
} families[] = {
    { "pre-ln", "transformer.", "h.", "wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias",
      gpt2_layer, VLM_COUNTOF(gpt2_layer) },
    { "llama", "model.", "layers.", "embed_tokens.weight", "embed_positions.weight", "norm.weight",
      "norm.bias", llama_layer, VLM_COUNTOF(llama_layer) },
};

static const struct family *family_of(const struct vlm_model_config *config)
{
    for (size_t i = 0; i < VLM_COUNTOF(families); i++)
        if (!strcmp(families[i].layer, config->layer->name))
            return &families[i];
    vlm_bug(__FILE__, __LINE__, "a kind of layer without names in files");
}

const char *vlm_stored_tensor_name(const struct vlm_stored_tensor *stored,
                                   const struct vlm_model *model, bool bare)
{
    const char *prefix = family_of(&model->config)->prefix;
    const size_t n = strlen(prefix);
    return bare && !strncmp(stored->name, prefix, n) ? stored->name + n : stored->name;
}

/* Rows of a matrix, numbers of a vector. */
static size_t rows_of(const struct vlm_tensor *tensor)
{
    return tensor->shape[0];
}

static size_t cols_of(const struct vlm_tensor *tensor)
{
    return tensor->rank == 1 ? 1 : vlm_tensor_count(tensor) / tensor->shape[0];
}

static void set_part(struct vlm_stored_tensor *stored, const struct vlm_tensor *tensor,
                     enum part part, const struct vlm_sizes *sizes)
{
    const size_t q = sizes->heads * sizes->head_size, k = sizes->kv_heads * sizes->head_size;
    stored->row = part == K ? q : part == V ? q + k : 0;
    stored->rows = part == WHOLE ? rows_of(tensor) : part == Q ? q : k;
}

static int name_of(struct vlm_stored_tensor *stored, const char *format, ...) VLM_PRINTF(2, 3);
static int name_of(struct vlm_stored_tensor *stored, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(stored->name, sizeof(stored->name), format, list);
    va_end(list);
    VLM_BUG_IF(n < 0 || (size_t)n >= sizeof(stored->name));
    return n;
}

/* All tensors of the file that a parameter is spread over, at most 3; their number. */
static size_t places_of(struct vlm_stored_tensor stored[3], const struct vlm_model *model,
                        const struct family *family, size_t parameter)
{
    const char *name = model->parameters[parameter].name;
    const struct vlm_tensor *tensor = &model->tensors[parameter];
    unsigned long layer = 0;
    int at = 0;
    size_t n = 0;
    if (sscanf(name, "trunk.%lu.%n", &layer, &at) == 1 && at) {
        for (size_t i = 0; i < family->n; i++)
            if (!strcmp(family->places[i].ours, name + at)) {
                struct vlm_stored_tensor *to = &stored[n++];
                *to = (struct vlm_stored_tensor){ .parameter = parameter,
                                                  .turned = family->places[i].turned };
                set_part(to, tensor, family->places[i].part, &model->config.sizes);
                name_of(to, "%s%s%lu.%s", family->prefix, family->layers, layer,
                        family->places[i].theirs);
            }
        VLM_BUG_IF(!n);
        return n;
    }
    const char *theirs = !strcmp(name, "embed.tokens.weight")      ? family->tokens
                         : !strcmp(name, "embed.positions.weight") ? family->positions
                         : !strcmp(name, "trunk.norm.weight")      ? family->norm_weight
                         : !strcmp(name, "trunk.norm.bias")        ? family->norm_bias
                                                                   : NULL;
    stored[0] = (struct vlm_stored_tensor){ .parameter = parameter, .rows = rows_of(tensor) };
    if (theirs)
        name_of(&stored[0], "%s%s", family->prefix, theirs);
    else
        name_of(&stored[0], "%s", !strcmp(name, "head.weight") ? "lm_head.weight" : name);
    return 1;
}

int vlm_stored_tensors(struct vlm_stored_tensor **list, size_t *n, const struct vlm_model *model,
                       struct vlm_err *err)
{
    const struct family *family = family_of(&model->config);
    *n = 0;
    *list = calloc(3 * model->n + 1, sizeof(**list));
    if (!*list)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the names of %zu tensors", model->n);
    for (size_t i = 0; i < model->n; i++)
        if (model->tensors[i].rank) /* 0: a bias that this model does not have */
            *n += places_of(*list + *n, model, family, i);
    return VLM_OK;
}

void vlm_stored_tensor_shape(size_t shape[VLM_RANK_MAX], unsigned *rank,
                             const struct vlm_model *model, const struct vlm_stored_tensor *stored)
{
    const struct vlm_tensor *tensor = &model->tensors[stored->parameter];
    *rank = tensor->rank;
    memcpy(shape, tensor->shape, sizeof(tensor->shape));
    shape[0] = stored->rows;
    if (stored->turned) {
        VLM_BUG_IF(tensor->rank != 2);
        shape[0] = tensor->shape[1];
        shape[1] = stored->rows;
    }
}

size_t vlm_stored_tensor_offset(const struct vlm_model *model,
                                const struct vlm_stored_tensor *stored)
{
    const struct vlm_tensor *tensor = &model->tensors[stored->parameter];
    const size_t first = (size_t)(tensor->data - model->values);
    return first + stored->row * cols_of(tensor);
}

/* to[cols][rows] = from[rows][cols], in squares that stay in the nearest cache. */
static void turn(float *to, const float *from, size_t rows, size_t cols)
{
    enum { SIDE = 16 };
    for (size_t r = 0; r < rows; r += SIDE)
        for (size_t c = 0; c < cols; c += SIDE)
            for (size_t i = r; i < VLM_MIN(r + SIDE, rows); i++)
                for (size_t k = c; k < VLM_MIN(c + SIDE, cols); k++)
                    to[k * rows + i] = from[i * cols + k];
}

void vlm_stored_tensor_gather(float *to, const struct vlm_model *model, const float *values,
                              const struct vlm_stored_tensor *stored)
{
    const size_t cols = cols_of(&model->tensors[stored->parameter]);
    const float *from = values + vlm_stored_tensor_offset(model, stored);
    if (stored->turned)
        turn(to, from, stored->rows, cols);
    else
        memcpy(to, from, stored->rows * cols * sizeof(float));
}

void vlm_stored_tensor_scatter(float *values, const struct vlm_model *model, const float *from,
                               const struct vlm_stored_tensor *stored)
{
    const size_t cols = cols_of(&model->tensors[stored->parameter]);
    float *to = values + vlm_stored_tensor_offset(model, stored);
    if (stored->turned)
        turn(to, from, cols, stored->rows);
    else
        memcpy(to, from, stored->rows * cols * sizeof(float));
}
