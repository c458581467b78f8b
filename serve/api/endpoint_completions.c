/* endpoint_completions.c - POST /v1/completions: what comes behind a prompt, or, with a suffix, between the two.
 *
 * A prompt is a string, ids, parts (parts.h), or an array of strings or of arrays of ids, which is a batch. A string is
 * in the form of the recipe: of cm3 a piece of a page, so that '<img alt="a cat" src="' is answered with a picture. Control
 * words in it, <mask:0> and the like, are text unless "special" is true. Ids are taken as they are, nothing is put in
 * front. The texts of an answer are the model's own markup, with an empty src where a picture stands in "images". */
#include "base/vlm.h"
#include "serve/api/endpoints.h"
#include "serve/api/logprobs.h"
#include "serve/api/openapi.h"
#include "serve/api/parts.h"
#include "serve/api/sse.h"

#include "base/utf8.h"

enum { BATCH_MAX = 16, CHOICES_MAX = 16 };

/* One prompt of a batch. */
struct source {
    struct vlm_parts parts;
    const uint32_t *ids;
    size_t n_ids;
    const char *param;
};

struct completion {
    struct vlm_call call;
    struct source sources[BATCH_MAX];
    size_t n_sources;
    const struct vlm_value *prompt, *suffix;
    bool echo, nothing;                     /* max_tokens is 0: the prompt alone */
    size_t offset[BATCH_MAX * CHOICES_MAX]; /* of logprobs, of choices */
};

/* ---- the request ---- */

static bool keep_prompt(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    (void)reader;
    ((struct completion *)target)->prompt = value;
    return true;
}

static bool keep_suffix(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    if (value->kind != VLM_VALUE_STRING)
        return vlm_reader_wanted(reader, "a string", value);
    ((struct completion *)target)->suffix = value->n ? value : NULL;
    return true;
}

#define PROMPT_SCHEMA                                                                              \
    "{\"anyOf\": [{\"type\": \"string\", \"minLength\": 1}, {\"type\": \"array\", \"minItems\": "  \
    "1, \"items\": {\"type\": \"integer\", \"minimum\": 0}}, {\"type\": \"array\", "               \
    "\"minItems\": 1, \"maxItems\": 16, \"items\": {\"type\": \"string\", \"minLength\": 1}}, "    \
    "{\"type\": \"array\", \"minItems\": 1, \"maxItems\": 16, \"items\": {\"type\": \"array\", "   \
    "\"minItems\": 1, \"items\": {\"type\": \"integer\", \"minimum\": 0}}}, {\"type\": "           \
    "\"array\", \"minItems\": 1, \"items\": {\"$ref\": \"#/components/schemas/Part\"}}]}"

static const struct vlm_field fields[] = {
    { "prompt", VLM_FIELD_OWN, 0, .required = true, .read = keep_prompt, .schema = PROMPT_SCHEMA,
      .help = "a string, ids, parts, or an array of strings or of arrays of ids" },
    { "suffix", VLM_FIELD_OWN, 0, .nullable = true, .read = keep_suffix,
      .schema = "{\"type\": [\"string\", \"null\"]}",
      .help = "the answer is what stands between the prompt and this" },
    { "echo", VLM_FIELD_BOOL, offsetof(struct completion, echo), .nullable = true,
      .help = "the text of the answer begins with the prompt" },
    { "logprobs", VLM_FIELD_WHOLE, offsetof(struct vlm_request, logprobs), .least = 0, .most = 20,
      .nullable = true, .help = "so many of the likeliest tokens beside each that was drawn" },
    { "best_of", VLM_FIELD_WHOLE, offsetof(struct vlm_request, best_of), .least = 1, .most = 16,
      .nullable = true, .help = "so many answers are made, the n likeliest of them are given" },
    { "special", VLM_FIELD_BOOL, offsetof(struct vlm_request, special),
      .help = "control words in the prompt count: <mask:0>, <BOS>, ..." },
};
static const struct vlm_field_group group = { fields, VLM_COUNTOF(fields) };
static const struct vlm_field_group *const groups[] = { &group,
                                                        &vlm_request_common,
                                                        &vlm_request_stream,
                                                        &vlm_request_sampling,
                                                        &vlm_request_seed,
                                                        &vlm_request_length,
                                                        &vlm_request_choices,
                                                        &vlm_request_text,
                                                        &vlm_request_images,
                                                        NULL };

static bool read_source(struct completion *it, struct vlm_reader *reader,
                        const struct vlm_value *value)
{
    struct source *source = &it->sources[it->n_sources++];
    source->param = vlm_arena_copy(reader->arena, reader->path, reader->path_n);
    if (!source->param)
        return vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    if (!value->n)
        return vlm_reader_fail(reader, "'%s' is empty", reader->path);
    if (value->kind == VLM_VALUE_ARRAY && value->first->kind != VLM_VALUE_OBJECT) {
        source->ids = vlm_ids_read(reader, value);
        source->n_ids = value->n;
        return source->ids != NULL;
    }
    return vlm_parts_read(&source->parts, &it->call, reader, value,
                          it->call.request.special ? VLM_PARTS_WORDS : VLM_PARTS_MARKUP);
}

/* The kinds that a prompt may have; reader->path is "prompt". */
static bool read_prompt(struct completion *it, struct vlm_reader *reader)
{
    const struct vlm_value *value = it->prompt;
    if (value->kind != VLM_VALUE_STRING && value->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "a string or an array", value);
    if (!value->n)
        return vlm_reader_fail(reader, "'%s' is empty", reader->path);
    const enum vlm_value_kind first =
        value->kind == VLM_VALUE_ARRAY ? value->first->kind : VLM_VALUE_STRING;
    if (value->kind == VLM_VALUE_STRING || (first != VLM_VALUE_STRING && first != VLM_VALUE_ARRAY))
        return read_source(it, reader, value);
    if (value->n > BATCH_MAX)
        return vlm_reader_fail(reader, "'%s' has %zu prompts, at most %d are allowed", reader->path,
                               value->n, BATCH_MAX);
    size_t i = 0;
    for (const struct vlm_value *each = value->first; each; each = each->next) {
        const size_t was = vlm_reader_element(reader, i++);
        if (each->kind != first)
            return vlm_reader_wanted(reader,
                                     first == VLM_VALUE_STRING ? "a string, as those before"
                                                               : "an array, as those before",
                                     each);
        if (!read_source(it, reader, each))
            return false;
        vlm_reader_back(reader, was);
    }
    return true;
}

static bool fail_at(struct vlm_reader *reader, const char *field, const char *what)
{
    vlm_reader_member(reader, field);
    return vlm_reader_fail(reader, "'%s' %s", field, what);
}

static bool read(struct vlm_call *call, struct vlm_reader *reader)
{
    struct completion *it = (struct completion *)call;
    const struct vlm_request *request = &call->request;
    const size_t was = vlm_reader_member(reader, "prompt");
    if (!read_prompt(it, reader))
        return false;
    vlm_reader_back(reader, was);
    if (request->best_of > 1 && request->best_of < request->n)
        return fail_at(reader, "best_of", "is less than 'n'");
    if (request->best_of > request->n && request->stream)
        return fail_at(reader, "best_of", "above 'n' cannot be streamed");
    if (request->best_of > (int64_t)reader->limits->n)
        return fail_at(reader, "best_of", "is over the limit of this server");
    it->nothing = request->max_tokens == 0;
    if (it->nothing && (!it->echo || request->stream || request->beams > 1))
        return fail_at(reader, "max_tokens", "0 goes with 'echo', and not with streams and beams");
    if (it->nothing)
        call->request.options.max_tokens = 1;
    if (it->echo && request->truncate != VLM_TRUNCATE_NONE)
        return fail_at(reader, "truncate", "goes not with 'echo'");
    call->scores_prompts = it->echo && request->logprobs >= 0 && !request->stream && !it->suffix;
    if (it->suffix && it->sources[0].ids)
        return fail_at(reader, "suffix", "goes with prompts of text only");
    return true;
}

/* ---- prompts ---- */

static bool make_prompt(struct completion *it, size_t i)
{
    struct vlm_call *call = &it->call;
    struct vlm_call_prompt *prompt = &call->prompts[i];
    struct source *source = &it->sources[i];
    if (source->ids)
        return vlm_ids_make(call, &prompt->made, source->ids, source->n_ids, source->param);
    const struct vlm_prompt_part *first = &source->parts.list[0];
    if (source->parts.n == 1 && first->text) {
        prompt->text = first->text;
        prompt->text_n = first->n;
    }
    unsigned flags = 0;
    if (it->suffix) {
        if (!vlm_parts_add(&source->parts, call, VLM_PROMPT_MASK, NULL, 0) ||
            !vlm_parts_add(&source->parts, call,
                           call->request.special ? VLM_PROMPT_WORDS : VLM_PROMPT_MARKUP,
                           it->suffix->text, it->suffix->n)) {
            vlm_call_fail(call, 503, NULL, "no memory for a prompt");
            return false;
        }
        flags = VLM_PROMPT_CLOSE | VLM_PROMPT_SPACE;
    }
    return vlm_parts_make(&source->parts, call, &prompt->made, flags, source->param);
}

static bool make_negative(struct completion *it, size_t i)
{
    struct vlm_call *call = &it->call;
    const char *text = call->request.negative;
    struct vlm_parts parts = { 0 };
    if (call->request.options.guidance == 1)
        return true;
    if (!text)
        return vlm_parts_bare(call, &call->prompts[i], NULL);
    if (!vlm_parts_add(&parts, call, VLM_PROMPT_MARKUP, text, strlen(text))) {
        vlm_call_fail(call, 503, NULL, "no memory for a prompt");
        return false;
    }
    return vlm_parts_make(&parts, call, &call->prompts[i].negative, 0, "negative_prompt");
}

static bool prepare(struct vlm_call *call)
{
    struct completion *it = (struct completion *)call;
    if (it->suffix && call->service->folder->recipe.method != VLM_GENERATE_INFILL) {
        vlm_call_fail(call, 400, "suffix", "this model continues texts and fills none");
        return false;
    }
    if (!vlm_call_prompts(call, it->n_sources))
        return false;
    for (size_t i = 0; i < it->n_sources; i++)
        if (!make_prompt(it, i) || !make_negative(it, i))
            return false;
    return true;
}

/* ---- answers ---- */

/* Characters of the prompt, when it is echoed. */
static void write_echo(const struct completion *it, struct vlm_buffer *out, size_t prompt)
{
    const struct vlm_call_prompt *from = &it->call.prompts[prompt];
    struct vlm_err err = { 0 };
    if (!it->echo)
        return;
    if (from->text)
        vlm_buffer_add(out, from->text, from->text_n);
    else if (vlm_sequence_text(out, it->call.service->choices->vocabulary, from->made.sequence.ids,
                               from->made.sequence.n, &err) != VLM_OK)
        out->failed = true;
}

static void write_text(const struct completion *it, struct vlm_json *json,
                       const struct vlm_call_choice *choice)
{
    struct vlm_buffer text = { 0 };
    write_echo(it, &text, choice->prompt);
    for (size_t i = 0; !it->nothing && i < choice->n_fills; i++)
        vlm_buffer_add(&text, choice->fills[i].text.data, choice->fills[i].text.size);
    vlm_json_key(json, "text");
    vlm_json_text(json, text.size ? (const char *)text.data : "", text.size);
    json->out->failed = json->out->failed || text.failed;
    vlm_buffer_release(&text);
}

static void write_choice(const struct completion *it, struct vlm_json *json,
                         const struct vlm_call_choice *choice, size_t index)
{
    const struct vlm_call *call = &it->call;
    const struct vlm_call_prompt *prompt = &call->prompts[choice->prompt];
    size_t offset = it->echo && prompt->text ? vlm_utf8_count(prompt->text, prompt->text_n) : 0;
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "index", index);
    write_text(it, json, choice);
    if (call->n_scores)
        vlm_write_echo_logprobs(call, json, choice, it->nothing ? 0 : choice->n_drawn);
    else
        vlm_write_logprobs(call, json, choice, 0, it->nothing ? 0 : choice->n_drawn, &offset);
    vlm_json_member_string(json, "finish_reason", it->nothing ? "length" : choice->finish);
    vlm_json_member_number(json, "seed", choice->seed);
    if (choice->n_images && !it->nothing) {
        vlm_call_write_images(call, json, choice, SIZE_MAX);
        vlm_call_write_parts(call, json, choice);
    }
    vlm_json_close(json, '}');
}

static double mean_of(const struct vlm_call_choice *choice)
{
    return choice->generated ? choice->log_likelihood / (double)choice->generated : -1e30;
}

/* The likeliest of [from, to) that are not marked; the first of equal ones. */
static size_t best_of(const struct vlm_call *call, size_t from, size_t to, const bool *taken)
{
    size_t best = SIZE_MAX;
    for (size_t i = from; i < to; i++)
        if (!taken[i - from] &&
            (best == SIZE_MAX || mean_of(&call->choices[i]) > mean_of(&call->choices[best])))
            best = i;
    return best;
}

static void answer(struct vlm_call *call, struct vlm_json *json)
{
    const struct completion *it = (const struct completion *)call;
    const size_t each = call->n_choices / call->n_prompts, wanted = (size_t)call->request.n;
    size_t index = 0;
    for (size_t i = 0; it->nothing && i < call->n_choices; i++)
        call->choices[i].generated = call->choices[i].image_tokens = 0;
    vlm_call_write_head(call, json, "text_completion");
    vlm_json_key(json, "choices");
    vlm_json_open(json, '[');
    for (size_t p = 0; p < call->n_prompts; p++) {
        bool taken[CHOICES_MAX] = { false };
        for (size_t i = 0; i < wanted; i++) {
            size_t at = p * each + i;
            if (each > wanted)
                at = best_of(call, p * each, (p + 1) * each, taken);
            taken[at - p * each] = true;
            write_choice(it, json, &call->choices[at], index++);
        }
    }
    vlm_json_close(json, ']');
    vlm_call_write_usage(call, json);
    vlm_call_write_timings(call, json);
}

/* ---- streams ---- */

static void send_text(struct vlm_call *call, struct vlm_call_choice *choice, size_t fill,
                      const char *text, size_t n)
{
    struct completion *it = (struct completion *)call;
    struct vlm_buffer buffer;
    struct vlm_json json;
    (void)fill;
    vlm_call_open_chunk(call, &buffer, &json, choice);
    vlm_json_key(&json, "text");
    vlm_json_text(&json, text, n);
    vlm_write_logprobs(call, &json, choice, choice->told, choice->n_drawn,
                       &it->offset[choice - call->choices]);
    vlm_json_member_null(&json, "finish_reason");
    vlm_json_close(&json, '}');
    vlm_json_close(&json, ']');
    vlm_sse_send(call, &buffer, &json);
}

static void begin(struct vlm_call *call)
{
    struct completion *it = (struct completion *)call;
    for (size_t i = 0; it->echo && i < call->n_choices; i++) {
        struct vlm_call_choice *choice = &call->choices[i];
        struct vlm_buffer text = { 0 }, buffer;
        struct vlm_json json;
        write_echo(it, &text, choice->prompt);
        vlm_call_open_chunk(call, &buffer, &json, choice);
        vlm_json_key(&json, "text");
        vlm_json_text(&json, text.size ? (const char *)text.data : "", text.size);
        vlm_json_member_null(&json, "logprobs");
        vlm_json_member_null(&json, "finish_reason");
        vlm_json_close(&json, '}');
        vlm_json_close(&json, ']');
        it->offset[i] = vlm_utf8_count(text.size ? (const char *)text.data : "", text.size);
        vlm_buffer_release(&text);
        vlm_sse_send(call, &buffer, &json);
    }
}

static void send_image(struct vlm_call *call, struct vlm_call_choice *choice,
                       struct vlm_call_image *image, const uint8_t *file, size_t n)
{
    struct vlm_buffer buffer;
    struct vlm_json json;
    if (call->request.image_form == VLM_IMAGE_FORM_NONE)
        return;
    vlm_call_open_chunk(call, &buffer, &json, choice);
    vlm_json_member_string(&json, "text", "");
    vlm_json_key(&json, "images");
    vlm_json_open(&json, '[');
    vlm_call_write_streamed_image(call, &json, image, file, n);
    vlm_json_close(&json, ']');
    vlm_json_member_null(&json, "logprobs");
    vlm_json_member_null(&json, "finish_reason");
    vlm_json_close(&json, '}');
    vlm_json_close(&json, ']');
    vlm_sse_send(call, &buffer, &json);
}

static void finish(struct vlm_call *call, struct vlm_call_choice *choice)
{
    struct vlm_buffer buffer;
    struct vlm_json json;
    struct completion *it = (struct completion *)call;
    vlm_call_open_chunk(call, &buffer, &json, choice);
    vlm_json_member_string(&json, "text", "");
    if (choice->told < choice->n_drawn)
        vlm_write_logprobs(call, &json, choice, choice->told, choice->n_drawn,
                           &it->offset[choice - call->choices]);
    else
        vlm_json_member_null(&json, "logprobs");
    vlm_json_member_string(&json, "finish_reason", choice->finish);
    vlm_json_member_number(&json, "seed", choice->seed);
    vlm_json_close(&json, '}');
    vlm_json_close(&json, ']');
    vlm_sse_send(call, &buffer, &json);
}

const struct vlm_call_kind vlm_kind_completions = {
    .endpoint = "/v1/completions",
    .size = sizeof(struct completion),
    .id = "cmpl-",
    .chunk = "text_completion",
    .groups = groups,
    .read = read,
    .prepare = prepare,
    .answer = answer,
    .begin = begin,
    .text = send_text,
    .image = send_image,
    .finish = finish,
    .end = vlm_call_send_end,
    .progress = vlm_call_send_progress,
};

void vlm_post_completions(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_call *call = vlm_call_new(service, exchange, &vlm_kind_completions);
    if (call && vlm_call_read(call, groups))
        vlm_call_run(call);
}

void vlm_describe_completions(struct vlm_buffer *out)
{
    vlm_openapi_model(out, &vlm_kind_completions, "Completion");
}
