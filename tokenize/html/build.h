/* build.h - a document under construction. Internal to tokenize/html. */
#ifndef VLM_TOKENIZE_BUILD_H
#define VLM_TOKENIZE_BUILD_H

#include "tokenize/document.h"
#include "tokenize/html/page.h"
#include "tokenize/html/prepass.h"

struct vlm_build_element {
    uint8_t name; /* vlm_element */
    bool emitted; /* its OPEN is among the events */
    bool preformatted;
};

enum { VLM_PICTURE_SOURCES_MAX = 16, VLM_BUILD_STACK_FIRST = 64 };

struct vlm_build {
    const struct vlm_prepass *prepass;
    const char *page;
    size_t page_size;
    const char *url;          /* of the page, or NULL */
    struct vlm_page_map *map; /* filled for traces, or NULL */

    struct vlm_buffer text; /* of the document */
    struct vlm_event *events;
    size_t n_events, events_capacity;
    struct vlm_document_image *images;
    size_t n_images, images_capacity;

    struct vlm_build_element *stack; /* libxml2's open elements */
    size_t depth, stack_capacity;
    size_t emitted; /* elements of the stack that are among the events */
    size_t preformatted;

    size_t token;    /* the token that libxml2 is at */
    size_t reported; /* index + 1 of the last start tag or text that was reported */

    bool at_start;      /* white space would begin a line */
    bool after_space;   /* the last character is a space that may be dropped */
    size_t space_event; /* its TEXT event */
    bool skip_newline;  /* the first line end in <pre> does not count */
    size_t text_event;  /* index + 1 of the TEXT event that more text joins; 0 none */

    struct vlm_buffer base; /* URL of <base>, empty: none */
    struct vlm_string title;
    bool has_title, in_title;
    char lang[16], meta_lang[16];
    unsigned opt_out;

    struct vlm_string sources[VLM_PICTURE_SOURCES_MAX]; /* srcset values inside <picture> */
    size_t n_sources;

    struct vlm_buffer scratch; /* a URL, a value */
    uint32_t warnings;
    bool failed;
};

/* The attribute of a token, or NULL. */
const struct vlm_tag_attribute *vlm_build_attribute(const struct vlm_build *build,
                                                    const struct vlm_token *token, unsigned name);

/* Appends the attribute's value, references resolved, to the text. */
struct vlm_string vlm_build_value(struct vlm_build *build,
                                  const struct vlm_tag_attribute *attribute);

/* Adds the image of an <img>, its src and alt already in the text (has_src, has_alt say whether).
 * False when the page has too many. */
bool vlm_build_image(struct vlm_build *build, const struct vlm_token *token, struct vlm_string src,
                     bool has_src, struct vlm_string alt, bool has_alt);

/* Remembers the srcset of a <source> for the <img> that follows in its <picture>. */
void vlm_build_source(struct vlm_build *build, const struct vlm_token *token);

#endif
