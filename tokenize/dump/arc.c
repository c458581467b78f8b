/* arc.c - the one-line header of an ARC record (Internet Archive, 1996), versions 1 and 2.
 *
 *   version 1: URL IP date type length
 *   version 2: URL IP date type result checksum location offset file length
 *
 * URLs may hold spaces, so fields are counted from the right. The file's own record has the URL
 * filedesc://. A date of 14 digits becomes RFC 3339. */
#include "base/vlm.h"

#include "tokenize/dump/dump_internal.h"

#include <ctype.h>

enum {
    ARC_LINE_MAX = 16 << 10,
    V1_FIELDS = 4, /* behind the URL */
    V2_FIELDS = 9,
};

static bool all_digits(struct vlm_slice slice, size_t n)
{
    if (slice.n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)slice.text[i]))
            return false;
    return true;
}

/* The last `count` fields of the line, the last one first; how many there are. */
static size_t split_right(const char *line, size_t n, struct vlm_slice *out, size_t count)
{
    size_t found = 0, end = n;
    while (found < count) {
        size_t from = end;
        while (from && line[from - 1] != ' ')
            from--;
        if (!from || from == end)
            break;
        out[found++] = (struct vlm_slice){ line + from, end - from };
        end = from - 1;
    }
    return found;
}

/* A scheme and a colon, as every URL in a record header has. */
static bool has_scheme(const char *text, size_t n)
{
    if (!n || !isalpha((unsigned char)text[0]))
        return false;
    for (size_t i = 1; i < n && i < 32; i++) {
        if (text[i] == ':')
            return true;
        if (!isalnum((unsigned char)text[i]) && text[i] != '+' && text[i] != '-' && text[i] != '.')
            return false;
    }
    return false;
}

static bool is_address(struct vlm_slice slice)
{
    for (size_t i = 0; i < slice.n; i++)
        if (!isxdigit((unsigned char)slice.text[i]) && slice.text[i] != '.' && slice.text[i] != ':')
            return false;
    return slice.n > 0;
}

static void set_date(struct vlm_header *header, struct vlm_slice date)
{
    const char *t = date.text;
    snprintf(header->arc_date, sizeof(header->arc_date), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", t, t + 4,
             t + 6, t + 8, t + 10, t + 12);
    header->date = (struct vlm_slice){ header->arc_date, strlen(header->arc_date) };
}

static bool parse_number(struct vlm_slice slice, uint64_t *out)
{
    uint64_t number = 0;
    for (size_t i = 0; i < slice.n; i++) {
        unsigned digit = (unsigned char)slice.text[i] - (unsigned)'0';
        if (digit > 9 || number > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return slice.n > 0;
}

static bool parse_line(struct vlm_header *header, const char *line, size_t n)
{
    struct vlm_slice field[V2_FIELDS];
    size_t count = split_right(line, n, field, V2_FIELDS);
    size_t behind = 0; /* fields behind the URL */
    if (count >= V1_FIELDS && all_digits(field[2], 14) && is_address(field[3]))
        behind = V1_FIELDS;
    else if (count >= V2_FIELDS && all_digits(field[7], 14) && is_address(field[8]))
        behind = V2_FIELDS;
    if (!behind || !parse_number(field[0], &header->length))
        return false;
    header->uri = (struct vlm_slice){ line, (size_t)(field[behind - 1].text - 1 - line) };
    if (!has_scheme(header->uri.text, header->uri.n))
        return false;
    header->content_type = field[behind - 3];
    set_date(header, field[behind - 2]);
    bool description = header->uri.n > 11 && !memcmp(line, "filedesc://", 11);
    header->type = description ? VLM_RECORD_WARCINFO : VLM_RECORD_RESPONSE;
    header->has_type = header->has_length = true;
    return true;
}

enum vlm_header_state vlm_arc_header(struct vlm_header *header, const uint8_t *bytes, size_t n)
{
    memset(header, 0, sizeof(*header));
    const uint8_t *newline = memchr(bytes, '\n', VLM_MIN(n, (size_t)ARC_LINE_MAX));
    if (!newline && n < ARC_LINE_MAX)
        return VLM_HEADER_MORE;
    size_t line = newline ? (size_t)(newline - bytes) : 0;
    header->size = line + 1;
    if (line && bytes[line - 1] == '\r')
        line--;
    if (newline && parse_line(header, (const char *)bytes, line))
        return VLM_HEADER_OK;
    header->damage = VLM_DAMAGE_ARC;
    return VLM_HEADER_BAD;
}

size_t vlm_arc_search(const uint8_t *bytes, size_t from, size_t n)
{
    struct vlm_header header;
    while (from < n) {
        const uint8_t *newline = memchr(bytes + from, '\n', n - from);
        size_t next = newline ? (size_t)(newline - bytes) + 1 : n;
        if (!newline) /* a line that goes on behind n may still become one */
            return n - from < ARC_LINE_MAX ? from : n;
        if (has_scheme((const char *)bytes + from, n - from) &&
            vlm_arc_header(&header, bytes + from, n - from) == VLM_HEADER_OK)
            return from;
        from = next;
    }
    return n;
}
