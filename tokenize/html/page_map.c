/* page_map.c - keeps the list of page_map.h and searches it. */
#include "base/vlm.h"

#include "base/array.h"
#include "tokenize/html/page_map.h"
#include "tokenize/html/prepass.h"

#include <strings.h>

void vlm_page_map_reset(struct vlm_page_map *map)
{
    map->n = map->n_tags = 0;
    map->failed = false;
}

void vlm_page_map_release(struct vlm_page_map *map)
{
    free(map->spans);
    free(map->tags);
    *map = (struct vlm_page_map){ 0 };
}

void vlm_page_map_add(struct vlm_page_map *map, const struct vlm_page_span *span)
{
    struct vlm_page_span *last = map->n ? &map->spans[map->n - 1] : NULL;
    if (!span->length || map->failed)
        return;
    if (last && span->verbatim && last->verbatim && last->text + last->length == span->text &&
        last->page.end == span->page.start) {
        last->length += span->length;
        last->page.end = span->page.end;
        return;
    }
    map->failed |= !vlm_array_reserve(&map->spans, &map->capacity, map->n, 1, sizeof(*map->spans));
    if (!map->failed)
        map->spans[map->n++] = *span;
}

void vlm_page_map_add_tag(struct vlm_page_map *map, struct vlm_page_range tag)
{
    map->failed |=
        !vlm_array_reserve(&map->tags, &map->tags_capacity, map->n_tags, 1, sizeof(*map->tags));
    if (!map->failed)
        map->tags[map->n_tags++] = tag;
}

void vlm_page_map_add_value(struct vlm_page_map *map, uint32_t text, const char *page,
                            struct vlm_page_range from)
{
    uint32_t at = from.start;
    while (at < from.end) {
        const char *mark = memchr(page + at, '&', from.end - at);
        uint32_t run = mark ? (uint32_t)(mark - page) - at : from.end - at;
        char character[VLM_REFERENCE_MAX];
        size_t n = 0, used = 0;
        if (!run)
            used = vlm_reference_decode(character, &n, page + at, from.end - at, true);
        bool verbatim = !used; /* a "&" may stand for itself */
        if (verbatim)
            used = n = run ? run : 1;
        uint32_t end = at + (uint32_t)used;
        vlm_page_map_add(map, &(struct vlm_page_span){ .text = text,
                                                       .length = (uint32_t)n,
                                                       .page = { at, end },
                                                       .verbatim = verbatim });
        text += (uint32_t)n;
        at = end;
    }
}

/* The index of the span with a byte of the text, or n. */
static size_t find_span(const struct vlm_page_map *map, uint32_t text)
{
    size_t low = 0, high = map->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (map->spans[middle].text + map->spans[middle].length <= text)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->n && map->spans[low].text <= text ? low : map->n;
}

bool vlm_page_map_find(const struct vlm_page_map *map, uint32_t text, uint32_t n,
                       struct vlm_page_range *range, bool *verbatim)
{
    size_t first = find_span(map, text), last = find_span(map, text + n - 1);
    if (first == map->n || last == map->n)
        return false;
    const struct vlm_page_span *a = &map->spans[first], *b = &map->spans[last];
    range->start = a->verbatim ? a->page.start + (text - a->text) : a->page.start;
    range->end = b->verbatim ? b->page.start + (text + n - b->text) : b->page.end;
    if (verbatim) /* adjacent verbatim spans are one */
        *verbatim = first == last && a->verbatim;
    return true;
}

/* The tag that begins at a byte of the page, or NULL. */
static const struct vlm_page_range *tag_at(const struct vlm_page_map *map, uint32_t start)
{
    size_t low = 0, high = map->n_tags;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (map->tags[middle].start < start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->n_tags && map->tags[low].start == start ? &map->tags[low] : NULL;
}

static bool is_end_tag(const char *tag, size_t n, unsigned element)
{
    const char *name = vlm_element_name(element);
    size_t length = strlen(name);
    return n > length + 2 && tag[1] == '/' && !strncasecmp(tag + 2, name, length);
}

/* The OPEN event of the element that closes at an event. */
static size_t find_open(const struct vlm_document *document, size_t close)
{
    size_t depth = 0, i = close;
    do {
        depth += document->events[i].kind == VLM_EVENT_CLOSE;
        depth -= document->events[i].kind == VLM_EVENT_OPEN;
    } while (depth > 0 && i-- > 0);
    return depth ? close : i;
}

bool vlm_page_map_tag(const struct vlm_page_map *map, const char *page,
                      const struct vlm_document *document, size_t event, struct vlm_page_range *tag)
{
    const struct vlm_event *it = &document->events[event];
    const struct vlm_page_range *found = tag_at(map, it->offset);
    if (it->kind == VLM_EVENT_CLOSE &&
        !(found && is_end_tag(page + found->start, found->end - found->start, it->name))) {
        it = &document->events[find_open(document, event)];
        found = tag_at(map, it->offset);
    }
    *tag = (struct vlm_page_range){ it->offset, it->offset };
    if (!found || it->kind == VLM_EVENT_TEXT)
        return false;
    *tag = *found;
    return true;
}
