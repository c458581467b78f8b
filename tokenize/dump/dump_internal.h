/* dump_internal.h - the parts of the dump reader: window, stream, headers, archives.
 *
 * window  bytes of a file at any offset, through one buffer (forward only on a pipe)
 * stream  decompressed bytes of one member: a gzip member, a zstd frame, or a whole plain file
 * header  one record's header out of bytes, no state
 * dump.c  puts them together: records, damage, ranges */
#ifndef VLM_TOKENIZE_DUMP_INTERNAL_H
#define VLM_TOKENIZE_DUMP_INTERNAL_H

#include "base/limits.h"
#include "tokenize/dump/record.h"

/* Gives up to n of the following bytes; 0 at their end. */
typedef size_t vlm_window_source(void *context, void *bytes, size_t n);

/* Bytes of a file around one offset. With memory set, that span is the file; with source set, it is
 * what source gives, read like a pipe. */
struct vlm_window {
    int fd;
    const char *name;
    const uint8_t *memory;
    size_t memory_size;
    vlm_window_source *source;
    void *context;
    bool pipe;
    bool ended;      /* the file ends at offset + size */
    uint64_t offset; /* of data[0] */
    uint8_t *data;
    size_t size, capacity;
};

struct vlm_view {
    const uint8_t *bytes;
    size_t n;
};

/* At least n bytes at offset, or all up to the end of the file. Valid until the next call. */
VLM_MUST_CHECK int vlm_window_need(struct vlm_window *window, uint64_t offset, size_t n,
                                   struct vlm_view *view, struct vlm_err *err);
/* The lowest offset that can still be asked for. */
uint64_t vlm_window_lowest(const struct vlm_window *window);
/* Size of the file, or UINT64_MAX when it is not known (a pipe). */
uint64_t vlm_window_file_size(const struct vlm_window *window);
void vlm_window_release(struct vlm_window *window);

enum vlm_stream_kind { VLM_STREAM_PLAIN, VLM_STREAM_GZIP, VLM_STREAM_ZSTD };

/* May a request for more bytes go on in the next member? */
enum vlm_join { VLM_JOIN_NO, VLM_JOIN_YES };

struct vlm_gzip; /* decompressors of gzip_source.c */
struct vlm_zstd; /* and zstd_source.c */

/* The unread bytes are data[at, size); position is that of data[at] in the member (in the file when
 * plain). whole: nothing follows data[size]; then damage says whether it ended as it should. */
struct vlm_stream {
    struct vlm_window window;
    enum vlm_stream_kind kind;
    bool arc; /* records are ARC records */
    const uint8_t *data;
    size_t at, size;
    uint64_t position;
    bool whole;
    enum vlm_damage damage;
    uint64_t member; /* offset of the member's first byte */
    uint64_t next;   /* offset of the first compressed byte not used yet */

    /* The last member that was joined, and the position where its bytes begin. */
    bool joined;
    uint64_t joined_member, joined_position;

    uint8_t *buffer; /* decompressed bytes; data points here unless plain */
    size_t capacity;
    uint64_t produced, consumed; /* of this member, for the ratio rule */
    struct vlm_gzip *gzip;
    struct vlm_zstd *zstd;
};

/* Opens the member at offset. VLM_OK; VLM_EOF when only padding is left; VLM_SKIP when no member
 * starts there (stream->damage says why); or an error. */
VLM_MUST_CHECK int vlm_stream_open(struct vlm_stream *stream, uint64_t offset, struct vlm_err *err);

/* Makes need bytes available from at, unless the member ends before that. Moves data. */
VLM_MUST_CHECK int vlm_stream_more(struct vlm_stream *stream, size_t need, enum vlm_join join,
                                   struct vlm_err *err);
void vlm_stream_take(struct vlm_stream *stream, size_t n);

/* Drops n bytes without holding them; stops at the member's end. */
VLM_MUST_CHECK int vlm_stream_skip(struct vlm_stream *stream, uint64_t n, struct vlm_err *err);

/* Moves to the first position from here on where a record header stands; VLM_EOF at the member's
 * end, or when position reached limit. */
VLM_MUST_CHECK int vlm_stream_find(struct vlm_stream *stream, uint64_t limit, struct vlm_err *err);

/* The first offset in [from, limit) where a member starts that begins with a record, or
 * UINT64_MAX. Compressed kinds only. */
VLM_MUST_CHECK int vlm_stream_find_member(struct vlm_stream *stream, uint64_t from, uint64_t limit,
                                          uint64_t *found, struct vlm_err *err);
void vlm_stream_release(struct vlm_stream *stream);

/* Room for `room` more bytes behind data[size], keeping [at, size). */
VLM_MUST_CHECK int vlm_stream_room(struct vlm_stream *stream, size_t room, struct vlm_err *err);

/* gzip_source.c */
bool vlm_gzip_magic(const uint8_t *bytes, size_t n);
VLM_MUST_CHECK int vlm_gzip_open(struct vlm_stream *stream, struct vlm_err *err);
VLM_MUST_CHECK int vlm_gzip_step(struct vlm_stream *stream, struct vlm_err *err);
VLM_MUST_CHECK int vlm_gzip_restart(struct vlm_stream *stream, struct vlm_err *err);
/* Inflates the first bytes of a possible member without believing it; returns how many came out. */
size_t vlm_gzip_peek(struct vlm_stream *stream, const uint8_t *bytes, size_t n, uint8_t *out,
                     size_t out_size);
void vlm_gzip_release(struct vlm_gzip *gzip);

/* zstd_source.c */
bool vlm_zstd_magic(const uint8_t *bytes, size_t n);
VLM_MUST_CHECK int vlm_zstd_open(struct vlm_stream *stream, struct vlm_err *err);
VLM_MUST_CHECK int vlm_zstd_step(struct vlm_stream *stream, struct vlm_err *err);
VLM_MUST_CHECK int vlm_zstd_restart(struct vlm_stream *stream, struct vlm_err *err);
size_t vlm_zstd_peek(struct vlm_stream *stream, const uint8_t *bytes, size_t n, uint8_t *out,
                     size_t out_size);
void vlm_zstd_release(struct vlm_zstd *zstd);

struct vlm_slice {
    const char *text; /* NULL: absent */
    size_t n;
};

enum vlm_header_state { VLM_HEADER_OK, VLM_HEADER_MORE, VLM_HEADER_BAD };

struct vlm_header {
    size_t size;            /* bytes up to the block */
    enum vlm_damage damage; /* when BAD */
    uint64_t length;        /* of the block */
    bool has_length, has_type;
    enum vlm_record_type type;
    struct vlm_slice uri, date, content_type, refers_to_uri, refers_to_date, payload_digest,
        block_digest, truncated, identified_type;
    char arc_date[24]; /* RFC 3339; date points here for ARC records */
};

/* Reads the header at bytes. MORE: it does not end within n bytes (and n is below the limit). */
enum vlm_header_state vlm_warc_header(struct vlm_header *header, const uint8_t *bytes, size_t n);
enum vlm_header_state vlm_arc_header(struct vlm_header *header, const uint8_t *bytes, size_t n);

/* The first place in bytes[from, n) where a header may stand, or n. */
size_t vlm_warc_search(const uint8_t *bytes, size_t from, size_t n);
size_t vlm_arc_search(const uint8_t *bytes, size_t from, size_t n);

/* Do these bytes begin a record? Only the first line, or as much of it as there is, is looked at. */
bool vlm_record_begins(bool arc, const uint8_t *bytes, size_t n);

bool vlm_date_is_rfc3339(const char *text, size_t n);

/* archive.c and files.c: sources of resource records. */
struct vlm_archive;
VLM_MUST_CHECK int vlm_archive_open(struct vlm_archive **out, struct vlm_window *window,
                                    struct vlm_err *err);
VLM_MUST_CHECK int vlm_archive_next(struct vlm_archive *archive, struct vlm_record *record,
                                    struct vlm_err *err);
void vlm_archive_close(struct vlm_archive *archive);

struct vlm_files;
VLM_MUST_CHECK int vlm_files_open(struct vlm_files **out, const struct vlm_dump_input *in,
                                  struct vlm_err *err);
VLM_MUST_CHECK int vlm_files_next(struct vlm_files *files, struct vlm_record *record,
                                  struct vlm_err *err);
uint64_t vlm_files_position(const struct vlm_files *files);
void vlm_files_close(struct vlm_files *files);

/* "file:///" and the path, percent-encoded, without leading ./ ../ and /. Returns a string in
 * buffer, which it replaces. NULL: memory ran out. */
struct vlm_buffer;
const char *vlm_file_uri(struct vlm_buffer *buffer, const char *path);

/* A dump over what source gives (a WARC inside an archive), without further nesting. */
VLM_MUST_CHECK int vlm_dump_open_source(struct vlm_dump **out, vlm_window_source *source,
                                        void *context, enum vlm_dump_format format,
                                        const char *name, struct vlm_err *err);

#endif
