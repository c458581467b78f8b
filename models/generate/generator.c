/* generator.c - a sequence that grows: rows go through the model once, their keys and values stay.
 *
 * A prompt goes in chunks of rows, then one row a token. Neither changes a bit of a row's result (gemm.h,
 * attention.h), and the sequence begins at place 0 of the cache, so what comes out equals the trainer's pass over the
 * whole sequence. */
#include "base/vlm.h"

#include "models/generate/generator.h"
#include "nn/ops/linear.h"

#include <math.h>

enum { CHUNK = 128 };

/* ---- making one ---- */

static bool is_text(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    if (id >= vocabulary->n_text || vlm_vocabulary_is_control(vocabulary, id) ||
        vlm_vocabulary_mask_number(vocabulary, id) >= 0)
        return false;
    struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    return piece.at && vlm_bytes_left(&piece);
}

static void choose(struct vlm_choice *choice, uint32_t id)
{
    choice->ids[choice->n++] = id;
}

/* <EOC> stands in the forms without markup only. */
static void fill_choices(struct vlm_generator *it)
{
    const struct vlm_vocabulary *vocabulary = it->vocabulary;
    const uint32_t end_of_chunk = vocabulary->control[VLM_CONTROL_END_OF_CHUNK];
    for (uint32_t id = 0; id < vocabulary->size; id++) {
        bool code = vlm_vocabulary_is_code(vocabulary, id);
        bool text = is_text(vocabulary, id) || (id == end_of_chunk && !it->images);
        if (code) {
            choose(&it->code, id);
            choose(&it->offset, id - vocabulary->first_code);
        }
        if (text)
            choose(&it->text, id);
        if (text || code)
            choose(&it->any, id);
        if (text && vlm_grammar_is_quote(vocabulary, id))
            choose(&it->quote, id);
    }
    if (!it->quote.n)
        for (size_t i = 0; i < it->text.n; i++)
            choose(&it->quote, it->text.ids[i]);
}

static int make_arrays(struct vlm_generator *it, struct vlm_err *err)
{
    const size_t n = it->capacity, choices = (size_t)it->vocabulary->size + 1;
    struct vlm_choice *choice[] = { &it->text, &it->code, &it->quote, &it->any, &it->offset };
    it->number = calloc(n + 1, sizeof(*it->number));
    it->zero = calloc(n, sizeof(*it->zero));
    it->row = calloc(n, sizeof(*it->row));
    it->image_row = calloc(n, sizeof(*it->image_row));
    it->image_rows = calloc(n, sizeof(*it->image_rows));
    it->scratch = calloc(choices, sizeof(*it->scratch));
    bool all = it->number && it->zero && it->row && it->image_row && it->image_rows && it->scratch;
    for (size_t i = 0; i < VLM_COUNTOF(choice); i++) {
        choice[i]->ids = calloc(choices, sizeof(*choice[i]->ids));
        all = all && choice[i]->ids;
    }
    if (!all)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens and %zu choices", n, choices);
    for (size_t i = 0; i <= n; i++)
        it->number[i] = (uint32_t)i;
    fill_choices(it);
    return VLM_OK;
}

int vlm_generator_new(struct vlm_generator **out, const struct vlm_engine *engine,
                      struct vlm_model *model, const struct vlm_vocabulary *vocabulary,
                      size_t capacity, enum vlm_dtype precision, struct vlm_err *err)
{
    const struct vlm_model_config *config = &model->config;
    *out = NULL;
    if (vocabulary->size > config->vocabulary)
        return vlm_fail(err, VLM_EUSAGE, "a vocabulary of %" PRIu32 " ids, but the model has %zu",
                        vocabulary->size, config->vocabulary);
    if (capacity > config->context)
        return vlm_fail(err, VLM_EUSAGE, "%zu tokens are more than the %zu of the model", capacity,
                        config->context);
    struct vlm_generator *it = calloc(1, sizeof(*it));
    if (!it)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a generator");
    it->engine = engine;
    it->model = model;
    it->vocabulary = vocabulary;
    it->capacity = capacity ? capacity : config->context;
    it->image_length = config->encoder ? config->bridge_sizes.length : 0;
    it->images = vocabulary->n_codes && !config->encoder;
    int rc = make_arrays(it, err);
    if (rc == VLM_OK)
        rc = vlm_cache_init(&it->cache, model, it->capacity, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(
            &it->tape, engine,
            &(struct vlm_tape_options){ .precision = precision, .flags = VLM_TAPE_FORWARD }, err);
    if (rc == VLM_OK)
        *out = it;
    else
        vlm_generator_free(it);
    return rc;
}

void vlm_generator_free(struct vlm_generator *it)
{
    if (!it)
        return;
    vlm_tape_release(&it->tape);
    vlm_cache_release(&it->cache);
    free(it->number);
    free(it->zero);
    free(it->row);
    free(it->image_row);
    free(it->image_rows);
    free(it->scratch);
    free(it->text.ids);
    free(it->code.ids);
    free(it->quote.ids);
    free(it->any.ids);
    free(it->offset.ids);
    free(it);
}

void vlm_generator_reset(struct vlm_generator *it)
{
    it->rows = it->cached = 0;
}

/* ---- the sequence ---- */

static int check_prompt(const struct vlm_generator *it, const uint32_t *ids, size_t n,
                        size_t n_images, struct vlm_err *err)
{
    const uint32_t image = it->vocabulary->control[VLM_CONTROL_IMAGE];
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= it->model->config.vocabulary)
            return vlm_fail(err, VLM_EUSAGE,
                            "token %zu of the prompt is %" PRIu32 ", the model knows 0 to %zu", i,
                            ids[i], it->model->config.vocabulary - 1);
        found += it->image_length && ids[i] == image;
    }
    if (!n)
        return vlm_fail(err, VLM_EUSAGE, "the prompt is empty");
    if (found != n_images)
        return vlm_fail(err, VLM_EUSAGE, "%zu images for a prompt with %zu <image>", n_images,
                        found);
    size_t rows = n + found * it->image_length - found;
    if (rows > it->capacity)
        return vlm_fail(err, VLM_EUSAGE, "a prompt of %zu tokens, there is room for %zu", rows,
                        it->capacity);
    return VLM_OK;
}

int vlm_generator_begin(struct vlm_generator *it, const uint32_t *ids, size_t n,
                        const uint32_t *image_codes, size_t n_images, struct vlm_err *err)
{
    int rc = check_prompt(it, ids, n, n_images, err);
    if (rc != VLM_OK)
        return rc;
    const uint32_t image = it->vocabulary->control[VLM_CONTROL_IMAGE];
    size_t same = 0;
    if (!n_images && !it->n_images)
        while (same < n && same < it->cached && it->row[same] == ids[same])
            same++;
    it->codes = image_codes;
    it->n_images = 0;
    it->rows = 0;
    for (size_t i = 0; i < n; i++) {
        if (!it->image_length || ids[i] != image) {
            vlm_generator_add(it, ids[i]);
            continue;
        }
        it->image_row[it->n_images++] = (uint32_t)it->rows;
        for (size_t k = 0; k < it->image_length; k++)
            vlm_generator_add(it, image);
    }
    it->cached = VLM_MIN(same, n - 1); /* the last row's logits are wanted */
    return VLM_OK;
}

void vlm_generator_add(struct vlm_generator *it, uint32_t id)
{
    VLM_BUG_IF(it->rows == it->capacity);
    it->row[it->rows++] = id;
}

/* ---- the forward pass ---- */

/* The end of the chunk that begins at the first row that is not cached, at `limit` if that comes first: no image
 * is cut. */
static size_t chunk_end(const struct vlm_generator *it, size_t limit)
{
    size_t end = VLM_MIN(it->cached + CHUNK, limit);
    for (size_t i = 0; i < it->n_images; i++)
        if (it->image_row[i] < end && end < it->image_row[i] + it->image_length)
            end = it->image_row[i] + it->image_length;
    return end;
}

/* The images of the rows [begin, end), as struct vlm_rows wants them. */
static void add_images(struct vlm_generator *it, struct vlm_rows *rows, size_t begin, size_t end)
{
    size_t first = 0, n = 0;
    while (first < it->n_images && it->image_row[first] < begin)
        first++;
    for (; first + n < it->n_images && it->image_row[first + n] < end; n++)
        for (size_t k = 0; k < it->image_length; k++)
            it->image_rows[n * it->image_length + k] =
                (uint32_t)(it->image_row[first + n] - begin + k);
    rows->n_images = n;
    rows->codes = n ? it->codes + first * VLM_IMAGE_CODES : NULL;
    rows->image_rows = it->image_rows;
}

/* The state behind the next chunk of rows, which *begin is the first of; they are in the cache then. */
static struct vlm_tensor *forward(struct vlm_generator *it, size_t limit, size_t *begin)
{
    const size_t end = chunk_end(it, limit);
    *begin = it->cached;
    struct vlm_rows rows = {
        .n = end - *begin,
        .ids = it->row + *begin,
        .positions = it->number + *begin,
        .lo = it->zero,
        .hi = it->number + *begin + 1,
        .places = it->number + *begin,
    };
    add_images(it, &rows, *begin, end);
    vlm_tape_reset(&it->tape);
    it->cached = end;
    return vlm_model_forward(&it->tape, it->model, &rows, &it->cache, 0);
}

static int check_tape(struct vlm_generator *it, struct vlm_err *err)
{
    int rc = vlm_tape_error(&it->tape, err);
    if (rc != VLM_OK)
        vlm_generator_reset(it);
    return rc;
}

/* The rows of the head that are those of codes. */
static struct vlm_tensor *code_logits(struct vlm_generator *it, struct vlm_tensor *state)
{
    struct vlm_tensor head = *it->model->head;
    head.data += it->vocabulary->first_code * vlm_tensor_cols(&head);
    head.shape[0] = it->vocabulary->n_codes;
    return vlm_linear(&it->tape, state, &(struct vlm_linear){ .weight = &head });
}

int vlm_generator_run(struct vlm_generator *it, enum vlm_logits wanted, struct vlm_err *err)
{
    const size_t last = it->rows - 1; /* alone, since nobody asks for the logits of the others */
    const bool codes = wanted == VLM_LOGITS_CODES;
    while (it->cached < it->rows) {
        size_t begin;
        struct vlm_tensor *logits = NULL;
        struct vlm_tensor *state = forward(it, it->cached < last ? last : it->rows, &begin);
        if (it->cached == it->rows)
            logits = codes ? code_logits(it, state) : vlm_model_logits(&it->tape, it->model, state);
        int rc = check_tape(it, err);
        if (rc != VLM_OK)
            return rc;
        if (!logits)
            continue;
        it->first_logit = codes ? it->vocabulary->first_code : 0;
        it->n_logits = vlm_tensor_cols(logits);
        it->logits = logits->data + (last - begin) * it->n_logits;
    }
    return VLM_OK;
}

double vlm_generator_likelihood(const struct vlm_generator *it, const float *logits, size_t n,
                                size_t at)
{
    const struct vlm_loss_kernels *kernels = it->engine->kernels->loss;
    float largest, sum;
    kernels->row_scan(&largest, &sum, logits, n);
    sum = kernels->row_exp(NULL, logits, largest, n);
    return (double)logits[at] - (double)largest - log((double)sum);
}

/* Runs a chunk, and what its rows say of the ids, the first of which is in row `behind`. */
static int score_chunk(struct vlm_generator *it, size_t behind, const uint32_t *ids, double *total,
                       float *losses, struct vlm_err *err)
{
    size_t begin;
    bool asked = it->cached + 1 >= behind;
    struct vlm_tensor *state = forward(it, asked ? it->rows - 1 : behind - 1, &begin),
                      *logits = NULL;
    if (it->cached >= behind)
        logits = vlm_model_logits(&it->tape, it->model, state);
    int rc = check_tape(it, err);
    for (size_t row = VLM_MAX(begin, behind - 1); rc == VLM_OK && row < it->cached; row++) {
        const size_t n = vlm_tensor_cols(logits);
        double value = vlm_generator_likelihood(it, logits->data + (row - begin) * n, n,
                                                ids[row + 1 - behind]);
        *total += value;
        if (losses)
            losses[row + 1 - behind] = (float)-value;
    }
    return rc;
}

int vlm_score(struct vlm_generator *it, double *total, float *losses, const uint32_t *prompt,
              size_t n_prompt, const uint32_t *ids, size_t n, const uint32_t *image_codes,
              size_t n_images, struct vlm_err *err)
{
    const size_t known = it->model->config.vocabulary;
    *total = 0;
    int rc = vlm_generator_begin(it, prompt, n_prompt, image_codes, n_images, err);
    if (rc != VLM_OK || !n)
        return rc;
    const size_t behind = it->rows;
    if (n > it->capacity - behind)
        return vlm_fail(err, VLM_EUSAGE, "%zu tokens behind a prompt of %zu, there is room for %zu",
                        n, behind, it->capacity);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= known)
            return vlm_fail(err, VLM_EUSAGE, "token %zu is %" PRIu32 ", the model knows 0 to %zu",
                            i, ids[i], known - 1);
        vlm_generator_add(it, ids[i]);
    }
    while (rc == VLM_OK && it->cached < it->rows - 1)
        rc = score_chunk(it, behind, ids, total, losses, err);
    if (rc == VLM_OK && !isfinite(*total))
        return vlm_fail(err, VLM_EFORMAT, "the model gives no finite probabilities");
    return rc;
}
