/* folder_adopt.c - weights of another model folder as a beginning (--init-from).
 *
 * The trunk must be the same; the vocabulary need not be. An id of the new model finds its row by what it
 * stands for: a control word, a mask, a code, or the bytes of a text piece, which are looked up in a table of the
 * other tokenizer's pieces. Rows that find none, a table of positions that is computed, and an encoder and bridge
 * that the other model does not have, stay as they are. */
#include "base/vlm.h"

#include "models/folder/folder_internal.h"

#include "base/hash.h"

/* ---- whether it fits ---- */

static int check_trunk(const struct vlm_model_config *to, const struct vlm_model_config *from,
                       struct vlm_err *err)
{
    const struct vlm_sizes *a = &to->sizes, *b = &from->sizes;
    const struct {
        const char *name;
        size_t to, from;
    } sizes[] = {
        { "layers", to->layers, from->layers },
        { "width", a->width, b->width },
        { "heads", a->heads, b->heads },
        { "heads of keys", a->kv_heads, b->kv_heads },
        { "numbers in a head", a->head_size, b->head_size },
        { "numbers inside of the feed-forward part", a->hidden, b->hidden },
        { "biases of attention", a->biases, b->biases },
        { "biases of the feed-forward part", a->hidden_biases, b->hidden_biases },
    };
    if (to->layer != from->layer)
        return vlm_fail(err, VLM_EUSAGE, "its layers are '%s', this model's are '%s'",
                        from->layer->name, to->layer->name);
    for (size_t i = 0; i < VLM_COUNTOF(sizes); i++)
        if (sizes[i].to != sizes[i].from)
            return vlm_fail(err, VLM_EUSAGE, "%s: it has %zu, this model %zu", sizes[i].name,
                            sizes[i].from, sizes[i].to);
    if (a->activation != b->activation)
        return vlm_fail(err, VLM_EUSAGE, "its activation is %s, this model's is %s",
                        vlm_folder_activation(b->activation), vlm_folder_activation(a->activation));
    char word[2][VLM_POSITION_TEXT_SIZE];
    const bool turns = a->position == VLM_POSITION_ROTARY;
    if (turns != (b->position == VLM_POSITION_ROTARY))
        return vlm_fail(err, VLM_EUSAGE, "its positions are %s, this model's are %s",
                        vlm_folder_position(word[0], b->position),
                        vlm_folder_position(word[1], a->position));
    if (turns && (a->rotary_base < b->rotary_base || a->rotary_base > b->rotary_base))
        return vlm_fail(err, VLM_EUSAGE, "its rotary base is %g, this model's is %g",
                        b->rotary_base, a->rotary_base);
    return VLM_OK;
}

/* Encoder and bridge are taken together or not at all. */
static bool same_encoder(const struct vlm_model_config *to, const struct vlm_model_config *from)
{
    const struct vlm_sizes *a = &to->encoder_sizes, *b = &from->encoder_sizes;
    return to->encoder && to->encoder == from->encoder && to->bridge == from->bridge &&
           to->encoder_layers == from->encoder_layers && a->width == b->width &&
           a->heads == b->heads && a->hidden == b->hidden && a->inputs == b->inputs &&
           a->length == b->length && to->bridge_sizes.length == from->bridge_sizes.length;
}

/* ---- which row stands for the same ---- */

enum { NO_ROW = -1 };

/* Ids of one tokenizer by the bytes of their pieces. */
struct pieces {
    uint32_t *slot; /* [mask + 1]: id + 1, or 0 */
    size_t mask;
    const struct vlm_text_tokenizer *tokenizer;
};

static size_t find_slot(const struct pieces *pieces, struct vlm_bytes piece)
{
    size_t at = (size_t)vlm_xxh3(piece.at, vlm_bytes_left(&piece)) & pieces->mask;
    for (; pieces->slot[at]; at = (at + 1) & pieces->mask) {
        struct vlm_bytes other = vlm_text_tokenizer_piece(pieces->tokenizer, pieces->slot[at] - 1);
        if (vlm_bytes_left(&other) == vlm_bytes_left(&piece) &&
            !memcmp(other.at, piece.at, vlm_bytes_left(&piece)))
            break;
    }
    return at;
}

static int pieces_init(struct pieces *pieces, const struct vlm_text_tokenizer *tokenizer,
                       struct vlm_err *err)
{
    const uint32_t n = vlm_text_tokenizer_size(tokenizer);
    pieces->tokenizer = tokenizer;
    for (pieces->mask = 1; pieces->mask < 2 * (size_t)n;)
        pieces->mask = 2 * pieces->mask + 1;
    pieces->slot = calloc(pieces->mask + 1, sizeof(*pieces->slot));
    if (!pieces->slot)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " pieces", n);
    for (uint32_t id = 0; id < n; id++) {
        struct vlm_bytes piece = vlm_text_tokenizer_piece(tokenizer, id);
        size_t at = piece.at ? find_slot(pieces, piece) : 0;
        if (piece.at && !pieces->slot[at]) /* of equal pieces the first counts */
            pieces->slot[at] = id + 1;
    }
    return VLM_OK;
}

/* The row of `from` for what is no text: controls, masks, codes; NO_ROW also for text. */
static int64_t special_row(const struct vlm_vocabulary *to, const struct vlm_vocabulary *from,
                           uint32_t id, bool *is_text)
{
    *is_text = false;
    for (size_t i = 0; i < VLM_CONTROLS; i++)
        if (to->control[i] == id)
            return from->control[i];
    const int mask = vlm_vocabulary_mask_number(to, id);
    if (mask >= 0)
        return (uint32_t)mask < from->n_masks ? (int64_t)from->mask[mask] : NO_ROW;
    if (vlm_vocabulary_is_code(to,
                               id)) /* codes of codebooks of other sizes have nothing in common */
        return from->n_codes == to->n_codes ? (int64_t)from->first_code + (id - to->first_code)
                                            : NO_ROW;
    *is_text = id < to->n_text;
    return NO_ROW;
}

/* row[id] of every id of the new model. */
static int match_rows(int64_t *row, size_t n, const struct vlm_vocabulary *to,
                      const struct vlm_model_folder *from, struct vlm_err *err)
{
    const size_t rows = from->model.config.vocabulary;
    struct pieces pieces = { 0 };
    int rc = VLM_OK;
    if (!from->tokenizer) {
        /* Ids that nobody explains are the same when there are as many. */
        if (rows != n && rows != to->n_text)
            return vlm_fail(err, VLM_EUSAGE,
                            "it has no tokenizer and %zu ids, this model %zu, of which %" PRIu32
                            " are text",
                            rows, n, to->n_text);
        for (size_t id = 0; id < n; id++)
            row[id] = id < rows ? (int64_t)id : NO_ROW;
        return VLM_OK;
    }
    const bool same =
        !strcmp(vlm_text_tokenizer_id(from->tokenizer), vlm_text_tokenizer_id(to->tokenizer));
    if (!same)
        rc = pieces_init(&pieces, from->tokenizer, err);
    for (size_t id = 0; rc == VLM_OK && id < n; id++) {
        bool is_text;
        row[id] = special_row(to, &from->vocabulary, (uint32_t)id, &is_text);
        if (is_text && same) {
            row[id] = (int64_t)id;
        } else if (is_text) {
            struct vlm_bytes piece = vlm_text_tokenizer_piece(to->tokenizer, (uint32_t)id);
            row[id] = piece.at ? (int64_t)pieces.slot[find_slot(&pieces, piece)] - 1 : NO_ROW;
        }
        if (row[id] >= (int64_t)rows) /* controls that a foreign model does not have */
            row[id] = NO_ROW;
    }
    free(pieces.slot);
    return rc;
}

/* ---- copying ---- */

static size_t copy_rows(struct vlm_tensor *to, const struct vlm_tensor *from, const int64_t *row)
{
    const size_t cols = vlm_tensor_cols(to);
    size_t taken = 0;
    for (size_t id = 0; id < to->shape[0]; id++)
        if (row[id] != NO_ROW) {
            memcpy(to->data + id * cols, from->data + (size_t)row[id] * cols, cols * sizeof(float));
            taken += cols;
        }
    return taken;
}

/* As many positions as both have, unless ours are computed. */
static size_t copy_positions(struct vlm_model *to, const struct vlm_model *from)
{
    if (!to->positions || !from->positions || to->config.sizes.position == VLM_POSITION_SINUSOID)
        return 0;
    const size_t n = VLM_MIN(to->config.context, from->config.context) * to->config.sizes.width;
    memcpy(to->positions->data, from->positions->data, n * sizeof(float));
    return n;
}

static size_t copy_others(struct vlm_model *to, const struct vlm_model *from)
{
    const bool encoder = same_encoder(&to->config, &from->config);
    size_t taken = 0;
    for (size_t i = 0; i < to->n; i++) {
        struct vlm_tensor *tensor = &to->tensors[i];
        const bool trunk = !strncmp(to->parameters[i].name, "trunk.", 6);
        const bool seeing = !strncmp(to->parameters[i].name, "encoder.", 8) ||
                            !strncmp(to->parameters[i].name, "bridge.", 7);
        if (!tensor->rank || !(trunk || (seeing && encoder)))
            continue;
        const size_t j = vlm_model_find(from, to->parameters[i].name);
        VLM_BUG_IF(j == from->n || vlm_tensor_count(tensor) != vlm_tensor_count(&from->tensors[j]));
        memcpy(tensor->data, from->tensors[j].data, vlm_tensor_count(tensor) * sizeof(float));
        taken += vlm_tensor_count(tensor);
    }
    return taken;
}

int vlm_model_folder_adopt(struct vlm_model *model, const struct vlm_vocabulary *vocabulary,
                           const struct vlm_model_folder *from, size_t *taken, struct vlm_err *err)
{
    const size_t n = model->config.vocabulary;
    *taken = 0;
    int rc = check_trunk(&model->config, &from->model.config, err);
    if (rc != VLM_OK)
        return rc;
    int64_t *row = calloc(n, sizeof(*row));
    if (!row)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu rows", n);
    rc = match_rows(row, n, vocabulary, from, err);
    if (rc == VLM_OK) {
        *taken = copy_rows(model->embed, from->model.embed, row);
        if (model->head != model->embed)
            *taken += copy_rows(model->head, from->model.head, row);
        *taken += copy_positions(model, &from->model);
        *taken += copy_others(model, &from->model);
    }
    free(row);
    return rc;
}
