/* endpoint_score.c - POST /score: how likely a text is, token by token, or which of several candidates is the likeliest in
 * a place.
 *
 * Natural logarithms under the model at temperature 1, over all ids, without the grammar of images: what `vlm-train eval`
 * adds up. The first token of a prompt has none, since nothing is in front of it. Candidates stand in the place of the
 * prompt's only mask (entity disambiguation, CM3 section 4.3.1), <eoss> behind each included, or else behind the prompt. */
#include "base/vlm.h"
#include "serve/api/endpoints.h"
#include "serve/api/openapi.h"
#include "serve/api/parts.h"
#include "tokenize/sequence/run.h"

enum { CANDIDATES_MAX = 128, SPANS_MAX = 256 };

struct score {
    struct vlm_call call;
    struct vlm_parts parts;
    const uint32_t *ids;
    size_t n_ids;
    const struct vlm_value *prompt, *document, *candidates, *spans;
};

#define KEEP(name, member)                                                                         \
    static bool name(struct vlm_reader *reader, const struct vlm_value *value, void *target)       \
    {                                                                                              \
        (void)reader;                                                                              \
        ((struct score *)target)->member = value;                                                  \
        return true;                                                                               \
    }
KEEP(keep_prompt, prompt)
KEEP(keep_document, document)
KEEP(keep_candidates, candidates)
KEEP(keep_spans, spans)

static const struct vlm_field fields[] = {
    { "prompt", VLM_FIELD_OWN, 0, .read = keep_prompt,
      .schema = "{\"anyOf\": [{\"type\": \"string\", \"minLength\": 1}, {\"type\": \"array\", "
                "\"minItems\": 1, \"items\": {\"type\": \"integer\", \"minimum\": 0}}]}",
      .help = "a string in the form of the recipe, or ids" },
    { "document", VLM_FIELD_OWN, 0, .read = keep_document,
      .schema = "{\"type\": \"array\", \"minItems\": 1, \"items\": {\"$ref\": "
                "\"#/components/schemas/Part\"}}",
      .help = "parts instead of a prompt" },
    { "candidates", VLM_FIELD_OWN, 0, .read = keep_candidates,
      .schema = "{\"type\": \"array\", \"minItems\": 1, \"maxItems\": 128, \"items\": {\"type\": "
                "\"string\", \"minLength\": 1}}",
      .help = "texts for the mask of the prompt, or behind it" },
    { "spans", VLM_FIELD_OWN, 0, .read = keep_spans,
      .schema = "{\"type\": \"array\", \"maxItems\": 256, \"items\": {\"type\": \"array\", "
                "\"minItems\": 2, \"maxItems\": 2, \"items\": {\"type\": \"integer\", "
                "\"minimum\": 0}}}",
      .help = "[[from, to), ...] of tokens whose sums are wanted" },
    { "special", VLM_FIELD_BOOL, offsetof(struct vlm_request, special),
      .help = "control words in texts count: <mask:0>, ..." },
};
static const struct vlm_field_group group = { fields, VLM_COUNTOF(fields) };
static const struct vlm_field_group *const groups[] = { &group, &vlm_request_common, NULL };

/* ---- the request ---- */

static bool check_candidates(struct score *it, struct vlm_reader *reader)
{
    const struct vlm_value *list = it->candidates;
    size_t i = 0;
    if (!list)
        return true;
    const size_t was = vlm_reader_member(reader, "candidates");
    if (list->kind != VLM_VALUE_ARRAY || !list->n)
        return vlm_reader_wanted(reader, "an array of strings", list);
    if (list->n > CANDIDATES_MAX)
        return vlm_reader_fail(reader, "'candidates' has %zu texts, at most %d are allowed",
                               list->n, CANDIDATES_MAX);
    for (const struct vlm_value *each = list->first; each; each = each->next) {
        const size_t inner = vlm_reader_element(reader, i++);
        if (each->kind != VLM_VALUE_STRING)
            return vlm_reader_wanted(reader, "a string", each);
        if (!each->n)
            return vlm_reader_fail(reader, "'%s' is empty", reader->path);
        vlm_reader_back(reader, inner);
    }
    vlm_reader_back(reader, was);
    return true;
}

static bool check_spans(struct score *it, struct vlm_reader *reader)
{
    size_t i = 0;
    if (!it->spans)
        return true;
    const size_t was = vlm_reader_member(reader, "spans");
    if (it->candidates)
        return vlm_reader_fail(reader, "'spans' goes not with 'candidates'");
    if (it->spans->kind != VLM_VALUE_ARRAY || it->spans->n > SPANS_MAX)
        return vlm_reader_fail(reader, "'spans' must be an array of at most %d pairs", SPANS_MAX);
    for (const struct vlm_value *each = it->spans->first; each; each = each->next) {
        const size_t inner = vlm_reader_element(reader, i++);
        int64_t from = -1, to = -1;
        bool whole;
        if (each->kind != VLM_VALUE_ARRAY || each->n != 2 ||
            each->first->kind != VLM_VALUE_NUMBER || each->first->next->kind != VLM_VALUE_NUMBER ||
            !vlm_value_whole(each->first, &from, &whole) ||
            !vlm_value_whole(each->first->next, &to, &whole) || from < 0 || to <= from)
            return vlm_reader_fail(reader, "'%s' must be [from, to) with 0 <= from < to",
                                   reader->path);
        vlm_reader_back(reader, inner);
    }
    vlm_reader_back(reader, was);
    return true;
}

static bool read_prompt(struct score *it, struct vlm_reader *reader)
{
    const struct vlm_value *value = it->document ? it->document : it->prompt;
    if (!value || (it->document && it->prompt))
        return vlm_reader_fail(reader, "either 'prompt' or 'document' must be there");
    const size_t was = vlm_reader_member(reader, it->document ? "document" : "prompt");
    if (value->kind != VLM_VALUE_STRING && value->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "a string or an array", value);
    if (!value->n)
        return vlm_reader_fail(reader, "'%s' is empty", reader->path);
    if (!it->document && value->kind == VLM_VALUE_ARRAY && value->first->kind != VLM_VALUE_OBJECT) {
        it->ids = vlm_ids_read(reader, value);
        it->n_ids = value->n;
        if (!it->ids)
            return false;
    } else if (!vlm_parts_read(&it->parts, &it->call, reader, value,
                               VLM_PARTS_MASKS | (it->call.request.special ? VLM_PARTS_WORDS
                                                                           : VLM_PARTS_MARKUP))) {
        return false;
    }
    vlm_reader_back(reader, was);
    return true;
}

static bool read(struct vlm_call *call, struct vlm_reader *reader)
{
    struct score *it = (struct score *)call;
    return read_prompt(it, reader) && check_candidates(it, reader) && check_spans(it, reader);
}

/* ---- prompts ---- */

static bool make(struct score *it, struct vlm_prompt *prompt)
{
    if (it->ids)
        return vlm_ids_make_scored(&it->call, prompt, it->ids, it->n_ids, "prompt");
    return vlm_parts_make(&it->parts, &it->call, prompt,
                          it->candidates ? VLM_PROMPT_CLOSE | VLM_PROMPT_SPACE : 0,
                          it->document ? "document" : "prompt");
}

/* Appends a candidate's ids to the prompt, with <mask:0> in front and <eoss> behind when it fills a mask. */
static bool append(struct score *it, struct vlm_prompt *prompt, size_t masks,
                   const struct vlm_value *candidate)
{
    struct vlm_call *call = &it->call;
    const struct vlm_vocabulary *vocabulary = &call->service->folder->vocabulary;
    struct vlm_parts parts = { 0 };
    struct vlm_prompt words = { .codes = NULL };
    const bool masked = masks > 0;
    bool good = true;
    if (masked && prompt->space[0])
        good = vlm_parts_add(&parts, call, VLM_PROMPT_TEXT, " ", 1);
    if (!good || !vlm_parts_add(&parts, call, VLM_PROMPT_TEXT, candidate->text, candidate->n)) {
        vlm_call_fail(call, 503, NULL, "no memory for the candidates");
        return false;
    }
    if (!vlm_parts_make(&parts, call, &words, 0, "candidates"))
        return false;
    if (masked)
        good = vlm_sequence_push(&prompt->sequence, vocabulary->mask[0], 0);
    for (size_t i = vlm_begin_length(call->service); good && i < words.sequence.n; i++)
        good = vlm_sequence_push(&prompt->sequence, words.sequence.ids[i], 0);
    if (good && masked)
        good =
            vlm_sequence_push(&prompt->sequence, vocabulary->control[VLM_CONTROL_END_OF_SPAN], 0);
    vlm_prompt_release(&words);
    if (!good)
        vlm_call_fail(call, 503, NULL, "no memory for the candidates");
    return good;
}

static size_t count_masks(const struct vlm_call *call, const struct vlm_prompt *prompt)
{
    size_t n = 0;
    for (size_t i = 0; i < prompt->sequence.n; i++)
        n += vlm_vocabulary_mask_number(&call->service->folder->vocabulary,
                                        prompt->sequence.ids[i]) >= 0;
    return n;
}

static bool prepare_candidates(struct score *it)
{
    struct vlm_call *call = &it->call;
    const struct vlm_value *candidate = it->candidates->first;
    for (size_t i = 0; i < call->n_prompts; i++, candidate = candidate->next) {
        struct vlm_call_prompt *prompt = &call->prompts[i];
        if (!make(it, &prompt->made))
            return false;
        vlm_prompt_drop_start(&prompt->made, &call->service->folder->vocabulary);
        const size_t masks = count_masks(call, &prompt->made);
        if (masks > 1) {
            vlm_call_fail(call, 400, it->document ? "document" : "prompt",
                          "candidates are for one mask, there are %zu", masks);
            return false;
        }
        prompt->score_from = prompt->made.sequence.n + masks;
        if (!append(it, &prompt->made, masks, candidate))
            return false;
    }
    return true;
}

static bool prepare(struct vlm_call *call)
{
    struct score *it = (struct score *)call;
    if (!vlm_call_prompts(call, it->candidates ? it->candidates->n : 1))
        return false;
    if (it->candidates)
        return prepare_candidates(it);
    struct vlm_call_prompt *prompt = &call->prompts[0];
    if (!make(it, &prompt->made))
        return false;
    if (prompt->made.sequence.n < 2) {
        vlm_call_fail(call, 400, "prompt", "'prompt' has one token: there is nothing to score");
        return false;
    }
    prompt->score_from = 1;
    return true;
}

/* ---- answers ---- */

/* Log-likelihood of the tokens [from, to); the first of all has none. */
static double sum(const struct vlm_call_choice *choice, size_t from, size_t to)
{
    double total = 0;
    for (size_t i = VLM_MAX(from, (size_t)1); i < to; i++)
        total -= (double)choice->losses[i - 1];
    return total;
}

static void write_sum(struct vlm_json *json, size_t from, size_t to,
                      const struct vlm_call_choice *choice)
{
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "from", from);
    vlm_json_member_number(json, "to", to);
    vlm_json_member_real(json, "log_likelihood", sum(choice, from, to));
    vlm_json_close(json, '}');
}

/* Runs of codes. */
static void write_images(const struct score *it, struct vlm_json *json,
                         const struct vlm_call_choice *choice)
{
    const struct vlm_vocabulary *vocabulary = &it->call.service->folder->vocabulary;
    const struct vlm_sequence *ids = &it->call.prompts[0].made.sequence;
    vlm_json_key(json, "images");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < ids->n; i++) {
        size_t end = i;
        while (end < ids->n && end - i < VLM_CODES &&
               vlm_vocabulary_is_code(vocabulary, ids->ids[end]))
            end++;
        if (end == i)
            continue;
        write_sum(json, i, end, choice);
        i = end - 1;
    }
    vlm_json_close(json, ']');
}

static void write_modalities(const struct score *it, struct vlm_json *json,
                             const struct vlm_call_choice *choice)
{
    const struct vlm_vocabulary *vocabulary = &it->call.service->folder->vocabulary;
    const struct vlm_sequence *ids = &it->call.prompts[0].made.sequence;
    double total[2] = { 0 };
    size_t n[2] = { 0 };
    for (size_t i = 1; i < ids->n; i++) {
        const bool image = vlm_vocabulary_is_code(vocabulary, ids->ids[i]);
        total[image] += sum(choice, i, i + 1);
        n[image]++;
    }
    vlm_json_key(json, "modalities");
    vlm_json_open(json, '{');
    for (size_t i = 0; i < 2; i++) {
        vlm_json_key(json, i ? "image" : "text");
        vlm_json_open(json, '{');
        vlm_json_member_number(json, "tokens", n[i]);
        vlm_json_member_real(json, "log_likelihood", total[i]);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, '}');
}

static void write_tokens(const struct score *it, struct vlm_json *json,
                         const struct vlm_call_choice *choice)
{
    const struct vlm_sequence *ids = &it->call.prompts[0].made.sequence;
    vlm_json_key(json, "tokens");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < ids->n; i++)
        vlm_json_number(json, ids->ids[i]);
    vlm_json_close(json, ']');
    vlm_json_key(json, "logprobs");
    vlm_json_open(json, '[');
    vlm_json_null(json);
    for (size_t i = 1; i < ids->n; i++)
        vlm_json_real(json, sum(choice, i, i + 1));
    vlm_json_close(json, ']');
}

static void write_spans(const struct score *it, struct vlm_json *json,
                        const struct vlm_call_choice *choice)
{
    const size_t n = it->call.prompts[0].made.sequence.n;
    if (!it->spans)
        return;
    vlm_json_key(json, "spans");
    vlm_json_open(json, '[');
    for (const struct vlm_value *each = it->spans->first; each; each = each->next) {
        int64_t from = 0, to = 0;
        bool whole;
        if (vlm_value_whole(each->first, &from, &whole) &&
            vlm_value_whole(each->first->next, &to, &whole))
            write_sum(json, VLM_MIN((size_t)from, n), VLM_MIN((size_t)to, n), choice);
    }
    vlm_json_close(json, ']');
}

struct ranked {
    size_t index, tokens;
    double log_likelihood;
};

/* The likelier one first, of equal ones the one that was named first. */
static int compare(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->log_likelihood > b->log_likelihood)
        return -1;
    if (a->log_likelihood < b->log_likelihood)
        return 1;
    return (a->index > b->index) - (a->index < b->index);
}

static const char *text_of(const struct score *it, size_t i)
{
    const struct vlm_value *candidate = it->candidates->first;
    while (i--)
        candidate = candidate->next;
    return candidate->text;
}

static void write_candidates(const struct score *it, struct vlm_json *json)
{
    const struct vlm_call *call = &it->call;
    struct ranked list[CANDIDATES_MAX] = { { 0 } };
    for (size_t i = 0; i < call->n_choices; i++) {
        const struct vlm_call_prompt *prompt = &call->prompts[i];
        const size_t n = prompt->made.sequence.n;
        list[i] =
            (struct ranked){ .index = i,
                             .tokens = n - prompt->score_from,
                             .log_likelihood = sum(&call->choices[i], prompt->score_from, n) };
    }
    qsort(list, call->n_choices, sizeof(list[0]), compare);
    vlm_json_key(json, "candidates");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < call->n_choices; i++) {
        vlm_json_open(json, '{');
        vlm_json_member_number(json, "index", list[i].index);
        vlm_json_member_string(json, "text", text_of(it, list[i].index));
        vlm_json_member_number(json, "tokens", list[i].tokens);
        vlm_json_member_real(json, "log_likelihood", list[i].log_likelihood);
        vlm_json_member_real(json, "mean",
                             list[i].tokens ? list[i].log_likelihood / (double)list[i].tokens : 0);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

static void answer(struct vlm_call *call, struct vlm_json *json)
{
    const struct score *it = (const struct score *)call;
    vlm_call_write_head(call, json, "score");
    if (it->candidates) {
        write_candidates(it, json);
    } else {
        const struct vlm_call_choice *choice = &call->choices[0];
        const size_t n = call->prompts[0].made.sequence.n;
        write_tokens(it, json, choice);
        vlm_json_member_real(json, "log_likelihood", sum(choice, 1, n));
        vlm_json_member_number(json, "tokens_scored", n - 1);
        vlm_json_member_real(json, "loss", -sum(choice, 1, n) / (double)(n - 1));
        write_modalities(it, json, choice);
        write_images(it, json, choice);
        write_spans(it, json, choice);
    }
    vlm_call_write_usage(call, json);
    vlm_call_write_timings(call, json);
}

const struct vlm_call_kind vlm_kind_score = {
    .endpoint = "/score",
    .size = sizeof(struct score),
    .id = "score-",
    .groups = groups,
    .read = read,
    .prepare = prepare,
    .answer = answer,
};

void vlm_post_score(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_call *call = vlm_call_new(service, exchange, &vlm_kind_score);
    if (call && vlm_call_read(call, groups))
        vlm_call_run(call);
}

void vlm_describe_score(struct vlm_buffer *out)
{
    vlm_openapi_model(out, &vlm_kind_score, "Answer");
}
