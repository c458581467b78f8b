/* json.h - writing JSON fast and in one fixed form; reading small documents with json-c.
 *
 *   struct vlm_json json = { .out = &buffer };
 *   vlm_json_open(&json, '{');
 *   vlm_json_key(&json, "file");  vlm_json_string(&json, name);
 *   vlm_json_key(&json, "i");     vlm_json_number(&json, 7);
 *   vlm_json_close(&json, '}');
 *
 * gives {"file": "a.warc", "i": 7}. Bytes that are not UTF-8 are written as U+FFFD, so the output
 * is always valid. Failures stick to the buffer. */
#ifndef VLM_BASE_JSON_H
#define VLM_BASE_JSON_H

#include "base/buffer.h"

#include <json-c/json.h>

struct vlm_json {
    struct vlm_buffer *out;
    bool comma; /* a value was written at this level */
};

void vlm_json_open(struct vlm_json *json, char bracket);  /* '{' or '[' */
void vlm_json_close(struct vlm_json *json, char bracket); /* '}' or ']' */
void vlm_json_key(struct vlm_json *json, const char *key);

/* A NULL text gives null. */
void vlm_json_string(struct vlm_json *json, const char *text);
void vlm_json_text(struct vlm_json *json, const char *text, size_t n);
void vlm_json_number(struct vlm_json *json, uint64_t value);
void vlm_json_signed(struct vlm_json *json, int64_t value);
void vlm_json_real(struct vlm_json *json, double value); /* 6 significant digits; NaN gives null */
void vlm_json_bool(struct vlm_json *json, bool value);
void vlm_json_null(struct vlm_json *json);

/* Bytes as a lower-case hexadecimal string. */
void vlm_json_hex(struct vlm_json *json, const uint8_t *bytes, size_t n);

/* key and value in one call. */
void vlm_json_member_string(struct vlm_json *json, const char *key, const char *text);
void vlm_json_member_number(struct vlm_json *json, const char *key, uint64_t value);
void vlm_json_member_real(struct vlm_json *json, const char *key, double value);
void vlm_json_member_bool(struct vlm_json *json, const char *key, bool value);
void vlm_json_member_null(struct vlm_json *json, const char *key);

/* A parsed value, in the same form as everything else; numbers keep the digits they were read with. Depth is
 * that of the parser, at most 64. */
void vlm_json_value(struct vlm_json *json, json_object *value);

/* Parses a whole document (depth at most 64). The caller frees it with json_object_put. */
VLM_MUST_CHECK int vlm_json_parse(json_object **out, const char *text, size_t n,
                                  struct vlm_err *err);

#endif
