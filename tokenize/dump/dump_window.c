/* dump_window.c - bytes of a file at any offset through one buffer.
 *
 * Reads ahead with pread, or with read on a pipe, where going back is only possible inside the
 * buffer. The buffer grows to twice the largest request, so that moving the unread rest to its
 * front costs little. It knows nothing of what the bytes mean. */
#include "base/vlm.h"

#include "tokenize/dump/dump_internal.h"

#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW_MIN = 2 << 20 };

static int grow(struct vlm_window *window, size_t capacity, struct vlm_err *err)
{
    uint8_t *data = realloc(window->data, capacity);
    if (!data)
        return vlm_fail(err, VLM_ENOMEM, "%s: no memory for a window of %zu bytes", window->name,
                        capacity);
    window->data = data;
    window->capacity = capacity;
    return VLM_OK;
}

/* One read into the free end of the buffer. */
static int fill(struct vlm_window *window, struct vlm_err *err)
{
    uint8_t *to = window->data + window->size;
    size_t room = window->capacity - window->size;
    ssize_t got = 0;
    do {
        if (!window->pipe) {
            got = pread(window->fd, to, room, (off_t)(window->offset + window->size));
            if (got < 0 && errno == ESPIPE && window->offset + window->size == 0)
                window->pipe = true;
        }
        if (window->source)
            got = (ssize_t)window->source(window->context, to, room);
        else if (window->pipe)
            got = read(window->fd, to, room);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return vlm_fail_errno(err, errno, "%s: cannot read at byte %" PRIu64, window->name,
                              window->offset + window->size);
    window->size += (size_t)got;
    window->ended = got == 0;
    return VLM_OK;
}

/* Makes the buffer begin at offset, which lies outside it. */
static int move_to(struct vlm_window *window, uint64_t offset, struct vlm_err *err)
{
    if (!window->pipe) {
        window->offset = offset;
        window->size = 0;
        window->ended = false;
        return VLM_OK;
    }
    if (offset < window->offset)
        return vlm_fail(err, VLM_EFAIL, "%s: cannot go back to byte %" PRIu64 " of a pipe",
                        window->name, offset);
    while (!window->ended && offset > window->offset + window->size) {
        window->offset += window->size;
        window->size = 0;
        int rc = fill(window, err);
        if (rc < 0)
            return rc;
    }
    return VLM_OK;
}

static void view_memory(const struct vlm_window *window, uint64_t offset, struct vlm_view *view)
{
    size_t at = offset < window->memory_size ? (size_t)offset : window->memory_size;
    view->bytes = window->memory + at;
    view->n = window->memory_size - at;
}

int vlm_window_need(struct vlm_window *window, uint64_t offset, size_t n, struct vlm_view *view,
                    struct vlm_err *err)
{
    int rc = VLM_OK;
    if (window->memory) {
        view_memory(window, offset, view);
        return VLM_OK;
    }
    size_t least = n < WINDOW_MIN / 4 ? WINDOW_MIN : n > SIZE_MAX / 2 ? n : 2 * n;
    if (window->capacity < n || !window->data)
        rc = grow(window, least, err);
    if (rc == VLM_OK && (offset < window->offset || offset > window->offset + window->size))
        rc = move_to(window, offset, err);
    if (rc < 0)
        return rc;
    if (offset > window->offset + window->size) { /* behind the end of a pipe */
        *view = (struct vlm_view){ window->data, 0 };
        return VLM_OK;
    }
    size_t skip = (size_t)(offset - window->offset);
    if (window->size - skip < n && skip && skip + n > window->capacity) {
        memmove(window->data, window->data + skip, window->size - skip);
        window->offset = offset;
        window->size -= skip;
        skip = 0;
    }
    while (window->size - skip < n && !window->ended) {
        rc = fill(window, err);
        if (rc < 0)
            return rc;
    }
    *view = (struct vlm_view){ window->data + skip, window->size - skip };
    return VLM_OK;
}

uint64_t vlm_window_lowest(const struct vlm_window *window)
{
    return window->pipe ? window->offset : 0;
}

uint64_t vlm_window_file_size(const struct vlm_window *window)
{
    struct stat st;
    if (window->memory)
        return window->memory_size;
    if (window->pipe || fstat(window->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return UINT64_MAX;
    return (uint64_t)st.st_size;
}

void vlm_window_release(struct vlm_window *window)
{
    free(window->data);
    window->data = NULL;
    window->size = window->capacity = 0;
}
