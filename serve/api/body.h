/* body.h - the JSON body of a request as a tree, read to the letter of RFC 8259.
 *
 *   rc = vlm_body_parse(&value, &arena, text, n, &param, &err);          // changes the text
 *   const struct vlm_value *stream = vlm_value_member(value, "stream");
 *
 * Bytes that are not UTF-8, lone surrogates, a key twice, NaN, anything behind the end: VLM_EFORMAT with the place.
 * Numbers keep their digits, so that nothing is rounded or saturated before it is checked. */
#ifndef VLM_SERVE_BODY_H
#define VLM_SERVE_BODY_H

#include "base/arena.h"

enum vlm_value_kind {
    VLM_VALUE_NULL,
    VLM_VALUE_BOOL,
    VLM_VALUE_NUMBER,
    VLM_VALUE_STRING,
    VLM_VALUE_ARRAY,
    VLM_VALUE_OBJECT
};

struct vlm_value {
    enum vlm_value_kind kind;
    bool truth;                    /* of BOOL */
    const char *key;               /* of a member, else NULL */
    const char *text;              /* STRING, NUL behind it; NUMBER: its digits, n of them */
    size_t n;                      /* bytes of text; ARRAY, OBJECT: how many are in it */
    const struct vlm_value *first; /* of ARRAY, OBJECT */
    const struct vlm_value *next;  /* in the same array or object */
};

enum {
    VLM_BODY_VALUES_MAX = 262144, /* in a body */
    VLM_BODY_MEMBERS_MAX = 1024,  /* of an object */
    VLM_BODY_DEPTH_MAX = 64,
};

/* text is changed and must live as long as the tree, which is in the arena. VLM_EFORMAT: no JSON; VLM_ELIMIT: more
 * values, members or levels than above, or than the arena takes. *param: the path of a key that is there twice, in the
 * arena; else NULL. */
VLM_MUST_CHECK int vlm_body_parse(const struct vlm_value **out, struct vlm_arena *arena, char *text,
                                  size_t n, const char **param, struct vlm_err *err);

/* NULL: there is none, or it is no object. */
const struct vlm_value *vlm_value_member(const struct vlm_value *object, const char *key);

/* "null", "a number", ...: for sentences. */
const char *vlm_value_kind_name(enum vlm_value_kind kind);

/* False: the digits are no whole number, or not of 64 bits with sign; *whole tells which. */
bool vlm_value_whole(const struct vlm_value *number, int64_t *out, bool *whole);
double vlm_value_real(const struct vlm_value *number);

#endif
