/* run_config.c - config.resolved.ini and metrics.jsonl of a run, as far as they decide what a step saw. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/ini.h"
#include "base/json.h"
#include "base/limits.h"
#include "tools/inspect/run_config.h"
#include "tools/train/train_verbs.h"

#define CONFIG_MAX  (4 * VLM_MIB)
#define METRICS_MAX (4 * VLM_GIB)

/* Sections of the recipe that say what is read, and how it counts. */
static bool is_of_recipe(const char *section)
{
    static const char *const sections[] = { "system", "data",  "encoder",  "bridge",
                                            "embed",  "trunk", "objective" };
    for (size_t i = 0; i < VLM_COUNTOF(sections); i++)
        if (!strcmp(section, sections[i]))
            return true;
    return false;
}

static const char *keep(struct vlm_run_config *config, char *text)
{
    if (!text || config->n_text == VLM_RUN_SETTINGS_MAX) {
        free(text);
        return NULL;
    }
    return config->text[config->n_text++] = text;
}

static int no_room(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ELIMIT, "more lines than a run has");
}

static int take_number(int64_t *to, const struct vlm_ini_entry *entry, struct vlm_err *err)
{
    char *end;
    errno = 0;
    *to = strtoll(entry->value, &end, 10);
    return errno || *end || end == entry->value || *to < 0
               ? vlm_fail(err, VLM_EUSAGE, "%s = %s is no number", entry->key, entry->value)
               : VLM_OK;
}

/* Keys of options; others make no difference to what is read. */
static int take_option(struct vlm_run_config *config, const struct vlm_ini_entry *entry,
                       struct vlm_err *err)
{
    struct vlm_train_run_options *options = &config->options;
    const struct {
        const char *key;
        const char **text;
        int64_t *number;
    } keys[] = {
        { "recipe", &options->recipe, NULL },
        { "preset", &options->preset, NULL },
        { "tokenizer", &options->tokenizer, NULL },
        { "init-from", &options->init_from, NULL },
        { "n-layer", NULL, &options->layers },
        { "n-embd", NULL, &options->width },
        { "n-head", NULL, &options->heads },
        { "n-kv-head", NULL, &options->kv_heads },
        { "n-hidden", NULL, &options->hidden },
        { "block-size", NULL, &options->block },
        { "batch-size", NULL, &options->batch },
        { "gradient-accumulation-steps", NULL, &options->accumulation },
    };
    int64_t seed;
    if (!strcmp(entry->key, "data") && config->sources)
        return vlm_fail(err, VLM_EUSAGE, "'data' stands there twice");
    if (!strcmp(entry->key, "data"))
        return vlm_train_sources(&options->data, &config->sources, entry->value, NULL, 0, err);
    if (!strcmp(entry->key, "overfit"))
        options->overfit = !strcmp(entry->value, "true");
    if (!strcmp(entry->key, "validation"))
        return vlm_train_share(&options->data.validation_share, entry->key, entry->value, err);
    if (!strcmp(entry->key, "seed")) {
        int rc = take_number(&seed, entry, err);
        options->seed = rc == VLM_OK ? (uint64_t)seed : 0;
        return rc;
    }
    for (size_t i = 0; i < VLM_COUNTOF(keys); i++) {
        if (strcmp(entry->key, keys[i].key))
            continue;
        if (keys[i].number)
            return take_number(keys[i].number, entry, err);
        return (*keys[i].text = keep(config, strdup(entry->value))) ? VLM_OK : no_room(err);
    }
    return VLM_OK;
}

static int take(void *context, const struct vlm_ini_entry *entry, struct vlm_err *err)
{
    struct vlm_run_config *config = context;
    if (!entry->key)
        return VLM_OK;
    if (!strcmp(entry->section, "train"))
        return take_option(config, entry, err);
    if (!is_of_recipe(entry->section))
        return VLM_OK;
    struct vlm_buffer line = { 0 };
    vlm_buffer_printf(&line, "%s.%s=%s", entry->section, entry->key, entry->value);
    vlm_buffer_byte(&line, 0);
    const char *kept = keep(config, line.failed ? NULL : strdup((const char *)line.data));
    vlm_buffer_release(&line);
    if (!kept)
        return no_room(err);
    config->settings[config->options.n_settings++] = kept;
    return VLM_OK;
}

int vlm_run_config_read(struct vlm_run_config *config, const char *folder, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    char *path = vlm_path_join(folder, "config.resolved.ini");
    *config = (struct vlm_run_config){ .folder = folder };
    config->options.warmup = -1;
    config->options.output = folder;
    config->options.settings = config->settings;
    config->options.memory = UINT64_MAX; /* nothing is trained here */
    int rc = vlm_file_read(&text, path, CONFIG_MAX, err);
    if (rc < 0)
        rc = vlm_wrap(err, "'%s' is no training run", folder);
    else
        rc = vlm_ini_read(path, (const char *)text.data, text.size, take, config, err);
    if (rc == VLM_OK && !config->options.data.n)
        rc = vlm_fail(err, VLM_EUSAGE, "'%s' names no data", path);
    vlm_buffer_release(&text);
    free(path);
    return rc;
}

void vlm_run_config_release(struct vlm_run_config *config)
{
    for (size_t i = 0; i < config->n_text; i++)
        free(config->text[i]);
    config->n_text = 0;
    free(config->sources);
    config->sources = NULL;
}

/* metrics.jsonl ----------------------------------------------------------------------------------------- */

static uint64_t number_of(json_object *value)
{
    const int64_t number = json_object_get_int64(value);
    return number > 0 ? (uint64_t)number : 0;
}

/* {"documents": [drawn of each source], "sample": N}. False: it is none. */
static bool read_place(struct vlm_place *place, json_object *value, size_t sources)
{
    json_object *documents = json_object_object_get(value, "documents");
    if (!json_object_is_type(value, json_type_object) ||
        !json_object_is_type(documents, json_type_array) ||
        json_object_array_length(documents) != sources)
        return false;
    *place = (struct vlm_place){ .sample = number_of(json_object_object_get(value, "sample")) };
    for (size_t i = 0; i < sources; i++)
        place->cursor.drawn[i] = number_of(json_object_array_get_idx(documents, i));
    return true;
}

/* Takes one line into account. */
static int read_line(struct vlm_run_step *found, uint64_t *last, const char *text, size_t n,
                     uint64_t step, size_t sources, struct vlm_err *err)
{
    json_object *line = NULL, *event;
    struct vlm_place place;
    int rc = vlm_json_parse(&line, text, n, err);
    if (rc < 0)
        return rc;
    if (json_object_object_get_ex(line, "event", &event)) {
        const char *word = json_object_get_string(event);
        found->rolled_back |= word && !strcmp(word, "roll-back");
    } else {
        const uint64_t number = number_of(json_object_object_get(line, "step"));
        if (!read_place(&place, json_object_object_get(line, "place"), sources))
            rc = vlm_fail(err, VLM_EFORMAT, "the place of step %" PRIu64 " is not one of %zu sets",
                          number, sources);
        *last = number;
        if (rc == VLM_OK && (!step || number <= step)) {
            found->step = number;
            found->place = place;
        }
    }
    json_object_put(line);
    return rc;
}

int vlm_run_place(struct vlm_run_step *found, const struct vlm_run_config *config, uint64_t step,
                  struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    char *path = vlm_path_join(config->folder, "metrics.jsonl");
    uint64_t last = 0, number = 0;
    *found = (struct vlm_run_step){ .step = 1 }; /* the first begins at the beginning */
    int rc = vlm_file_read(&text, path, METRICS_MAX, err);
    const char *at = (const char *)text.data, *end = at ? at + text.size : NULL;
    for (const char *stop; rc == VLM_OK && at < end; at = stop + 1) {
        stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) /* a run is writing it */
            break;
        number++;
        rc = read_line(found, &last, at, (size_t)(stop - at), step, config->options.data.n, err);
        if (rc < 0)
            rc = vlm_wrap(err, "'%s', line %" PRIu64, path, number);
    }
    if (rc == VLM_OK && !last)
        rc = vlm_fail(err, VLM_EFAIL, "'%s' has no step yet", path);
    else if (rc == VLM_OK && step > last)
        rc = vlm_fail(err, VLM_EFAIL, "'%s' ends at step %" PRIu64, path, last);
    vlm_buffer_release(&text);
    free(path);
    return rc;
}
