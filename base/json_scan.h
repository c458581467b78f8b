/* json_scan.h - a strict reader of JSON that we did not make, value by value in the order of the
 * text.
 *
 *   struct vlm_json_scan in;
 *   vlm_json_scan_init(&in, text, n);
 *   vlm_json_scan_open(&in, '{');
 *   while (vlm_json_scan_more(&in, '}')) {
 *       const char *key = vlm_json_scan_key(&in);
 *       if (!strcmp(key, "size"))
 *           size = vlm_json_scan_number(&in);
 *       else
 *           vlm_json_scan_skip(&in);
 *   }
 *   vlm_json_scan_end(&in);
 *   if (in.problem)                                       // asked once, at the end
 *       return vlm_fail(err, VLM_EFORMAT, "byte %zu: %s", in.offset, in.problem);
 *
 * For formats of which we know the members, where json-c is too kind: it keeps the last of two
 * equal keys, and takes 'a', NaN, raw newlines in strings and numbers over 64 bits. Here RFC 8259
 * holds to the letter, the caller sees every key, nothing recurses, the time is linear and no
 * memory is taken: strings are decoded where they stand, which changes the text.
 *
 * After the first problem nothing more is read: strings are "", numbers 0, and no loop goes on. */
#ifndef VLM_BASE_JSON_SCAN_H
#define VLM_BASE_JSON_SCAN_H

#include "base/vlm.h"

enum { VLM_JSON_SCAN_DEPTH = 64 }; /* of what vlm_json_scan_skip() passes over */

struct vlm_json_scan {
    char *text, *at, *end;
    const char *problem; /* NULL: none so far; else what was expected, or what is wrong */
    size_t offset;       /* of the problem, in bytes from the start of the text */
    bool first;          /* nothing stands before this place in the innermost object or array */
};

/* text stays the caller's and must live as long as the strings that are read from it. */
void vlm_json_scan_init(struct vlm_json_scan *in, char *text, size_t n);

/* Enters an object or array: bracket is '{' or '['. */
void vlm_json_scan_open(struct vlm_json_scan *in, char bracket);

/* Whether another member or element follows; passes over the comma before it, or over the closing
 * bracket, '}' or ']'. */
bool vlm_json_scan_more(struct vlm_json_scan *in, char bracket);

/* The key of a member and its colon; then its value must be read. */
const char *vlm_json_scan_key(struct vlm_json_scan *in);

/* A string, never NULL. Text that is not UTF-8, lone surrogates and U+0000 are problems, so that
 * the result is always a C string of valid UTF-8. */
const char *vlm_json_scan_string(struct vlm_json_scan *in);

/* The same for formats whose strings may hold U+0000: *n gets the size, a NUL stands behind it. */
const char *vlm_json_scan_text(struct vlm_json_scan *in, size_t *n);
const char *vlm_json_scan_key_text(struct vlm_json_scan *in, size_t *n);

/* true or false. */
bool vlm_json_scan_bool(struct vlm_json_scan *in);

/* Passes over null and says so; anything else stays to be read. */
bool vlm_json_scan_null(struct vlm_json_scan *in);

/* The first character of the next value, which stays to be read; NUL at the end. */
char vlm_json_scan_peek(struct vlm_json_scan *in);

/* A whole number from 0 to 2^64 - 1, written without sign, fraction and exponent. */
uint64_t vlm_json_scan_number(struct vlm_json_scan *in);

/* Any number as it is written, *n characters; "" with the problem. No NUL stands behind it. */
const char *vlm_json_scan_digits(struct vlm_json_scan *in, size_t *n);

/* Passes over a value of any kind. */
void vlm_json_scan_skip(struct vlm_json_scan *in);

/* Nothing but white space may follow. */
void vlm_json_scan_end(struct vlm_json_scan *in);

#endif
