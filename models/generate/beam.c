/* beam.c - the likeliest answers instead of a drawn one.
 *
 * Of all tokens behind all open beams the 2 n likeliest ways on are looked at, in order. One that ends is finished if
 * it is among the first n; the first n others are the open beams of the next token. The search is over when n are
 * finished and none of the open ones would be better than the worst of them if it ended where it is, or when none is
 * open (as `transformers` has it with early_stopping=False; Wu et al. 2016, "Google's neural machine translation
 * system", section 7, for the division by length^penalty). Of equal ones the beam that comes first, then the lower id.
 * Nothing is random. */
#include "base/vlm.h"

#include "models/generate/stream_internal.h"

#include <math.h>

struct candidate {
    double score, likelihood;
    size_t line;
    uint32_t id;
};

struct vlm_beams {
    size_t n, n_open, n_finished;
    struct vlm_line open[VLM_LANES_MAX], next[VLM_LANES_MAX], finished[VLM_LANES_MAX];
    double value[VLM_LANES_MAX];              /* of those finished */
    struct candidate best[2 * VLM_LANES_MAX]; /* the best first */
    size_t n_best;
    struct vlm_likely likely[VLM_LANES_MAX][VLM_LIKELY_MAX];
    uint32_t *rows;                /* [2 n][capacity] of the lines open and next */
    struct vlm_drawn *drawn;       /* of the answer */
    struct vlm_likely *all_likely; /* likewise */
};

void vlm_beams_free(struct vlm_making *making)
{
    struct vlm_beams *beams = making->beams;
    if (!beams)
        return;
    free(beams->rows);
    free(beams->drawn);
    free(beams->all_likely);
    free(beams);
    making->beams = NULL;
}

/* ---- the answer ---- */

/* What was finished best, out of the pool in its order. */
static int collect(struct vlm_making *making, const struct vlm_line *line, struct vlm_err *err)
{
    struct vlm_beams *beams = making->beams;
    struct vlm_stream *stream = &making->stream;
    const size_t likely = making->options.likely;
    size_t n = 0;
    for (uint32_t at = line->last; at != VLM_NO_TOKEN; at = making->before[at])
        n++;
    beams->drawn = malloc((n + 1) * sizeof(*beams->drawn));
    beams->all_likely = malloc((n * likely + 1) * sizeof(*beams->all_likely));
    if (!beams->drawn || !beams->all_likely)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", n);
    stream->n_drawn = n;
    for (uint32_t at = line->last; at != VLM_NO_TOKEN; at = making->before[at]) {
        beams->drawn[--n] = making->pool[at];
        if (likely)
            memcpy(beams->all_likely + n * likely, making->likely + at * likely,
                   likely * sizeof(*making->likely));
    }
    stream->drawn = beams->drawn;
    stream->likely = likely ? beams->all_likely : NULL;
    return VLM_OK;
}

static int finish(struct vlm_making *making, struct vlm_err *err)
{
    struct vlm_stream *stream = &making->stream;
    struct vlm_answer *answer = &stream->answer;
    const struct vlm_beams *beams = making->beams;
    size_t best = 0;
    for (size_t i = 1; i < beams->n_finished; i++)
        if (beams->value[i] > beams->value[best])
            best = i;
    const struct vlm_line *line = &beams->finished[best];
    stream->over = true;
    answer->n_fills = line->fill + 1;
    answer->generated = line->generated;
    answer->log_likelihood = line->log_likelihood;
    memcpy(answer->why, line->why, sizeof(answer->why));
    int rc = collect(making, line, err);
    for (size_t i = 0; rc == VLM_OK && i < stream->n_drawn; i++)
        if (!stream->drawn[i].end)
            rc = vlm_answer_push(&answer->fills[stream->drawn[i].fill],
                                 vlm_making_vocabulary(making), stream->drawn[i].id, err);
    return rc == VLM_OK ? vlm_answer_complete(making, err) : rc;
}

static double value_of(const struct vlm_making *making, const struct vlm_line *line)
{
    const double length = (double)VLM_MAX(line->generated, (size_t)1);
    return line->score / pow(length, making->options.length_penalty);
}

static void add_finished(struct vlm_making *making, const struct vlm_line *line)
{
    struct vlm_beams *beams = making->beams;
    size_t at = beams->n_finished;
    if (at == beams->n) { /* in the place of the worst, the last of equal ones */
        at = 0;
        for (size_t i = 1; i < beams->n; i++)
            if (beams->value[i] <= beams->value[at])
                at = i;
        if (!(value_of(making, line) > beams->value[at]))
            return;
    } else {
        beams->n_finished++;
    }
    beams->finished[at] = *line;
    beams->value[at] = value_of(making, line);
}

/* ---- ways on ---- */

static bool before(const struct candidate *a, const struct candidate *b)
{
    if (a->score != b->score)
        return a->score > b->score;
    return a->line < b->line || (a->line == b->line && a->id < b->id);
}

static void add_candidate(struct vlm_beams *beams, const struct candidate *candidate)
{
    const size_t most = 2 * beams->n;
    if (beams->n_best == most && !before(candidate, &beams->best[most - 1]))
        return;
    size_t at = beams->n_best < most ? beams->n_best++ : most - 1;
    for (; at && before(candidate, &beams->best[at - 1]); at--)
        beams->best[at] = beams->best[at - 1];
    beams->best[at] = *candidate;
}

/* Logarithm of the sum of e^z; -INFINITY adds nothing. When all are, nothing may come, and the sum is of no use. */
static double log_sum(const struct vlm_view *view)
{
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < view->n; i++)
        largest = VLM_MAX(largest, (double)view->z[i]);
    for (size_t i = 0; i < view->n; i++)
        sum += exp((double)view->z[i] - largest);
    return sum > 0 ? largest + log(sum) : largest;
}

static int look_at(struct vlm_making *making, size_t i, const float *logits, struct vlm_err *err)
{
    struct vlm_beams *beams = making->beams;
    const struct vlm_line *line = &beams->open[i];
    const struct vlm_view view = vlm_line_view(making, line, logits);
    const struct vlm_log_sum whole = vlm_view_sum(making, &view);
    if (!isfinite(whole.largest) || !isfinite(whole.rest))
        return vlm_fail(err, VLM_EFORMAT, "the model gives no finite probabilities");
    if (making->options.likely)
        vlm_view_likely(making, &view, &whole, beams->likely[i]);
    const struct vlm_view adjusted = vlm_line_adjust(making, line, &view, NULL);
    const double sum = making->adjusted ? log_sum(&adjusted) : whole.largest + whole.rest;
    vlm_line_next(making, line, &adjusted);
    for (size_t k = 0; k < making->n_next; k++) {
        const uint32_t id = vlm_making_next_id(making, k);
        const struct candidate candidate = { .score = line->score + ((double)making->next[k] - sum),
                                             .likelihood = vlm_view_likelihood(&view, &whole, id),
                                             .line = i,
                                             .id = id };
        add_candidate(beams, &candidate);
    }
    return VLM_OK;
}

/* A line of its own with one token more, in the rows of a free one. */
static int extend(struct vlm_making *making, struct vlm_line *out,
                  const struct candidate *candidate, struct vlm_err *err)
{
    struct vlm_beams *beams = making->beams;
    const struct vlm_line *from = &beams->open[candidate->line];
    const struct vlm_drawn token = { .id = candidate->id, .logprob = (float)candidate->likelihood };
    uint32_t *rows = out->rows[0];
    *out = *from;
    out->rows[0] = rows;
    memcpy(rows, from->rows[0], from->n_rows[0] * sizeof(*rows));
    out->score = candidate->score;
    out->log_likelihood += candidate->likelihood;
    return vlm_line_take(making, out, &token,
                         making->options.likely ? beams->likely[candidate->line] : NULL, err);
}

/* ---- lanes ---- */

/* The rows of a lane were those of its line; now they are of another. */
static void show_lane(struct vlm_making *making, size_t i, size_t parent, const uint32_t *rows,
                      size_t n)
{
    struct vlm_lane *lane = &making->stream.lane[i];
    size_t same = 0;
    while (same < lane->n && same < n && lane->ids[same] == rows[same])
        same++;
    lane->parent = parent;
    lane->kept = same;
    lane->n = n;
    lane->asked = n - 1;
}

/* The next lines become the open ones. Lanes without one repeat the first. */
static void turn(struct vlm_making *making, size_t n, const size_t *parent)
{
    struct vlm_beams *beams = making->beams;
    bool codes = true;
    for (size_t i = 0; i < beams->n; i++) {
        const struct vlm_line *line = &beams->next[i < n ? i : 0];
        show_lane(making, i, parent[i < n ? i : 0], line->rows[0], line->n_rows[0]);
        codes = codes && vlm_line_codes(making, line);
    }
    for (size_t i = 0; i < beams->n; i++) {
        const struct vlm_line kept = beams->open[i];
        beams->open[i] = beams->next[i];
        beams->next[i] = kept;
    }
    for (size_t i = 0; i < beams->n; i++)
        making->stream.lane[i].ids = beams->open[i < n ? i : 0].rows[0];
    beams->n_open = n;
    making->stream.wanted = codes ? VLM_LOGITS_CODES : VLM_LOGITS_ALL;
}

static bool is_done(const struct vlm_making *making)
{
    const struct vlm_beams *beams = making->beams;
    double best = -INFINITY, worst = INFINITY;
    for (size_t i = 0; i < beams->n_open; i++)
        best = VLM_MAX(best, value_of(making, &beams->open[i]));
    for (size_t i = 0; i < beams->n_finished; i++)
        worst = VLM_MIN(worst, beams->value[i]);
    return !beams->n_open || (beams->n_finished == beams->n && worst >= best);
}

int vlm_beams_draw(struct vlm_making *making, const float *const *logits, struct vlm_err *err)
{
    struct vlm_beams *beams = making->beams;
    size_t parent[VLM_LANES_MAX], n = 0;
    int rc = VLM_OK;
    beams->n_best = 0;
    for (size_t i = 0; rc == VLM_OK && i < beams->n_open; i++)
        rc = look_at(making, i, logits[i], err);
    if (rc == VLM_OK && !beams->n_best)
        rc = vlm_making_no_token(making, &beams->open[0], err);
    for (size_t i = 0; rc == VLM_OK && i < beams->n_best && n < beams->n; i++) {
        rc = extend(making, &beams->next[n], &beams->best[i], err);
        if (rc != VLM_OK)
            break;
        if (!beams->next[n].over)
            parent[n++] = beams->best[i].line;
        else if (i < beams->n)
            add_finished(making, &beams->next[n]);
    }
    if (rc != VLM_OK)
        return rc;
    if (n)
        turn(making, n, parent);
    else
        beams->n_open = 0;
    return is_done(making) ? finish(making, err) : VLM_OK;
}

int vlm_beams_new(struct vlm_making *making, struct vlm_err *err)
{
    const size_t n = making->options.beams, capacity = making->stream.capacity;
    struct vlm_stream *stream = &making->stream;
    struct vlm_beams *beams = making->beams = calloc(1, sizeof(*beams));
    if (beams)
        beams->rows = malloc(2 * n * capacity * sizeof(*beams->rows));
    if (!beams || !beams->rows)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu beams of %zu rows", n, capacity);
    beams->n = n;
    struct vlm_line *first = &beams->open[0];
    *first = making->line;
    for (size_t i = 0; i < n; i++) {
        beams->open[i].rows[0] = beams->rows + i * capacity;
        beams->next[i].rows[0] = beams->rows + (n + i) * capacity;
    }
    memcpy(first->rows[0], making->line.rows[0], first->n_rows[0] * sizeof(*first->rows[0]));
    int rc = vlm_line_begin(making, first, err);
    if (rc != VLM_OK)
        return rc;
    if (first->over) {
        add_finished(making, first);
        return finish(making, err);
    }
    stream->n_lanes = n;
    stream->wanted = vlm_line_codes(making, first) ? VLM_LOGITS_CODES : VLM_LOGITS_ALL;
    beams->n_open = 1;
    for (size_t i = 0; i < n; i++) {
        stream->lane[i] = stream->lane[0];
        stream->lane[i].ids = first->rows[0];
        show_lane(making, i, 0, first->rows[0], first->n_rows[0]);
    }
    return VLM_OK;
}
