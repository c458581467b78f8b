/* document_json.h - a document as the JSON members that vlm-inspect page and cat print. */
#ifndef VLM_TOOLS_DOCUMENT_JSON_H
#define VLM_TOOLS_DOCUMENT_JSON_H

#include "tokenize/render/render.h"

/* Status of an image that nobody has looked for, as in a page without its crawl: printed as null. */
enum { VLM_STATUS_UNKNOWN = 255 };

/* Writes the codes of image i as the members of an object; NULL when there are none. */
typedef void vlm_codes_writer(struct vlm_json *json, const struct vlm_document *document, size_t i,
                              void *user);

/* The member "images": [{i, src, url, alt, status, format, width, height, sha256, codes}, ...].
 * url is the candidate that was found, else the first. */
void vlm_document_json_images(struct vlm_json *json, const struct vlm_document *document,
                              vlm_codes_writer *codes, void *user);

/* The members id, url, date, title, lang, charset, source, text, images and, with VLM_RENDER_JSON,
 * events. text is the rendering in form. The caller opens and closes the object. */
void vlm_document_json(struct vlm_json *json, const struct vlm_document *document,
                       enum vlm_render form, unsigned render_flags, vlm_codes_writer *codes,
                       void *user);

/* Writes the documents of the shard set folder to out, one JSON object a line; limit 0: all. tokenizer is
 * the id of that whose codes stand in cm3 and htlm; NULL: the first. The next line
 * is not begun when out is closed by its reader. */
VLM_MUST_CHECK int vlm_cat_documents(const char *folder, enum vlm_render form,
                                     unsigned render_flags, const char *tokenizer, uint64_t limit,
                                     FILE *out, struct vlm_err *err);

#endif
