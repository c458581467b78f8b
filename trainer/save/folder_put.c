/* folder_put.c - a folder takes the name of another one, which goes.
 *
 * Linux can exchange two names at once (renameat2(2) with RENAME_EXCHANGE). Some file systems cannot: there the
 * old folder first steps aside to "NAME.swap.tmp", then the new one takes its name. A crash between these two
 * leaves NAME absent, and NAME.tmp whole; vlm_folder_put_finish() knows that state by NAME.swap.tmp. */
#include "base/vlm.h"

#include "trainer/save/checkpoint_internal.h"

#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int vlm_anything_delete(const char *path, struct vlm_err *err)
{
    struct stat about;
    if (lstat(path, &about) < 0)
        return errno == ENOENT ? VLM_OK : vlm_fail_errno(err, errno, "cannot delete '%s'", path);
    if (S_ISDIR(about.st_mode))
        return vlm_folder_delete(path, err);
    return unlink(path) < 0 && errno != ENOENT
               ? vlm_fail_errno(err, errno, "cannot delete '%s'", path)
               : VLM_OK;
}

static bool is_there(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

static char *with_suffix(const char *path, const char *suffix)
{
    size_t size = strlen(path) + strlen(suffix) + 1;
    char *name = malloc(size);
    VLM_BUG_IF(!name);
    snprintf(name, size, "%s%s", path, suffix);
    return name;
}

static int move(const char *from, const char *path, struct vlm_err *err)
{
    if (rename(from, path) < 0)
        return vlm_fail_errno(err, errno, "cannot rename '%s' to '%s'", from, path);
    return VLM_OK;
}

/* The old folder, if there was one, is afterwards called *old. */
static int take_name(const char *from, const char *path, const char *swap, const char **old,
                     struct vlm_err *err)
{
    *old = NULL;
    if (!is_there(path))
        return move(from, path, err);
    if (renameat2(AT_FDCWD, from, AT_FDCWD, path, RENAME_EXCHANGE) == 0) {
        *old = from;
        return VLM_OK;
    }
    if (errno != EINVAL && errno != ENOSYS)
        return vlm_fail_errno(err, errno, "cannot exchange '%s' for '%s'", path, from);
    int rc = move(path, swap, err);
    if (rc != VLM_OK)
        return rc;
    *old = swap;
    rc = move(from, path, err);
    /* Back, so that the caller can delete `from` and nothing is lost. */
    if (rc != VLM_OK && rename(swap, path) < 0)
        vlm_append(err, ", and the folder that was there waits for the next start");
    return rc;
}

int vlm_folder_put(const char *from, const char *path, struct vlm_err *err)
{
    char *swap = with_suffix(path, VLM_SWAP);
    const char *old = NULL;
    int rc = vlm_anything_delete(swap, err);
    if (rc == VLM_OK)
        rc = take_name(from, path, swap, &old, err);
    if (rc == VLM_OK)
        rc = vlm_folder_sync_of(path, err);
    if (rc == VLM_OK && old)
        rc = vlm_anything_delete(old, err);
    free(swap);
    return rc;
}

int vlm_folder_put_finish(const char *path, struct vlm_err *err)
{
    char *from = with_suffix(path, VLM_TEMPORARY), *swap = with_suffix(path, VLM_SWAP);
    int rc = VLM_OK;
    if (is_there(swap) && !is_there(path)) {
        rc = move(is_there(from) ? from : swap, path, err);
        if (rc == VLM_OK)
            rc = vlm_folder_sync_of(path, err);
    }
    free(swap);
    free(from);
    return rc;
}
