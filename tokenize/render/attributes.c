/* attributes.c - the attributes of minimal HTML.
 *
 * cm3 keeps what describes content (alt, title, href), structured data (Schema.org, OpenGraph,
 * Twitter) and what tables need; htlm keeps class and id. Both keep alt, src and title of images. */
#include "base/vlm.h"

#include <strings.h>

#include "tokenize/html/layout.h"
#include "tokenize/html/url.h"
#include "tokenize/render/attributes.h"

enum { HREF_MAX = 256, QUERY_MAX = 64 };

/* What stands for a character in text, and in values. */
static const char references[256][8] = {
    ['&'] = "&amp;",
    ['<'] = "&lt;",
    ['>'] = "&gt;",
    ['"'] = "&quot;",
};

void vlm_escape(struct vlm_buffer *out, const char *p, size_t n, bool quoted)
{
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        const char *reference = references[(uint8_t)p[i]];
        if (!*reference || (p[i] == '"' && !quoted))
            continue;
        vlm_buffer_add(out, p + done, i - done);
        vlm_buffer_text(out, reference);
        done = i + 1;
    }
    vlm_buffer_add(out, p + done, n - done);
}

struct vlm_string vlm_event_attribute(const struct vlm_document *document, uint32_t open,
                                      enum vlm_attribute name)
{
    for (size_t i = (size_t)open + 1; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_ATTRIBUTE && event->name == name)
            return (struct vlm_string){ event->start, event->length };
        if (event->kind != VLM_EVENT_ATTRIBUTE && event->kind != VLM_EVENT_IMAGE)
            break;
    }
    return (struct vlm_string){ 0, 0 };
}

/* Relative URLs mean the first <base href>, else the page's own URL. */
static char *find_base(const struct vlm_document *document)
{
    struct vlm_buffer url = { 0 };
    for (uint32_t i = 0; i < document->n_events; i++) {
        if (document->events[i].kind != VLM_EVENT_OPEN ||
            document->events[i].name != VLM_ELEMENT_base)
            continue;
        struct vlm_string href = vlm_event_attribute(document, i, VLM_ATTRIBUTE_href);
        if (!href.length)
            continue;
        if (vlm_url_resolve(&url, document->url, document->text + href.start, href.length, NULL))
            url.size = 0;
        break;
    }
    if (!url.size && document->url)
        vlm_buffer_text(&url, document->url);
    bool any = url.size > 0;
    vlm_buffer_byte(&url, 0);
    if (!any || url.failed) {
        vlm_buffer_release(&url);
        return NULL;
    }
    return (char *)url.data;
}

void vlm_attribute_rules_init(struct vlm_attribute_rules *rules,
                              const struct vlm_document *document, bool htlm)
{
    *rules = (struct vlm_attribute_rules){ .htlm = htlm, .document = document };
}

void vlm_attribute_rules_release(struct vlm_attribute_rules *rules)
{
    free(rules->base);
    vlm_buffer_release(&rules->scratch);
}

static bool same_text(const struct vlm_document *document, struct vlm_string a, struct vlm_string b)
{
    return a.length == b.length &&
           !memcmp(document->text + a.start, document->text + b.start, a.length);
}

static void add_class(struct vlm_attribute_set *set, struct vlm_string token)
{
    for (size_t i = 0; i < set->n_classes; i++)
        if (same_text(set->document, set->classes[i], token))
            return;
    if (set->n_classes < VLM_FOLDED_CLASSES_MAX)
        set->classes[set->n_classes++] = token;
}

static void add_classes(struct vlm_attribute_set *set, struct vlm_string value)
{
    const char *p = set->document->text + value.start;
    for (size_t i = 0; i < value.length;) {
        size_t space = vlm_space_at(p + i, value.length - i);
        if (space) {
            i += space;
            continue;
        }
        size_t end = i;
        while (end < value.length && !vlm_space_at(p + end, value.length - end))
            end++;
        add_class(set, (struct vlm_string){ (uint32_t)(value.start + i), (uint32_t)(end - i) });
        i = end;
    }
}

void vlm_attribute_set_put(struct vlm_attribute_set *set, enum vlm_attribute name,
                           struct vlm_string value)
{
    set->has[name] = true;
    set->value[name] = value;
}

void vlm_attribute_set_add(struct vlm_attribute_set *set, uint32_t open)
{
    const struct vlm_document *document = set->document;
    for (size_t i = (size_t)open + 1; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind != VLM_EVENT_ATTRIBUTE)
            break;
        struct vlm_string value = { event->start, event->length };
        if (event->name >= VLM_ATTRIBUTE_COUNT)
            continue;
        if (event->name == VLM_ATTRIBUTE_class)
            add_classes(set, value);
        if (!set->has[event->name])
            vlm_attribute_set_put(set, event->name, value);
    }
}

static bool starts_with(const char *p, size_t n, const char *prefix)
{
    size_t length = strlen(prefix);
    return n >= length && !strncasecmp(p, prefix, length);
}

static bool is_word(const char *p, size_t n, const char *word)
{
    return n == strlen(word) && !strncasecmp(p, word, n);
}

bool vlm_meta_is_wanted(const struct vlm_attribute_rules *rules,
                        const struct vlm_document *document, uint32_t open)
{
    const enum vlm_attribute where[] = { VLM_ATTRIBUTE_name, VLM_ATTRIBUTE_property };
    if (rules->htlm || !vlm_event_attribute(document, open, VLM_ATTRIBUTE_content).length)
        return false;
    if (vlm_event_attribute(document, open, VLM_ATTRIBUTE_itemprop).length)
        return true;
    for (size_t i = 0; i < VLM_COUNTOF(where); i++) {
        struct vlm_string value = vlm_event_attribute(document, open, where[i]);
        const char *p = document->text + value.start;
        if (is_word(p, value.length, "description") || is_word(p, value.length, "keywords") ||
            is_word(p, value.length, "author") || starts_with(p, value.length, "og:") ||
            starts_with(p, value.length, "article:") || starts_with(p, value.length, "twitter:"))
            return true;
    }
    return false;
}

static bool is_kept(const struct vlm_attribute_rules *rules, unsigned element, unsigned name)
{
    bool image = element == VLM_ELEMENT_img;
    switch (name) {
    case VLM_ATTRIBUTE_alt:
    case VLM_ATTRIBUTE_src:
        return image;
    case VLM_ATTRIBUTE_title:
        return image || (!rules->htlm && element == VLM_ELEMENT_a);
    case VLM_ATTRIBUTE_class:
    case VLM_ATTRIBUTE_id:
        return rules->htlm;
    case VLM_ATTRIBUTE_href:
        return !rules->htlm && element == VLM_ELEMENT_a;
    case VLM_ATTRIBUTE_lang:
        return !rules->htlm && element == VLM_ELEMENT_html;
    case VLM_ATTRIBUTE_content:
    case VLM_ATTRIBUTE_name:
        return !rules->htlm && element == VLM_ELEMENT_meta;
    case VLM_ATTRIBUTE_colspan:
    case VLM_ATTRIBUTE_rowspan:
        return !rules->htlm && (element == VLM_ELEMENT_td || element == VLM_ELEMENT_th);
    case VLM_ATTRIBUTE_itemprop:
    case VLM_ATTRIBUTE_itemscope:
    case VLM_ATTRIBUTE_itemtype:
    case VLM_ATTRIBUTE_typeof:
    case VLM_ATTRIBUTE_property:
    case VLM_ATTRIBUTE_vocab:
    case VLM_ATTRIBUTE_datetime:
        return !rules->htlm;
    default:
        return false;
    }
}

/* White space collapsed, none at the ends. */
static void write_value(struct vlm_buffer *out, const char *p, size_t n, struct vlm_origin *origin)
{
    bool any = false;
    bool space = false;
    for (size_t i = 0; i < n;) {
        size_t width = vlm_space_at(p + i, n - i);
        if (width) {
            space = true;
            i += width;
            continue;
        }
        size_t length = vlm_words_at(p + i, n - i);
        if (space && any)
            vlm_buffer_byte(out, ' ');
        vlm_origin_mark_text(origin, out->size, p + i, length);
        vlm_escape(out, p + i, length, true);
        any = true;
        space = false;
        i += length;
    }
}

/* An article of Wikipedia is named by its path: "/wiki/Armenian_nationalism" on its hosts. Returns
 * the name inside url, or NULL. */
static const char *wikipedia_title(const char *url, size_t n, size_t *length)
{
    static const char domain[] = "wikipedia.org";
    size_t host_length = 0;
    const char *host = vlm_url_host(url, &host_length);
    size_t suffix = sizeof(domain) - 1;
    if (!host || host_length < suffix ||
        strncasecmp(host + host_length - suffix, domain, suffix) != 0 ||
        (host_length > suffix && host[host_length - suffix - 1] != '.'))
        return NULL;
    const char *path = host + host_length;
    size_t left = n - (size_t)(path - url);
    if (left <= 6 || strncmp(path, "/wiki/", 6) != 0 || memchr(path, '?', left))
        return NULL;
    *length = left - 6;
    return path + 6;
}

/* Writes the URL of a link, or nothing when it is no place on the web, or too long to be worth its
 * tokens. */
static void write_href(struct vlm_buffer *out, struct vlm_attribute_rules *rules, const char *p,
                       size_t n)
{
    struct vlm_buffer *url = &rules->scratch;
    while (n && vlm_space_at(p, n))
        p++, n--;
    vlm_buffer_reset(url);
    if (!rules->base_known) {
        rules->base = find_base(rules->document);
        rules->base_known = true;
    }
    if (!n || *p == '#' || vlm_url_resolve(url, rules->base, p, n, NULL) != VLM_OK)
        return;
    size_t size = url->size;
    vlm_buffer_byte(url, 0);
    const char *text = (const char *)url->data;
    if (url->failed || (!starts_with(text, size, "http:") && !starts_with(text, size, "https:")))
        return;
    const char *fragment = memchr(text, '#', size);
    if (fragment)
        size = (size_t)(fragment - text);
    const char *query = memchr(text, '?', size);
    if (query && size - (size_t)(query - text) - 1 > QUERY_MAX)
        size = (size_t)(query - text);
    size_t length = size;
    const char *title = wikipedia_title(text, size, &length);
    if (length > HREF_MAX)
        return;
    vlm_origin_mark_value(rules->origin, out->size, p, n);
    vlm_buffer_text(out, " href=\"");
    write_value(out, title ? title : text, length, NULL);
    vlm_buffer_byte(out, '"');
}

static void write_classes(struct vlm_buffer *out, const struct vlm_attribute_set *set,
                          struct vlm_origin *origin)
{
    if (!set->n_classes)
        return;
    vlm_buffer_text(out, " class=\"");
    for (size_t i = 0; i < set->n_classes; i++) {
        if (i)
            vlm_buffer_byte(out, ' ');
        const char *token = set->document->text + set->classes[i].start;
        vlm_origin_mark_text(origin, out->size, token, set->classes[i].length);
        vlm_escape(out, token, set->classes[i].length, true);
    }
    vlm_buffer_byte(out, '"');
}

/* An empty value says nothing, but for itemscope, which has none. */
static void write_attribute(struct vlm_buffer *out, const struct vlm_attribute_set *set,
                            struct vlm_attribute_rules *rules, unsigned name)
{
    const char *p = set->document->text + set->value[name].start;
    size_t n = set->value[name].length;
    while (n && vlm_space_at(p, n)) {
        size_t width = vlm_space_at(p, n);
        p += width;
        n -= width;
    }
    if (name == VLM_ATTRIBUTE_itemscope)
        n = 0;
    else if (!n)
        return;
    if (name == VLM_ATTRIBUTE_href) {
        write_href(out, rules, p, n);
        return;
    }
    vlm_buffer_byte(out, ' ');
    vlm_buffer_text(out, vlm_attribute_name(name));
    vlm_buffer_text(out, "=\"");
    write_value(out, p, n, rules->origin);
    vlm_buffer_byte(out, '"');
}

/* Decimal numbers with one space between them, as CM3 section 3.1 has them. */
static void write_codes(struct vlm_buffer *out, const struct vlm_attribute_set *set,
                        struct vlm_origin *origin)
{
    vlm_origin_mark_codes(origin, out->size, set->image);
    const uint16_t *codes = set->codes;
    vlm_buffer_text(out, " src=\"");
    if (!codes)
        vlm_buffer_printf(out, "<image:%" PRIu32 ">", set->image);
    for (size_t i = 0; codes && i < VLM_IMAGE_CODES; i++)
        vlm_buffer_printf(out, "%s%u", i ? " " : "", codes[i]);
    vlm_buffer_byte(out, '"');
}

void vlm_attribute_set_write(struct vlm_buffer *out, const struct vlm_attribute_set *set,
                             struct vlm_attribute_rules *rules, unsigned element)
{
    unsigned kept[VLM_ATTRIBUTE_COUNT];
    size_t n = 0;
    for (unsigned name = 0; name < VLM_ATTRIBUTE_COUNT; name++) {
        bool present = name == VLM_ATTRIBUTE_src ? set->has_image : set->has[name];
        if (!present || !is_kept(rules, element, name))
            continue;
        /* The list of names is append only, so its order need not be that of the bytes. */
        size_t at = n++;
        for (; at > 0 && strcmp(vlm_attribute_name(kept[at - 1]), vlm_attribute_name(name)) > 0;
             at--)
            kept[at] = kept[at - 1];
        kept[at] = name;
    }
    for (size_t i = 0; i < n; i++) {
        if (kept[i] == VLM_ATTRIBUTE_src)
            write_codes(out, set, rules->origin);
        else if (kept[i] == VLM_ATTRIBUTE_class)
            write_classes(out, set, rules->origin);
        else
            write_attribute(out, set, rules, kept[i]);
    }
}
