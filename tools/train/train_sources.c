/* train_sources.c - which shard sets, with which shares: words of the command line. */
#include "base/vlm.h"

#include "tools/train/train_verbs.h"

#include <math.h>

static int add_source(struct vlm_corpus_options *data, char *folder, double weight,
                      struct vlm_err *err)
{
    if (data->n == VLM_SOURCES_MAX)
        return vlm_fail(err, VLM_EUSAGE, "more than %d shard sets", VLM_SOURCES_MAX);
    data->folder[data->n] = folder;
    data->weight[data->n++] = weight;
    return VLM_OK;
}

/* The next part in *rest, its end cut off; a backslash takes the comma behind it along. */
static char *next_part(char **rest)
{
    char *part = *rest, *at = part;
    if (!part)
        return NULL;
    while (*at && *at != ',')
        at += at[0] == '\\' && at[1] ? 2 : 1;
    *rest = *at ? at + 1 : NULL;
    *at = 0;
    return part;
}

static void drop_backslashes(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (from[0] == '\\' && from[1])
            from++;
        *to++ = *from;
    }
    *to = 0;
}

/* "FOLDER" or "FOLDER:WEIGHT": a colon with a number behind it, so that paths may have colons. */
static int add_part(struct vlm_corpus_options *data, char *part, struct vlm_err *err)
{
    char *colon = strrchr(part, ':'), *end = NULL;
    if (colon && colon > part && colon[-1] == '\\')
        colon = NULL;
    double weight = colon ? strtod(colon + 1, &end) : 0;
    const bool has_weight = colon && end != colon + 1 && !*end;
    if (has_weight && !(weight > 0 && isfinite(weight)))
        return vlm_fail(err, VLM_EUSAGE, "option '--data': the weight of '%s' is not above 0",
                        part);
    if (has_weight)
        *colon = 0;
    drop_backslashes(part);
    if (!*part)
        return vlm_fail(err, VLM_EUSAGE, "option '--data': a shard set without a name");
    return add_source(data, part, has_weight ? weight : 0, err);
}

/* Weights are of all sets or of none. */
static int check_weights(const struct vlm_corpus_options *data, struct vlm_err *err)
{
    for (size_t i = 1; i < data->n; i++)
        if ((data->weight[i] > 0) != (data->weight[0] > 0))
            return vlm_fail(err, VLM_EUSAGE, "option '--data': '%s' has a weight and '%s' has none",
                            data->folder[data->weight[i] > 0 ? i : 0],
                            data->folder[data->weight[i] > 0 ? 0 : i]);
    return VLM_OK;
}

int vlm_train_sources(struct vlm_corpus_options *data, char **owned, const char *mix,
                      char **operands, size_t n, struct vlm_err *err)
{
    int rc = VLM_OK;
    if (mix && n)
        return vlm_fail(err, VLM_EUSAGE, "shard sets are given both as '%s' and by --data",
                        operands[0]);
    if (!mix && !n)
        return vlm_fail(err, VLM_EUSAGE, "no shard set given");
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        rc = add_source(data, operands[i], 0, err);
    char *rest = *owned = mix ? strdup(mix) : NULL;
    if (mix && !rest)
        return vlm_fail(err, VLM_ENOMEM, "no memory for --data");
    for (char *part; rc == VLM_OK && (part = next_part(&rest));)
        rc = add_part(data, part, err);
    return rc == VLM_OK ? check_weights(data, err) : rc;
}

int vlm_train_share(double *share, const char *option, const char *text, struct vlm_err *err)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && *end == '%') {
        value /= 100;
        end++;
    }
    if (end == text || *end || !(value >= 0 && value <= 0.5))
        return vlm_fail(err, VLM_EUSAGE,
                        "option '--%s': '%s' is not a share from 0 to 0.5, or to 50%%", option,
                        text);
    *share = value;
    return VLM_OK;
}
