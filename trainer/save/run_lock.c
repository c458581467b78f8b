/* run_lock.c - one process a run folder, and the traces of a dead one.
 *
 * The lock is flock(2) on RUN/.lock, which the system takes back when the process is gone, however it went. So
 * what is called "*.tmp" while the lock is held is nobody's. The number in the file is for the sentence only. */
#include "base/vlm.h"

#include "trainer/save/checkpoint_internal.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

enum { NUMBER_SIZE = 32 };

static bool ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);
    return n > k && !strcmp(name + n - k, suffix);
}

/* ---- what a dead run left ---- */

typedef int (*entry_handler)(const char *path, struct vlm_err *err);

/* Calls handle() with the path of each entry that ends in suffix. An absent folder has none. */
static int for_each(const char *folder, const char *suffix, entry_handler handle,
                    struct vlm_err *err)
{
    DIR *list = opendir(folder);
    if (!list)
        return errno == ENOENT ? VLM_OK
                               : vlm_fail_errno(err, errno, "cannot read folder '%s'", folder);
    int rc = VLM_OK;
    struct dirent *entry;
    while (rc == VLM_OK && (errno = 0, entry = readdir(list))) {
        if (!ends_in(entry->d_name, suffix))
            continue;
        char *path = vlm_path_join(folder, entry->d_name);
        rc = handle(path, err);
        free(path);
    }
    if (rc == VLM_OK && errno)
        rc = vlm_fail_errno(err, errno, "cannot read folder '%s'", folder);
    closedir(list);
    return rc;
}

/* path: of a NAME.swap.tmp. */
static int finish_swap(const char *path, struct vlm_err *err)
{
    char *name = strndup(path, strlen(path) - strlen(VLM_SWAP));
    VLM_BUG_IF(!name);
    int rc = vlm_folder_put_finish(name, err);
    free(name);
    return rc;
}

static int clean(const char *run, struct vlm_err *err)
{
    static const char *const below[] = { "", VLM_RUN_CHECKPOINTS, "samples" };
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(below); i++) {
        char *folder = i ? vlm_path_join(run, below[i]) : strdup(run);
        VLM_BUG_IF(!folder);
        rc = for_each(folder, VLM_SWAP, finish_swap, err);
        if (rc == VLM_OK)
            rc = for_each(folder, VLM_TEMPORARY, vlm_anything_delete, err);
        free(folder);
    }
    return rc;
}

/* ---- the lock ---- */

static int refuse(const char *run, int fd, struct vlm_err *err)
{
    char text[NUMBER_SIZE] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        return vlm_fail(err, VLM_EFAIL, "'%s' is in use by process %ld", run, pid);
    return vlm_fail(err, VLM_EFAIL, "'%s' is in use by another process", run);
}

/* On a full disk the sentence has no number, and that is all. */
static void write_number(int fd, const char *path)
{
    char text[NUMBER_SIZE];
    struct vlm_err ignored;
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && vlm_write_all(fd, text, (size_t)n, path, &ignored) != VLM_OK)
        return;
}

int vlm_run_lock(const char *run, int *lock, struct vlm_err *err)
{
    *lock = -1;
    int rc = vlm_folder_make(run, err);
    if (rc != VLM_OK)
        return rc;
    char *path = vlm_path_join(run, ".lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        rc = vlm_fail_errno(err, errno, "cannot open '%s'", path);
    else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        rc = errno == EWOULDBLOCK ? refuse(run, fd, err)
                                  : vlm_fail_errno(err, errno, "cannot lock '%s'", path);
    else
        rc = clean(run, err);
    if (rc == VLM_OK) {
        write_number(fd, path);
        *lock = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    free(path);
    return rc;
}
