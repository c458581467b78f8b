/* stream_score.c - streams that draw nothing: how likely each token of a text is, given those before it.
 *
 * Natural logarithm over all ids of the model's vocabulary, as the trainer's evaluation has it. */
#include "base/vlm.h"

#include "models/generate/stream_internal.h"

#include <math.h>

/* Of each row the token that follows it, but for rows within an image. */
static void find_targets(struct vlm_making *making)
{
    const struct vlm_choices *choices = making->choices;
    const uint32_t image = choices->vocabulary->control[VLM_CONTROL_IMAGE];
    size_t row = 0;
    for (size_t i = 0; i < making->n_prompt; i++) {
        if (i)
            making->target[row - 1] = (uint32_t)i;
        row += choices->image_length && making->prompt[i] == image ? choices->image_length : 1;
    }
}

/* Nothing follows the rows of the last token. */
static void leave_out_last(struct vlm_making *making)
{
    struct vlm_lane *lane = &making->stream.lane[0];
    const bool image = lane->n_images &&
                       lane->image_row[lane->n_images - 1] + making->stream.image_length == lane->n;
    lane->n -= image ? making->stream.image_length : 1;
    lane->n_images -= image;
}

static int begin_score(struct vlm_making *making, size_t from, size_t likely, struct vlm_err *err)
{
    struct vlm_stream *stream = &making->stream;
    struct vlm_lane *lane = &stream->lane[0];
    const size_t n = making->n_prompt;
    if (from < 1 || from >= n)
        return vlm_fail(err, VLM_EUSAGE, "a score of the tokens from %zu on of %zu", from, n);
    stream->losses = malloc((n - 1) * sizeof(*stream->losses));
    making->score = calloc(n, sizeof(*making->score));
    making->target = malloc(lane->n * sizeof(*making->target));
    making->options.likely = likely;
    stream->likely = making->likely = malloc(((n - 1) * likely + 1) * sizeof(*making->likely));
    if (!stream->losses || !making->score || !making->target || !making->likely)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the losses of %zu tokens", n);
    for (size_t i = 0; i + 1 < n; i++)
        stream->losses[i] = NAN;
    for (size_t i = 0; i < lane->n; i++)
        making->target[i] = VLM_NO_TOKEN;
    find_targets(making);
    leave_out_last(making);
    for (lane->asked = 0; making->target[lane->asked] != from;)
        lane->asked++;
    making->unseen = n - from;
    stream->scores = true;
    return VLM_OK;
}

int vlm_stream_new_score(struct vlm_stream **out, const struct vlm_choices *choices,
                         const struct vlm_stream_prompt *prompt, size_t from, size_t capacity,
                         struct vlm_err *err)
{
    struct vlm_making *making = NULL;
    *out = NULL;
    int rc = prompt->likely <= VLM_LIKELY_MAX
                 ? vlm_making_new(&making, choices, prompt, capacity, err)
                 : vlm_fail(err, VLM_EUSAGE, "the number of likeliest tokens is %zu, at most %d",
                            prompt->likely, VLM_LIKELY_MAX);
    if (rc == VLM_OK)
        rc = begin_score(making, from, prompt->likely, err);
    if (rc == VLM_OK)
        *out = &making->stream;
    else if (making)
        vlm_stream_free(&making->stream);
    return rc;
}

int vlm_stream_see(struct vlm_stream *stream, size_t row, const float *logits, struct vlm_err *err)
{
    struct vlm_making *making = (struct vlm_making *)stream;
    VLM_BUG_IF(!stream->scores || row >= stream->lane[0].n);
    const uint32_t token = making->target[row];
    if (stream->over || row < stream->lane[0].asked || token == VLM_NO_TOKEN ||
        !isnan(stream->losses[token - 1]))
        return VLM_OK;
    const struct vlm_view view = { logits, 0, making->choices->model->vocabulary };
    const struct vlm_log_sum sum = vlm_view_sum(making, &view);
    const double value = vlm_view_likelihood(&view, &sum, making->prompt[token]);
    if (!isfinite(value)) {
        stream->over = true;
        return vlm_fail(err, VLM_EFORMAT, "the model gives no finite probabilities");
    }
    stream->losses[token - 1] = (float)-value;
    making->score[token] = value;
    if (making->options.likely)
        vlm_view_likely(making, &view, &sum, making->likely + (token - 1) * making->options.likely);
    stream->over = --making->unseen == 0;
    for (size_t i = 0; stream->over && i < making->n_prompt; i++)
        stream->answer.log_likelihood += making->score[i];
    return VLM_OK;
}
