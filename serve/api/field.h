/* field.h - the fields of a request as a table: it reads them, checks them, and writes their schema.
 *
 *   static const struct vlm_field fields[] = {
 *       { "stream", VLM_FIELD_BOOL, offsetof(struct my_request, stream), .help = "..." },
 *       { "top_p", VLM_FIELD_REAL, offsetof(struct my_request, top_p), .least = 0, .most = 1, .above = true },
 *   };
 *   static const struct vlm_field_group group = { fields, VLM_COUNTOF(fields) };
 *   struct vlm_reader reader = { .arena = &arena, .limits = &limits, .n_ids = vocabulary.size };
 *   if (!vlm_fields_read(&reader, value, &request, (const struct vlm_field_group *const[]){ &group, NULL }))
 *       ... reader.param, reader.problem: 400 ...
 *
 * The request is a struct of the caller's that holds the defaults before. A field that no table has is named in
 * reader.unknown; with "strict": true, or with a picture in it, it is a problem. The first problem ends the reading. */
#ifndef VLM_SERVE_FIELD_H
#define VLM_SERVE_FIELD_H

#include "base/json.h"
#include "serve/api/body.h"
#include "serve/api/service.h"

enum { VLM_PARAM_SIZE = 192, VLM_UNKNOWN_MAX = 32 };

struct vlm_reader {
    struct vlm_arena *arena;
    const struct vlm_service_limits *limits;
    uint32_t n_ids; /* of the model's vocabulary */
    bool strict;
    char path[VLM_PARAM_SIZE]; /* where it is reading: "messages[0].content" */
    size_t path_n;
    int status; /* of the answer when there is a problem: 400 */
    char param[VLM_PARAM_SIZE], problem[512];
    const char *unknown[VLM_UNKNOWN_MAX]; /* paths, in the arena */
    size_t n_unknown;
};

enum vlm_field_kind {
    VLM_FIELD_BOOL,  /* bool */
    VLM_FIELD_WHOLE, /* int64_t, least to most */
    VLM_FIELD_REAL,  /* double, least to most */
    VLM_FIELD_TEXT,  /* const char *, at most `most` bytes (0: 1 KiB), no U+0000 */
    VLM_FIELD_WORD,  /* int: number of the word in `words`, "png|jpeg" */
    VLM_FIELD_VALUE, /* const struct vlm_value *, of any kind: read() of the call looks into it */
    VLM_FIELD_OWN,   /* read() */
};

#define VLM_FIELD_NOWHERE SIZE_MAX

struct vlm_field {
    const char *name;
    enum vlm_field_kind kind;
    size_t
        at; /* offset in the request; VLM_FIELD_NOWHERE: checked, without effect, and a warning says so */
    double least, most;
    bool above;    /* REAL: more than least */
    bool nullable; /* null is as if it were not there */
    bool required;
    const char *words;
    bool (*read)(struct vlm_reader *reader, const struct vlm_value *value, void *request);
    const char *schema; /* of VALUE, OWN: a JSON schema without "description" */
    const char *help;   /* one sentence without full stop */
};

struct vlm_field_group {
    const struct vlm_field *fields;
    size_t n;
};

/* groups: NULL at the end. */
bool vlm_fields_read(struct vlm_reader *reader, const struct vlm_value *object, void *request,
                     const struct vlm_field_group *const *groups);

/* For read() of VLM_FIELD_OWN: says what is wrong with the value at reader->path; false always. */
bool vlm_reader_fail(struct vlm_reader *reader, const char *format, ...) VLM_PRINTF(2, 3);
/* The same: "must be WANTED, found a string". */
bool vlm_reader_wanted(struct vlm_reader *reader, const char *wanted,
                       const struct vlm_value *found);
/* Steps into a member or an element and back: size_t was = vlm_reader_member(reader, "text"); ... reader_back(was). */
size_t vlm_reader_member(struct vlm_reader *reader, const char *name);
size_t vlm_reader_element(struct vlm_reader *reader, size_t i);
void vlm_reader_back(struct vlm_reader *reader, size_t was);
/* Names what is at reader->path among the unknown; false in strict requests. */
bool vlm_reader_unknown(struct vlm_reader *reader);

/* A JSON schema of the object with all fields. request: the defaults that it shows. */
void vlm_fields_schema(struct vlm_json *json, const void *request,
                       const struct vlm_field_group *const *groups);

#endif
