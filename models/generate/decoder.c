/* decoder.c - one forward pass after the other over the streams that are there.
 *
 * A step plans rows (all that decoding streams lack, and a share of each prompt), runs them, takes the logits that
 * somebody asked for in at most two products, and lets the streams draw. Which rows meet in a step changes no bit of
 * any of them, so the plan is free to follow the clock. */
#include "base/vlm.h"

#include "base/progress.h"
#include "models/generate/decoder_internal.h"
#include "nn/ops/linear.h"
#include "nn/ops/rows.h"

enum {
    CHUNK_MOST = 1024,
    LEAST_MOST = 64,
    LEAST_LEAST = 8,
    LOGITS_MOST = 1 << 22, /* of one stream that scores, in one pass */
    SHORT = 8,             /* so few rows go at once, whatever the share of a prompt */
};
/* A step while somebody decodes, and while there are prompts only: a stream can be taken out between steps only. */
#define STEP_SECONDS   0.03
#define PROMPT_SECONDS 0.06
/* Weights times rows of the smallest chunk: below it a pass reads weights for too few rows, and a machine that is busy
 * with something else would make prompts slower still. About 15 ms of two cores. */
#define LEAST_PRODUCTS 7.5e8

/* Rows of a step, whose arrays grow together. */
struct batch {
    uint32_t *ids, *positions, *lo, *hi, *places; /* one block, that of `ids` */
    uint32_t *asked[2]; /* by enum vlm_logits: rows whose logits are wanted */
    size_t n, n_asked[2], room;
    uint32_t *codes, *image_rows;
    size_t n_images, images_room;
};

struct vlm_decoder {
    const struct vlm_choices *choices;
    struct vlm_model *model;
    struct vlm_slots slots;
    struct vlm_tape tape;
    struct batch batch;
    struct vlm_runner *
        *runner; /* [n_runners] in the order in which they came; room for `lanes_max` */
    size_t n_runners, lanes, lanes_max;
    size_t chunk, fixed_chunk;
    struct vlm_decoder_counts counts;
    const struct vlm_stream *gone; /* that is being reported as it comes out, and where it stood */
    struct vlm_decoder_progress gone_progress;
};

/* ---- making one ---- */

static size_t least_chunk(const struct vlm_model *model)
{
    const size_t rows = (size_t)(LEAST_PRODUCTS / (double)(model->count + 1));
    return VLM_MIN(VLM_MAX(rows, (size_t)LEAST_LEAST), (size_t)LEAST_MOST);
}

int vlm_decoder_new(struct vlm_decoder **out, const struct vlm_engine *engine,
                    struct vlm_model *model, const struct vlm_choices *choices,
                    const struct vlm_decoder_options *options, struct vlm_err *err)
{
    const size_t context = model->config.context;
    *out = NULL;
    if (options->capacity > context)
        return vlm_fail(err, VLM_EUSAGE, "%zu tokens are more than the %zu of the model",
                        options->capacity, context);
    if (!options->slots)
        return vlm_fail(err, VLM_EUSAGE, "a decoder of no slots, expected at least 1");
    struct vlm_decoder *it = calloc(1, sizeof(*it));
    if (!it)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a decoder");
    it->choices = choices;
    it->model = model;
    it->lanes_max = options->slots;
    it->fixed_chunk = options->chunk;
    it->chunk = options->chunk ? options->chunk : least_chunk(model);
    it->runner = calloc(options->slots, sizeof(*it->runner));
    int rc = it->runner ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a decoder");
    if (rc == VLM_OK)
        rc = vlm_slots_init(&it->slots, model, options->slots + options->parked,
                            options->capacity ? options->capacity : context, err);
    it->slots.no_sharing = options->no_prefix_cache;
    if (rc == VLM_OK && options->filled)
        memset(it->slots.cache.memory.base, 0, it->slots.cache.memory.used);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&it->tape, engine,
                           &(struct vlm_tape_options){ .precision = options->precision,
                                                       .flags = VLM_TAPE_FORWARD },
                           err);
    if (rc == VLM_OK)
        *out = it;
    else
        vlm_decoder_free(it);
    return rc;
}

void vlm_decoder_free(struct vlm_decoder *it)
{
    if (!it)
        return;
    for (size_t i = 0; i < it->n_runners; i++)
        free(it->runner[i]);
    free(it->runner);
    vlm_tape_release(&it->tape);
    vlm_slots_release(&it->slots);
    free(it->batch.ids);
    free(it->batch.codes);
    free(it->batch.image_rows);
    free(it);
}

/* ---- streams come and go ---- */

bool vlm_decoder_has_room(const struct vlm_decoder *it, size_t lanes)
{
    return lanes <= it->lanes_max - it->lanes;
}

size_t vlm_decoder_streams(const struct vlm_decoder *it)
{
    return it->n_runners;
}

/* A stream of another model would fail the pass of all. */
static int check_stream(const struct vlm_decoder *it, const struct vlm_stream *stream,
                        struct vlm_err *err)
{
    const struct vlm_model_config *config = &it->model->config;
    if (stream->capacity > it->slots.capacity)
        return vlm_fail(err, VLM_EUSAGE, "an answer of up to %zu tokens, there is room for %zu",
                        stream->capacity, it->slots.capacity);
    for (size_t i = 0; i < stream->n_lanes; i++) {
        const struct vlm_lane *lane = &stream->lane[i];
        VLM_BUG_IF(!lane->n);
        for (size_t r = 0; r < lane->n; r++)
            if (lane->ids[r] >= config->vocabulary)
                return vlm_fail(err, VLM_EUSAGE,
                                "token %zu is %" PRIu32 ", the model knows 0 to %zu", r,
                                lane->ids[r], config->vocabulary - 1);
        for (size_t k = 0; k < lane->n_images * VLM_IMAGE_CODES; k++)
            if (lane->codes[k] >= config->encoder_sizes.inputs)
                return vlm_fail(
                    err, VLM_EUSAGE, "image %zu has the code %" PRIu32 ", the model knows 0 to %zu",
                    k / VLM_IMAGE_CODES, lane->codes[k], config->encoder_sizes.inputs - 1);
    }
    return VLM_OK;
}

int vlm_decoder_add(struct vlm_decoder *it, struct vlm_stream *stream, struct vlm_err *err)
{
    VLM_BUG_IF(stream->over || !vlm_decoder_has_room(it, stream->n_lanes));
    int rc = check_stream(it, stream, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_runner *runner = calloc(1, sizeof(*runner));
    if (!runner)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a stream");
    runner->stream = stream;
    runner->lanes = stream->n_lanes;
    for (size_t i = 0; i < VLM_LANES_MAX; i++)
        runner->slot[i] = VLM_NO_SLOT;
    it->runner[it->n_runners++] = runner;
    it->lanes += runner->lanes;
    return VLM_OK;
}

/* The number of the stream's runner, or how many there are. */
static size_t find(const struct vlm_decoder *it, const struct vlm_stream *stream)
{
    size_t i = 0;
    while (i < it->n_runners && it->runner[i]->stream != stream)
        i++;
    return i;
}

static void take_out(struct vlm_decoder *it, size_t i)
{
    struct vlm_runner *runner = it->runner[i];
    vlm_slots_end(&it->slots, runner);
    it->lanes -= runner->lanes;
    it->n_runners--;
    memmove(it->runner + i, it->runner + i + 1, (it->n_runners - i) * sizeof(*it->runner));
    free(runner);
}

void vlm_decoder_remove(struct vlm_decoder *it, struct vlm_stream *stream)
{
    size_t i = find(it, stream);
    if (i < it->n_runners)
        take_out(it, i);
}

/* ---- which rows ---- */

static size_t computed(const struct vlm_decoder *it, const struct vlm_runner *runner, size_t lane)
{
    return it->slots.slot[runner->slot[lane]].computed;
}

static bool has_begun(const struct vlm_runner *runner)
{
    size_t i = 0;
    while (i < runner->lanes && runner->slot[i] != VLM_NO_SLOT)
        i++;
    return i == runner->lanes;
}

static void begin_lanes(struct vlm_decoder *it)
{
    for (size_t i = 0; i < it->n_runners; i++)
        for (size_t k = 0; k < it->runner[i]->lanes; k++) {
            if (it->runner[i]->slot[k] != VLM_NO_SLOT ||
                !vlm_slots_begin(&it->slots, it->runner[i], k,
                                 (const struct vlm_runner *const *)it->runner, it->n_runners))
                continue;
            if (!k)
                it->counts.cached_rows += it->runner[i]->cached;
        }
}

/* Whether all lanes can get to their last row now: a stream draws from all of them at once. */
static bool is_near(const struct vlm_decoder *it, const struct vlm_runner *runner)
{
    if (runner->stream->scores || !has_begun(runner))
        return false;
    for (size_t i = 0; i < runner->lanes; i++) {
        const size_t rows = computed(it, runner, i);
        if (rows + SHORT < runner->stream->lane[i].n && rows < vlm_lane_hold(runner->stream, i))
            return false;
    }
    return true;
}

/* Lets a prompt go on by `most` rows at most, or by an image that begins in them: none is cut. Returns how many. */
static size_t go_on(const struct vlm_decoder *it, struct vlm_runner *runner, size_t lane,
                    size_t most)
{
    struct vlm_lane_step *step = &runner->step[lane];
    const size_t image = it->slots.image_length, begin = step->end;
    if (runner->stream->scores)
        most = VLM_MIN(most, VLM_MAX(LOGITS_MOST / it->model->config.vocabulary, 1));
    size_t end = begin + VLM_MIN(most, vlm_runner_limit(runner, lane) - begin);
    size_t floor = vlm_lane_floor(&runner->stream->lane[lane], image, end);
    step->end = floor == end ? end : floor + image;
    return step->end - begin;
}

/* Shares the chunk among prompts: as much for each, and what short ones leave to the oldest. */
static void share_chunk(struct vlm_decoder *it, size_t prompts)
{
    size_t left = it->chunk;
    const size_t share = VLM_MAX(left / prompts, 1);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < it->n_runners; i++)
            for (size_t k = 0; k < it->runner[i]->lanes; k++)
                if (it->runner[i]->step[k].prompt && left) {
                    const size_t rows = go_on(it, it->runner[i], k, round ? left : share);
                    left -= VLM_MIN(left, rows);
                }
}

/* Says for each lane which rows are run. */
static void plan(struct vlm_decoder *it)
{
    size_t prompts = 0;
    for (size_t i = 0; i < it->n_runners; i++) {
        struct vlm_runner *runner = it->runner[i];
        const bool near = is_near(it, runner);
        for (size_t k = 0; k < runner->lanes; k++) {
            struct vlm_lane_step *step = &runner->step[k];
            *step = (struct vlm_lane_step){ 0 };
            if (runner->slot[k] == VLM_NO_SLOT)
                continue;
            step->begin = computed(it, runner, k);
            step->end = near ? runner->stream->lane[k].n : step->begin;
            step->prompt = !near && step->begin < vlm_runner_limit(runner, k);
            prompts += step->prompt;
        }
    }
    if (prompts)
        share_chunk(it, prompts);
}

/* ---- the batch ---- */

static bool reserve(struct batch *batch, size_t rows, size_t images, size_t image_length)
{
    enum { ARRAYS = 7 };
    if (rows > batch->room) {
        free(batch->ids);
        batch->ids = calloc(rows, ARRAYS * sizeof(*batch->ids));
        batch->room = batch->ids ? rows : 0;
    }
    if (images > batch->images_room) {
        free(batch->codes);
        free(batch->image_rows);
        batch->codes = calloc(images, VLM_IMAGE_CODES * sizeof(*batch->codes));
        batch->image_rows = calloc(images, image_length * sizeof(*batch->image_rows));
        batch->images_room = batch->codes && batch->image_rows ? images : 0;
    }
    batch->positions = batch->ids + batch->room;
    batch->lo = batch->ids + 2 * batch->room;
    batch->hi = batch->ids + 3 * batch->room;
    batch->places = batch->ids + 4 * batch->room;
    batch->asked[0] = batch->ids + 5 * batch->room;
    batch->asked[1] = batch->ids + 6 * batch->room;
    return rows <= batch->room && images <= batch->images_room;
}

static void add_images(struct vlm_decoder *it, const struct vlm_lane *lane,
                       const struct vlm_lane_step *step)
{
    struct batch *batch = &it->batch;
    const size_t length = it->slots.image_length;
    for (size_t i = 0; i < lane->n_images; i++) {
        const size_t row = lane->image_row[i];
        if (row < step->begin || row >= step->end)
            continue;
        memcpy(batch->codes + batch->n_images * VLM_IMAGE_CODES, lane->codes + i * VLM_IMAGE_CODES,
               VLM_IMAGE_CODES * sizeof(*lane->codes));
        for (size_t k = 0; k < length; k++)
            batch->image_rows[batch->n_images * length + k] =
                (uint32_t)(step->first + row - step->begin + k);
        batch->n_images++;
    }
}

static void add_lane(struct vlm_decoder *it, struct vlm_runner *runner, size_t lane)
{
    struct batch *batch = &it->batch;
    struct vlm_lane_step *step = &runner->step[lane];
    const struct vlm_lane *from = &runner->stream->lane[lane];
    const enum vlm_logits wanted = runner->stream->scores ? VLM_LOGITS_ALL : runner->stream->wanted;
    const size_t place = runner->slot[lane] * it->slots.stride;
    step->first = batch->n;
    step->asked = VLM_MIN(VLM_MAX(from->asked, step->begin), step->end);
    step->first_logit = batch->n_asked[wanted];
    for (size_t r = step->begin; r < step->end; r++) {
        const size_t at = batch->n++;
        batch->ids[at] = from->ids[r];
        batch->positions[at] = (uint32_t)r;
        batch->lo[at] = (uint32_t)place;
        batch->hi[at] = (uint32_t)(place + r + 1);
        batch->places[at] = (uint32_t)(place + r);
        if (r >= step->asked)
            batch->asked[wanted][batch->n_asked[wanted]++] = (uint32_t)at;
    }
    add_images(it, from, step);
    if (runner->drew)
        return;
    it->counts.prompt_rows += step->end - step->begin;
}

/* The rows of all lanes, one after the other. */
static int fill_batch(struct vlm_decoder *it, struct vlm_err *err)
{
    size_t rows = 0, images = 0;
    for (size_t i = 0; i < it->n_runners; i++)
        for (size_t k = 0; k < it->runner[i]->lanes; k++) {
            const size_t n = it->runner[i]->step[k].end - it->runner[i]->step[k].begin;
            rows += n;
            images += it->slots.image_length ? n / it->slots.image_length : 0;
        }
    if (!reserve(&it->batch, rows, images, it->slots.image_length))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens in one pass", rows);
    it->batch.n = it->batch.n_images = it->batch.n_asked[0] = it->batch.n_asked[1] = 0;
    for (size_t i = 0; i < it->n_runners; i++)
        for (size_t k = 0; k < it->runner[i]->lanes; k++)
            if (it->runner[i]->step[k].begin < it->runner[i]->step[k].end)
                add_lane(it, it->runner[i], k);
    return VLM_OK;
}

/* ---- the pass ---- */

/* The rows of the head that are those of codes. */
static struct vlm_tensor *code_logits(struct vlm_decoder *it, struct vlm_tensor *state)
{
    const struct vlm_vocabulary *vocabulary = it->choices->vocabulary;
    struct vlm_tensor head =
        vlm_tensor_rows_view(it->model->head, vocabulary->first_code, vocabulary->n_codes);
    return vlm_linear(&it->tape, state, &(struct vlm_linear){ .weight = &head });
}

struct pass {
    struct vlm_tensor *state;     /* of all rows of the batch */
    struct vlm_tensor *logits[2]; /* by kind, a row for each that was asked; NULL: none was */
};

static int run(struct vlm_decoder *it, struct pass *pass, struct vlm_err *err)
{
    const struct batch *batch = &it->batch;
    const struct vlm_rows rows = {
        .n = batch->n,
        .ids = batch->ids,
        .positions = batch->positions,
        .lo = batch->lo,
        .hi = batch->hi,
        .places = batch->places,
        .n_images = batch->n_images,
        .codes = batch->codes,
        .image_rows = batch->image_rows,
    };
    vlm_tape_reset(&it->tape);
    struct vlm_tensor *state = vlm_model_forward(&it->tape, it->model, &rows, &it->slots.cache, 0);
    pass->state = state;
    for (int kind = 0; kind < 2; kind++) {
        pass->logits[kind] = NULL;
        if (!batch->n_asked[kind])
            continue;
        struct vlm_tensor *asked =
            vlm_gather_rows(&it->tape, state, batch->asked[kind], batch->n_asked[kind]);
        pass->logits[kind] = kind == VLM_LOGITS_CODES
                                 ? code_logits(it, asked)
                                 : vlm_model_logits(&it->tape, it->model, asked);
    }
    it->counts.steps++;
    it->counts.rows += batch->n;
    return vlm_tape_error(&it->tape, err);
}

/* Keeps a step as long as cancelling may take, whatever the model and the machine. A step that something else held
 * up does not count for much. */
static void adapt(struct vlm_decoder *it, double seconds)
{
    size_t rows = 0;
    bool decodes = false;
    for (size_t i = 0; i < it->n_runners; i++)
        for (size_t k = 0; k < it->runner[i]->lanes; k++) {
            const struct vlm_lane_step *step = &it->runner[i]->step[k];
            rows += step->prompt ? step->end - step->begin : 0;
            decodes = decodes || (!step->prompt && step->begin < step->end);
        }
    const double aim = decodes ? STEP_SECONDS : PROMPT_SECONDS;
    if (!rows || it->fixed_chunk || (rows < it->chunk && seconds < aim))
        return;
    const double factor = VLM_MIN(VLM_MAX(aim / VLM_MAX(seconds, 1e-6), 0.5), 2.0);
    const size_t chunk = (size_t)((double)it->chunk * factor);
    it->chunk = VLM_MIN(VLM_MAX(chunk, least_chunk(it->model)), (size_t)CHUNK_MOST);
}

/* ---- what streams make of it ---- */

static const float *logits_at(const struct vlm_tensor *logits, size_t row)
{
    return logits->data + row * vlm_tensor_cols(logits);
}

static int see(struct vlm_runner *runner, const struct pass *pass, struct vlm_err *err)
{
    const struct vlm_lane_step *step = &runner->step[0];
    int rc = VLM_OK;
    for (size_t r = step->asked; rc == VLM_OK && r < step->end && !runner->stream->over; r++)
        rc = vlm_stream_see(
            runner->stream, r,
            logits_at(pass->logits[VLM_LOGITS_ALL], step->first_logit + r - step->asked), err);
    return rc;
}

/* The logits behind the last row of each lane; false: the pass did not get there. */
static bool find_logits(const struct vlm_runner *runner, const struct pass *pass,
                        const float *behind[VLM_LANES_MAX])
{
    const struct vlm_stream *stream = runner->stream;
    for (size_t i = 0; i < stream->n_lanes; i++) {
        const struct vlm_lane_step *step = &runner->step[i];
        if (step->end < stream->lane[i].n)
            return false;
        behind[i] = logits_at(pass->logits[stream->wanted],
                              step->first_logit + stream->lane[i].n - 1 - step->asked);
    }
    return true;
}

struct drawing {
    struct vlm_decoder *decoder;
    const struct pass *pass;
};

/* Streams know nothing of each other, so they may draw at the same time. */
static void draw_one(void *context, size_t task, size_t worker)
{
    const struct drawing *drawing = context;
    struct vlm_runner *runner = drawing->decoder->runner[task];
    const float *behind[VLM_LANES_MAX] = { NULL };
    (void)worker;
    runner->drawn = false;
    if (runner->rc != VLM_OK || !runner->moved)
        return;
    if (runner->stream->scores)
        runner->rc = see(runner, drawing->pass, &runner->err);
    else if (find_logits(runner, drawing->pass, behind)) {
        runner->rc = vlm_stream_draw(runner->stream, behind, &runner->err);
        runner->drew = runner->drawn = true;
    }
}

/* A row with a NaN has one behind the last norm, for it sees its own key; nor are rows of the same pass and sequence
 * safe from it (attention.h). None of them may stay as somebody's beginning. */
static int check_finite(struct vlm_decoder *it, struct vlm_runner *runner,
                        const struct vlm_tensor *state, struct vlm_err *err)
{
    const size_t cols = vlm_tensor_cols(state);
    bool finite = true;
    for (size_t k = 0; k < runner->lanes; k++) {
        const struct vlm_lane_step *step = &runner->step[k];
        const size_t first = step->first * cols, n = (step->end - step->begin) * cols;
        uint16_t bits = 0;
        float zero = 0; /* 0 times anything finite, added up; a NaN stays */
        for (size_t i = first; i < first + n && state->dtype == VLM_F32; i++)
            zero += 0 * state->data[i];
        for (size_t i = first; i < first + n && state->dtype == VLM_BF16; i++)
            bits |= (state->bits[i] & 0x7f80) == 0x7f80;
        finite = finite && zero == 0 && !bits;
    }
    if (finite)
        return VLM_OK;
    for (size_t k = 0; k < runner->lanes; k++)
        if (runner->step[k].begin < runner->step[k].end)
            vlm_slots_wipe(&it->slots, runner->slot[k], runner->step[k].begin, runner->step[k].end);
    return vlm_fail(err, VLM_EFORMAT, "the model gives no finite probabilities");
}

/* The rows of a pass that went well, or failed for all, become a stream's. */
static void settle(struct vlm_decoder *it, struct vlm_runner *runner, const struct pass *pass,
                   int rc, const struct vlm_err *err)
{
    runner->rc = rc;
    runner->moved = rc != VLM_OK;
    if (rc != VLM_OK)
        runner->err = *err;
    else
        runner->rc = check_finite(it, runner, pass->state, &runner->err);
    for (size_t k = 0; rc == VLM_OK && k < runner->lanes; k++)
        if (runner->step[k].begin < runner->step[k].end) {
            runner->moved = true;
            if (runner->rc == VLM_OK)
                vlm_slots_advance(&it->slots, runner, k, runner->step[k].end);
        }
}

/* Whether the stream is out of the decoder now. */
static bool finish(struct vlm_decoder *it, size_t i, vlm_decoder_fn report, void *context)
{
    struct vlm_runner *runner = it->runner[i];
    struct vlm_stream *stream = runner->stream;
    const int rc = runner->rc;
    const bool moved = runner->moved, out = rc != VLM_OK || stream->over;
    struct vlm_err err = { 0 };
    if (rc != VLM_OK)
        err = runner->err;
    if (out) {
        it->gone_progress = vlm_decoder_progress(it, stream);
        it->gone = stream;
        take_out(it, i);
    } else if (runner->drawn) {
        vlm_slots_follow(&it->slots, runner);
    }
    if (moved && report)
        report(context, stream, rc, &err);
    it->gone = NULL;
    return out;
}

void vlm_decoder_step(struct vlm_decoder *it, vlm_decoder_fn report, void *context)
{
    struct vlm_err problem = { 0 };
    struct pass pass = { .state = NULL };
    const double begin = vlm_now();
    if (!it->n_runners)
        return;
    begin_lanes(it);
    plan(it);
    int rc = fill_batch(it, &problem);
    VLM_BUG_IF(rc == VLM_OK && !it->batch.n);
    if (rc == VLM_OK)
        rc = run(it, &pass, &problem);
    if (rc == VLM_OK)
        adapt(it, vlm_now() - begin);
    for (size_t i = 0; i < it->n_runners; i++)
        settle(it, it->runner[i], &pass, rc, &problem);
    struct drawing drawing = { .decoder = it, .pass = &pass };
    vlm_pool_run(it->tape.engine->pool, it->n_runners, draw_one, &drawing);
    for (size_t i = 0; i < it->n_runners;)
        i += !finish(it, i, report, context);
}

/* ---- for people ---- */

struct vlm_decoder_progress vlm_decoder_progress(const struct vlm_decoder *it,
                                                 const struct vlm_stream *stream)
{
    const size_t i = find(it, stream);
    struct vlm_decoder_progress progress = { 0 };
    if (i == it->n_runners && stream == it->gone)
        return it->gone_progress;
    if (i == it->n_runners || it->runner[i]->slot[0] == VLM_NO_SLOT)
        return progress;
    progress.cached = it->runner[i]->cached;
    progress.drew = it->runner[i]->drew;
    progress.done = VLM_MIN(computed(it, it->runner[i], 0), stream->prompt_rows);
    return progress;
}

size_t vlm_decoder_slots(const struct vlm_decoder *it, struct vlm_decoder_slot *slots, size_t n)
{
    for (size_t i = 0; i < n && i < it->slots.n; i++) {
        const size_t rows = it->slots.slot[i].computed;
        slots[i] = (struct vlm_decoder_slot){ .state = rows > 0, .rows = rows, .computed = rows };
    }
    for (size_t i = 0; i < it->n_runners; i++)
        for (size_t k = 0; k < it->runner[i]->lanes; k++) {
            const struct vlm_runner *runner = it->runner[i];
            if (runner->slot[k] >= n || k >= runner->stream->n_lanes)
                continue;
            struct vlm_decoder_slot *slot = &slots[runner->slot[k]];
            slot->state = runner->drew ? 3 : 2;
            slot->rows = runner->stream->lane[k].n;
            slot->stream = runner->stream;
        }
    return it->slots.n;
}

struct vlm_decoder_counts vlm_decoder_counts(const struct vlm_decoder *it)
{
    return it->counts;
}
