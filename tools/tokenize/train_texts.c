/* train_texts.c - reads files in pieces and documents of sets in batches; the threads of a pool count their words. */
#include "base/vlm.h"

#include "tools/tokenize/train_texts.h"

#include "base/file.h"
#include "base/limits.h"
#include "shard/parts/set.h"
#include "tokenize/sequence/segment.h"
#include "tokenize/unicode/char_class.h"

#include <fcntl.h>
#include <fts.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIECE = 256 << 10,
    LONGEST = 4 << 20, /* bytes without a place to cut at */
    PIECES_A_THREAD = 16,
    LOOKAHEAD = 8,   /* bytes of two characters */
    HEAD = 64 << 10, /* bytes in which a zero byte means: no text */
    DOCUMENTS_A_THREAD = 16,
    WAIT_MS = 500,
};

struct vlm_train_piece {
    const char *text;
    size_t n;
    int rc;
    struct vlm_err err;
};

static int check_stop(const struct vlm_train_texts *texts, struct vlm_err *err)
{
    if (texts->progress)
        texts->progress(texts, texts->context);
    if (texts->stop && *texts->stop)
        return vlm_fail(err, VLM_ESTOPPED, "stopped by a signal");
    return VLM_OK;
}

/* Pieces of a file --------------------------------------------------------------------------------- */

static bool is_place_to_cut(const char *text, size_t n)
{
    size_t bytes, next;
    return n && vlm_char_class_at(text, n, &bytes) == VLM_CHAR_SPACE && bytes < n &&
           vlm_char_class_at(text + bytes, n - bytes, &next) != VLM_CHAR_SPACE;
}

/* Bytes of the piece in front of n bytes, of which the last LOOKAHEAD are only looked at unless the text ends. The
 * file is cut at the same places where cutting changes words, whatever the sizes of buffers: where LONGEST bytes
 * behind the last place to cut at there was no other. 0: more bytes are needed. */
static size_t next_piece(const char *text, size_t n, bool ends)
{
    size_t last = VLM_MIN(n, (size_t)LONGEST);
    if (ends && n <= PIECE)
        return n;
    for (size_t at = PIECE; at < last && (ends || at + LOOKAHEAD <= n); at++)
        if (is_place_to_cut(text + at, n - at))
            return at;
    if (ends && n <= LONGEST)
        return n;
    if (!ends && n < LONGEST + LOOKAHEAD)
        return 0;
    for (size_t at = PIECE - 1; at > 0; at--)
        if (is_place_to_cut(text + at, n - at))
            return at;
    return LONGEST;
}

static void count_piece(void *context, size_t task, size_t worker)
{
    const struct vlm_train_texts *texts = context;
    struct vlm_train_piece *piece = &texts->pieces[task];
    piece->rc = vlm_word_counts_add(texts->counts, worker, piece->text, piece->n, &piece->err);
}

static int count_pieces(struct vlm_train_texts *texts, size_t n, struct vlm_err *err)
{
    vlm_pool_run(texts->pool, n, count_piece, texts);
    for (size_t i = 0; i < n; i++) {
        if (texts->pieces[i].rc < 0) {
            *err = texts->pieces[i].err;
            return texts->pieces[i].rc;
        }
        texts->bytes += texts->pieces[i].n;
    }
    return check_stop(texts, err);
}

/* Waits until there is something to read or a signal came: read() would go on waiting behind one. */
static int wait_for(const struct vlm_train_texts *texts, int fd, struct vlm_err *err)
{
    struct pollfd wanted = { .fd = fd, .events = POLLIN };
    int rc;
    do
        rc = check_stop(texts, err);
    while (rc == VLM_OK && poll(&wanted, 1, WAIT_MS) <= 0);
    return rc;
}

/* Reads until n bytes are there or the file ends; *filled counts on. */
static int fill(const struct vlm_train_texts *texts, int fd, const char *name, size_t n,
                size_t *filled, bool *ends, struct vlm_err *err)
{
    while (*filled < n && !*ends) {
        int rc = wait_for(texts, fd, err);
        if (rc < 0)
            return rc;
        ssize_t got = read(fd, texts->buffer + *filled, n - *filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return vlm_fail_errno(err, errno, "cannot read '%s'", name);
        *ends = got == 0;
        *filled += (size_t)got;
    }
    return VLM_OK;
}

static int count_file(struct vlm_train_texts *texts, int fd, const char *name, bool is_named,
                      struct vlm_err *err)
{
    size_t most = PIECES_A_THREAD * vlm_pool_threads(texts->pool);
    size_t capacity = most * PIECE + LONGEST + LOOKAHEAD, filled = 0;
    bool ends = false;
    if (!texts->buffer)
        texts->buffer = malloc(capacity);
    if (!texts->pieces)
        texts->pieces = calloc(most, sizeof(*texts->pieces));
    if (!texts->buffer || !texts->pieces)
        return vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", name);
    int rc = fill(texts, fd, name, HEAD, &filled, &ends, err);
    const char *zero = rc == VLM_OK && filled ? memchr(texts->buffer, 0, filled) : NULL;
    if (zero && is_named)
        return vlm_fail(err, VLM_EFORMAT, "'%s' is not text: byte %td is zero", name,
                        zero - texts->buffer);
    if (zero) {
        texts->not_text++;
        return VLM_OK;
    }
    texts->documents++;
    while (rc == VLM_OK && (filled || !ends)) {
        size_t n = 0, at = 0, bytes;
        rc = fill(texts, fd, name, capacity, &filled, &ends, err);
        while (rc == VLM_OK && n < most && at < filled &&
               (bytes = next_piece(texts->buffer + at, filled - at, ends))) {
            texts->pieces[n] = (struct vlm_train_piece){ .text = texts->buffer + at, .n = bytes };
            n++;
            at += bytes;
        }
        if (rc == VLM_OK)
            rc = count_pieces(texts, n, err);
        filled -= at;
        memmove(texts->buffer, texts->buffer + at, filled);
    }
    return rc;
}

static bool is_enough(const struct vlm_train_texts *texts)
{
    return texts->limit && texts->documents >= texts->limit;
}

static int take_file(struct vlm_train_texts *texts, const char *path, bool is_named,
                     struct vlm_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    int rc = count_file(texts, fd, path, is_named, err);
    close(fd);
    return rc == VLM_OK && is_enough(texts) ? VLM_EOF : rc;
}

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int take_folder(struct vlm_train_texts *texts, char *path, struct vlm_err *err)
{
    char *roots[] = { path, NULL };
    int rc = VLM_OK;
    FTS *tree = fts_open(roots, FTS_COMFOLLOW | FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    if (!tree)
        return vlm_fail_errno(err, errno, "cannot read the folder '%s'", path);
    for (FTSENT *entry; rc == VLM_OK && (entry = fts_read(tree));) {
        if (entry->fts_level > 0 && entry->fts_name[0] == '.')
            fts_set(tree, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_F)
            rc = take_file(texts, entry->fts_path, false, err);
        else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            rc = vlm_fail_errno(err, entry->fts_errno, "cannot read the folder '%s'",
                                entry->fts_path);
    }
    fts_close(tree);
    return rc;
}

/* Documents of a set ------------------------------------------------------------------------------- */

struct set_item {
    struct vlm_document *document;
    struct vlm_arena arena;
    struct vlm_buffer text;
    int rc;
    struct vlm_err err;
};

struct set_batch {
    struct vlm_train_texts *texts;
    unsigned flags; /* of the rendering */
    struct set_item *items;
    size_t n;
};

static int count_segments(const struct vlm_train_texts *texts, size_t worker, const char *text,
                          size_t n, bool markup, struct vlm_err *err)
{
    struct vlm_segmenter segmenter = {
        .text = text, .n = n, .markup = markup, .words = !markup, .images = true
    };
    struct vlm_segment segment;
    int rc = VLM_OK;
    while (rc == VLM_OK && vlm_segment_next(&segmenter, &segment))
        if (segment.kind == VLM_SEGMENT_TEXT || segment.kind == VLM_SEGMENT_MARKUP)
            rc = vlm_word_counts_add(texts->counts, worker, text + segment.start,
                                     segment.end - segment.start, err);
    return rc;
}

/* Lines of pair are samples of their own. */
static int count_lines(const struct vlm_train_texts *texts, size_t worker, const char *text,
                       size_t n, struct vlm_err *err)
{
    int rc = VLM_OK;
    while (rc == VLM_OK && n) {
        const char *end = memchr(text, '\n', n);
        size_t line = end ? (size_t)(end - text) : n, with_end = end ? line + 1 : line;
        rc = count_segments(texts, worker, text, line, false, err);
        text += with_end;
        n -= with_end;
    }
    return rc;
}

static int count_document(const struct set_batch *batch, size_t worker, struct set_item *item)
{
    const struct vlm_train_texts *texts = batch->texts;
    struct vlm_err *err = &item->err;
    vlm_buffer_reset(&item->text);
    vlm_render(&item->text, item->document, texts->form, batch->flags | VLM_RENDER_PLACEHOLDERS);
    const char *text = (const char *)item->text.data;
    size_t n = item->text.size;
    if (item->text.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory to render a document");
    if (n > UINT32_MAX)
        return vlm_fail(err, VLM_ELIMIT, "a rendering of %zu bytes is over the limit", n);
    switch (texts->form) {
    case VLM_RENDER_CM3:
    case VLM_RENDER_HTLM:
        return count_segments(texts, worker, text, n, true, err);
    case VLM_RENDER_M3W:
        return count_segments(texts, worker, text, n, false, err);
    case VLM_RENDER_PAIR:
        return count_lines(texts, worker, text, n, err);
    default:
        return vlm_word_counts_add(texts->counts, worker, text, n, err);
    }
}

static void work_on_item(void *context, size_t task, size_t worker)
{
    struct set_batch *batch = context;
    batch->items[task].rc = count_document(batch, worker, &batch->items[task]);
}

static int count_batch(struct set_batch *batch, struct vlm_err *err)
{
    vlm_pool_run(batch->texts->pool, batch->n, work_on_item, batch);
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->items[i].rc < 0) {
            *err = batch->items[i].err;
            return batch->items[i].rc;
        }
        batch->texts->bytes += batch->items[i].text.size;
    }
    return check_stop(batch->texts, err);
}

static int count_set(struct set_batch *batch, struct vlm_set *set, size_t most, struct vlm_err *err)
{
    struct vlm_train_texts *texts = batch->texts;
    int rc = VLM_OK, read = VLM_OK;
    if (vlm_manifest_has_profile(vlm_set_manifest(set)))
        batch->flags |= VLM_RENDER_MAIN;
    while (rc == VLM_OK && read == VLM_OK) {
        for (batch->n = 0; read == VLM_OK && batch->n < most;) {
            struct set_item *item = &batch->items[batch->n];
            vlm_arena_reset(&item->arena);
            read =
                is_enough(texts) ? VLM_EOF : vlm_set_next(set, &item->document, &item->arena, err);
            batch->n += read == VLM_OK;
            texts->documents += read == VLM_OK;
        }
        if (read >= 0)
            rc = count_batch(batch, err);
    }
    return rc < 0 ? rc : read < 0 ? read : is_enough(texts) ? VLM_EOF : VLM_OK;
}

static int take_set(struct vlm_train_texts *texts, const char *path, struct vlm_err *err)
{
    struct vlm_set *set = NULL;
    size_t most = DOCUMENTS_A_THREAD * vlm_pool_threads(texts->pool);
    struct set_batch batch = { .texts = texts, .items = calloc(most, sizeof(*batch.items)) };
    if (!batch.items)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu documents", most);
    for (size_t i = 0; i < most; i++)
        vlm_arena_init(&batch.items[i].arena, VLM_GIB);
    int rc = vlm_set_open(&set, path, err);
    if (rc == VLM_OK)
        rc = count_set(&batch, set, most, err);
    vlm_set_close(set);
    for (size_t i = 0; i < most; i++) {
        vlm_arena_release(&batch.items[i].arena);
        vlm_buffer_release(&batch.items[i].text);
    }
    free(batch.items);
    return rc;
}

int vlm_train_texts_add(struct vlm_train_texts *texts, char *path, struct vlm_err *err)
{
    struct stat about;
    if (is_enough(texts))
        return VLM_EOF;
    if (!strcmp(path, "-"))
        return count_file(texts, STDIN_FILENO, "standard input", true, err);
    if (stat(path, &about) < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    if (!S_ISDIR(about.st_mode))
        return take_file(texts, path, true, err);
    return vlm_is_shard_set(path) ? take_set(texts, path, err) : take_folder(texts, path, err);
}

void vlm_train_texts_release(struct vlm_train_texts *texts)
{
    free(texts->buffer);
    free(texts->pieces);
    texts->buffer = NULL;
    texts->pieces = NULL;
}
