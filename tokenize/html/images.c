/* images.c - the URLs under which the picture of an <img> may be found, best first.
 *
 * Pages load images late in many ways: the address stands in a data- attribute and src holds a
 * placeholder, or srcset and <picture> name several sizes. Every address is resolved; the join takes
 * the first that the crawl has. */
#include "base/vlm.h"

#include "tokenize/html/build.h"
#include "tokenize/html/url.h"

#include <strings.h>

enum { SRCSET_ENTRIES_MAX = 64, WIDTH_WANTED = 1024 };

struct candidates {
    struct vlm_build *build;
    struct vlm_document_image *image;
    struct vlm_string first; /* the winner as written */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static const char *text_of(const struct vlm_build *build, struct vlm_string string)
{
    return (const char *)build->text.data + string.start;
}

/* Words in the file names of pictures that stand for others which come later. */
static bool has_placeholder_name(const char *url, size_t n)
{
    static const char *const words[] = { "blank", "spacer",  "placeholder", "pixel", "transparent",
                                         "1x1",   "loading", "lazy",        "clear", "grey" };
    const char *mark = memchr(url, '?', n);
    n = mark ? (size_t)(mark - url) : n;
    size_t begin = n;
    while (begin && url[begin - 1] != '/')
        begin--;
    url += begin;
    n -= begin;
    if (n < 4 || n > 64 ||
        (strncasecmp(url + n - 4, ".gif", 4) && strncasecmp(url + n - 4, ".png", 4) &&
         strncasecmp(url + n - 4, ".svg", 4)))
        return false;
    for (size_t w = 0; w < VLM_COUNTOF(words); w++) {
        size_t length = strlen(words[w]);
        for (size_t i = 0; i + length + 4 <= n; i++)
            if (!strncasecmp(url + i, words[w], length))
                return true;
    }
    return false;
}

/* Longer data: URLs are pictures of their own. */
static bool is_placeholder(const char *url, size_t n)
{
    while (n && is_space(*url)) {
        url++;
        n--;
    }
    if (!n || *url == '#')
        return true;
    if (n >= 6 && !strncasecmp(url, "about:", 6))
        return true;
    if (n >= 5 && !strncasecmp(url, "data:", 5))
        return n < 512 || (n >= 18 && !strncasecmp(url, "data:image/svg+xml", 18));
    return has_placeholder_name(url, n);
}

/* Adds the URL that is written in text; the text stays where it is when it is absolute already. */
static void add_url(struct candidates *to, struct vlm_string written)
{
    struct vlm_build *build = to->build;
    struct vlm_document_image *image = to->image;
    if (image->n_candidates == VLM_IMAGE_CANDIDATES_MAX)
        return;
    while (written.length && is_space(text_of(build, written)[0])) {
        written.start++;
        written.length--;
    }
    while (written.length && is_space(text_of(build, written)[written.length - 1]))
        written.length--;
    if (!written.length)
        return;
    const char *base = build->base.size ? (const char *)build->base.data : build->url;
    struct vlm_err ignored = { 0 };
    vlm_buffer_reset(&build->scratch);
    if (vlm_url_resolve(&build->scratch, base, text_of(build, written), written.length, &ignored) !=
        VLM_OK)
        return; /* an address that leads nowhere is no candidate */
    size_t n = build->scratch.size;
    const char *url = (const char *)build->scratch.data;
    for (size_t i = 0; i < image->n_candidates; i++)
        if (image->candidate[i].length == n && !memcmp(text_of(build, image->candidate[i]), url, n))
            return;
    struct vlm_string stored = written;
    if (n != written.length || memcmp(url, text_of(build, written), n)) {
        stored = (struct vlm_string){ (uint32_t)build->text.size, (uint32_t)n };
        vlm_buffer_add(&build->text, url, n);
        if (build->text.failed)
            return;
    }
    if (!image->n_candidates)
        to->first = written;
    image->candidate[image->n_candidates++] = stored;
}

struct srcset_entry {
    struct vlm_string url;
    uint32_t width;   /* 0: not said */
    uint32_t density; /* in thousandths */
};

/* A descriptor like "640w" or "1.5x". */
static void read_descriptor(struct srcset_entry *entry, const char *p, size_t n)
{
    uint64_t whole = 0, thousandths = 0, unit = 100;
    size_t i = 0;
    for (; i < n && p[i] >= '0' && p[i] <= '9'; i++)
        whole = VLM_MIN(whole * 10 + (uint64_t)(p[i] - '0'), 1000000);
    if (i < n && p[i] == '.')
        for (i++; i < n && p[i] >= '0' && p[i] <= '9'; i++, unit /= 10)
            thousandths += unit * (uint64_t)(p[i] - '0');
    if (i + 1 == n && p[i] == 'w')
        entry->width = (uint32_t)whole;
    else if (i + 1 == n && p[i] == 'x')
        entry->density = (uint32_t)(whole * 1000 + thousandths);
}

/* The next entry of a srcset (HTML 4.8.4.3.10); *at moves behind it. False at the end. */
static bool next_entry(struct srcset_entry *entry, const char *p, size_t n, size_t *at)
{
    size_t i = *at;
    while (i < n && (is_space(p[i]) || p[i] == ','))
        i++;
    if (i == n)
        return false;
    size_t begin = i;
    while (i < n && !is_space(p[i]))
        i++;
    size_t end = i;
    bool comma = p[end - 1] == ',';
    while (end > begin && p[end - 1] == ',')
        end--;
    *entry = (struct srcset_entry){ .url = { (uint32_t)begin, (uint32_t)(end - begin) },
                                    .density = 1000 };
    size_t parens = 0;
    while (!comma && i < n) {
        while (i < n && is_space(p[i]))
            i++;
        size_t word = i;
        for (; i < n && !is_space(p[i]) && (parens || p[i] != ','); i++)
            parens += p[i] == '(' ? 1 : p[i] == ')' && parens ? (size_t)-1 : 0;
        read_descriptor(entry, p + word, i - word);
        if (i < n && p[i] == ',' && !parens)
            comma = true;
    }
    *at = i;
    return true;
}

/* Whether a is tried before b: the largest that is at most as wide as wanted, then the smallest
 * above, then the rest by falling width. Densities stand for widths when none are given. */
static bool better(const struct srcset_entry *a, const struct srcset_entry *b)
{
    uint64_t wide_a = a->width ? a->width : a->density / 2;
    uint64_t wide_b = b->width ? b->width : b->density / 2;
    bool fits_a = wide_a <= WIDTH_WANTED, fits_b = wide_b <= WIDTH_WANTED;
    if (fits_a != fits_b)
        return fits_a;
    return fits_a ? wide_a > wide_b : wide_a < wide_b;
}

static void add_srcset(struct candidates *to, struct vlm_string value)
{
    struct srcset_entry entries[SRCSET_ENTRIES_MAX];
    size_t count = 0, at = 0;
    while (count < SRCSET_ENTRIES_MAX &&
           next_entry(&entries[count], text_of(to->build, value), value.length, &at)) {
        entries[count].url.start += value.start;
        count++;
    }
    for (size_t i = 1; i < count; i++) /* stable: equal ones stay in the order of the page */
        for (size_t k = i; k > 0 && better(&entries[k], &entries[k - 1]); k--) {
            struct srcset_entry moved = entries[k];
            entries[k] = entries[k - 1];
            entries[k - 1] = moved;
        }
    for (size_t i = 0; i < count; i++)
        add_url(to, entries[i].url);
}

static void add_attribute(struct candidates *to, const struct vlm_token *token, unsigned name)
{
    const struct vlm_tag_attribute *attribute = vlm_build_attribute(to->build, token, name);
    if (!attribute || !attribute->length)
        return;
    struct vlm_string value = vlm_build_value(to->build, attribute);
    if (to->build->text.failed)
        return;
    if (name == VLM_READ_srcset || name == VLM_READ_data_srcset)
        add_srcset(to, value);
    else if (!is_placeholder(text_of(to->build, value), value.length))
        add_url(to, value);
}

void vlm_build_source(struct vlm_build *build, const struct vlm_token *token)
{
    static const unsigned names[] = { VLM_READ_srcset, VLM_READ_data_srcset };
    for (size_t i = 0; i < VLM_COUNTOF(names); i++) {
        const struct vlm_tag_attribute *attribute = vlm_build_attribute(build, token, names[i]);
        if (attribute && attribute->length && build->n_sources < VLM_PICTURE_SOURCES_MAX)
            build->sources[build->n_sources++] = vlm_build_value(build, attribute);
    }
}

static struct vlm_document_image *new_image(struct vlm_build *build)
{
    if (build->n_images == VLM_HTML_IMAGES_MAX) {
        build->warnings |= VLM_PAGE_IMAGES;
        return NULL;
    }
    if (build->n_images == build->images_capacity) {
        size_t more = build->images_capacity ? build->images_capacity * 2 : 64;
        void *moved = realloc(build->images, more * sizeof(*build->images));
        if (!moved) {
            build->failed = true;
            return NULL;
        }
        build->images = moved;
        build->images_capacity = more;
    }
    struct vlm_document_image *image = &build->images[build->n_images++];
    *image = (struct vlm_document_image){ 0 };
    return image;
}

bool vlm_build_image(struct vlm_build *build, const struct vlm_token *token, struct vlm_string src,
                     bool has_src, struct vlm_string alt, bool has_alt)
{
    struct vlm_document_image *image = new_image(build);
    if (!image)
        return false;
    image->alt = alt;
    image->has_alt = has_alt;
    struct candidates to = { .build = build, .image = image };
    bool real = has_src && !is_placeholder(text_of(build, src), src.length);
    if (real)
        add_url(&to, src);
    for (unsigned name = VLM_READ_LAZY_FIRST; name <= VLM_READ_LAZY_LAST; name++)
        add_attribute(&to, token, name);
    add_attribute(&to, token, VLM_READ_srcset);
    add_attribute(&to, token, VLM_READ_data_srcset);
    for (size_t i = 0; i < build->n_sources && !build->text.failed; i++)
        add_srcset(&to, build->sources[i]);
    /* A placeholder would always be found and hide that the picture itself is missing. */
    if (has_src && !real && !image->n_candidates)
        add_url(&to, src);
    image->src = image->n_candidates ? to.first : src;
    return !build->text.failed;
}
