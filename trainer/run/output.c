/* output.c - whether a folder may become that of a run: nobody's files are replaced, no shard set is grown into. */
#include "base/vlm.h"

#include "trainer/run/run_internal.h"

#include <dirent.h>

static const char temporary[] = ".tmp";

/* What a run replaces, or removes as left over from a crash. */
static bool is_in_the_way(const char *name)
{
    static const char *const ours[] = { "config.resolved.ini", "metrics.jsonl", "perf.jsonl",
                                        "samples", "model" };
    const size_t n = strlen(name), ending = strlen(temporary);
    for (size_t i = 0; i < VLM_COUNTOF(ours); i++)
        if (!strcmp(name, ours[i]))
            return true;
    return n > ending && !strcmp(name + n - ending, temporary);
}

/* A folder with a lock or checkpoints is a run's, however it ended. */
static int check_files(const char *run, struct vlm_err *err)
{
    char *found = NULL;
    bool is_run = false;
    DIR *folder = opendir(run);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        is_run = is_run || !strcmp(entry->d_name, ".lock") || !strcmp(entry->d_name, "checkpoints");
        if (!found && is_in_the_way(entry->d_name))
            found = strdup(entry->d_name);
    }
    if (folder)
        closedir(folder);
    int rc = found && !is_run ? vlm_fail(err, VLM_EUSAGE,
                                         "'%s' holds no run, but has '%s', which a run would "
                                         "replace: choose another --output",
                                         run, found)
                              : VLM_OK;
    free(found);
    return rc;
}

/* The real path of a folder, or of the nearest one above it that exists. To be freed; NULL: there is none. */
static char *real_path(const char *path)
{
    char *above = strdup(path), *real = NULL;
    size_t n = above ? strlen(above) : 0;
    while (n && !(real = realpath(above, NULL))) {
        while (n && above[n - 1] == '/')
            n--;
        while (n && above[n - 1] != '/')
            n--;
        above[n] = 0;
    }
    free(above);
    return real ? real : realpath(".", NULL);
}

static int check_set(const char *run, const char *real, const char *set, struct vlm_err *err)
{
    char *folder = realpath(set, NULL);
    const size_t n = folder ? strlen(folder) : 0;
    const bool inside = n && !strncmp(real, folder, n) && (!real[n] || real[n] == '/');
    free(folder);
    return inside
               ? vlm_fail(err, VLM_EUSAGE,
                          "output '%s' is in the shard set '%s': choose another --output", run, set)
               : VLM_OK;
}

int vlm_train_output_check(const struct vlm_train_run_options *options, struct vlm_err *err)
{
    char *real = real_path(options->output);
    int rc = VLM_OK;
    for (size_t i = 0; real && rc == VLM_OK && i < options->data.n; i++)
        rc = check_set(options->output, real, options->data.folder[i], err);
    free(real);
    return rc == VLM_OK ? check_files(options->output, err) : rc;
}
