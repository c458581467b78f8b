/* unit.c - unit files: written front to back by a worker, read by seal.
 *
 * The writer never seeks, so a killed worker leaves a file without a trailer, which is no unit. */
#include "base/vlm.h"

#include "shard/units/unit.h"

#include "base/bytes.h"
#include "base/file.h"
#include "shard/parts/stored.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WRITE_SIZE = 1 << 20,
    HEADER_SIZE = 16,
    TRAILER_SIZE = 8 + 8 * 8 + (int)sizeof(struct vlm_ledger) + 8 + 8
};
static const char MAGIC[8] = { 'V', 'L', 'M', 'U', 'N', 'I', 'T', '2' };
static const char END_MAGIC[8] = { 'V', 'L', 'M', 'U', 'E', 'N', 'D', '1' };

static int flush(struct vlm_unit_writer *unit, struct vlm_err *err)
{
    if (unit->out.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory to write unit '%s'", unit->name);
    int rc = vlm_write_all(unit->fd, unit->out.data, unit->out.size, unit->name, err);
    vlm_buffer_reset(&unit->out);
    return rc;
}

static int write_bytes(struct vlm_unit_writer *unit, const uint8_t *bytes, size_t n,
                       struct vlm_err *err)
{
    vlm_buffer_add(&unit->out, bytes, n);
    unit->position += n;
    return unit->out.size >= WRITE_SIZE || unit->out.failed ? flush(unit, err) : VLM_OK;
}

int vlm_unit_begin(struct vlm_unit_writer *unit, int fd, const char *name, uint64_t plan,
                   struct vlm_err *err)
{
    *unit = (struct vlm_unit_writer){ .fd = fd, .name = name };
    struct vlm_buffer header = { 0 };
    vlm_buffer_add(&header, MAGIC, sizeof(MAGIC));
    vlm_buffer_u64(&header, plan);
    int rc = write_bytes(unit, header.data, header.size, err);
    vlm_buffer_release(&header);
    return rc;
}

static int add_stored(struct vlm_unit_writer *unit, const struct vlm_buffer *stored,
                      struct vlm_err *err)
{
    if (stored->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory to store an item in unit '%s'", unit->name);
    uint64_t sum = vlm_xxh3(stored->data, stored->size);
    unit->trailer.chain = vlm_xxh3_chain(unit->trailer.chain, sum);
    return write_bytes(unit, stored->data, stored->size, err);
}

int vlm_unit_add_document(struct vlm_unit_writer *unit, const struct vlm_buffer *stored,
                          struct vlm_document_head *head, const struct vlm_reference *references,
                          struct vlm_err *err)
{
    struct vlm_buffer *out = &unit->heads;
    head->position = unit->position;
    head->size = (uint32_t)stored->size;
    vlm_buffer_u64(out, head->position);
    vlm_buffer_u32(out, head->size);
    vlm_buffer_add(out, head->url.byte, VLM_KEY_SIZE);
    vlm_buffer_u64(out, head->date);
    vlm_buffer_u32(out, head->words);
    vlm_buffer_u32(out, head->n_references);
    for (size_t i = 0; i < head->n_references; i++) {
        vlm_buffer_byte(out, references[i].status);
        vlm_buffer_byte(out, references[i].n_candidates);
        for (size_t k = 0; k < references[i].n_candidates; k++)
            vlm_buffer_add(out, references[i].candidate[k].byte, VLM_KEY_SIZE);
    }
    unit->trailer.n_documents++;
    return add_stored(unit, stored, err);
}

int vlm_unit_add_image(struct vlm_unit_writer *unit, const struct vlm_buffer *stored,
                       struct vlm_capture *capture, struct vlm_err *err)
{
    capture->position = unit->position;
    capture->size = (uint32_t)stored->size;
    return add_stored(unit, stored, err);
}

void vlm_unit_codes_add(struct vlm_buffer *stored, const uint16_t codes[VLM_CODES])
{
    uint8_t bytes[VLM_CODES_BYTES];
    vlm_codes_encode(bytes, codes);
    vlm_buffer_u64(stored, vlm_xxh3(bytes, sizeof(bytes)));
    vlm_buffer_add(stored, bytes, sizeof(bytes));
}

int vlm_unit_codes_read(uint16_t codes[VLM_CODES], const struct vlm_buffer *stored, size_t n,
                        struct vlm_err *err)
{
    if (n == stored->size)
        return VLM_SKIP;
    if (n > stored->size || stored->size - n != VLM_UNIT_CODES)
        return vlm_fail(err, VLM_EDIFFER, "%zu bytes behind an image, expected %d of codes",
                        stored->size - VLM_MIN(n, stored->size), VLM_UNIT_CODES);
    struct vlm_bytes in = { stored->data + n, stored->data + stored->size, false };
    if (vlm_bytes_u64(&in) != vlm_xxh3(in.at, VLM_CODES_BYTES))
        return vlm_fail(err, VLM_EDIFFER, "checksum of the codes differs");
    vlm_codes_decode(codes, in.at);
    return VLM_OK;
}

void vlm_unit_add_capture(struct vlm_unit_writer *unit, const struct vlm_capture *capture)
{
    struct vlm_buffer *out = &unit->captures;
    vlm_buffer_add(out, capture->key.byte, VLM_KEY_SIZE);
    vlm_buffer_u64(out, capture->date);
    vlm_buffer_byte(out, capture->kind);
    if (capture->kind == VLM_CAPTURE_IMAGE) {
        vlm_buffer_byte(out, capture->status);
        vlm_buffer_byte(out, capture->format);
        vlm_buffer_byte(out, capture->again);
        vlm_buffer_u32(out, capture->width);
        vlm_buffer_u32(out, capture->height);
        vlm_buffer_add(out, capture->sha256, VLM_SHA256_SIZE);
        vlm_buffer_u64(out, capture->position);
        vlm_buffer_u32(out, capture->size);
    } else if (capture->kind == VLM_CAPTURE_REDIRECT || capture->kind == VLM_CAPTURE_REVISIT) {
        vlm_buffer_add(out, capture->target.byte, VLM_KEY_SIZE);
        vlm_buffer_add(out, capture->digest.byte, VLM_KEY_SIZE);
        vlm_buffer_u64(out, capture->target_date);
    }
    unit->trailer.n_captures++;
}

static void add_trailer(struct vlm_buffer *out, const struct vlm_unit_trailer *trailer,
                        uint64_t file_size)
{
    size_t begin = out->size;
    vlm_buffer_add(out, END_MAGIC, sizeof(END_MAGIC));
    vlm_buffer_u64(out, trailer->first);
    vlm_buffer_u64(out, trailer->end);
    vlm_buffer_u64(out, trailer->n_documents);
    vlm_buffer_u64(out, trailer->n_captures);
    vlm_buffer_u64(out, trailer->index_position);
    vlm_buffer_u64(out, trailer->index_size);
    vlm_buffer_u64(out, trailer->chain);
    vlm_buffer_u64(out, trailer->index_check);
    vlm_ledger_encode(out, &trailer->ledger);
    vlm_buffer_u64(out, file_size);
    if (!out->failed)
        vlm_buffer_u64(out, vlm_xxh3(out->data + begin, out->size - begin));
}

int vlm_unit_end(struct vlm_unit_writer *unit, struct vlm_err *err)
{
    struct vlm_unit_trailer *trailer = &unit->trailer;
    vlm_buffer_add(&unit->heads, unit->captures.data, unit->captures.size);
    if (unit->heads.failed || unit->captures.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the index of unit '%s'", unit->name);
    trailer->index_position = unit->position;
    trailer->index_size = unit->heads.size;
    trailer->index_check = vlm_xxh3(unit->heads.data, unit->heads.size);
    int rc = write_bytes(unit, unit->heads.data, unit->heads.size, err);
    if (rc < 0)
        return rc;
    add_trailer(&unit->out, trailer, unit->position + TRAILER_SIZE);
    return flush(unit, err);
}

void vlm_unit_release(struct vlm_unit_writer *unit)
{
    vlm_buffer_release(&unit->out);
    vlm_buffer_release(&unit->heads);
    vlm_buffer_release(&unit->captures);
}

static int no_unit(struct vlm_unit *unit, struct vlm_err *err, const char *why)
{
    int rc = vlm_fail(err, VLM_SKIP, "'%s' is no whole unit: %s", unit->path, why);
    vlm_unit_close(unit);
    return rc;
}

static bool read_trailer(struct vlm_unit_trailer *trailer, const uint8_t *bytes, uint64_t file_size)
{
    struct vlm_bytes in = { bytes + 8, bytes + TRAILER_SIZE, false };
    trailer->first = vlm_bytes_u64(&in);
    trailer->end = vlm_bytes_u64(&in);
    trailer->n_documents = vlm_bytes_u64(&in);
    trailer->n_captures = vlm_bytes_u64(&in);
    trailer->index_position = vlm_bytes_u64(&in);
    trailer->index_size = vlm_bytes_u64(&in);
    trailer->chain = vlm_bytes_u64(&in);
    trailer->index_check = vlm_bytes_u64(&in);
    vlm_ledger_decode(&trailer->ledger, &in);
    return !memcmp(bytes, END_MAGIC, sizeof(END_MAGIC)) && vlm_bytes_u64(&in) == file_size &&
           vlm_bytes_u64(&in) == vlm_xxh3(bytes, TRAILER_SIZE - 8) &&
           trailer->index_position <= file_size &&
           trailer->index_size == file_size - TRAILER_SIZE - trailer->index_position;
}

int vlm_unit_open(struct vlm_unit *unit, const char *path, uint64_t plan, struct vlm_err *err)
{
    struct stat stat;
    uint8_t header[HEADER_SIZE], bytes[TRAILER_SIZE];
    *unit = (struct vlm_unit){ .fd = open(path, O_RDONLY | O_CLOEXEC), .path = strdup(path) };
    VLM_BUG_IF(!unit->path);
    if (unit->fd < 0 || fstat(unit->fd, &stat) < 0)
        return no_unit(unit, err, strerror(errno));
    uint64_t size = (uint64_t)stat.st_size;
    if (size < HEADER_SIZE + TRAILER_SIZE)
        return no_unit(unit, err, "it is too short");
    int rc = vlm_pread_all(unit->fd, header, sizeof(header), 0, path, err);
    if (rc == VLM_OK)
        rc = vlm_pread_all(unit->fd, bytes, sizeof(bytes), size - TRAILER_SIZE, path, err);
    if (rc < 0) {
        vlm_unit_close(unit);
        return rc;
    }
    struct vlm_bytes in = { header + 8, header + HEADER_SIZE, false };
    if (memcmp(header, MAGIC, sizeof(MAGIC)) || vlm_bytes_u64(&in) != plan)
        return no_unit(unit, err, "it belongs to another plan");
    if (!read_trailer(&unit->trailer, bytes, size))
        return no_unit(unit, err, "its trailer is damaged");
    return VLM_OK;
}

int vlm_unit_read(const struct vlm_unit *unit, struct vlm_buffer *buffer, uint64_t position,
                  uint32_t size, struct vlm_err *err)
{
    vlm_buffer_reset(buffer);
    if (!vlm_buffer_reserve(buffer, size))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " bytes of '%s'", size,
                        unit->path);
    buffer->size = size;
    return vlm_pread_all(unit->fd, buffer->data, size, position, unit->path, err);
}

int vlm_unit_read_index(struct vlm_unit *unit, struct vlm_err *err)
{
    const struct vlm_unit_trailer *trailer = &unit->trailer;
    if (trailer->index_size > UINT32_MAX)
        return vlm_fail(err, VLM_ELIMIT, "index of '%s' is over 4 GiB", unit->path);
    int rc = vlm_unit_read(unit, &unit->index, trailer->index_position,
                           (uint32_t)trailer->index_size, err);
    if (rc < 0)
        return rc;
    if (vlm_xxh3(unit->index.data, unit->index.size) != trailer->index_check)
        return vlm_fail(err, VLM_EDIFFER, "checksum of the index of '%s' differs", unit->path);
    unit->at = (struct vlm_bytes){ unit->index.data, unit->index.data + unit->index.size, false };
    unit->documents_left = trailer->n_documents;
    unit->captures_left = trailer->n_captures;
    return VLM_OK;
}

static struct vlm_key take_key(struct vlm_bytes *in)
{
    struct vlm_key key = { { 0 } };
    const uint8_t *bytes = vlm_bytes_take(in, VLM_KEY_SIZE);
    if (bytes)
        memcpy(key.byte, bytes, VLM_KEY_SIZE);
    return key;
}

static int bad_index(const struct vlm_unit *unit, struct vlm_err *err)
{
    return vlm_fail(err, VLM_EFORMAT, "index of '%s' does not follow its layout", unit->path);
}

int vlm_unit_next_document(struct vlm_unit *unit, struct vlm_document_head *head,
                           struct vlm_reference **references, struct vlm_err *err)
{
    struct vlm_bytes *in = &unit->at;
    if (!unit->documents_left)
        return VLM_EOF;
    unit->documents_left--;
    head->position = vlm_bytes_u64(in);
    head->size = vlm_bytes_u32(in);
    head->url = take_key(in);
    head->date = vlm_bytes_u64(in);
    head->words = vlm_bytes_u32(in);
    head->n_references = vlm_bytes_u32(in);
    if (in->bad || head->n_references > VLM_HTML_IMAGES_MAX)
        return bad_index(unit, err);
    if (!*references)
        *references = calloc(VLM_HTML_IMAGES_MAX, sizeof(**references));
    if (!*references)
        return vlm_fail(err, VLM_ENOMEM, "no memory for image references");
    for (size_t i = 0; i < head->n_references; i++) {
        struct vlm_reference *reference = &(*references)[i];
        reference->status = vlm_bytes_u8(in);
        reference->n_candidates = vlm_bytes_u8(in);
        if (reference->n_candidates > VLM_IMAGE_CANDIDATES_MAX)
            return bad_index(unit, err);
        for (size_t k = 0; k < reference->n_candidates; k++)
            reference->candidate[k] = take_key(in);
    }
    return in->bad ? bad_index(unit, err) : VLM_OK;
}

int vlm_unit_next_capture(struct vlm_unit *unit, struct vlm_capture *capture, struct vlm_err *err)
{
    struct vlm_bytes *in = &unit->at;
    if (!unit->captures_left)
        return VLM_EOF;
    unit->captures_left--;
    *capture = (struct vlm_capture){ .key = take_key(in) };
    capture->date = vlm_bytes_u64(in);
    capture->kind = vlm_bytes_u8(in);
    if (capture->kind == VLM_CAPTURE_IMAGE) {
        capture->status = vlm_bytes_u8(in);
        capture->format = vlm_bytes_u8(in);
        capture->again = vlm_bytes_u8(in);
        capture->width = vlm_bytes_u32(in);
        capture->height = vlm_bytes_u32(in);
        const uint8_t *sha = vlm_bytes_take(in, VLM_SHA256_SIZE);
        if (sha)
            memcpy(capture->sha256, sha, VLM_SHA256_SIZE);
        capture->position = vlm_bytes_u64(in);
        capture->size = vlm_bytes_u32(in);
    } else if (capture->kind == VLM_CAPTURE_REDIRECT || capture->kind == VLM_CAPTURE_REVISIT) {
        capture->target = take_key(in);
        capture->digest = take_key(in);
        capture->target_date = vlm_bytes_u64(in);
    }
    return in->bad || capture->kind >= VLM_CAPTURE_KINDS ? bad_index(unit, err) : VLM_OK;
}

void vlm_unit_close(struct vlm_unit *unit)
{
    if (unit->fd >= 0)
        close(unit->fd);
    vlm_buffer_release(&unit->index);
    free(unit->path);
    *unit = (struct vlm_unit){ .fd = -1 };
}
