/* request.c - tables of the fields that requests share. */
#include "base/vlm.h"
#include "serve/api/request.h"

#include <math.h>

#define AT(member) offsetof(struct vlm_request, member)

void vlm_request_init(struct vlm_request *request)
{
    *request = (struct vlm_request){ .ping_seconds = -1,
                                     .options = VLM_GENERATE_DEFAULTS,
                                     .seed = -1,
                                     .max_tokens = -1,
                                     .n = 1,
                                     .best_of = 1,
                                     .beams = 1,
                                     .repeat_last_n = -1,
                                     .logprobs = -1,
                                     .image_quality = 90 };
}

/* ---- values of several forms ---- */

static bool add_stop(struct vlm_reader *reader, const struct vlm_value *value, const char **to)
{
    if (value->kind != VLM_VALUE_STRING)
        return vlm_reader_wanted(reader, "a string", value);
    if (!value->n || value->n > reader->limits->stop_bytes)
        return vlm_reader_fail(reader, "'%s' must have 1 to %zu bytes, found %zu", reader->path,
                               reader->limits->stop_bytes, value->n);
    if (strlen(value->text) != value->n)
        return vlm_reader_fail(reader, "'%s' has the character U+0000", reader->path);
    *to = value->text;
    return true;
}

static bool read_stop(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    struct vlm_request *request = target;
    const bool list = value->kind == VLM_VALUE_ARRAY;
    if (!list && value->kind != VLM_VALUE_STRING)
        return vlm_reader_wanted(reader, "a string or an array of strings", value);
    const size_t n = list ? value->n : 1;
    if (n > reader->limits->stop_words)
        return vlm_reader_fail(reader, "'%s' has %zu strings, at most %zu are allowed",
                               reader->path, n, reader->limits->stop_words);
    const char **words = vlm_arena_zero(reader->arena, n + 1, sizeof(*words));
    if (!words)
        return vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    const struct vlm_value *word = list ? value->first : value;
    for (size_t i = 0; i < n; i++, word = word->next) {
        const size_t was = list ? vlm_reader_element(reader, i) : reader->path_n;
        if (!add_stop(reader, word, &words[i]))
            return false;
        vlm_reader_back(reader, was);
    }
    request->options.words = words;
    request->options.n_words = n;
    return true;
}

enum { BIAS_MOST = 100 };

static bool read_bias_number(struct vlm_reader *reader, const struct vlm_value *value, float *bias)
{
    if (value->kind == VLM_VALUE_BOOL && !value->truth) { /* llama.cpp: never */
        *bias = -INFINITY;
        return true;
    }
    if (value->kind != VLM_VALUE_NUMBER)
        return vlm_reader_wanted(reader, "a number from -100 to 100", value);
    const double number = vlm_value_real(value);
    if (!(number >= -BIAS_MOST && number <= BIAS_MOST))
        return vlm_reader_wanted(reader, "a number from -100 to 100", value);
    *bias = number <= -BIAS_MOST ? -INFINITY : (float)number;
    return true;
}

static bool read_bias_id(struct vlm_reader *reader, const char *text, size_t n, uint32_t *id)
{
    int64_t number = -1;
    bool whole;
    const struct vlm_value value = { .kind = VLM_VALUE_NUMBER, .text = text, .n = n };
    if (!n || !vlm_value_whole(&value, &number, &whole) || number < 0 ||
        number >= (int64_t)reader->n_ids)
        return vlm_reader_fail(reader, "'%s' must be of an id from 0 to %" PRIu32 ", found '%.*s'",
                               reader->path, reader->n_ids ? reader->n_ids - 1 : 0,
                               (int)VLM_MIN(n, 40), text);
    *id = (uint32_t)number;
    return true;
}

/* {"ID": BIAS, ...} of OpenAI, or [[ID, BIAS], ...] of llama.cpp. -100 is never, as OpenAI says of it. */
static bool read_bias(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    struct vlm_request *request = target;
    if (value->kind == VLM_VALUE_NULL)
        return true;
    const bool list = value->kind == VLM_VALUE_ARRAY;
    if (!list && value->kind != VLM_VALUE_OBJECT)
        return vlm_reader_wanted(reader, "an object of ids and numbers", value);
    if (value->n > reader->limits->bias)
        return vlm_reader_fail(reader, "'%s' has %zu entries, at most %zu are allowed",
                               reader->path, value->n, reader->limits->bias);
    struct vlm_logit_bias *bias = vlm_arena_zero(reader->arena, value->n + 1, sizeof(*bias));
    if (!bias)
        return vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    size_t i = 0;
    for (const struct vlm_value *entry = value->first; entry; entry = entry->next, i++) {
        const size_t was =
            list ? vlm_reader_element(reader, i) : vlm_reader_member(reader, entry->key);
        const struct vlm_value *number = entry;
        const char *id = entry->key;
        size_t id_n = id ? strlen(id) : 0;
        if (list) {
            if (entry->kind != VLM_VALUE_ARRAY || entry->n != 2 ||
                entry->first->kind != VLM_VALUE_NUMBER)
                return vlm_reader_wanted(reader, "an array of an id and a number", entry);
            id = entry->first->text;
            id_n = entry->first->n;
            number = entry->first->next;
        }
        if (!read_bias_id(reader, id, id_n, &bias[i].id) ||
            !read_bias_number(reader, number, &bias[i].bias))
            return false;
        vlm_reader_back(reader, was);
    }
    request->options.bias = bias;
    request->options.n_bias = i;
    return true;
}

static const struct vlm_field stream_option_fields[] = {
    { "include_usage", VLM_FIELD_BOOL, AT(include_usage), .nullable = true,
      .help = "one more chunk with the usage at the end" },
    { "include_obfuscation", VLM_FIELD_BOOL, VLM_FIELD_NOWHERE, .nullable = true,
      .help = "without effect" },
};

static bool read_stream_options(struct vlm_reader *reader, const struct vlm_value *value,
                                void *target)
{
    static const struct vlm_field_group group = { stream_option_fields,
                                                  VLM_COUNTOF(stream_option_fields) };
    return vlm_fields_read(reader, value, target,
                           (const struct vlm_field_group *const[]){ &group, NULL });
}

/* ---- tables ---- */

static const struct vlm_field common_fields[] = {
    { "model", VLM_FIELD_TEXT, AT(model), .nullable = true,
      .help = "the model's name as /v1/models says it" },
    { "user", VLM_FIELD_TEXT, VLM_FIELD_NOWHERE, .nullable = true, .help = "without effect" },
    { "strict", VLM_FIELD_BOOL, AT(strict), .help = "unknown fields are an error" },
    { "deadline_ms", VLM_FIELD_REAL, AT(deadline_ms), .least = 0, .most = 86400000,
      .help = "the request is given up after so many milliseconds; 0: never" },
    { "t_max_predict_ms", VLM_FIELD_REAL, AT(predict_ms), .least = -1, .most = 86400000,
      .help = "an answer ends, as if it were long enough, so many milliseconds after its first "
              "token, as llama.cpp has it; 0 or -1: never" },
};
const struct vlm_field_group vlm_request_common = { common_fields, VLM_COUNTOF(common_fields) };

static const struct vlm_field stream_fields[] = {
    { "stream", VLM_FIELD_BOOL, AT(stream), .nullable = true,
      .help = "the answer comes as server-sent events" },
    { "stream_options", VLM_FIELD_OWN, 0, .nullable = true, .read = read_stream_options,
      .schema = "{\"type\": [\"object\", \"null\"], \"properties\": {\"include_usage\": {\"type\": "
                "[\"boolean\", \"null\"]}, \"include_obfuscation\": {\"type\": [\"boolean\", "
                "\"null\"]}}}",
      .help = "what a stream says beside the answer" },
    { "return_progress", VLM_FIELD_BOOL, AT(return_progress),
      .help = "a stream says how much of the prompt has been read" },
    { "sse_ping_interval", VLM_FIELD_WHOLE, AT(ping_seconds), .least = 1, .most = 3600,
      .help = "seconds after which a silent stream sends a comment" },
};
const struct vlm_field_group vlm_request_stream = { stream_fields, VLM_COUNTOF(stream_fields) };

static const struct vlm_field sampling_fields[] = {
    { "temperature", VLM_FIELD_REAL, AT(options.temperature), .least = 0, .most = 100,
      .help = "of text; 0: always the likeliest token" },
    { "top_k", VLM_FIELD_WHOLE, AT(options.top_k), .least = 0, .most = INT32_MAX,
      .help = "text is drawn from so many of the likeliest tokens; 0: from all" },
    { "top_p", VLM_FIELD_REAL, AT(options.top_p), .least = 0, .most = 1, .above = true,
      .help = "text is drawn from the likeliest tokens that have this share together" },
    { "min_p", VLM_FIELD_REAL, AT(options.min_p), .least = 0, .most = 1,
      .help = "text is drawn from tokens at least so likely, relative to the likeliest" },
    { "typical_p", VLM_FIELD_REAL, AT(options.typical), .least = 0, .most = 1,
      .help =
          "text is drawn from the most typical tokens that have this share together; 0 or 1: off" },
    { "image_typical_p", VLM_FIELD_REAL, AT(options.image_typical), .least = 0, .most = 1,
      .help = "typical_p of images" },
    { "image_temperature", VLM_FIELD_REAL, AT(options.image_temperature), .least = 0, .most = 100,
      .help = "temperature of images" },
    { "image_top_k", VLM_FIELD_WHOLE, AT(options.image_top_k), .least = 0, .most = INT32_MAX,
      .help = "top_k of images" },
    { "image_top_p", VLM_FIELD_REAL, AT(options.image_top_p), .least = 0, .most = 1, .above = true,
      .help = "top_p of images" },
    { "image_min_p", VLM_FIELD_REAL, AT(options.image_min_p), .least = 0, .most = 1,
      .help = "min_p of images" },
    { "cfg_scale_image", VLM_FIELD_REAL, AT(options.guidance), .least = 0, .most = 100,
      .help = "classifier-free guidance of images; 1: none" },
    { "cfg_scale", VLM_FIELD_REAL, AT(options.guidance), .least = 0, .most = 100,
      .help = "another name of cfg_scale_image" },
    { "negative_prompt", VLM_FIELD_TEXT, AT(negative), .most = (double)VLM_MIB, .nullable = true,
      .help = "what guidance leads away from; without, the same page without its words" },
    { "repeat_penalty", VLM_FIELD_REAL, AT(options.repeat), .least = 0, .most = 10, .above = true,
      .help = "logits of text tokens that were there are divided by it; 1: off" },
    { "repetition_penalty", VLM_FIELD_REAL, AT(options.repeat), .least = 0, .most = 10,
      .above = true, .help = "another name of repeat_penalty" },
    { "repeat_last_n", VLM_FIELD_WHOLE, AT(repeat_last_n), .least = -1, .most = INT32_MAX,
      .help = "tokens that penalties look back at; -1: all, 0: no penalties" },
    { "presence_penalty", VLM_FIELD_REAL, AT(options.presence), .least = -2, .most = 2,
      .nullable = true, .help = "taken from the logits of text tokens that were there" },
    { "frequency_penalty", VLM_FIELD_REAL, AT(options.frequency), .least = -2, .most = 2,
      .nullable = true,
      .help = "taken from the logits of text tokens for each time that they were there" },
};
const struct vlm_field_group vlm_request_sampling = { sampling_fields,
                                                      VLM_COUNTOF(sampling_fields) };

static const struct vlm_field seed_fields[] = {
    { "seed", VLM_FIELD_WHOLE, AT(seed), .least = 0, .most = 0x1p63, .nullable = true,
      .help = "the same seed and request give the same answer; null: drawn by lot, and returned" },
};
const struct vlm_field_group vlm_request_seed = { seed_fields, VLM_COUNTOF(seed_fields) };

#define BIAS_NUMBER                                                                                \
    "{\"anyOf\": [{\"type\": \"number\", \"minimum\": -100, \"maximum\": 100}, {\"const\": "       \
    "false}]}"
#define BIAS_SCHEMA                                                                                \
    "{\"anyOf\": [{\"type\": \"null\"}, {\"type\": \"object\", \"maxProperties\": 512, "           \
    "\"propertyNames\": {\"pattern\": \"^[0-9]+$\"}, \"additionalProperties\": " BIAS_NUMBER       \
    "}, {\"type\": \"array\", \"maxItems\": 512, \"items\": {\"type\": \"array\", "                \
    "\"minItems\": 2, \"maxItems\": 2, \"prefixItems\": [{\"type\": \"integer\", "                 \
    "\"minimum\": 0}, " BIAS_NUMBER "]}}]}"

static const struct vlm_field length_fields[] = {
    { "max_tokens", VLM_FIELD_WHOLE, AT(max_tokens), .least = 0, .most = 65536, .nullable = true,
      .help = "tokens of the answer at most; without it as many as fit; 0: none, with echo" },
    { "max_completion_tokens", VLM_FIELD_WHOLE, AT(max_tokens), .least = 1, .most = 65536,
      .nullable = true, .help = "another name of max_tokens" },
};
const struct vlm_field_group vlm_request_length = { length_fields, VLM_COUNTOF(length_fields) };

static const struct vlm_field text_fields[] = {
    { "stop", VLM_FIELD_OWN, 0, .nullable = true, .read = read_stop,
      .schema = "{\"anyOf\": [{\"type\": \"null\"}, {\"type\": \"string\", \"minLength\": 1, "
                "\"maxLength\": 256}, {\"type\": \"array\", \"maxItems\": 16, \"items\": "
                "{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 256}}]}",
      .help = "strings that end the answer; they are not in it" },
    { "logit_bias", VLM_FIELD_OWN, 0, .nullable = true, .read = read_bias, .schema = BIAS_SCHEMA,
      .help = "{\"ID\": NUMBER} or [[ID, NUMBER]], added to logits; -100 or false: never" },
    { "truncate", VLM_FIELD_WORD, AT(truncate), .words = "none|left|middle", .nullable = true,
      .help = "where a prompt that is too long loses tokens, never of a picture; none: an error" },
    { "ignore_eos", VLM_FIELD_BOOL, AT(options.ignore_end),
      .help = "the answer never ends by itself" },
    { "num_beams", VLM_FIELD_WHOLE, AT(beams), .least = 1, .most = 16,
      .help = "beam search of this width instead of sampling" },
    { "length_penalty", VLM_FIELD_REAL, AT(options.length_penalty), .least = -10, .most = 10,
      .help = "of beam search: log-likelihoods are divided by length to this power" },
};
const struct vlm_field_group vlm_request_text = { text_fields, VLM_COUNTOF(text_fields) };

static const struct vlm_field choice_fields[] = {
    { "n", VLM_FIELD_WHOLE, AT(n), .least = 1, .most = 16, .nullable = true,
      .help = "answers to the same prompt, with the seeds seed, seed + 1, ..." },
};
const struct vlm_field_group vlm_request_choices = { choice_fields, VLM_COUNTOF(choice_fields) };

static const struct vlm_field image_fields[] = {
    { "image_format", VLM_FIELD_WORD, AT(image_form), .words = VLM_IMAGE_FORM_WORDS,
      .help = "how images of the answer come; codes: as numbers only, none: not at all" },
    { "image_quality", VLM_FIELD_WHOLE, AT(image_quality), .least = 1, .most = 100,
      .help = "of JPEG" },
    { "store", VLM_FIELD_BOOL, AT(store), .nullable = true,
      .help =
          "images of the answer are kept like uploads: later requests name them by their hash" },
    { "image_preview_ms", VLM_FIELD_WHOLE, AT(image_preview_ms), .least = 0, .most = 60000,
      .help = "a stream shows an unfinished image that often; 0: never" },
};
const struct vlm_field_group vlm_request_images = { image_fields, VLM_COUNTOF(image_fields) };

/* What llama.cpp's requests say beside; nothing of it changes an answer here. */
#define NOWHERE VLM_FIELD_NOWHERE
#define WITHOUT "without effect here"
static const struct vlm_field llama_fields[] = {
    { "cache_prompt", VLM_FIELD_BOOL, NOWHERE,
      .help = "without effect: prompts are always cached" },
    { "id_slot", VLM_FIELD_WHOLE, NOWHERE, .least = -1, .most = 65536, .help = WITHOUT },
    { "n_keep", VLM_FIELD_WHOLE, NOWHERE, .least = -1, .most = INT32_MAX, .help = WITHOUT },
    { "n_discard", VLM_FIELD_WHOLE, NOWHERE, .least = 0, .most = INT32_MAX, .help = WITHOUT },
    { "n_indent", VLM_FIELD_WHOLE, NOWHERE, .least = 0, .most = INT32_MAX, .help = WITHOUT },
    { "min_keep", VLM_FIELD_WHOLE, NOWHERE, .least = 0, .most = INT32_MAX, .help = WITHOUT },
    { "t_max_prompt_ms", VLM_FIELD_WHOLE, NOWHERE, .least = -1, .most = 86400000, .help = WITHOUT },
    { "dynatemp_range", VLM_FIELD_REAL, NOWHERE, .least = 0, .most = 100, .help = WITHOUT },
    { "dynatemp_exponent", VLM_FIELD_REAL, NOWHERE, .least = 0, .most = 100, .help = WITHOUT },
    { "mirostat", VLM_FIELD_WHOLE, NOWHERE, .least = 0, .most = 2, .help = WITHOUT },
    { "mirostat_tau", VLM_FIELD_REAL, NOWHERE, .least = 0, .most = 100, .help = WITHOUT },
    { "mirostat_eta", VLM_FIELD_REAL, NOWHERE, .least = 0, .most = 100, .help = WITHOUT },
    { "xtc_probability", VLM_FIELD_REAL, NOWHERE, .least = 0, .most = 1, .help = WITHOUT },
    { "xtc_threshold", VLM_FIELD_REAL, NOWHERE, .least = 0, .most = 1, .help = WITHOUT },
    { "dry_multiplier", VLM_FIELD_REAL, NOWHERE, .least = 0, .most = 100, .help = WITHOUT },
    { "dry_base", VLM_FIELD_REAL, NOWHERE, .least = 0, .most = 100, .help = WITHOUT },
    { "dry_allowed_length", VLM_FIELD_WHOLE, NOWHERE, .least = 0, .most = INT32_MAX,
      .help = WITHOUT },
    { "dry_penalty_last_n", VLM_FIELD_WHOLE, NOWHERE, .least = -1, .most = INT32_MAX,
      .help = WITHOUT },
    { "timings_per_token", VLM_FIELD_BOOL, AT(timings_per_token),
      .help = "every event of a stream has the timings so far" },
    { "post_sampling_probs", VLM_FIELD_BOOL, NOWHERE, .help = WITHOUT },
    { "return_tokens", VLM_FIELD_BOOL, AT(return_tokens),
      .help = "the ids of the answer, ends apart, as \"tokens\"" },
    { "seed", VLM_FIELD_WHOLE, AT(seed), .least = -1, .most = 0x1p63, .nullable = true,
      .help = "the same seed and request give the same answer; null or -1: drawn by lot, and "
              "returned" },
    { "n_predict", VLM_FIELD_WHOLE, AT(max_tokens), .least = -2, .most = 65536,
      .help = "tokens of the answer at most; -1: as many as fit; 0: the prompt is only cached" },
};
const struct vlm_field_group vlm_request_llama = { llama_fields, VLM_COUNTOF(llama_fields) };

/* ---- what fields mean together ---- */

static bool fail_at(struct vlm_reader *reader, const char *name, const char *what)
{
    vlm_reader_member(reader, name);
    return vlm_reader_fail(reader, "'%s' %s", name, what);
}

bool vlm_request_finish(struct vlm_reader *reader, struct vlm_request *request)
{
    struct vlm_generate_options *options = &request->options;
    if (request->n > (int64_t)reader->limits->n)
        return fail_at(reader, "n", "is over the limit of this server");
    if (request->max_tokens > (int64_t)reader->limits->max_tokens)
        return fail_at(reader, "max_tokens", "is over the limit of this server");
    if (request->beams > 1 && request->n > 1)
        return fail_at(reader, "num_beams", "above 1 gives one answer, and n is above 1");
    if (request->beams > 1 && options->guidance != 1)
        return fail_at(reader, "num_beams", "above 1 goes not with cfg_scale_image");
    if (request->negative && options->guidance == 1) {
        const size_t was = vlm_reader_member(reader, "negative_prompt");
        if (!vlm_reader_unknown(reader))
            return false;
        vlm_reader_back(reader, was);
    }
    options->beams = (size_t)request->beams;
    options->max_tokens = request->max_tokens > 0 ? (size_t)request->max_tokens : 0;
    options->penalty_last = request->repeat_last_n > 0 ? (size_t)request->repeat_last_n : 0;
    options->likely = request->logprobs > 0 ? (size_t)request->logprobs : 0;
    if (request->repeat_last_n == 0) {
        options->repeat = 1;
        options->presence = options->frequency = 0;
    }
    return true;
}
