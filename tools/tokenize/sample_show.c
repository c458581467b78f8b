/* sample_show.c - a sample for people: which parts are masked, and where they went.
 *
 * The sample becomes paragraphs with a gutter at their left: one for what stayed in its place, one for each
 * span that was moved to the end, with its number in the gutter in the colour of its <mask:N>. Of windows,
 * the number is that of the image that the text beside it sees. A paragraph is a row of cells (a character
 * and its style) that is broken at blanks. Without colours the numbers and words say the same. Nothing that
 * a page contains can reach the terminal as a control character. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "tools/common/terminal.h"
#include "tools/tokenize/sample_lines.h"

enum { GUTTER_WIDTH = 6, CODES_SHOWN = 4, COLOURS = 8, LABEL_BYTES = 64 };

enum kind { KIND_TEXT, KIND_MARKUP, KIND_CODES, KIND_CONTROL, KIND_MASK, KIND_HEAD, KIND_NOTE };

struct look {
    uint8_t kind;
    uint8_t colour; /* of a mask or image: 1 + index; 0: none */
    bool unlearned;
};

struct cell {
    char bytes[4];
    uint8_t size, width;
    bool blank, newline;
    bool begins; /* a line may be broken in front of it */
    struct look look;
};

struct painter {
    struct vlm_buffer *out;
    struct vlm_sample_style style;
    struct vlm_buffer cells; /* struct cell, of the open paragraph */
    struct vlm_buffer run;   /* bytes of one look: a character may be several tokens */
    struct look look;
    int number;     /* in the gutter; -1: none */
    uint8_t colour; /* of the gutter */
    bool no_gutter;
    bool unlearned; /* an open bracket, where there are no colours */
};

/* They tell masks apart, can be read on black and on white, and black can be read on them. */
static const uint8_t palette[COLOURS] = { 208, 35, 170, 39, 142, 203, 141, 72 };

static uint8_t colour_of(int number)
{
    return number < 0 ? 0 : (uint8_t)(1 + number % COLOURS);
}

/* Colours ------------------------------------------------------------------------------------------ */

static void add_look(struct vlm_buffer *out, const struct look *look)
{
    unsigned colour = look->colour ? palette[look->colour - 1] : 0;
    vlm_buffer_text(out, "\x1b[0");
    if (look->kind == KIND_MASK)
        vlm_buffer_printf(out, ";1;38;5;16;48;5;%u", colour ? colour : 250);
    else if (look->kind == KIND_CODES)
        vlm_buffer_text(out, ";38;5;195;48;5;24");
    else if (look->kind == KIND_CONTROL)
        vlm_buffer_text(out, ";38;5;16;48;5;245");
    else if (look->kind == KIND_HEAD)
        vlm_buffer_text(out, ";1");
    else if (look->unlearned)
        vlm_buffer_text(out, ";3;38;5;240");
    else if (look->kind == KIND_NOTE)
        vlm_buffer_text(out, ";38;5;242");
    else if (colour)
        vlm_buffer_printf(out, ";38;5;%u%s", colour, look->kind == KIND_MARKUP ? ";2" : "");
    else if (look->kind == KIND_MARKUP)
        vlm_buffer_text(out, ";38;5;246");
    vlm_buffer_byte(out, 'm');
}

static bool same_look(const struct look *a, const struct look *b)
{
    return a->kind == b->kind && a->colour == b->colour && a->unlearned == b->unlearned;
}

/* Cells ------------------------------------------------------------------------------------------- */

/* Columns of a character on a terminal: East Asian wide ones and pictures take two, marks none. */
static uint8_t width_of(uint32_t c)
{
    static const struct {
        uint32_t first, last;
        uint8_t width;
    } ranges[] = {
        { 0x300, 0x36f, 0 },   { 0x200b, 0x200f, 0 },   { 0xfe00, 0xfe0f, 0 },
        { 0x1100, 0x115f, 2 }, { 0x2e80, 0xa4cf, 2 },   { 0xac00, 0xd7a3, 2 },
        { 0xf900, 0xfaff, 2 }, { 0xfe30, 0xfe6f, 2 },   { 0xff00, 0xff60, 2 },
        { 0xffe0, 0xffe6, 2 }, { 0x1f300, 0x1faff, 2 }, { 0x20000, 0x3fffd, 2 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return ranges[i].width;
    return 1;
}

static void add_cell(struct painter *painter, const char *bytes, size_t size,
                     const struct look *look)
{
    struct cell cell = { .size = (uint8_t)size, .look = *look };
    memcpy(cell.bytes, bytes, size);
    cell.width = width_of(vlm_utf8_decode(bytes, &size));
    cell.blank = bytes[0] == ' ';
    vlm_buffer_add(&painter->cells, &cell, sizeof(cell));
}

static void add_newline(struct painter *painter)
{
    static const struct look note = { .kind = KIND_NOTE };
    add_cell(painter, "↵", strlen("↵"), &note);
    if (!painter->cells.failed)
        ((struct cell *)(void *)(painter->cells.data + painter->cells.size))[-1].newline = true;
}

/* One character of n bytes of text; returns its bytes. Control characters come as their pictures. */
static size_t add_character(struct painter *painter, const char *text, size_t n)
{
    char picture[4];
    bool visible;
    size_t size = vlm_utf8_valid_at(text, n);
    if (!size) {
        add_cell(painter, VLM_UTF8_REPLACEMENT, 3, &painter->look);
        return 1;
    }
    vlm_terminal_character(text, n, &visible);
    if (*text == '\n')
        add_newline(painter);
    else if (visible)
        add_cell(painter, text, size, &painter->look);
    else if (size == 1)
        add_cell(painter, picture,
                 vlm_utf8_encode(picture, *text == 0x7f ? 0x2421 : 0x2400 + (uint32_t)*text),
                 &painter->look);
    else
        add_cell(painter, VLM_UTF8_REPLACEMENT, 3, &painter->look);
    return size;
}

static void end_run(struct painter *painter)
{
    const char *text = (const char *)painter->run.data;
    for (size_t i = 0; !painter->run.failed && i < painter->run.size;)
        i += add_character(painter, text + i, painter->run.size - i);
    painter->cells.failed |= painter->run.failed;
    vlm_buffer_reset(&painter->run);
}

static void add_text(struct painter *painter, struct look look, const void *text, size_t n)
{
    if (!same_look(&look, &painter->look))
        end_run(painter);
    painter->look = look;
    vlm_buffer_add(&painter->run, text, n);
}

/* Words of ours, broken between lines only where they fit on none. */
static void add_label(struct painter *painter, struct look look, const char *text)
{
    end_run(painter);
    for (size_t i = 0, n = strlen(text); i < n;) {
        size_t size = vlm_utf8_valid_at(text + i, n - i);
        add_cell(painter, text + i, size, &look);
        if (painter->cells.failed)
            return;
        struct cell *cell = (struct cell *)(void *)(painter->cells.data + painter->cells.size) - 1;
        cell->blank = false;
        cell->begins = i == 0 && n > 1 && text[0] == ' ';
        i += size;
    }
}

/* Lines ------------------------------------------------------------------------------------------- */

static void add_gutter(struct painter *painter, bool first)
{
    const struct look look = { .kind = painter->colour ? KIND_TEXT : KIND_NOTE,
                               .colour = painter->colour };
    if (painter->no_gutter)
        return;
    if (painter->style.colour)
        add_look(painter->out, &look);
    if (painter->number >= 0 && first)
        vlm_buffer_printf(painter->out, "%3d ┃ ", painter->number);
    else
        vlm_buffer_text(painter->out, painter->number >= 0 ? "    ┃ " : "    │ ");
}

static void add_line(struct painter *painter, const struct cell *cells, size_t n, bool first)
{
    struct look look = { .kind = KIND_TEXT };
    add_gutter(painter, first);
    if (painter->style.colour)
        vlm_buffer_text(painter->out, "\x1b[0m");
    for (size_t i = 0; i < n; i++) {
        if (painter->style.colour && !same_look(&look, &cells[i].look))
            add_look(painter->out, &cells[i].look);
        look = cells[i].look;
        vlm_buffer_add(painter->out, cells[i].bytes, cells[i].size);
    }
    if (painter->style.colour)
        vlm_buffer_text(painter->out, "\x1b[0m");
    vlm_buffer_byte(painter->out, '\n');
}

/* Cells of the line that begins at cells[0]: as many as fit, up to a place where it may be broken. */
static size_t line_length(const struct cell *cells, size_t n, unsigned room)
{
    size_t may_end = 0;
    unsigned column = 0;
    for (size_t i = 0; i < n; i++) {
        if (cells[i].begins)
            may_end = i;
        column += cells[i].width;
        if (column > room && i > 0 && !cells[i].blank)
            return may_end ? may_end : i;
        if (cells[i].newline)
            return i + 1;
        if (cells[i].blank)
            may_end = i + 1;
    }
    return n;
}

static void end_paragraph(struct painter *painter)
{
    end_run(painter);
    const struct cell *cells = (const struct cell *)(const void *)painter->cells.data;
    size_t n = painter->cells.failed ? 0 : painter->cells.size / sizeof(*cells);
    unsigned gutter = painter->no_gutter ? 0 : GUTTER_WIDTH;
    unsigned room = VLM_MAX(painter->style.width, gutter + 20) - gutter;
    painter->out->failed |= painter->cells.failed;
    for (size_t at = 0; at < n;) {
        size_t length = line_length(cells + at, n - at, room);
        bool broken = at + length < n && cells[at + length - 1].blank;
        add_line(painter, cells + at, broken ? length - 1 : length, at == 0);
        at += length;
    }
    vlm_buffer_reset(&painter->cells);
}

static void begin_paragraph(struct painter *painter, int number)
{
    end_paragraph(painter);
    painter->number = number;
    painter->colour = colour_of(number);
}

/* Tokens ------------------------------------------------------------------------------------------ */

struct walk {
    struct painter painter;
    const struct vlm_shown_sample *shown;
    struct vlm_buffer token;
    bool seen[VLM_MASKS_MAX]; /* <mask:N> was met: the next one begins its span */
    int span;                 /* the span that is being read, or -1 */
    unsigned images;          /* so far */
};

static void add_word(struct walk *walk, struct look look, uint32_t id)
{
    vlm_buffer_reset(&walk->token);
    vlm_vocabulary_token(&walk->token, walk->shown->vocabulary, id);
    walk->painter.out->failed |= walk->token.failed;
    add_text(&walk->painter, look, walk->token.data, walk->token.size);
}

/* A look of its own, so that a word of control stands apart from what is beside it. */
static void add_control(struct walk *walk, enum kind kind, int number, uint32_t id)
{
    const struct look look = { .kind = (uint8_t)kind, .colour = colour_of(number) };
    end_run(&walk->painter);
    add_word(walk, look, id);
    end_run(&walk->painter);
}

static void add_mask(struct walk *walk, int number, uint32_t id)
{
    if (walk->seen[number]) {
        walk->span = number;
        begin_paragraph(&walk->painter, number);
    }
    walk->seen[number] = true;
    add_control(walk, KIND_MASK, number, id);
}

static void add_end_of_span(struct walk *walk, uint32_t id)
{
    add_control(walk, KIND_MASK, walk->span, id);
    walk->span = -1;
    begin_paragraph(&walk->painter, -1);
}

/* The codes from token i on, of one image: returns how many. */
static size_t add_codes(struct walk *walk, size_t i)
{
    const struct vlm_sequence *sequence = walk->shown->sample->sequence;
    const struct vlm_vocabulary *vocabulary = walk->shown->vocabulary;
    const struct vlm_sequence_image *image = NULL;
    size_t n = 0, end = sequence->n;
    char label[LABEL_BYTES];
    for (size_t k = 0; k < sequence->n_images; k++) {
        const struct vlm_sequence_image *one = &sequence->images[k];
        if (i >= one->position && i - one->position < one->n_tokens)
            image = one;
    }
    if (image)
        end = VLM_MIN(end, (size_t)image->position + image->n_tokens);
    while (i + n < end && vlm_vocabulary_is_code(vocabulary, sequence->ids[i + n]))
        n++;
    int at = image && image->image != VLM_NOWHERE
                 ? snprintf(label, sizeof(label), " ▦ image %" PRIu32 ":", image->image)
                 : snprintf(label, sizeof(label), " ▦");
    for (size_t k = 0; k < VLM_MIN(n, (size_t)CODES_SHOWN); k++)
        at += snprintf(label + at, sizeof(label) - (size_t)at, " %" PRIu32,
                       sequence->ids[i + k] - vocabulary->first_code);
    if (n > CODES_SHOWN)
        snprintf(label + at, sizeof(label) - (size_t)at, " … %zu codes", n);
    add_label(&walk->painter, (struct look){ .kind = KIND_CODES }, label);
    add_label(&walk->painter, (struct look){ .kind = KIND_CODES }, " ");
    return VLM_MAX(n, (size_t)1);
}

static void add_dot(struct walk *walk)
{
    const struct look note = { .kind = KIND_NOTE };
    if (walk->painter.style.tokens && (walk->painter.cells.size || walk->painter.run.size)) {
        end_run(&walk->painter);
        add_label(&walk->painter, note, "·");
    }
}

/* Without colours, brackets stand around what is not learned. */
static void add_bracket(struct walk *walk, bool unlearned)
{
    struct painter *painter = &walk->painter;
    if (!painter->style.colour && unlearned != painter->unlearned)
        add_label(painter, (struct look){ .kind = KIND_NOTE }, unlearned ? "⟨" : "⟩");
    painter->unlearned = unlearned;
}

/* Behind an <image>, which one it is of the window: phi counts them so. */
static void add_ordinal(struct walk *walk)
{
    static const char *const digits[] = { "⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹" };
    char number[16];
    snprintf(number, sizeof(number), "%u", ++walk->images);
    for (const char *p = number; *p; p++)
        add_label(&walk->painter, (struct look){ .kind = KIND_CODES }, digits[*p - '0']);
}

/* Shows token i and those that go with it; returns how many. */
static size_t add_token(struct walk *walk, size_t i)
{
    const struct vlm_sample *sample = walk->shown->sample;
    const struct vlm_sequence *sequence = sample->sequence;
    const struct vlm_vocabulary *vocabulary = walk->shown->vocabulary;
    const uint32_t id = sequence->ids[i];
    int mask = vlm_vocabulary_mask_number(vocabulary, id);
    if (mask >= 0) {
        add_bracket(walk, false);
        add_dot(walk);
        add_mask(walk, mask, id);
        return 1;
    }
    bool control = vlm_vocabulary_is_control(vocabulary, id);
    add_dot(walk);
    add_bracket(walk, sequence->weights[i] == 0 && !control);
    if (id == vocabulary->control[VLM_CONTROL_END_OF_SPAN]) {
        add_end_of_span(walk, id);
        return 1;
    }
    if (vlm_vocabulary_is_code(vocabulary, id))
        return add_codes(walk, i);
    if (control) {
        bool image = id == vocabulary->control[VLM_CONTROL_IMAGE];
        add_control(walk, image ? KIND_CODES : KIND_CONTROL, -1, id);
        if (image && sample->phi)
            add_ordinal(walk);
        return 1;
    }
    add_word(walk,
             (struct look){
                 .kind = sequence->modality[i] == VLM_MODALITY_MARKUP ? KIND_MARKUP : KIND_TEXT,
                 .colour = sample->phi ? walk->painter.colour : colour_of(walk->span),
                 .unlearned = sequence->weights[i] == 0,
             },
             id);
    return 1;
}

/* Head -------------------------------------------------------------------------------------------- */

static void count_masks(const struct vlm_shown_sample *shown, size_t *masks, size_t *moved)
{
    const struct vlm_sequence *sequence = shown->sample->sequence;
    bool seen[VLM_MASKS_MAX] = { false }, inside = false;
    *masks = *moved = 0;
    for (size_t i = 0; i < sequence->n; i++) {
        int mask = vlm_vocabulary_mask_number(shown->vocabulary, sequence->ids[i]);
        if (mask >= 0) {
            inside = seen[mask];
            *masks += inside;
            seen[mask] = true;
        } else if (sequence->ids[i] == shown->vocabulary->control[VLM_CONTROL_END_OF_SPAN]) {
            inside = false;
        } else {
            *moved += inside;
        }
    }
}

static void add_head(struct painter *painter, const struct vlm_shown_sample *shown)
{
    static const struct look head = { .kind = KIND_HEAD }, note = { .kind = KIND_NOTE };
    const struct vlm_sequence *sequence = shown->sample->sequence;
    size_t count[VLM_MODALITIES] = { 0 }, masks, moved, unlearned = 0;
    char text[200], hex[33];
    for (size_t i = 0; i < sequence->n; i++) {
        count[sequence->modality[i]]++;
        unlearned += sequence->weights[i] == 0;
    }
    count_masks(shown, &masks, &moved);
    painter->no_gutter = true;
    vlm_hex(hex, shown->id, 16);
    add_text(painter, head, hex, strlen(hex));
    if (*shown->document->title) {
        add_text(painter, head, "  ", 2);
        add_text(painter, head, shown->document->title, strlen(shown->document->title));
    }
    end_paragraph(painter);
    int at = snprintf(text, sizeof(text),
                      "block %" PRIu64 " · %zu tokens: %zu text, %zu markup, %zu codes",
                      shown->sample->block, sequence->n, count[VLM_MODALITY_TEXT],
                      count[VLM_MODALITY_MARKUP], count[VLM_MODALITY_IMAGE]);
    if (masks)
        at += snprintf(text + at, sizeof(text) - (size_t)at,
                       masks == 1 ? " · %zu mask, %zu tokens moved"
                                  : " · %zu masks, %zu tokens moved",
                       masks, moved);
    if (unlearned)
        at += snprintf(text + at, sizeof(text) - (size_t)at, " · %zu not learned", unlearned);
    if (shown->sample->phi)
        snprintf(text + at, sizeof(text) - (size_t)at, " · text sees the image %s it",
                 shown->sample->next ? "behind" : "before");
    add_text(painter, note, text, strlen(text));
    end_paragraph(painter);
    painter->no_gutter = false;
}

void vlm_sample_show(struct vlm_buffer *out, const struct vlm_shown_sample *shown,
                     const struct vlm_sample_style *style)
{
    const struct vlm_sample *sample = shown->sample;
    struct walk walk = { .painter = { .out = out, .style = *style, .number = -1 },
                         .shown = shown,
                         .span = -1 };
    add_head(&walk.painter, shown);
    for (size_t i = 0; i < sample->sequence->n;) {
        int sees = sample->phi && sample->phi[i] > 0 ? sample->phi[i] : -1;
        if (sample->phi && sees != walk.painter.number)
            begin_paragraph(&walk.painter, sees);
        i += add_token(&walk, i);
    }
    add_bracket(&walk, false);
    end_paragraph(&walk.painter);
    vlm_buffer_byte(out, '\n');
    vlm_buffer_release(&walk.painter.cells);
    vlm_buffer_release(&walk.painter.run);
    vlm_buffer_release(&walk.token);
}

/* Legend ------------------------------------------------------------------------------------------ */

static void add_sign(struct painter *painter, struct look look, const char *sign, const char *text)
{
    static const struct look note = { .kind = KIND_NOTE };
    if (painter->cells.size || painter->run.size)
        add_text(painter, note, "  ", 2);
    add_label(painter, look, sign);
    add_text(painter, note, " ", 1);
    add_text(painter, note, text, strlen(text));
}

void vlm_sample_legend(struct vlm_buffer *out, enum vlm_sample_kind kind,
                       const struct vlm_sample_style *style)
{
    static const struct look plain = { .kind = KIND_TEXT }, markup = { .kind = KIND_MARKUP },
                             codes = { .kind = KIND_CODES }, control = { .kind = KIND_CONTROL },
                             mask = { .kind = KIND_MASK, .colour = 1 },
                             span = { .kind = KIND_TEXT, .colour = 1 },
                             unlearned = { .kind = KIND_TEXT, .unlearned = true };
    struct painter painter = { .out = out, .style = *style, .no_gutter = true, .number = -1 };
    add_sign(&painter, plain, "words", "text");
    if (kind == VLM_SAMPLE_CAUSAL_MASK) {
        add_sign(&painter, markup, "<p>", "markup");
        add_sign(&painter, codes, " ▦ 17 4 … ", "codes of an image");
    } else {
        add_sign(&painter, codes, kind == VLM_SAMPLE_WINDOW ? "<image>¹" : "<image>", "an image");
    }
    add_sign(&painter, control, "</s>", "a control token");
    add_sign(&painter, unlearned, style->colour ? "words" : "⟨words⟩", "not learned");
    end_paragraph(&painter);
    if (kind == VLM_SAMPLE_CAUSAL_MASK) {
        add_sign(&painter, mask, "<mask:0>",
                 "stands where something was taken out, and is not learned itself; what was there "
                 "follows at the end:");
        end_paragraph(&painter);
        painter.no_gutter = false;
        begin_paragraph(&painter, 0);
        add_label(&painter, mask, "<mask:0>");
        add_label(&painter, span, "what was there");
        add_label(&painter, mask, "<eoss>");
    } else if (kind == VLM_SAMPLE_WINDOW) {
        painter.no_gutter = false;
        begin_paragraph(&painter, 1);
        add_label(&painter, (struct look){ .kind = KIND_TEXT, .colour = colour_of(1) },
                  "this text sees <image>¹, and no other");
    }
    end_paragraph(&painter);
    vlm_buffer_byte(out, '\n');
    vlm_buffer_release(&painter.cells);
    vlm_buffer_release(&painter.run);
}
