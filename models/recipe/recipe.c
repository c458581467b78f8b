/* recipe.c - a recipe from INI text and settings.
 *
 * The text is read twice: the first time for names and to find out how documents are rendered, which the
 * keys of samples depend on; the second time for values. The settings follow, then what must be there and
 * what must go together is looked at. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/ini.h"
#include "base/limits.h"
#include "base/near.h"
#include "models/recipe/recipe_internal.h"

enum { KEYS_MAX = 64 };

struct reading {
    struct vlm_recipe *recipe;
    const char *file;
    size_t line[KEYS_MAX];             /* where a key stands first; 0: nowhere in the file */
    bool given[KEYS_MAX];              /* in the file or in a setting */
    bool renewed[KEYS_MAX];            /* by a setting */
    char render[VLM_RECIPE_NAME_SIZE]; /* of the file */
    bool other_render;                 /* a setting names another one */
};

static size_t key_index(const char *section, const char *name)
{
    const size_t i = vlm_recipe_key_find(section, name);
    VLM_BUG_IF(i == vlm_recipe_n_keys);
    return i;
}

/* First pass: sections, keys, which of them stand twice. */
static int take_name(void *context, const struct vlm_ini_entry *entry, struct vlm_err *err)
{
    struct reading *reading = context;
    if (!*entry->section)
        return vlm_fail(err, VLM_EUSAGE, "key '%s' stands before any [section]", entry->key);
    if (!entry->key)
        return vlm_recipe_section_check(entry->section, err);
    const size_t i = vlm_recipe_key_find(entry->section, entry->key);
    if (i == vlm_recipe_n_keys)
        return vlm_recipe_key_unknown(entry->section, entry->key, err);
    const struct vlm_recipe_key *key = &vlm_recipe_keys[i];
    size_t *line = &reading->line[i];
    if (key->type == VLM_RECIPE_TYPE_BLOCK) /* one thing with two names */
        line = &reading->line[key_index("data", "block")];
    if (*line && key->type != VLM_RECIPE_TYPE_PROMPT)
        return vlm_fail(err, VLM_EUSAGE, "key '%s' of [%s] was set in line %zu already", key->name,
                        key->section, *line);
    if (key->type == VLM_RECIPE_TYPE_RENDER) {
        int rc = vlm_recipe_set(reading->recipe, key, entry->value, err);
        if (rc)
            return rc;
        snprintf(reading->render, sizeof(reading->render), "%s", entry->value);
    }
    *line = entry->line;
    reading->given[i] = true;
    return VLM_OK;
}

static bool is_of_samples(const struct vlm_recipe_key *key)
{
    return key->type == VLM_RECIPE_TYPE_SAMPLING || key->type == VLM_RECIPE_TYPE_BLOCK;
}

/* Second pass: values. What documents look like is known. */
static int take_value(void *context, const struct vlm_ini_entry *entry, struct vlm_err *err)
{
    const struct reading *reading = context;
    if (!entry->key)
        return VLM_OK;
    const struct vlm_recipe_key *key = &vlm_recipe_keys[key_index(entry->section, entry->key)];
    if (key->type == VLM_RECIPE_TYPE_RENDER || (reading->other_render && is_of_samples(key)))
        return VLM_OK;
    return vlm_recipe_set(reading->recipe, key, entry->value, err);
}

/* ---- settings ---- */

/* "section.key=value". */
static int find_setting(const struct vlm_recipe_key **key, const char **value, const char *setting,
                        struct vlm_err *err)
{
    char section[VLM_INI_NAME_MAX + 1], name[VLM_INI_NAME_MAX + 1];
    const size_t n = strcspn(setting, "="), dot = strcspn(setting, ".");
    if (!setting[n] || dot >= n)
        return vlm_fail(err, VLM_EUSAGE, "this is not SECTION.KEY=VALUE");
    if (dot >= sizeof(section) || n - dot - 1 >= sizeof(name))
        return vlm_fail(err, VLM_EUSAGE, "a name of more than %d bytes", VLM_INI_NAME_MAX);
    snprintf(section, sizeof(section), "%.*s", (int)dot, setting);
    snprintf(name, sizeof(name), "%.*s", (int)(n - dot - 1), setting + dot + 1);
    int rc = vlm_recipe_section_check(section, err);
    if (rc)
        return rc;
    const size_t i = vlm_recipe_key_find(section, name);
    if (i == vlm_recipe_n_keys)
        return vlm_recipe_key_unknown(section, name, err);
    *key = &vlm_recipe_keys[i];
    *value = setting + n + 1;
    return VLM_OK;
}

/* What a setting says of the same key in the file counts no more; several prompts add up. */
static int take_setting(struct reading *reading, const struct vlm_recipe_key *key,
                        const char *value, struct vlm_err *err)
{
    const size_t i = (size_t)(key - vlm_recipe_keys);
    struct vlm_recipe *recipe = reading->recipe;
    if (key->type == VLM_RECIPE_TYPE_PROMPT && !reading->renewed[i]) {
        memset(recipe->prompts, 0, sizeof(recipe->prompts));
        recipe->n_prompts = 0;
    }
    reading->given[i] = reading->renewed[i] = true;
    return vlm_recipe_set(recipe, key, value, err);
}

/* Those of data.render first: what samples look like is their matter, so that with another render than the
 * file's, the file's keys of samples count no more. */
static int take_settings(struct reading *reading, const char *const *settings, size_t n,
                         bool renders, struct vlm_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct vlm_recipe_key *key = NULL;
        const char *value = NULL;
        char text[VLM_RECIPE_SHOWN_SIZE];
        int rc = find_setting(&key, &value, settings[i], err);
        const bool is_render = !rc && key->type == VLM_RECIPE_TYPE_RENDER;
        if (!rc && is_render == renders)
            rc = take_setting(reading, key, value, err);
        if (rc)
            return vlm_wrap(err, "setting '%s'", vlm_recipe_shown(text, settings[i]));
        if (is_render && renders)
            reading->other_render = strcmp(reading->render, value) != 0;
    }
    return VLM_OK;
}

/* ---- what must be there ---- */

static int check_given(const struct reading *reading, const char *section, const char *name,
                       struct vlm_err *err)
{
    if (reading->given[key_index(section, name)])
        return VLM_OK;
    return vlm_fail(err, VLM_EUSAGE, "%s: key '%s' is missing in [%s]", reading->file, name,
                    section);
}

static int check_all_given(const struct reading *reading, struct vlm_err *err)
{
    static const char *const always[][2] = {
        { "system", "name" }, { "data", "render" }, { "embed", "position" }, { "trunk", "layer" }
    };
    for (size_t i = 0; i < VLM_COUNTOF(always); i++) {
        int rc = check_given(reading, always[i][0], always[i][1], err);
        if (rc)
            return rc;
    }
    int rc = reading->recipe->encoder ? check_given(reading, "encoder", "layers", err) : VLM_OK;
    if (!rc && reading->recipe->bridge)
        rc = check_given(reading, "bridge", "length", err);
    return rc;
}

/* Keys of a block that is not there: a block that was forgotten. */
static int check_blocks_named(const struct reading *reading, struct vlm_err *err)
{
    for (size_t i = 0; i < vlm_recipe_n_keys; i++) {
        const char *section = vlm_recipe_keys[i].section;
        if (reading->given[i] && (!strcmp(section, "encoder") || !strcmp(section, "bridge"))) {
            int rc = check_given(reading, section, "block", err);
            if (rc)
                return rc;
        }
    }
    return VLM_OK;
}

static int check_together(struct vlm_recipe *recipe, const char *file, struct vlm_err *err)
{
    const struct vlm_mask_rules *mask = &recipe->sampling.mask;
    if (mask->min > mask->max)
        return vlm_fail(err, VLM_EUSAGE,
                        "%s: data.min = %" PRIu32 " masks is more than data.max = %" PRIu32, file,
                        mask->min, mask->max);
    double weights = 0;
    for (size_t i = 0; i < VLM_MODALITIES; i++)
        weights += recipe->weight[i];
    if (weights <= 0)
        return vlm_fail(err, VLM_EUSAGE,
                        "%s: all weights of [objective] are 0: nothing would be learned", file);
    if (!recipe->encoder != !recipe->bridge)
        return vlm_fail(err, VLM_EUSAGE, "%s: there is a block in [%s], but none in [%s]", file,
                        recipe->encoder ? "encoder" : "bridge",
                        recipe->encoder ? "bridge" : "encoder");
    if (!recipe->encoder) {
        recipe->encoder_layers = recipe->encoder_width = recipe->encoder_heads = 0;
        recipe->bridge_length = 0;
        return VLM_OK;
    }
    if (recipe->sampling.kind == VLM_SAMPLE_CAUSAL_MASK)
        return vlm_fail(err, VLM_EUSAGE,
                        "%s: an [encoder] sees images of data.render = pair or m3w, not of %s",
                        file, recipe->sampling.recipe);
    if (recipe->encoder_width && recipe->encoder_heads &&
        recipe->encoder_width % recipe->encoder_heads)
        return vlm_fail(err, VLM_EUSAGE, "%s: encoder.width = %zu is no multiple of %zu heads",
                        file, recipe->encoder_width, recipe->encoder_heads);
    return VLM_OK;
}

/* ---- the whole ---- */

int vlm_recipe_parse(struct vlm_recipe *recipe, const char *file, const char *text, size_t size,
                     const char *const *settings, size_t n, struct vlm_err *err)
{
    struct reading reading = { .recipe = recipe, .file = file };
    VLM_BUG_IF(vlm_recipe_n_keys > KEYS_MAX);
    memset(recipe, 0, sizeof(*recipe));
    recipe->tied = true;
    for (size_t i = 0; i < VLM_MODALITIES; i++)
        recipe->weight[i] = 1;
    if (size > VLM_RECIPE_FILE_MAX)
        return vlm_fail(err, VLM_EUSAGE, "%s has %zu bytes, a recipe at most %zu", file, size,
                        VLM_RECIPE_FILE_MAX);
    int rc = vlm_ini_read(file, text, size, take_name, &reading, err);
    if (!rc)
        rc = take_settings(&reading, settings, n, true, err);
    if (!rc)
        rc = check_given(&reading, "data", "render", err);
    if (!rc)
        rc = vlm_ini_read(file, text, size, take_value, &reading, err);
    if (!rc)
        rc = take_settings(&reading, settings, n, false, err);
    if (!rc)
        rc = check_blocks_named(&reading, err);
    if (!rc)
        rc = check_all_given(&reading, err);
    return rc ? rc : check_together(recipe, file, err);
}

int vlm_recipe_change(struct vlm_recipe *recipe, const struct vlm_recipe *base, const char *file,
                      const char *const *settings, size_t n, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    vlm_recipe_write(&text, base);
    int rc = text.failed ? vlm_fail(err, VLM_ENOMEM, "no memory for a recipe")
                         : vlm_recipe_parse(recipe, file, (const char *)text.data, text.size,
                                            settings, n, err);
    vlm_buffer_release(&text);
    return rc;
}

static int unknown_recipe(const char *name, struct vlm_err *err)
{
    char text[VLM_RECIPE_SHOWN_SIZE],
        advice[VLM_RECIPE_SHOWN_SIZE] = "a path has a '/' or ends in .ini";
    struct vlm_near near = { .text = name, .n = strlen(name) };
    vlm_near_try_list(&near, vlm_recipe_names());
    if (near.best)
        snprintf(advice, sizeof(advice), "did you mean \"%.*s\"?", (int)near.best_n, near.best);
    return vlm_fail(err, VLM_EUSAGE, "there is no recipe \"%s\", only %s; %s",
                    vlm_recipe_shown(text, name), vlm_recipe_names(), advice);
}

static bool is_path(const char *name)
{
    const size_t n = strlen(name);
    return strchr(name, '/') || (n > 4 && !strcmp(name + n - 4, ".ini"));
}

int vlm_recipe_open(struct vlm_recipe *recipe, const char *name, const char *const *settings,
                    size_t n, struct vlm_err *err)
{
    size_t size = 0;
    if (!is_path(name)) {
        const char *text = vlm_recipe_shipped(name, &size);
        return text ? vlm_recipe_parse(recipe, name, text, size, settings, n, err)
                    : unknown_recipe(name, err);
    }
    struct vlm_buffer text = { 0 };
    int rc = vlm_file_read(&text, name, VLM_RECIPE_FILE_MAX, err);
    if (rc)
        rc = vlm_recode(err, VLM_EUSAGE); /* the user named it */
    else
        rc = vlm_recipe_parse(recipe, name, (const char *)text.data, text.size, settings, n, err);
    vlm_buffer_release(&text);
    return rc;
}
