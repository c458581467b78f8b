/* show_text.c - a document on a terminal: wrapped text, and pictures of half blocks.
 *
 * A character is about twice as high as wide, so "▀" is two square pixels: the upper one in the colour of
 * the letter, the lower one in that of its background. Without colours, a letter stands for the brightness
 * of both. Nothing that a page contains can reach the terminal as a control character. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "tools/inspect/show.h"
#include "tools/common/terminal.h"

enum { PICTURE_MAX = 64, PICTURE_MIN = 8, GAP = 2 };

/* One line of the page, in lines of at most width characters, broken at blanks. */
static void add_wrapped(struct vlm_buffer *out, const char *p, size_t n, unsigned width)
{
    unsigned column = 0;
    for (size_t i = 0; i < n;) {
        size_t end = i, shown = 0;
        while (end < n && p[end] != ' ' && p[end] != '\t') {
            bool visible;
            end += vlm_terminal_character(p + end, n - end, &visible);
            shown += visible;
        }
        if (column && column + 1 + shown > width) {
            vlm_buffer_byte(out, '\n');
            column = 0;
        } else if (column && shown) {
            vlm_buffer_byte(out, ' ');
            column++;
        }
        for (size_t k = i; k < end;) {
            bool visible;
            size_t size = vlm_terminal_character(p + k, end - k, &visible);
            if (visible)
                vlm_buffer_add(out, p + k, size);
            k += size;
        }
        column += (unsigned)shown;
        i = end + (end < n);
    }
    vlm_buffer_byte(out, '\n');
}

static void add_text(struct vlm_buffer *out, const char *p, size_t n, unsigned width)
{
    while (n) {
        const char *newline = memchr(p, '\n', n);
        size_t line = newline ? (size_t)(newline - p) : n;
        add_wrapped(out, p, line, width);
        line += newline != NULL;
        p += line;
        n -= line;
    }
}

static void add_colour(struct vlm_buffer *out, int ground, const uint8_t *rgb)
{
    vlm_buffer_printf(out, "\x1b[%d;2;%u;%u;%um", ground, rgb[0], rgb[1], rgb[2]);
}

/* A row of characters: two rows of pixels. */
static void add_row(struct vlm_buffer *out, const uint8_t *upper, const uint8_t *lower,
                    unsigned side, bool colour)
{
    static const char ramp[] = " .:-=+*#%@";
    const uint8_t *was_upper = NULL, *was_lower = NULL;
    for (unsigned x = 0; x < side; x++) {
        const uint8_t *u = upper + 3 * x, *l = lower + 3 * x;
        if (!colour) {
            unsigned light = (u[0] + l[0]) * 299u + (u[1] + l[1]) * 587u + (u[2] + l[2]) * 114u;
            vlm_buffer_byte(out, (uint8_t)ramp[light * (sizeof(ramp) - 2) / 510000]);
            continue;
        }
        if (!was_upper || memcmp(was_upper, u, 3))
            add_colour(out, 38, u);
        if (!was_lower || memcmp(was_lower, l, 3))
            add_colour(out, 48, l);
        was_upper = u;
        was_lower = l;
        vlm_buffer_text(out, "▀");
    }
    if (colour)
        vlm_buffer_text(out, "\x1b[0m");
}

static int add_pictures(struct vlm_buffer *out, const struct vlm_shown_image *image,
                        const struct vlm_show_style *style, struct vlm_err *err)
{
    const uint8_t *const squares[] = { image->original, image->decoded };
    uint8_t *small[2] = { NULL, NULL };
    struct vlm_arena arena;
    unsigned side = style->width > GAP ? (style->width - GAP) / 2 : 0;
    side = VLM_MIN(side, (unsigned)PICTURE_MAX) & ~1u;
    side = VLM_MAX(side, (unsigned)PICTURE_MIN);
    int rc = VLM_OK;
    vlm_arena_init(&arena, 64 << 20);
    for (size_t i = 0; i < 2 && rc == VLM_OK; i++) {
        if (!squares[i])
            continue;
        small[i] = vlm_arena_alloc(&arena, 3, (size_t)side * side);
        rc = small[i] ? vlm_resize_bicubic(small[i], side, side, squares[i], VLM_SQUARE_SIDE,
                                           VLM_SQUARE_SIDE, 3, &arena, err)
                      : vlm_fail(err, VLM_ENOMEM, "no memory for a picture");
    }
    for (unsigned y = 0; rc == VLM_OK && y < side; y += 2) {
        bool first = true;
        for (size_t i = 0; i < 2; i++) {
            if (!small[i])
                continue;
            if (!first)
                vlm_buffer_printf(out, "%*s", GAP, "");
            add_row(out, small[i] + (size_t)y * side * 3, small[i] + (size_t)(y + 1) * side * 3,
                    side, style->colour);
            first = false;
        }
        vlm_buffer_byte(out, '\n');
    }
    vlm_arena_release(&arena);
    return rc;
}

static int add_image(struct vlm_buffer *out, const struct vlm_shown *shown, size_t i,
                     const struct vlm_show_style *style, struct vlm_err *err)
{
    const struct vlm_document_image *about = &shown->document->images[i];
    struct vlm_buffer caption = { 0 };
    vlm_buffer_byte(out, '\n');
    int rc = shown->images[i].original || shown->images[i].decoded
                 ? add_pictures(out, &shown->images[i], style, err)
                 : VLM_OK;
    vlm_buffer_byte(&caption, '[');
    vlm_show_caption(&caption, shown, i);
    if (about->alt.length) {
        vlm_buffer_text(&caption, " · ");
        vlm_buffer_add(&caption, shown->document->text + about->alt.start, about->alt.length);
    }
    vlm_buffer_byte(&caption, ']');
    add_text(out, (const char *)caption.data, caption.size, style->width);
    vlm_buffer_byte(out, '\n');
    out->failed |= caption.failed;
    vlm_buffer_release(&caption);
    return rc;
}

static void add_head(struct vlm_buffer *out, const struct vlm_document *document, unsigned width)
{
    const char *const lines[] = { *document->title ? document->title : NULL, document->url,
                                  document->date };
    for (size_t i = 0; i < VLM_COUNTOF(lines); i++)
        if (lines[i])
            add_text(out, lines[i], strlen(lines[i]), width);
    vlm_buffer_byte(out, '\n');
}

int vlm_show_text(struct vlm_buffer *out, const struct vlm_shown *shown,
                  const struct vlm_show_style *style, struct vlm_err *err)
{
    int rc = VLM_OK;
    const char *text = shown->text.data ? (const char *)shown->text.data : "";
    add_head(out, shown->document, style->width);
    for (size_t i = 0; rc == VLM_OK && i < shown->n_pieces; i++) {
        const struct vlm_shown_piece *piece = &shown->pieces[i];
        add_text(out, text + piece->start, piece->length, style->width);
        if (piece->image != SIZE_MAX)
            rc = add_image(out, shown, piece->image, style, err);
    }
    out->failed |= shown->text.failed;
    return rc;
}
