/* prepass.h - a decoded page as tokens, and the skeleton that libxml2 makes a tree order of.
 * Internal to tokenize/html.
 *
 * The skeleton has one tag for each tag of the page that matters, without attributes, and one
 * character for each run of text: "x", or a space when the run is blank. Each token knows where it
 * stands in the skeleton, so the position of libxml2's input names the token a call is about. */
#ifndef VLM_TOKENIZE_PREPASS_H
#define VLM_TOKENIZE_PREPASS_H

#include "base/buffer.h"
#include "base/limits.h"
#include "tokenize/names.h"

/* Attributes that are read and not stored. Those of lazy images in the order they are tried. */
/* clang-format off */
#define VLM_LAZY_ATTRIBUTES(X)                                                                     \
    X(data_src, "data-src") X(data_original, "data-original") X(data_lazy_src, "data-lazy-src")    \
    X(data_lazy, "data-lazy") X(data_src_fg, "data-src-fg")                                        \
    X(data_scroll_image, "data-scroll-image") X(data_lateloadsrc, "data-lateloadsrc")              \
    X(data_img_src, "data-img-src") X(data_gt_lazy_src, "data-gt-lazy-src")                        \
    X(data_hi_res_src, "data-hi-res-src") X(data_full_src, "data-full-src") X(data_url, "data-url") \
    X(data_image, "data-image") X(src2, "src2")
#define VLM_READ_ATTRIBUTES(X)                                                                     \
    X(srcset, "srcset") X(data_srcset, "data-srcset") X(style, "style") X(hidden, "hidden")        \
    X(http_equiv, "http-equiv") X(xml_lang, "xml:lang")
/* clang-format on */

enum vlm_read_attribute {
    VLM_READ_FIRST = VLM_ATTRIBUTE_COUNT - 1,
#define X(name, text) VLM_READ_##name,
    VLM_LAZY_ATTRIBUTES(X) VLM_READ_ATTRIBUTES(X)
#undef X
        VLM_READ_END,
    VLM_READ_LAZY_FIRST = VLM_READ_data_src,
    VLM_READ_LAZY_LAST = VLM_READ_src2,
};

enum vlm_token_kind {
    VLM_TOKEN_OPEN,
    VLM_TOKEN_CLOSE,
    VLM_TOKEN_TEXT,
    VLM_TOKEN_MORE, /* text that goes on after a comment: no character of its own in the skeleton */
};

enum vlm_token_flag { VLM_TOKEN_RAW = 1 }; /* text without references */

struct vlm_token {
    uint32_t offset, end; /* bytes in the page */
    uint32_t at;          /* first byte in the skeleton */
    uint32_t attribute;   /* index of the first */
    uint8_t element;      /* vlm_element, not of text */
    uint8_t n_attributes; /* different names, so fewer than VLM_READ_END */
    uint8_t kind, flags;
};

struct vlm_tag_attribute {
    uint32_t start, length; /* of the value in the page, references not resolved */
    uint8_t name;           /* vlm_attribute or vlm_read_attribute */
};

struct vlm_name_table {
    uint8_t slot[512]; /* number + 1, 0 empty; open addressing */
};

struct vlm_prepass {
    struct vlm_name_table elements, attributes;

    struct vlm_buffer skeleton;
    struct vlm_token *tokens;
    size_t n_tokens, tokens_capacity;
    struct vlm_tag_attribute *attribute;
    size_t n_attributes, attributes_capacity;
    uint32_t warnings; /* vlm_page_warning */
    bool failed;       /* memory ran out */
};

/* Once per parser. */
void vlm_prepass_init(struct vlm_prepass *prepass);
void vlm_prepass_release(struct vlm_prepass *prepass);

/* Replaces tokens, attributes, skeleton and warnings by those of the page, which has a NUL at
 * page[n]. Linear in n. */
void vlm_prepass_run(struct vlm_prepass *prepass, const char *page, size_t n);

/* The name that an element has in the skeleton. libxml2 knows HTML 4 only: newer elements get the
 * name of an old one that nests as they should. */
const char *vlm_skeleton_name(unsigned element);

/* No end tag and no content. */
bool vlm_element_is_void(unsigned element);

enum { VLM_REFERENCE_MAX = 8 }; /* bytes that a reference can become */

/* The reference at p[0] == '&': its characters in out, and the bytes it takes in p; 0 when it is
 * none and the '&' stands for itself. */
size_t vlm_reference_decode(char out[VLM_REFERENCE_MAX], size_t *out_n, const char *p, size_t n,
                            bool attribute);

/* Appends n bytes with their references resolved. */
void vlm_references_decode(struct vlm_buffer *out, const char *p, size_t n, bool attribute);

#endif
