/* render.h - documents as text, in the forms that models are trained on.
 *
 * Page text can never forge a special token: cm3 and htlm escape as HTML does; m3w and pair write
 * the "<" of a reserved word (<image>, <EOC>, <BOS>, <EOS>, <mask:N>, ...) as "&lt;". */
#ifndef VLM_TOKENIZE_RENDER_H
#define VLM_TOKENIZE_RENDER_H

#include "base/json.h"
#include "tokenize/document.h"

enum vlm_render {
    VLM_RENDER_JSON, /* text is that of VLM_RENDER_TEXT; the events are a member of their own */
    VLM_RENDER_CM3,  /* minimal HTML, attributes in byte order (CM3 section 3.1) */
    VLM_RENDER_HTLM, /* minimal HTML with class and id (HTLM section 2.1) */
    VLM_RENDER_M3W,  /* <BOS>text<EOC><image>text<EOC> (Flamingo section 2.4) */
    VLM_RENDER_PAIR, /* <BOS><image>caption<EOC>, one line an image that has a caption */
    VLM_RENDER_TEXT, /* bare text */
};

#define VLM_RENDER_WORDS "json|cm3|htlm|m3w|pair|text"

/* Without json: choice 0 of these is VLM_RENDER_CM3, and so on. */
#define VLM_RENDER_WORDS_BUT_JSON "cm3|htlm|m3w|pair|text"

/* One of VLM_RENDER_WORDS. */
const char *vlm_render_name(enum vlm_render form);

enum vlm_render_flag {
    VLM_RENDER_MAIN = 1, /* only the main content in text, m3w and pair; text without captions */
    VLM_RENDER_ALL_IMAGES = 2, /* images count as usable whatever their status (no crawl at hand) */
    /* <image:i> in the place of codes (cm3, htlm) and of <image> (m3w, pair) */
    VLM_RENDER_PLACEHOLDERS = 4,
    VLM_RENDER_CODED = 8, /* an image without codes counts as one that cannot be used (cm3, htlm) */
};

/* Appends the rendering. cm3 and htlm write the codes of an image as src="17 4 1023 ...", 256
 * decimal numbers with one space between them; where an image has none yet, src="<image:i>" (page
 * text cannot: its "<" is escaped; and no other src is ever written, so numbers there are codes).
 * Images that cannot be used lose their src in cm3, and the whole tag when neither alt nor title
 * speaks for them; m3w writes neither their <image> nor the <EOC> before it. A page without content
 * gives nothing. Memory running out sticks to out. */
void vlm_render(struct vlm_buffer *out, const struct vlm_document *document, enum vlm_render form,
                unsigned flags);

/* "text", "open", "close", "attribute" or "image"; NULL for what is no vlm_event_kind. */
const char *vlm_event_kind_name(unsigned kind);

/* Writes the event list as a JSON array: {"kind":"open","name":"p","offset":17,"flags":[..]},
 * {"kind":"text","text":"..","offset":..}, {"kind":"attribute",..}, {"kind":"image","image":0,..}.
 */
void vlm_render_events(struct vlm_json *json, const struct vlm_document *document);

#endif
