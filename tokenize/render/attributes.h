/* attributes.h - which attributes minimal HTML keeps, and how they are written.
 *
 *   struct vlm_attribute_set set = { .document = document };
 *   vlm_attribute_set_add(&set, open);                 // the OPEN event of the element
 *   vlm_attribute_set_write(out, &set, &rules, VLM_ELEMENT_a);      //  href="..." title="..." */
#ifndef VLM_TOKENIZE_ATTRIBUTES_H
#define VLM_TOKENIZE_ATTRIBUTES_H

#include "base/buffer.h"
#include "tokenize/document.h"
#include "tokenize/names.h"
#include "tokenize/render/origin.h"

enum { VLM_FOLDED_CLASSES_MAX = 64 }; /* class tokens of folded div; further ones are dropped */

/* What a form keeps, and what URLs of the page are relative to. */
struct vlm_attribute_rules {
    bool htlm;
    const struct vlm_document *document;
    bool base_known;           /* it is looked for when the first link is written */
    char *base;                /* owned; NULL: none */
    struct vlm_buffer scratch; /* the URL that is being resolved */
    struct vlm_origin *origin; /* gets marks; NULL: nobody asks */
};

void vlm_attribute_rules_init(struct vlm_attribute_rules *rules,
                              const struct vlm_document *document, bool htlm);
void vlm_attribute_rules_release(struct vlm_attribute_rules *rules);

/* The attributes of one element, or of several that became one: the first value wins, only class
 * is the union. */
struct vlm_attribute_set {
    const struct vlm_document *document;
    struct vlm_string value[VLM_ATTRIBUTE_COUNT];
    bool has[VLM_ATTRIBUTE_COUNT];
    struct vlm_string classes[VLM_FOLDED_CLASSES_MAX];
    size_t n_classes;
    bool has_image; /* src is the place of image's codes */
    uint32_t image;
    const uint16_t *codes; /* NULL: <image:N> stands there */
};

void vlm_attribute_set_add(struct vlm_attribute_set *set, uint32_t open);
void vlm_attribute_set_put(struct vlm_attribute_set *set, enum vlm_attribute name,
                           struct vlm_string value);

/* Writes those that the rules keep for the element, in byte order of their names. */
void vlm_attribute_set_write(struct vlm_buffer *out, const struct vlm_attribute_set *set,
                             struct vlm_attribute_rules *rules, unsigned element);

/* Whether the <meta> that opens at an event is one of those that describe the page. */
bool vlm_meta_is_wanted(const struct vlm_attribute_rules *rules,
                        const struct vlm_document *document, uint32_t open);

/* The value of an attribute of the element that opens at an event; length 0 when it has none. */
struct vlm_string vlm_event_attribute(const struct vlm_document *document, uint32_t open,
                                      enum vlm_attribute name);

/* Appends text as HTML writes it: & < > as references, in attribute values also ". */
void vlm_escape(struct vlm_buffer *out, const char *p, size_t n, bool quoted);

#endif
