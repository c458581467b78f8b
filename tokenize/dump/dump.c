/* dump.c - records of a crawl dump: formats, ranges, damage.
 *
 * One loop for all containers: open a member (gzip member, zstd frame, or the plain file), read
 * records until it ends, go on with the next. Damage is reported once, with the bytes up to the
 * next place where a record begins; records before and behind it are kept. A range may be entered
 * in the middle: the first record is searched by the same code that finds the next one after
 * damage. Decoding what is inside a block is http.c's. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "tokenize/dump/dump_internal.h"

#define HEADER_FIRST (4 * VLM_KIB)
#define TAIL_WARC    ((size_t)24)
#define TAIL_ARC     (2 * VLM_KIB)
#define SNIFF_BYTES  (136 * VLM_KIB) /* a whole block of zstd */

/* Bytes in front of the first record that hide the format, damaged or empty members. */
#define LEAD_MAX         VLM_MIB
#define LEAD_MEMBERS_MAX (16 * VLM_MIB)

struct vlm_dump {
    enum vlm_dump_format format;
    struct vlm_stream stream;
    uint64_t begin, end;
    uint64_t boundary; /* where the next member is expected */
    uint64_t first, position;
    uint64_t lying_member; /* offset + 1 of a member with a length that goes beyond it, or 0 */
    bool open, done;
    struct vlm_archive *archive;
    struct vlm_files *files;
    struct vlm_header header;
    char *strings; /* the fields of the current record, NUL-terminated */
    size_t strings_used;
    char name[256];
};

static const char *const damage_names[VLM_DAMAGES] = {
    "none",      "gz_header", "gz_data",     "gz_crc",       "gz_truncated",
    "zstd",      "bomb",      "warc_header", "warc_version", "warc_length",
    "too_large", "junk",      "arc_header",  "archive",      "worker_crash",
};

const char *vlm_damage_name(enum vlm_damage damage)
{
    return (unsigned)damage < VLM_DAMAGES ? damage_names[damage] : "unknown";
}

static bool is_plain(const struct vlm_dump *dump)
{
    return dump->stream.kind == VLM_STREAM_PLAIN;
}

/* Where the unread bytes are, as records are ordered and ranges are cut. */
static uint64_t here(const struct vlm_dump *dump)
{
    return is_plain(dump) ? dump->stream.position : dump->stream.member;
}

/* From joined members on, the last one is where a record starts. */
static void settle_joined(struct vlm_stream *stream)
{
    if (!stream->joined || stream->position < stream->joined_position)
        return;
    stream->member = stream->joined_member;
    stream->position -= stream->joined_position;
    stream->joined = false;
}

/* A damage report from `offset` to where reading goes on. */
static int report(struct vlm_record *record, enum vlm_damage damage, uint64_t offset,
                  uint64_t length, uint64_t start)
{
    memset(record, 0, sizeof(*record));
    record->type = VLM_RECORD_UNKNOWN;
    record->error = damage;
    record->offset = offset;
    record->length = length;
    record->start = start;
    return VLM_SKIP;
}

static int finish(struct vlm_dump *dump, uint64_t position)
{
    dump->done = true;
    dump->open = false;
    dump->position = position;
    return VLM_EOF;
}

/* The end of the file, as far as it is known. */
static uint64_t file_end(const struct vlm_dump *dump)
{
    uint64_t size = vlm_window_file_size(&dump->stream.window);
    return size != UINT64_MAX ? size : dump->stream.window.offset + dump->stream.window.size;
}

/* Leaves a damaged member: boundary becomes the next one that begins with a record. */
static int leave_member(struct vlm_dump *dump, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    uint64_t member = stream->joined ? stream->joined_member : stream->member;
    uint64_t found = UINT64_MAX;
    dump->open = false;
    if (stream->damage == VLM_DAMAGE_GZIP_CHECKSUM) {
        /* The deflate stream ended well: believe its end when a member stands there. */
        struct vlm_view view;
        int rc = vlm_window_need(&stream->window, stream->next, 4, &view, err);
        if (rc < 0)
            return rc;
        if (!view.n || vlm_gzip_magic(view.bytes, view.n)) {
            dump->boundary = stream->next;
            return VLM_OK;
        }
    }
    int rc = vlm_stream_find_member(stream, member + 1, UINT64_MAX, &found, err);
    if (rc < 0)
        return rc;
    dump->boundary = found != UINT64_MAX ? found : file_end(dump);
    return VLM_OK;
}

/* The member cannot be read on: reports it from its start. */
static int report_member(struct vlm_dump *dump, struct vlm_record *record, struct vlm_err *err)
{
    uint64_t offset = dump->stream.member, start = dump->stream.position;
    enum vlm_damage damage = dump->stream.damage;
    int rc = leave_member(dump, err);
    return rc < 0 ? rc : report(record, damage, offset, dump->boundary - offset, start);
}

/* A plain WARC behind gzip members (files put together with cat) is read as such. */
static int open_mixed(struct vlm_dump *dump, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    int rc = vlm_stream_open(stream, dump->boundary, err);
    if (rc != VLM_SKIP || stream->kind != VLM_STREAM_GZIP || stream->arc ||
        stream->damage != VLM_DAMAGE_JUNK)
        return rc;
    struct vlm_view view;
    rc = vlm_window_need(&stream->window, dump->boundary, 5, &view, err);
    if (rc < 0 || !vlm_record_begins(false, view.bytes, view.n))
        return rc < 0 ? rc : VLM_SKIP;
    stream->kind = VLM_STREAM_PLAIN;
    return vlm_stream_open(stream, dump->boundary, err);
}

/* Opens the member at boundary, or ends the range there. */
static int open_member(struct vlm_dump *dump, struct vlm_record *record, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    int rc = open_mixed(dump, err);
    if (rc == VLM_EOF)
        return finish(dump, file_end(dump));
    if (rc < 0)
        return rc;
    if (rc == VLM_SKIP && dump->boundary >= dump->end)
        return finish(dump, dump->boundary);
    if (rc == VLM_SKIP)
        return report_member(dump, record, err);
    dump->open = true;
    if (dump->boundary < dump->end || is_plain(dump))
        return VLM_OK;
    rc = vlm_stream_more(stream, stream->arc ? TAIL_ARC : 16, VLM_JOIN_NO, err);
    if (rc < 0)
        return rc;
    size_t n = stream->size - stream->at;
    bool damaged = !n && stream->damage;
    if (damaged || vlm_record_begins(stream->arc, stream->data + stream->at, n))
        return finish(dump, dump->boundary);
    return VLM_OK;
}

/* Steps over the newlines between records. VLM_EOF: nothing else is left in the member. */
static int skip_newlines(struct vlm_dump *dump, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    for (;;) {
        while (stream->at < stream->size &&
               (stream->data[stream->at] == '\n' || stream->data[stream->at] == '\r'))
            vlm_stream_take(stream, 1);
        if (stream->at < stream->size)
            return VLM_OK;
        int rc = vlm_stream_more(stream, 1, VLM_JOIN_NO, err);
        if (rc < 0)
            return rc;
        if (stream->at == stream->size)
            return VLM_EOF;
    }
}

/* After a bad record: goes to the next header in this member, or leaves the member. Reports the
 * bytes from (offset, start) to there. */
static int resync(struct vlm_dump *dump, struct vlm_record *record, enum vlm_damage damage,
                  uint64_t offset, uint64_t start, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    int rc = vlm_stream_find(stream, UINT64_MAX, err);
    if (rc < 0)
        return rc;
    if (rc == VLM_OK)
        return report(record, damage, offset, here(dump) - offset, is_plain(dump) ? 0 : start);
    if (stream->damage) {
        damage = stream->damage;
        rc = leave_member(dump, err);
        if (rc < 0)
            return rc;
    } else {
        dump->boundary = is_plain(dump) ? file_end(dump) : stream->next;
        dump->open = false;
    }
    return report(record, damage, offset, dump->boundary - offset, is_plain(dump) ? 0 : start);
}

/* Copies a field, folded lines made one, into the record's strings. */
static const char *keep(struct vlm_dump *dump, struct vlm_slice slice)
{
    if (!slice.text)
        return NULL;
    char *out = dump->strings + dump->strings_used;
    char *to = out;
    if (!memchr(slice.text, '\n', slice.n)) {
        memcpy(to, slice.text, slice.n);
        to += slice.n;
    } else {
        for (size_t i = 0; i < slice.n; i++) {
            if (slice.text[i] != '\r' && slice.text[i] != '\n') {
                *to++ = slice.text[i];
                continue;
            }
            while (i + 1 < slice.n && strchr("\r\n \t", slice.text[i + 1]))
                i++;
            *to++ = ' ';
        }
    }
    *to = '\0';
    dump->strings_used += (size_t)(to - out) + 1;
    return out;
}

static void fill_record(struct vlm_dump *dump, struct vlm_record *record)
{
    const struct vlm_header *header = &dump->header;
    dump->strings_used = 0;
    record->type = header->type;
    record->error = VLM_DAMAGE_NONE;
    record->uri = keep(dump, header->uri);
    bool dated = header->date.text && vlm_date_is_rfc3339(header->date.text, header->date.n);
    record->date = dated ? keep(dump, header->date) : NULL;
    record->content_type = keep(dump, header->content_type);
    record->refers_to_uri = keep(dump, header->refers_to_uri);
    record->refers_to_date = keep(dump, header->refers_to_date);
    record->payload_digest = keep(dump, header->payload_digest);
    record->block_digest = keep(dump, header->block_digest);
    record->truncated = keep(dump, header->truncated);
    record->identified_type = keep(dump, header->identified_type);
    record->block_length = header->length;
}

/* Reads the header at the current position into dump->header. */
static int read_header(struct vlm_dump *dump, enum vlm_header_state *state, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    size_t need = HEADER_FIRST;
    for (;;) {
        int rc = vlm_stream_more(stream, need, VLM_JOIN_NO, err);
        size_t n = stream->size - stream->at;
        if (rc == VLM_OK && stream->whole && n < need && need > HEADER_FIRST)
            rc = vlm_stream_more(stream, n + 1, VLM_JOIN_YES, err);
        if (rc < 0)
            return rc;
        size_t before = n;
        n = stream->size - stream->at;
        const uint8_t *bytes = stream->data + stream->at;
        *state = stream->arc ? vlm_arc_header(&dump->header, bytes, n)
                             : vlm_warc_header(&dump->header, bytes, n);
        if (*state != VLM_HEADER_MORE)
            return VLM_OK;
        bool stuck = need > HEADER_FIRST && n == before && stream->whole;
        if (stuck || n >= VLM_WARC_HEADER_MAX) {
            *state = VLM_HEADER_BAD;
            dump->header.damage = stream->arc ? VLM_DAMAGE_ARC : VLM_DAMAGE_HEADER;
            return VLM_OK;
        }
        need = VLM_WARC_HEADER_MAX;
    }
}

enum tail { TAIL_OK, TAIL_WRONG_LENGTH, TAIL_DAMAGED };

static size_t count_newlines(const uint8_t *bytes, size_t n, size_t *lines)
{
    size_t at = 0;
    *lines = 0;
    for (; at < n && (bytes[at] == '\r' || bytes[at] == '\n'); at++)
        *lines += bytes[at] == '\n';
    return at;
}

/* Did the block take in one byte of the CRLFCRLF behind it? (Two or three bytes too many are left
 * alone: real writers end records with one CRLF, or count the separator into the block.) */
static bool block_took_separator(const uint8_t *block_end, uint64_t block, size_t separator)
{
    return separator == 3 && block && block_end[-1] == '\r' && !memcmp(block_end, "\n\r\n", 3);
}

/* Looks behind the block: is the declared length believable? *separator: newlines that follow. */
static enum tail check_tail(const struct vlm_dump *dump, size_t total, size_t *separator)
{
    const struct vlm_stream *stream = &dump->stream;
    const uint8_t *end = stream->data + stream->at + total;
    size_t n = stream->size - stream->at - total, lines;
    *separator = count_newlines(end, n, &lines);
    size_t rest = n - *separator;
    bool took = !stream->arc && block_took_separator(end, dump->header.length, *separator);
    if (!rest && stream->whole && stream->damage)
        return TAIL_DAMAGED;
    if (!rest && stream->whole)
        return took && !is_plain(dump) ? TAIL_WRONG_LENGTH : TAIL_OK;
    if (!rest)
        return TAIL_OK; /* a long row of newlines */
    const uint8_t *next = end + *separator;
    if (!stream->arc && (vlm_record_begins(false, next, rest) || vlm_gzip_magic(next, rest) ||
                         (rest < 5 && !memcmp(next, "WARC/", rest))))
        return took ? TAIL_WRONG_LENGTH : TAIL_OK;
    if (stream->arc && !lines) {
        struct vlm_header header;
        return vlm_arc_header(&header, next, rest) == VLM_HEADER_BAD ? TAIL_WRONG_LENGTH : TAIL_OK;
    }
    if (stream->arc)
        return TAIL_OK; /* a line that is no header is the next record's damage */
    return lines >= 2 && !took ? TAIL_OK : TAIL_WRONG_LENGTH;
}

/* A length that goes beyond the member was a lie: goes back to the block, and from now on searches
 * in this member instead of skipping, so that many lies cost one reading. VLM_SKIP: the bytes are
 * gone (a pipe). */
static int return_to_block(struct vlm_dump *dump, uint64_t block, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    uint64_t member = stream->member;
    dump->lying_member = member + 1;
    if (vlm_window_lowest(&stream->window) > member)
        return VLM_SKIP;
    int rc = vlm_stream_open(stream, member, err);
    return rc == VLM_OK ? vlm_stream_skip(stream, block, err) : rc;
}

/* A block over the limit: its record is lost, the next one is found behind it if that is true. */
static int skip_large(struct vlm_dump *dump, struct vlm_record *record, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    uint64_t offset = here(dump), start = stream->position, length = dump->header.length;
    uint64_t size = is_plain(dump) ? vlm_window_file_size(&stream->window) : UINT64_MAX;
    vlm_stream_take(stream, dump->header.size);
    bool lies = !is_plain(dump) && dump->lying_member == stream->member + 1;
    if (lies || (size != UINT64_MAX && length > size - VLM_MIN(size, stream->position)))
        return resync(dump, record, VLM_DAMAGE_LENGTH, offset, start, err);
    uint64_t block = stream->position;
    int rc = vlm_stream_skip(stream, length, err);
    if (rc == VLM_OK)
        rc = skip_newlines(dump, err);
    if (rc == VLM_OK && size != UINT64_MAX &&
        !vlm_record_begins(stream->arc, stream->data + stream->at, stream->size - stream->at)) {
        rc = vlm_stream_open(stream, block, err); /* the length was wrong: look inside */
        return rc < 0 ? rc : resync(dump, record, VLM_DAMAGE_LENGTH, offset, start, err);
    }
    if (rc == VLM_EOF && !stream->damage && !is_plain(dump) && stream->position - block < length) {
        rc = return_to_block(dump, block, err);
        if (rc == VLM_OK)
            return resync(dump, record, VLM_DAMAGE_LENGTH, offset, start, err);
        rc = rc < 0 ? rc : VLM_EOF;
    }
    if (rc < 0)
        return rc;
    if (rc == VLM_EOF && stream->damage) {
        rc = leave_member(dump, err);
        return rc < 0 ? rc : report(record, stream->damage, offset, dump->boundary - offset, start);
    }
    if (rc == VLM_EOF && !is_plain(dump)) {
        dump->boundary = stream->next;
        dump->open = false;
        return report(record, VLM_DAMAGE_TOO_LARGE, offset, dump->boundary - offset, start);
    }
    return report(record, VLM_DAMAGE_TOO_LARGE, offset, here(dump) - offset,
                  is_plain(dump) ? 0 : start);
}

/* Brings in the block and what stands behind it. *complete: all of the block is there. */
static int read_block(struct vlm_dump *dump, size_t total, bool *complete, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    size_t tail = stream->arc ? TAIL_ARC : TAIL_WARC;
    int rc = vlm_stream_more(stream, total + tail, VLM_JOIN_NO, err);
    if (rc == VLM_OK && stream->size - stream->at < total)
        rc = vlm_stream_more(stream, total, VLM_JOIN_YES, err);
    *complete = stream->size - stream->at >= total;
    return rc;
}

static int read_record(struct vlm_dump *dump, struct vlm_record *record, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    enum vlm_header_state state = VLM_HEADER_MORE;
    int rc = read_header(dump, &state, err);
    if (rc < 0)
        return rc;
    uint64_t offset = here(dump), start = stream->position;
    if (state == VLM_HEADER_BAD) {
        enum vlm_damage damage = dump->header.damage;
        const uint8_t *bytes = stream->data + stream->at;
        if (!stream->arc && !vlm_record_begins(false, bytes, stream->size - stream->at))
            damage = VLM_DAMAGE_JUNK;
        return resync(dump, record, damage, offset, start, err);
    }
    if (dump->header.length > VLM_WARC_BLOCK_MAX)
        return skip_large(dump, record, err);
    fill_record(dump, record); /* before the bytes move */
    size_t total = dump->header.size + (size_t)dump->header.length, separator = 0;
    bool complete = false;
    rc = read_block(dump, total, &complete, err);
    if (rc < 0)
        return rc;
    enum tail tail = complete         ? check_tail(dump, total, &separator)
                     : stream->damage ? TAIL_DAMAGED
                                      : TAIL_WRONG_LENGTH;
    if (tail == TAIL_DAMAGED)
        return report_member(dump, record, err);
    if (tail == TAIL_WRONG_LENGTH) {
        vlm_stream_take(stream, dump->header.size);
        return resync(dump, record, VLM_DAMAGE_LENGTH, offset, start, err);
    }
    record->block = stream->data + stream->at + dump->header.size;
    record->offset = offset;
    record->start = is_plain(dump) ? 0 : start;
    vlm_stream_take(stream, total + separator);
    uint64_t until = stream->joined ? stream->joined_member : offset;
    if (is_plain(dump))
        until = stream->position;
    else if (stream->whole && stream->at == stream->size)
        until = stream->next;
    record->length = until - offset;
    return VLM_OK;
}

/* gzip members behind plain records? A magic number without more bytes is not looked up. */
static bool gzip_here(const struct vlm_dump *dump)
{
    const struct vlm_stream *stream = &dump->stream;
    return vlm_gzip_magic(stream->data + stream->at, stream->size - stream->at);
}

static int next_record(struct vlm_dump *dump, struct vlm_record *record, struct vlm_err *err)
{
    for (;;) {
        int rc = dump->open ? VLM_OK : open_member(dump, record, err);
        if (rc != VLM_OK)
            return rc;
        rc = skip_newlines(dump, err);
        settle_joined(&dump->stream);
        if (rc < 0)
            return rc;
        if (rc == VLM_EOF && dump->stream.damage)
            return report_member(dump, record, err);
        if (rc == VLM_EOF && is_plain(dump))
            return finish(dump, dump->stream.position);
        if (rc == VLM_EOF) {
            dump->boundary = dump->stream.next;
            dump->open = false;
            continue;
        }
        if (is_plain(dump) && dump->stream.position >= dump->end)
            return finish(dump, dump->stream.position);
        if (is_plain(dump) && gzip_here(dump)) {
            dump->boundary = dump->stream.position;
            dump->stream.kind = VLM_STREAM_GZIP;
            dump->open = false;
            continue;
        }
        return read_record(dump, record, err);
    }
}

int vlm_dump_next(struct vlm_dump *dump, struct vlm_record *record, struct vlm_err *err)
{
    if (dump->archive) {
        int rc = vlm_archive_next(dump->archive, record, err);
        if (rc == VLM_EOF)
            dump->position = file_end(dump);
        return rc;
    }
    if (dump->files)
        return vlm_files_next(dump->files, record, err);
    return dump->done ? VLM_EOF : next_record(dump, record, err);
}

uint64_t vlm_dump_first(const struct vlm_dump *dump)
{
    return dump->first;
}

uint64_t vlm_dump_position(const struct vlm_dump *dump)
{
    return dump->files ? vlm_files_position(dump->files) : dump->position;
}

enum vlm_dump_format vlm_dump_format(const struct vlm_dump *dump)
{
    return dump->format;
}

void vlm_dump_close(struct vlm_dump *dump)
{
    if (!dump)
        return;
    vlm_archive_close(dump->archive);
    vlm_files_close(dump->files);
    vlm_stream_release(&dump->stream);
    free(dump->strings);
    free(dump);
}

/* Sets up the stream for a format. */
static void set_format(struct vlm_dump *dump, enum vlm_dump_format format)
{
    dump->format = format;
    dump->stream.arc = format == VLM_DUMP_ARC || format == VLM_DUMP_ARC_GZIP;
    dump->stream.kind = VLM_STREAM_PLAIN;
    if (format == VLM_DUMP_WARC_GZIP || format == VLM_DUMP_ARC_GZIP)
        dump->stream.kind = VLM_STREAM_GZIP;
    if (format == VLM_DUMP_WARC_ZSTD)
        dump->stream.kind = VLM_STREAM_ZSTD;
}

/* The beginning is damaged: is there a record within the first bytes all the same? */
static int sniff_behind_damage(struct vlm_dump *dump, struct vlm_view view, struct vlm_err *err)
{
    static const enum vlm_dump_format formats[] = { VLM_DUMP_WARC, VLM_DUMP_WARC_GZIP,
                                                    VLM_DUMP_WARC_ZSTD, VLM_DUMP_ARC_GZIP };
    size_t lead = VLM_MIN(view.n, LEAD_MAX), at = 0;
    while (at < lead && strchr(" \t\r\n", view.bytes[at]))
        at++;
    if (at < lead && (view.bytes[at] == '<' || view.bytes[at] == '{'))
        return VLM_OK; /* a page that shows a record is no dump */
    for (size_t i = 0; i < VLM_COUNTOF(formats) && dump->format == VLM_DUMP_UNKNOWN; i++) {
        uint64_t found = UINT64_MAX;
        set_format(dump, formats[i]);
        int rc = VLM_OK;
        if (is_plain(dump)) {
            rc = vlm_stream_open(&dump->stream, 0, err);
            if (rc == VLM_OK)
                rc = vlm_stream_find(&dump->stream, lead, err);
            found = rc == VLM_OK ? 0 : UINT64_MAX;
        } else {
            rc = vlm_stream_find_member(&dump->stream, 0, LEAD_MEMBERS_MAX, &found, err);
        }
        if (rc < 0)
            return rc;
        if (found == UINT64_MAX)
            dump->format = VLM_DUMP_UNKNOWN;
    }
    return VLM_OK;
}

static int find_format(struct vlm_dump *dump, enum vlm_dump_format wanted, struct vlm_err *err)
{
    struct vlm_view view;
    if (wanted != VLM_DUMP_UNKNOWN) {
        set_format(dump, wanted);
        return VLM_OK;
    }
    int rc = vlm_window_need(&dump->stream.window, 0, SNIFF_BYTES, &view, err);
    if (rc < 0)
        return rc;
    size_t n = VLM_MIN(view.n, SNIFF_BYTES);
    set_format(dump, n ? vlm_dump_sniff(view.bytes, n) : VLM_DUMP_WARC);
    if (dump->format != VLM_DUMP_UNKNOWN)
        return VLM_OK;
    rc = vlm_window_need(&dump->stream.window, 0, LEAD_MAX, &view, err);
    if (rc == VLM_OK)
        rc = sniff_behind_damage(dump, view, err);
    if (rc == VLM_OK && dump->format == VLM_DUMP_UNKNOWN)
        rc = vlm_fail(err, VLM_EFORMAT, "%s: no WARC, ARC, tar or zip file", dump->name);
    return rc;
}

/* In a plain ARC file records are found at line starts only: begin at one. */
static int go_to_line_start(struct vlm_dump *dump, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    for (;;) {
        int rc = vlm_stream_more(stream, 4 * VLM_KIB, VLM_JOIN_NO, err);
        if (rc < 0)
            return rc;
        const uint8_t *from = stream->data + stream->at;
        size_t n = stream->size - stream->at;
        const uint8_t *newline = memchr(from, '\n', n);
        vlm_stream_take(stream, newline ? (size_t)(newline - from) + 1 : n);
        if (newline || !n || stream->position >= dump->end)
            return VLM_OK;
    }
}

/* Entering in the middle: the first record of the range. */
static int find_first(struct vlm_dump *dump, struct vlm_err *err)
{
    struct vlm_stream *stream = &dump->stream;
    uint64_t found = UINT64_MAX;
    int rc;
    if (is_plain(dump)) {
        rc = vlm_stream_open(stream, dump->begin - (stream->arc ? 1 : 0), err);
        if (rc == VLM_OK && stream->arc)
            rc = go_to_line_start(dump, err);
        if (rc == VLM_OK)
            rc = vlm_stream_find(stream, dump->end, err);
        if (rc == VLM_OK && stream->position < dump->end)
            found = stream->position;
    } else {
        rc = vlm_stream_find_member(stream, dump->begin, dump->end, &found, err);
    }
    if (rc < 0)
        return rc;
    dump->first = dump->boundary = found;
    dump->open = is_plain(dump) && found != UINT64_MAX;
    if (found == UINT64_MAX)
        finish(dump, UINT64_MAX);
    return VLM_OK;
}

static int prepare(struct vlm_dump *dump, const struct vlm_dump_input *in, struct vlm_err *err)
{
    dump->begin = in->begin;
    dump->end = in->end ? in->end : UINT64_MAX;
    dump->first = dump->boundary = dump->position = in->begin;
    if (in->format == VLM_DUMP_FILES) {
        dump->format = VLM_DUMP_FILES;
        return vlm_files_open(&dump->files, in, err);
    }
    int rc = find_format(dump, in->format, err);
    if (rc < 0)
        return rc;
    dump->strings = malloc(VLM_WARC_HEADER_MAX + 16);
    if (!dump->strings)
        return vlm_fail(err, VLM_ENOMEM, "%s: no memory for a header", dump->name);
    if (dump->begin >= dump->end) {
        finish(dump, dump->begin);
        return VLM_OK;
    }
    if (dump->format == VLM_DUMP_ARCHIVE) {
        if (!dump->begin) /* an archive is one unit */
            return vlm_archive_open(&dump->archive, &dump->stream.window, err);
        dump->first = in->exact ? dump->begin : UINT64_MAX;
        finish(dump, dump->first);
        return VLM_OK;
    }
    return dump->begin && !in->exact ? find_first(dump, err) : VLM_OK;
}

static int open_with(struct vlm_dump **out, const struct vlm_dump_input *in,
                     vlm_window_source *source, void *context, struct vlm_err *err)
{
    struct vlm_dump *dump = calloc(1, sizeof(*dump));
    if (!dump)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a dump reader");
    snprintf(dump->name, sizeof(dump->name), "%s", in->name ? in->name : "input");
    dump->stream.window = (struct vlm_window){ .fd = in->fd,
                                               .name = dump->name,
                                               .source = source,
                                               .context = context,
                                               .pipe = source != NULL };
    int rc = prepare(dump, in, err);
    if (rc < 0) {
        vlm_dump_close(dump);
        return rc;
    }
    *out = dump;
    return VLM_OK;
}

int vlm_dump_open(struct vlm_dump **out, const struct vlm_dump_input *in, struct vlm_err *err)
{
    return open_with(out, in, NULL, NULL, err);
}

int vlm_dump_open_source(struct vlm_dump **out, vlm_window_source *source, void *context,
                         enum vlm_dump_format format, const char *name, struct vlm_err *err)
{
    struct vlm_dump_input in = { .fd = -1, .name = name, .format = format };
    return open_with(out, &in, source, context, err);
}
