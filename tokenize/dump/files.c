/* files.c - loose files as resource records, one a file, in the order given.
 *
 * The caller has opened them; a range is a range of indices. Files over VLM_WARC_BLOCK_MAX are
 * reported and left out. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "tokenize/dump/dump_internal.h"

#include <sys/stat.h>
#include <unistd.h>

struct vlm_files {
    const int *fd;
    const char *const *name;
    size_t n, at, end;
    uint8_t *block;
    size_t capacity;
    struct vlm_buffer uri;
};

const char *vlm_file_uri(struct vlm_buffer *buffer, const char *path)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~/!$&'()*+,;=:@";
    for (;;) {
        if (*path == '/')
            path++;
        else if (!strncmp(path, "./", 2))
            path += 2;
        else if (!strncmp(path, "../", 3))
            path += 3;
        else
            break;
    }
    vlm_buffer_reset(buffer);
    vlm_buffer_text(buffer, "file:///");
    for (; *path; path++) {
        uint8_t byte = (uint8_t)*path;
        if (strchr(plain, byte)) {
            vlm_buffer_byte(buffer, byte);
        } else {
            vlm_buffer_byte(buffer, '%');
            vlm_buffer_byte(buffer, (uint8_t)hex[byte >> 4]);
            vlm_buffer_byte(buffer, (uint8_t)hex[byte & 15]);
        }
    }
    vlm_buffer_byte(buffer, 0);
    return buffer->failed ? NULL : (const char *)buffer->data;
}

int vlm_files_open(struct vlm_files **out, const struct vlm_dump_input *in, struct vlm_err *err)
{
    struct vlm_files *files = calloc(1, sizeof(*files));
    if (!files)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu files", in->n_files);
    files->fd = in->files;
    files->name = in->file_names;
    files->n = in->n_files;
    files->at = in->begin < in->n_files ? (size_t)in->begin : in->n_files;
    files->end = in->end && in->end < in->n_files ? (size_t)in->end : in->n_files;
    *out = files;
    return VLM_OK;
}

static int read_file(struct vlm_files *files, int fd, const char *name, size_t size, size_t *got,
                     struct vlm_err *err)
{
    if (files->capacity < size + 1) {
        uint8_t *block = realloc(files->block, size + 1);
        if (!block)
            return vlm_fail(err, VLM_ENOMEM, "%s: no memory for %zu bytes", name, size);
        files->block = block;
        files->capacity = size + 1;
    }
    *got = 0;
    while (*got < size) { /* a file that shrinks meanwhile just ends earlier */
        ssize_t n = pread(fd, files->block + *got, size - *got, (off_t)*got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vlm_fail_errno(err, errno, "%s: cannot read", name);
        if (!n)
            break;
        *got += (size_t)n;
    }
    return VLM_OK;
}

int vlm_files_next(struct vlm_files *files, struct vlm_record *record, struct vlm_err *err)
{
    struct stat st;
    if (files->at >= files->end)
        return VLM_EOF;
    size_t i = files->at++;
    memset(record, 0, sizeof(*record));
    record->type = VLM_RECORD_RESOURCE;
    record->offset = i;
    if (fstat(files->fd[i], &st) < 0)
        return vlm_fail_errno(err, errno, "%s: cannot read", files->name[i]);
    record->length = (uint64_t)st.st_size;
    if (record->length > VLM_WARC_BLOCK_MAX) {
        record->error = VLM_DAMAGE_TOO_LARGE;
        return VLM_SKIP;
    }
    size_t got = 0;
    int rc = read_file(files, files->fd[i], files->name[i], (size_t)st.st_size, &got, err);
    if (rc < 0)
        return rc;
    record->uri = vlm_file_uri(&files->uri, files->name[i]);
    if (!record->uri)
        return vlm_fail(err, VLM_ENOMEM, "%s: no memory for its name", files->name[i]);
    record->block = files->block;
    record->block_length = got;
    return VLM_OK;
}

uint64_t vlm_files_position(const struct vlm_files *files)
{
    return files->at;
}

void vlm_files_close(struct vlm_files *files)
{
    if (!files)
        return;
    vlm_buffer_release(&files->uri);
    free(files->block);
    free(files);
}
