/* interleaved.c - the forms m3w (a page with its images, Flamingo section 2.4) and pair (an image
 * and its caption).
 *
 * m3w: <EOC> stands before every <image> that has something before it, and at the end of the
 * document. An image that cannot be used leaves no trace. pair: the caption is the figcaption of
 * the nearest figure that has one, else the alt, else the title attribute. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "tokenize/html/layout.h"
#include "tokenize/names.h"
#include "tokenize/render/flow.h"
#include "tokenize/render/forms.h"

/* Captions are cut behind this: models take 32 or 64 tokens of one. */
enum { CAPTION_MAX = 2048 };

void vlm_render_interleaved(struct vlm_buffer *out, const struct vlm_document *document,
                            unsigned flags, struct vlm_origin *origin)
{
    const unsigned left_out = vlm_flow_left_out(flags);
    const size_t start = out->size;
    struct vlm_flow flow = { .out = out, .guard = true, .unguarded = out->size, .origin = origin };
    vlm_flow_tag(&flow, "<BOS>");
    flow.any = false;
    for (size_t i = 0; i < document->n_events;) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN &&
            ((event->flags & left_out) || event->name == VLM_ELEMENT_title)) {
            i = vlm_flow_skip(&flow, document, i);
            continue;
        }
        if (event->kind == VLM_EVENT_OPEN) {
            vlm_flow_open(&flow, event->name);
        } else if (event->kind == VLM_EVENT_CLOSE) {
            vlm_flow_close(&flow, event->name);
        } else if (event->kind == VLM_EVENT_TEXT && !(event->flags & left_out)) {
            vlm_flow_text(&flow, document->text + event->start, event->length);
        } else if (event->kind == VLM_EVENT_IMAGE && !(event->flags & left_out) &&
                   vlm_image_usable(&document->images[event->start], flags)) {
            vlm_origin_at(origin, i);
            if (flow.any)
                vlm_flow_tag(&flow, "<EOC>");
            vlm_flow_image(&flow, event->start, flags);
        }
        i++;
    }
    vlm_origin_at(origin, VLM_ORIGIN_NO_EVENT);
    if (flow.any)
        vlm_flow_tag(&flow, "<EOC>");
    else if (!out->failed)
        out->size = start; /* an empty page is no document */
}

/* A figure, and where the text of its figcaption stands in captions->text. */
struct figure {
    size_t parent; /* index + 1; 0: none */
    struct vlm_string caption;
};

/* What is known about an image before its line is written. */
struct captioned {
    size_t event;  /* of the image */
    size_t figure; /* index + 1 of the nearest; 0: none */
    struct vlm_string title;
    bool seen; /* stands in a part of the page that is not left out */
};

struct captions {
    const struct vlm_document *document;
    unsigned left_out;
    struct figure *figures;
    size_t n_figures;
    size_t figure; /* the open one: index + 1; 0: none */
    struct captioned *images;
    struct vlm_buffer text;
    struct vlm_origin *origin; /* of text; NULL: nobody asks */
};

static bool captions_alloc(struct captions *captions)
{
    const struct vlm_document *document = captions->document;
    size_t n = 0;
    for (size_t i = 0; i < document->n_events; i++)
        n += document->events[i].kind == VLM_EVENT_OPEN &&
             document->events[i].name == VLM_ELEMENT_figure;
    captions->figures = calloc(n + 1, sizeof(*captions->figures));
    captions->images = calloc(document->n_images + 1, sizeof(*captions->images));
    return captions->figures && captions->images;
}

static void captions_release(struct captions *captions)
{
    free(captions->figures);
    free(captions->images);
    vlm_buffer_release(&captions->text);
}

/* The text between the events from and end on one line, cut at CAPTION_MAX. */
static struct vlm_string collect_text(struct captions *captions, size_t from, size_t end)
{
    const struct vlm_document *document = captions->document;
    struct vlm_buffer *text = &captions->text;
    struct vlm_flow flow = { .out = text, .unguarded = text->size, .origin = captions->origin };
    size_t start = text->size;
    for (size_t i = from; i < end && text->size - start <= CAPTION_MAX;) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN && (event->flags & captions->left_out)) {
            i = vlm_flow_skip(&flow, document, i);
            continue;
        }
        if (event->kind == VLM_EVENT_TEXT && !(event->flags & captions->left_out))
            vlm_flow_text(&flow, document->text + event->start, event->length);
        else if ((event->kind == VLM_EVENT_OPEN || event->kind == VLM_EVENT_CLOSE) &&
                 vlm_element_layout(event->name) != VLM_LAYOUT_INLINE)
            vlm_flow_break(&flow, VLM_FLOW_SPACE);
        i++;
    }
    size_t n = text->size - start;
    if (n > CAPTION_MAX)
        n = vlm_utf8_valid_prefix((const char *)text->data + start, CAPTION_MAX);
    return (struct vlm_string){ (uint32_t)start, (uint32_t)n };
}

static void open_element(struct captions *captions, size_t i)
{
    const struct vlm_event *event = &captions->document->events[i];
    if (event->name == VLM_ELEMENT_figure) {
        captions->figures[captions->n_figures].parent = captions->figure;
        captions->figure = ++captions->n_figures;
    } else if (event->name == VLM_ELEMENT_figcaption && captions->figure) {
        struct figure *figure = &captions->figures[captions->figure - 1];
        if (!figure->caption.length)
            figure->caption = collect_text(captions, i, vlm_event_skip(captions->document, i));
    }
}

/* One walk over the page: figures with their captions, images with their figure and title. */
static void collect_captions(struct captions *captions)
{
    const struct vlm_document *document = captions->document;
    struct vlm_string title = { 0, 0 };
    for (size_t i = 0; i < document->n_events;) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN && (event->flags & captions->left_out)) {
            i = vlm_event_skip(document, i);
            continue;
        }
        if (event->kind == VLM_EVENT_OPEN) {
            title = (struct vlm_string){ 0, 0 };
            open_element(captions, i);
        } else if (event->kind == VLM_EVENT_CLOSE && event->name == VLM_ELEMENT_figure) {
            captions->figure = captions->figures[captions->figure - 1].parent;
        } else if (event->kind == VLM_EVENT_ATTRIBUTE && event->name == VLM_ATTRIBUTE_title) {
            title = (struct vlm_string){ event->start, event->length };
        } else if (event->kind == VLM_EVENT_IMAGE && !(event->flags & captions->left_out)) {
            captions->images[event->start] = (struct captioned){
                .event = i, .figure = captions->figure, .title = title, .seen = true
            };
        }
        i++;
    }
}

/* Writes the line of an image, or nothing when no source of a caption has text. */
static void write_pair(struct vlm_buffer *out, size_t start, const struct captions *captions,
                       size_t image, unsigned flags, struct vlm_origin *origin)
{
    const struct vlm_document *document = captions->document;
    const struct captioned *it = &captions->images[image];
    size_t figure = it->figure;
    while (figure && !captions->figures[figure - 1].caption.length)
        figure = captions->figures[figure - 1].parent;
    struct vlm_string caption = { 0, 0 };
    if (figure)
        caption = captions->figures[figure - 1].caption;
    const char *const from[] = { (const char *)captions->text.data, document->text,
                                 document->text };
    const struct vlm_string source[] = { caption, document->images[image].alt, it->title };
    const size_t before = out->size;
    if (before > start)
        vlm_buffer_byte(out, '\n');
    struct vlm_flow flow = { .out = out, .guard = true, .unguarded = out->size, .origin = origin };
    vlm_origin_at(origin, it->event);
    vlm_flow_tag(&flow, "<BOS>");
    vlm_flow_image(&flow, image, flags);
    flow.after_image = false; /* no space in front of the caption */
    for (size_t k = 0; k < VLM_COUNTOF(source) && !flow.text; k++) {
        size_t n = source[k].length;
        if (n > CAPTION_MAX)
            n = vlm_utf8_valid_prefix(from[k] + source[k].start, CAPTION_MAX);
        if (n)
            vlm_flow_text(&flow, from[k] + source[k].start, n);
    }
    if (flow.text)
        vlm_flow_tag(&flow, "<EOC>");
    else if (!out->failed)
        out->size = before;
}

/* The text of captions has an origin of its own, through which that of the lines is looked up. */
static void trace_captions(struct captions *captions, struct vlm_origin *origin)
{
    if (!origin->captions)
        origin->captions = calloc(1, sizeof(*origin->captions));
    origin->failed |= !origin->captions;
    if (origin->captions)
        vlm_origin_begin(origin->captions, captions->document);
    captions->origin = origin->captions;
    origin->captions_text = &captions->text;
}

static void end_trace(struct captions *captions, struct vlm_origin *origin)
{
    if (captions->origin)
        vlm_origin_end(captions->origin, &captions->text, 0, false);
    origin->failed |= captions->origin && captions->origin->failed;
    origin->captions_text = NULL;
}

void vlm_render_pairs(struct vlm_buffer *out, const struct vlm_document *document, unsigned flags,
                      struct vlm_origin *origin)
{
    const size_t start = out->size;
    struct captions captions = { .document = document, .left_out = vlm_flow_left_out(flags) };
    if (origin)
        trace_captions(&captions, origin);
    if (captions_alloc(&captions)) {
        collect_captions(&captions);
        for (size_t i = 0; i < document->n_images; i++)
            if (captions.images[i].seen && vlm_image_usable(&document->images[i], flags))
                write_pair(out, start, &captions, i, flags, origin);
    } else {
        out->failed = true;
    }
    if (captions.text.failed)
        out->failed = true;
    if (origin)
        end_trace(&captions, origin);
    captions_release(&captions);
}
