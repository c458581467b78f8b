/* parts.h - lists of content parts in requests, as parts of a prompt.
 *
 *   {"type": "text", "text": "..."}
 *   {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}, "mask": {"id": 2, "rect": [4, 4, 12, 12]}}
 *   {"type": "image_codes", "codes": [256 numbers], "mask": {...}}
 *   {"type": "mask", "id": 0, "kind": "text"}
 *
 * rect is [r0, c0, r1, c1) on the grid of 16 x 16 codes; "rects" is a list of such. */
#ifndef VLM_SERVE_PARTS_H
#define VLM_SERVE_PARTS_H

#include "serve/api/call.h"

enum { VLM_PARTS_MAX = 1024 };

/* What a request said of a part beside what the prompt needs. */
struct vlm_part_note {
    struct vlm_call_picture *picture; /* NULL: none */
    int64_t mask;                     /* the id that the request gave its mask; -1: none */
    bool image;                       /* it is a picture, or a mask for one */
    int64_t max_tokens;               /* of the mask; 0: not said */
};

struct vlm_parts {
    struct vlm_prompt_part
        *list; /* [n], in the call's arena; codes are there when prepare() is called */
    struct vlm_part_note *notes; /* [n] */
    size_t n;
};

enum vlm_parts_flag {
    VLM_PARTS_MASKS = 1,  /* masks may be among them */
    VLM_PARTS_MARKUP = 2, /* text is pieces of a page, not words */
    VLM_PARTS_WORDS = 4,  /* text with control words */
};

/* Appends the parts of an array, or of a string, which is one part of text. False: a problem. */
bool vlm_parts_read(struct vlm_parts *parts, struct vlm_call *call, struct vlm_reader *reader,
                    const struct vlm_value *value, unsigned flags);

/* Appends one part; text is borrowed. NULL: no memory. */
struct vlm_prompt_part *vlm_parts_add(struct vlm_parts *parts, struct vlm_call *call,
                                      enum vlm_prompt_kind kind, const char *text, size_t n);

/* The prompt of parts. False: answered, the call is gone. param: the field that they are of. */
bool vlm_parts_make(const struct vlm_parts *parts, struct vlm_call *call, struct vlm_prompt *prompt,
                    unsigned flags, const char *param);

/* With guidance: what it leads away from is the prompt's page without its words (vlm_prompt_bare()), after "truncate" has
 * had its way with the prompt. False: answered, the call is gone. */
bool vlm_parts_bare(struct vlm_call *call, struct vlm_call_prompt *prompt, const char *alt);

/* An array of ids: every one must be of the vocabulary; NULL: a problem. In the call's arena. */
const uint32_t *vlm_ids_read(struct vlm_reader *reader, const struct vlm_value *array);

/* Ids as a prompt: codes in runs of 256 only, in the src of an image. False: answered, the call is gone. */
bool vlm_ids_make(struct vlm_call *call, struct vlm_prompt *prompt, const uint32_t *ids, size_t n,
                  const char *param);
/* The same of ids that are only scored, samples of training among them: codes may stand anywhere, since a sample begins
 * within an image, and has spans behind the page. */
bool vlm_ids_make_scored(struct vlm_call *call, struct vlm_prompt *prompt, const uint32_t *ids,
                         size_t n, const char *param);

/* Tokens that prompts of text have in front: 1, or 0 of a model of others. */
size_t vlm_begin_length(const struct vlm_service *service);

/* The recipe's prompts are HTML. */
bool vlm_recipe_is_markup(const struct vlm_recipe *recipe);

#endif
