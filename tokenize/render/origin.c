/* origin.c - from marks to runs: every byte of a rendering gets the event it comes from.
 *
 * Text is compared byte by byte with what was written for it, so references that escaping made are
 * found without its help. Between two pieces of text stand tags, which end with ">", and blanks: those
 * stand for white space of the page, or for an element that begins a line. */
#include "base/vlm.h"

#include "base/array.h"
#include "tokenize/html/layout.h"
#include "tokenize/names.h"
#include "tokenize/render/origin.h"

/* Characters of a resolved URL that are compared with the page's; longer ones are not written. */
enum { VALUE_MAX = 512 };

enum mark_kind { MARK_TEXT, MARK_VALUE, MARK_TAG, MARK_CODES };

struct vlm_origin_mark {
    uint32_t at;      /* in the buffer, when it was put down */
    uint32_t from, n; /* in the text; of a tag, from is the event, of codes the image */
    uint8_t kind;
    bool caption; /* from counts in the text of captions */
};

/* A piece of the document's text that belongs to an event. */
struct source {
    uint32_t start, length, event;
};

struct resolver {
    struct vlm_origin *origin;
    const struct vlm_document *document;
    struct source *sources; /* by start */
    size_t n_sources;
    const char *rendering;
    uint32_t size;
    bool markup;

    uint32_t last;  /* the runs reach to here */
    uint32_t drift; /* text since the last tag has grown by this much behind the marks' back */
    bool in_tag;
    uint32_t owner; /* event of the last tag */

    uint32_t event, end; /* of the last piece of text: its event, its end in the event's text */
    bool caption;        /* the last piece is one of captions, and ends at caption_end there */
    uint32_t caption_end;
};

/* -- Marks -------------------------------------------------------------------------------------- */

static void add_mark(struct vlm_origin *origin, struct vlm_origin_mark mark)
{
    /* What was written from here on has been taken back. */
    while (origin->n_marks && origin->marks[origin->n_marks - 1].at >= mark.at)
        origin->n_marks--;
    origin->failed |= !vlm_array_reserve(&origin->marks, &origin->marks_capacity, origin->n_marks,
                                         1, sizeof(*origin->marks));
    if (!origin->failed)
        origin->marks[origin->n_marks++] = mark;
}

static void mark_text(struct vlm_origin *origin, size_t at, const char *p, size_t n,
                      enum mark_kind kind)
{
    if (!origin || !n)
        return;
    const uintptr_t where = (uintptr_t)p;
    const uintptr_t text = (uintptr_t)origin->document->text;
    struct vlm_origin_mark mark = { .at = (uint32_t)at, .n = (uint32_t)n, .kind = (uint8_t)kind };
    if (where >= text && where < text + origin->document->text_size) {
        mark.from = (uint32_t)(where - text);
        add_mark(origin, mark);
        return;
    }
    const struct vlm_buffer *captions = origin->captions_text;
    const uintptr_t other = captions ? (uintptr_t)captions->data : 0;
    if (captions && where >= other && where < other + captions->size) {
        mark.from = (uint32_t)(where - other);
        mark.caption = true;
        add_mark(origin, mark);
    }
}

void vlm_origin_add_text(struct vlm_origin *origin, size_t at, const char *p, size_t n)
{
    mark_text(origin, at, p, n, MARK_TEXT);
}

void vlm_origin_mark_value(struct vlm_origin *origin, size_t at, const char *p, size_t n)
{
    mark_text(origin, at, p, n, MARK_VALUE);
}

void vlm_origin_mark_tag(struct vlm_origin *origin, size_t at, uint32_t event)
{
    if (origin)
        add_mark(origin,
                 (struct vlm_origin_mark){ .at = (uint32_t)at, .from = event, .kind = MARK_TAG });
}

void vlm_origin_mark_codes(struct vlm_origin *origin, size_t at, uint32_t image)
{
    if (origin)
        add_mark(origin,
                 (struct vlm_origin_mark){ .at = (uint32_t)at, .from = image, .kind = MARK_CODES });
}

void vlm_origin_begin(struct vlm_origin *origin, const struct vlm_document *document)
{
    origin->n = origin->n_marks = 0;
    origin->failed = false;
    origin->document = document;
    origin->event = VLM_ORIGIN_NO_EVENT;
}

void vlm_origin_release(struct vlm_origin *origin)
{
    free(origin->runs);
    free(origin->marks);
    if (origin->captions)
        vlm_origin_release(origin->captions);
    free(origin->captions);
    *origin = (struct vlm_origin){ 0 };
}

/* -- Sources ------------------------------------------------------------------------------------ */

static int compare_sources(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->event > y->event) - (x->event < y->event);
}

/* The ATTRIBUTE event that an image's alt came from, or the image's own. */
static uint32_t alt_event(const struct vlm_document *document, uint32_t image_event)
{
    for (uint32_t i = image_event; i > 0 && document->events[i - 1].kind == VLM_EVENT_ATTRIBUTE;
         i--)
        if (document->events[i - 1].name == VLM_ATTRIBUTE_alt)
            return i - 1;
    return image_event;
}

static bool find_sources(struct resolver *to)
{
    const struct vlm_document *document = to->document;
    to->sources = calloc(document->n_events + document->n_images + 1, sizeof(*to->sources));
    if (!to->sources)
        return false;
    for (uint32_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        struct source source = { .event = i };
        if (event->kind == VLM_EVENT_TEXT || event->kind == VLM_EVENT_ATTRIBUTE) {
            source.start = event->start;
            source.length = event->length;
        } else if (event->kind == VLM_EVENT_IMAGE) { /* stored documents have its alt twice */
            source.start = document->images[event->start].alt.start;
            source.length = document->images[event->start].alt.length;
            source.event = alt_event(document, i);
        }
        if (source.length)
            to->sources[to->n_sources++] = source;
    }
    qsort(to->sources, to->n_sources, sizeof(*to->sources), compare_sources);
    return true;
}

/* The source with a byte of the text. */
static const struct source *find_source(const struct resolver *to, uint32_t at)
{
    size_t low = 0, high = to->n_sources;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (to->sources[middle].start + to->sources[middle].length <= at)
            low = middle + 1;
        else
            high = middle;
    }
    VLM_BUG_IF(low == to->n_sources || to->sources[low].start > at);
    return &to->sources[low];
}

/* -- Runs --------------------------------------------------------------------------------------- */

/* Appends the next `length` bytes of the rendering. */
static void add_run(struct resolver *to, enum vlm_origin_kind kind, uint32_t length, uint32_t event,
                    uint32_t from, uint32_t n)
{
    struct vlm_origin *origin = to->origin;
    struct vlm_origin_run *last = origin->n ? &origin->runs[origin->n - 1] : NULL;
    if (!length || origin->failed)
        return;
    bool same = last && last->kind == kind && last->event == event;
    if (same &&
        (kind == VLM_ORIGIN_MADE || (kind == VLM_ORIGIN_TEXT && last->from + last->n == from))) {
        last->length += length;
        last->n += n;
    } else {
        origin->failed |= !vlm_array_reserve(&origin->runs, &origin->capacity, origin->n, 1,
                                             sizeof(*origin->runs));
        if (!origin->failed)
            origin->runs[origin->n++] =
                (struct vlm_origin_run){ to->last, length, event, from, n, (uint8_t)kind };
    }
    to->last += length;
}

/* Bytes that the character c takes at this place of the rendering: more than one for a reference. */
static uint32_t written_length(const struct resolver *to, uint32_t at, char c)
{
    VLM_BUG_IF(at >= to->size);
    if (to->rendering[at] == c && !(to->markup && c == '&'))
        return 1;
    VLM_BUG_IF(to->rendering[at] != '&');
    uint32_t n = 1;
    while (at + n < to->size && to->rendering[at + n - 1] != ';')
        n++;
    return n;
}

/* Text of an event, escaped or not. */
static void put_text(struct resolver *to, uint32_t event, uint32_t from, const char *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t length = written_length(to, to->last, p[i]);
        add_run(to, length == 1 ? VLM_ORIGIN_TEXT : VLM_ORIGIN_CHANGED, length, event, from + i, 1);
        if (!to->markup)
            to->drift += length - 1;
        if (to->origin->failed)
            return;
    }
}

static void put_source(struct resolver *to, uint32_t from, uint32_t n)
{
    const struct source *source = find_source(to, from);
    const uint32_t inside = from - source->start;
    put_text(to, source->event, inside, to->document->text + from, n);
    to->event = source->event;
    to->end = inside + n;
    to->caption = false;
}

/* Bytes of the text of captions, which has runs of its own. */
static void put_caption(struct resolver *to, uint32_t from, uint32_t n)
{
    const struct vlm_origin *captions = to->origin->captions;
    for (size_t i = vlm_origin_find(captions, from); i < captions->n && n; i++) {
        const struct vlm_origin_run *run = &captions->runs[i];
        const uint32_t skipped = from - run->start;
        const uint32_t part = VLM_MIN(run->length - skipped, n);
        if (run->kind == VLM_ORIGIN_TEXT)
            put_text(to, run->event, run->from + skipped,
                     to->document->text + to->document->events[run->event].start + run->from +
                         skipped,
                     part);
        else
            add_run(to, run->kind, part, run->event, run->from, run->n);
        from += part;
        n -= part;
    }
    to->caption = true;
    to->caption_end = from;
}

/* -- Values ------------------------------------------------------------------------------------- */

/* A character of a value, and where it is written. */
struct unit {
    uint32_t at;
    char c;
};

/* The characters of the value [begin, end), references resolved; 0: too many. */
static uint32_t read_value(const struct resolver *to, uint32_t begin, uint32_t end,
                           struct unit units[VALUE_MAX])
{
    uint32_t count = 0;
    for (uint32_t at = begin; at < end; count++) {
        const char *r = to->rendering + at;
        if (count == VALUE_MAX)
            return 0;
        units[count].at = at;
        units[count].c = *r != '&'     ? *r
                         : r[1] == 'a' ? '&'
                         : r[1] == 'l' ? '<'
                         : r[1] == 'g' ? '>'
                                       : '"';
        at += written_length(to, at, units[count].c);
    }
    return count;
}

/* How many characters at the end of the value are those at the end of the n bytes at p. */
static uint32_t common_end(const struct unit *units, uint32_t count, const char *p, uint32_t n)
{
    uint32_t same = 0;
    while (same < count && same < n && units[count - same - 1].c == p[n - same - 1])
        same++;
    return same;
}

/* The value [last, end), made from the n bytes at p: what the two have in common at their beginning or at their end
 * is text, the rest is made from all of it. Fragments and long queries are not written. */
static void put_resolved(struct resolver *to, uint32_t end, uint32_t event, uint32_t inside,
                         const char *p, uint32_t n)
{
    struct unit units[VALUE_MAX];
    const uint32_t count = read_value(to, to->last, end, units);
    uint32_t head = 0, tail = 0, cut = n;
    while (head < count && head < n && units[head].c == p[head])
        head++;
    static const char marks[] = { 0, '#', '?' };
    for (size_t i = 0; i < VLM_COUNTOF(marks); i++) {
        const char *found = marks[i] ? memchr(p + head, marks[i], n - head) : p + n;
        uint32_t to_mark = found ? (uint32_t)(found - p) : n;
        uint32_t same = common_end(units + head, count - head, p + head, to_mark - head);
        cut = same > tail ? to_mark : cut;
        tail = VLM_MAX(tail, same);
    }
    uint32_t behind = tail ? units[count - tail].at : end;
    put_text(to, event, inside, p, head);
    add_run(to, VLM_ORIGIN_CHANGED, behind - to->last, event, inside, n);
    put_text(to, event, inside + cut - tail, p + cut - tail, tail);
}

/* An attribute made from text, like the resolved URL of a link. */
static void put_value(struct resolver *to, uint32_t from, uint32_t n)
{
    const struct source *source = find_source(to, from);
    const char *p = to->document->text + from;
    const uint32_t inside = from - source->start;
    while (n && vlm_space_at(p + n - 1, 1))
        n--;
    const char *quote = memchr(to->rendering + to->last, '"', to->size - to->last);
    VLM_BUG_IF(!quote);
    const uint32_t begin = (uint32_t)(quote + 1 - to->rendering);
    const char *close = memchr(quote + 1, '"', to->size - begin);
    VLM_BUG_IF(!close);
    add_run(to, VLM_ORIGIN_MADE, begin - to->last, to->owner, 0, 0);
    put_resolved(to, (uint32_t)(close - to->rendering), source->event, inside, p, n);
    to->event = source->event;
    to->end = inside + n;
}

/* src="...": codes, or the word that stands for them. */
static void put_codes(struct resolver *to)
{
    const struct vlm_document *document = to->document;
    const char *quote = memchr(to->rendering + to->last, '"', to->size - to->last);
    const char *close =
        quote ? memchr(quote + 1, '"', to->size - (size_t)(quote + 1 - to->rendering)) : NULL;
    VLM_BUG_IF(!close);
    uint32_t event = to->owner + 1;
    while (event < document->n_events && document->events[event].kind == VLM_EVENT_ATTRIBUTE)
        event++;
    add_run(to, VLM_ORIGIN_MADE, (uint32_t)(quote + 1 - to->rendering) - to->last, to->owner, 0, 0);
    add_run(to, VLM_ORIGIN_CODES, (uint32_t)(close - quote - 1), event, 0, 0);
}

/* -- Blanks --------------------------------------------------------------------------------------- */

/* What the next mark is about: the event, and how much of its text stands before it. */
struct next {
    uint32_t event, from;
};

static bool is_white(const char *p, uint32_t n)
{
    for (uint32_t i = 0; i < n;) {
        size_t space = vlm_space_at(p + i, n - i);
        if (!space)
            return false;
        i += (uint32_t)space;
    }
    return n > 0;
}

/* Makes the blanks up to `end` those of white space in an event's text. */
static bool put_white(struct resolver *to, uint32_t end, uint32_t event, uint32_t from, uint32_t n)
{
    if (event >= to->document->n_events || !n)
        return false;
    const struct vlm_event *it = &to->document->events[event];
    const char *p = to->document->text + it->start + from;
    const uint32_t length = end - to->last;
    if (it->kind != VLM_EVENT_TEXT && it->kind != VLM_EVENT_ATTRIBUTE)
        return false;
    if (!is_white(p, n))
        return false;
    bool equal = length == n && !memcmp(to->rendering + to->last, p, n);
    add_run(to, equal ? VLM_ORIGIN_TEXT : VLM_ORIGIN_CHANGED, length, event, from, n);
    return true;
}

/* White space in front of the next piece, between the two, or behind the last one: the nearest to the next. */
static bool put_white_near(struct resolver *to, uint32_t end, struct next next)
{
    const struct vlm_document *document = to->document;
    const uint32_t before = to->event == next.event ? to->end : 0;
    if (next.from > before && put_white(to, end, next.event, before, next.from - before))
        return true;
    for (uint32_t i = (uint32_t)VLM_MIN(next.event, document->n_events); i-- > to->event + 1;)
        if (document->events[i].kind == VLM_EVENT_TEXT &&
            put_white(to, end, i, 0, document->events[i].length))
            return true;
    return to->event < document->n_events && document->events[to->event].kind == VLM_EVENT_TEXT &&
           put_white(to, end, to->event, to->end, document->events[to->event].length - to->end);
}

/* The first element between the last piece and the next that begins or ends a line. */
static bool put_break(struct resolver *to, uint32_t end, struct next next)
{
    const struct vlm_document *document = to->document;
    for (uint32_t i = to->event + 1; i <= next.event && i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if ((event->kind == VLM_EVENT_OPEN || event->kind == VLM_EVENT_CLOSE) &&
            vlm_element_layout(event->name) != VLM_LAYOUT_INLINE) {
            add_run(to, VLM_ORIGIN_MADE, end - to->last, i, 0, 0);
            return true;
        }
    }
    return false;
}

static void put_blanks(struct resolver *to, uint32_t end, struct next next)
{
    const uint32_t n = end - to->last;
    const char *p = to->rendering + to->last;
    if (next.event < to->document->n_events &&
        to->document->events[next.event].kind == VLM_EVENT_IMAGE) {
        add_run(to, VLM_ORIGIN_MADE, n, next.event, 0, 0); /* lines of pair */
        return;
    }
    bool line = to->event != next.event && (memchr(p, '\n', n) || memchr(p, '\t', n));
    if ((!line && put_white_near(to, end, next)) || put_break(to, end, next) ||
        (line && put_white_near(to, end, next)))
        return;
    add_run(to, VLM_ORIGIN_MADE, n, next.event < to->document->n_events ? next.event : to->event, 0,
            0);
}

/* The bytes up to `end`: the rest of a tag, blanks. */
static void fill(struct resolver *to, uint32_t end, struct next next)
{
    if (to->in_tag && to->last < end) {
        const uint32_t n = end - to->last;
        const char *close = memchr(to->rendering + to->last, '>', n);
        if (to->event == next.event && next.from > to->end &&
            put_white(to, end, to->event, to->end, next.from - to->end))
            return;
        add_run(to, VLM_ORIGIN_MADE, close ? (uint32_t)(close + 1 - to->rendering) - to->last : n,
                to->owner, 0, 0);
        if (!close)
            return;
        to->in_tag = false;
        to->event = to->owner;
        to->end = 0;
    }
    if (to->last < end)
        put_blanks(to, end, next);
}

/* -- The whole ------------------------------------------------------------------------------------ */

static void put_mark(struct resolver *to, const struct vlm_origin_mark *mark, uint32_t at)
{
    struct next next = { .event = mark->from };
    if (mark->kind == MARK_TAG) {
        fill(to, at, next);
        to->in_tag = true;
        to->owner = to->event = mark->from;
        to->end = to->drift = 0;
        to->caption = false;
    } else if (mark->kind == MARK_CODES) {
        next.event = VLM_ORIGIN_NO_EVENT;
        fill(to, at, next);
        put_codes(to);
    } else if (mark->caption) {
        next.event = VLM_ORIGIN_NO_EVENT;
        if (to->caption && at > to->last)
            put_caption(to, to->caption_end, at - to->last);
        fill(to, at, next);
        put_caption(to, mark->from, mark->n);
    } else {
        const struct source *source = find_source(to, mark->from);
        next = (struct next){ source->event, mark->from - source->start };
        fill(to, at, next);
        if (mark->kind == MARK_VALUE)
            put_value(to, mark->from, mark->n);
        else
            put_source(to, mark->from, mark->n);
    }
}

void vlm_origin_end(struct vlm_origin *origin, const struct vlm_buffer *out, size_t begin,
                    bool markup)
{
    struct resolver to = {
        .origin = origin,
        .document = origin->document,
        .markup = markup,
        .owner = VLM_ORIGIN_NO_EVENT,
        .event = VLM_ORIGIN_NO_EVENT,
    };
    if (out->failed || out->size - begin > UINT32_MAX || (!origin->failed && !find_sources(&to)))
        origin->failed = true;
    if (!origin->failed && out->size > begin) {
        to.rendering = (const char *)out->data + begin;
        to.size = (uint32_t)(out->size - begin);
        for (size_t i = 0; i < origin->n_marks && !origin->failed; i++) {
            uint32_t drift = origin->marks[i].kind == MARK_TAG ? 0 : to.drift;
            uint32_t at = origin->marks[i].at - (uint32_t)begin + drift;
            if (at < to.size) /* else it has been taken back */
                put_mark(&to, &origin->marks[i], at);
        }
        fill(&to, to.size, (struct next){ VLM_ORIGIN_NO_EVENT, 0 });
    }
    free(to.sources);
    origin->n_marks = 0;
}

size_t vlm_origin_find(const struct vlm_origin *origin, uint32_t at)
{
    size_t low = 0, high = origin->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (origin->runs[middle].start + origin->runs[middle].length <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
