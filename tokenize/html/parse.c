/* parse.c - a page to a document: decode, pre-pass, libxml2's SAX calls, events.
 *
 * libxml2 reads the skeleton of the page (prepass.h) and decides what is open when: which start tag
 * closes which element, where an end tag belongs. Each call is matched with the token of the page
 * that it is about by the position of libxml2's input. Elements that libxml2 implies (html, body, a
 * paragraph) are on the stack and leave no event. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "tokenize/html/build.h"
#include "tokenize/html/charset.h"
#include "tokenize/html/passes.h"
#include "tokenize/html/url.h"

#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <strings.h>

enum { SCRATCH_KEPT = 16 << 20, PASSES_SCRATCH = 256 << 20 };

struct vlm_page_parser {
    struct vlm_charsets *charsets;
    struct vlm_prepass prepass;
    struct vlm_build build;
    struct vlm_buffer page;
    struct vlm_page_map *map; /* borrowed; NULL: nobody asks */
};

/* What libxml2 hands to its callbacks. */
struct reader {
    struct vlm_build *build;
    xmlParserCtxtPtr xml;
};

/* -- Events ----------------------------------------------------------------------------------- */

static struct vlm_event *add_event(struct vlm_build *build, enum vlm_event_kind kind,
                                   uint32_t offset)
{
    /* What is open must be closed, whatever the limit. */
    if (build->n_events >= VLM_HTML_NODES_MAX && kind != VLM_EVENT_CLOSE) {
        build->warnings |= VLM_PAGE_NODES;
        return NULL;
    }
    if (build->n_events == build->events_capacity) {
        size_t more = build->events_capacity ? build->events_capacity * 2 : 1024;
        void *moved = realloc(build->events, more * sizeof(*build->events));
        if (!moved) {
            build->failed = true;
            return NULL;
        }
        build->events = moved;
        build->events_capacity = more;
    }
    struct vlm_event *event = &build->events[build->n_events++];
    *event = (struct vlm_event){ .kind = (uint8_t)kind, .offset = offset };
    build->text_event = 0;
    return event;
}

const struct vlm_tag_attribute *vlm_build_attribute(const struct vlm_build *build,
                                                    const struct vlm_token *token, unsigned name)
{
    for (size_t i = 0; i < token->n_attributes; i++) {
        const struct vlm_tag_attribute *attribute =
            &build->prepass->attribute[token->attribute + i];
        if (attribute->name == name)
            return attribute;
    }
    return NULL;
}

struct vlm_string vlm_build_value(struct vlm_build *build,
                                  const struct vlm_tag_attribute *attribute)
{
    size_t start = build->text.size;
    vlm_references_decode(&build->text, build->page + attribute->start, attribute->length, true);
    if (build->map)
        vlm_page_map_add_value(
            build->map, (uint32_t)start, build->page,
            (struct vlm_page_range){ attribute->start, attribute->start + attribute->length });
    return (struct vlm_string){ (uint32_t)start, (uint32_t)(build->text.size - start) };
}

/* -- Text ------------------------------------------------------------------------------------- */

/* Elements that do not begin or end a line. */
static bool is_inline(unsigned element)
{
    static const uint8_t words[] = {
        VLM_ELEMENT_a,        VLM_ELEMENT_abbr,     VLM_ELEMENT_acronym,  VLM_ELEMENT_area,
        VLM_ELEMENT_audio,    VLM_ELEMENT_b,        VLM_ELEMENT_bdi,      VLM_ELEMENT_bdo,
        VLM_ELEMENT_big,      VLM_ELEMENT_blink,    VLM_ELEMENT_button,   VLM_ELEMENT_canvas,
        VLM_ELEMENT_cite,     VLM_ELEMENT_code,     VLM_ELEMENT_data,     VLM_ELEMENT_del,
        VLM_ELEMENT_dfn,      VLM_ELEMENT_em,       VLM_ELEMENT_embed,    VLM_ELEMENT_font,
        VLM_ELEMENT_i,        VLM_ELEMENT_img,      VLM_ELEMENT_input,    VLM_ELEMENT_ins,
        VLM_ELEMENT_kbd,      VLM_ELEMENT_label,    VLM_ELEMENT_link,     VLM_ELEMENT_map,
        VLM_ELEMENT_mark,     VLM_ELEMENT_meta,     VLM_ELEMENT_meter,    VLM_ELEMENT_nobr,
        VLM_ELEMENT_object,   VLM_ELEMENT_output,   VLM_ELEMENT_param,    VLM_ELEMENT_picture,
        VLM_ELEMENT_q,        VLM_ELEMENT_rb,       VLM_ELEMENT_rp,       VLM_ELEMENT_rt,
        VLM_ELEMENT_rtc,      VLM_ELEMENT_ruby,     VLM_ELEMENT_s,        VLM_ELEMENT_samp,
        VLM_ELEMENT_slot,     VLM_ELEMENT_small,    VLM_ELEMENT_source,   VLM_ELEMENT_span,
        VLM_ELEMENT_strike,   VLM_ELEMENT_strong,   VLM_ELEMENT_sub,      VLM_ELEMENT_sup,
        VLM_ELEMENT_time,     VLM_ELEMENT_track,    VLM_ELEMENT_tt,       VLM_ELEMENT_u,
        VLM_ELEMENT_var,      VLM_ELEMENT_video,    VLM_ELEMENT_wbr,      VLM_ELEMENT_noscript,
        VLM_ELEMENT_base,     VLM_ELEMENT_select,   VLM_ELEMENT_progress, VLM_ELEMENT_iframe,
        VLM_ELEMENT_textarea, VLM_ELEMENT_datalist, VLM_ELEMENT_applet,   VLM_ELEMENT_frame,
    };
    return memchr(words, (int)element, sizeof(words)) != NULL;
}

/* Begins a new line: a space before it goes, and white space behind it too. */
static void break_line(struct vlm_build *build)
{
    if (build->after_space) {
        struct vlm_event *event = &build->events[build->space_event];
        if (--event->length == 0) {
            size_t behind = build->n_events - build->space_event - 1;
            memmove(event, event + 1, behind * sizeof(*event));
            build->n_events--;
            build->text_event = 0;
        }
    }
    build->after_space = false;
    build->at_start = true;
}

/* The TEXT event that ends at the end of the text, or a new one. */
static struct vlm_event *text_event(struct vlm_build *build, uint32_t offset)
{
    if (build->text_event) {
        struct vlm_event *event = &build->events[build->text_event - 1];
        if (event->start + event->length == build->text.size)
            return event;
    }
    struct vlm_event *event = add_event(build, VLM_EVENT_TEXT, offset);
    if (event) {
        event->start = (uint32_t)build->text.size;
        build->text_event = build->n_events;
    }
    return event;
}

/* Notes for traces where the text since size `before` comes from. */
static void map_text(struct vlm_build *build, size_t before, const char *p, const char *end)
{
    const size_t n = build->text.size - before;
    if (!build->map || !n)
        return;
    bool verbatim = n == (size_t)(end - p) && !memcmp(build->text.data + before, p, n);
    const struct vlm_page_span span = {
        .text = (uint32_t)before,
        .length = (uint32_t)n,
        .page = { (uint32_t)(p - build->page), (uint32_t)(end - build->page) },
        .verbatim = verbatim,
    };
    vlm_page_map_add(build->map, &span);
}

/* Appends characters to the current TEXT event. */
static void add_characters(struct vlm_build *build, const char *p, size_t n, uint32_t offset)
{
    struct vlm_event *event = n ? text_event(build, offset) : NULL;
    if (!event)
        return;
    vlm_buffer_add(&build->text, p, n);
    if (!build->text.failed)
        event->length += (uint32_t)n;
}

static void add_space(struct vlm_build *build, uint32_t offset)
{
    if (build->at_start || build->after_space)
        return;
    add_characters(build, " ", 1, offset);
    if (build->text_event) {
        build->after_space = true;
        build->space_event = build->text_event - 1;
    }
}

/* An element beyond the depth limit must leave a space: nobody else sees the line begin. */
static void begin_line(struct vlm_build *build, bool emitted, uint32_t offset)
{
    const size_t before = build->text.size;
    const char *here = build->page + offset;
    if (emitted)
        break_line(build);
    else
        add_space(build, offset);
    map_text(build, before, here, here);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Text of an ordinary element: runs of white space are one space. */
static void add_collapsed(struct vlm_build *build, const char *p, const char *end, uint32_t offset,
                          bool raw)
{
    const char *begin = p;
    while (p < end) {
        uint32_t at = offset + (uint32_t)(p - begin);
        size_t before = build->text.size;
        const char *word = p;
        if (is_space(*p)) {
            while (p < end && is_space(*p))
                p++;
            add_space(build, at);
            map_text(build, before, word, p);
            continue;
        }
        /* One space between two words is the usual case and is copied along with them. */
        while (p < end && (raw || *p != '&') &&
               (!is_space(*p) || (*p == ' ' && p + 1 < end && !is_space(p[1]))))
            p++;
        if (p > word) {
            add_characters(build, word, (size_t)(p - word), at);
            map_text(build, before, word, p);
            build->at_start = build->after_space = false;
            if (p == end || *p != '&' || raw)
                continue;
        }
        char character[VLM_REFERENCE_MAX];
        size_t n, used = vlm_reference_decode(character, &n, p, (size_t)(end - p), false);
        at = offset + (uint32_t)(p - begin);
        before = build->text.size;
        word = p;
        p += used ? used : 1;
        if (used && n == 1 && is_space(character[0])) {
            add_space(build, at);
            map_text(build, before, word, p);
            continue;
        }
        add_characters(build, used ? character : "&", used ? n : 1, at);
        map_text(build, before, word, p);
        build->at_start = build->after_space = false;
    }
}

/* Text of <pre> and its like: as it is, with line ends as "\n". */
static void add_preformatted(struct vlm_build *build, const char *p, const char *end,
                             uint32_t offset, bool raw)
{
    if (build->skip_newline && p < end && (*p == '\n' || *p == '\r'))
        p += p + 1 < end && p[0] == '\r' && p[1] == '\n' ? 2 : 1;
    build->skip_newline = false;
    build->at_start = build->after_space = false;
    while (p < end) {
        const char *word = p;
        size_t before = build->text.size;
        while (p < end && *p != '\r' && (raw || *p != '&'))
            p++;
        add_characters(build, word, (size_t)(p - word), offset);
        map_text(build, before, word, p);
        if (p == end)
            return;
        word = p;
        before = build->text.size;
        if (*p == '\r') {
            p += p + 1 < end && p[1] == '\n' ? 2 : 1;
            add_characters(build, "\n", 1, offset);
            map_text(build, before, word, p);
            continue;
        }
        char character[VLM_REFERENCE_MAX];
        size_t n, used = vlm_reference_decode(character, &n, p, (size_t)(end - p), false);
        p += used ? used : 1;
        add_characters(build, used ? character : "&", used ? n : 1, offset);
        map_text(build, before, word, p);
    }
}

static void add_text_token(struct vlm_build *build, const struct vlm_token *token)
{
    const char *begin = build->page + token->offset, *end = build->page + token->end;
    bool raw = token->flags & VLM_TOKEN_RAW;
    if (build->preformatted)
        add_preformatted(build, begin, end, token->offset, raw);
    else
        add_collapsed(build, begin, end, token->offset, raw);
}

/* -- Elements ------------------------------------------------------------------------------------- */

static bool value_is(const struct vlm_build *build, const struct vlm_tag_attribute *attribute,
                     const char *word)
{
    size_t n = strlen(word);
    return attribute && attribute->length == n &&
           !strncasecmp(build->page + attribute->start, word, n);
}

/* The primary subtag of a language in lower case, or "". */
static void read_language(char out[16], const char *p, size_t n)
{
    size_t used = 0;
    while (n && is_space(*p)) {
        p++;
        n--;
    }
    for (; used < n && used < 15; used++) {
        char c = p[used] >= 'A' && p[used] <= 'Z' ? (char)(p[used] + 32) : p[used];
        if (c < 'a' || c > 'z')
            break;
        out[used] = c;
    }
    out[used] = 0;
    /* BCP 47: a language has two to eight letters. */
    if (used < 2 || used > 8)
        out[0] = 0;
}

static void read_meta(struct vlm_build *build, const struct vlm_token *token)
{
    const struct vlm_tag_attribute *content =
        vlm_build_attribute(build, token, VLM_ATTRIBUTE_content);
    if (!content)
        return;
    const char *value = build->page + content->start;
    if (value_is(build, vlm_build_attribute(build, token, VLM_ATTRIBUTE_name), "robots"))
        build->opt_out |= vlm_opt_out_parse(value, content->length);
    if (!build->meta_lang[0] &&
        value_is(build, vlm_build_attribute(build, token, VLM_READ_http_equiv), "content-language"))
        read_language(build->meta_lang, value, content->length);
}

static void read_base(struct vlm_build *build, const struct vlm_token *token)
{
    const struct vlm_tag_attribute *href = vlm_build_attribute(build, token, VLM_ATTRIBUTE_href);
    if (!href || build->base.size)
        return;
    struct vlm_buffer value = { 0 };
    struct vlm_err ignored = { 0 };
    vlm_references_decode(&value, build->page + href->start, href->length, true);
    const char *text = value.data ? (const char *)value.data : "";
    if (value.failed ||
        vlm_url_resolve(&build->base, build->url, text, value.size, &ignored) != VLM_OK ||
        (build->base.size >= 5 && !strncasecmp((char *)build->base.data, "data:", 5)) ||
        (build->base.size >= 11 && !strncasecmp((char *)build->base.data, "javascript:", 11)))
        vlm_buffer_reset(&build->base);
    else
        vlm_buffer_byte(&build->base, 0);
    vlm_buffer_release(&value);
}

static void read_html(struct vlm_build *build, const struct vlm_token *token)
{
    const struct vlm_tag_attribute *lang = vlm_build_attribute(build, token, VLM_ATTRIBUTE_lang);
    if (!lang)
        lang = vlm_build_attribute(build, token, VLM_READ_xml_lang);
    if (lang)
        read_language(build->lang, build->page + lang->start, lang->length);
}

/* style="display: none" and visibility: hidden, in any spacing and case. */
static bool style_hides(const char *p, size_t n)
{
    char bare[256];
    size_t used = 0;
    for (size_t i = 0; i < n && used < sizeof(bare) - 1; i++)
        if (!is_space(p[i]))
            bare[used++] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
    bare[used] = 0;
    return strstr(bare, "display:none") || strstr(bare, "visibility:hidden");
}

static bool is_hidden(const struct vlm_build *build, const struct vlm_token *token)
{
    const struct vlm_tag_attribute *hidden = vlm_build_attribute(build, token, VLM_READ_hidden);
    if (hidden && !value_is(build, hidden, "until-found"))
        return true;
    const struct vlm_tag_attribute *style = vlm_build_attribute(build, token, VLM_READ_style);
    return style && style->length >= 12 && style_hides(build->page + style->start, style->length);
}

/* ATTRIBUTE events of a start tag; those of an <img> are the image's own strings too. */
static void add_attributes(struct vlm_build *build, const struct vlm_token *token)
{
    struct vlm_string src = { 0 }, alt = { 0 };
    bool has_src = false, has_alt = false, image = token->element == VLM_ELEMENT_img;
    for (size_t i = 0; i < token->n_attributes && !build->text.failed; i++) {
        const struct vlm_tag_attribute *attribute =
            &build->prepass->attribute[token->attribute + i];
        if (attribute->name >= VLM_ATTRIBUTE_COUNT)
            continue;
        struct vlm_string value = vlm_build_value(build, attribute);
        if (image && attribute->name == VLM_ATTRIBUTE_src) {
            src = value;
            has_src = true;
        } else if (image && attribute->name == VLM_ATTRIBUTE_alt) {
            alt = value;
            has_alt = true;
        }
        struct vlm_event *event = add_event(build, VLM_EVENT_ATTRIBUTE, token->offset);
        if (!event)
            return;
        event->name = attribute->name;
        event->start = value.start;
        event->length = value.length;
    }
    if (!image || build->n_events >= VLM_HTML_NODES_MAX || build->text.failed ||
        !vlm_build_image(build, token, src, has_src, alt, has_alt))
        return;
    struct vlm_event *event = add_event(build, VLM_EVENT_IMAGE, token->offset);
    if (event)
        event->start = (uint32_t)build->n_images - 1;
}

/* What a start tag says about the page rather than about its content. */
static void read_tag(struct vlm_build *build, const struct vlm_token *token)
{
    switch (token->element) {
    case VLM_ELEMENT_html:
        read_html(build, token);
        break;
    case VLM_ELEMENT_meta:
        read_meta(build, token);
        break;
    case VLM_ELEMENT_base:
        read_base(build, token);
        break;
    case VLM_ELEMENT_picture:
        build->n_sources = 0;
        break;
    case VLM_ELEMENT_source:
        vlm_build_source(build, token);
        break;
    case VLM_ELEMENT_title:
        build->in_title = !build->has_title;
        build->has_title = true;
        break;
    }
}

static void open_element(struct vlm_build *build, struct vlm_build_element *entry,
                         const struct vlm_token *token)
{
    entry->name = token->element;
    if (!is_inline(token->element))
        begin_line(build, build->emitted < VLM_HTML_DEPTH_MAX, token->offset);
    else if (token->element == VLM_ELEMENT_img)
        build->at_start = build->after_space = false;
    read_tag(build, token);
    if (build->emitted >= VLM_HTML_DEPTH_MAX) {
        build->warnings |= VLM_PAGE_DEPTH;
    } else {
        struct vlm_event *event = add_event(build, VLM_EVENT_OPEN, token->offset);
        if (event) {
            event->name = token->element;
            event->flags =
                token->kind == VLM_TOKEN_OPEN && is_hidden(build, token) ? VLM_NODE_HIDDEN : 0;
            entry->emitted = true;
            build->emitted++;
            add_attributes(build, token);
        }
    }
    entry->preformatted =
        token->element == VLM_ELEMENT_pre || token->element == VLM_ELEMENT_textarea ||
        token->element == VLM_ELEMENT_listing || token->element == VLM_ELEMENT_xmp ||
        token->element == VLM_ELEMENT_plaintext;
    build->preformatted += entry->preformatted;
    build->skip_newline = entry->preformatted;
    if (token->element == VLM_ELEMENT_title && build->in_title)
        build->title.start = (uint32_t)build->text.size; /* behind its attributes */
}

static void end_title(struct vlm_build *build)
{
    build->in_title = false;
    build->title.length = (uint32_t)(build->text.size - build->title.start);
}

static void close_element(struct vlm_build *build, uint32_t offset)
{
    const struct vlm_build_element entry = build->stack[--build->depth];
    build->preformatted -= entry.preformatted;
    build->skip_newline = false;
    if (!is_inline(entry.name))
        begin_line(build, entry.emitted, offset);
    if (entry.name == VLM_ELEMENT_title && build->in_title)
        end_title(build);
    if (entry.name == VLM_ELEMENT_picture)
        build->n_sources = 0;
    if (!entry.emitted)
        return;
    build->emitted--;
    struct vlm_event *event = add_event(build, VLM_EVENT_CLOSE, offset);
    if (event)
        event->name = entry.name;
}

/* -- libxml2 -------------------------------------------------------------------------------------- */

/* The token that libxml2's input stands in: behind its first byte, at most at its end. */
static const struct vlm_token *current_token(struct reader *reader)
{
    struct vlm_build *build = reader->build;
    const xmlParserInput *input = reader->xml->input;
    size_t at = (size_t)input->consumed + (size_t)(input->cur - input->base);
    const struct vlm_token *tokens = build->prepass->tokens;
    while (build->token + 1 < build->prepass->n_tokens && tokens[build->token + 1].at < at)
        build->token++;
    return &tokens[build->token];
}

static void start_element(void *context, const xmlChar *name, const xmlChar **attributes)
{
    struct reader *reader = context;
    struct vlm_build *build = reader->build;
    const struct vlm_token *token = current_token(reader);
    (void)attributes;
    if (build->depth == build->stack_capacity) {
        size_t more = build->stack_capacity ? build->stack_capacity * 2 : VLM_BUILD_STACK_FIRST;
        void *moved = realloc(build->stack, more * sizeof(*build->stack));
        if (!moved) {
            build->failed = true;
            xmlStopParser(reader->xml);
            return;
        }
        build->stack = moved;
        build->stack_capacity = more;
    }
    struct vlm_build_element *entry = &build->stack[build->depth++];
    /* An implied element leaves no event, so it must not take white space away either. */
    *entry = (struct vlm_build_element){ .name = VLM_ELEMENT_span };
    /* A tag of the page is reported once, under its own name. */
    bool ours = token->kind == VLM_TOKEN_OPEN && build->reported != build->token + 1 &&
                !strcmp((const char *)name, vlm_skeleton_name(token->element));
    if (!ours)
        return;
    build->reported = build->token + 1;
    open_element(build, entry, token);
}

static void end_element(void *context, const xmlChar *name)
{
    struct reader *reader = context;
    (void)name;
    struct vlm_build *build = reader->build;
    const struct vlm_token *token = current_token(reader);
    /* At the end of the input, unless it is text still to come that closes something. */
    bool last = reader->xml->input->cur >= reader->xml->input->end &&
                (token->kind < VLM_TOKEN_TEXT || build->reported == build->token + 1);
    if (build->depth)
        close_element(build, last ? (uint32_t)build->page_size : token->offset);
}

/* One call for each run of text: its first token, and what follows behind comments. */
static void characters(void *context, const xmlChar *text, int length)
{
    struct reader *reader = context;
    struct vlm_build *build = reader->build;
    const struct vlm_token *token = current_token(reader);
    const struct vlm_token *end = build->prepass->tokens + build->prepass->n_tokens;
    (void)text;
    (void)length;
    if (token->kind != VLM_TOKEN_TEXT)
        return;
    build->reported = build->token + 1;
    do
        add_text_token(build, token++);
    while (token < end && token->kind == VLM_TOKEN_MORE);
}

static int run_libxml2(struct vlm_build *build, struct vlm_err *err)
{
    const struct vlm_buffer *skeleton = &build->prepass->skeleton;
    if (!build->prepass->n_tokens)
        return VLM_OK;
    struct reader reader = {
        .build = build,
        .xml = htmlCreateMemoryParserCtxt((const char *)skeleton->data, (int)skeleton->size),
    };
    if (!reader.xml)
        return vlm_fail(err, VLM_ENOMEM, "cannot start the HTML parser");
    htmlCtxtUseOptions(reader.xml, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
                                       HTML_PARSE_NONET | HTML_PARSE_COMPACT |
                                       HTML_PARSE_IGNORE_ENC | XML_PARSE_HUGE);
    *reader.xml->sax = (xmlSAXHandler){
        .startElement = start_element,
        .endElement = end_element,
        .characters = characters,
        .ignorableWhitespace = characters,
        .cdataBlock = characters,
    };
    reader.xml->userData = &reader;
    htmlParseDocument(reader.xml);
    htmlFreeParserCtxt(reader.xml);
    while (build->depth)
        close_element(build, (uint32_t)build->page_size);
    return VLM_OK;
}

/* -- The parser ----------------------------------------------------------------------------------- */

int vlm_page_parser_new(struct vlm_page_parser **out, struct vlm_err *err)
{
    *out = NULL;
    struct vlm_page_parser *parser = calloc(1, sizeof(*parser));
    if (!parser)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a page parser");
    int rc = vlm_charsets_open(&parser->charsets, err);
    if (rc != VLM_OK) {
        free(parser);
        return rc;
    }
    xmlInitParser();
    vlm_prepass_init(&parser->prepass);
    *out = parser;
    return VLM_OK;
}

static void release_build(struct vlm_build *build)
{
    vlm_buffer_release(&build->text);
    vlm_buffer_release(&build->base);
    vlm_buffer_release(&build->scratch);
    free(build->events);
    free(build->images);
    free(build->stack);
    *build = (struct vlm_build){ 0 };
}

void vlm_page_parser_free(struct vlm_page_parser *parser)
{
    if (!parser)
        return;
    vlm_charsets_close(parser->charsets);
    vlm_prepass_release(&parser->prepass);
    release_build(&parser->build);
    vlm_buffer_release(&parser->page);
    free(parser);
}

void vlm_page_parser_trace(struct vlm_page_parser *parser, struct vlm_page_map *map)
{
    parser->map = map;
}

/* An unusual page must not make the parser large for ever. */
static void shrink(struct vlm_page_parser *parser)
{
    const struct vlm_prepass *prepass = &parser->prepass;
    const struct vlm_build *build = &parser->build;
    size_t kept = prepass->tokens_capacity * sizeof(*prepass->tokens) +
                  prepass->attributes_capacity * sizeof(*prepass->attribute) +
                  prepass->skeleton.capacity + build->events_capacity * sizeof(*build->events) +
                  build->stack_capacity * sizeof(*build->stack) + build->text.capacity +
                  parser->page.capacity;
    if (kept <= SCRATCH_KEPT)
        return;
    vlm_prepass_release(&parser->prepass);
    release_build(&parser->build);
    vlm_buffer_release(&parser->page);
}

/* Everything empty, memory kept. */
static void reset_build(struct vlm_build *build)
{
    struct vlm_build empty = {
        .text = build->text,
        .base = build->base,
        .scratch = build->scratch,
        .events = build->events,
        .events_capacity = build->events_capacity,
        .images = build->images,
        .images_capacity = build->images_capacity,
        .stack = build->stack,
        .stack_capacity = build->stack_capacity,
        .at_start = true,
    };
    *build = empty;
    build->text.max = UINT32_MAX;
    vlm_buffer_reset(&build->text);
    vlm_buffer_reset(&build->base);
}

/* Copies the finished build into the arena. */
static int finish(struct vlm_document **out, const struct vlm_build *build,
                  const struct vlm_page_input *in, const char *charset, struct vlm_arena *arena,
                  struct vlm_err *err)
{
    struct vlm_document *document = vlm_arena_zero(arena, 1, sizeof(*document));
    char *text = document ? vlm_arena_copy(arena, build->text.data, build->text.size) : NULL;
    void *events = vlm_arena_alloc(arena, build->n_events, sizeof(*build->events));
    void *images = vlm_arena_alloc(arena, build->n_images, sizeof(*build->images));
    const char *url = in->url ? in->url : "";
    url = vlm_arena_copy(arena, url, strlen(url));
    const char *lang = build->lang[0] ? build->lang : build->meta_lang;
    lang = vlm_arena_copy(arena, lang, strlen(lang));
    size_t title_n = build->title.length;
    while (title_n && text && is_space(text[build->title.start + title_n - 1]))
        title_n--; /* a space that its event lost is still in the text */
    const char *title = text ? vlm_arena_copy(arena, text + build->title.start, title_n) : NULL;
    if (!document || !text || !events || !images || !url || !lang || !title)
        return vlm_fail(err, VLM_SKIP,
                        "document of %zu events and %zu bytes of text is over the "
                        "memory of one page",
                        build->n_events, build->text.size);
    if (build->n_events)
        memcpy(events, build->events, build->n_events * sizeof(*build->events));
    if (build->n_images)
        memcpy(images, build->images, build->n_images * sizeof(*build->images));
    *document = (struct vlm_document){
        .text = text,
        .text_size = build->text.size,
        .events = events,
        .n_events = build->n_events,
        .images = images,
        .n_images = build->n_images,
        .url = url,
        .title = title,
        .lang = lang,
        .charset = charset,
        .warnings = build->warnings,
    };
    *out = document;
    return VLM_OK;
}

/* parser->page becomes the decoded page. */
static int decode(struct vlm_page_parser *parser, const struct vlm_encoding **encoding,
                  const struct vlm_page_input *in, struct vlm_err *err)
{
    bool replaced;
    if (in->size > VLM_HTML_MAX)
        return vlm_fail(err, VLM_SKIP, "page of %zu bytes is over the limit of %zu bytes", in->size,
                        VLM_HTML_MAX);
    *encoding = vlm_charset_choose(in);
    reset_build(&parser->build);
    int rc = vlm_charset_decode(&parser->page, parser->charsets, *encoding, in->bytes, in->size,
                                &replaced, err);
    if (rc != VLM_OK)
        return rc;
    parser->build.prepass = &parser->prepass;
    parser->build.page = (const char *)parser->page.data;
    parser->build.page_size = parser->page.size;
    parser->build.url = in->url;
    parser->build.warnings = replaced ? VLM_PAGE_REPLACED : 0;
    return VLM_OK;
}

static void begin_map(struct vlm_page_parser *parser)
{
    parser->build.map = parser->map;
    if (parser->map)
        vlm_page_map_reset(parser->map);
}

/* The passes, with memory of their own that is gone afterwards. */
static int run_passes(struct vlm_document *document, struct vlm_err *err)
{
    struct vlm_arena scratch;
    vlm_arena_init(&scratch, PASSES_SCRATCH);
    int rc = vlm_passes_run(document, &scratch, err);
    vlm_arena_release(&scratch);
    return rc;
}

int vlm_page_parse(struct vlm_document **out, struct vlm_page_parser *parser,
                   const struct vlm_page_input *in, struct vlm_arena *arena, unsigned *opt_out,
                   struct vlm_err *err)
{
    const struct vlm_encoding *encoding;
    struct vlm_build *build = &parser->build;
    *out = NULL;
    int rc = decode(parser, &encoding, in, err);
    if (rc != VLM_OK)
        goto out;
    begin_map(parser);
    vlm_prepass_run(&parser->prepass, build->page, build->page_size);
    build->warnings |= parser->prepass.warnings;
    for (size_t i = 0; build->map && i < parser->prepass.n_tokens; i++)
        if (parser->prepass.tokens[i].kind < VLM_TOKEN_TEXT)
            vlm_page_map_add_tag(build->map,
                                 (struct vlm_page_range){ parser->prepass.tokens[i].offset,
                                                          parser->prepass.tokens[i].end });
    if (parser->prepass.failed) {
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the tokens of a page");
        goto out;
    }
    rc = run_libxml2(build, err);
    build->failed |= build->map && build->map->failed;
    if (rc == VLM_OK && (build->failed || build->text.failed))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the events of a page");
    if (rc == VLM_OK)
        rc = finish(out, build, in, encoding->name, arena, err);
    if (rc == VLM_OK && opt_out)
        *opt_out = build->opt_out;
    if (rc == VLM_OK)
        rc = run_passes(*out, err);
out:
    shrink(parser);
    return rc;
}

int vlm_page_from_text(struct vlm_document **out, struct vlm_page_parser *parser,
                       const struct vlm_page_input *in, struct vlm_arena *arena,
                       struct vlm_err *err)
{
    const struct vlm_encoding *encoding;
    struct vlm_build *build = &parser->build;
    *out = NULL;
    int rc = decode(parser, &encoding, in, err);
    const char *p = build->page, *end = p + build->page_size;
    begin_map(parser);
    while (rc == VLM_OK && p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        line_end = line_end ? line_end : end;
        const char *first = p;
        while (first < line_end && is_space(*first))
            first++;
        uint32_t offset = (uint32_t)(first - build->page);
        struct vlm_event *event =
            first < line_end ? add_event(build, VLM_EVENT_OPEN, offset) : NULL;
        if (event) {
            event->name = VLM_ELEMENT_p;
            break_line(build);
            add_collapsed(build, first, line_end, offset, true);
            break_line(build);
            event = add_event(build, VLM_EVENT_CLOSE, (uint32_t)(line_end - build->page));
            if (event)
                event->name = VLM_ELEMENT_p;
        }
        p = line_end + (line_end < end);
    }
    build->failed |= build->map && build->map->failed;
    if (rc == VLM_OK && (build->failed || build->text.failed))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the events of a page");
    if (rc == VLM_OK)
        rc = finish(out, build, in, encoding->name, arena, err);
    if (rc == VLM_OK)
        rc = run_passes(*out, err);
    shrink(parser);
    return rc;
}

int vlm_page_decode(const char **text, size_t *size, const char **charset,
                    struct vlm_page_parser *parser, const struct vlm_page_input *in,
                    struct vlm_arena *arena, struct vlm_err *err)
{
    const struct vlm_encoding *encoding;
    int rc = decode(parser, &encoding, in, err);
    if (rc != VLM_OK)
        return rc;
    *size = parser->page.size;
    *charset = encoding->name;
    *text = vlm_arena_copy(arena, parser->page.data, parser->page.size);
    if (!*text)
        rc = vlm_fail(err, VLM_SKIP, "page of %zu bytes is over the memory of one page", in->size);
    shrink(parser);
    return rc;
}
