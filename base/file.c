/* file.c - whole files, atomic files, folders.
 *
 * Every descriptor is closed on exec, every call is repeated after a signal, every sentence names
 * the path. A file gets its final name only after its bytes are on the disk. */
#include "base/vlm.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_STEP = 1 << 16, FOLDER_DEPTH_MAX = 64 };

static int open_retry(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int sync_retry(int fd)
{
    int rc;
    do
        rc = fsync(fd);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* Reads to the end, one byte further than max at most, so that growing files are noticed. */
static int read_to_end(struct vlm_buffer *buffer, int fd, const char *path, size_t max,
                       struct vlm_err *err)
{
    size_t total = 0;
    for (;;) {
        uint8_t *to = vlm_buffer_reserve(buffer, READ_STEP);
        if (!to)
            return vlm_fail(err, VLM_ENOMEM, "no memory for '%s'", path);
        ssize_t n = read(fd, to, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vlm_fail_errno(err, errno, "cannot read '%s'", path);
        if (n == 0)
            return VLM_OK;
        buffer->size += (size_t)n;
        total += (size_t)n;
        if (total > max)
            return vlm_fail(err, VLM_ELIMIT, "'%s' is larger than %zu bytes", path, max);
    }
}

static int read_file(struct vlm_buffer *buffer, const char *path, size_t max, bool only_regular,
                     struct vlm_err *err)
{
    int fd = open_retry(path, O_RDONLY | (only_regular ? O_NONBLOCK : 0), 0);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot open '%s'", path);
    struct stat about;
    int rc = VLM_OK;
    const bool regular = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
    if (only_regular && !regular)
        rc = vlm_fail(err, VLM_EFORMAT, "'%s' is no file", path);
    if (regular) {
        /* Known sizes are reserved at once; the file may still change while it is read. */
        if ((uint64_t)about.st_size > max)
            rc = vlm_fail(err, VLM_ELIMIT, "'%s' has %jd bytes, more than %zu", path,
                          (intmax_t)about.st_size, max);
        else if (!vlm_buffer_reserve(buffer, (size_t)about.st_size + READ_STEP))
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for '%s' of %jd bytes", path,
                          (intmax_t)about.st_size);
    }
    if (rc == VLM_OK)
        rc = read_to_end(buffer, fd, path, max, err);
    close(fd);
    return rc;
}

int vlm_file_read(struct vlm_buffer *buffer, const char *path, size_t max, struct vlm_err *err)
{
    return read_file(buffer, path, max, false, err);
}

int vlm_file_read_regular(struct vlm_buffer *buffer, const char *path, size_t max,
                          struct vlm_err *err)
{
    return read_file(buffer, path, max, true, err);
}

int vlm_write_all(int fd, const void *bytes, size_t n, const char *name, struct vlm_err *err)
{
    const uint8_t *at = bytes;
    while (n) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return vlm_fail_errno(err, errno, "cannot write to '%s'", name);
        at += done;
        n -= (size_t)done;
    }
    return VLM_OK;
}

int vlm_pread_all(int fd, void *bytes, size_t n, uint64_t offset, const char *name,
                  struct vlm_err *err)
{
    uint8_t *at = bytes;
    size_t left = n;
    if (offset > INT64_MAX - n)
        return vlm_fail(err, VLM_EFORMAT, "'%s' has no byte %" PRIu64, name, offset);
    while (left) {
        ssize_t done = pread(fd, at, left, (off_t)(offset + (n - left)));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return vlm_fail_errno(err, errno, "cannot read '%s' at byte %" PRIu64, name, offset);
        if (done == 0)
            return vlm_fail(err, VLM_EFORMAT, "'%s' ends at byte %" PRIu64 ", %zu bytes too early",
                            name, offset + (n - left), left);
        at += done;
        left -= (size_t)done;
    }
    return VLM_OK;
}

int vlm_folder_sync(const char *path, struct vlm_err *err)
{
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot open folder '%s'", path);
    /* Some file systems know no fsync of folders (EINVAL); there is nothing more to do there. */
    int rc = sync_retry(fd) < 0 && errno != EINVAL
                 ? vlm_fail_errno(err, errno, "cannot sync folder '%s'", path)
                 : VLM_OK;
    close(fd);
    return rc;
}

int vlm_folder_sync_of(const char *path, struct vlm_err *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder)
        return vlm_fail(err, VLM_ENOMEM, "no memory to sync the folder of '%s'", path);
    int rc = vlm_folder_sync(folder, err);
    free(folder);
    return rc;
}

int vlm_file_publish(int fd, const char *from, const char *path, struct vlm_err *err)
{
    if (sync_retry(fd) < 0)
        return vlm_fail_errno(err, errno, "cannot sync '%s'", from);
    if (rename(from, path) < 0)
        return vlm_fail_errno(err, errno, "cannot rename '%s' to '%s'", from, path);
    return vlm_folder_sync_of(path, err);
}

/* A device or pipe is written to as it is: a rename would put a file in its place. */
static int write_device(const char *path, vlm_file_writer write, const void *context,
                        struct vlm_err *err)
{
    int fd = open_retry(path, O_WRONLY, 0);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot open '%s'", path);
    int rc = write(fd, path, context, err);
    if (close(fd) < 0 && rc == VLM_OK && errno != EINTR)
        rc = vlm_fail_errno(err, errno, "cannot close '%s'", path);
    return rc;
}

static int write_renamed(const char *path, vlm_file_writer write, const void *context,
                         struct vlm_err *err)
{
    size_t size = strlen(path) + 8;
    char *temporary = malloc(size);
    if (!temporary)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the name of '%s'", path);
    snprintf(temporary, size, "%s.tmp", path);
    int fd = open_retry(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int rc;
    if (fd < 0) {
        rc = vlm_fail_errno(err, errno, "cannot create '%s'", temporary);
    } else {
        rc = write(fd, path, context, err);
        if (rc == VLM_OK)
            rc = vlm_file_publish(fd, temporary, path, err);
        if (close(fd) < 0 && rc == VLM_OK && errno != EINTR)
            rc = vlm_fail_errno(err, errno, "cannot close '%s'", path);
        if (rc != VLM_OK)
            unlink(temporary);
    }
    free(temporary);
    return rc;
}

int vlm_file_write_with(const char *path, vlm_file_writer write, const void *context,
                        struct vlm_err *err)
{
    struct stat about;
    bool there = stat(path, &about) == 0;
    if (there && S_ISDIR(about.st_mode))
        return vlm_fail(err, VLM_EFAIL, "cannot write to '%s': it is a folder", path);
    if (there && !S_ISREG(about.st_mode))
        return write_device(path, write, context, err);
    /* A link stays one, and /dev/stdout is one: what it leads to is replaced. */
    bool link = there && lstat(path, &about) == 0 && S_ISLNK(about.st_mode);
    char *target = link ? realpath(path, NULL) : NULL;
    int rc = write_renamed(target ? target : path, write, context, err);
    free(target);
    return rc;
}

struct whole {
    const void *bytes;
    size_t n;
};

static int write_whole(int fd, const char *path, const void *context, struct vlm_err *err)
{
    const struct whole *whole = context;
    return vlm_write_all(fd, whole->bytes, whole->n, path, err);
}

int vlm_file_write(const char *path, const void *bytes, size_t n, struct vlm_err *err)
{
    return vlm_file_write_with(path, write_whole, &(struct whole){ bytes, n }, err);
}

int vlm_file_check_output(const char *output, const char *input, struct vlm_err *err)
{
    struct stat a, b;
    const bool same = stat(output, &a) == 0 && stat(input, &b) == 0 && a.st_dev == b.st_dev &&
                      a.st_ino == b.st_ino && S_ISREG(a.st_mode);
    return same ? vlm_fail(err, VLM_EUSAGE, "output '%s' is the input '%s'", output, input)
                : VLM_OK;
}

struct copy {
    const char *from;
    int fd;
};

static int write_copy(int to, const char *path, const void *context, struct vlm_err *err)
{
    const struct copy *copy = context;
    char *piece = malloc(READ_STEP);
    int rc = piece ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory to copy '%s'", copy->from);
    while (rc == VLM_OK) {
        ssize_t n = read(copy->fd, piece, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = vlm_fail_errno(err, errno, "cannot read '%s'", copy->from);
        if (n <= 0)
            break;
        rc = vlm_write_all(to, piece, (size_t)n, path, err);
    }
    free(piece);
    return rc;
}

int vlm_file_copy(const char *path, const char *from, struct vlm_err *err)
{
    const struct copy copy = { .from = from, .fd = open_retry(from, O_RDONLY, 0) };
    if (copy.fd < 0)
        return vlm_fail_errno(err, errno, "cannot open '%s'", from);
    int rc = vlm_file_write_with(path, write_copy, &copy, err);
    close(copy.fd);
    return rc;
}

const char *vlm_path_last(const char *path, size_t *n)
{
    size_t end = strlen(path);
    while (end && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin && path[begin - 1] != '/')
        begin--;
    *n = end - begin;
    return path + begin;
}

char *vlm_path_join(const char *folder, const char *name)
{
    size_t n = strlen(folder), size = n + strlen(name) + 2;
    char *path = malloc(size);
    VLM_BUG_IF(!path);
    snprintf(path, size, "%s%s%s", folder, n && folder[n - 1] != '/' ? "/" : "", name);
    return path;
}

static int make_one(const char *path, struct vlm_err *err)
{
    struct stat about;
    if (mkdir(path, 0777) == 0)
        return VLM_OK;
    int number = errno;
    if (stat(path, &about) == 0) {
        if (S_ISDIR(about.st_mode))
            return VLM_OK;
        number = ENOTDIR;
    }
    return vlm_fail_errno(err, number, "cannot make folder '%s'", path);
}

int vlm_folder_make(const char *path, struct vlm_err *err)
{
    char *copy = strdup(path);
    if (!copy)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the name of '%s'", path);
    int rc = VLM_OK;
    for (char *slash = copy + 1; copy[0] && rc == VLM_OK && (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        rc = make_one(copy, err);
        *slash = '/';
    }
    if (rc == VLM_OK)
        rc = make_one(path, err);
    free(copy);
    return rc;
}

/* Deletes what a folder holds, one entry per call of readdir; subfolders are entered by descriptor,
 * so a link is removed and never followed. */
static int delete_below(int fd, const char *path, unsigned depth, struct vlm_err *err)
{
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return vlm_fail_errno(err, errno, "cannot read folder '%s'", path);
    }
    int rc =
        depth ? VLM_OK : vlm_fail(err, VLM_ELIMIT, "folders in '%s' are nested too deep", path);
    struct dirent *entry;
    while (rc == VLM_OK && (errno = 0, entry = readdir(folder))) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, ".."))
            continue;
        if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
            continue;
        /* A folder answers EISDIR, elsewhere than on Linux EPERM. */
        int below = -1;
        if (errno == EISDIR || errno == EPERM)
            below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0) {
            rc = vlm_fail_errno(err, errno, "cannot delete '%s/%s'", path, name);
            break;
        }
        rc = delete_below(below, path, depth - 1, err);
        if (rc == VLM_OK && unlinkat(fd, name, AT_REMOVEDIR) < 0)
            rc = vlm_fail_errno(err, errno, "cannot delete folder '%s/%s'", path, name);
    }
    if (rc == VLM_OK && errno)
        rc = vlm_fail_errno(err, errno, "cannot read folder '%s'", path);
    closedir(folder);
    return rc;
}

int vlm_folder_delete(const char *path, struct vlm_err *err)
{
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return errno == ENOENT ? VLM_OK : vlm_fail_errno(err, errno, "cannot delete '%s'", path);
    int rc = delete_below(fd, path, FOLDER_DEPTH_MAX, err);
    if (rc == VLM_OK && rmdir(path) < 0)
        rc = vlm_fail_errno(err, errno, "cannot delete folder '%s'", path);
    return rc;
}
