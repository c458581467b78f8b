/* inspect_show.c - vlm-inspect show: one document for people, each picture beside what its codes say.
 *
 * The text has the line structure of the form "text"; the pictures stand where the page has them. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/option.h"
#include "shard/parts/set.h"
#include "tokenize/names.h"
#include "tokenize/render/flow.h"
#include "tools/common/find_document.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/show.h"
#include "tools/common/terminal.h"

#include <math.h>

struct show {
    const char *folder, *id; /* hexadecimal digits, all or the first of them */
    const char *model, *html;
    int colour;
    int64_t width;
};

/* Text and the places of its images ---------------------------------------------------------------- */

static void end_piece(struct vlm_shown *shown, struct vlm_flow *flow, size_t image)
{
    size_t start = 0;
    if (shown->n_pieces)
        start =
            shown->pieces[shown->n_pieces - 1].start + shown->pieces[shown->n_pieces - 1].length;
    vlm_flow_tag(flow, "");
    shown->pieces[shown->n_pieces++] =
        (struct vlm_shown_piece){ start, shown->text.size - start, image };
}

static int make_pieces(struct vlm_shown *shown, struct vlm_arena *arena, struct vlm_err *err)
{
    const struct vlm_document *document = shown->document;
    size_t n = 1;
    for (size_t i = 0; i < document->n_events; i++)
        n += document->events[i].kind == VLM_EVENT_IMAGE;
    shown->pieces = vlm_arena_zero(arena, n, sizeof(*shown->pieces));
    if (!shown->pieces)
        return vlm_fail(err, VLM_ELIMIT, "no memory for the pieces of a document");
    const unsigned left_out = vlm_flow_left_out(0);
    struct vlm_flow flow = { .out = &shown->text };
    for (size_t i = 0; i < document->n_events;) {
        const struct vlm_event *event = &document->events[i];
        bool in = !(event->flags & left_out);
        if (event->kind == VLM_EVENT_OPEN && (!in || event->name == VLM_ELEMENT_title)) {
            i = vlm_flow_skip(&flow, document, i);
            continue;
        }
        if (event->kind == VLM_EVENT_OPEN)
            vlm_flow_open(&flow, event->name);
        else if (event->kind == VLM_EVENT_CLOSE)
            vlm_flow_close(&flow, event->name);
        else if (event->kind == VLM_EVENT_TEXT && in)
            vlm_flow_text(&flow, document->text + event->start, event->length);
        else if (event->kind == VLM_EVENT_IMAGE && in)
            end_piece(shown, &flow, event->start);
        i++;
    }
    end_piece(shown, &flow, SIZE_MAX);
    return VLM_OK;
}

/* Pictures --------------------------------------------------------------------------------------- */

/* The tokenizer that -m names, or the shipped one when the set has codes of it. Without one, the
 * codes are foreign. */
static int open_tokenizer(const struct show *show, const struct vlm_set_tokenizers *tokenizers,
                          struct vlm_tokenizer **tokenizer, struct vlm_shown *shown,
                          struct vlm_err *err)
{
    char text[VLM_TOKENIZERS_TEXT];
    if (!tokenizers->n && !show->model)
        return VLM_OK;
    int rc = vlm_tokenizer_open(tokenizer, show->model, VLM_PRECISION_EXACT, err);
    if (rc < 0)
        return rc;
    size_t i = vlm_tokenizers_find(tokenizers, vlm_tokenizer_info(*tokenizer).id);
    if (i < tokenizers->n) {
        shown->tokenizer = tokenizers->list[i].id;
        return VLM_OK;
    }
    if (show->model)
        return vlm_fail(err, VLM_EUSAGE, "'%s' is %s, but '%s' has %s", show->model,
                        vlm_tokenizer_info(*tokenizer).id, show->folder,
                        vlm_tokenizers_text(text, tokenizers));
    vlm_tokenizer_close(*tokenizer);
    *tokenizer = NULL;
    shown->tokenizer = tokenizers->list[0].id;
    shown->foreign = true;
    return VLM_OK;
}

static double psnr_of(const uint8_t *a, const uint8_t *b)
{
    double sum = 0;
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++)
        sum += (double)(a[i] - b[i]) * (a[i] - b[i]);
    return sum > 0 ? 10 * log10(255.0 * 255.0 * VLM_SQUARE_BYTES / sum) : INFINITY;
}

static unsigned count_different(const uint16_t codes[VLM_CODES])
{
    unsigned n = 0;
    for (size_t i = 0; i < VLM_CODES; i++) {
        size_t k = 0;
        while (codes[k] != codes[i])
            k++;
        n += k == i;
    }
    return n;
}

static int load_image(struct vlm_set *set, struct vlm_coder *coder, const struct vlm_shown *shown,
                      size_t i, struct vlm_arena *arena, struct vlm_err *err)
{
    struct vlm_shown_image *it = &shown->images[i];
    struct vlm_stored_image stored;
    const uint8_t *sha256 = shown->document->images[i].sha256;
    uint16_t codes[VLM_CODES];
    int rc = vlm_set_image(set, sha256, &stored, err);
    if (rc == VLM_OK && stored.square) {
        it->original = vlm_arena_alloc(arena, 1, VLM_SQUARE_BYTES);
        it->jpeg = (const uint8_t *)vlm_arena_copy(arena, stored.square, stored.square_size);
        it->jpeg_size = stored.square_size;
        if (!it->original || !it->jpeg)
            return vlm_fail(err, VLM_ELIMIT, "no memory for the pictures of a document");
        rc = vlm_stored_square_decode(it->original, stored.square, stored.square_size, arena, err);
    }
    if (rc == VLM_OK && coder)
        rc = vlm_set_codes(set, shown->tokenizer, sha256, codes, err);
    if (rc != VLM_OK || !coder)
        return rc == VLM_SKIP ? VLM_OK : rc;
    it->decoded = vlm_arena_alloc(arena, 1, VLM_SQUARE_BYTES);
    if (!it->decoded)
        return vlm_fail(err, VLM_ELIMIT, "no memory for the pictures of a document");
    rc = vlm_coder_decode(coder, it->decoded, codes, 1, err);
    it->used = count_different(codes);
    if (rc == VLM_EFORMAT) { /* numbers that are none: the rest can be shown */
        it->decoded = NULL;
        return VLM_OK;
    }
    if (rc == VLM_OK && it->original)
        it->psnr = psnr_of(it->original, it->decoded);
    return rc;
}

void vlm_show_caption(struct vlm_buffer *out, const struct vlm_shown *shown, size_t image)
{
    const struct vlm_document_image *about = &shown->document->images[image];
    const struct vlm_shown_image *it = &shown->images[image];
    vlm_buffer_printf(out, "image %zu: ", image);
    if (about->status != VLM_IMAGE_OK) {
        vlm_buffer_text(out, vlm_image_status_name((enum vlm_image_status)about->status));
        return;
    }
    vlm_buffer_printf(out, "%s, %" PRIu32 " x %" PRIu32,
                      vlm_image_format_name((enum vlm_image_format)about->format), about->width,
                      about->height);
    if (it->decoded)
        vlm_buffer_printf(out, " · %s, %u different codes", shown->tokenizer, it->used);
    else if (shown->foreign)
        vlm_buffer_printf(out, " · the codes are those of %s: give its folder with -m",
                          shown->tokenizer);
    else if (shown->tokenizer)
        vlm_buffer_text(out, it->used ? " · its codes give no picture" : " · without codes");
    if (it->decoded && it->original)
        vlm_buffer_printf(out, " · PSNR %.1f dB", it->psnr);
}

/* The verb ---------------------------------------------------------------------------------------- */

static int print(const struct show *show, const struct vlm_shown *shown, struct vlm_err *err)
{
    struct vlm_buffer out = { 0 };
    const struct vlm_show_style style = { .width = show->width ? (unsigned)show->width
                                                               : vlm_terminal_width(),
                                          .colour = vlm_terminal_colour(show->colour) };
    int rc = show->html ? vlm_show_html(&out, shown, err) : vlm_show_text(&out, shown, &style, err);
    if (rc == VLM_OK && out.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to show the document");
    if (rc == VLM_OK && show->html && strcmp(show->html, "-"))
        rc = vlm_file_write(show->html, out.data, out.size, err);
    else if (rc == VLM_OK && fwrite(out.data, 1, out.size, stdout) != out.size)
        rc = vlm_fail_errno(err, errno, "cannot write");
    vlm_buffer_release(&out);
    return rc;
}

static int show_document(const struct show *show, struct vlm_err *err)
{
    struct vlm_set *set = NULL;
    struct vlm_tokenizer *tokenizer = NULL;
    struct vlm_coder *coder = NULL;
    struct vlm_document *document = NULL;
    struct vlm_shown shown = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, 4 * (size_t)VLM_GIB);
    int rc = vlm_find_document(&set, &document, show->folder, show->id, &arena, err);
    if (rc == VLM_OK)
        rc = open_tokenizer(show, &vlm_set_manifest(set)->tokenizers, &tokenizer, &shown, err);
    if (rc == VLM_OK && tokenizer)
        rc = vlm_coder_new(&coder, tokenizer, 1, err);
    if (rc == VLM_OK) {
        shown.document = document;
        shown.images = vlm_arena_zero(&arena, document->n_images, sizeof(*shown.images));
        if (!shown.images)
            rc = vlm_fail(err, VLM_ELIMIT, "no memory for the pictures of a document");
    }
    for (size_t i = 0; rc == VLM_OK && i < document->n_images; i++)
        if (document->images[i].status == VLM_IMAGE_OK)
            rc = load_image(set, coder, &shown, i, &arena, err);
    if (rc == VLM_OK)
        rc = make_pieces(&shown, &arena, err);
    if (rc == VLM_OK)
        rc = print(show, &shown, err);
    vlm_buffer_release(&shown.text);
    vlm_coder_free(coder);
    vlm_tokenizer_close(tokenizer);
    vlm_set_close(set);
    vlm_arena_release(&arena);
    return rc;
}

int vlm_inspect_show(int argc, char **argv)
{
    struct show show = { 0 };
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('m', "model", &show.model, "MODEL",
                          "folder of the tokenizer that draws the codes; else the shipped one"),
        VLM_OPTION_STRING(0, "html", &show.html, "FILE",
                          "write a page of HTML that needs no other file; '-': to stdout"),
        VLM_OPTION_NUMBER(0, "width", &show.width, "N", "columns; 0: those of the terminal", 0,
                          1000),
        VLM_OPTION_CHOICE(0, "color", &show.colour, VLM_COLOUR_WORDS,
                          "24-bit colours, or letters of different darkness"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-inspect show",
        .synopsis = "OUT ID [options]",
        .summary = "Shows one document of a shard set, each picture beside what its codes give "
                   "back. ID is\nthe document's, or its first digits.",
        .examples = "  vlm-inspect show out 5f0c1a\n"
                    "  vlm-inspect show out 5f0c1a --html page.html\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 3)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one shard set and the id of a document");
    if (rc == VLM_OK) {
        show.folder = argv[1];
        show.id = argv[2];
        rc = show_document(&show, &err);
    }
    return vlm_tool_end(&tool, rc, &err);
}
