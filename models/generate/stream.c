/* stream.c - a stream with one line: its lanes, and the tokens that are drawn for it.
 *
 * What is drawn is fed to the grammar and to all lanes (stream_line.c); from logits to what may be drawn is
 * stream_logits.c, more than one line beam.c, streams that only score stream_score.c. */
#include "base/vlm.h"

#include "base/random.h"
#include "models/generate/stream_internal.h"

#include <math.h>

static struct vlm_making *making_of(struct vlm_stream *stream)
{
    return (struct vlm_making *)stream; /* its first member */
}

/* ---- making one ---- */

/* Rows of n ids: those of images for the encoder are more than one. */
static size_t count_rows(const struct vlm_choices *choices, const uint32_t *ids, size_t n)
{
    const uint32_t image = choices->vocabulary->control[VLM_CONTROL_IMAGE];
    size_t rows = n;
    for (size_t i = 0; choices->image_length && i < n; i++)
        if (ids[i] == image)
            rows += choices->image_length - 1;
    return rows;
}

static int check_ids(const struct vlm_choices *choices, const uint32_t *ids, size_t n,
                     size_t n_images, size_t capacity, struct vlm_err *err)
{
    const size_t known = choices->model->vocabulary;
    const uint32_t image = choices->vocabulary->control[VLM_CONTROL_IMAGE];
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= known)
            return vlm_fail(err, VLM_EUSAGE,
                            "token %zu of the prompt is %" PRIu32 ", the model knows 0 to %zu", i,
                            ids[i], known - 1);
        found += choices->image_length && ids[i] == image;
    }
    if (!n)
        return vlm_fail(err, VLM_EUSAGE, "the prompt is empty");
    if (found != n_images)
        return vlm_fail(err, VLM_EUSAGE, "%zu images for a prompt with %zu <image>", n_images,
                        found);
    const size_t rows = count_rows(choices, ids, n);
    if (rows > capacity)
        return vlm_fail(err, VLM_EUSAGE, "a prompt of %zu tokens, there is room for %zu", rows,
                        capacity);
    return VLM_OK;
}

static int check_codes(const struct vlm_choices *choices, const uint32_t *codes, size_t n_images,
                       struct vlm_err *err)
{
    const size_t known = choices->image_length ? choices->model->encoder_sizes.inputs : 0;
    for (size_t i = 0; i < n_images * VLM_CODES; i++)
        if (codes[i] >= known)
            return vlm_fail(err, VLM_EUSAGE,
                            "image %zu has the code %" PRIu32 ", the model knows 0 to %zu",
                            i / VLM_CODES, codes[i], known - 1);
    return VLM_OK;
}

/* The rows of ids, and where images begin (NULL: not wanted). Returns how many rows. */
static size_t lay_out(uint32_t *rows, uint32_t *image_row, const struct vlm_choices *choices,
                      const uint32_t *ids, size_t n)
{
    const uint32_t image = choices->vocabulary->control[VLM_CONTROL_IMAGE];
    size_t used = 0, images = 0;
    for (size_t i = 0; i < n; i++) {
        const bool wide = choices->image_length && ids[i] == image;
        if (wide && image_row)
            image_row[images++] = (uint32_t)used;
        for (size_t k = 0; k < (wide ? choices->image_length : 1); k++)
            rows[used++] = ids[i];
    }
    return used;
}

int vlm_making_new(struct vlm_making **out, const struct vlm_choices *choices,
                   const struct vlm_stream_prompt *prompt, size_t capacity, struct vlm_err *err)
{
    const size_t n = prompt->n, n_images = prompt->n_images;
    struct vlm_making *making = NULL;
    *out = NULL;
    int rc = check_ids(choices, prompt->ids, n, n_images, capacity, err);
    if (rc == VLM_OK)
        rc = check_codes(choices, prompt->image_codes, n_images, err);
    if (rc != VLM_OK)
        return rc;
    if (!(making = calloc(1, sizeof(*making))))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a stream");
    *out = making;
    making->choices = choices;
    making->stream.capacity = capacity;
    making->stream.image_length = choices->image_length;
    making->prompt = malloc(n * sizeof(*making->prompt));
    making->codes = malloc((n_images * VLM_CODES + 1) * sizeof(*making->codes));
    making->image_row = malloc((n_images + 1) * sizeof(*making->image_row));
    making->line.rows[0] = malloc(capacity * sizeof(*making->line.rows[0]));
    if (!making->prompt || !making->codes || !making->image_row || !making->line.rows[0])
        return vlm_fail(err, VLM_ENOMEM, "no memory for a stream of %zu rows", capacity);
    memcpy(making->prompt, prompt->ids, n * sizeof(*making->prompt));
    if (n_images)
        memcpy(making->codes, prompt->image_codes, n_images * VLM_CODES * sizeof(*making->codes));
    making->n_prompt = n;
    making->line.n_rows[0] =
        lay_out(making->line.rows[0], making->image_row, choices, prompt->ids, n);
    making->stream.prompt_rows = making->line.n_rows[0];
    making->stream.n_lanes = 1;
    making->stream.lane[0] = (struct vlm_lane){ .ids = making->line.rows[0],
                                                .n = making->line.n_rows[0],
                                                .codes = making->codes,
                                                .image_row = making->image_row,
                                                .n_images = n_images };
    return VLM_OK;
}

/* The lane that guides: as many masks, and the same tokens behind them. */
static int add_guide(struct vlm_making *making, const struct vlm_stream_prompt *prompt,
                     struct vlm_err *err)
{
    const struct vlm_choices *choices = making->choices;
    const uint32_t *ids = prompt->negative;
    size_t masks = 0;
    if (making->options.guidance == 1)
        return VLM_OK;
    if (!ids)
        return vlm_fail(err, VLM_EUSAGE, "guidance of %g without a negative prompt",
                        making->options.guidance);
    if (!choices->images)
        return vlm_fail(err, VLM_EUSAGE, "guidance is for images, this model draws none");
    if (making->options.beams > 1)
        return vlm_fail(err, VLM_EUSAGE, "guidance and beams exclude each other");
    int rc = check_ids(choices, ids, prompt->n_negative, 0, making->stream.capacity, err);
    if (rc != VLM_OK)
        return vlm_wrap(err, "negative prompt");
    for (size_t i = 0; i < prompt->n_negative; i++) {
        const int mask = vlm_vocabulary_mask_number(choices->vocabulary, ids[i]);
        if (mask >= 0 && (size_t)mask != masks++ && !making->options.any_order)
            return vlm_fail(err, VLM_EUSAGE,
                            "negative prompt: token %zu is <mask:%d>, expected <mask:%zu>", i, mask,
                            masks - 1);
    }
    if (masks != making->n_masks)
        return vlm_fail(err, VLM_EUSAGE, "a negative prompt of %zu masks for one of %zu", masks,
                        making->n_masks);
    struct vlm_line *line = &making->line;
    line->rows[1] = malloc(making->stream.capacity * sizeof(*line->rows[1]));
    if (!line->rows[1])
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu rows", making->stream.capacity);
    line->n_rows[1] = lay_out(line->rows[1], NULL, choices, ids, prompt->n_negative);
    making->n_guides = 1;
    making->stream.n_lanes = 2;
    making->stream.lane[1] = (struct vlm_lane){ .ids = line->rows[1], .n = line->n_rows[1] };
    return VLM_OK;
}

static int check_room(const struct vlm_making *making, struct vlm_err *err)
{
    const size_t rows = VLM_MAX(making->line.n_rows[0], making->line.n_rows[1]);
    const size_t capacity = making->stream.capacity;
    if (making->need[0] <= capacity - rows)
        return VLM_OK;
    return vlm_fail(err, VLM_EUSAGE,
                    "a prompt of %zu tokens and %zu that must follow, there is room for %zu", rows,
                    making->need[0], capacity);
}

static int add_scratch(struct vlm_making *making, struct vlm_err *err)
{
    const struct vlm_generate_options *options = &making->options;
    const size_t vocabulary = making->choices->model->vocabulary;
    const bool penalties =
        options->repeat != 1 || options->presence != 0 || options->frequency != 0;
    const size_t n = VLM_MAX(making->choices->any.n, making->choices->text.n) + 1;
    making->next = malloc(n * sizeof(*making->next));
    making->ids = malloc(n * sizeof(*making->ids));
    making->scratch.p = malloc(n * sizeof(*making->scratch.p));
    making->scratch.items = malloc(n * sizeof(*making->scratch.items));
    if (penalties)
        making->count = calloc(vocabulary, sizeof(*making->count));
    if (penalties || options->n_bias || making->n_guides)
        making->adjusted = malloc(vocabulary * sizeof(*making->adjusted));
    if (!making->next || !making->ids || !making->scratch.p || !making->scratch.items ||
        (penalties && !making->count) ||
        ((penalties || options->n_bias || making->n_guides) && !making->adjusted))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu choices", vocabulary);
    return VLM_OK;
}

/* What the caller sees of a line behind the prompt or a draw. */
static void show(struct vlm_making *making)
{
    struct vlm_stream *stream = &making->stream;
    const struct vlm_line *line = &making->line;
    struct vlm_answer *answer = &stream->answer;
    for (size_t i = 0; i < stream->n_lanes; i++) {
        struct vlm_lane *lane = &stream->lane[i];
        lane->parent = i;
        lane->kept = lane->n;
        lane->n = line->n_rows[i];
        lane->asked = lane->n - 1;
    }
    stream->over = line->over;
    stream->wanted = vlm_line_codes(making, line) ? VLM_LOGITS_CODES : VLM_LOGITS_ALL;
    stream->drawn = making->pool;
    stream->likely = making->likely;
    stream->n_drawn = making->n_pool;
    answer->n_fills = line->fill + 1;
    answer->generated = line->generated;
    answer->log_likelihood = line->log_likelihood;
    memcpy(answer->why, line->why, sizeof(answer->why));
}

static int begin(struct vlm_making *making, const struct vlm_stream_prompt *prompt,
                 const struct vlm_generate_options *options, struct vlm_err *err)
{
    int rc =
        vlm_options_copy(&making->options, &making->options_memory, options, making->n_masks, err);
    if (rc == VLM_OK)
        rc = add_guide(making, prompt, err);
    if (rc == VLM_OK)
        rc = check_room(making, err);
    if (rc == VLM_OK)
        rc = add_scratch(making, err);
    if (rc == VLM_OK && options->beams > 1)
        return vlm_beams_new(making, err);
    if (rc == VLM_OK)
        rc = vlm_line_begin(making, &making->line, err);
    if (rc != VLM_OK)
        return rc;
    show(making);
    return making->stream.over ? vlm_answer_complete(making, err) : VLM_OK;
}

int vlm_stream_new(struct vlm_stream **out, const struct vlm_choices *choices,
                   const struct vlm_stream_prompt *prompt, size_t capacity,
                   const struct vlm_generate_options *options, struct vlm_err *err)
{
    struct vlm_making *making = NULL;
    *out = NULL;
    int rc = vlm_options_check(options, choices, err);
    if (rc == VLM_OK)
        rc = vlm_making_new(&making, choices, prompt, capacity, err);
    if (rc == VLM_OK) {
        making->options = *options; /* until they are copied, which takes the number of masks */
        rc = vlm_making_masks(making, err);
    }
    if (rc == VLM_OK)
        rc = begin(making, prompt, options, err);
    if (rc == VLM_OK)
        *out = &making->stream;
    else if (making)
        vlm_stream_free(&making->stream);
    return rc;
}

void vlm_stream_free(struct vlm_stream *stream)
{
    if (!stream)
        return;
    struct vlm_making *making = making_of(stream);
    vlm_beams_free(making);
    vlm_answer_release(&stream->answer);
    free(stream->losses);
    free(making->options_memory);
    free(making->prompt);
    free(making->behind);
    free(making->line.rows[0]);
    free(making->line.rows[1]);
    free(making->pool);
    free(making->before);
    free(making->likely);
    free(making->codes);
    free(making->image_row);
    free(making->next);
    free(making->ids);
    free(making->scratch.p);
    free(making->scratch.items);
    free(making->adjusted);
    free(making->count);
    free(making->score);
    free(making->target);
    free(making);
}

/* ---- drawing ---- */

static struct vlm_draw_rule rule_of(const struct vlm_making *making, const struct vlm_line *line)
{
    const struct vlm_generate_options *options = &making->options;
    if (line->choice == &making->choices->code)
        return (struct vlm_draw_rule){ options->image_temperature, (size_t)options->image_top_k,
                                       options->image_top_p, options->image_min_p,
                                       options->image_typical };
    return (struct vlm_draw_rule){ options->temperature, (size_t)options->top_k, options->top_p,
                                   options->min_p, options->typical };
}

int vlm_making_no_token(const struct vlm_making *making, const struct vlm_line *line,
                        struct vlm_err *err)
{
    const char *what = line->choice == &making->choices->code ? "code" : "text";
    if (!making->n_masks)
        return vlm_fail(err, VLM_EUSAGE,
                        "no token may come behind row %zu: all %s is ruled out by logit bias",
                        line->n_rows[0] - 1, what);
    return vlm_fail(err, VLM_EUSAGE,
                    "no token may come as number %zu of <mask:%zu>: all %s is ruled out by logit "
                    "bias",
                    line->n_fill, line->fill, what);
}

static int draw(struct vlm_making *making, const float *const *logits, struct vlm_err *err)
{
    struct vlm_line *line = &making->line;
    struct vlm_likely likely[VLM_LIKELY_MAX];
    const struct vlm_view view = vlm_line_view(making, line, logits[0]);
    const struct vlm_log_sum sum = vlm_view_sum(making, &view);
    if (!isfinite(sum.largest) || !isfinite(sum.rest))
        return vlm_fail(err, VLM_EFORMAT, "the model gives no finite probabilities");
    const struct vlm_view adjusted =
        vlm_line_adjust(making, line, &view, making->n_guides ? logits[1] : NULL);
    if (!vlm_line_next(making, line, &adjusted))
        return vlm_making_no_token(making, line, err);
    struct vlm_random random =
        vlm_random_at(making->options.seed, VLM_STREAM_DRAW, line->generated);
    const struct vlm_draw_rule rule = rule_of(making, line);
    const size_t at = vlm_draw(making->choices->kernels->loss, &making->scratch, making->next,
                               making->n_next, &rule, vlm_random_unit(&random));
    const uint32_t id = vlm_making_next_id(making, at);
    const double likelihood = vlm_view_likelihood(&view, &sum, id);
    const struct vlm_drawn token = { .id = id, .logprob = (float)likelihood };
    line->log_likelihood += likelihood;
    if (making->options.likely)
        vlm_view_likely(making, &view, &sum, likely);
    return vlm_line_take(making, line, &token, making->options.likely ? likely : NULL, err);
}

int vlm_stream_draw(struct vlm_stream *stream, const float *const *logits, struct vlm_err *err)
{
    struct vlm_making *making = making_of(stream);
    VLM_BUG_IF(stream->over || stream->scores);
    int rc = making->beams ? vlm_beams_draw(making, logits, err) : draw(making, logits, err);
    if (rc == VLM_OK && !making->beams) {
        show(making);
        if (stream->over)
            rc = vlm_answer_complete(making, err);
    }
    stream->over = stream->over || rc != VLM_OK;
    return rc;
}
