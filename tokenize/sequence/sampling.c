/* sampling.c - what a recipe samples, and the keys that change it. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "base/word_list.h"
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
    const int i = vlm_word_list_find(words, value, strlen(value));
    if (i < 0)
        return vlm_fail(err, VLM_EUSAGE, "%s = \"%s\" is none of %s", key, value, words);
    *out = i;
    return VLM_OK;
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

static const char *words_of(enum key key)
{
    return key == MASK_IMAGES ? VLM_MASK_IMAGES_WORDS
           : key == OVERFLOW  ? "none|tail|source"
           : key == LABELS    ? "open_flamingo|flamingo"
           : key == PAPER     ? "0|1"
                              : "fairseq|metaseq|cm3leon";
}

static int set_choice(struct vlm_sampling *sampling, enum key key, const char *name,
                      const char *value, struct vlm_err *err)
{
    int word = 0;
    int rc = set_word(&word, name, value, words_of(key), err);
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

/* Index of a key that this kind of samples has, or VLM_COUNTOF(keys); *known: others have it. */
static size_t find_key(const struct vlm_sampling *sampling, const char *name, bool *known)
{
    size_t i = 0;
    for (; i < VLM_COUNTOF(keys); i++) {
        bool same = !strcmp(keys[i].name, name);
        *known = *known || same;
        if (same && (keys[i].kinds & 1u << sampling->kind))
            break;
    }
    return i;
}

int vlm_sampling_set(struct vlm_sampling *sampling, const char *key, const char *value,
                     struct vlm_err *err)
{
    bool known = false;
    const size_t i = find_key(sampling, key, &known);
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

static const char *get_choice(char out[VLM_SAMPLING_TEXT_SIZE], enum key key, int word)
{
    size_t n;
    const char *text = vlm_word_list_at(words_of(key), (size_t)word, &n);
    snprintf(out, VLM_SAMPLING_TEXT_SIZE, "%.*s", (int)n, text);
    return out;
}

static const char *get_whole(char out[VLM_SAMPLING_TEXT_SIZE], uint64_t number)
{
    snprintf(out, VLM_SAMPLING_TEXT_SIZE, "%" PRIu64, number);
    return out;
}

const char *vlm_sampling_get(char out[VLM_SAMPLING_TEXT_SIZE], const struct vlm_sampling *sampling,
                             const char *key)
{
    enum { FAIRSEQ, CM3LEON = 2 };
    bool known = false;
    const size_t i = find_key(sampling, key, &known);
    if (i == VLM_COUNTOF(keys))
        return NULL;
    switch (keys[i].key) {
    case LAMBDA:
        return vlm_real_text(out, sampling->mask.lambda);
    case P_NEXT:
        return vlm_real_text(out, sampling->next_share);
    case SPACE:
        return vlm_real_text(out, sampling->space_share);
    case MASK_WEIGHT:
        return vlm_float_text(out, sampling->mask_weight);
    case MIN:
        return get_whole(out, sampling->mask.min);
    case MAX:
        return get_whole(out, sampling->mask.max);
    case BLOCK:
        return get_whole(out, sampling->block);
    case WINDOW_IMAGES:
        return get_whole(out, sampling->images_max);
    case MASK_IMAGES:
        return get_choice(out, MASK_IMAGES, (int)sampling->mask.images);
    case OVERFLOW:
        return get_choice(out, OVERFLOW, (int)sampling->overflow);
    case LABELS:
        return get_choice(out, LABELS, sampling->flamingo_labels);
    case RELEASE:
        if (!sampling->without_end && !sampling->mask.first_kept)
            return NULL;
        return get_choice(out, RELEASE, sampling->without_end ? FAIRSEQ : CM3LEON);
    case PAPER:
        break;
    }
    return NULL;
}
