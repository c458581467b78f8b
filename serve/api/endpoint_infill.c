/* endpoint_infill.c - POST /infill: what is between a beginning and an end, in llama.cpp's form, or whatever is missing
 * in a document of parts; and POST /completion, llama.cpp's form of a continuation.
 *
 * llama.cpp's form: input_extra, input_prefix, <mask:0>, input_suffix are one text in the form of the recipe; `prompt`, with
 * which the answer is to begin, stands at the end of the prefix. "content" of the answer is the fill.
 *
 * A document is a list of parts (parts.h). Its masks are filled in their order, or in that of "order", each with what was
 * filled before in its view; "content" of the answer is all of it, with
 * the fills in their places and pictures as vlm:sha256: URLs. Where a part of a picture was masked, codes outside of the
 * rectangle are what they were. */
#include "base/vlm.h"
#include "base/hash.h"
#include "base/json.h"
#include "serve/api/endpoints.h"
#include "serve/api/logprobs.h"
#include "serve/api/parts.h"
#include "serve/api/sse.h"

struct infill {
    struct vlm_call call;
    struct vlm_parts parts;
    const struct vlm_value *document, *order, *extra, *prompt;
    const struct vlm_value *prefix, *suffix;
    const uint32_t *ids; /* of /completion's prompt */
    size_t n_ids;
    const char **wanted; /* [n_wanted] members of the answer, as response_fields names them */
    size_t n_wanted;     /* 0: all */
    bool only_cached;    /* n_predict = 0 */
    bool completion;
};

/* ---- the request ---- */

#define KEEP_TEXT(name, member)                                                                    \
    static bool name(struct vlm_reader *reader, const struct vlm_value *value, void *target)       \
    {                                                                                              \
        if (value->kind != VLM_VALUE_STRING)                                                       \
            return vlm_reader_wanted(reader, "a string", value);                                   \
        ((struct infill *)target)->member = value;                                                 \
        return true;                                                                               \
    }
KEEP_TEXT(keep_prefix, prefix)
KEEP_TEXT(keep_suffix, suffix)

enum { WANTED_MAX = 64, WANTED_SIZE_MAX = 128 };

static bool read_wanted(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    struct infill *it = target;
    if (value->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "an array of strings", value);
    if (value->n > WANTED_MAX)
        return vlm_reader_fail(reader, "'%s' has %zu names, at most %d are allowed", reader->path,
                               value->n, WANTED_MAX);
    it->wanted = vlm_arena_zero(reader->arena, value->n + 1, sizeof(*it->wanted));
    if (!it->wanted)
        return vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    for (const struct vlm_value *each = value->first; each; each = each->next) {
        const size_t was = vlm_reader_element(reader, it->n_wanted);
        if (each->kind != VLM_VALUE_STRING || !each->n || each->n > WANTED_SIZE_MAX ||
            strlen(each->text) != each->n)
            return vlm_reader_wanted(reader, "a name of 1 to 128 bytes", each);
        it->wanted[it->n_wanted++] = each->text;
        vlm_reader_back(reader, was);
    }
    return true;
}

#define WANTED_FIELD                                                                               \
    {                                                                                              \
        "response_fields", VLM_FIELD_OWN, 0,                                                       \
            .read = read_wanted,                                                                   \
            .schema = "{\"type\": \"array\", \"maxItems\": 64, \"items\": {\"type\": \"string\", " \
                      "\"minLength\": 1, \"maxLength\": 128}}",                                    \
            .help = "the answer has only these members, \"timings/prompt_n\" that of a member"     \
    }
#define PROBABILITIES_FIELD                                                                        \
    {                                                                                              \
        "n_probs", VLM_FIELD_WHOLE, offsetof(struct vlm_request, logprobs),                        \
            .least = 0, .most = 20,                                                                \
            .help = "so many of the likeliest tokens beside each that was drawn, as "              \
                    "\"completion_probabilities\"; 0: none"                                        \
    }

#define TEXT_SCHEMA "{\"type\": \"string\"}"

static const struct vlm_field infill_fields[] = {
    { "document", VLM_FIELD_VALUE, offsetof(struct infill, document),
      .schema = "{\"type\": \"array\", \"minItems\": 1, \"items\": {\"$ref\": "
                "\"#/components/schemas/Part\"}}",
      .help = "parts, masks among them" },
    { "order", VLM_FIELD_VALUE, offsetof(struct infill, order),
      .schema = "{\"type\": \"array\", \"items\": {\"type\": \"integer\", \"minimum\": 0}}",
      .help = "the ids of the masks in the order in which they are filled; without, that of the "
              "document" },
    { "input_prefix", VLM_FIELD_OWN, 0, .read = keep_prefix, .schema = TEXT_SCHEMA,
      .help = "text in front of what is missing" },
    { "input_suffix", VLM_FIELD_OWN, 0, .read = keep_suffix, .schema = TEXT_SCHEMA,
      .help = "text behind it" },
    { "input_extra", VLM_FIELD_VALUE, offsetof(struct infill, extra), .nullable = true,
      .schema = "{\"type\": [\"array\", \"null\"], \"items\": {\"type\": \"object\", "
                "\"required\": [\"text\"], \"properties\": {\"filename\": {\"type\": "
                "\"string\"}, \"text\": {\"type\": \"string\"}}}}",
      .help = "texts in front of all" },
    { "prompt", VLM_FIELD_VALUE, offsetof(struct infill, prompt), .nullable = true,
      .schema = "{\"type\": [\"string\", \"null\"]}", .help = "how what is missing begins" },
    PROBABILITIES_FIELD,
    WANTED_FIELD,
    { "special", VLM_FIELD_BOOL, offsetof(struct vlm_request, special),
      .help = "control words in texts count: <BOS>, ..." },
};
static const struct vlm_field_group infill_group = { infill_fields, VLM_COUNTOF(infill_fields) };
static const struct vlm_field_group *const infill_groups[] = {
    &infill_group,       &vlm_request_llama,    &vlm_request_common,
    &vlm_request_stream, &vlm_request_sampling, &vlm_request_length,
    &vlm_request_text,   &vlm_request_images,   NULL
};

static const struct vlm_field completion_fields[] = {
    { "prompt", VLM_FIELD_VALUE, offsetof(struct infill, prompt), .required = true,
      .schema = "{\"anyOf\": [{\"type\": \"string\", \"minLength\": 1}, {\"type\": \"array\", "
                "\"minItems\": 1, \"items\": {\"type\": \"integer\", \"minimum\": 0}}]}",
      .help = "a string, or ids" },
    PROBABILITIES_FIELD,
    WANTED_FIELD,
    { "special", VLM_FIELD_BOOL, offsetof(struct vlm_request, special),
      .help = "control words in the prompt count" },
};
static const struct vlm_field_group completion_group = { completion_fields,
                                                         VLM_COUNTOF(completion_fields) };
static const struct vlm_field_group *const completion_groups[] = {
    &completion_group,   &vlm_request_llama,    &vlm_request_common,
    &vlm_request_stream, &vlm_request_sampling, &vlm_request_length,
    &vlm_request_text,   &vlm_request_images,   NULL
};

/* ---- llama.cpp's form ---- */

static bool add_text(struct infill *it, struct vlm_reader *reader, const char *text, size_t n)
{
    return vlm_parts_add(&it->parts, &it->call,
                         it->call.request.special ? VLM_PROMPT_WORDS : VLM_PROMPT_MARKUP, text,
                         n) ||
           vlm_reader_fail(reader, "no memory for a prompt");
}

static bool read_extra(struct infill *it, struct vlm_reader *reader)
{
    size_t i = 0;
    if (it->extra->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "an array", it->extra);
    for (const struct vlm_value *each = it->extra->first; each; each = each->next) {
        const size_t was = vlm_reader_element(reader, i++);
        const struct vlm_value *text = vlm_value_member(each, "text");
        const struct vlm_value *name = vlm_value_member(each, "filename");
        if (!text || text->kind != VLM_VALUE_STRING)
            return vlm_reader_fail(reader, "'%s' must be an object with a string 'text'",
                                   reader->path);
        if (name && name->kind != VLM_VALUE_STRING) {
            vlm_reader_member(reader, "filename");
            return vlm_reader_wanted(reader, "a string", name);
        }
        if (!add_text(it, reader, text->text, text->n) || !add_text(it, reader, "\n", 1))
            return false;
        vlm_reader_back(reader, was);
    }
    return true;
}

static bool read_llama(struct infill *it, struct vlm_reader *reader)
{
    const struct vlm_value *prompt = it->prompt;
    if (it->order) {
        vlm_reader_member(reader, "order");
        return vlm_reader_fail(reader, "'order' is of the masks of a 'document', which is missing");
    }
    if (!it->prefix && !it->suffix)
        return vlm_reader_fail(reader, "neither 'document' nor 'input_prefix' and 'input_suffix'");
    if (it->extra) {
        const size_t was = vlm_reader_member(reader, "input_extra");
        if (!read_extra(it, reader))
            return false;
        vlm_reader_back(reader, was);
    }
    if (prompt && prompt->kind != VLM_VALUE_STRING) {
        vlm_reader_member(reader, "prompt");
        return vlm_reader_wanted(reader, "a string", prompt);
    }
    if (it->prefix && !add_text(it, reader, it->prefix->text, it->prefix->n))
        return false;
    if (prompt && prompt->n && !add_text(it, reader, prompt->text, prompt->n))
        return false;
    if (!vlm_parts_add(&it->parts, &it->call, VLM_PROMPT_MASK, NULL, 0))
        return vlm_reader_fail(reader, "no memory for a prompt");
    it->parts.notes[it->parts.n - 1].mask = 0;
    return !it->suffix || add_text(it, reader, it->suffix->text, it->suffix->n);
}

/* ---- a document ---- */

static bool is_used(const struct vlm_parts *parts, int64_t id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (parts->notes[i].mask == id)
            return true;
    return false;
}

/* Masks without an id get the smallest that is free; no id is there twice. */
static bool name_masks(struct infill *it, struct vlm_reader *reader, size_t *masks)
{
    struct vlm_parts *parts = &it->parts;
    for (size_t i = 0; i < parts->n; i++) {
        int64_t *id = &parts->notes[i].mask;
        if (*id == -1)
            continue;
        ++*masks;
        for (int64_t free_id = 0; *id == INT64_MIN; free_id++)
            if (!is_used(parts, free_id, parts->n))
                *id = free_id;
        if (!is_used(parts, *id, i))
            continue;
        vlm_reader_element(reader, i);
        if (parts->list[i].kind == VLM_PROMPT_IMAGE && parts->list[i].codes)
            vlm_reader_member(reader, "mask");
        vlm_reader_member(reader, "id");
        return vlm_reader_fail(reader, "'%s': another mask has the id %" PRId64 " too",
                               reader->path, *id);
    }
    return true;
}

/* The part whose mask has an id; SIZE_MAX: none. */
static size_t find_mask(const struct infill *it, int64_t id)
{
    for (size_t i = 0; i < it->parts.n; i++)
        if (it->parts.notes[i].mask == id && id >= 0)
            return i;
    return SIZE_MAX;
}

/* Masks get the numbers in whose order they are filled. */
static bool read_order(struct infill *it, struct vlm_reader *reader, size_t masks)
{
    const struct vlm_value *order = it->order;
    size_t number = 0;
    if (!order)
        return true;
    const size_t was = vlm_reader_member(reader, "order");
    if (order->kind != VLM_VALUE_ARRAY || order->n != masks)
        return vlm_reader_fail(reader, "'order' must be an array of the ids of all %zu masks",
                               masks);
    for (const struct vlm_value *at = order->first; at; at = at->next) {
        int64_t id = -1;
        bool whole;
        const size_t inner = vlm_reader_element(reader, number++);
        const bool good = at->kind == VLM_VALUE_NUMBER && vlm_value_whole(at, &id, &whole);
        const size_t part = good ? find_mask(it, id) : SIZE_MAX;
        if (part == SIZE_MAX)
            return vlm_reader_wanted(reader, "the id of a mask", at);
        if (it->parts.list[part].number)
            return vlm_reader_fail(reader, "'%s': the mask %" PRId64 " is there twice",
                                   reader->path, id);
        it->parts.list[part].number = number;
        vlm_reader_back(reader, inner);
    }
    vlm_reader_back(reader, was);
    return true;
}

/* Fields of llama.cpp's form beside a document would be left out. */
static bool check_alone(const struct infill *it, struct vlm_reader *reader)
{
    const struct {
        const char *name;
        const struct vlm_value *value;
    } fields[] = { { "input_prefix", it->prefix },
                   { "input_suffix", it->suffix },
                   { "input_extra", it->extra },
                   { "prompt", it->prompt } };
    for (size_t i = 0; i < VLM_COUNTOF(fields); i++) {
        if (!fields[i].value || !fields[i].value->n)
            continue;
        vlm_reader_member(reader, fields[i].name);
        return vlm_reader_fail(reader, "'%s' goes not with 'document'", reader->path);
    }
    return true;
}

static bool read_document(struct infill *it, struct vlm_reader *reader)
{
    size_t masks = 0;
    const size_t was = vlm_reader_member(reader, "document");
    if (it->document->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "an array of parts", it->document);
    vlm_reader_back(reader, was);
    if (!check_alone(it, reader))
        return false;
    vlm_reader_member(reader, "document");
    if (!vlm_parts_read(&it->parts, &it->call, reader, it->document,
                        VLM_PARTS_MASKS |
                            (it->call.request.special ? VLM_PARTS_WORDS : VLM_PARTS_MARKUP)) ||
        !name_masks(it, reader, &masks))
        return false;
    if (!masks && !it->call.request.special)
        return vlm_reader_fail(reader, "'document' has no mask");
    if (masks > VLM_MASKS_DEFAULT)
        return vlm_reader_fail(reader, "'document' has %zu masks, at most %d are allowed", masks,
                               VLM_MASKS_DEFAULT);
    for (size_t i = 0; i < it->parts.n; i++)
        if (it->parts.list[i].drawn && it->parts.notes[i].picture)
            it->parts.notes[i].picture->keep_square = true;
    vlm_reader_back(reader, was);
    return read_order(it, reader, masks);
}

static bool read_prompt(struct infill *it, struct vlm_reader *reader)
{
    const struct vlm_value *prompt = it->prompt;
    const size_t was = vlm_reader_member(reader, "prompt");
    if (prompt->kind != VLM_VALUE_STRING && prompt->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "a string or an array of ids", prompt);
    if (!prompt->n)
        return vlm_reader_fail(reader, "'prompt' is empty");
    if (prompt->kind == VLM_VALUE_ARRAY) {
        it->ids = vlm_ids_read(reader, prompt);
        it->n_ids = prompt->n;
        if (!it->ids)
            return false;
    } else if (!add_text(it, reader, prompt->text, prompt->n)) {
        return false;
    }
    vlm_reader_back(reader, was);
    return true;
}

static bool read_infill(struct vlm_call *call, struct vlm_reader *reader)
{
    struct infill *it = (struct infill *)call;
    call->request.max_is_cap = true;
    if (!call->request.logprobs)
        call->request.logprobs = -1;
    it->only_cached = call->request.max_tokens == 0;
    if (it->only_cached)
        call->request.options.max_tokens = 1;
    if (it->completion)
        return read_prompt(it, reader);
    return it->document ? read_document(it, reader) : read_llama(it, reader);
}

static bool read_completion(struct vlm_call *call, struct vlm_reader *reader)
{
    ((struct infill *)call)->completion = true;
    return read_infill(call, reader);
}

/* ---- the prompt ---- */

static bool prepare(struct vlm_call *call)
{
    struct infill *it = (struct infill *)call;
    const char *param = it->completion ? "prompt" : it->document ? "document" : "input_prefix";
    if (!it->completion && call->service->folder->recipe.method != VLM_GENERATE_INFILL) {
        vlm_call_fail(call, 400, it->document ? "document" : "input_suffix",
                      "this model continues texts and fills none");
        return false;
    }
    struct vlm_call_prompt *prompt = vlm_call_prompts(call, 1);
    if (!prompt)
        return false;
    if (it->ids)
        return vlm_ids_make(call, &prompt->made, it->ids, it->n_ids, param) &&
               vlm_parts_bare(call, prompt, call->request.negative);
    if (!vlm_parts_make(&it->parts, call, &prompt->made,
                        it->completion ? 0 : VLM_PROMPT_CLOSE | VLM_PROMPT_SPACE, param))
        return false;
    for (size_t i = 0; i < prompt->made.n_masks; i++)
        prompt->mask_tokens[i] = (size_t)it->parts.notes[prompt->made.part[i]].max_tokens;
    return vlm_parts_bare(call, prompt, call->request.negative);
}

/* The part that a fill is for. */
static size_t part_of(const struct infill *it, size_t fill)
{
    const struct vlm_prompt *made = &it->call.prompts[0].made;
    return fill < made->n_masks ? made->part[fill] : SIZE_MAX;
}

static void form(struct vlm_call *call, const struct vlm_call_choice *choice,
                 const struct vlm_call_image *image, struct vlm_picture_form *out)
{
    const struct infill *it = (const struct infill *)call;
    const size_t part = part_of(it, image->fill);
    (void)choice;
    if (part == SIZE_MAX || !it->parts.notes[part].picture)
        return;
    out->square = it->parts.notes[part].picture->square;
    out->mask = out->square ? it->parts.list[part].drawn : NULL;
}

/* ---- answers ---- */

static const char *stop_word(enum vlm_stop_reason why)
{
    return why == VLM_STOP_LIMIT ? "limit" : why == VLM_STOP_WORD ? "word" : "eos";
}

/* The picture that stands for a part: as URLs of requests name it, or by number. */
static void write_reference(const struct infill *it, struct vlm_buffer *out, size_t part,
                            const struct vlm_call_image *image)
{
    const struct vlm_buffer *text = out;
    const bool inside =
        text->size >= 2 && text->data[text->size - 1] == '"' && text->data[text->size - 2] == '=';
    const bool tag = !inside && vlm_recipe_is_markup(&it->call.service->folder->recipe);
    const struct vlm_call_picture *picture = it->parts.notes[part].picture;
    char hash[2 * 32 + 1];
    if (tag)
        vlm_buffer_text(out, "<img src=\"");
    if (image && image->file.size)
        vlm_buffer_printf(out, "vlm:sha256:%s", vlm_hex(hash, image->sha256, 32));
    else if (!image && picture && picture->bytes)
        vlm_buffer_printf(out, "vlm:sha256:%s", vlm_hex(hash, picture->sha256, 32));
    else
        vlm_buffer_printf(out, "vlm:part:%zu", part);
    if (tag)
        vlm_buffer_text(out, "\">");
}

static const struct vlm_call_image *image_of(const struct vlm_call_choice *choice, size_t fill)
{
    for (size_t i = 0; i < choice->n_images; i++)
        if (choice->images[i]->fill == fill && !choice->images[i]->merged &&
            !choice->images[i]->refused)
            return choice->images[i];
    return NULL;
}

static size_t fill_of(const struct infill *it, size_t part)
{
    const struct vlm_prompt *made = &it->call.prompts[0].made;
    for (size_t i = 0; i < made->n_masks; i++)
        if (made->part[i] == part)
            return i;
    return SIZE_MAX;
}

/* The document with its fills. */
static void write_document(const struct infill *it, struct vlm_buffer *out,
                           const struct vlm_call_choice *choice)
{
    for (size_t i = 0; i < it->parts.n; i++) {
        const struct vlm_prompt_part *part = &it->parts.list[i];
        const size_t fill = it->only_cached ? SIZE_MAX : fill_of(it, i);
        if (part->kind == VLM_PROMPT_IMAGE)
            write_reference(it, out, i, fill == SIZE_MAX ? NULL : image_of(choice, fill));
        else if (part->kind != VLM_PROMPT_MASK)
            vlm_buffer_add(out, part->text, part->n);
        else if (fill != SIZE_MAX)
            vlm_buffer_add(out, choice->fills[fill].text.data, choice->fills[fill].text.size);
    }
}

static void write_mask(const struct infill *it, struct vlm_json *json,
                       const struct vlm_call_choice *choice, size_t i)
{
    const struct vlm_call_fill *fill = &choice->fills[i];
    const size_t part = part_of(it, i);
    const struct vlm_part_note *note = part == SIZE_MAX ? NULL : &it->parts.notes[part];
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "id", note && note->mask >= 0 ? (uint64_t)note->mask : i);
    if (!note || !note->image) {
        const bool text = fill->text.size && !it->only_cached;
        vlm_json_key(json, "content");
        vlm_json_text(json, text ? (const char *)fill->text.data : "", text ? fill->text.size : 0);
    }
    if (image_of(choice, i) && !it->only_cached)
        vlm_call_write_images(&it->call, json, choice, i);
    vlm_json_member_number(json, "tokens_predicted", it->only_cached ? 0 : fill->tokens);
    vlm_json_member_string(json, "stop_type", it->only_cached ? "none" : stop_word(fill->why));
    vlm_json_close(json, '}');
}

/* In the order of the document. */
static void write_masks(const struct infill *it, struct vlm_json *json,
                        const struct vlm_call_choice *choice)
{
    vlm_json_key(json, "masks");
    vlm_json_open(json, '[');
    for (size_t part = 0; part < it->parts.n; part++)
        for (size_t i = 0; i < choice->n_fills; i++)
            if (part_of(it, i) == part)
                write_mask(it, json, choice, i);
    vlm_json_close(json, ']');
}

static void write_content(const struct infill *it, struct vlm_json *json,
                          const struct vlm_call_choice *choice)
{
    struct vlm_buffer text = { 0 };
    if (it->document && it->parts.n && it->call.prompts[0].made.n_masks)
        write_document(it, &text, choice);
    else if (!it->only_cached)
        for (size_t i = 0; i < choice->n_fills; i++)
            vlm_buffer_add(&text, choice->fills[i].text.data, choice->fills[i].text.size);
    vlm_json_key(json, "content");
    vlm_json_text(json, text.size ? (const char *)text.data : "", text.size);
    json->out->failed = json->out->failed || text.failed;
    vlm_buffer_release(&text);
}

/* Ids, and how likely they were, of the drawn tokens [from, to), where these are wanted. */
static void write_tokens(const struct infill *it, struct vlm_json *json,
                         const struct vlm_call_choice *choice, size_t from, size_t to)
{
    if (it->call.request.return_tokens) {
        vlm_json_key(json, "tokens");
        vlm_json_open(json, '[');
        for (size_t i = from; i < to; i++)
            vlm_json_number(json, choice->drawn[i].id);
        vlm_json_close(json, ']');
    }
    if (it->call.request.logprobs < 0)
        return;
    vlm_json_key(json, "completion_probabilities");
    vlm_write_probabilities(&it->call, json, choice, from, to);
}

/* What llama.cpp says behind the content; masks and pictures of ours. */
static void write_rest(const struct infill *it, struct vlm_json *json,
                       const struct vlm_call_choice *choice)
{
    const struct vlm_call *call = &it->call;
    const struct vlm_call_fill *last = &choice->fills[choice->n_fills ? choice->n_fills - 1 : 0];
    const char *word =
        last->why == VLM_STOP_WORD && last->spell.word < call->request.options.n_words
            ? call->request.options.words[last->spell.word]
            : "";
    vlm_json_member_number(json, "id_slot", 0);
    vlm_json_member_bool(json, "stop", true);
    vlm_json_member_string(json, "model", call->service->model_name);
    vlm_json_member_string(json, "id", call->id);
    vlm_json_member_number(json, "seed", choice->seed);
    vlm_json_member_number(json, "tokens_predicted", choice->generated);
    vlm_json_member_number(json, "tokens_evaluated", call->prompt_tokens);
    vlm_json_member_number(json, "tokens_cached", choice->cached);
    if (call->truncated)
        vlm_call_write_truncated(call, json);
    else
        vlm_json_member_bool(json, "truncated", false);
    vlm_json_member_bool(json, "has_new_line",
                         last->text.size && !it->only_cached &&
                             memchr(last->text.data, '\n', last->text.size));
    vlm_json_member_string(json, "stop_type", it->only_cached ? "none" : stop_word(last->why));
    vlm_json_member_string(json, "stopping_word", word);
    if (!it->completion)
        write_masks(it, json, choice);
    else if (choice->n_images)
        vlm_call_write_images(call, json, choice, SIZE_MAX);
    vlm_call_write_usage(call, json);
    vlm_call_write_timings(call, json);
}

/* Of a stream, whose tokens have been sent, the last event: of a document all of the content, else none. */
static void write_whole(const struct infill *it, struct vlm_json *json)
{
    const struct vlm_call *call = &it->call;
    const struct vlm_call_choice *choice = &call->choices[0];
    vlm_json_member_number(json, "index", 0);
    if (call->request.stream && !it->document)
        vlm_json_member_string(json, "content", "");
    else
        write_content(it, json, choice);
    if (call->request.stream)
        vlm_json_member_number(json, "created", call->created);
    else
        write_tokens(it, json, choice, 0, choice->n_drawn);
    write_rest(it, json, choice);
}

/* The member of a path "timings/prompt_n"; NULL: there is none. */
static json_object *member_at(json_object *object, const char *path)
{
    char name[WANTED_SIZE_MAX + 1];
    while (object && *path) {
        const size_t n = strcspn(path, "/");
        snprintf(name, sizeof(name), "%.*s", (int)n, path);
        if (!json_object_is_type(object, json_type_object) ||
            !json_object_object_get_ex(object, name, &object))
            return NULL;
        path += n + (path[n] == '/');
    }
    return object;
}

/* As llama.cpp has response_fields: whole paths are the names of the members. */
static void write_wanted(const struct infill *it, struct vlm_json *json)
{
    struct vlm_buffer all = { 0 };
    struct vlm_json own = { .out = &all };
    struct vlm_err err = { 0 };
    json_object *object = NULL;
    vlm_json_open(&own, '{');
    write_whole(it, &own);
    vlm_json_close(&own, '}');
    if (all.failed || vlm_json_parse(&object, (const char *)all.data, all.size, &err) != VLM_OK)
        json->out->failed = true;
    for (size_t i = 0; object && i < it->n_wanted; i++) {
        json_object *member = member_at(object, it->wanted[i]);
        bool twice = false;
        for (size_t k = 0; k < i; k++)
            twice = twice || !strcmp(it->wanted[k], it->wanted[i]);
        if (!member || twice)
            continue;
        vlm_json_key(json, it->wanted[i]);
        vlm_json_value(json, member);
    }
    json_object_put(object);
    vlm_buffer_release(&all);
}

/* What was drawn for n_predict = 0, a token for each mask, does not count. */
static void forget_drawn(struct vlm_call *call)
{
    struct vlm_call_choice *choice = &call->choices[0];
    if (((const struct infill *)call)->only_cached)
        choice->generated = choice->image_tokens = choice->n_drawn = 0;
}

static void answer(struct vlm_call *call, struct vlm_json *json)
{
    const struct infill *it = (const struct infill *)call;
    forget_drawn(call);
    if (it->n_wanted)
        write_wanted(it, json);
    else
        write_whole(it, json);
}

/* ---- streams ---- */

static void open_chunk(struct infill *it, struct vlm_buffer *buffer, struct vlm_json *json,
                       size_t fill, const char *text, size_t n)
{
    const size_t part = part_of(it, fill);
    vlm_sse_open(buffer, json, NULL);
    vlm_json_member_number(json, "index", 0);
    vlm_json_key(json, "content");
    vlm_json_text(json, text, n);
    vlm_json_member_bool(json, "stop", false);
    vlm_json_member_number(json, "id_slot", 0);
    vlm_json_member_number(json, "mask",
                           part == SIZE_MAX || it->parts.notes[part].mask < 0
                               ? fill
                               : (uint64_t)it->parts.notes[part].mask);
    vlm_json_member_string(json, "id", it->call.id);
    vlm_json_member_number(json, "created", it->call.created);
    vlm_json_member_number(json, "tokens_predicted", it->call.choices[0].generated);
    vlm_json_member_number(json, "tokens_evaluated", it->call.prompt_tokens);
}

static void send_text(struct vlm_call *call, struct vlm_call_choice *choice, size_t fill,
                      const char *text, size_t n)
{
    struct infill *it = (struct infill *)call;
    struct vlm_buffer buffer;
    struct vlm_json json;
    if (it->only_cached)
        return;
    open_chunk(it, &buffer, &json, fill, text, n);
    write_tokens(it, &json, choice, choice->told, choice->n_drawn);
    if (call->request.timings_per_token)
        vlm_call_write_timings(call, &json);
    vlm_sse_send(call, &buffer, &json);
}

static void send_image(struct vlm_call *call, struct vlm_call_choice *choice,
                       struct vlm_call_image *image, const uint8_t *file, size_t n)
{
    struct infill *it = (struct infill *)call;
    struct vlm_buffer buffer;
    struct vlm_json json;
    (void)choice;
    if (it->only_cached || call->request.image_form == VLM_IMAGE_FORM_NONE)
        return;
    open_chunk(it, &buffer, &json, image->fill, "", 0);
    vlm_json_key(&json, "images");
    vlm_json_open(&json, '[');
    vlm_call_write_streamed_image(call, &json, image, file, n);
    vlm_json_close(&json, ']');
    vlm_sse_send(call, &buffer, &json);
}

static void end(struct vlm_call *call)
{
    struct vlm_buffer buffer;
    struct vlm_json json;
    vlm_sse_open(&buffer, &json, NULL);
    answer(call, &json);
    vlm_call_write_warnings(call, &json);
    vlm_sse_send(call, &buffer, &json);
}

#define INFILL_KIND(path, tables, reads)                                                           \
    {                                                                                              \
        .endpoint = path, .size = sizeof(struct infill), .id = "infill-", .groups = tables,        \
        .read = reads, .prepare = prepare, .answer = answer, .form = form, .text = send_text,      \
        .image = send_image, .end = end, .progress = vlm_call_send_progress,                       \
    }
const struct vlm_call_kind vlm_kind_infill = INFILL_KIND("/infill", infill_groups, read_infill);
const struct vlm_call_kind vlm_kind_completion =
    INFILL_KIND("/completion", completion_groups, read_completion);
