/* safetensors_read.c - opens files, finds tensors, reads values.
 *
 * The size of a file is taken once, when it is opened, and everything is measured against it.
 * Values come through pread() in pieces of PIECE, with no memory but a piece on the stack. Behind
 * each tensor the file is looked at again: when its size or its time of change is another, what was
 * read may be half of one file and half of the next, and is refused. (A file that is replaced by
 * rename, as we write ours, stays readable whole.) */
#include "base/vlm.h"

#include "nn/safetensors_internal.h"

#include "base/bytes.h"
#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

enum { PIECE = 4096 }; /* values */

/* What people take for safetensors by mistake; known by the first bytes, of which a header's size
 * would be far beyond any file. */
static const struct {
    const char *begin, *what;
} strangers[] = {
    { "PK\3\4", "a zip archive (of PyTorch?)" },
    { "\x80\2", "a Python pickle" },
    { "GGUF", "a GGUF file" },
    { "version ", "a Git LFS pointer, not what it points to" },
};

static int fail_size(const struct vlm_safetensors_part *part, const uint8_t *begin, uint64_t size,
                     struct vlm_err *err)
{
    for (size_t i = 0; i < VLM_COUNTOF(strangers); i++)
        if (!memcmp(begin, strangers[i].begin, strlen(strangers[i].begin)))
            return vlm_fail(err, VLM_EFORMAT, "no safetensors file but %s", strangers[i].what);
    return vlm_fail(err, VLM_EFORMAT,
                    "a header of %" PRIu64 " bytes does not fit into a file of %" PRIu64, size,
                    part->size);
}

static int read_header(struct vlm_safetensors_part *part, struct vlm_err *err)
{
    uint8_t begin[8];
    if (part->size < sizeof(begin))
        return vlm_fail(err, VLM_EFORMAT, "%" PRIu64 " bytes are too few for a safetensors file",
                        part->size);
    int rc = vlm_pread_all(part->fd, begin, sizeof(begin), 0, part->path, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_bytes in = { begin, begin + sizeof(begin), false };
    uint64_t size = vlm_bytes_u64(&in);
    if (size > part->size - sizeof(begin))
        return fail_size(part, begin, size, err);
    if (size > VLM_SAFETENSORS_HEADER_MAX)
        return vlm_fail(err, VLM_ELIMIT, "a header of %" PRIu64 " bytes is over the limit of %zu",
                        size, VLM_SAFETENSORS_HEADER_MAX);
    part->data = sizeof(begin) + size;
    part->header_size = (size_t)size;
    part->header = malloc(part->header_size + 1);
    if (!part->header)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a header of %zu bytes", part->header_size);
    return vlm_pread_all(part->fd, part->header, part->header_size, sizeof(begin), part->path, err);
}

static int open_part(struct vlm_safetensors_part *part, struct vlm_err *err)
{
    struct stat about;
    if (part->fd < 0) {
        do
            part->fd =
                open(part->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not stop us */
        while (part->fd < 0 && errno == EINTR);
        if (part->fd < 0)
            return vlm_fail_errno(err, errno, "cannot open it");
    }
    if (fstat(part->fd, &about) < 0)
        return vlm_fail_errno(err, errno, "cannot look at it");
    if (!S_ISREG(about.st_mode))
        return vlm_fail(err, VLM_EFORMAT, "not a regular file");
    part->size = (uint64_t)about.st_size;
    part->modified = about.st_mtim;
    return read_header(part, err);
}

int vlm_safetensors_add_part(struct vlm_safetensors *file, int fd, const char *path,
                             struct vlm_err *err)
{
    struct vlm_safetensors_part *parts =
        realloc(file->parts, (file->n_parts + 1) * sizeof(*file->parts));
    char *name = strdup(path);
    if (parts)
        file->parts = parts;
    if (!parts || !name) {
        free(name);
        if (fd >= 0)
            close(fd);
        return vlm_fail(err, VLM_ENOMEM, "no memory to open '%s'", path);
    }
    struct vlm_safetensors_part *part = &file->parts[file->n_parts++];
    *part = (struct vlm_safetensors_part){ .path = name, .fd = fd };
    int rc = open_part(part, err);
    if (rc == VLM_OK)
        rc = vlm_safetensors_parse(file, err);
    return rc == VLM_OK ? rc : vlm_wrap(err, "'%s'", path);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !memcmp(text + n - m, end, m);
}

static int open_any(struct vlm_safetensors **out, int fd, const char *path, bool is_index,
                    struct vlm_err *err)
{
    struct vlm_safetensors *file = calloc(1, sizeof(*file));
    struct vlm_err ignored = { 0 }; /* vlm_wrap() reads what was written */
    err = err ? err : &ignored;
    *out = NULL;
    if (!file) {
        if (fd >= 0)
            close(fd);
        return vlm_fail(err, VLM_ENOMEM, "no memory to open '%s'", path);
    }
    int rc = is_index ? vlm_safetensors_read_index(file, path, err)
                      : vlm_safetensors_add_part(file, fd, path, err);
    if (rc == VLM_OK && !is_index)
        rc = vlm_safetensors_settle(file, err);
    if (rc == VLM_OK)
        *out = file;
    else
        vlm_safetensors_close(file);
    return rc;
}

int vlm_safetensors_open(struct vlm_safetensors **out, const char *path, struct vlm_err *err)
{
    return open_any(out, -1, path, ends_with(path, ".index.json"), err);
}

int vlm_safetensors_open_fd(struct vlm_safetensors **out, int fd, const char *name,
                            struct vlm_err *err)
{
    VLM_BUG_IF(fd < 0);
    return open_any(out, fd, name, false, err);
}

void vlm_safetensors_close(struct vlm_safetensors *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->n_parts; i++) {
        if (file->parts[i].fd >= 0)
            close(file->parts[i].fd);
        free(file->parts[i].path);
        free(file->parts[i].header);
    }
    free(file->parts);
    free(file->entries);
    free(file->by_name);
    free(file->metadata);
    free(file);
}

size_t vlm_safetensors_count(const struct vlm_safetensors *file)
{
    return file->count;
}

const struct vlm_safetensors_entry *vlm_safetensors_at(const struct vlm_safetensors *file,
                                                       size_t number)
{
    VLM_BUG_IF(number >= file->count);
    return &file->entries[number];
}

const struct vlm_safetensors_entry *vlm_safetensors_find(const struct vlm_safetensors *file,
                                                         const char *name)
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->by_name[middle]->name);
        if (order == 0)
            return file->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

size_t vlm_safetensors_metadata_count(const struct vlm_safetensors *file)
{
    return file->n_metadata;
}

struct vlm_safetensors_pair vlm_safetensors_metadata_at(const struct vlm_safetensors *file,
                                                        size_t number)
{
    VLM_BUG_IF(number >= file->n_metadata);
    return file->metadata[number];
}

const char *vlm_safetensors_metadata_find(const struct vlm_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->n_metadata; i++)
        if (!strcmp(file->metadata[i].key, key))
            return file->metadata[i].value;
    return NULL;
}

/* Values --------------------------------------------------------------------------------------- */

static int check_unchanged(const struct vlm_safetensors_part *part, struct vlm_err *err)
{
    struct stat about;
    if (fstat(part->fd, &about) < 0)
        return vlm_fail_errno(err, errno, "cannot look at '%s'", part->path);
    if ((uint64_t)about.st_size != part->size || about.st_mtim.tv_sec != part->modified.tv_sec ||
        about.st_mtim.tv_nsec != part->modified.tv_nsec)
        return vlm_fail(err, VLM_EFAIL, "'%s' was changed while it was read", part->path);
    return VLM_OK;
}

int vlm_safetensors_read_raw(const struct vlm_safetensors *file,
                             const struct vlm_safetensors_entry *entry, void *to,
                             struct vlm_err *err)
{
    const struct vlm_safetensors_part *part = &file->parts[entry->part];
    int rc = vlm_pread_all(part->fd, to, (size_t)entry->bytes, entry->begin, part->path, err);
    if (rc == VLM_OK)
        return check_unchanged(part, err);
    return err ? vlm_wrap(err, "tensor '%s'", vlm_safetensors_quote(entry->name).text) : rc;
}

int vlm_safetensors_stream(const struct vlm_safetensors *file,
                           const struct vlm_safetensors_entry *entry, float *to, unsigned flags,
                           struct vlm_err *err)
{
    const struct vlm_safetensors_part *part = &file->parts[entry->part];
    size_t size = vlm_safetensors_dtype_size(entry->dtype);
    double piece[PIECE]; /* the widest dtype, and aligned for all */
    float floats[PIECE];
    for (size_t done = 0, n; done < entry->count; done += n) {
        n = VLM_MIN(entry->count - done, (size_t)PIECE);
        float *values = floats;
        void *raw = piece;
        if (to)
            values = to + done;
        if (entry->dtype == VLM_SAFETENSORS_F32)
            raw = values; /* nothing to convert */
        int rc = vlm_pread_all(part->fd, raw, n * size, entry->begin + (uint64_t)done * size,
                               part->path, err);
        if (rc != VLM_OK)
            return err ? vlm_wrap(err, "tensor '%s'", vlm_safetensors_quote(entry->name).text) : rc;
        vlm_safetensors_to_f32(values, raw, entry->dtype, n);
        if (!(flags & VLM_SAFETENSORS_FINITE))
            continue;
        size_t bad = vlm_safetensors_first_nonfinite(values, n);
        if (bad < n)
            return vlm_safetensors_fail_nonfinite(entry->name, entry->dtype, done + bad,
                                                  values[bad], err);
    }
    return check_unchanged(part, err);
}

int vlm_safetensors_read_f32(const struct vlm_safetensors *file,
                             const struct vlm_safetensors_entry *entry, float *to, unsigned flags,
                             struct vlm_err *err)
{
    if (!vlm_safetensors_is_float(entry->dtype))
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is of %s, not of floating-point numbers",
                        vlm_safetensors_quote(entry->name).text,
                        vlm_safetensors_dtype_name(entry->dtype));
    VLM_BUG_IF(!to && entry->count);
    return vlm_safetensors_stream(file, entry, to, flags, err);
}
