/* generate_options.c - what is asked of an answer: whether it makes sense, and a copy that lasts. */
#include "base/vlm.h"

#include "models/generate/stream_internal.h"

#include <math.h>

/* ---- limits ---- */

static int check_real(const char *name, double value, double least, double most,
                      struct vlm_err *err)
{
    if (value >= least && value <= most)
        return VLM_OK;
    return vlm_fail(err, VLM_EUSAGE, "%s is %g, expected %g to %g", name, value, least, most);
}

static int check_count(const char *name, size_t value, size_t most, struct vlm_err *err)
{
    if (value <= most)
        return VLM_OK;
    return vlm_fail(err, VLM_EUSAGE, "%s is %zu, expected at most %zu", name, value, most);
}

static int check_drawing(const struct vlm_generate_options *options, struct vlm_err *err)
{
    const double temperature[] = { options->temperature, options->image_temperature };
    const double top_p[] = { options->top_p, options->image_top_p };
    const double min_p[] = { options->min_p, options->image_min_p };
    const double typical[] = { options->typical, options->image_typical };
    const int64_t top_k[] = { options->top_k, options->image_top_k };
    for (size_t i = 0; i < 2; i++) {
        if (!(temperature[i] >= 0) || !isfinite(temperature[i]))
            return vlm_fail(err, VLM_EUSAGE, "a temperature of %g, expected 0 or more",
                            temperature[i]);
        if (!(top_p[i] > 0 && top_p[i] <= 1))
            return vlm_fail(err, VLM_EUSAGE, "top-p is %g, expected more than 0, at most 1",
                            top_p[i]);
        if (top_k[i] < 0)
            return vlm_fail(err, VLM_EUSAGE, "top-k is %" PRId64 ", expected 0 or more", top_k[i]);
        if (!(min_p[i] >= 0 && min_p[i] <= 1))
            return vlm_fail(err, VLM_EUSAGE, "min-p is %g, expected 0 to 1", min_p[i]);
        if (!(typical[i] >= 0 && typical[i] <= 1))
            return vlm_fail(err, VLM_EUSAGE, "typical-p is %g, expected 0 to 1", typical[i]);
    }
    return VLM_OK;
}

static int check_bias(const struct vlm_generate_options *options, uint32_t vocabulary,
                      struct vlm_err *err)
{
    for (size_t i = 0; i < options->n_bias; i++) {
        if (options->bias[i].id >= vocabulary)
            return vlm_fail(err, VLM_EUSAGE,
                            "a logit bias of token %" PRIu32 ", the model knows 0 to %" PRIu32,
                            options->bias[i].id, vocabulary - 1);
        if (isnan(options->bias[i].bias) || options->bias[i].bias == INFINITY)
            return vlm_fail(err, VLM_EUSAGE, "the logit bias of token %" PRIu32 " is %g",
                            options->bias[i].id, (double)options->bias[i].bias);
    }
    return VLM_OK;
}

static int check_words(const struct vlm_generate_options *options, struct vlm_err *err)
{
    int rc = check_count("the number of stop words", options->n_words, VLM_STOP_WORDS_MAX, err);
    for (size_t i = 0; rc == VLM_OK && i < options->n_words; i++) {
        const size_t n = strlen(options->words[i]);
        if (!n || n > VLM_STOP_WORD_SIZE_MAX)
            rc = vlm_fail(err, VLM_EUSAGE, "stop word %zu has %zu bytes, expected 1 to %d", i, n,
                          VLM_STOP_WORD_SIZE_MAX);
    }
    return rc;
}

static int check_lanes(const struct vlm_generate_options *options, struct vlm_err *err)
{
    int rc = check_real("guidance", options->guidance, 0, VLM_GUIDANCE_MAX, err);
    if (rc == VLM_OK)
        rc = check_count("the number of beams", options->beams, VLM_LANES_MAX, err);
    if (rc == VLM_OK)
        rc = check_real("the length penalty", options->length_penalty, -VLM_LENGTH_PENALTY_MAX,
                        VLM_LENGTH_PENALTY_MAX, err);
    return rc;
}

int vlm_options_check(const struct vlm_generate_options *options, const struct vlm_choices *choices,
                      struct vlm_err *err)
{
    int rc = check_drawing(options, err);
    if (rc == VLM_OK && !(options->repeat > 0 && options->repeat <= VLM_REPEAT_MAX))
        rc = vlm_fail(err, VLM_EUSAGE, "the repeat penalty is %g, expected more than 0, at most %d",
                      options->repeat, VLM_REPEAT_MAX);
    if (rc == VLM_OK)
        rc = check_real("the presence penalty", options->presence, -2, 2, err);
    if (rc == VLM_OK)
        rc = check_real("the frequency penalty", options->frequency, -2, 2, err);
    if (rc == VLM_OK)
        rc = check_lanes(options, err);
    if (rc == VLM_OK)
        rc = check_count("the number of likeliest tokens", options->likely, VLM_LIKELY_MAX, err);
    if (rc == VLM_OK)
        rc = check_bias(options, choices->vocabulary->size, err);
    return rc == VLM_OK ? check_words(options, err) : rc;
}

/* ---- a copy ---- */

/* One block of memory that is handed out in pieces; at NULL the pieces are only counted. */
struct block {
    uint8_t *at;
    size_t used;
};

static void *take(struct block *block, const void *from, size_t n, size_t size)
{
    const size_t begin = block->used, bytes = n * size;
    if (!from || !n)
        return NULL;
    block->used += (bytes + 15) / 16 * 16;
    return block->at ? memcpy(block->at + begin, from, bytes) : NULL;
}

static void copy_into(struct vlm_generate_options *out, struct block *block,
                      const struct vlm_generate_options *from, size_t n_masks)
{
    *out = *from;
    out->stop = take(block, from->stop, from->n_stop, sizeof(*from->stop));
    out->image_start =
        take(block, from->image_start, from->n_image_start, sizeof(*from->image_start));
    out->mask_tokens = take(block, from->mask_tokens, n_masks, sizeof(*from->mask_tokens));
    out->mask_codes = take(block, from->mask_codes, n_masks, sizeof(*from->mask_codes));
    out->forced = take(block, from->forced, n_masks * VLM_CODES, sizeof(*from->forced));
    out->space = take(block, from->space, n_masks, sizeof(*from->space));
    out->bias = take(block, from->bias, from->n_bias, sizeof(*from->bias));
    const char **words = take(block, from->words, from->n_words, sizeof(*from->words));
    for (size_t i = 0; i < from->n_words; i++) {
        const char *word = take(block, from->words[i], strlen(from->words[i]) + 1, 1);
        if (words)
            words[i] = word;
    }
    out->words = words;
}

int vlm_options_copy(struct vlm_generate_options *out, void **memory,
                     const struct vlm_generate_options *options, size_t n_masks,
                     struct vlm_err *err)
{
    struct block block = { .at = NULL };
    copy_into(out, &block, options, n_masks);
    *memory = malloc(block.used + 1);
    if (!*memory)
        return vlm_fail(err, VLM_ENOMEM, "no memory for options");
    block = (struct block){ .at = *memory };
    copy_into(out, &block, options, n_masks);
    return VLM_OK;
}
