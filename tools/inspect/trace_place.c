/* trace_place.c - finds and prints one place.
 *
 * With the crawl, the page's bytes are those that the parser read. Without it only the places that the set
 * stores are known: where an event begins. */
#include "base/vlm.h"

#include "tools/inspect/trace.h"

#include "base/utf8.h"
#include "tokenize/names.h"
#include "vqgan/image/image.h"

enum { AROUND = 40 }; /* bytes of the page that are shown before and behind */

/* Places ---------------------------------------------------------------------------------------- */

/* Where the text of an event begins in its document's. */
static uint32_t text_start(const struct vlm_document *document, const struct vlm_event *event)
{
    return event->kind == VLM_EVENT_IMAGE ? document->images[event->start].alt.start : event->start;
}

static void widen(struct vlm_place *place, struct vlm_page_range range)
{
    if (!place->has_page)
        place->page = range;
    place->page.start = VLM_MIN(place->page.start, range.start);
    place->page.end = VLM_MAX(place->page.end, range.end);
    place->has_page = true;
}

/* Adds the bytes of the page that n bytes of an event's text were made from. */
static void add_text(struct vlm_place *place, const struct vlm_trace *trace, uint32_t event,
                     uint32_t from, uint32_t n)
{
    const struct vlm_crawl_page *page = trace->page;
    struct vlm_page_range range;
    if (page && vlm_page_map_find(page->map,
                                  text_start(page->document, &page->document->events[event]) + from,
                                  n, &range, NULL))
        widen(place, range);
}

/* The address under which the picture was found, else the first, as the page writes it. */
static bool find_address(const struct vlm_crawl_page *page, uint32_t image, uint8_t used,
                         struct vlm_page_range *range)
{
    const struct vlm_document_image *it = &page->document->images[image];
    const struct vlm_string src = it->src;
    if (used < it->n_candidates && it->candidate[used].length &&
        vlm_page_map_find(page->map, it->candidate[used].start, it->candidate[used].length, range,
                          NULL))
        return true;
    return src.length && vlm_page_map_find(page->map, src.start, src.length, range, NULL);
}

/* The tag of an event, or the address of its picture. */
static void add_tag(struct vlm_place *place, const struct vlm_trace *trace)
{
    const struct vlm_crawl_page *page = trace->page;
    struct vlm_page_range range = { 0, 0 };
    if (!page)
        return;
    if (place->event == VLM_ORIGIN_NO_EVENT) { /* begin and end of the document */
        range.start = range.end = place->start ? (uint32_t)page->size : 0;
    } else {
        const struct vlm_event *event = &trace->document->events[place->event];
        if (!place->codes || event->kind != VLM_EVENT_IMAGE ||
            !find_address(page, event->start, trace->document->images[event->start].used, &range))
            vlm_page_map_tag(page->map, page->text, page->document, place->event, &range);
    }
    widen(place, range);
}

/* Where the n bytes at p have the only copy of what, or NULL. */
static const char *find_once(const char *p, size_t n, const char *what, size_t length)
{
    const char *found = memmem(p, n, what, length);
    const char *end = p + n;
    return found && !memmem(found + 1, (size_t)(end - found - 1), what, length) ? found : NULL;
}

/* Part [start, end) of a piece of a tag that the renderer made: the same bytes, where the page's tag begins or ends
 * with them too, or has the piece once. */
static bool add_same_tag(struct vlm_place *place, const struct vlm_trace *trace,
                         const struct vlm_origin_run *run, uint32_t start, uint32_t end)
{
    const struct vlm_crawl_page *page = trace->page;
    struct vlm_page_range tag;
    bool markup = trace->form == VLM_RENDER_CM3 || trace->form == VLM_RENDER_HTLM;
    if (!page || !markup || run->event == VLM_ORIGIN_NO_EVENT ||
        !vlm_page_map_tag(page->map, page->text, page->document, run->event, &tag))
        return false;
    const char *made = trace->rendering + run->start, *p = page->text;
    if ((trace->document->events[run->event].kind == VLM_EVENT_CLOSE) != (p[tag.start + 1] == '/'))
        return false; /* the page leaves this end tag out */
    const uint32_t head = end - run->start, tail = run->start + run->length - start;
    const uint32_t size = tag.end - tag.start;
    struct vlm_page_range range;
    const char *inside =
        memchr(made, '=', run->length) ? find_once(p + tag.start, size, made, run->length) : NULL;
    if (*made == '<' && head <= size && !memcmp(p + tag.start, made, head))
        range.start = tag.start + (start - run->start);
    else if (made[run->length - 1] == '>' && tail <= size &&
             !memcmp(p + tag.end - tail, trace->rendering + start, tail))
        range.start = tag.end - tail;
    else if (inside)
        range.start = (uint32_t)(inside - p) + (start - run->start);
    else
        return false;
    range.end = range.start + (end - start);
    widen(place, range);
    return true;
}

/* Part [start, end) of a run that is written otherwise than the event's text; the page may write it as the
 * rendering does ("&amp;"), then part of it has a place of its own. */
static void add_changed(struct vlm_place *place, const struct vlm_trace *trace,
                        const struct vlm_origin_run *run, uint32_t start, uint32_t end)
{
    struct vlm_place whole = { .has_page = false };
    add_text(&whole, trace, run->event, run->from, run->n);
    if (!whole.has_page)
        return;
    struct vlm_page_range range = whole.page;
    if (range.end - range.start == run->length &&
        !memcmp(trace->page->text + range.start, trace->rendering + run->start, run->length)) {
        range.end = range.start + (end - run->start);
        range.start += start - run->start;
    }
    widen(place, range);
}

/* Pieces of a tag count beside text where the two lie side by side. */
static void add_pieces(struct vlm_place *place, const struct vlm_place *tag)
{
    struct vlm_place both = *place;
    if (!tag->has_page)
        return;
    widen(&both, tag->page);
    if (!place->has_page || both.page.end - both.page.start == place->end - place->start)
        *place = both;
}

static unsigned rank(const struct vlm_origin_run *run)
{
    return run->kind == VLM_ORIGIN_MADE ? 2 : run->kind == VLM_ORIGIN_CODES ? 1 : 0;
}

struct vlm_place vlm_trace_range(const struct vlm_trace *trace, uint32_t start, uint32_t end)
{
    const struct vlm_origin *origin = trace->origin;
    struct vlm_place place = { .start = start, .end = end, .event = VLM_ORIGIN_NO_EVENT };
    const struct vlm_origin_run *first = NULL;    /* text before codes before tags */
    struct vlm_place tag = { .has_page = false }; /* where the page has the pieces of tags */
    bool tags = true;                             /* it has all of them */
    for (size_t i = vlm_origin_find(origin, start); i < origin->n; i++) {
        const struct vlm_origin_run *run = &origin->runs[i];
        if (run->start >= end)
            break;
        const uint32_t from = VLM_MAX(start, run->start);
        const uint32_t to = VLM_MIN(end, run->start + run->length);
        const uint32_t skipped = run->kind == VLM_ORIGIN_TEXT ? from - run->start : 0;
        if (!first || rank(run) < rank(first)) {
            first = run;
            place.from = run->from + skipped;
        }
        if (run->kind == VLM_ORIGIN_TEXT)
            add_text(&place, trace, run->event, run->from + skipped, to - from);
        else if (run->kind == VLM_ORIGIN_CHANGED)
            add_changed(&place, trace, run, from, to);
        else if (run->kind == VLM_ORIGIN_MADE && tags)
            tags = add_same_tag(&tag, trace, run, from, to);
    }
    VLM_BUG_IF(!first); /* runs cover the rendering */
    add_pieces(&place, &tag);
    place.event = first->event;
    place.made = first->kind == VLM_ORIGIN_MADE && !(place.has_page && tags);
    place.codes = first->kind == VLM_ORIGIN_CODES;
    if (place.made || place.codes)
        add_tag(&place, trace);
    uint32_t n = place.page.end - place.page.start;
    place.verbatim = place.has_page && n == end - start &&
                     !memcmp(trace->page->text + place.page.start, trace->rendering + start, n);
    return place;
}

struct vlm_place vlm_trace_byte(const struct vlm_trace *trace, uint32_t at)
{
    const struct vlm_origin_run *run = &trace->origin->runs[vlm_origin_find(trace->origin, at)];
    uint32_t start = run->start, end = run->start + run->length;
    const char *p = trace->rendering;
    if (run->kind == VLM_ORIGIN_TEXT) {
        for (start = at; start > run->start && ((uint8_t)p[start] & 0xc0) == 0x80;)
            start--;
        end = start + VLM_MAX((uint32_t)vlm_utf8_valid_at(p + start, trace->size - start), 1u);
    } else if (run->kind == VLM_ORIGIN_CODES) {
        uint32_t last = end;
        for (start = at; start > run->start && p[at] != ' ' && p[start - 1] != ' ';)
            start--;
        for (end = start; end < last && p[end] != ' ';)
            end++;
        end += end == start; /* a space between two codes */
    }
    return vlm_trace_range(trace, start, end);
}

struct vlm_place vlm_trace_end(const struct vlm_trace *trace)
{
    struct vlm_place place = {
        .start = trace->size, .end = trace->size, .event = VLM_ORIGIN_NO_EVENT, .made = true
    };
    add_tag(&place, trace);
    return place;
}

int vlm_trace_code(const struct vlm_trace *trace, const struct vlm_place *place)
{
    size_t i = vlm_origin_find(trace->origin, place->start);
    const struct vlm_origin_run *run = &trace->origin->runs[i];
    if (run->kind != VLM_ORIGIN_CODES || trace->rendering[run->start] == '<')
        return -1;
    int number = 0;
    for (uint32_t at = run->start; at < place->start; at++)
        number += trace->rendering[at] == ' ';
    return number;
}

/* JSON ------------------------------------------------------------------------------------------ */

/* The member text, and hex where a part of a character stands, which JSON cannot hold. */
static void write_bytes(struct vlm_json *json, const char *p, size_t n)
{
    vlm_json_key(json, "text");
    vlm_json_text(json, p, n);
    if (vlm_utf8_valid_prefix(p, n) == n)
        return;
    vlm_json_key(json, "hex");
    vlm_json_hex(json, (const uint8_t *)p, n);
}

void vlm_trace_json_begin(struct vlm_json *json, const struct vlm_trace *trace,
                          const struct vlm_place *place)
{
    uint8_t id[16];
    vlm_document_id(id, trace->document);
    vlm_json_key(json, "id");
    vlm_json_hex(json, id, sizeof(id));
    vlm_json_member_string(json, "url", trace->document->url);
    vlm_json_member_string(json, "render", vlm_render_name(trace->form));
    vlm_json_key(json, "rendering");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "start", place->start);
    vlm_json_member_number(json, "end", place->end);
    write_bytes(json, trace->rendering + place->start, place->end - place->start);
    vlm_json_close(json, '}');
}

static void write_event(struct vlm_json *json, const struct vlm_trace *trace,
                        const struct vlm_place *place)
{
    vlm_json_key(json, "event");
    if (place->event == VLM_ORIGIN_NO_EVENT) {
        vlm_json_null(json);
        return;
    }
    const struct vlm_event *event = &trace->document->events[place->event];
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "index", place->event);
    vlm_json_member_string(json, "kind", vlm_event_kind_name(event->kind));
    vlm_json_member_string(json, "name",
                           event->kind == VLM_EVENT_OPEN || event->kind == VLM_EVENT_CLOSE
                               ? vlm_element_name(event->name)
                           : event->kind == VLM_EVENT_ATTRIBUTE ? vlm_attribute_name(event->name)
                                                                : NULL);
    vlm_json_close(json, '}');
}

static void write_record(struct vlm_json *json, const char *file, uint64_t offset, uint64_t length)
{
    vlm_json_member_string(json, "file", file);
    vlm_json_member_number(json, "offset", offset);
    vlm_json_member_number(json, "length", length);
}

static void write_image(struct vlm_json *json, const struct vlm_trace *trace,
                        const struct vlm_event *event, int code)
{
    static const uint8_t none[VLM_SHA256_SIZE];
    const struct vlm_document_image *image = &trace->document->images[event->start];
    bool found = memcmp(image->sha256, none, sizeof(none)) != 0;
    vlm_json_key(json, "image");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "i", event->start);
    vlm_json_key(json, "url");
    if (image->n_candidates) {
        struct vlm_string url =
            image->candidate[image->used < image->n_candidates ? image->used : 0];
        vlm_json_text(json, trace->document->text + url.start, url.length);
    } else {
        vlm_json_null(json);
    }
    vlm_json_key(json, "sha256");
    found ? vlm_json_hex(json, image->sha256, sizeof(image->sha256)) : vlm_json_null(json);
    vlm_json_member_string(json, "format",
                           found && image->format < VLM_FORMATS
                               ? vlm_image_format_name((enum vlm_image_format)image->format)
                               : NULL);
    vlm_json_key(json, "code");
    code >= 0 ? vlm_json_number(json, (uint64_t)code) : vlm_json_null(json);
    vlm_json_key(json, "record");
    if (trace->image) {
        vlm_json_open(json, '{');
        write_record(json, trace->image->file, trace->image->offset, trace->image->length);
        vlm_json_close(json, '}');
    } else {
        vlm_json_null(json);
    }
    vlm_json_close(json, '}');
}

/* Whole characters, if the page has them. */
static void write_around(struct vlm_json *json, const struct vlm_crawl_page *page,
                         struct vlm_page_range range)
{
    uint32_t begin = range.start > AROUND ? range.start - AROUND : 0;
    uint32_t end = (uint32_t)VLM_MIN((size_t)range.end + AROUND, page->size);
    while (begin < range.start && ((uint8_t)page->text[begin] & 0xc0) == 0x80)
        begin++;
    while (end > range.end && end < page->size && ((uint8_t)page->text[end] & 0xc0) == 0x80)
        end--;
    vlm_json_key(json, "before");
    vlm_json_text(json, page->text + begin, range.start - begin);
    vlm_json_key(json, "after");
    vlm_json_text(json, page->text + range.end, end - range.end);
}

/* Whether an event stands in <pre> or its like, whose first line end is no text. */
static bool is_preformatted(const struct vlm_document *document, uint32_t event)
{
    size_t depth = 0;
    for (uint32_t i = 0; i < event; i++) {
        const struct vlm_event *it = &document->events[i];
        bool pre = it->name == VLM_ELEMENT_pre || it->name == VLM_ELEMENT_textarea ||
                   it->name == VLM_ELEMENT_listing || it->name == VLM_ELEMENT_xmp ||
                   it->name == VLM_ELEMENT_plaintext;
        depth += pre && it->kind == VLM_EVENT_OPEN;
        depth -= pre && it->kind == VLM_EVENT_CLOSE;
    }
    return depth > 0;
}

/* Without the crawl: where the event begins, which is the place itself for a start tag and for the first
 * character of a text. */
static void write_stored_page(struct vlm_json *json, const struct vlm_trace *trace,
                              const struct vlm_place *place)
{
    const struct vlm_event *event =
        place->event == VLM_ORIGIN_NO_EVENT ? NULL : &trace->document->events[place->event];
    bool exact = event && ((event->kind == VLM_EVENT_TEXT && !place->made && place->from == 0 &&
                            !is_preformatted(trace->document, place->event)) ||
                           (event->kind == VLM_EVENT_OPEN && place->made));
    vlm_json_key(json, "start");
    event ? vlm_json_number(json, event->offset) : vlm_json_null(json);
    vlm_json_member_string(json, "end", NULL);
    vlm_json_member_string(json, "text", NULL);
    vlm_json_key(json, "exact");
    vlm_json_bool(json, exact);
}

static void write_page(struct vlm_json *json, const struct vlm_trace *trace,
                       const struct vlm_place *place)
{
    vlm_json_key(json, "page");
    vlm_json_open(json, '{');
    if (place->has_page) {
        vlm_json_member_number(json, "start", place->page.start);
        vlm_json_member_number(json, "end", place->page.end);
        write_bytes(json, trace->page->text + place->page.start,
                    place->page.end - place->page.start);
        vlm_json_key(json, "exact");
        vlm_json_bool(json, true);
        vlm_json_member_string(json, "charset", trace->document->charset);
        write_around(json, trace->page, place->page);
    } else {
        write_stored_page(json, trace, place);
    }
    vlm_json_close(json, '}');
}

void vlm_trace_json_page(struct vlm_json *json, const struct vlm_trace *trace,
                         const struct vlm_place *place, int code)
{
    write_event(json, trace, place);
    if (place->event != VLM_ORIGIN_NO_EVENT &&
        trace->document->events[place->event].kind == VLM_EVENT_IMAGE)
        write_image(json, trace, &trace->document->events[place->event], code);
    write_page(json, trace, place);
    if (place->made) {
        vlm_json_key(json, "made");
        vlm_json_bool(json, true);
    } else if (place->has_page && !place->codes && !place->verbatim) {
        vlm_json_key(json, "normalised");
        vlm_json_bool(json, true);
    }
}

void vlm_trace_json_record(struct vlm_json *json, const struct vlm_trace *trace)
{
    const struct vlm_source *source = &trace->document->source;
    vlm_json_key(json, "record");
    vlm_json_open(json, '{');
    write_record(json, source->file, source->offset, source->length);
    vlm_json_key(json, "payload_sha256");
    vlm_json_hex(json, trace->document->payload_sha256, VLM_SHA256_SIZE);
    vlm_json_close(json, '}');
}
