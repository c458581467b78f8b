/* sampling.c - what a recipe samples, and the keys that change it. */
#include "base/vlm.h"

#include "tokenize/sequence/sample.h"

#include <math.h>

/* lambda: more candidates than masks are drawn, n * n of them. */
static const double lambda_max = 64;
static const uint64_t block_max = 1 << 20;

static const struct recipe {
    const char *name;
    enum vlm_sample_kind kind;
    enum vlm_render form;
    size_t block;
    double lambda;
} recipes[] = {
    { "cm3", VLM_SAMPLE_CAUSAL_MASK, VLM_RENDER_CM3, 2048, 1 },
    { "htlm", VLM_SAMPLE_CAUSAL_MASK, VLM_RENDER_HTLM, 2048, 1 },
    { "text", VLM_SAMPLE_CAUSAL_MASK, VLM_RENDER_TEXT, 2048, 0 },
    { "m3w", VLM_SAMPLE_WINDOW, VLM_RENDER_M3W, 256, 0 },
    { "pair", VLM_SAMPLE_PAIRS, VLM_RENDER_PAIR, 64, 0 },
};

int vlm_sampling_init(struct vlm_sampling *sampling, const char *recipe, struct vlm_err *err)
{
    for (size_t i = 0; i < VLM_COUNTOF(recipes); i++) {
        if (strcmp(recipes[i].name, recipe) != 0)
            continue;
        *sampling = (struct vlm_sampling){
            .recipe = recipes[i].name,
            .kind = recipes[i].kind,
            .form = recipes[i].form,
            .block = recipes[i].block,
            .mask = { .lambda = recipes[i].lambda, .max = VLM_MASKS_DEFAULT },
            .images_max = 5,
            .next_share = 0.5,
            .space_share = 0.5,
            .flamingo_labels = true,
        };
        return VLM_OK;
    }
    return vlm_fail(err, VLM_EUSAGE,
                    "there is no recipe \"%s\", only cm3, htlm, text, m3w and pair", recipe);
}

static int set_real(double *out, const char *key, const char *value, double high,
                    struct vlm_err *err)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end || !(number >= 0 && number <= high))
        return vlm_fail(err, VLM_EUSAGE, "%s = \"%s\" is no number from 0 to %g", key, value, high);
    *out = number;
    return VLM_OK;
}

static int set_whole(uint64_t *out, const char *key, const char *value, uint64_t low, uint64_t high,
                     struct vlm_err *err)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || number < low || number > high)
        return vlm_fail(err, VLM_EUSAGE,
                        "%s = \"%s\" is no whole number from %" PRIu64 " to %" PRIu64, key, value,
                        low, high);
    *out = number;
    return VLM_OK;
}

/* words: separated by |. */
static int set_word(int *out, const char *key, const char *value, const char *words,
                    struct vlm_err *err)
{
    const size_t n = strlen(value);
    int i = 0;
    for (const char *word = words;; word++, i++) {
        size_t length = strcspn(word, "|");
        if (length == n && !memcmp(word, value, n)) {
            *out = i;
            return VLM_OK;
        }
        word += length;
        if (!*word)
            return vlm_fail(err, VLM_EUSAGE, "%s = \"%s\" is none of %s", key, value, words);
    }
}

static void imitate(struct vlm_sampling *sampling, int release)
{
    enum { FAIRSEQ, METASEQ, CM3LEON };
    sampling->mask.min = release == FAIRSEQ ? 1 : 0;
    sampling->mask.max = release == FAIRSEQ ? 255 : 511;
    sampling->mask.images = release == CM3LEON ? VLM_MASK_IMAGES_NOBREAK : VLM_MASK_IMAGES_FREE;
    sampling->mask.first_kept = release == CM3LEON;
    sampling->overflow = release == CM3LEON ? VLM_OVERFLOW_SOURCE : VLM_OVERFLOW_TAIL;
    sampling->without_end = release == FAIRSEQ;
    sampling->mask_weight = release == FAIRSEQ ? 0 : 1;
}

enum key {
    LAMBDA,
    MIN,
    MAX,
    MASK_IMAGES,
    WINDOW_IMAGES,
    BLOCK,
    OVERFLOW,
    P_NEXT,
    SPACE,
    LABELS,
    MASK_WEIGHT,
    PAPER,
    RELEASE,
};

enum {
    BLOCKS = 1 << VLM_SAMPLE_CAUSAL_MASK,
    WINDOWS = 1 << VLM_SAMPLE_WINDOW,
    PAIRS = 1 << VLM_SAMPLE_PAIRS
};

static const struct {
    const char *name;
    enum key key;
    unsigned kinds; /* of samples, that have it */
} keys[] = {
    { "data.lambda", LAMBDA, BLOCKS },
    { "data.min", MIN, BLOCKS },
    { "data.max", MAX, BLOCKS },
    { "data.images", MASK_IMAGES, BLOCKS },
    { "data.images", WINDOW_IMAGES, WINDOWS },
    { "data.block", BLOCK, BLOCKS | WINDOWS | PAIRS },
    { "data.window", BLOCK, WINDOWS | PAIRS },
    { "data.overflow", OVERFLOW, BLOCKS },
    { "data.p_next", P_NEXT, WINDOWS },
    { "data.space", SPACE, PAIRS },
    { "data.labels", LABELS, WINDOWS },
    { "objective.weight.mask", MASK_WEIGHT, BLOCKS },
    { "cm3.paper", PAPER, BLOCKS },
    { "cm3.release", RELEASE, BLOCKS },
};

static int set_number(struct vlm_sampling *sampling, enum key key, const char *name,
                      const char *value, struct vlm_err *err)
{
    uint64_t number = 0;
    uint64_t low = key == MIN ? 0 : 1, high = VLM_MASKS_MAX;
    if (key == BLOCK)
        high = block_max;
    else if (key == WINDOW_IMAGES)
        high = INT32_MAX;
    int rc = set_whole(&number, name, value, low, high, err);
    if (rc)
        return rc;
    switch (key) {
    case MIN:
        sampling->mask.min = (uint32_t)number;
        break;
    case MAX:
        sampling->mask.max = (uint32_t)number;
        break;
    case BLOCK:
        sampling->block = number;
        break;
    default:
        sampling->images_max = number;
        break;
    }
    return VLM_OK;
}

static int set_choice(struct vlm_sampling *sampling, enum key key, const char *name,
                      const char *value, struct vlm_err *err)
{
    const char *words = key == MASK_IMAGES ? VLM_MASK_IMAGES_WORDS
                        : key == OVERFLOW  ? "none|tail|source"
                        : key == LABELS    ? "open_flamingo|flamingo"
                        : key == PAPER     ? "0|1"
                                           : "fairseq|metaseq|cm3leon";
    int word = 0;
    int rc = set_word(&word, name, value, words, err);
    if (rc)
        return rc;
    switch (key) {
    case MASK_IMAGES:
        sampling->mask.images = (enum vlm_mask_images)word;
        break;
    case OVERFLOW:
        sampling->overflow = (enum vlm_overflow)word;
        break;
    case LABELS:
        sampling->flamingo_labels = word == 1;
        break;
    case RELEASE:
        imitate(sampling, word);
        break;
    default:
        if (word) {
            sampling->mask.min = 1;
            sampling->mask.max = 16;
            sampling->mask.images = VLM_MASK_IMAGES_FREE;
        }
    }
    return VLM_OK;
}

int vlm_sampling_set(struct vlm_sampling *sampling, const char *key, const char *value,
                     struct vlm_err *err)
{
    bool known = false;
    size_t i = 0;
    for (; i < VLM_COUNTOF(keys); i++) {
        bool same = !strcmp(keys[i].name, key);
        known = known || same;
        if (same && (keys[i].kinds & 1u << sampling->kind))
            break;
    }
    if (i == VLM_COUNTOF(keys))
        return known ? vlm_fail(err, VLM_EUSAGE, "recipe \"%s\" has no %s", sampling->recipe, key)
                     : vlm_fail(err, VLM_EUSAGE, "there is no key %s", key);
    double weight = 0;
    int rc;
    switch (keys[i].key) {
    case LAMBDA:
        return set_real(&sampling->mask.lambda, key, value, lambda_max, err);
    case P_NEXT:
        return set_real(&sampling->next_share, key, value, 1, err);
    case SPACE:
        return set_real(&sampling->space_share, key, value, 1, err);
    case MASK_WEIGHT:
        rc = set_real(&weight, key, value, 100, err);
        if (!rc)
            sampling->mask_weight = (float)weight;
        return rc;
    case MIN:
    case MAX:
    case BLOCK:
    case WINDOW_IMAGES:
        return set_number(sampling, keys[i].key, key, value, err);
    default:
        return set_choice(sampling, keys[i].key, key, value, err);
    }
}
