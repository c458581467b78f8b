/* stream_logits.c - from the model's logits to what may be drawn. */
#include "base/vlm.h"

#include "models/generate/stream_internal.h"

#include <math.h>

struct vlm_view vlm_line_view(const struct vlm_making *making, const struct vlm_line *line,
                              const float *logits)
{
    const struct vlm_choices *choices = making->choices;
    const uint32_t first = choices->vocabulary->first_code;
    if (!vlm_line_codes(making, line))
        return (struct vlm_view){ logits, 0, choices->model->vocabulary };
    if (making->stream.wanted == VLM_LOGITS_ALL) /* another line wanted all */
        logits += first;
    return (struct vlm_view){ logits, first, choices->vocabulary->n_codes };
}

struct vlm_log_sum vlm_view_sum(const struct vlm_making *making, const struct vlm_view *view)
{
    const struct vlm_loss_kernels *kernels = making->choices->kernels->loss;
    float largest, sum;
    kernels->row_scan(&largest, &sum, view->z, view->n);
    sum = kernels->row_exp(NULL, view->z, largest, view->n);
    return (struct vlm_log_sum){ (double)largest, log((double)sum) };
}

/* Whether an id is in a view. */
static bool is_in(const struct vlm_view *view, uint32_t id)
{
    return id - view->first < view->n;
}

/* ---- penalties ---- */

static bool is_penalised(const struct vlm_making *making, uint32_t id)
{
    const struct vlm_vocabulary *vocabulary = vlm_making_vocabulary(making);
    return id < vocabulary->n_text && !vlm_vocabulary_is_control(vocabulary, id) &&
           vlm_vocabulary_mask_number(vocabulary, id) < 0;
}

static void penalise(struct vlm_making *making, const struct vlm_line *line, float *z)
{
    const struct vlm_generate_options *options = &making->options;
    const uint32_t *rows = line->rows[0];
    const size_t n = line->n_rows[0], last = options->penalty_last;
    const size_t from = last && last < n ? n - last : 0;
    for (size_t i = from; i < n; i++)
        making->count[rows[i]]++;
    for (size_t i = from; i < n; i++) {
        const uint32_t times = making->count[rows[i]];
        making->count[rows[i]] = 0;
        if (!times || !is_penalised(making, rows[i]))
            continue;
        double value = (double)z[rows[i]];
        value = value > 0 ? value / options->repeat : value * options->repeat;
        z[rows[i]] = (float)(value - options->presence - options->frequency * (double)times);
    }
}

/* ---- all together ---- */

static void guide(float *z, const float *negative, size_t n, double guidance)
{
    for (size_t i = 0; i < n; i++)
        z[i] = (float)((double)negative[i] + guidance * ((double)z[i] - (double)negative[i]));
}

struct vlm_view vlm_line_adjust(struct vlm_making *making, const struct vlm_line *line,
                                const struct vlm_view *view, const float *negative)
{
    const struct vlm_generate_options *options = &making->options;
    const bool code = line->choice == &making->choices->code;
    if (!making->adjusted)
        return *view;
    float *z = making->adjusted;
    memcpy(z, view->z, view->n * sizeof(*z));
    if (negative && code)
        guide(z, negative, view->n, options->guidance);
    for (size_t i = 0; i < options->n_bias; i++)
        if (is_in(view, options->bias[i].id))
            z[options->bias[i].id - view->first] += options->bias[i].bias;
    if (making->count && !code)
        penalise(making, line, z);
    return (struct vlm_view){ z, view->first, view->n };
}

/* ---- what may come ---- */

static bool has_rules(const struct vlm_making *making, const struct vlm_line *line)
{
    const struct vlm_generate_options *options = &making->options;
    bool never = (options->ignore_end && options->n_stop) || vlm_line_has_images(making, line) ||
                 vlm_line_wants_image(making, line);
    for (size_t i = 0; !never && i < options->n_bias; i++)
        never = options->bias[i].bias == -INFINITY;
    return never;
}

/* Tokens like "><" leave no place for an image that has to be behind a tag. */
static bool goes_on_behind_tag(const struct vlm_making *making, uint32_t id)
{
    const struct vlm_vocabulary *vocabulary = vlm_making_vocabulary(making);
    if (id >= vocabulary->n_text || vlm_vocabulary_is_control(vocabulary, id))
        return false;
    const struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    const size_t n = piece.at ? vlm_bytes_left(&piece) : 0;
    return n > 1 && memchr(piece.at, '>', n - 1);
}

/* -INFINITY: it may never come. So the tokens that stop a text when its end is not wanted. */
static bool is_ruled_out(const struct vlm_making *making, const struct vlm_line *line, uint32_t id,
                         float z)
{
    const struct vlm_generate_options *options = &making->options;
    if (z == -INFINITY)
        return true;
    if (line->choice != &making->choices->code && vlm_line_has_images(making, line) &&
        vlm_grammar_opens_image(&line->page, id))
        return true;
    if (vlm_line_wants_image(making, line) && goes_on_behind_tag(making, id))
        return true;
    for (size_t i = 0; options->ignore_end && i < options->n_stop; i++)
        if (options->stop[i] == id)
            return true;
    return false;
}

static void gather_some(struct vlm_making *making, const struct vlm_line *line,
                        const struct vlm_view *view)
{
    const struct vlm_choice *choice = line->choice;
    size_t n = 0;
    for (size_t i = 0; i < choice->n; i++) {
        const float z = view->z[choice->ids[i] - view->first];
        making->ids[n] = choice->ids[i];
        making->next[n] = z;
        n += !is_ruled_out(making, line, choice->ids[i], z);
    }
    making->next_ids = making->ids;
    making->n_next_ids = n;
}

static void gather(struct vlm_making *making, const struct vlm_choice *choice,
                   const struct vlm_view *view)
{
    float *at = making->next;
    for (size_t i = 0; i < choice->n_runs; i++) {
        const uint32_t *run = choice->runs[i];
        const float *from = view->z + (run[0] - view->first);
        const size_t n = run[1] - run[0];
        if (n == 1)
            *at = *from;
        else
            memcpy(at, from, n * sizeof(*at));
        at += n;
    }
    making->next_ids = choice->ids;
    making->n_next_ids = choice->n;
}

bool vlm_line_next(struct vlm_making *making, const struct vlm_line *line,
                   const struct vlm_view *view)
{
    const uint32_t end = vlm_making_end(making);
    if (has_rules(making, line))
        gather_some(making, line, view);
    else
        gather(making, line->choice, view);
    making->n_next = making->n_next_ids;
    if (line->may_end && is_in(view, end) && view->z[end - view->first] != -INFINITY)
        making->next[making->n_next++] = view->z[end - view->first];
    return making->n_next > 0;
}

/* Keeps the largest in order, the lower id of equal ones first. */
void vlm_view_likely(const struct vlm_making *making, const struct vlm_view *view,
                     const struct vlm_log_sum *sum, struct vlm_likely *likely)
{
    const size_t k = making->options.likely;
    size_t n = 0;
    for (size_t i = 0; i < view->n; i++) {
        if (n == k && !(view->z[i] > likely[k - 1].logprob))
            continue;
        size_t at = n < k ? n++ : k - 1;
        for (; at && view->z[i] > likely[at - 1].logprob; at--)
            likely[at] = likely[at - 1];
        likely[at] = (struct vlm_likely){ view->first + (uint32_t)i, view->z[i] };
    }
    for (size_t i = 0; i < n; i++)
        likely[i].logprob = (float)((double)likely[i].logprob - sum->largest - sum->rest);
    while (n < k) /* fewer ids than were asked for */
        likely[n++] = (struct vlm_likely){ VLM_NO_TOKEN, -INFINITY };
}
