/* stored.c - the byte layout of documents and images; schemas/document.md and image.md describe it.
 *
 * Text is stored once, in the order of the events, so that an event needs only its length. */
#include "base/vlm.h"

#include "shard/parts/stored.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"

#include <endian.h>

/* Header of a document:  0 u64 checksum   8 u8 version   9 u8[3] zero   12 u32 images
 *                       16 id[16]        32 payload SHA-256[32]
 * Entry of its image table: u8 status, format, used, candidates; u32 width, height; SHA-256[32] */
enum { AT_IMAGES = 12 };

enum { IMAGE_HEADER = 40, AT_SIZES = 32 }; /* of an image, below */

/* In the first byte of an event: its flags follow. */
enum { HAS_FLAGS = 0x80 };

void vlm_data_name(char name[VLM_DATA_NAME_SIZE], const char *url, size_t n)
{
    uint8_t sha[VLM_SHA256_SIZE];
    char hex[2 * VLM_SHA256_SIZE + 1];
    vlm_sha256(sha, url, n);
    snprintf(name, VLM_DATA_NAME_SIZE, "data:sha256:%s", vlm_hex(hex, sha, sizeof(sha)));
}

static void put_u32(uint8_t *to, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static void put_checksum(uint8_t *record, size_t size)
{
    uint64_t sum = vlm_xxh3(record + 8, size - 8);
    for (size_t i = 0; i < 8; i++)
        record[i] = (uint8_t)(sum >> 8 * i);
}

static void add_string(struct vlm_buffer *out, const char *text, size_t n)
{
    vlm_buffer_varint(out, n);
    vlm_buffer_add(out, text, n);
}

/* Absent and empty are different: 0 is absent, n + 1 a string of n bytes. */
static void add_optional(struct vlm_buffer *out, const char *text, size_t n)
{
    vlm_buffer_varint(out, text ? n + 1 : 0);
    vlm_buffer_add(out, text, text ? n : 0);
}

static bool is_data_url(const char *text, size_t n)
{
    return n >= 5 && !strncasecmp(text, "data:", 5);
}

static void add_url(struct vlm_buffer *out, const char *text, size_t n)
{
    char name[VLM_DATA_NAME_SIZE];
    if (is_data_url(text, n)) {
        vlm_data_name(name, text, n);
        add_string(out, name, strlen(name));
    } else {
        add_string(out, text, n);
    }
}

static void add_image_table(struct vlm_buffer *out, const struct vlm_document *document)
{
    for (size_t i = 0; i < document->n_images; i++) {
        const struct vlm_document_image *image = &document->images[i];
        vlm_buffer_byte(out, image->status);
        vlm_buffer_byte(out, image->format);
        vlm_buffer_byte(out, image->used);
        vlm_buffer_byte(out, image->n_candidates);
        vlm_buffer_u32(out, image->width);
        vlm_buffer_u32(out, image->height);
        vlm_buffer_add(out, image->sha256, sizeof(image->sha256));
    }
}

static void add_image_strings(struct vlm_buffer *out, const struct vlm_document *document)
{
    const char *text = document->text;
    for (size_t i = 0; i < document->n_images; i++) {
        const struct vlm_document_image *image = &document->images[i];
        add_url(out, text + image->src.start, image->src.length);
        add_optional(out, image->has_alt ? text + image->alt.start : NULL, image->alt.length);
        for (size_t k = 0; k < image->n_candidates; k++)
            add_url(out, text + image->candidate[k].start, image->candidate[k].length);
    }
}

static void add_zigzag(struct vlm_buffer *out, int64_t value)
{
    vlm_buffer_varint(out, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

/* data: URLs in a src attribute would store the picture a second time. */
static bool event_text_is_stored(const struct vlm_document *document, const struct vlm_event *event)
{
    return !(event->kind == VLM_EVENT_ATTRIBUTE &&
             is_data_url(document->text + event->start, event->length));
}

static void add_events(struct vlm_buffer *out, const struct vlm_document *document)
{
    int64_t last = 0;
    vlm_buffer_varint(out, document->n_events);
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        vlm_buffer_byte(out, (uint8_t)(event->kind | (event->flags ? HAS_FLAGS : 0)));
        if (event->flags)
            vlm_buffer_byte(out, event->flags);
        add_zigzag(out, (int64_t)event->offset - last);
        last = event->offset;
        if (event->kind == VLM_EVENT_IMAGE)
            vlm_buffer_varint(out, event->start);
        else if (event->kind != VLM_EVENT_TEXT)
            vlm_buffer_varint(out, event->name);
        if (event->kind == VLM_EVENT_TEXT || event->kind == VLM_EVENT_ATTRIBUTE)
            vlm_buffer_varint(out, event_text_is_stored(document, event) ? event->length : 0);
    }
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_TEXT ||
            (event->kind == VLM_EVENT_ATTRIBUTE && event_text_is_stored(document, event)))
            vlm_buffer_add(out, document->text + event->start, event->length);
    }
}

void vlm_stored_document_encode(struct vlm_buffer *out, const struct vlm_document *document)
{
    size_t begin = out->size;
    uint8_t id[16];
    vlm_document_id(id, document);
    vlm_buffer_u64(out, 0); /* the checksum, below */
    vlm_buffer_u32(out, VLM_STORED_VERSION);
    vlm_buffer_u32(out, (uint32_t)document->n_images);
    vlm_buffer_add(out, id, sizeof(id));
    vlm_buffer_add(out, document->payload_sha256, sizeof(document->payload_sha256));
    add_image_table(out, document);
    add_string(out, document->url, strlen(document->url));
    add_optional(out, document->date, document->date ? strlen(document->date) : 0);
    add_string(out, document->title, strlen(document->title));
    add_string(out, document->lang, strlen(document->lang));
    add_string(out, document->charset, strlen(document->charset));
    add_string(out, document->source.file, strlen(document->source.file));
    vlm_buffer_varint(out, document->source.offset);
    vlm_buffer_varint(out, document->source.length);
    vlm_buffer_varint(out, document->warnings);
    add_image_strings(out, document);
    add_events(out, document);
    if (!out->failed)
        put_checksum(out->data + begin, out->size - begin);
}

static int check_record(struct vlm_bytes *in, const uint8_t *bytes, size_t size, const char *what,
                        struct vlm_err *err)
{
    *in = (struct vlm_bytes){ bytes, bytes + size, false };
    uint64_t stored = vlm_bytes_u64(in);
    uint32_t version = vlm_bytes_u32(in);
    if (in->bad)
        return vlm_fail(err, VLM_EFORMAT, "%s of %zu bytes is cut", what, size);
    if (stored != vlm_xxh3(bytes + 8, size - 8))
        return vlm_fail(err, VLM_EDIFFER, "checksum of the %s differs", what);
    if (version != VLM_STORED_VERSION)
        return vlm_fail(err, VLM_EFORMAT, "%s version %" PRIu32 ", expected %d", what, version,
                        VLM_STORED_VERSION);
    return VLM_OK;
}

uint32_t vlm_stored_document_images(const uint8_t *bytes)
{
    struct vlm_bytes in = { bytes + AT_IMAGES, bytes + VLM_STORED_HEADER, false };
    return vlm_bytes_u32(&in);
}

const uint8_t *vlm_stored_document_id(const uint8_t *bytes)
{
    return bytes + AT_IMAGES + sizeof(uint32_t);
}

int vlm_stored_document_join(uint8_t *bytes, size_t size, const struct vlm_join_result *results,
                             struct vlm_err *err)
{
    struct vlm_bytes in;
    int rc = check_record(&in, bytes, size, "document", err); /* before a new one covers damage */
    if (rc < 0)
        return rc;
    uint32_t n = size < VLM_STORED_HEADER ? UINT32_MAX : vlm_stored_document_images(bytes);
    if (n > (size - VLM_MIN(size, (size_t)VLM_STORED_HEADER)) / VLM_STORED_IMAGE_ENTRY)
        return vlm_fail(err, VLM_EFORMAT,
                        "%" PRIu32 " images do not fit in a document of %zu bytes", n, size);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *entry = bytes + VLM_STORED_HEADER + (size_t)i * VLM_STORED_IMAGE_ENTRY;
        entry[0] = results[i].status;
        entry[1] = results[i].format;
        entry[2] = results[i].used;
        put_u32(entry + 4, results[i].width);
        put_u32(entry + 8, results[i].height);
        memcpy(entry + 12, results[i].sha256, VLM_SHA256_SIZE);
    }
    put_checksum(bytes, size);
    return VLM_OK;
}

static const char *take_string(struct vlm_bytes *in, uint64_t n, struct vlm_arena *arena)
{
    const uint8_t *bytes = n <= vlm_bytes_left(in) ? vlm_bytes_take(in, (size_t)n) : NULL;
    char *copy = bytes ? vlm_arena_copy(arena, bytes, (size_t)n) : NULL;
    in->bad |= !copy;
    return copy ? copy : "";
}

/* Strings of images go into the document's text; this keeps a span of the record until it is built. */
static struct vlm_string take_span(struct vlm_bytes *in, uint64_t n, struct vlm_buffer *text)
{
    struct vlm_string span = { (uint32_t)text->size, 0 };
    const uint8_t *bytes = n <= vlm_bytes_left(in) ? vlm_bytes_take(in, (size_t)n) : NULL;
    if (!bytes) {
        in->bad = true;
        return span;
    }
    span.length = (uint32_t)n;
    vlm_buffer_add(text, bytes, (size_t)n);
    return span;
}

static void read_image_table(struct vlm_document *document, struct vlm_bytes *in)
{
    for (size_t i = 0; i < document->n_images && !in->bad; i++) {
        struct vlm_document_image *image = &document->images[i];
        image->status = vlm_bytes_u8(in);
        image->format = vlm_bytes_u8(in);
        image->used = vlm_bytes_u8(in);
        image->n_candidates = vlm_bytes_u8(in);
        image->width = vlm_bytes_u32(in);
        image->height = vlm_bytes_u32(in);
        const uint8_t *sha = vlm_bytes_take(in, VLM_SHA256_SIZE);
        if (sha)
            memcpy(image->sha256, sha, VLM_SHA256_SIZE);
        in->bad |= image->n_candidates > VLM_IMAGE_CANDIDATES_MAX ||
                   image->status >= VLM_IMAGE_STATUSES || image->format >= VLM_FORMATS ||
                   (image->n_candidates && image->used >= image->n_candidates);
    }
}

static void read_image_strings(struct vlm_document *document, struct vlm_bytes *in,
                               struct vlm_buffer *text)
{
    for (size_t i = 0; i < document->n_images && !in->bad; i++) {
        struct vlm_document_image *image = &document->images[i];
        image->src = take_span(in, vlm_bytes_varint(in), text);
        uint64_t alt = vlm_bytes_varint(in);
        image->has_alt = alt > 0;
        image->alt = take_span(in, alt ? alt - 1 : 0, text);
        for (size_t k = 0; k < image->n_candidates; k++)
            image->candidate[k] = take_span(in, vlm_bytes_varint(in), text);
    }
}

static int64_t read_zigzag(struct vlm_bytes *in)
{
    uint64_t value = vlm_bytes_varint(in);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static void read_events(struct vlm_document *document, struct vlm_bytes *in,
                        struct vlm_arena *arena, struct vlm_buffer *text)
{
    uint64_t n = vlm_bytes_varint(in);
    if (in->bad || n > vlm_bytes_left(in)) {
        in->bad = true;
        return;
    }
    document->n_events = (size_t)n;
    document->events = vlm_arena_zero(arena, (size_t)n, sizeof(*document->events));
    in->bad |= !document->events;
    uint64_t length = 0, at = text->size;
    int64_t offset = 0;
    for (size_t i = 0; i < n && !in->bad; i++) {
        struct vlm_event *event = &document->events[i];
        uint8_t head = vlm_bytes_u8(in);
        event->kind = head & (HAS_FLAGS - 1);
        event->flags = head & HAS_FLAGS ? vlm_bytes_u8(in) : 0;
        int64_t delta = read_zigzag(in);
        in->bad |=
            event->kind >= VLM_EVENT_KINDS || delta > UINT32_MAX || delta < -(int64_t)UINT32_MAX;
        offset += in->bad ? 0 : delta;
        in->bad |= offset < 0 || offset > UINT32_MAX;
        event->offset = (uint32_t)offset;
        uint64_t value = event->kind == VLM_EVENT_TEXT ? 0 : vlm_bytes_varint(in);
        in->bad |= value > (event->kind == VLM_EVENT_IMAGE ? UINT32_MAX : UINT16_MAX);
        if (event->kind == VLM_EVENT_IMAGE)
            event->start = (uint32_t)value;
        else
            event->name = (uint16_t)value;
        if (event->kind == VLM_EVENT_TEXT || event->kind == VLM_EVENT_ATTRIBUTE) {
            uint64_t bytes = vlm_bytes_varint(in);
            in->bad |= bytes > vlm_bytes_left(in) || length > vlm_bytes_left(in);
            event->start = (uint32_t)(at + length);
            event->length = (uint32_t)bytes;
            length += bytes;
        }
    }
    take_span(in, length, text);
    in->bad |= in->at != in->end || text->size > UINT32_MAX;
}

int vlm_stored_document_decode(struct vlm_document **out, const uint8_t *bytes, size_t size,
                               struct vlm_arena *arena, struct vlm_err *err)
{
    struct vlm_bytes in;
    struct vlm_buffer text = { 0 };
    int rc = check_record(&in, bytes, size, "document", err);
    if (rc < 0)
        return rc;
    struct vlm_document *document = vlm_arena_zero(arena, 1, sizeof(*document));
    uint32_t n_images = vlm_bytes_u32(&in);
    vlm_bytes_take(&in, 16); /* the id follows from the content */
    const uint8_t *sha = vlm_bytes_take(&in, VLM_SHA256_SIZE);
    if (n_images > vlm_bytes_left(&in) / VLM_STORED_IMAGE_ENTRY)
        in.bad = true;
    if (document && !in.bad) {
        memcpy(document->payload_sha256, sha, VLM_SHA256_SIZE);
        document->n_images = n_images;
        document->images = vlm_arena_zero(arena, n_images, sizeof(*document->images));
    }
    if (!document || (!in.bad && !document->images))
        return vlm_fail(err, VLM_ELIMIT, "document of %zu bytes does not fit in memory", size);
    read_image_table(document, &in);
    document->url = take_string(&in, vlm_bytes_varint(&in), arena);
    uint64_t date = vlm_bytes_varint(&in);
    document->date = date ? take_string(&in, date - 1, arena) : NULL;
    document->title = take_string(&in, vlm_bytes_varint(&in), arena);
    document->lang = take_string(&in, vlm_bytes_varint(&in), arena);
    document->charset = take_string(&in, vlm_bytes_varint(&in), arena);
    document->source.file = take_string(&in, vlm_bytes_varint(&in), arena);
    document->source.offset = vlm_bytes_varint(&in);
    document->source.length = vlm_bytes_varint(&in);
    document->warnings = (uint32_t)vlm_bytes_varint(&in);
    read_image_strings(document, &in, &text);
    read_events(document, &in, arena, &text);
    if (in.bad || text.failed)
        rc = vlm_fail(err, VLM_EFORMAT, "document of %zu bytes does not follow its layout", size);
    document->text_size = text.size;
    document->text = rc == VLM_OK ? vlm_arena_copy(arena, text.data, text.size) : "";
    vlm_buffer_release(&text);
    if (rc == VLM_OK && !document->text)
        rc = vlm_fail(err, VLM_ELIMIT, "document of %zu bytes does not fit in memory", size);
    if (rc == VLM_OK)
        rc = vlm_document_check(document, err);
    *out = document;
    return rc;
}

/* 0 u64 checksum  8 u32 version  12 u8 format, mode, orientation, halved  16 u32 width, height
 * 24 u64 phash  32 u32 bytes of the square, of the original  40 both */
void vlm_stored_image_encode(struct vlm_buffer *out, const struct vlm_stored_image *image)
{
    size_t begin = out->size;
    vlm_buffer_u64(out, 0);
    vlm_buffer_u32(out, VLM_STORED_VERSION);
    vlm_buffer_byte(out, image->format);
    vlm_buffer_byte(out, image->mode);
    vlm_buffer_byte(out, image->orientation);
    vlm_buffer_byte(out, image->halved);
    vlm_buffer_u32(out, image->width);
    vlm_buffer_u32(out, image->height);
    vlm_buffer_u64(out, image->phash);
    vlm_buffer_u32(out, (uint32_t)image->square_size);
    vlm_buffer_u32(out, (uint32_t)image->original_size);
    vlm_buffer_add(out, image->square, image->square_size);
    vlm_buffer_add(out, image->original, image->original_size);
    if (!out->failed)
        put_checksum(out->data + begin, out->size - begin);
}

int vlm_stored_image_decode(struct vlm_stored_image *image, const uint8_t *bytes, size_t size,
                            struct vlm_err *err)
{
    struct vlm_bytes in;
    int rc = check_record(&in, bytes, size, "image", err);
    if (rc < 0)
        return rc;
    *image = (struct vlm_stored_image){ .format = vlm_bytes_u8(&in) };
    image->mode = vlm_bytes_u8(&in);
    image->orientation = vlm_bytes_u8(&in);
    image->halved = vlm_bytes_u8(&in);
    image->width = vlm_bytes_u32(&in);
    image->height = vlm_bytes_u32(&in);
    image->phash = vlm_bytes_u64(&in);
    image->square_size = vlm_bytes_u32(&in);
    image->original_size = vlm_bytes_u32(&in);
    image->square = vlm_bytes_take(&in, image->square_size);
    image->original = vlm_bytes_take(&in, image->original_size);
    if (in.bad || in.at != in.end || image->format >= VLM_FORMATS)
        return vlm_fail(err, VLM_EFORMAT, "image of %zu bytes does not follow its layout", size);
    if (!image->square_size)
        image->square = NULL;
    if (!image->original_size)
        image->original = NULL;
    return VLM_OK;
}

size_t vlm_stored_image_size(const uint8_t *bytes, size_t size)
{
    if (size < IMAGE_HEADER)
        return 0;
    struct vlm_bytes in = { bytes + AT_SIZES, bytes + IMAGE_HEADER, false };
    uint64_t n = IMAGE_HEADER;
    n += vlm_bytes_u32(&in);
    n += vlm_bytes_u32(&in);
    return n <= size ? (size_t)n : 0;
}

int vlm_stored_square_decode(uint8_t square[VLM_SQUARE_BYTES], const uint8_t *jpeg, size_t size,
                             struct vlm_arena *arena, struct vlm_err *err)
{
    const struct vlm_image_options as_it_is = { .full_size = true };
    struct vlm_image image;
    int rc = vlm_image_decode(&image, jpeg, size, &as_it_is, arena, err);
    if (rc < 0)
        return rc;
    if (image.info.status != VLM_IMAGE_OK)
        return vlm_fail(err, VLM_EFORMAT, "a stored square is %s: %s",
                        vlm_image_status_name(image.info.status), image.info.detail);
    if (image.width != VLM_SQUARE_SIDE || image.height != VLM_SQUARE_SIDE || image.channels != 3)
        return vlm_fail(err, VLM_EFORMAT,
                        "a stored square has %" PRIu32 " x %" PRIu32
                        " pixels of %u samples, expected 256 x 256 of 3",
                        image.width, image.height, image.channels);
    memcpy(square, image.samples, VLM_SQUARE_BYTES);
    return VLM_OK;
}

void vlm_codes_encode(uint8_t bytes[VLM_CODES_BYTES], const uint16_t codes[VLM_CODES])
{
    for (size_t i = 0; i < VLM_CODES; i++) {
        bytes[2 * i] = (uint8_t)codes[i];
        bytes[2 * i + 1] = (uint8_t)(codes[i] >> 8);
    }
}

void vlm_codes_decode(uint16_t codes[VLM_CODES], const uint8_t bytes[VLM_CODES_BYTES])
{
    memcpy(codes, bytes, VLM_CODES_BYTES);
    for (size_t i = 0; i < VLM_CODES; i++) /* nothing on little-endian machines */
        codes[i] = le16toh(codes[i]);
}
