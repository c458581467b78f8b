/* prepass.c - the tokenizer of HTML (standard, section 13.2.5), in one pass over a decoded page.
 *
 * It leaves out what no form of a document holds: scripts, styles, comments, templates, SVG and
 * MathML, and tags without a number in names.h, whose content stays. What is left is written down
 * twice: as tokens that point into the page, and as the skeleton for libxml2. It builds no tree. */
#include "base/vlm.h"

#include "tokenize/document.h"
#include "tokenize/html/page.h"
#include "tokenize/html/prepass.h"

#include <strings.h>

enum {
    TAG_NAME_MAX = 24,                    /* longer names are none of ours */
    DEPTH_GUARD = 2 * VLM_HTML_DEPTH_MAX, /* see guard_depth */
    SKELETON_TAG_MAX = 16,                /* "</blockquote>" and the like */
    UNKNOWN = VLM_ELEMENT_COUNT,          /* an element without a number */
};

/* How the tokenizer goes on behind a start tag, and what the tag is in the skeleton. */
enum trait {
    TRAIT_VOID = 1,
    TRAIT_RAW = 2,      /* content without tags and references */
    TRAIT_RCDATA = 4,   /* content without tags */
    TRAIT_ELIDE = 8,    /* tag and raw content vanish */
    TRAIT_SUBTREE = 16, /* tag and everything up to its end tag vanish */
    TRAIT_IMPLIED_END = 32,
};

struct trait_of {
    uint8_t traits;
    const char *skeleton; /* NULL: its own name */
};

/* libxml2 gives unknown elements no part in closing <p>, lets nothing void follow them, and closes
 * <b> and <i> where a block begins. "center" nests freely and closes <p>, "acronym" and "samp" nest
 * freely and close nothing; "br" is void. */
static const struct trait_of traits_of[VLM_ELEMENT_COUNT] = {
    [VLM_ELEMENT_area] = { TRAIT_VOID, NULL },
    [VLM_ELEMENT_base] = { TRAIT_VOID, NULL },
    [VLM_ELEMENT_br] = { TRAIT_VOID, NULL },
    [VLM_ELEMENT_col] = { TRAIT_VOID, NULL },
    [VLM_ELEMENT_embed] = { TRAIT_VOID, "br" },
    [VLM_ELEMENT_frame] = { TRAIT_VOID, NULL },
    [VLM_ELEMENT_hr] = { TRAIT_VOID, NULL },
    [VLM_ELEMENT_iframe] = { TRAIT_VOID | TRAIT_RAW, "br" },
    [VLM_ELEMENT_img] = { TRAIT_VOID, "br" },
    [VLM_ELEMENT_input] = { TRAIT_VOID, "br" },
    [VLM_ELEMENT_link] = { TRAIT_VOID, NULL },
    [VLM_ELEMENT_meta] = { TRAIT_VOID, NULL },
    [VLM_ELEMENT_param] = { TRAIT_VOID, "br" },
    [VLM_ELEMENT_source] = { TRAIT_VOID, "br" },
    [VLM_ELEMENT_track] = { TRAIT_VOID, "br" },
    [VLM_ELEMENT_wbr] = { TRAIT_VOID, "br" },
    [VLM_ELEMENT_script] = { TRAIT_ELIDE, NULL },
    [VLM_ELEMENT_style] = { TRAIT_ELIDE, NULL },
    [VLM_ELEMENT_noframes] = { TRAIT_ELIDE, NULL },
    [VLM_ELEMENT_svg] = { TRAIT_SUBTREE, NULL },
    [VLM_ELEMENT_math] = { TRAIT_SUBTREE, NULL },
    [VLM_ELEMENT_template] = { TRAIT_SUBTREE, NULL },
    [VLM_ELEMENT_title] = { TRAIT_RCDATA, NULL },
    [VLM_ELEMENT_textarea] = { TRAIT_RCDATA, "acronym" },
    [VLM_ELEMENT_xmp] = { TRAIT_RAW, "pre" },
    [VLM_ELEMENT_plaintext] = { TRAIT_RAW, "pre" },
    [VLM_ELEMENT_listing] = { 0, "pre" },
    [VLM_ELEMENT_address] = { 0, "center" },
    [VLM_ELEMENT_article] = { 0, "center" },
    [VLM_ELEMENT_aside] = { 0, "center" },
    [VLM_ELEMENT_details] = { 0, "center" },
    [VLM_ELEMENT_dialog] = { 0, "center" },
    [VLM_ELEMENT_dir] = { 0, "center" },
    [VLM_ELEMENT_figcaption] = { 0, "center" },
    [VLM_ELEMENT_figure] = { 0, "center" },
    [VLM_ELEMENT_footer] = { 0, "center" },
    [VLM_ELEMENT_header] = { 0, "center" },
    [VLM_ELEMENT_hgroup] = { 0, "center" },
    [VLM_ELEMENT_main] = { 0, "center" },
    [VLM_ELEMENT_menu] = { 0, "center" },
    [VLM_ELEMENT_nav] = { 0, "center" },
    [VLM_ELEMENT_search] = { 0, "center" },
    [VLM_ELEMENT_section] = { 0, "center" },
    [VLM_ELEMENT_summary] = { 0, "center" },
    [VLM_ELEMENT_applet] = { 0, "object" },
    [VLM_ELEMENT_audio] = { 0, "object" },
    [VLM_ELEMENT_canvas] = { 0, "object" },
    [VLM_ELEMENT_video] = { 0, "object" },
    [VLM_ELEMENT_bdi] = { 0, "bdo" },
    [VLM_ELEMENT_blink] = { 0, "acronym" },
    [VLM_ELEMENT_data] = { 0, "acronym" },
    [VLM_ELEMENT_datalist] = { 0, "acronym" },
    [VLM_ELEMENT_mark] = { 0, "acronym" },
    [VLM_ELEMENT_marquee] = { 0, "acronym" },
    [VLM_ELEMENT_meter] = { 0, "acronym" },
    [VLM_ELEMENT_nobr] = { 0, "acronym" },
    [VLM_ELEMENT_output] = { 0, "acronym" },
    [VLM_ELEMENT_picture] = { 0, "acronym" },
    [VLM_ELEMENT_progress] = { 0, "acronym" },
    [VLM_ELEMENT_rb] = { 0, "acronym" },
    [VLM_ELEMENT_rp] = { 0, "acronym" },
    [VLM_ELEMENT_rt] = { 0, "acronym" },
    [VLM_ELEMENT_rtc] = { 0, "acronym" },
    [VLM_ELEMENT_ruby] = { 0, "acronym" },
    [VLM_ELEMENT_slot] = { 0, "acronym" },
    [VLM_ELEMENT_time] = { 0, "acronym" },
    [VLM_ELEMENT_b] = { 0, "samp" },
    [VLM_ELEMENT_big] = { 0, "samp" },
    [VLM_ELEMENT_font] = { 0, "dfn" },
    [VLM_ELEMENT_i] = { 0, "var" },
    [VLM_ELEMENT_s] = { 0, "kbd" },
    [VLM_ELEMENT_small] = { 0, "kbd" },
    [VLM_ELEMENT_strike] = { 0, "kbd" },
    [VLM_ELEMENT_tt] = { 0, "kbd" },
    [VLM_ELEMENT_u] = { 0, "q" },
    [VLM_ELEMENT_p] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_li] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_dt] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_dd] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_tr] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_td] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_th] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_thead] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_tbody] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_tfoot] = { TRAIT_IMPLIED_END, NULL },
    [VLM_ELEMENT_option] = { TRAIT_IMPLIED_END, NULL },
};

const char *vlm_skeleton_name(unsigned element)
{
    const char *name = traits_of[element].skeleton;
    return name ? name : vlm_element_name(element);
}

bool vlm_element_is_void(unsigned element)
{
    return traits_of[element].traits & TRAIT_VOID;
}

static const char *attribute_text(unsigned name)
{
    static const char *const read[] = {
#define X(name, text) text,
        VLM_LAZY_ATTRIBUTES(X) VLM_READ_ATTRIBUTES(X)
#undef X
    };
    return name < VLM_ATTRIBUTE_COUNT ? vlm_attribute_name(name) : read[name - VLM_ATTRIBUTE_COUNT];
}

static uint32_t hash_step(uint32_t hash, char c)
{
    return hash * 31 + (unsigned char)c;
}

static void table_add(struct vlm_name_table *table, const char *name, unsigned number)
{
    uint32_t hash = 0;
    for (const char *p = name; *p; p++)
        hash = hash_step(hash, *p);
    size_t at = hash % VLM_COUNTOF(table->slot);
    while (table->slot[at])
        at = (at + 1) % VLM_COUNTOF(table->slot);
    table->slot[at] = (uint8_t)(number + 1);
}

/* The number of a name, or -1. */
static int table_find(const struct vlm_name_table *table, const char *(*name_of)(unsigned),
                      const char *name, size_t n, uint32_t hash)
{
    size_t at = hash % VLM_COUNTOF(table->slot);
    for (; table->slot[at]; at = (at + 1) % VLM_COUNTOF(table->slot)) {
        const char *text = name_of(table->slot[at] - 1u);
        if (!strncmp(text, name, n) && !text[n])
            return table->slot[at] - 1;
    }
    return -1;
}

void vlm_prepass_init(struct vlm_prepass *prepass)
{
    *prepass = (struct vlm_prepass){ 0 };
    for (unsigned i = 0; i < VLM_ELEMENT_COUNT; i++)
        table_add(&prepass->elements, vlm_element_name(i), i);
    for (unsigned i = 0; i < VLM_READ_END; i++)
        table_add(&prepass->attributes, attribute_text(i), i);
}

void vlm_prepass_release(struct vlm_prepass *prepass)
{
    vlm_buffer_release(&prepass->skeleton);
    free(prepass->tokens);
    free(prepass->attribute);
    prepass->tokens = NULL;
    prepass->attribute = NULL;
    prepass->n_tokens = prepass->tokens_capacity = 0;
    prepass->n_attributes = prepass->attributes_capacity = 0;
}

/* State of one run. */
struct scan {
    struct vlm_prepass *to;
    const char *page, *end;
    const char *p;

    /* The tag that was read last. */
    char name[TAG_NAME_MAX + 1];
    size_t name_n;
    int element;       /* vlm_element or UNKNOWN */
    bool self_closing; /* "/>" */
    size_t first_attribute;

    uint32_t open[VLM_ELEMENT_COUNT]; /* start tags without their end tag so far */
    size_t depth;                     /* the same, over elements whose end is never implied */
    uint8_t seen_root;                /* bits: html, head, body */
    bool after_text;                  /* the last token is text */

    /* Inside a subtree that vanishes. */
    int skip_element; /* vlm_element, or -1 */
    size_t skip_depth;
    size_t skip_html; /* open <foreignObject> inside <svg> */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

static bool is_letter(char c)
{
    return ((unsigned char)c | 32) >= 'a' && ((unsigned char)c | 32) <= 'z';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Room for one more element of size bytes; false when memory ran out. */
static bool grow(void **array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t more = *capacity ? *capacity * 2 : 1024;
    void *moved = realloc(*array, more * size);
    if (!moved)
        return false;
    *array = moved;
    *capacity = more;
    return true;
}

static struct vlm_token *add_token(struct scan *s, enum vlm_token_kind kind, const char *begin,
                                   const char *end)
{
    struct vlm_prepass *to = s->to;
    /* Each token is an event at least; its attributes too. */
    if (to->n_tokens + to->n_attributes >= VLM_HTML_NODES_MAX) {
        to->warnings |= VLM_PAGE_NODES;
        s->p = s->end;
        return NULL;
    }
    if (!grow((void **)&to->tokens, to->n_tokens, &to->tokens_capacity, sizeof(*to->tokens))) {
        to->failed = true;
        s->p = s->end;
        return NULL;
    }
    struct vlm_token *token = &to->tokens[to->n_tokens++];
    *token = (struct vlm_token){
        .offset = (uint32_t)(begin - s->page),
        .end = (uint32_t)(end - s->page),
        .at = (uint32_t)to->skeleton.size,
        .kind = (uint8_t)kind,
    };
    s->after_text = kind >= VLM_TOKEN_TEXT;
    return token;
}

static void write_tag(struct scan *s, const char *name, bool closing)
{
    char *to = (char *)vlm_buffer_reserve(&s->to->skeleton, SKELETON_TAG_MAX);
    if (!to)
        return;
    char *at = to;
    *at++ = '<';
    if (closing)
        *at++ = '/';
    while (*name)
        *at++ = *name++;
    *at++ = '>';
    s->to->skeleton.size += (size_t)(at - to);
}

static void add_text(struct scan *s, const char *begin, const char *end, unsigned flags)
{
    if (begin == end)
        return;
    const char *p = begin;
    while (p < end && is_space(*p))
        p++;
    struct vlm_buffer *skeleton = &s->to->skeleton;
    bool more = s->after_text;
    struct vlm_token *token = add_token(s, more ? VLM_TOKEN_MORE : VLM_TOKEN_TEXT, begin, end);
    if (!token)
        return;
    token->flags = (uint8_t)flags;
    if (!more)
        vlm_buffer_byte(skeleton, p == end ? ' ' : 'x');
    else if (p < end && skeleton->size)
        skeleton->data[skeleton->size - 1] = 'x';
}

/* One attribute value that is kept; the first of a name wins. */
static void keep_attribute(struct scan *s, int name, const char *value, size_t n, uint64_t *seen)
{
    struct vlm_prepass *to = s->to;
    if (name < 0 || *seen >> name & 1)
        return;
    *seen |= (uint64_t)1 << name;
    bool image = name == VLM_ATTRIBUTE_src || name >= VLM_ATTRIBUTE_COUNT;
    if (n > VLM_HTML_ATTRIBUTE_MAX && !(image && memmem(value, 64, "data:", 5))) {
        n = VLM_HTML_ATTRIBUTE_MAX;
        while (n && ((unsigned char)value[n] & 0xc0) == 0x80)
            n--;
        to->warnings |= VLM_PAGE_ATTRIBUTES;
    }
    if (!grow((void **)&to->attribute, to->n_attributes, &to->attributes_capacity,
              sizeof(*to->attribute))) {
        to->failed = true;
        return;
    }
    to->attribute[to->n_attributes++] = (struct vlm_tag_attribute){
        .start = (uint32_t)(value - s->page), .length = (uint32_t)n, .name = (uint8_t)name
    };
}

/* Ends of attribute names: white space, "/", ">", "=". */
static bool ends_attribute_name(char c)
{
    return is_space(c) || c == '/' || c == '>' || c == '=';
}

/* The attribute at s->p. False when the page ends in it. */
static bool scan_attribute(struct scan *s, bool keep, uint64_t *seen)
{
    char name[TAG_NAME_MAX];
    size_t n = 0;
    uint32_t hash = 0;
    const char *p = s->p, *end = s->end;
    do {
        char c = lower(*p);
        if (n < TAG_NAME_MAX)
            name[n] = c;
        n++;
        hash = hash_step(hash, c);
        p++;
    } while (p < end && !ends_attribute_name(*p));
    while (p < end && is_space(*p))
        p++;
    const char *value = p;
    size_t value_n = 0;
    if (p < end && *p == '=') {
        do
            p++;
        while (p < end && is_space(*p));
        if (p < end && (*p == '"' || *p == '\'')) {
            value = p + 1;
            p = memchr(value, *p, (size_t)(end - value));
            if (!p)
                return false;
            value_n = (size_t)(p++ - value);
        } else {
            value = p;
            while (p < end && !is_space(*p) && *p != '>')
                p++;
            value_n = (size_t)(p - value);
        }
    }
    s->p = p;
    if (keep && n < TAG_NAME_MAX)
        keep_attribute(s, table_find(&s->to->attributes, attribute_text, name, n, hash), value,
                       value_n, seen);
    return p < end;
}

/* The rest of a tag behind its name; s->p ends behind the ">". False when the page ends first: the
 * standard then drops the tag. */
static bool scan_attributes(struct scan *s, bool keep)
{
    uint64_t seen = 0;
    size_t count = 0;
    s->first_attribute = s->to->n_attributes;
    s->self_closing = false;
    for (;;) {
        while (s->p < s->end && (is_space(*s->p) || *s->p == '/')) {
            s->self_closing = *s->p == '/';
            s->p++;
        }
        if (s->p == s->end)
            return false;
        if (*s->p == '>') {
            s->p++;
            return true;
        }
        s->self_closing = false;
        if (++count > VLM_HTML_ATTRIBUTES_MAX && keep) {
            s->to->warnings |= VLM_PAGE_ATTRIBUTES;
            keep = false;
        }
        if (!scan_attribute(s, keep, &seen))
            return false;
    }
}

/* The name at s->p, in lower case, and its element. */
static void scan_name(struct scan *s)
{
    const char *p = s->p, *end = s->end;
    uint32_t hash = 0;
    size_t n = 0;
    while (p < end && !is_space(*p) && *p != '/' && *p != '>') {
        char c = lower(*p++);
        if (n < TAG_NAME_MAX)
            s->name[n] = c;
        n++;
        hash = hash_step(hash, c);
    }
    s->p = p;
    s->name_n = VLM_MIN(n, (size_t)TAG_NAME_MAX);
    s->name[s->name_n] = 0;
    int element = -1;
    if (n < TAG_NAME_MAX)
        element = table_find(&s->to->elements, vlm_element_name, s->name, n, hash);
    if (element < 0 && (!strcmp(s->name, "image") || !strcmp(s->name, "amp-img")))
        element = VLM_ELEMENT_img;
    s->element = element < 0 ? UNKNOWN : element;
}

/* Where "</name" followed by the end of a tag name stands at or behind p, or end. */
static const char *find_end_tag(const char *p, const char *end, const char *name, size_t n)
{
    while ((p = memchr(p, '<', (size_t)(end - p)))) {
        if ((size_t)(end - p) > n + 2 && p[1] == '/' && !strncasecmp(p + 2, name, n) &&
            (is_space(p[n + 2]) || p[n + 2] == '/' || p[n + 2] == '>'))
            return p;
        p++;
    }
    return end;
}

/* The end tag of a script whose content begins at p. Inside "<!--" a further <script> hides one
 * </script> (13.2.5.15 and following). */
static const char *find_script_end(const char *p, const char *end)
{
    bool escaped = false, twice = false;
    for (; p < end; p++) {
        size_t left = (size_t)(end - p);
        if (escaped && *p == '-' && left >= 3 && !memcmp(p, "-->", 3)) {
            escaped = twice = false;
            continue;
        }
        if (*p != '<')
            continue;
        if (!escaped && left >= 4 && !memcmp(p, "<!--", 4)) {
            /* The dashes of "<!-->" close what they open. */
            escaped = true;
            p++;
            continue;
        }
        bool closing = left >= 2 && p[1] == '/';
        const char *name = p + 1 + closing;
        if ((size_t)(end - name) <= 6 || strncasecmp(name, "script", 6) ||
            !(is_space(name[6]) || name[6] == '/' || name[6] == '>'))
            continue;
        if (closing && !twice)
            return p;
        if (escaped)
            twice = !closing;
    }
    return end;
}

/* Whether the scan can skip ahead faster: no "<!--" in the script. */
static const char *script_end(const char *p, const char *end)
{
    const char *plain = find_end_tag(p, end, "script", 6);
    const char *comment = memmem(p, (size_t)(plain - p), "<!--", 4);
    return comment ? find_script_end(comment, end) : plain;
}

/* Behind the end tag at p. */
static void skip_end_tag(struct scan *s, const char *p)
{
    s->p = p;
    if (p == s->end)
        return;
    s->p = p + 2;
    while (s->p < s->end && !is_space(*s->p) && *s->p != '/' && *s->p != '>')
        s->p++;
    if (!scan_attributes(s, false))
        s->p = s->end;
}

static void emit_close(struct scan *s, unsigned element, const char *begin)
{
    struct vlm_token *token = add_token(s, VLM_TOKEN_CLOSE, begin, s->p);
    if (!token)
        return;
    token->element = (uint8_t)element;
    write_tag(s, vlm_skeleton_name(element), true);
}

/* libxml2 looks through all open elements for some end tags, so their number must be bounded. This
 * one counts end tags that never came too; the limit on real depth is kept where the tree is. */
static bool guard_depth(struct scan *s)
{
    if (s->depth < DEPTH_GUARD)
        return true;
    s->to->warnings |= VLM_PAGE_DEPTH;
    return false;
}

static bool closes_paragraph(unsigned element)
{
    static const uint8_t blocks[] = {
        VLM_ELEMENT_address,  VLM_ELEMENT_article, VLM_ELEMENT_aside,   VLM_ELEMENT_blockquote,
        VLM_ELEMENT_center,   VLM_ELEMENT_dd,      VLM_ELEMENT_details, VLM_ELEMENT_dialog,
        VLM_ELEMENT_dir,      VLM_ELEMENT_div,     VLM_ELEMENT_dl,      VLM_ELEMENT_dt,
        VLM_ELEMENT_fieldset, VLM_ELEMENT_figure,  VLM_ELEMENT_footer,  VLM_ELEMENT_figcaption,
        VLM_ELEMENT_form,     VLM_ELEMENT_h1,      VLM_ELEMENT_h2,      VLM_ELEMENT_h3,
        VLM_ELEMENT_h4,       VLM_ELEMENT_h5,      VLM_ELEMENT_h6,      VLM_ELEMENT_header,
        VLM_ELEMENT_hgroup,   VLM_ELEMENT_hr,      VLM_ELEMENT_li,      VLM_ELEMENT_listing,
        VLM_ELEMENT_main,     VLM_ELEMENT_menu,    VLM_ELEMENT_nav,     VLM_ELEMENT_ol,
        VLM_ELEMENT_pre,      VLM_ELEMENT_search,  VLM_ELEMENT_section, VLM_ELEMENT_summary,
        VLM_ELEMENT_table,    VLM_ELEMENT_ul,      VLM_ELEMENT_xmp,     VLM_ELEMENT_plaintext,
    };
    return memchr(blocks, (int)element, sizeof(blocks)) != NULL;
}

/* libxml2 closes <p> before a block only when nothing stands between the two; the standard closes it
 * through <span> and the like. A link is left to go on into the block, as the standard has it go on
 * behind the paragraph. */
static void paragraph_ends(struct scan *s, unsigned element)
{
    switch (element) {
    case VLM_ELEMENT_applet:
    case VLM_ELEMENT_button:
    case VLM_ELEMENT_marquee:
    case VLM_ELEMENT_object:
        s->open[VLM_ELEMENT_p] = 0; /* what is inside them does not see the paragraph */
        return;
    case VLM_ELEMENT_p:
        break;
    default:
        if (!closes_paragraph(element))
            return;
    }
    if (s->open[VLM_ELEMENT_p] && !s->open[VLM_ELEMENT_a])
        write_tag(s, "p", true);
    s->open[VLM_ELEMENT_p] = 0;
}

/* Parts of tables, which the standard ignores outside of one. */
static bool is_table_part(unsigned element)
{
    return element == VLM_ELEMENT_td || element == VLM_ELEMENT_th || element == VLM_ELEMENT_tr ||
           element == VLM_ELEMENT_tbody || element == VLM_ELEMENT_thead ||
           element == VLM_ELEMENT_tfoot || element == VLM_ELEMENT_caption ||
           element == VLM_ELEMENT_col || element == VLM_ELEMENT_colgroup;
}

/* The token of the start tag just read. False when it is to leave no trace. */
static bool emit_open(struct scan *s, const char *begin)
{
    unsigned element = (unsigned)s->element, traits = traits_of[element].traits;
    if (!s->open[VLM_ELEMENT_table] && is_table_part(element))
        return false;
    if (element == VLM_ELEMENT_html || element == VLM_ELEMENT_head || element == VLM_ELEMENT_body) {
        uint8_t bit = (uint8_t)(element == VLM_ELEMENT_html   ? 1
                                : element == VLM_ELEMENT_head ? 2
                                                              : 4);
        if (s->seen_root & bit)
            return false;
        s->seen_root |= bit;
    }
    bool counts = !(traits & (TRAIT_VOID | TRAIT_IMPLIED_END));
    if (counts && !guard_depth(s))
        return false;
    struct vlm_token *token = add_token(s, VLM_TOKEN_OPEN, begin, s->p);
    if (!token)
        return false;
    token->element = (uint8_t)element;
    token->attribute = (uint32_t)s->first_attribute;
    token->n_attributes = (uint8_t)(s->to->n_attributes - s->first_attribute);
    paragraph_ends(s, element);
    write_tag(s, vlm_skeleton_name(element), false);
    if (!(traits & TRAIT_VOID))
        s->open[element]++;
    s->depth += counts;
    return true;
}

/* Tags that end SVG and MathML when they stand directly in them (13.2.6.5). */
static bool breaks_out(int element)
{
    switch (element) {
    case VLM_ELEMENT_b:
    case VLM_ELEMENT_big:
    case VLM_ELEMENT_blockquote:
    case VLM_ELEMENT_body:
    case VLM_ELEMENT_br:
    case VLM_ELEMENT_center:
    case VLM_ELEMENT_code:
    case VLM_ELEMENT_dd:
    case VLM_ELEMENT_div:
    case VLM_ELEMENT_dl:
    case VLM_ELEMENT_dt:
    case VLM_ELEMENT_em:
    case VLM_ELEMENT_embed:
    case VLM_ELEMENT_h1:
    case VLM_ELEMENT_h2:
    case VLM_ELEMENT_h3:
    case VLM_ELEMENT_h4:
    case VLM_ELEMENT_h5:
    case VLM_ELEMENT_h6:
    case VLM_ELEMENT_head:
    case VLM_ELEMENT_hr:
    case VLM_ELEMENT_i:
    case VLM_ELEMENT_img:
    case VLM_ELEMENT_li:
    case VLM_ELEMENT_listing:
    case VLM_ELEMENT_menu:
    case VLM_ELEMENT_meta:
    case VLM_ELEMENT_nobr:
    case VLM_ELEMENT_ol:
    case VLM_ELEMENT_p:
    case VLM_ELEMENT_pre:
    case VLM_ELEMENT_ruby:
    case VLM_ELEMENT_s:
    case VLM_ELEMENT_small:
    case VLM_ELEMENT_span:
    case VLM_ELEMENT_strong:
    case VLM_ELEMENT_strike:
    case VLM_ELEMENT_sub:
    case VLM_ELEMENT_sup:
    case VLM_ELEMENT_table:
    case VLM_ELEMENT_tt:
    case VLM_ELEMENT_u:
    case VLM_ELEMENT_ul:
    case VLM_ELEMENT_var:
        return true;
    default:
        return false;
    }
}

/* A start tag inside a subtree that vanishes. True when it ends the subtree and counts itself. */
static bool skip_open(struct scan *s)
{
    bool foreign = s->skip_element != VLM_ELEMENT_template;
    if (foreign && !s->skip_html && breaks_out(s->element)) {
        s->skip_element = -1;
        return true;
    }
    /* The places in foreign content where HTML is at home again. */
    bool html = !strcmp(s->name, "foreignobject") || !strcmp(s->name, "annotation-xml");
    if (s->self_closing && foreign)
        return false;
    s->skip_depth += s->element == s->skip_element;
    s->skip_html += html;
    bool raw = s->element == VLM_ELEMENT_script || s->element == VLM_ELEMENT_style;
    if (raw && (!foreign || s->skip_html || s->element == VLM_ELEMENT_script))
        skip_end_tag(s, s->element == VLM_ELEMENT_script
                            ? script_end(s->p, s->end)
                            : find_end_tag(s->p, s->end, s->name, s->name_n));
    return false;
}

static void skip_close(struct scan *s)
{
    if (s->skip_html && (!strcmp(s->name, "foreignobject") || !strcmp(s->name, "annotation-xml")))
        s->skip_html--;
    if (s->element == s->skip_element && !--s->skip_depth)
        s->skip_element = -1;
}

/* Content up to the end tag of a raw element, as one text token or as nothing. */
static void raw_content(struct scan *s, unsigned element)
{
    unsigned traits = traits_of[element].traits;
    const char *begin = s->p;
    const char *end = element == VLM_ELEMENT_plaintext ? s->end
                      : element == VLM_ELEMENT_script
                          ? script_end(begin, s->end)
                          : find_end_tag(begin, s->end, s->name, s->name_n);
    if (!(traits & (TRAIT_ELIDE | TRAIT_VOID)))
        add_text(s, begin, end, traits & TRAIT_RAW ? VLM_TOKEN_RAW : 0);
    if (s->p == s->end)
        return; /* a limit was reached */
    skip_end_tag(s, end);
    if (!(traits & (TRAIT_ELIDE | TRAIT_VOID))) {
        s->open[element]--;
        s->depth--;
        emit_close(s, element, end);
    }
}

/* "<" and a letter at s->p. */
static void start_tag(struct scan *s)
{
    const char *begin = s->p++;
    scan_name(s);
    bool known = s->element != UNKNOWN && s->skip_element < 0 &&
                 !(traits_of[s->element].traits & (TRAIT_ELIDE | TRAIT_SUBTREE));
    /* An <img> may end a skipped <svg>; its attributes must not be lost then. */
    bool keep = known || (s->skip_element >= 0 && breaks_out(s->element));
    if (!scan_attributes(s, keep)) {
        s->p = s->end;
        return;
    }
    if (s->skip_element >= 0 && !skip_open(s)) {
        s->to->n_attributes = s->first_attribute;
        return;
    }
    if (s->element == UNKNOWN) {
        if (!strcmp(s->name, "noembed"))
            skip_end_tag(s, find_end_tag(s->p, s->end, s->name, s->name_n));
        return;
    }
    unsigned element = (unsigned)s->element, traits = traits_of[element].traits;
    if (traits & TRAIT_SUBTREE) {
        if (!s->self_closing || element == VLM_ELEMENT_template) {
            s->skip_element = s->element;
            s->skip_depth = 1;
            s->skip_html = 0;
        }
        return;
    }
    bool emitted = !(traits & TRAIT_ELIDE) && emit_open(s, begin);
    if (!emitted)
        s->to->n_attributes = s->first_attribute;
    if (traits & (TRAIT_RAW | TRAIT_RCDATA | TRAIT_ELIDE)) {
        if (emitted || traits & TRAIT_ELIDE)
            raw_content(s, element);
        else
            skip_end_tag(s, find_end_tag(s->p, s->end, s->name, s->name_n));
    }
}

/* What "</p>" makes where no paragraph is open (13.2.6.4.7). */
static void empty_paragraph(struct scan *s, const char *begin)
{
    struct vlm_token *token = add_token(s, VLM_TOKEN_OPEN, begin, s->p);
    if (!token)
        return;
    token->element = VLM_ELEMENT_p;
    write_tag(s, "p", false);
    write_tag(s, "p", true);
}

/* "</" and a letter at s->p. */
static void end_tag(struct scan *s)
{
    const char *begin = s->p;
    s->p += 2;
    scan_name(s);
    if (!scan_attributes(s, false)) {
        s->p = s->end;
        return;
    }
    if (s->skip_element >= 0) {
        skip_close(s);
        return;
    }
    if (s->element == UNKNOWN || s->element == VLM_ELEMENT_html || s->element == VLM_ELEMENT_body)
        return; /* what follows </body> still belongs to it */
    unsigned element = (unsigned)s->element, traits = traits_of[element].traits;
    if (element == VLM_ELEMENT_br) {
        s->first_attribute = s->to->n_attributes;
        emit_open(s, begin);
        return;
    }
    if (traits & (TRAIT_VOID | TRAIT_ELIDE | TRAIT_SUBTREE))
        return;
    if (!s->open[element] && element == VLM_ELEMENT_p) {
        empty_paragraph(s, begin);
        return;
    }
    if (!s->open[element])
        return;
    s->open[element]--;
    s->depth -= !(traits & TRAIT_IMPLIED_END);
    emit_close(s, element, begin);
}

/* "<!" or "<?" or "</" without a letter at s->p: a comment of some kind. */
static void comment(struct scan *s)
{
    const char *p = s->p, *end = s->end;
    size_t left = (size_t)(end - p);
    if (left >= 4 && !memcmp(p, "<!--", 4)) {
        p += 4;
        /* Empty comments that close early: "<!-->" and "<!--->". */
        if (p < end && *p == '>') {
            s->p = p + 1;
            return;
        }
        if (end - p >= 2 && p[0] == '-' && p[1] == '>') {
            s->p = p + 2;
            return;
        }
        for (; (p = memchr(p, '-', (size_t)(end - p))); p++) {
            if (end - p >= 3 && p[1] == '-' && p[2] == '>')
                break;
            if (end - p >= 4 && p[1] == '-' && p[2] == '!' && p[3] == '>') {
                p++;
                break;
            }
        }
        s->p = p ? p + 3 : end;
        return;
    }
    p = memchr(p, '>', left);
    s->p = p ? p + 1 : end;
}

void vlm_prepass_run(struct vlm_prepass *prepass, const char *page, size_t n)
{
    struct scan s = { .to = prepass, .page = page, .end = page + n, .p = page, .skip_element = -1 };
    prepass->n_tokens = prepass->n_attributes = 0;
    prepass->warnings = 0;
    prepass->failed = false;
    vlm_buffer_reset(&prepass->skeleton);
    const char *text = page; /* where the text before the next tag begins */
    for (const char *look = page; s.p < s.end;) {
        const char *open = memchr(look, '<', (size_t)(s.end - look));
        char next = open && open + 1 < s.end ? open[1] : 0;
        bool closing = next == '/' && open + 2 < s.end && is_letter(open[2]);
        bool markup = is_letter(next) || next == '/' || next == '!' || next == '?';
        if (open && (!markup || (next == '/' && open + 2 == s.end))) {
            look = open + 1; /* "a < b" */
            continue;
        }
        if (s.skip_element < 0)
            add_text(&s, text, open ? open : s.end, 0);
        if (!open || s.p == s.end)
            break;
        s.p = open;
        if (closing)
            end_tag(&s);
        else if (is_letter(next))
            start_tag(&s);
        else
            comment(&s);
        text = look = s.p;
    }
    prepass->failed |= prepass->skeleton.failed;
}
