/* parts.c - content parts of requests, ids of requests, as prompts. */
#include "base/vlm.h"
#include "serve/api/parts.h"

#include "models/generate/grammar.h"
#include "serve/api/call_internal.h"

bool vlm_recipe_is_markup(const struct vlm_recipe *recipe)
{
    return recipe->sampling.form == VLM_RENDER_CM3 || recipe->sampling.form == VLM_RENDER_HTLM;
}

size_t vlm_begin_length(const struct vlm_service *service)
{
    return vlm_prompt_begin_token(&service->folder->vocabulary, &service->folder->recipe) !=
           UINT32_MAX;
}

/* ---- reading ---- */

/* A part while it is read: the target of the tables. */
struct part {
    struct vlm_call *call;
    struct vlm_parts *parts;
    unsigned flags;
    int type, kind;
    const struct vlm_value *text, *url, *codes, *mask;
    int64_t id, max_tokens;
    uint8_t *drawn;
};

enum part_type { PART_TEXT, PART_IMAGE_URL, PART_IMAGE_CODES, PART_MASK };
#define PART_WORDS "text|image_url|image_codes|mask"
enum mask_kind { MASK_TEXT, MASK_IMAGE };

static bool keep_text(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    if (value->kind != VLM_VALUE_STRING)
        return vlm_reader_wanted(reader, "a string", value);
    ((struct part *)target)->text = value;
    return true;
}

static bool keep_codes(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    (void)reader;
    ((struct part *)target)->codes = value;
    return true;
}

static bool read_url(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    struct part *part = target;
    size_t index;
    if (!vlm_call_picture_url(part->call, reader, value, &index))
        return false;
    part->url = value;
    return true;
}

/* {"url": ..., "detail": ...}, or the URL itself. */
static bool read_image_url(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    static const struct vlm_field fields[] = {
        { "url", VLM_FIELD_OWN, 0, .required = true, .read = read_url },
        { "detail", VLM_FIELD_TEXT, VLM_FIELD_NOWHERE, .nullable = true },
    };
    static const struct vlm_field_group group = { fields, VLM_COUNTOF(fields) };
    if (value->kind == VLM_VALUE_STRING)
        return read_url(reader, value, target);
    return vlm_fields_read(reader, value, target,
                           (const struct vlm_field_group *const[]){ &group, NULL });
}

static bool read_rectangle(struct vlm_reader *reader, const struct vlm_value *value,
                           struct part *part)
{
    int64_t side[4] = { 0 };
    bool whole, good = value->kind == VLM_VALUE_ARRAY && value->n == 4;
    size_t i = 0;
    for (const struct vlm_value *it = value->first; good && it; it = it->next)
        good = it->kind == VLM_VALUE_NUMBER && vlm_value_whole(it, &side[i++], &whole);
    if (!part->drawn)
        part->drawn = vlm_arena_zero(reader->arena, VLM_CODES, 1);
    if (!part->drawn)
        return vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    if (!good || !vlm_prompt_rectangle(part->drawn, side[0], side[1], side[2], side[3]))
        return vlm_reader_fail(reader,
                               "'%s' must be [r0, c0, r1, c1] with 0 <= r0 < r1 <= 16 and "
                               "0 <= c0 < c1 <= 16",
                               reader->path);
    return true;
}

static bool read_rect(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    return read_rectangle(reader, value, target);
}

static bool read_rects(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    size_t i = 0;
    if (value->kind != VLM_VALUE_ARRAY || !value->n)
        return vlm_reader_wanted(reader, "an array of rectangles", value);
    for (const struct vlm_value *it = value->first; it; it = it->next) {
        const size_t was = vlm_reader_element(reader, i++);
        if (!read_rectangle(reader, it, target))
            return false;
        vlm_reader_back(reader, was);
    }
    return true;
}

#define MASK_AT(member) offsetof(struct part, member)

static bool read_mask(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    static const struct vlm_field fields[] = {
        { "id", VLM_FIELD_WHOLE, MASK_AT(id), .least = 0, .most = 1000000 },
        { "rect", VLM_FIELD_OWN, 0, .read = read_rect },
        { "rects", VLM_FIELD_OWN, 0, .read = read_rects },
    };
    static const struct vlm_field_group group = { fields, VLM_COUNTOF(fields) };
    struct part *part = target;
    part->mask = value;
    if (!(part->flags & VLM_PARTS_MASKS))
        return vlm_reader_fail(reader, "'%s': no masks are allowed here", reader->path);
    if (!vlm_fields_read(reader, value, target,
                         (const struct vlm_field_group *const[]){ &group, NULL }))
        return false;
    if (part->drawn)
        return true;
    vlm_reader_member(reader, "rect");
    return vlm_reader_fail(reader, "'%s' is missing", reader->path);
}

static const struct vlm_field part_fields[] = {
    { "type", VLM_FIELD_WORD, MASK_AT(type), .words = PART_WORDS, .required = true },
    { "text", VLM_FIELD_OWN, 0, .read = keep_text },
    { "image_url", VLM_FIELD_OWN, 0, .read = read_image_url },
    { "codes", VLM_FIELD_OWN, 0, .read = keep_codes },
    { "mask", VLM_FIELD_OWN, 0, .read = read_mask },
    { "id", VLM_FIELD_WHOLE, MASK_AT(id), .least = 0, .most = 1000000 },
    { "kind", VLM_FIELD_WORD, MASK_AT(kind), .words = "text|image" },
    { "max_tokens", VLM_FIELD_WHOLE, MASK_AT(max_tokens), .least = 1, .most = 65536 },
};
static const struct vlm_field_group part_group = { part_fields, VLM_COUNTOF(part_fields) };

struct vlm_prompt_part *vlm_parts_add(struct vlm_parts *parts, struct vlm_call *call,
                                      enum vlm_prompt_kind kind, const char *text, size_t n)
{
    /* Doubles at powers of two. */
    if (!(parts->n & (parts->n + 1)) || !parts->list) {
        const size_t capacity = 2 * parts->n + 2;
        struct vlm_prompt_part *list = vlm_arena_zero(&call->arena, capacity, sizeof(*list));
        struct vlm_part_note *notes = vlm_arena_zero(&call->arena, capacity, sizeof(*notes));
        if (!list || !notes)
            return NULL;
        if (parts->n) {
            memcpy(list, parts->list, parts->n * sizeof(*list));
            memcpy(notes, parts->notes, parts->n * sizeof(*notes));
        }
        parts->list = list;
        parts->notes = notes;
    }
    parts->list[parts->n] = (struct vlm_prompt_part){ .kind = kind, .text = text, .n = n };
    parts->notes[parts->n] = (struct vlm_part_note){ .mask = -1 };
    return &parts->list[parts->n++];
}

static enum vlm_prompt_kind text_kind(unsigned flags)
{
    return flags & VLM_PARTS_WORDS    ? VLM_PROMPT_WORDS
           : flags & VLM_PARTS_MARKUP ? VLM_PROMPT_MARKUP
                                      : VLM_PROMPT_TEXT;
}

static bool missing(struct vlm_reader *reader, const char *name)
{
    vlm_reader_member(reader, name);
    return vlm_reader_fail(reader, "'%s' is missing", reader->path);
}

static bool of_another(struct vlm_reader *reader, const char *name)
{
    vlm_reader_member(reader, name);
    return vlm_reader_fail(reader, "'%s' is not of this type of part: nothing would use it",
                           reader->path);
}

/* What a part of another type would have: nothing that was sent is left out without a word. */
static bool check_type(struct vlm_reader *reader, const struct part *part)
{
    const enum part_type type = (enum part_type)part->type;
    const bool picture = type == PART_IMAGE_URL || type == PART_IMAGE_CODES;
    if (part->text && type != PART_TEXT)
        return of_another(reader, "text");
    if (part->url && type != PART_IMAGE_URL)
        return of_another(reader, "image_url");
    if (part->codes && type != PART_IMAGE_CODES)
        return of_another(reader, "codes");
    if (part->mask && !picture)
        return of_another(reader, "mask");
    return true;
}

/* What was read as a part of the prompt. */
static bool add_part(struct vlm_reader *reader, struct part *part)
{
    struct vlm_parts *parts = part->parts;
    const enum part_type type = (enum part_type)part->type;
    if (type == PART_TEXT && !part->text)
        return missing(reader, "text");
    if (type == PART_IMAGE_URL && !part->url)
        return missing(reader, "image_url");
    if (type == PART_IMAGE_CODES && !part->codes)
        return missing(reader, "codes");
    if (!check_type(reader, part))
        return false;
    if (type == PART_MASK && !(part->flags & VLM_PARTS_MASKS))
        return vlm_reader_fail(reader, "'%s': no masks are allowed here", reader->path);
    const bool image = type == PART_IMAGE_URL || type == PART_IMAGE_CODES ||
                       (type == PART_MASK && part->kind == MASK_IMAGE);
    const bool words = type == PART_TEXT;
    struct vlm_prompt_part *added =
        vlm_parts_add(parts, part->call,
                      words   ? text_kind(part->flags)
                      : image ? VLM_PROMPT_IMAGE
                              : VLM_PROMPT_MASK,
                      words ? part->text->text : NULL, words ? part->text->n : 0);
    if (!added)
        return vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    struct vlm_part_note *note = &parts->notes[parts->n - 1];
    size_t index = part->call->n_pictures - 1;
    if (type == PART_IMAGE_CODES) {
        const size_t was = vlm_reader_member(reader, "codes");
        if (!vlm_call_picture_codes(part->call, reader, part->codes, &index))
            return false;
        vlm_reader_back(reader, was);
    }
    if (type == PART_IMAGE_CODES || type == PART_IMAGE_URL) {
        note->picture = part->call->pictures[index];
        added->codes = note->picture->codes;
        added->drawn = part->drawn;
    }
    note->image = image;
    note->mask = type == PART_MASK || part->drawn ? VLM_MAX(part->id, 0) : -1;
    if (part->id < 0 && note->mask == 0)
        note->mask = INT64_MIN; /* the next number that is free */
    note->max_tokens = part->max_tokens;
    return true;
}

bool vlm_parts_read(struct vlm_parts *parts, struct vlm_call *call, struct vlm_reader *reader,
                    const struct vlm_value *value, unsigned flags)
{
    if (value->kind == VLM_VALUE_STRING)
        return vlm_parts_add(parts, call, text_kind(flags), value->text, value->n) ||
               vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    if (value->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "a string or an array of parts", value);
    if (parts->n + value->n > VLM_PARTS_MAX)
        return vlm_reader_fail(reader, "'%s': more than %d parts", reader->path, VLM_PARTS_MAX);
    size_t i = 0;
    for (const struct vlm_value *it = value->first; it; it = it->next) {
        const size_t was = vlm_reader_element(reader, i++);
        struct part part = { .call = call, .parts = parts, .flags = flags, .id = -1 };
        if (!vlm_fields_read(reader, it, &part,
                             (const struct vlm_field_group *const[]){ &part_group, NULL }) ||
            !add_part(reader, &part))
            return false;
        vlm_reader_back(reader, was);
    }
    return true;
}

const uint32_t *vlm_ids_read(struct vlm_reader *reader, const struct vlm_value *array)
{
    uint32_t *ids = vlm_arena_zero(reader->arena, array->n + 1, sizeof(*ids));
    size_t i = 0;
    if (!ids) {
        vlm_reader_fail(reader, "no memory for '%s'", reader->path);
        return NULL;
    }
    for (const struct vlm_value *it = array->first; it; it = it->next, i++) {
        int64_t id = -1;
        bool whole;
        const bool number = it->kind == VLM_VALUE_NUMBER && vlm_value_whole(it, &id, &whole);
        if (!number || id < 0 || id >= (int64_t)reader->n_ids) {
            char wanted[64];
            vlm_reader_element(reader, i);
            snprintf(wanted, sizeof(wanted), "an id from 0 to %" PRId64,
                     (int64_t)reader->n_ids - 1);
            vlm_reader_wanted(reader, wanted, it);
            return NULL;
        }
        ids[i] = (uint32_t)id;
    }
    return ids;
}

/* ---- prompts ---- */

/* Later errors of the prompt name its field too; param must live as long as the call. */
static void set_param(struct vlm_call *call, const struct vlm_prompt *prompt, const char *param)
{
    for (size_t i = 0; i < call->n_prompts; i++)
        if (&call->prompts[i].made == prompt)
            call->prompts[i].param = param;
}

bool vlm_parts_make(const struct vlm_parts *parts, struct vlm_call *call, struct vlm_prompt *prompt,
                    unsigned flags, const char *param)
{
    const struct vlm_service *service = call->service;
    struct vlm_err err = { 0 };
    size_t bytes = 0;
    for (size_t i = 0; i < parts->n; i++)
        bytes += parts->list[i].n;
    if (bytes > service->limits.prompt_bytes) {
        vlm_call_fail(call, 400, param, "'%s' has %zu bytes, at most %zu are allowed", param, bytes,
                      service->limits.prompt_bytes);
        return false;
    }
    int rc = vlm_prompt_from_parts(prompt, service->sequencer, &service->folder->vocabulary,
                                   &service->folder->recipe, parts->list, parts->n, flags, &err);
    if (rc != VLM_OK)
        vlm_call_fail_err(call, param, rc, &err);
    else
        set_param(call, prompt, param);
    return rc == VLM_OK;
}

bool vlm_parts_bare(struct vlm_call *call, struct vlm_call_prompt *prompt, const char *alt)
{
    const struct vlm_service *service = call->service;
    struct vlm_err err = { 0 };
    if (call->request.options.guidance == 1)
        return true;
    vlm_prompt_drop_start(&prompt->made, &service->folder->vocabulary);
    if (!vlm_call_truncate(call, prompt))
        return false;
    int rc = vlm_prompt_bare(&prompt->negative, service->sequencer, &service->folder->vocabulary,
                             &service->folder->recipe, &prompt->made, alt, &err);
    if (rc != VLM_OK)
        vlm_call_fail_err(call, "cfg_scale_image", rc, &err);
    return rc == VLM_OK;
}

/* The first id that no image has where it stands, or n: codes only in the src of an image, 256 of each but where a
 * mask is among them or the prompt ends. */
static size_t bad_code(const struct vlm_vocabulary *vocabulary, const uint32_t *ids, size_t n,
                       const char **why)
{
    struct vlm_grammar grammar;
    size_t run = 0;
    bool masked = false;
    vlm_grammar_init(&grammar, vocabulary);
    for (size_t i = 0; i < n; i++) {
        const bool code = vlm_vocabulary_is_code(vocabulary, ids[i]);
        const bool mask = vlm_vocabulary_mask_number(vocabulary, ids[i]) >= 0;
        if (code && grammar.place != VLM_PLACE_IMAGE) {
            *why = "a code stands outside of the src of an image";
            return i;
        }
        if (code && ++run > VLM_CODES) {
            *why = "an image has more than 256 codes";
            return i;
        }
        masked = masked || (mask && grammar.place == VLM_PLACE_IMAGE);
        if (!code && !mask && (run || grammar.place == VLM_PLACE_IMAGE)) {
            if (run != VLM_CODES && !masked) {
                *why = "an image has fewer than 256 codes";
                return i;
            }
            run = 0;
            masked = false;
        }
        vlm_grammar_feed(&grammar, ids[i]);
    }
    return n;
}

bool vlm_ids_make_scored(struct vlm_call *call, struct vlm_prompt *prompt, const uint32_t *ids,
                         size_t n, const char *param)
{
    struct vlm_err err = { 0 };
    int rc = vlm_prompt_from_ids(prompt, &call->service->folder->vocabulary, ids, n, &err);
    if (rc != VLM_OK)
        vlm_call_fail_err(call, param, rc, &err);
    else
        set_param(call, prompt, param);
    return rc == VLM_OK;
}

bool vlm_ids_make(struct vlm_call *call, struct vlm_prompt *prompt, const uint32_t *ids, size_t n,
                  const char *param)
{
    const struct vlm_vocabulary *vocabulary = &call->service->folder->vocabulary;
    const char *why = NULL;
    if (call->service->choices->images) {
        const size_t bad = bad_code(vocabulary, ids, n, &why);
        if (bad < n) {
            char where[VLM_PARAM_SIZE];
            snprintf(where, sizeof(where), "%s[%zu]", param, bad);
            vlm_call_fail(call, 400, where, "'%s': %s", where, why);
            return false;
        }
    }
    return vlm_ids_make_scored(call, prompt, ids, n, param);
}
