/* model_put.c - RUN/model: the model folder of the newest checkpoint, made of links to its files, so that it
 * costs nothing and is always whole. Where files cannot be linked they are copied.
 *
 * A link shares the bytes with the checkpoint's file: both are written once and never changed. */
#include "base/vlm.h"

#include "trainer/save/checkpoint_internal.h"

#include "base/file.h"
#include "base/limits.h"

#include <sys/stat.h>
#include <unistd.h>

static int link_or_copy(const char *from, const char *to, struct vlm_err *err)
{
    if (link(from, to) == 0)
        return VLM_OK;
    if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != EOPNOTSUPP &&
        errno != ENOSYS)
        return vlm_fail_errno(err, errno, "cannot link '%s' to '%s'", to, from);
    return vlm_file_copy(to, from, err);
}

/* name: path below both folders. Folders in it are made. */
static int put_file(const char *from, const char *to, const char *name, struct vlm_err *err)
{
    char *source = vlm_path_join(from, name), *target = vlm_path_join(to, name);
    char *slash = strrchr(target, '/');
    *slash = 0;
    int rc = vlm_folder_make(target, err);
    *slash = '/';
    if (rc == VLM_OK)
        rc = link_or_copy(source, target, err);
    free(target);
    free(source);
    return rc;
}

/* The folders in which the files stand, each once for every file in it: there are few. */
static int sync_folders(const char *folder, const struct vlm_sums *sums, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < sums->n; i++) {
        char *path = vlm_path_join(folder, sums->list[i].name);
        bool nested = strchr(sums->list[i].name, '/');
        *strrchr(path, '/') = 0;
        if (nested)
            rc = vlm_folder_sync(path, err);
        free(path);
    }
    return rc == VLM_OK ? vlm_folder_sync(folder, err) : rc;
}

static int fill(const char *folder, const char *checkpoint, const struct vlm_sums *sums,
                const struct vlm_buffer *text, struct vlm_err *err)
{
    int rc = vlm_anything_delete(folder, err);
    if (rc == VLM_OK)
        rc = vlm_folder_make(folder, err);
    for (size_t i = 0; rc == VLM_OK && i < sums->n; i++)
        if (vlm_sums_is_model(sums->list[i].name))
            rc = put_file(checkpoint, folder, sums->list[i].name, err);
    if (rc != VLM_OK)
        return rc;
    char *path = vlm_path_join(folder, VLM_CHECKPOINT_SUMS);
    rc = vlm_file_write(path, text->data, text->size, err);
    free(path);
    return rc == VLM_OK ? sync_folders(folder, sums, err) : rc;
}

/* Files that somebody deleted or cut are noticed by their size; their bytes are not read again. */
static bool has_files(const char *folder, const char *checkpoint, const struct vlm_sums *sums)
{
    bool same = true;
    for (size_t i = 0; same && i < sums->n; i++) {
        struct stat a, b;
        char *there = vlm_path_join(folder, sums->list[i].name);
        char *here = vlm_path_join(checkpoint, sums->list[i].name);
        if (vlm_sums_is_model(sums->list[i].name))
            same = !stat(there, &a) && !stat(here, &b) && a.st_size == b.st_size;
        free(here);
        free(there);
    }
    return same;
}

/* Whether the folder was made of this checkpoint, or of one with the same bytes. */
static bool is_that(const char *folder, const struct vlm_buffer *text)
{
    struct vlm_buffer there = { 0 };
    struct vlm_err ignored;
    char *path = vlm_path_join(folder, VLM_CHECKPOINT_SUMS);
    bool same = vlm_file_read(&there, path, VLM_MIB, &ignored) == VLM_OK &&
                there.size == text->size && !memcmp(there.data, text->data, text->size);
    vlm_buffer_release(&there);
    free(path);
    return same;
}

int vlm_model_put(const char *run, const char *checkpoint, const struct vlm_sums *sums,
                  struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    char *folder = vlm_path_join(run, VLM_RUN_MODEL);
    char *temporary = vlm_path_join(run, VLM_RUN_MODEL VLM_TEMPORARY);
    int rc = VLM_OK;
    vlm_sums_write(&text, sums, VLM_SUMS_MODEL);
    if (text.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the checksums of '%s'", folder);
    if (rc == VLM_OK && !(is_that(folder, &text) && has_files(folder, checkpoint, sums))) {
        rc = fill(temporary, checkpoint, sums, &text, err);
        if (rc == VLM_OK)
            rc = vlm_folder_put(temporary, folder, err);
        if (rc != VLM_OK) {
            struct vlm_err ignored;
            if (vlm_anything_delete(temporary, &ignored) != VLM_OK)
                vlm_append(err, ", and what was written of it could not be deleted");
        }
    }
    vlm_buffer_release(&text);
    free(temporary);
    free(folder);
    return rc;
}
