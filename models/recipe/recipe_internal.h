/* recipe_internal.h - the table of a recipe's keys, which reading, writing and their tests share. */
#ifndef VLM_MODELS_RECIPE_INTERNAL_H
#define VLM_MODELS_RECIPE_INTERNAL_H

#include "models/recipe/recipe.h"

enum vlm_recipe_type {
    VLM_RECIPE_TYPE_NAME,
    VLM_RECIPE_TYPE_RENDER,   /* the recipe of samples: begins the sampling anew */
    VLM_RECIPE_TYPE_SAMPLING, /* vlm_sampling_set() */
    VLM_RECIPE_TYPE_BLOCK,    /* the same, or "@preset" */
    VLM_RECIPE_TYPE_ENCODER,
    VLM_RECIPE_TYPE_BRIDGE,
    VLM_RECIPE_TYPE_LAYER,
    VLM_RECIPE_TYPE_PRESET,
    VLM_RECIPE_TYPE_WORD,   /* int: index into words */
    VLM_RECIPE_TYPE_FIXED,  /* one word, which is not stored */
    VLM_RECIPE_TYPE_SWITCH, /* bool: 0|1 */
    VLM_RECIPE_TYPE_COUNT,  /* size_t in [low, high], or 0 for the one word of words */
    VLM_RECIPE_TYPE_REAL,   /* double in [0, high] */
    VLM_RECIPE_TYPE_GLOBS,
    VLM_RECIPE_TYPE_PROMPT,
};

struct vlm_recipe_key {
    const char *section, *name;
    enum vlm_recipe_type type;
    size_t offset; /* in struct vlm_recipe, of types that need no more */
    const char *words;
    size_t low, high;
};

/* What somebody wrote, as a sentence shows it: printable, and not long. Returns out. */
enum { VLM_RECIPE_SHOWN_SIZE = 64 };
const char *vlm_recipe_shown(char out[VLM_RECIPE_SHOWN_SIZE], const char *value);

extern const struct vlm_recipe_key vlm_recipe_keys[];
extern const size_t vlm_recipe_n_keys;

/* Index of a key, or vlm_recipe_n_keys. */
size_t vlm_recipe_key_find(const char *section, const char *name);

/* Why there is no such key, with a near word. Returns VLM_EUSAGE. */
int vlm_recipe_key_unknown(const char *section, const char *name, struct vlm_err *err);

/* VLM_EUSAGE: there is no section of that name. */
VLM_MUST_CHECK int vlm_recipe_section_check(const char *section, struct vlm_err *err);

/* Sets what a key means. VLM_EUSAGE: not such a value. Prompts are added, all else is replaced. */
VLM_MUST_CHECK int vlm_recipe_set(struct vlm_recipe *recipe, const struct vlm_recipe_key *key,
                                  const char *value, struct vlm_err *err);

/* Text of a shipped recipe, NULL: there is none of that name. */
const char *vlm_recipe_shipped(const char *name, size_t *size);

#endif
