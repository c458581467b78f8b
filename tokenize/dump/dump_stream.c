/* dump_stream.c - the decompressed bytes of one member after another, whatever compresses them.
 *
 * A plain file is one member that is never copied: its bytes are the window's. For gzip and zstd
 * the decoder appends to a buffer of which only the unread part is kept. A record may go on in the
 * next member (files cut into members of fixed size), but only when that member does not begin with
 * a record itself. Finding members and headers after damage or in the middle of a file is done here
 * by one and the same search, so that both find the same places. */
#include "base/vlm.h"

#include "tokenize/dump/dump_internal.h"

enum {
    PEEK_OUT = 2 << 10,       /* first bytes of a member that tell whether a record starts there */
    PEEK_IN = 4 << 10,        /* compressed bytes looked at for that */
    PEEK_IN_ZSTD = 136 << 10, /* a block comes out whole or not at all */
    SCAN_STEP = 512 << 10,
    FIND_STEP = 256 << 10,
    MOVE_MIN = 64 << 10,
};

int vlm_stream_room(struct vlm_stream *stream, size_t room, struct vlm_err *err)
{
    if (stream->at && (stream->at == stream->size || stream->size + room > stream->capacity)) {
        memmove(stream->buffer, stream->buffer + stream->at, stream->size - stream->at);
        stream->size -= stream->at;
        stream->at = 0;
    }
    if (stream->size + room > stream->capacity) {
        size_t capacity = VLM_MAX(stream->size + room, 2 * stream->size);
        uint8_t *buffer = realloc(stream->buffer, capacity);
        if (!buffer)
            return vlm_fail(err, VLM_ENOMEM, "%s: no memory for %zu decompressed bytes",
                            stream->window.name, capacity);
        stream->buffer = buffer;
        stream->capacity = capacity;
    }
    stream->data = stream->buffer;
    return VLM_OK;
}

/* Only zeros from offset to the end of the file? */
static int only_zeros(struct vlm_stream *stream, uint64_t offset, bool *zeros, struct vlm_err *err)
{
    struct vlm_view view;
    for (;;) {
        int rc = vlm_window_need(&stream->window, offset, 1, &view, err);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < view.n; i++) {
            if (view.bytes[i]) {
                *zeros = false;
                return VLM_OK;
            }
        }
        if (!view.n)
            break;
        offset += view.n;
    }
    *zeros = true;
    return VLM_OK;
}

static bool has_magic(const struct vlm_stream *stream, const uint8_t *bytes, size_t n)
{
    return stream->kind == VLM_STREAM_GZIP ? vlm_gzip_magic(bytes, n) : vlm_zstd_magic(bytes, n);
}

static int open_plain(struct vlm_stream *stream, uint64_t offset, struct vlm_err *err)
{
    struct vlm_view view;
    int rc = vlm_window_need(&stream->window, offset, 1, &view, err);
    if (rc < 0)
        return rc;
    if (!view.n)
        return VLM_EOF;
    stream->data = view.bytes;
    stream->size = view.n;
    stream->position = offset;
    return VLM_OK;
}

static int open_member(struct vlm_stream *stream, struct vlm_err *err)
{
    return stream->kind == VLM_STREAM_GZIP ? vlm_gzip_open(stream, err)
                                           : vlm_zstd_open(stream, err);
}

int vlm_stream_open(struct vlm_stream *stream, uint64_t offset, struct vlm_err *err)
{
    stream->at = stream->size = 0;
    stream->position = 0;
    stream->whole = stream->joined = false;
    stream->damage = VLM_DAMAGE_NONE;
    stream->member = stream->next = offset;
    stream->produced = stream->consumed = 0;
    if (stream->kind == VLM_STREAM_PLAIN)
        return open_plain(stream, offset, err);
    struct vlm_view view;
    int rc = vlm_window_need(&stream->window, offset, 4, &view, err);
    if (rc < 0)
        return rc;
    if (has_magic(stream, view.bytes, view.n))
        return open_member(stream, err);
    bool zeros = false;
    rc = only_zeros(stream, offset, &zeros, err);
    if (rc < 0 || zeros)
        return rc < 0 ? rc : VLM_EOF;
    rc = vlm_window_need(&stream->window, offset, 4, &view, err);
    if (rc < 0)
        return rc;
    stream->damage = VLM_DAMAGE_JUNK;
    if (stream->kind == VLM_STREAM_GZIP && view.n >= 2 && view.bytes[0] == 0x1f &&
        view.bytes[1] == 0x8b)
        stream->damage = VLM_DAMAGE_GZIP_HEADER;
    stream->whole = true;
    return VLM_SKIP;
}

static size_t peek(struct vlm_stream *stream, const uint8_t *bytes, size_t n, uint8_t *out,
                   size_t out_size)
{
    return stream->kind == VLM_STREAM_GZIP ? vlm_gzip_peek(stream, bytes, n, out, out_size)
                                           : vlm_zstd_peek(stream, bytes, n, out, out_size);
}

static size_t peek_size(const struct vlm_stream *stream)
{
    return stream->kind == VLM_STREAM_GZIP ? PEEK_IN : PEEK_IN_ZSTD;
}

/* Does a member that begins with a record stand at these bytes? */
static bool member_begins(struct vlm_stream *stream, const uint8_t *bytes, size_t n)
{
    uint8_t out[PEEK_OUT];
    size_t got =
        peek(stream, bytes, VLM_MIN(n, peek_size(stream)), out, stream->arc ? sizeof(out) : 16);
    return vlm_record_begins(stream->arc, out, got);
}

/* Goes on in the next member when the record cannot be complete without it. */
static int join_next(struct vlm_stream *stream, struct vlm_err *err)
{
    struct vlm_view view;
    int rc = vlm_window_need(&stream->window, stream->next, peek_size(stream), &view, err);
    if (rc < 0 || !has_magic(stream, view.bytes, view.n) ||
        member_begins(stream, view.bytes, view.n))
        return rc;
    stream->joined = true;
    stream->joined_member = stream->next;
    stream->joined_position = stream->position + (stream->size - stream->at);
    stream->whole = false;
    return stream->kind == VLM_STREAM_GZIP ? vlm_gzip_restart(stream, err)
                                           : vlm_zstd_restart(stream, err);
}

static int more_plain(struct vlm_stream *stream, size_t need, struct vlm_err *err)
{
    struct vlm_view view;
    int rc = vlm_window_need(&stream->window, stream->position, need, &view, err);
    if (rc < 0)
        return rc;
    stream->data = view.bytes;
    stream->at = 0;
    stream->size = view.n;
    stream->whole = view.n < need;
    return VLM_OK;
}

int vlm_stream_more(struct vlm_stream *stream, size_t need, enum vlm_join join, struct vlm_err *err)
{
    if (stream->size - stream->at >= need)
        return VLM_OK;
    if (stream->kind == VLM_STREAM_PLAIN)
        return more_plain(stream, need, err);
    while (stream->size - stream->at < need) {
        int rc = VLM_OK;
        if (stream->whole) {
            if (join == VLM_JOIN_NO || stream->damage)
                return VLM_OK;
            rc = join_next(stream, err);
            if (rc < 0 || stream->whole)
                return rc;
        }
        size_t missing = need - (stream->size - stream->at);
        rc = vlm_stream_room(stream, VLM_MAX(missing, (size_t)MOVE_MIN), err);
        if (rc == VLM_OK)
            rc = stream->kind == VLM_STREAM_GZIP ? vlm_gzip_step(stream, err)
                                                 : vlm_zstd_step(stream, err);
        if (rc < 0)
            return rc;
    }
    return VLM_OK;
}

void vlm_stream_take(struct vlm_stream *stream, size_t n)
{
    VLM_BUG_IF(n > stream->size - stream->at);
    stream->at += n;
    stream->position += n;
}

int vlm_stream_skip(struct vlm_stream *stream, uint64_t n, struct vlm_err *err)
{
    if (stream->kind == VLM_STREAM_PLAIN && !stream->window.pipe) {
        stream->position += n;
        stream->at = stream->size = 0;
        return VLM_OK;
    }
    while (n) {
        int rc = vlm_stream_more(stream, 1, VLM_JOIN_YES, err);
        if (rc < 0)
            return rc;
        size_t have = stream->size - stream->at;
        if (!have)
            break;
        size_t drop = (uint64_t)have < n ? have : (size_t)n;
        vlm_stream_take(stream, drop);
        n -= drop;
    }
    return VLM_OK;
}

/* Is the header at the current position complete and sensible? */
static int header_here(struct vlm_stream *stream, bool *yes, struct vlm_err *err)
{
    struct vlm_header header;
    enum vlm_header_state state = VLM_HEADER_MORE;
    for (size_t need = 1024; state == VLM_HEADER_MORE; need = VLM_WARC_HEADER_MAX) {
        int rc = vlm_stream_more(stream, need, VLM_JOIN_NO, err);
        if (rc < 0)
            return rc;
        const uint8_t *bytes = stream->data + stream->at;
        size_t n = stream->size - stream->at;
        state =
            stream->arc ? vlm_arc_header(&header, bytes, n) : vlm_warc_header(&header, bytes, n);
        if (need == VLM_WARC_HEADER_MAX)
            break;
    }
    *yes = state == VLM_HEADER_OK;
    return VLM_OK;
}

int vlm_stream_find(struct vlm_stream *stream, uint64_t limit, struct vlm_err *err)
{
    for (;;) {
        int rc = vlm_stream_more(stream, FIND_STEP, VLM_JOIN_NO, err);
        if (rc < 0)
            return rc;
        size_t hit = stream->arc ? vlm_arc_search(stream->data, stream->at, stream->size)
                                 : vlm_warc_search(stream->data, stream->at, stream->size);
        bool none = hit == stream->size;
        if (none && !stream->whole && hit - stream->at > 5 && !stream->arc)
            hit -= 4; /* "WARC" may stand at the end */
        vlm_stream_take(stream, hit - stream->at);
        if (stream->position >= limit || (none && stream->whole))
            return VLM_EOF;
        if (none)
            continue;
        bool yes = false;
        rc = header_here(stream, &yes, err);
        if (rc < 0 || yes)
            return rc;
        size_t step = 1;
        if (stream->arc) { /* only line starts are looked at */
            const uint8_t *from = stream->data + stream->at;
            const uint8_t *newline = memchr(from, '\n', stream->size - stream->at);
            step = newline ? (size_t)(newline - from) + 1 : stream->size - stream->at;
        }
        if (stream->size == stream->at)
            return VLM_EOF;
        vlm_stream_take(stream, step);
    }
}

int vlm_stream_find_member(struct vlm_stream *stream, uint64_t from, uint64_t limit,
                           uint64_t *found, struct vlm_err *err)
{
    struct vlm_view view;
    *found = UINT64_MAX;
    from = VLM_MAX(from, vlm_window_lowest(&stream->window));
    int first = stream->kind == VLM_STREAM_GZIP ? 0x1f : 0x28;
    while (from < limit) {
        int rc = vlm_window_need(&stream->window, from, SCAN_STEP, &view, err);
        if (rc < 0)
            return rc;
        if (!view.n)
            return VLM_OK;
        /* Candidates near the end of the view come again with more bytes behind them. */
        bool last = view.n < SCAN_STEP;
        size_t stop = last ? view.n : view.n - peek_size(stream);
        for (size_t at = 0; at < stop;) {
            const uint8_t *hit = memchr(view.bytes + at, first, stop - at);
            if (!hit)
                break;
            at = (size_t)(hit - view.bytes);
            if (from + at >= limit)
                return VLM_OK;
            if (has_magic(stream, hit, view.n - at) && member_begins(stream, hit, view.n - at)) {
                *found = from + at;
                return VLM_OK;
            }
            at++;
        }
        from += stop;
    }
    return VLM_OK;
}

void vlm_stream_release(struct vlm_stream *stream)
{
    vlm_gzip_release(stream->gzip);
    vlm_zstd_release(stream->zstd);
    vlm_window_release(&stream->window);
    free(stream->buffer);
    memset(stream, 0, sizeof(*stream));
}
