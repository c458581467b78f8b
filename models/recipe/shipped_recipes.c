/* shipped_recipes.c - the files of models/recipes inside of the programs. A new one is a file, a line here and
 * one in vlm_recipe_names(). */
#include "base/vlm.h"

#include "base/include_file.h"
#include "models/recipe/recipe_internal.h"

VLM_INCLUDE_FILE(vlm_recipe_cm3, "models/recipes/cm3.ini");
VLM_INCLUDE_FILE(vlm_recipe_cm3_modern, "models/recipes/cm3-modern.ini");
VLM_INCLUDE_FILE(vlm_recipe_lm, "models/recipes/lm.ini");
VLM_INCLUDE_FILE(vlm_recipe_captioner, "models/recipes/captioner.ini");

static const struct {
    const char *name;
    const uint8_t *text;
    const uint64_t *size;
} recipes[] = {
    { "cm3", vlm_recipe_cm3, &vlm_recipe_cm3_size },
    { "cm3-modern", vlm_recipe_cm3_modern, &vlm_recipe_cm3_modern_size },
    { "lm", vlm_recipe_lm, &vlm_recipe_lm_size },
    { "captioner", vlm_recipe_captioner, &vlm_recipe_captioner_size },
};

const char *vlm_recipe_names(void)
{
    return "cm3 cm3-modern lm captioner";
}

const char *vlm_recipe_shipped(const char *name, size_t *size)
{
    for (size_t i = 0; i < VLM_COUNTOF(recipes); i++) {
        if (!strcmp(recipes[i].name, name)) {
            *size = (size_t)*recipes[i].size;
            return (const char *)recipes[i].text;
        }
    }
    return NULL;
}
