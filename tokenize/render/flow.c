/* flow.c - puts text together: white space collapsed, separators between blocks, reserved words.
 *
 * Page text may contain "<image>" literally, and it may be spread over several elements, so the
 * words are looked for in what was written since the last tag, not in the pieces. Separators are
 * OBELICS': a blank line around paragraphs, lists and headings, a line break around other blocks,
 * here with a tab between the cells of a table row. */
#include "base/vlm.h"

#include "tokenize/html/layout.h"
#include "tokenize/names.h"
#include "tokenize/render/flow.h"
#include "tokenize/render/render.h"

/* Words that mean something to a model or to the code that makes its sequences. A '#' stands for
 * one or more digits. Compared without regard to case. */
static const char *const reserved[] = {
    "<image>", "<EOC>", "<BOS>",          "<EOS>",        "<PAD>",         "<UNK>",
    "<s>",     "</s>",  "<mask:#>",       "<sentinel:#>", "<eoss>",        "<break>",
    "<boi>",   "<eoi>", "<|endofchunk|>", "<image:#>",    "<|endoftext|>",
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool word_matches(const char *word, const char *p, size_t n)
{
    size_t i = 0;
    for (; *word; word++) {
        if (*word == '#') {
            size_t first = i;
            while (i < n && p[i] >= '0' && p[i] <= '9')
                i++;
            if (i == first)
                return false;
        } else if (i == n || lower(p[i++]) != lower(*word)) {
            return false;
        }
    }
    return true;
}

static bool is_reserved(const char *p, size_t n)
{
    for (size_t i = 0; i < VLM_COUNTOF(reserved); i++)
        if (word_matches(reserved[i], p, n))
            return true;
    return false;
}

static size_t find_reserved(const char *p, size_t n, size_t from)
{
    while (from < n) {
        const char *found = memchr(p + from, '<', n - from);
        if (!found)
            break;
        from = (size_t)(found - p);
        if (is_reserved(found, n - from))
            return from;
        from++;
    }
    return n;
}

/* Rewrites the text since the last tag when it holds a reserved word, which is rare. */
void vlm_flow_end(struct vlm_flow *flow)
{
    struct vlm_buffer *out = flow->out;
    size_t n = out->size - flow->unguarded;
    if (!flow->guard || out->failed || !n)
        return;
    const char *text = (const char *)out->data + flow->unguarded;
    size_t at = find_reserved(text, n, 0);
    if (at < n) {
        char *copy = malloc(n);
        if (!copy) {
            out->failed = true;
            return;
        }
        memcpy(copy, text, n);
        out->size = flow->unguarded;
        size_t done = 0;
        for (; at < n; at = find_reserved(copy, n, at + 1)) {
            vlm_buffer_add(out, copy + done, at - done);
            vlm_buffer_text(out, "&lt;");
            done = at + 1;
        }
        vlm_buffer_add(out, copy + done, n - done);
        free(copy);
    }
    flow->unguarded = out->size;
}

static void write_pending(struct vlm_flow *flow)
{
    static const char *const separator[] = { "", " ", "\n", "\t", "\n", "\n\n" };
    if (flow->text)
        vlm_buffer_text(flow->out, separator[flow->pending]);
    else if (flow->after_image && flow->pending == VLM_FLOW_SPACE)
        vlm_buffer_byte(flow->out, ' '); /* typed behind the image, on its line */
    flow->pending = VLM_FLOW_NOTHING;
    flow->any = flow->text = true;
    flow->br = false;
}

/* White space inside pre stands as it is, but not in front of the first text. */
static bool raw_space(struct vlm_flow *flow, char c)
{
    if (!flow->raw || !flow->text || flow->pending > VLM_FLOW_SPACE)
        return false;
    if (flow->pending == VLM_FLOW_SPACE)
        write_pending(flow);
    vlm_buffer_byte(flow->out, c == '\n' || c == '\t' ? (uint8_t)c : ' ');
    return true;
}

void vlm_flow_text(struct vlm_flow *flow, const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t space = vlm_space_at(p + i, n - i);
        if (space) {
            if (!raw_space(flow, p[i]))
                flow->pending = VLM_MAX(flow->pending, VLM_FLOW_SPACE);
            i += space;
            continue;
        }
        size_t length = vlm_words_at(p + i, n - i);
        write_pending(flow);
        vlm_origin_mark_text(flow->origin, flow->out->size, p + i, length);
        vlm_buffer_add(flow->out, p + i, length);
        i += length;
    }
}

/* Drops white space that pre left at the end of what was written. */
static void trim(struct vlm_flow *flow)
{
    struct vlm_buffer *out = flow->out;
    while (!out->failed && out->size > flow->unguarded &&
           vlm_space_at((const char *)out->data + out->size - 1, 1))
        out->size--;
}

void vlm_flow_break(struct vlm_flow *flow, enum vlm_flow_break kind)
{
    flow->pending = VLM_MAX(flow->pending, kind);
}

static bool is_raw(unsigned element)
{
    return element == VLM_ELEMENT_pre || element == VLM_ELEMENT_listing ||
           element == VLM_ELEMENT_xmp || element == VLM_ELEMENT_plaintext;
}

static bool is_list(unsigned element)
{
    return element == VLM_ELEMENT_ul || element == VLM_ELEMENT_ol || element == VLM_ELEMENT_dl;
}

static void break_around(struct vlm_flow *flow, unsigned element)
{
    switch (vlm_element_layout(element)) {
    case VLM_LAYOUT_INLINE:
    case VLM_LAYOUT_BREAK:
        break;
    case VLM_LAYOUT_CELL:
        vlm_flow_break(flow, flow->cell ? VLM_FLOW_CELL : VLM_FLOW_LINE);
        break;
    case VLM_LAYOUT_LINE:
        vlm_flow_break(flow, element == VLM_ELEMENT_tr ? VLM_FLOW_ROW : VLM_FLOW_LINE);
        break;
    case VLM_LAYOUT_BLANK:
        vlm_flow_break(flow, is_list(element) && flow->lists ? VLM_FLOW_LINE : VLM_FLOW_BLANK);
        break;
    }
}

void vlm_flow_open(struct vlm_flow *flow, unsigned element)
{
    if (element == VLM_ELEMENT_br) {
        vlm_flow_break(flow, flow->br ? VLM_FLOW_BLANK : VLM_FLOW_LINE);
        flow->br = true;
        return;
    }
    if (element == VLM_ELEMENT_tr)
        flow->cell = false;
    break_around(flow, element);
    flow->lists += is_list(element);
    if (is_raw(element))
        flow->raw = true;
}

void vlm_flow_close(struct vlm_flow *flow, unsigned element)
{
    if (is_raw(element)) {
        flow->raw = false;
        trim(flow);
    }
    flow->lists -= is_list(element) && flow->lists > 0;
    if (vlm_element_layout(element) == VLM_LAYOUT_CELL)
        flow->cell = true;
    else
        break_around(flow, element);
}

void vlm_flow_tag(struct vlm_flow *flow, const char *tag)
{
    trim(flow);
    vlm_flow_end(flow);
    if (flow->origin)
        vlm_origin_mark_tag(flow->origin, flow->out->size, flow->origin->event);
    vlm_buffer_text(flow->out, tag);
    flow->unguarded = flow->out->size;
    flow->pending = VLM_FLOW_NOTHING;
    flow->text = flow->br = false;
    flow->any = true;
    flow->after_image = false;
}

void vlm_flow_image(struct vlm_flow *flow, size_t number, unsigned render_flags)
{
    char tag[32] = "<image>";
    if (render_flags & VLM_RENDER_PLACEHOLDERS)
        snprintf(tag, sizeof(tag), "<image:%zu>", number);
    vlm_flow_tag(flow, tag);
    flow->after_image = true;
}

bool vlm_event_breaks_line(const struct vlm_document *document, size_t i)
{
    for (size_t end = vlm_event_skip(document, i); i < end; i++)
        if (document->events[i].kind == VLM_EVENT_OPEN &&
            vlm_element_layout(document->events[i].name) != VLM_LAYOUT_INLINE)
            return true;
    return false;
}

size_t vlm_flow_skip(struct vlm_flow *flow, const struct vlm_document *document, size_t i)
{
    const struct vlm_event *event = &document->events[i];
    if (vlm_event_breaks_line(document, i))
        vlm_flow_break(flow, event->flags & VLM_NODE_HIDDEN ? VLM_FLOW_SPACE : VLM_FLOW_LINE);
    return vlm_event_skip(document, i);
}

size_t vlm_event_skip(const struct vlm_document *document, size_t i)
{
    size_t depth = 0;
    for (; i < document->n_events; i++) {
        if (document->events[i].kind == VLM_EVENT_OPEN)
            depth++;
        else if (document->events[i].kind == VLM_EVENT_CLOSE && --depth == 0)
            return i + 1;
    }
    return i;
}
