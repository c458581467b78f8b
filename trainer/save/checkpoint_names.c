/* checkpoint_names.c - which checkpoints a run has: folders called step-N. Their number is what counts, never
 * a time stamp. */
#include "base/vlm.h"

#include "trainer/save/checkpoint_internal.h"

#include "base/array.h"
#include "base/file.h"

#include <dirent.h>

enum { NAME_SIZE = 64 };

char *vlm_checkpoint_path(const char *run, uint64_t step, const char *suffix)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof(name), VLM_RUN_CHECKPOINTS "/step-%" PRIu64 "%s", step, suffix);
    return vlm_path_join(run, name);
}

bool vlm_checkpoint_step(uint64_t *step, const char *name)
{
    char same[NAME_SIZE];
    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9')
        return false;
    errno = 0;
    *step = strtoull(name + 5, NULL, 10);
    snprintf(same, sizeof(same), "step-%" PRIu64, *step);
    return !errno && !strcmp(same, name);
}

static int compare_steps(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int vlm_checkpoint_steps(uint64_t **steps, size_t *n, const char *run, struct vlm_err *err)
{
    char *path = vlm_path_join(run, VLM_RUN_CHECKPOINTS);
    size_t capacity = 0;
    int rc = VLM_OK;
    *steps = NULL;
    *n = 0;
    DIR *folder = opendir(path);
    if (!folder && errno != ENOENT)
        rc = vlm_fail_errno(err, errno, "cannot read folder '%s'", path);
    struct dirent *entry;
    while (folder && rc == VLM_OK && (errno = 0, entry = readdir(folder))) {
        uint64_t step;
        if (!vlm_checkpoint_step(&step, entry->d_name))
            continue;
        if (vlm_array_reserve(steps, &capacity, *n, 1, sizeof(**steps)))
            (*steps)[(*n)++] = step;
        else
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu checkpoints", *n + 1);
    }
    if (folder && rc == VLM_OK && errno)
        rc = vlm_fail_errno(err, errno, "cannot read folder '%s'", path);
    if (folder)
        closedir(folder);
    if (*n)
        qsort(*steps, *n, sizeof(**steps), compare_steps);
    free(path);
    return rc;
}
