/* recipe_write.c - a recipe as INI, every value, so that reading it gives the same recipe.
 *
 * The sections stand in the order of the table, in which [cm3] is before [data]: a release sets several
 * keys of [data] at once, which then say what they are. */
#include "base/vlm.h"

#include "base/ini.h"
#include "base/word_list.h"
#include "models/recipe/recipe_internal.h"

static void add_word(struct vlm_buffer *out, const char *words, int i)
{
    size_t n;
    const char *word = vlm_word_list_at(words, (size_t)i, &n);
    vlm_buffer_add(out, word, n);
}

static void add_globs(struct vlm_buffer *out, const struct vlm_recipe_globs *globs)
{
    for (size_t i = 0; i < globs->n; i++) {
        vlm_buffer_text(out, i ? ", " : "");
        vlm_buffer_text(out, globs->list[i]);
    }
}

/* NULL: the samples of this recipe have no such key. */
static const char *sampling_text(char out[VLM_SAMPLING_TEXT_SIZE], const struct vlm_recipe *recipe,
                                 const struct vlm_recipe_key *key)
{
    char name[2 * VLM_RECIPE_NAME_SIZE];
    snprintf(name, sizeof(name), "%s.%s", key->section, key->name);
    return vlm_sampling_get(out, &recipe->sampling, name);
}

/* Whether the key has a value in this recipe: keys of samples depend on their kind, those of a block on
 * whether there is one. */
static bool has_value(const struct vlm_recipe *recipe, const struct vlm_recipe_key *key)
{
    if (key->type == VLM_RECIPE_TYPE_BLOCK)
        return !strcmp(key->name, "block"); /* "window" is another name of it */
    if (key->type == VLM_RECIPE_TYPE_COUNT)
        return recipe->encoder;
    if (key->type == VLM_RECIPE_TYPE_PROMPT)
        return recipe->n_prompts;
    if (key->type != VLM_RECIPE_TYPE_SAMPLING)
        return true;
    char text[VLM_SAMPLING_TEXT_SIZE];
    return sampling_text(text, recipe, key);
}

static bool is_empty(const struct vlm_recipe *recipe, const struct vlm_recipe_key *key)
{
    const void *at = (const char *)recipe + key->offset;
    return key->type == VLM_RECIPE_TYPE_GLOBS && !((const struct vlm_recipe_globs *)at)->n;
}

static void add_of_type(struct vlm_buffer *out, const struct vlm_recipe *recipe,
                        const struct vlm_recipe_key *key)
{
    const void *at = (const char *)recipe + key->offset;
    char text[VLM_SAMPLING_TEXT_SIZE];
    int word = 0;
    switch (key->type) {
    case VLM_RECIPE_TYPE_NAME:
        vlm_buffer_text(out, recipe->name);
        break;
    case VLM_RECIPE_TYPE_RENDER:
        vlm_buffer_text(out, recipe->sampling.recipe);
        break;
    case VLM_RECIPE_TYPE_SAMPLING:
        vlm_buffer_text(out, sampling_text(text, recipe, key));
        break;
    case VLM_RECIPE_TYPE_BLOCK:
        vlm_buffer_text(out, recipe->sampling.block ? sampling_text(text, recipe, key) : "@preset");
        break;
    case VLM_RECIPE_TYPE_ENCODER:
        vlm_buffer_text(out, recipe->encoder ? recipe->encoder->name : "none");
        break;
    case VLM_RECIPE_TYPE_BRIDGE:
        vlm_buffer_text(out, recipe->bridge ? recipe->bridge->name : "none");
        break;
    case VLM_RECIPE_TYPE_LAYER:
        vlm_buffer_text(out, recipe->layer->name);
        break;
    case VLM_RECIPE_TYPE_PRESET:
        vlm_buffer_text(out, recipe->preset[0] ? recipe->preset : "@preset");
        break;
    case VLM_RECIPE_TYPE_WORD:
        memcpy(&word, at, sizeof(word));
        add_word(out, key->words, word);
        break;
    case VLM_RECIPE_TYPE_FIXED:
        vlm_buffer_text(out, key->words);
        break;
    case VLM_RECIPE_TYPE_SWITCH:
        add_word(out, key->words, *(const bool *)at);
        break;
    case VLM_RECIPE_TYPE_COUNT:
        if (key->words && !*(const size_t *)at)
            vlm_buffer_text(out, key->words);
        else
            vlm_buffer_decimal(out, *(const size_t *)at);
        break;
    case VLM_RECIPE_TYPE_REAL:
        vlm_buffer_real(out, *(const double *)at);
        break;
    case VLM_RECIPE_TYPE_GLOBS:
        add_globs(out, at);
        break;
    case VLM_RECIPE_TYPE_PROMPT:
        break; /* several lines: below */
    }
}

void vlm_recipe_write(struct vlm_buffer *out, const struct vlm_recipe *recipe)
{
    const char *section = "";
    for (size_t i = 0; i < vlm_recipe_n_keys; i++) {
        const struct vlm_recipe_key *key = &vlm_recipe_keys[i];
        if (!has_value(recipe, key))
            continue;
        if (strcmp(section, key->section) != 0)
            vlm_buffer_printf(out, "%s[%s]\n", *section ? "\n" : "", key->section);
        section = key->section;
        const size_t lines = key->type == VLM_RECIPE_TYPE_PROMPT ? recipe->n_prompts : 1;
        for (size_t line = 0; line < lines; line++) {
            vlm_buffer_text(out, key->name);
            vlm_buffer_text(out, is_empty(recipe, key) ? " =" : " = ");
            if (key->type == VLM_RECIPE_TYPE_PROMPT)
                vlm_ini_value(out, recipe->prompts[line]);
            else
                add_of_type(out, recipe, key);
            vlm_buffer_byte(out, '\n');
        }
    }
}
