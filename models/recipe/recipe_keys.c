/* recipe_keys.c - the sections and keys of a recipe, and what each takes.
 *
 * Names of systems stand nowhere here: a recipe is what its keys say. */
#include "base/vlm.h"

#include "base/near.h"
#include "base/utf8.h"
#include "base/word_list.h"
#include "models/recipe/preset.h"
#include "models/recipe/recipe_internal.h"

#include <ctype.h>

#define RENDER_WORDS "cm3|htlm|text|m3w|pair"
#define METHOD_WORDS "continue|infill|caption" /* enum vlm_generate_method */

static const double weight_max = 100;

#define AT(field) offsetof(struct vlm_recipe, field)
const struct vlm_recipe_key vlm_recipe_keys[] = {
    { "system", "name", VLM_RECIPE_TYPE_NAME, 0, NULL, 0, 0 },
    { "cm3", "paper", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "cm3", "release", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "data", "render", VLM_RECIPE_TYPE_RENDER, 0, RENDER_WORDS, 0, 0 },
    { "data", "block", VLM_RECIPE_TYPE_BLOCK, 0, NULL, 0, 0 },
    { "data", "window", VLM_RECIPE_TYPE_BLOCK, 0, NULL, 0, 0 },
    { "data", "lambda", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "data", "min", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "data", "max", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "data", "images", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "data", "overflow", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "data", "p_next", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "data", "space", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "data", "labels", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "encoder", "block", VLM_RECIPE_TYPE_ENCODER, 0, NULL, 0, 0 },
    { "encoder", "layers", VLM_RECIPE_TYPE_COUNT, AT(encoder_layers), NULL, 0, 256 },
    { "encoder", "width", VLM_RECIPE_TYPE_COUNT, AT(encoder_width), "@trunk", 1, 65536 },
    { "encoder", "heads", VLM_RECIPE_TYPE_COUNT, AT(encoder_heads), "@width", 1, 1024 },
    { "bridge", "block", VLM_RECIPE_TYPE_BRIDGE, 0, NULL, 0, 0 },
    { "bridge", "length", VLM_RECIPE_TYPE_COUNT, AT(bridge_length), NULL, 1, VLM_IMAGE_CODES },
    { "embed", "position", VLM_RECIPE_TYPE_WORD, AT(position), VLM_POSITION_WORDS, 0, 0 },
    { "embed", "tied", VLM_RECIPE_TYPE_SWITCH, AT(tied), "0|1", 0, 0 },
    { "trunk", "layer", VLM_RECIPE_TYPE_LAYER, 0, NULL, 0, 0 },
    { "trunk", "mask", VLM_RECIPE_TYPE_FIXED, 0, "causal", 0, 0 },
    { "trunk", "size", VLM_RECIPE_TYPE_PRESET, 0, NULL, 0, 0 },
    { "objective", "weight.text", VLM_RECIPE_TYPE_REAL, AT(weight[VLM_MODALITY_TEXT]), NULL, 0, 0 },
    { "objective", "weight.markup", VLM_RECIPE_TYPE_REAL, AT(weight[VLM_MODALITY_MARKUP]), NULL, 0,
      0 },
    { "objective", "weight.image", VLM_RECIPE_TYPE_REAL, AT(weight[VLM_MODALITY_IMAGE]), NULL, 0,
      0 },
    { "objective", "weight.mask", VLM_RECIPE_TYPE_SAMPLING, 0, NULL, 0, 0 },
    { "train", "freeze", VLM_RECIPE_TYPE_GLOBS, AT(freeze), NULL, 0, 0 },
    { "train", "train", VLM_RECIPE_TYPE_GLOBS, AT(train), NULL, 0, 0 },
    { "generate", "method", VLM_RECIPE_TYPE_WORD, AT(method), METHOD_WORDS, 0, 0 },
    { "generate", "image_grammar", VLM_RECIPE_TYPE_SWITCH, AT(image_grammar), "0|1", 0, 0 },
    { "generate", "prompt", VLM_RECIPE_TYPE_PROMPT, 0, NULL, 0, 0 },
};
#undef AT
const size_t vlm_recipe_n_keys = VLM_COUNTOF(vlm_recipe_keys);

size_t vlm_recipe_key_find(const char *section, const char *name)
{
    size_t i = 0;
    while (i < vlm_recipe_n_keys && (strcmp(vlm_recipe_keys[i].section, section) != 0 ||
                                     strcmp(vlm_recipe_keys[i].name, name) != 0))
        i++;
    return i;
}

/* ---- sentences ---- */

const char *vlm_recipe_shown(char out[VLM_RECIPE_SHOWN_SIZE], const char *value)
{
    static const char more[] = "...";
    size_t n = 0;
    while (n < VLM_RECIPE_SHOWN_SIZE - sizeof(more) && value[n]) {
        out[n] = iscntrl((unsigned char)value[n]) ? ' ' : value[n];
        n++;
    }
    n = vlm_utf8_valid_prefix(out, n);
    snprintf(out + n, VLM_RECIPE_SHOWN_SIZE - n, "%s", value[n] ? more : "");
    return out;
}

/* words: what the key takes. */
static int no_word(const struct vlm_recipe_key *key, const char *value, const char *words,
                   struct vlm_err *err)
{
    char text[VLM_RECIPE_SHOWN_SIZE];
    struct vlm_near near = { .text = value, .n = strlen(value) };
    vlm_near_try_list(&near, words);
    if (near.best)
        return vlm_fail(err, VLM_EUSAGE, "%s.%s = \"%s\" is none of %s; did you mean \"%.*s\"?",
                        key->section, key->name, vlm_recipe_shown(text, value), words,
                        (int)near.best_n, near.best);
    return vlm_fail(err, VLM_EUSAGE, "%s.%s = \"%s\" is none of %s", key->section, key->name,
                    vlm_recipe_shown(text, value), words);
}

int vlm_recipe_section_check(const char *section, struct vlm_err *err)
{
    char text[VLM_RECIPE_SHOWN_SIZE];
    for (size_t i = 0; i < vlm_recipe_n_keys; i++)
        if (!strcmp(vlm_recipe_keys[i].section, section))
            return VLM_OK;
    struct vlm_near near = { .text = section, .n = strlen(section) };
    vlm_near_try_list(&near, VLM_RECIPE_SECTIONS);
    if (near.best)
        return vlm_fail(err, VLM_EUSAGE, "there is no section [%s]; did you mean [%.*s]?",
                        vlm_recipe_shown(text, section), (int)near.best_n, near.best);
    return vlm_fail(err, VLM_EUSAGE, "there is no section [%s], only %s",
                    vlm_recipe_shown(text, section), VLM_RECIPE_SECTIONS);
}

int vlm_recipe_key_unknown(const char *section, const char *name, struct vlm_err *err)
{
    char text[VLM_RECIPE_SHOWN_SIZE];
    struct vlm_near near = { .text = name, .n = strlen(name) };
    for (size_t i = 0; i < vlm_recipe_n_keys; i++)
        if (!strcmp(vlm_recipe_keys[i].section, section))
            vlm_near_try(&near, vlm_recipe_keys[i].name, strlen(vlm_recipe_keys[i].name));
    if (near.best)
        return vlm_fail(err, VLM_EUSAGE, "there is no key '%s' in [%s]; did you mean '%s'?",
                        vlm_recipe_shown(text, name), section, near.best);
    return vlm_fail(err, VLM_EUSAGE, "there is no key '%s' in [%s]", vlm_recipe_shown(text, name),
                    section);
}

/* ---- values ---- */

static bool is_name(const char *text)
{
    const size_t n = strlen(text);
    return n && n < VLM_RECIPE_NAME_SIZE && isalnum((unsigned char)text[0]) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int set_name(struct vlm_recipe *recipe, const struct vlm_recipe_key *key, const char *value,
                    struct vlm_err *err)
{
    char text[VLM_RECIPE_SHOWN_SIZE];
    if (!is_name(value))
        return vlm_fail(err, VLM_EUSAGE,
                        "%s.%s = \"%s\" is no name of 1 to %d letters, digits, '.', '_' and '-'",
                        key->section, key->name, vlm_recipe_shown(text, value),
                        VLM_RECIPE_NAME_SIZE - 1);
    snprintf(recipe->name, sizeof(recipe->name), "%s", value);
    return VLM_OK;
}

static int set_render(struct vlm_recipe *recipe, const struct vlm_recipe_key *key,
                      const char *value, struct vlm_err *err)
{
    if (vlm_sampling_init(&recipe->sampling, value, NULL))
        return no_word(key, value, key->words, err);
    recipe->sampling.block = 0;
    return VLM_OK;
}

static int set_sampling(struct vlm_recipe *recipe, const struct vlm_recipe_key *key,
                        const char *value, struct vlm_err *err)
{
    char name[2 * VLM_RECIPE_NAME_SIZE], text[VLM_RECIPE_SHOWN_SIZE];
    if (key->type == VLM_RECIPE_TYPE_BLOCK && !strcmp(value, "@preset")) {
        recipe->sampling.block = 0;
        return VLM_OK;
    }
    snprintf(name, sizeof(name), "%s.%s", key->section, key->name);
    return vlm_sampling_set(&recipe->sampling, name, vlm_recipe_shown(text, value), err);
}

static int set_block(struct vlm_recipe *recipe, const struct vlm_recipe_key *key, const char *value,
                     struct vlm_err *err)
{
    char words[256];
    const bool none = !strcmp(value, "none");
    switch (key->type) {
    case VLM_RECIPE_TYPE_LAYER:
        recipe->layer = vlm_layer_find(value);
        return recipe->layer ? VLM_OK : no_word(key, value, vlm_layer_names(), err);
    case VLM_RECIPE_TYPE_ENCODER:
        recipe->encoder = none ? NULL : vlm_encoder_find(value);
        snprintf(words, sizeof(words), "%s, none", vlm_encoder_names());
        return recipe->encoder || none ? VLM_OK : no_word(key, value, words, err);
    default:
        recipe->bridge = none ? NULL : vlm_bridge_find(value);
        snprintf(words, sizeof(words), "%s, none", vlm_bridge_names());
        return recipe->bridge || none ? VLM_OK : no_word(key, value, words, err);
    }
}

static int set_preset(struct vlm_recipe *recipe, const struct vlm_recipe_key *key,
                      const char *value, struct vlm_err *err)
{
    char names[VLM_PRESET_NAMES_SIZE], words[VLM_PRESET_NAMES_SIZE + 16];
    const bool open = !strcmp(value, "@preset");
    if (!open && !vlm_preset_find(value)) {
        snprintf(words, sizeof(words), "@preset, %s", vlm_preset_names(names));
        return no_word(key, value, words, err);
    }
    snprintf(recipe->preset, sizeof(recipe->preset), "%s", open ? "" : value);
    return VLM_OK;
}

static int set_word(struct vlm_recipe *recipe, const struct vlm_recipe_key *key, const char *value,
                    struct vlm_err *err)
{
    const int i = vlm_word_list_find(key->words, value, strlen(value));
    void *target = (char *)recipe + key->offset;
    if (i < 0)
        return no_word(key, value, key->words, err);
    if (key->type == VLM_RECIPE_TYPE_SWITCH)
        *(bool *)target = i == 1;
    else if (key->type == VLM_RECIPE_TYPE_WORD)
        memcpy(target, &i, sizeof(i)); /* an enum */
    return VLM_OK;
}

static int set_count(struct vlm_recipe *recipe, const struct vlm_recipe_key *key, const char *value,
                     struct vlm_err *err)
{
    char text[VLM_RECIPE_SHOWN_SIZE], *end;
    size_t *target = (void *)((char *)recipe + key->offset);
    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    if (key->words && !strcmp(value, key->words)) {
        *target = 0;
        return VLM_OK;
    }
    if (!isdigit((unsigned char)*value) || *end || errno || number < key->low || number > key->high)
        return vlm_fail(err, VLM_EUSAGE, "%s.%s = \"%s\" is no whole number from %zu to %zu%s%s",
                        key->section, key->name, vlm_recipe_shown(text, value), key->low, key->high,
                        key->words ? ", nor " : "", key->words ? key->words : "");
    *target = number;
    return VLM_OK;
}

static int set_real(struct vlm_recipe *recipe, const struct vlm_recipe_key *key, const char *value,
                    struct vlm_err *err)
{
    char text[VLM_RECIPE_SHOWN_SIZE], *end;
    const double number = strtod(value, &end);
    if (!(isdigit((unsigned char)*value) || *value == '.') || *end ||
        !(number >= 0 && number <= weight_max))
        return vlm_fail(err, VLM_EUSAGE, "%s.%s = \"%s\" is no number from 0 to %g", key->section,
                        key->name, vlm_recipe_shown(text, value), weight_max);
    *(double *)(void *)((char *)recipe + key->offset) = number;
    return VLM_OK;
}

/* Names with wildcards, with commas between. */
static int set_globs(struct vlm_recipe *recipe, const struct vlm_recipe_key *key, const char *value,
                     struct vlm_err *err)
{
    char text[VLM_RECIPE_SHOWN_SIZE];
    struct vlm_recipe_globs globs = { 0 };
    for (const char *at = value; *at;) {
        at += strspn(at, ", ");
        const size_t n = strcspn(at, ", ");
        if (!n)
            continue;
        for (size_t i = 0; i < n; i++)
            if (at[i] <= ' ' || at[i] > '~' || at[i] == '"' || at[i] == ';')
                return vlm_fail(err, VLM_EUSAGE,
                                "%s.%s = \"%s\" is no list of names like trunk.*.weight",
                                key->section, key->name, vlm_recipe_shown(text, value));
        if (n >= VLM_RECIPE_NAME_SIZE || globs.n == VLM_RECIPE_GLOBS_MAX)
            return vlm_fail(err, VLM_EUSAGE, "%s.%s = \"%s\": at most %d names of %d bytes each",
                            key->section, key->name, vlm_recipe_shown(text, value),
                            VLM_RECIPE_GLOBS_MAX, VLM_RECIPE_NAME_SIZE - 1);
        memcpy(globs.list[globs.n++], at, n);
        at += n;
    }
    *(struct vlm_recipe_globs *)(void *)((char *)recipe + key->offset) = globs;
    return VLM_OK;
}

static int add_prompt(struct vlm_recipe *recipe, const struct vlm_recipe_key *key,
                      const char *value, struct vlm_err *err)
{
    const size_t n = strlen(value);
    if (recipe->n_prompts == VLM_RECIPE_PROMPTS_MAX)
        return vlm_fail(err, VLM_EUSAGE, "more than %d values of %s.%s", VLM_RECIPE_PROMPTS_MAX,
                        key->section, key->name);
    if (n >= VLM_RECIPE_PROMPT_SIZE)
        return vlm_fail(err, VLM_EUSAGE, "%s.%s has %zu bytes, at most %d are read", key->section,
                        key->name, n, VLM_RECIPE_PROMPT_SIZE - 1);
    bool text = vlm_utf8_valid_prefix(value, n) == n;
    for (size_t i = 0; i < n; i++)
        text = text && (!iscntrl((unsigned char)value[i]) || strchr("\n\r\t", value[i]));
    if (!text)
        return vlm_fail(err, VLM_EUSAGE,
                        "%s.%s is not UTF-8 text, or has control characters besides \\n, \\r, \\t",
                        key->section, key->name);
    memcpy(recipe->prompts[recipe->n_prompts++], value, n + 1);
    return VLM_OK;
}

int vlm_recipe_set(struct vlm_recipe *recipe, const struct vlm_recipe_key *key, const char *value,
                   struct vlm_err *err)
{
    switch (key->type) {
    case VLM_RECIPE_TYPE_NAME:
        return set_name(recipe, key, value, err);
    case VLM_RECIPE_TYPE_RENDER:
        return set_render(recipe, key, value, err);
    case VLM_RECIPE_TYPE_SAMPLING:
    case VLM_RECIPE_TYPE_BLOCK:
        return set_sampling(recipe, key, value, err);
    case VLM_RECIPE_TYPE_ENCODER:
    case VLM_RECIPE_TYPE_BRIDGE:
    case VLM_RECIPE_TYPE_LAYER:
        return set_block(recipe, key, value, err);
    case VLM_RECIPE_TYPE_PRESET:
        return set_preset(recipe, key, value, err);
    case VLM_RECIPE_TYPE_WORD:
    case VLM_RECIPE_TYPE_FIXED:
    case VLM_RECIPE_TYPE_SWITCH:
        return set_word(recipe, key, value, err);
    case VLM_RECIPE_TYPE_COUNT:
        return set_count(recipe, key, value, err);
    case VLM_RECIPE_TYPE_REAL:
        return set_real(recipe, key, value, err);
    case VLM_RECIPE_TYPE_GLOBS:
        return set_globs(recipe, key, value, err);
    case VLM_RECIPE_TYPE_PROMPT:
        return add_prompt(recipe, key, value, err);
    }
    VLM_BUG_IF(key->type > VLM_RECIPE_TYPE_PROMPT);
    return VLM_EUSAGE;
}
