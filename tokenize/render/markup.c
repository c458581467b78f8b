/* markup.c - the forms cm3 and htlm: minimal HTML.
 *
 * Elements without text and without a usable image are left out, consecutive div are one, and of
 * the attributes only those remain that say something about the content, in byte order: a model
 * reads alt before src before title (CM3 section 4.2.3). htlm also leaves out small elements and
 * keeps class and id. The codes of an image stand in for src="<image:N>", which page text cannot
 * imitate since its "<" is escaped. */
#include "base/vlm.h"

#include "tokenize/html/layout.h"
#include "tokenize/names.h"
#include "tokenize/render/attributes.h"
#include "tokenize/render/flow.h"
#include "tokenize/render/forms.h"

#define NONE UINT32_MAX

struct markup {
    struct vlm_buffer *out;
    const struct vlm_document *document;
    struct vlm_attribute_rules rules;
    struct vlm_origin *origin; /* gets marks; NULL: nobody asks */
    unsigned left_out;         /* node flags */
    unsigned flags;            /* vlm_render_flag */
    bool htlm;
    uint8_t *keep;    /* [n_events] OPEN events of elements that are written */
    uint32_t *parent; /* [n_events] of an OPEN event: the OPEN event around it */
    uint32_t *folded; /* [n_events] of a div's OPEN event: that of the div folded into it */

    bool line_start; /* nothing on this line yet: white space is dropped */
    bool space;      /* white space that is written in front of what follows */
    unsigned raw;    /* depth of pre */
};

static bool is_pre(unsigned element)
{
    return element == VLM_ELEMENT_pre || element == VLM_ELEMENT_listing ||
           element == VLM_ELEMENT_xmp || element == VLM_ELEMENT_plaintext;
}

static bool has_text(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t space = vlm_space_at(p + i, n - i);
        if (!space)
            return true;
        i += space;
    }
    return false;
}

/* Each element is marked once, so this is linear over the page. */
static void keep_up(struct markup *markup, uint32_t open)
{
    for (; open != NONE && !markup->keep[open]; open = markup->parent[open])
        markup->keep[open] = 1;
}

static bool is_usable(const struct markup *markup, const struct vlm_document_image *image)
{
    return vlm_image_usable(image, markup->flags) &&
           (image->codes || !(markup->flags & VLM_RENDER_CODED));
}

/* Whether an img that cannot be used still says something (its alt or title). */
static bool image_speaks(const struct markup *markup, uint32_t open,
                         const struct vlm_document_image *image)
{
    const struct vlm_document *document = markup->document;
    if (is_usable(markup, image) || has_text(document->text + image->alt.start, image->alt.length))
        return true;
    struct vlm_string title = vlm_event_attribute(document, open, VLM_ATTRIBUTE_title);
    return has_text(document->text + title.start, title.length);
}

/* Decides what is kept, from what has text or images inside. */
static void find_content(struct markup *markup)
{
    const struct vlm_document *document = markup->document;
    uint32_t current = NONE;
    for (uint32_t i = 0; i < document->n_events;) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN && (event->flags & markup->left_out)) {
            i = (uint32_t)vlm_event_skip(document, i);
            continue;
        }
        if (event->kind == VLM_EVENT_OPEN) {
            markup->parent[i] = current;
            markup->folded[i] = NONE;
            if ((event->flags & VLM_NODE_UNWRAP) && current != NONE)
                markup->folded[current] = i;
            current = i;
            if (event->name == VLM_ELEMENT_meta && vlm_meta_is_wanted(&markup->rules, document, i))
                keep_up(markup, i);
        } else if (event->kind == VLM_EVENT_CLOSE && current != NONE) {
            current = markup->parent[current];
        } else if (event->kind == VLM_EVENT_TEXT && !(event->flags & markup->left_out) &&
                   has_text(document->text + event->start, event->length)) {
            keep_up(markup, current);
        } else if (event->kind == VLM_EVENT_IMAGE && !(event->flags & markup->left_out) &&
                   current != NONE &&
                   image_speaks(markup, current, &document->images[event->start])) {
            keep_up(markup, current);
        }
        i++;
    }
}

static void write_space(struct markup *markup)
{
    if (markup->space && !markup->line_start)
        vlm_buffer_byte(markup->out, ' ');
    markup->space = false;
}

static void write_raw(struct markup *markup, const char *p, size_t n)
{
    write_space(markup);
    vlm_origin_mark_text(markup->origin, markup->out->size, p, n);
    vlm_escape(markup->out, p, n, false);
    markup->line_start = false;
}

static void write_text(struct markup *markup, const char *p, size_t n)
{
    if (markup->raw) {
        write_raw(markup, p, n);
        return;
    }
    for (size_t i = 0; i < n;) {
        size_t space = vlm_space_at(p + i, n - i);
        if (space) {
            markup->space = true;
            i += space;
            continue;
        }
        size_t length = vlm_words_at(p + i, n - i);
        write_space(markup);
        vlm_origin_mark_text(markup->origin, markup->out->size, p + i, length);
        vlm_escape(markup->out, p + i, length, false);
        markup->line_start = false;
        i += length;
    }
}

/* The image of an img element, or NULL. */
static const struct vlm_event *image_event(const struct vlm_document *document, uint32_t open)
{
    for (size_t i = open + 1; i < document->n_events; i++) {
        if (document->events[i].kind == VLM_EVENT_IMAGE)
            return &document->events[i];
        if (document->events[i].kind != VLM_EVENT_ATTRIBUTE)
            break;
    }
    return NULL;
}

static void write_attributes(struct markup *markup, uint32_t open)
{
    const struct vlm_document *document = markup->document;
    const struct vlm_event *event = &document->events[open];
    const unsigned next = event[1].kind; /* behind an OPEN stands its CLOSE at least */
    if (markup->folded[open] == NONE && next != VLM_EVENT_ATTRIBUTE && next != VLM_EVENT_IMAGE)
        return;
    struct vlm_attribute_set set = { .document = document };
    vlm_attribute_set_add(&set, open);
    if (event->name == VLM_ELEMENT_div)
        for (uint32_t i = markup->folded[open]; i != NONE; i = markup->folded[i])
            vlm_attribute_set_add(&set, i);
    const struct vlm_event *image = image_event(document, open);
    if (event->name == VLM_ELEMENT_img && image) {
        const struct vlm_document_image *it = &document->images[image->start];
        if (it->has_alt)
            vlm_attribute_set_put(&set, VLM_ATTRIBUTE_alt, it->alt);
        set.has_image = is_usable(markup, it);
        set.image = image->start;
        set.codes = markup->flags & VLM_RENDER_PLACEHOLDERS ? NULL : it->codes;
    }
    vlm_attribute_set_write(markup->out, &set, &markup->rules, event->name);
}

/* noscript only says that its images come without scripts; folded div are part of their parent. */
static bool is_bare(const struct vlm_event *event)
{
    return (event->flags & VLM_NODE_UNWRAP) || event->name == VLM_ELEMENT_noscript;
}

static void write_name(struct markup *markup, unsigned element, const char *bracket)
{
    const char *name = vlm_element_name(element);
    vlm_buffer_text(markup->out, bracket);
    vlm_buffer_text(markup->out, name ? name : "span");
}

static void write_open(struct markup *markup, uint32_t open)
{
    const struct vlm_event *event = &markup->document->events[open];
    if (is_bare(event))
        return;
    bool inline_element = vlm_element_layout(event->name) == VLM_LAYOUT_INLINE;
    if (inline_element)
        write_space(markup);
    markup->space = false;
    vlm_origin_mark_tag(markup->origin, markup->out->size, open);
    write_name(markup, event->name, "<");
    write_attributes(markup, open);
    vlm_buffer_byte(markup->out, '>');
    if (!inline_element)
        markup->line_start = true;
    else if (event->name == VLM_ELEMENT_img)
        markup->line_start = false;
    markup->raw += is_pre(event->name);
}

static void write_close(struct markup *markup, uint32_t open, uint32_t close)
{
    const struct vlm_event *event = &markup->document->events[open];
    if (is_bare(event) || vlm_layout_has_no_end(event->name))
        return;
    vlm_origin_mark_tag(markup->origin, markup->out->size, close);
    write_name(markup, event->name, "</");
    vlm_buffer_byte(markup->out, '>');
    if (vlm_element_layout(event->name) != VLM_LAYOUT_INLINE) {
        markup->line_start = true;
        markup->space = false;
    }
    markup->raw -= is_pre(event->name);
}

/* The event behind an element that is not written. What stood around it must not run together:
 * "<i>int</i><b> </b>main" are two words, and white space in pre stands as it is. */
static uint32_t skip_element(struct markup *markup, uint32_t open)
{
    const struct vlm_document *document = markup->document;
    const uint32_t end = (uint32_t)vlm_event_skip(document, open);
    markup->space |= vlm_event_breaks_line(document, open);
    for (uint32_t i = open; i < end && !(document->events[open].flags & markup->left_out); i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_TEXT &&
            !has_text(document->text + event->start, event->length))
            write_text(markup, document->text + event->start, event->length);
    }
    return end;
}

static void write_document(struct markup *markup)
{
    const struct vlm_document *document = markup->document;
    uint32_t current = NONE;
    for (uint32_t i = 0; i < document->n_events;) {
        const struct vlm_event *event = &document->events[i];
        bool kept = event->kind == VLM_EVENT_OPEN && !(event->flags & markup->left_out) &&
                    (markup->keep[i] || (event->name == VLM_ELEMENT_br && current != NONE));
        if (event->kind == VLM_EVENT_OPEN && !kept) {
            i = skip_element(markup, i);
            continue;
        }
        if (event->kind == VLM_EVENT_OPEN) {
            write_open(markup, i);
            current = i;
        } else if (event->kind == VLM_EVENT_CLOSE && current != NONE) {
            write_close(markup, current, i);
            current = markup->parent[current];
        } else if (event->kind == VLM_EVENT_TEXT && !(event->flags & markup->left_out)) {
            write_text(markup, document->text + event->start, event->length);
        }
        i++;
    }
}

void vlm_render_markup(struct vlm_buffer *out, const struct vlm_document *document,
                       enum vlm_render form, unsigned flags, struct vlm_origin *origin)
{
    const size_t n = document->n_events;
    struct markup markup = {
        .out = out,
        .document = document,
        .left_out = VLM_NODE_HIDDEN | VLM_NODE_CHROME | VLM_NODE_DUPLICATE,
        .flags = flags,
        .origin = origin,
        .htlm = form == VLM_RENDER_HTLM,
        .line_start = true,
    };
    if (markup.htlm)
        markup.left_out |= VLM_NODE_SMALL;
    if (n == 0 || n >= NONE)
        return;
    markup.keep = calloc(n, sizeof(*markup.keep));
    markup.parent = malloc(n * sizeof(*markup.parent));
    markup.folded = malloc(n * sizeof(*markup.folded));
    if (markup.keep && markup.parent && markup.folded) {
        vlm_attribute_rules_init(&markup.rules, document, markup.htlm);
        markup.rules.origin = origin;
        find_content(&markup);
        write_document(&markup);
        vlm_attribute_rules_release(&markup.rules);
    } else {
        out->failed = true;
    }
    free(markup.keep);
    free(markup.parent);
    free(markup.folded);
}
