/* warc.c - the header of a WARC record.
 *
 * A pure function from bytes to fields (ISO 28500; versions 0.17, 0.18, 1.0 and 1.1): names in any
 * case, lines ending in LF or CRLF, folded values, the first of equal fields wins. Values stay
 * slices of the input. The block is not looked at. */
#include "base/vlm.h"

#include "base/date.h"

#include "tokenize/dump/dump_internal.h"

#include <ctype.h>
#include <strings.h>

enum field {
    FIELD_NONE,
    FIELD_TYPE,
    FIELD_LENGTH,
    FIELD_URI,
    FIELD_DATE,
    FIELD_CONTENT_TYPE,
    FIELD_REFERS_TO_URI,
    FIELD_REFERS_TO_DATE,
    FIELD_PAYLOAD_DIGEST,
    FIELD_BLOCK_DIGEST,
    FIELD_TRUNCATED,
    FIELD_SEGMENT,
    FIELD_IDENTIFIED,
};

static const struct {
    const char *name;
    size_t n;
    enum field field;
} fields[] = {
#define FIELD(name, field)                                                                         \
    {                                                                                              \
        name, sizeof(name) - 1, field                                                              \
    }
    FIELD("warc-type", FIELD_TYPE),
    FIELD("warc-date", FIELD_DATE),
    FIELD("content-type", FIELD_CONTENT_TYPE),
    FIELD("content-length", FIELD_LENGTH),
    FIELD("warc-truncated", FIELD_TRUNCATED),
    FIELD("warc-target-uri", FIELD_URI),
    FIELD("warc-block-digest", FIELD_BLOCK_DIGEST),
    FIELD("warc-segment-number", FIELD_SEGMENT),
    FIELD("warc-payload-digest", FIELD_PAYLOAD_DIGEST),
    FIELD("warc-refers-to-date", FIELD_REFERS_TO_DATE),
    FIELD("warc-refers-to-target-uri", FIELD_REFERS_TO_URI),
    FIELD("warc-identified-payload-type", FIELD_IDENTIFIED),
};

static enum field field_of(const char *name, size_t n)
{
    for (size_t i = 0; i < VLM_COUNTOF(fields); i++)
        if (fields[i].n == n && !strncasecmp(fields[i].name, name, n))
            return fields[i].field;
    return FIELD_NONE;
}

static const char *const type_names[VLM_RECORD_TYPES] = {
    "warcinfo", "response",   "resource",     "request", "metadata",
    "revisit",  "conversion", "continuation", "unknown",
};

const char *vlm_record_type_name(enum vlm_record_type type)
{
    return (unsigned)type < VLM_RECORD_TYPES ? type_names[type] : "unknown";
}

static enum vlm_record_type type_of(struct vlm_slice value)
{
    for (int i = 0; i < VLM_RECORD_UNKNOWN; i++)
        if (strlen(type_names[i]) == value.n && !strncasecmp(type_names[i], value.text, value.n))
            return (enum vlm_record_type)i;
    return VLM_RECORD_UNKNOWN;
}

/* Digits only: no sign, no space, no overflow. */
static bool parse_length(struct vlm_slice value, uint64_t *out)
{
    uint64_t number = 0;
    if (!value.n)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        unsigned digit = (unsigned char)value.text[i] - (unsigned)'0';
        if (digit > 9 || number > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

/* "WARC/1.0" and its line end at bytes: its length; 0 when it is no version line at all or goes on
 * behind n. *known: one of the versions we read. */
static size_t version_line(const uint8_t *bytes, size_t n, bool *known)
{
    static const char *const versions[] = { "1.0", "1.1", "0.17", "0.18" };
    *known = false;
    if (n < 6 || memcmp(bytes, "WARC/", 5) != 0)
        return 0;
    const uint8_t *end = memchr(bytes, '\n', VLM_MIN(n, 64));
    if (!end)
        return 0;
    size_t line = (size_t)(end - bytes);
    size_t text = line;
    while (text > 5 && (bytes[text - 1] == '\r' || bytes[text - 1] == ' '))
        text--;
    for (size_t i = 0; i < VLM_COUNTOF(versions); i++)
        if (text - 5 == strlen(versions[i]) && !memcmp(bytes + 5, versions[i], text - 5))
            *known = true;
    return line + 1;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static struct vlm_slice trim(const uint8_t *from, const uint8_t *to)
{
    while (from < to && is_space(*from))
        from++;
    while (to > from && is_space(to[-1]))
        to--;
    return (struct vlm_slice){ (const char *)from, (size_t)(to - from) };
}

static void set_once(struct vlm_slice *target, struct vlm_slice value)
{
    if (!target->text)
        *target = value;
}

static bool set_field(struct vlm_header *header, enum field field, struct vlm_slice value)
{
    switch (field) {
    case FIELD_TYPE:
        if (!header->has_type)
            header->type = type_of(value);
        header->has_type = true;
        break;
    case FIELD_LENGTH:
        if (!header->has_length && !parse_length(value, &header->length))
            return false;
        header->has_length = true;
        break;
    case FIELD_URI:
    case FIELD_REFERS_TO_URI:
        if (value.n >= 2 && value.text[0] == '<' && value.text[value.n - 1] == '>') {
            value.text++;
            value.n -= 2;
        }
        set_once(field == FIELD_URI ? &header->uri : &header->refers_to_uri, value);
        break;
    case FIELD_DATE:
        set_once(&header->date, value);
        break;
    case FIELD_CONTENT_TYPE:
        set_once(&header->content_type, value);
        break;
    case FIELD_REFERS_TO_DATE:
        set_once(&header->refers_to_date, value);
        break;
    case FIELD_PAYLOAD_DIGEST:
        set_once(&header->payload_digest, value);
        break;
    case FIELD_BLOCK_DIGEST:
        set_once(&header->block_digest, value);
        break;
    case FIELD_SEGMENT: /* the rest is in other records, which are not put together: as good as cut */
    case FIELD_TRUNCATED:
        set_once(&header->truncated, value);
        break;
    case FIELD_IDENTIFIED:
        set_once(&header->identified_type, value);
        break;
    case FIELD_NONE:
        break;
    }
    return true;
}

static enum vlm_header_state bad(struct vlm_header *header, enum vlm_damage damage)
{
    header->damage = damage;
    return VLM_HEADER_BAD;
}

/* The end of the line at `at`, with all lines folded into it; NULL when it is not in the bytes. */
static const uint8_t *line_end(const uint8_t *at, const uint8_t *end)
{
    for (const uint8_t *from = at;;) {
        const uint8_t *newline = memchr(from, '\n', (size_t)(end - from));
        if (!newline || newline + 1 == end)
            return NULL; /* the next byte tells whether the line is folded */
        if (newline[1] != ' ' && newline[1] != '\t')
            return newline;
        from = newline + 1;
    }
}

enum vlm_header_state vlm_warc_header(struct vlm_header *header, const uint8_t *bytes, size_t n)
{
    memset(header, 0, sizeof(*header));
    header->type = VLM_RECORD_UNKNOWN;
    bool known;
    size_t first = version_line(bytes, n, &known);
    if (!first && n < 64 && n && !memcmp(bytes, "WARC/", VLM_MIN(n, 5)) && !memchr(bytes, '\n', n))
        return VLM_HEADER_MORE;
    if (!first)
        return bad(header, VLM_DAMAGE_HEADER);
    if (!known)
        return bad(header, VLM_DAMAGE_VERSION);
    const uint8_t *at = bytes + first, *end = bytes + VLM_MIN(n, VLM_WARC_HEADER_MAX);
    for (;;) {
        if (at < end && *at == '\n')
            break;
        if (at + 1 < end && at[0] == '\r' && at[1] == '\n')
            break;
        const uint8_t *newline = line_end(at, end);
        if (!newline)
            return n < VLM_WARC_HEADER_MAX ? VLM_HEADER_MORE : bad(header, VLM_DAMAGE_HEADER);
        const uint8_t *colon = memchr(at, ':', (size_t)(newline - at));
        if (!colon)
            return bad(header, VLM_DAMAGE_HEADER);
        struct vlm_slice name = trim(at, colon);
        if (!set_field(header, field_of(name.text, name.n), trim(colon + 1, newline)))
            return bad(header, VLM_DAMAGE_HEADER);
        at = newline + 1;
    }
    header->size = (size_t)(at - bytes) + (*at == '\r' ? 2 : 1);
    if (!header->has_length || !header->has_type)
        return bad(header, VLM_DAMAGE_HEADER);
    return VLM_HEADER_OK;
}

size_t vlm_warc_search(const uint8_t *bytes, size_t from, size_t n)
{
    while (from + 5 <= n) {
        const uint8_t *hit = memmem(bytes + from, n - from, "WARC/", 5);
        if (!hit)
            break;
        bool known;
        size_t at = (size_t)(hit - bytes);
        /* A line that goes on behind n may still become one. */
        if (n - at < 64 || (version_line(hit, n - at, &known) && known))
            return at;
        from = at + 1;
    }
    return n;
}

bool vlm_record_begins(bool arc, const uint8_t *bytes, size_t n)
{
    if (!arc)
        return n >= 5 && !memcmp(bytes, "WARC/", 5);
    struct vlm_header header;
    return vlm_arc_header(&header, bytes, n) == VLM_HEADER_OK;
}

/* Of the dates that order captures, those with a time to the second, as RFC 3339 asks. */
bool vlm_date_is_rfc3339(const char *text, size_t n)
{
    char copy[64];
    if (n < sizeof("YYYY-MM-DDThh:mm:ssZ") - 1 || n >= sizeof(copy) || text[16] != ':')
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    return vlm_date_seconds(copy) != 0;
}
