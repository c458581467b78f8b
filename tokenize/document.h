/* document.h - the one representation of a page: events over one UTF-8 buffer.
 *
 * The parser makes it, passes set its verdicts, the shard stores it, renderers read it. Nothing
 * downstream sees HTML again. Events are in document order and nest properly: every OPEN has its
 * CLOSE; ATTRIBUTE and IMAGE events stand between the OPEN of their element and what follows.
 *
 *   for (size_t i = 0; i < document->n_events; i++) {
 *       const struct vlm_event *event = &document->events[i];
 *       const char *text = document->text + event->start;     // event->length bytes
 *   }
 *
 * All memory belongs to the arena the document was made in. */
#ifndef VLM_TOKENIZE_DOCUMENT_H
#define VLM_TOKENIZE_DOCUMENT_H

#include "base/arena.h"
#include "base/hash.h"

enum { VLM_IMAGE_CODES = 256 }; /* of one image, by any tokenizer */

enum vlm_event_kind {
    VLM_EVENT_TEXT,      /* characters, references resolved */
    VLM_EVENT_OPEN,      /* name is a vlm_element */
    VLM_EVENT_CLOSE,     /* name is a vlm_element */
    VLM_EVENT_ATTRIBUTE, /* name is a vlm_attribute, the text its value */
    VLM_EVENT_IMAGE,     /* start is the index into images; comes after the OPEN of the img */
    VLM_EVENT_KINDS,
};

/* Verdicts of the passes on a node, on its OPEN event (and on TEXT and IMAGE events themselves). A
 * renderer leaves out a marked subtree, or, for UNWRAP, only the tags. */
enum vlm_event_flag {
    VLM_NODE_HIDDEN = 1,     /* never visible text: script, style, template, hidden attributes */
    VLM_NODE_CHROME = 2,     /* header, footer, navigation, cookie banner: not main content */
    VLM_NODE_SMALL = 4,      /* too little text for minimal HTML (HTLM section 2.1) */
    VLM_NODE_UNWRAP = 8,     /* folded into its parent by minimal HTML (P3) */
    VLM_NODE_DUPLICATE = 16, /* a noscript copy of a lazy image that stands beside it */
    VLM_NODE_OUTSIDE = 32, /* not main content by the density of text; only VLM_RENDER_MAIN asks */
    VLM_NODE_CAPTION = 64, /* describes an image: left out of the main content's bare text */
};

struct vlm_event {
    uint8_t kind;    /* vlm_event_kind */
    uint8_t flags;   /* vlm_event_flag */
    uint16_t name;   /* vlm_element or vlm_attribute */
    uint32_t start;  /* into document->text, or an index into document->images */
    uint32_t length; /* bytes of text */
    uint32_t offset; /* byte in the decoded page (UTF-8) where the event begins */
};

struct vlm_string {
    uint32_t start, length; /* into document->text */
};

/* One <img>: where it may be found, and, once joined, what was found there. */
struct vlm_document_image {
    struct vlm_string src; /* as written in the attribute that won (first candidate's) */
    struct vlm_string alt; /* length 0 and has_alt false when absent */
    bool has_alt;
    uint8_t n_candidates; /* resolved URLs, in the order of preference */
    struct vlm_string candidate[8];
    uint8_t status;         /* vlm_image_status of vqgan/image/image.h, or a join status above it */
    uint8_t format;         /* vlm_image_format */
    uint8_t used;           /* index of the candidate that was found */
    uint32_t width, height; /* as coded in the file; 0 when not found */
    uint8_t sha256[VLM_SHA256_SIZE]; /* of the original bytes; zeros when not found */
    const uint16_t *codes; /* [VLM_IMAGE_CODES] that stand for the image in text; NULL: none. Set by
                              whoever knows a tokenizer; no part of the stored document */
};

/* Where a document comes from. */
struct vlm_source {
    const char *file; /* input, path below the common folder of all inputs */
    uint64_t offset;  /* of the record: its gzip member, or its byte in a plain file */
    uint64_t length;  /* bytes of the record as stored */
};

struct vlm_document {
    const char *text; /* one buffer; valid UTF-8 */
    size_t text_size;
    struct vlm_event *events;
    size_t n_events;
    struct vlm_document_image *images;
    size_t n_images;

    const char *url;     /* as found in the record */
    const char *date;    /* RFC 3339, or NULL */
    const char *title;   /* white space collapsed; "" when there is none */
    const char *lang;    /* html@lang or Content-Language, primary tag lower case; "" unknown */
    const char *charset; /* WHATWG name, lower case */
    struct vlm_source source;
    uint8_t payload_sha256[VLM_SHA256_SIZE]; /* of the decoded body */
    uint32_t warnings;                       /* vlm_page_warning bits of tokenize/html/page.h */
};

/* Elements and attributes with a name of their own in documents; the numbers are part of the
 * format on disk, so names are only ever appended (tokenize/names.c holds the list). */
const char *vlm_element_name(unsigned element);     /* NULL beyond the list */
const char *vlm_attribute_name(unsigned attribute); /* NULL beyond the list */
int vlm_element_find(const char *name, size_t n);   /* lower case; -1: not one of ours */
int vlm_attribute_find(const char *name, size_t n); /* lower case; -1: no renderer emits it */

/* Document id: the first 16 bytes of SHA-256(URL NUL date NUL payload SHA-256). It does not change
 * when the crawl is recompressed. */
void vlm_document_id(uint8_t id[16], const struct vlm_document *document);

/* Checks what every reader relies on: spans inside the text, balanced elements, image indices,
 * valid UTF-8. VLM_EFORMAT with a sentence that names the event. */
VLM_MUST_CHECK int vlm_document_check(const struct vlm_document *document, struct vlm_err *err);

#endif
