/* test_api_fields.c - bodies of requests without a model: what is JSON, where a problem is, which values fields take, what
 * their schema says; base64; markup as words. */
#include "base/vlm.h"

#include "base/base64.h"
#include "serve/api/endpoints.h"
#include "serve/api/openapi.h"
#include "serve/api/plain.h"
#include "serve/api/parts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { IDS = 1000 };

/* ---- bodies ---- */

static void check_body(const char *text, const char *problem)
{
    struct vlm_arena arena;
    const struct vlm_value *value;
    const char *param;
    struct vlm_err err = { 0 };
    vlm_arena_init(&arena, 64 * VLM_MIB);
    char *copy = vlm_arena_copy(&arena, text, strlen(text));
    int rc = vlm_body_parse(&value, &arena, copy, strlen(text), &param, &err);
    if (problem && (rc == VLM_OK || strcmp(problem, err.msg) != 0))
        fail_msg("%s: expected '%s', found '%s'", text, problem, err.msg);
    if (!problem && rc != VLM_OK)
        fail_msg("%s: %s", text, err.msg);
    vlm_arena_release(&arena);
}

static void bodies_are_json_to_the_letter(void **state)
{
    (void)state;
    check_body("{}", NULL);
    check_body(" {\"a\": [1, -0.5e3, true, null, \"\\ud83d\\ude00\"]} ", NULL);
    check_body("", "the body is not JSON: byte 0: expected a value");
    check_body("{\"a\":1,}", "the body is not JSON: byte 7: expected a string");
    check_body("{\"a\":01}", "the body is not JSON: byte 6: expected ',' or '}'");
    check_body("{\"a\":NaN}", "the body is not JSON: byte 5: expected a value");
    check_body("{\"a\":'b'}", "the body is not JSON: byte 5: expected a value");
    check_body("{} x", "the body is not JSON: byte 3: something stands behind the end");
    check_body("\"\\ud800\"", "the body is not JSON: byte 1: this escape stands for no character");
    check_body("\"\xff\"", "the body is not JSON: byte 1: text is not UTF-8");
    check_body("\"a\nb\"", "the body is not JSON: byte 2: control character in a string");
    check_body("{\"a\":1,\"b\":2,\"a\":3}", "'a' is there twice");
    check_body("{\"b\":{\"a\":1,\"a\":3}}", "'a' is there twice");
}

static void bodies_are_bounded(void **state)
{
    struct vlm_buffer text = { 0 };
    (void)state;
    for (int n = VLM_BODY_DEPTH_MAX - 1; n <= VLM_BODY_DEPTH_MAX + 1; n++) {
        text.size = 0;
        for (int i = 0; i < n; i++)
            vlm_buffer_byte(&text, '[');
        for (int i = 0; i < n; i++)
            vlm_buffer_byte(&text, ']');
        vlm_buffer_byte(&text, 0);
        check_body((char *)text.data, n <= VLM_BODY_DEPTH_MAX
                                          ? NULL
                                          : "the body has more than 64 levels of arrays and "
                                            "objects");
    }
    for (int n = VLM_BODY_MEMBERS_MAX - 1; n <= VLM_BODY_MEMBERS_MAX + 1; n++) {
        text.size = 0;
        for (int i = 0; i < n; i++)
            vlm_buffer_printf(&text, "%s\"%d\":0", i ? "," : "{", i);
        vlm_buffer_add(&text, "}", 2);
        check_body((char *)text.data, n <= VLM_BODY_MEMBERS_MAX
                                          ? NULL
                                          : "the body has more than 1024 members in one object");
    }
    for (int n = VLM_BODY_VALUES_MAX - 1; n <= VLM_BODY_VALUES_MAX + 1; n++) {
        text.size = 0;
        for (int i = 1; i < n; i++) /* the array itself is one */
            vlm_buffer_text(&text, i > 1 ? ",0" : "[0");
        vlm_buffer_add(&text, "]", 2);
        check_body((char *)text.data,
                   n <= VLM_BODY_VALUES_MAX ? NULL : "the body has more than 262144 values");
    }
    vlm_buffer_release(&text);
}

static void numbers_keep_their_digits(void **state)
{
    static const struct {
        const char *text;
        bool good, whole;
        int64_t value;
    } rows[] = {
        { "0", true, true, 0 },
        { "-7", true, true, -7 },
        { "9223372036854775807", true, true, INT64_MAX },
        { "-9223372036854775808", true, true, INT64_MIN },
        { "9223372036854775808", false, true, 0 },
        { "18446744073709551616", false, true, 0 },
        { "1.0", false, false, 0 },
        { "1e3", false, false, 0 },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++) {
        const struct vlm_value number = { .kind = VLM_VALUE_NUMBER,
                                          .text = rows[i].text,
                                          .n = strlen(rows[i].text) };
        int64_t value = 1;
        bool whole;
        assert_int_equal(rows[i].good, vlm_value_whole(&number, &value, &whole));
        assert_int_equal(rows[i].whole, whole);
        if (rows[i].good)
            assert_true(value == rows[i].value);
    }
}

/* ---- fields ---- */

struct reading {
    struct vlm_service service;
    struct vlm_model_folder folder;
    struct vlm_choices choices;
    struct vlm_call *call;
};

static void begin(struct reading *it, const struct vlm_call_kind *kind)
{
    const struct vlm_service_limits limits = VLM_SERVICE_LIMITS;
    *it = (struct reading){ .call = calloc(1, kind->size) };
    assert_non_null(it->call);
    it->service.limits = limits;
    it->service.folder = &it->folder;
    it->service.choices = &it->choices;
    it->choices.images = true;
    it->folder.vocabulary.n_codes = 64;
    vlm_request_init(&it->call->request);
    it->call->service = &it->service;
    it->call->kind = kind;
    vlm_arena_init(&it->call->arena, 16 * VLM_MIB);
    it->call->reader = (struct vlm_reader){ .arena = &it->call->arena,
                                            .limits = &it->service.limits,
                                            .n_ids = IDS };
}

static void end(struct reading *it)
{
    free(it->call->pictures);
    vlm_arena_release(&it->call->arena);
    free(it->call);
}

static bool read_body(struct reading *it, const char *text)
{
    const struct vlm_value *body;
    const char *param;
    struct vlm_err err = { 0 };
    char *copy = vlm_arena_copy(&it->call->arena, text, strlen(text));
    if (vlm_body_parse(&body, &it->call->arena, copy, strlen(text), &param, &err))
        fail_msg("%s: %s", text, err.msg);
    return vlm_call_read_value(it->call, body, it->call->kind->groups);
}

/* param NULL: the body is good. */
struct row {
    const char *body, *param;
};

static void check_rows(const struct vlm_call_kind *kind, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct reading it;
        begin(&it, kind);
        const bool good = read_body(&it, rows[i].body);
        const struct vlm_reader *reader = &it.call->reader;
        if (good != !rows[i].param)
            fail_msg("%s: %s", rows[i].body, good ? "it was taken" : reader->problem);
        if (!good && strcmp(reader->param, rows[i].param) != 0)
            fail_msg("%s: '%s' is at fault, expected '%s' (%s)", rows[i].body, reader->param,
                     rows[i].param, reader->problem);
        assert_int_equal(good ? 0 : 400, reader->status);
        end(&it);
    }
}

#define P "{\"prompt\":\"a\","

static void values_of_completions(void **state)
{
    static const struct row rows[] = {
        { "{\"prompt\":\"a\"}", NULL },
        { "{\"prompt\":[1,2,999]}", NULL },
        { "{\"prompt\":[\"a\",\"b\"]}", NULL },
        { "{\"prompt\":[[1],[2,3]]}", NULL },
        { "{}", "prompt" },
        { "[]", "" },
        { "{\"prompt\":null}", "prompt" },
        { "{\"prompt\":\"\"}", "prompt" },
        { "{\"prompt\":[]}", "prompt" },
        { "{\"prompt\":{}}", "prompt" },
        { "{\"prompt\":[1,-1]}", "prompt[1]" },
        { "{\"prompt\":[1,1000]}", "prompt[1]" },
        { "{\"prompt\":[1,2,1.0]}", "prompt[2]" },
        { "{\"prompt\":[1,\"a\"]}", "prompt[1]" },
        { "{\"prompt\":[\"a\",\"\"]}", "prompt[1]" },
        { "{\"prompt\":[[1],[1,1000]]}", "prompt[1][1]" },
        { "{\"prompt\":[[[1]]]}", "prompt[0][0]" },
        { "{\"prompt\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"mask\"}]}", "prompt[1]" },
        { P "\"n\":null,\"presence_penalty\":null,\"frequency_penalty\":null}", NULL },
        { P "\"temperature\":null}", "temperature" },
        { P "\"max_tokens\":0}", "max_tokens" },
        { P "\"max_tokens\":65536}", NULL },
        { P "\"max_tokens\":65537}", "max_tokens" },
        { P "\"max_tokens\":\"10\"}", "max_tokens" },
        { P "\"max_tokens\":1.5}", "max_tokens" },
        { P "\"max_tokens\":null}", NULL },
        { P "\"temperature\":0}", NULL },
        { P "\"temperature\":-1}", "temperature" },
        { P "\"temperature\":1e999}", "temperature" },
        { P "\"temperature\":null}", "temperature" },
        { P "\"top_p\":0}", "top_p" },
        { P "\"top_p\":-0.0}", "top_p" },
        { P "\"top_p\":1}", NULL },
        { P "\"top_p\":1.1}", "top_p" },
        { P "\"top_k\":-1}", "top_k" },
        { P "\"min_p\":2}", "min_p" },
        { P "\"repeat_penalty\":0}", "repeat_penalty" },
        { P "\"presence_penalty\":-2.5}", "presence_penalty" },
        { P "\"n\":0}", "n" },
        { P "\"n\":17}", "n" },
        { P "\"seed\":-1}", "seed" },
        { P "\"seed\":9223372036854775807}", NULL },
        { P "\"seed\":9223372036854775808}", "seed" },
        { P "\"seed\":null}", NULL },
        { P "\"logit_bias\":{\"999\":100}}", NULL },
        { P "\"logit_bias\":{\"1000\":1}}", "logit_bias.1000" },
        { P "\"logit_bias\":{\"x\":1}}", "logit_bias.x" },
        { P "\"logit_bias\":{\"5\":101}}", "logit_bias.5" },
        { P "\"logit_bias\":[[5,false],[6,1]]}", NULL },
        { P "\"logit_bias\":[[5,1],[6]]}", "logit_bias[1]" },
        { P "\"logit_bias\":[[null,null]]}", "logit_bias[0]" },
        { P "\"logit_bias\":[[5,true]]}", "logit_bias[0]" },
        { P "\"logit_bias\":{\"5\":false}}", NULL },
        { P "\"stop\":\"a\"}", NULL },
        { P "\"stop\":null}", NULL },
        { P "\"stop\":[\"a\",\"\"]}", "stop[1]" },
        { P "\"stop\":[\"a\",1]}", "stop[1]" },
        { P "\"stream\":\"yes\"}", "stream" },
        { P "\"stream_options\":{\"include_usage\":1}}", "stream_options.include_usage" },
        { P "\"best_of\":2,\"n\":3}", "best_of" },
        { P "\"best_of\":3,\"stream\":true}", "best_of" },
        { P "\"num_beams\":2,\"n\":2}", "num_beams" },
        { P "\"image_format\":\"webp\"}", "image_format" },
        { P "\"image_format\":\"jpeg\"}", NULL },
        { P "\"foo\":1}", NULL },
        { P "\"foo\":1,\"strict\":true}", "foo" },
        { "{\"prompt\":[1],\"suffix\":\"b\"}", "suffix" },
    };
    (void)state;
    check_rows(&vlm_kind_completions, rows, VLM_COUNTOF(rows));
}

#define M0 "{\"role\":\"user\",\"content\":"
#define M  "{\"messages\":[" M0

/* What a body says when `item` stands n times in it; "": it is taken. */
static void say_repeated(char problem[512], const struct vlm_call_kind *kind,
                         const char *const around[2], const char *item, size_t n)
{
    struct vlm_buffer body = { 0 };
    struct reading it;
    const size_t open = strlen(around[0]);
    const bool list = around[0][open - 1] == '[';
    vlm_buffer_text(&body, around[0]);
    for (size_t i = 0; i < n; i++)
        vlm_buffer_printf(&body, "%s%s", list && i ? "," : "", item);
    vlm_buffer_add(&body, around[1], strlen(around[1]) + 1);
    begin(&it, kind);
    snprintf(problem, 512, "%s",
             read_body(&it, (const char *)body.data) ? "" : it.call->reader.problem);
    end(&it);
    vlm_buffer_release(&body);
}

/* One below the limit and the limit are taken, one above is refused with its sentence. */
static void counts_are_limited(void **state)
{
#define PICTURE                                                                                    \
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,aGVsbG8=\"}}"
    static const char part[] = "{\"type\":\"text\",\"text\":\"a\"}", picture[] = PICTURE;
    const struct vlm_service_limits limits = VLM_SERVICE_LIMITS;
    const struct {
        const struct vlm_call_kind *kind;
        const char *around[2], *item;
        size_t limit;
        const char *sentence;
    } rows[] = {
        { &vlm_kind_completions,
          { P "\"stop\":[", "]}" },
          "\"a\"",
          limits.stop_words,
          "'stop' has 17 strings, at most 16 are allowed" },
        { &vlm_kind_completions,
          { P "\"stop\":\"", "\"}" },
          "a",
          limits.stop_bytes,
          "'stop' must have 1 to 256 bytes, found 257" },
        { &vlm_kind_completions,
          { P "\"logit_bias\":[", "]}" },
          "[5,1]",
          limits.bias,
          "'logit_bias' has 513 entries, at most 512 are allowed" },
        { &vlm_kind_completions,
          { "{\"prompt\":[", "]}" },
          "\"a\"",
          16,
          "'prompt' has 17 prompts, at most 16 are allowed" },
        { &vlm_kind_completions,
          { "{\"prompt\":[", "]}" },
          "[1]",
          16,
          "'prompt' has 17 prompts, at most 16 are allowed" },
        { &vlm_kind_completions,
          { "{\"prompt\":[", "]}" },
          part,
          VLM_PARTS_MAX,
          "'prompt': more than 1024 parts" },
        { &vlm_kind_completions,
          { "{\"prompt\":[", "]}" },
          picture,
          limits.images,
          "'prompt[16].image_url.url': a request has at most 16 images" },
        { &vlm_kind_chat,
          { M "[", "]}]}" },
          picture,
          limits.images,
          "'messages[0].content[16].image_url.url': a request has at most 16 images" },
        { &vlm_kind_chat,
          { "{\"messages\":[", "]}" },
          M0 "\"a\"}",
          256,
          "'messages' has 257 messages, 1 to 256 are allowed" },
        { &vlm_kind_infill,
          { "{\"document\":[", "]}" },
          "{\"type\":\"mask\"}",
          VLM_MASKS_DEFAULT,
          "'document' has 17 masks, at most 16 are allowed" },
        { &vlm_kind_score,
          { "{\"prompt\":\"a\",\"candidates\":[", "]}" },
          "\"b\"",
          128,
          "'candidates' has 129 texts, at most 128 are allowed" },
        { &vlm_kind_score,
          { "{\"prompt\":\"a\",\"spans\":[", "]}" },
          "[0,1]",
          256,
          "'spans' must be an array of at most 256 pairs" },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++)
        for (size_t n = rows[i].limit - 1; n <= rows[i].limit + 1; n++) {
            char problem[512];
            say_repeated(problem, rows[i].kind, rows[i].around, rows[i].item, n);
            assert_string_equal(problem, n <= rows[i].limit ? "" : rows[i].sentence);
        }
}

/* The value of a field by itself; `sentence`: how the problem with it begins, NULL: it is taken. */
static void check_value(const struct vlm_call_kind *kind, const struct vlm_field *field,
                        const char *value, const char *sentence)
{
    struct vlm_field alone = *field;
    const struct vlm_field_group group = { &alone, 1 };
    const struct vlm_field_group *const groups[] = { &group, NULL };
    struct vlm_buffer body = { 0 };
    const struct vlm_value *parsed;
    const char *param;
    struct vlm_err err = { 0 };
    struct reading it;
    alone.required = false;
    vlm_buffer_printf(&body, "{\"%s\":%s}", field->name, value);
    begin(&it, kind);
    char *copy = vlm_arena_copy(&it.call->arena, body.data, body.size);
    assert_int_equal(vlm_body_parse(&parsed, &it.call->arena, copy, body.size, &param, &err),
                     VLM_OK);
    const bool good = vlm_fields_read(&it.call->reader, parsed, it.call, groups);
    const char *problem = good ? "" : it.call->reader.problem;
    if (good != !sentence || (!good && strncmp(problem, sentence, strlen(sentence)) != 0))
        fail_msg("%.*s: expected '%s', found '%s'", (int)VLM_MIN(body.size, 200), copy,
                 sentence ? sentence : "", problem);
    end(&it);
    vlm_buffer_release(&body);
}

static void check_whole(const struct vlm_call_kind *kind, const struct vlm_field *field)
{
    const bool all = field->most >= 0x1p63;
    const int64_t least = (int64_t)field->least, most = all ? INT64_MAX : (int64_t)field->most;
    char value[32], sentence[256];
    snprintf(sentence, sizeof(sentence),
             "'%s' must be a whole number from %" PRId64 " to %" PRId64 ", found ", field->name,
             least, most);
    for (int64_t by = -1; by <= 1; by++) {
        snprintf(value, sizeof(value), "%" PRId64, least + by);
        check_value(kind, field, value, by < 0 ? sentence : NULL);
    }
    for (int64_t by = -1; by <= (all ? 0 : 1); by++) {
        snprintf(value, sizeof(value), "%" PRId64, most + by);
        check_value(kind, field, value, by > 0 ? sentence : NULL);
    }
    if (all)
        check_value(kind, field, "9223372036854775808", sentence);
}

static void check_real(const struct vlm_call_kind *kind, const struct vlm_field *field)
{
    const double edge[] = {
        nextafter(field->least, -INFINITY), field->least, nextafter(field->least, INFINITY),
        nextafter(field->most, -INFINITY),  field->most,  nextafter(field->most, INFINITY)
    };
    char value[32], sentence[256];
    snprintf(sentence, sizeof(sentence),
             field->above ? "'%s' must be a number above %g, at most %g, found "
                          : "'%s' must be a number from %g to %g, found ",
             field->name, field->least, field->most);
    for (size_t i = 0; i < VLM_COUNTOF(edge); i++) {
        const bool bad = i == 0 || i == 5 || (i == 1 && field->above);
        snprintf(value, sizeof(value), "%.17g", edge[i]);
        check_value(kind, field, value, bad ? sentence : NULL);
    }
}

static void check_text(const struct vlm_call_kind *kind, const struct vlm_field *field)
{
    const size_t most = field->most > 0 ? (size_t)field->most : 1024;
    char sentence[256];
    snprintf(sentence, sizeof(sentence), "'%s' has %zu bytes, at most %zu are allowed", field->name,
             most + 1, most);
    for (size_t n = most - 1; n <= most + 1; n++) {
        char *value = malloc(n + 3);
        assert_non_null(value);
        memset(value, 'a', n + 2);
        value[0] = value[n + 1] = '"';
        value[n + 2] = 0;
        check_value(kind, field, value, n > most ? sentence : NULL);
        free(value);
    }
}

/* The bounds of every number and text in the tables of fields. */
static void values_are_limited(void **state)
{
    const struct vlm_call_kind *const kinds[] = { &vlm_kind_completions, &vlm_kind_chat,
                                                  &vlm_kind_infill,      &vlm_kind_completion,
                                                  &vlm_kind_score,       &vlm_kind_detokenize };
    size_t n = 0;
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(kinds); k++)
        for (const struct vlm_field_group *const *group = kinds[k]->groups; *group; group++)
            for (size_t i = 0; i < (*group)->n; i++) {
                const struct vlm_field *field = &(*group)->fields[i];
                n++;
                if (field->kind == VLM_FIELD_WHOLE)
                    check_whole(kinds[k], field);
                else if (field->kind == VLM_FIELD_REAL)
                    check_real(kinds[k], field);
                else if (field->kind == VLM_FIELD_TEXT)
                    check_text(kinds[k], field);
            }
    assert_true(n > 100);
}

/* Limits of the server that are below those of the fields. */
static void numbers_are_limited_by_the_server(void **state)
{
    static const struct {
        const char *name, *sentence;
        size_t limit;
    } rows[] = {
        { "n", "'n' is over the limit of this server", 3 },
        { "best_of", "'best_of' is over the limit of this server", 3 },
        { "max_tokens", "'max_tokens' is over the limit of this server", 10 },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++)
        for (size_t n = rows[i].limit - 1; n <= rows[i].limit + 1; n++) {
            char body[128];
            struct reading it;
            snprintf(body, sizeof(body), P "\"%s\":%zu}", rows[i].name, n);
            begin(&it, &vlm_kind_completions);
            it.service.limits.n = 3;
            it.service.limits.max_tokens = 10;
            assert_int_equal(read_body(&it, body), n <= rows[i].limit);
            assert_string_equal(it.call->reader.problem,
                                n <= rows[i].limit ? "" : rows[i].sentence);
            end(&it);
        }
}

static void values_of_chats(void **state)
{
    static const struct row rows[] = {
        { M "\"a\"}]}", NULL },
        { M "[{\"type\":\"text\",\"text\":\"a\"}]}]}", NULL },
        { "{}", "messages" },
        { "{\"messages\":[]}", "messages" },
        { "{\"messages\":[1]}", "messages[0]" },
        { "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content" },
        { "{\"messages\":[{\"role\":\"x\",\"content\":\"a\"}]}", "messages[0].role" },
        { M "[{\"type\":\"text\"}]}]}", "messages[0].content[0].text" },
        { M "[{\"type\":\"video\"}]}]}", "messages[0].content[0].type" },
        { M "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
            "\"http://a/b\"}}]}]}",
          "messages[0].content[1].image_url.url" },
        { M "[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,aGVsbG8=\"}}]"
            "}]}",
          NULL },
        { M "[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,aG VsbG8\"}}]"
            "}]}",
          "messages[0].content[0].image_url.url" },
        { M "[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png,a\"}}]}]}",
          "messages[0].content[0].image_url.url" },
        { M "[{\"type\":\"image_url\",\"image_url\":{\"url\":\"vlm:sha256:12\"}}]}]}",
          "messages[0].content[0].image_url.url" },
        { M "[{\"type\":\"image_url\",\"image_url\":{}}]}]}",
          "messages[0].content[0].image_url.url" },
        { M "[{\"type\":\"image_codes\",\"codes\":[1,2]}]}]}", "messages[0].content[0].codes" },
        { M "[{\"type\":\"mask\"}]}]}", "messages[0].content[0]" },
        { M "\"a\"}],\"modalities\":[\"image\"]}", NULL },
        { M "\"a\"}],\"modalities\":[\"text\",\"audio\"]}", "modalities[1]" },
        { M "\"a\"}],\"top_logprobs\":2}", "top_logprobs" },
        { M "\"a\"}],\"top_logprobs\":2,\"logprobs\":true}", NULL },
        { M "\"a\"}],\"cfg_scale_image\":2}", "cfg_scale_image" },
    };
    (void)state;
    check_rows(&vlm_kind_chat, rows, VLM_COUNTOF(rows));
}

static void values_of_infills(void **state)
{
    static const struct row rows[] = {
        { "{\"input_prefix\":\"a\",\"input_suffix\":\"b\",\"input_extra\":[{\"filename\":\"f\","
          "\"text\":\"t\"}],\"prompt\":\"p\",\"n_predict\":-1,\"seed\":-1,\"cache_prompt\":true,"
          "\"samplers\":[\"top_k\"],\"t_max_predict_ms\":500}",
          NULL },
        { "{}", "" },
        { "{\"input_prefix\":1}", "input_prefix" },
        { "{\"input_prefix\":\"a\",\"input_extra\":[{}]}", "input_extra[0]" },
        { "{\"input_prefix\":\"a\",\"dry_allowed_length\":-1}", "dry_allowed_length" },
        { "{\"input_prefix\":\"a\",\"n_predict\":-3}", "n_predict" },
        { "{\"document\":[]}", "document" },
        { "{\"document\":[{\"type\":\"text\",\"text\":\"a\"}]}", "document" },
        { "{\"document\":[{\"type\":\"mask\"}],\"input_prefix\":\"\",\"t_max_predict_ms\":-1}",
          NULL },
        { "{\"document\":[{\"type\":\"mask\"}],\"input_suffix\":\"a\"}", "input_suffix" },
        { "{\"document\":[{\"type\":\"mask\"}],\"prompt\":\"a\"}", "prompt" },
        { "{\"input_prefix\":\"a\",\"order\":[0]}", "order" },
        { "{\"input_prefix\":\"a\",\"image_data\":[]}", NULL },
        { "{\"input_prefix\":\"a\",\"image_data\":[{\"data\":\"iVBO\",\"id\":1}]}", "image_data" },
        { "{\"input_prefix\":\"a\",\"x\":[{\"y\":\"data:image/png;base64,AAAA\"}]}", "x" },
        { "{\"document\":[{\"type\":\"mask\"},{\"type\":\"text\",\"text\":\"a\",\"image_url\":{"
          "\"url\":"
          "\"data:image/png;base64,AAAA\"}}]}",
          "document[1].image_url" },
        { "{\"document\":[{\"type\":\"mask\",\"codes\":[1]}]}", "document[0].codes" },
        { "{\"document\":[{\"type\":\"mask\",\"mask\":{\"rect\":[0,0,1,1]}}]}",
          "document[0].mask" },
        { "{\"document\":[{\"type\":\"mask\"},{\"type\":\"mask\"}],\"order\":[0,1]}", NULL },
        { "{\"document\":[{\"type\":\"mask\"},{\"type\":\"mask\"}],\"order\":[1,0]}", NULL },
        { "{\"document\":[{\"type\":\"mask\"},{\"type\":\"mask\"}],\"order\":[1]}", "order" },
        { "{\"document\":[{\"type\":\"mask\"},{\"type\":\"mask\"}],\"order\":[1,1]}", "order[1]" },
        { "{\"document\":[{\"type\":\"mask\"},{\"type\":\"mask\"}],\"order\":[1,2]}", "order[1]" },
        { "{\"document\":[{\"type\":\"mask\",\"id\":4},{\"type\":\"mask\",\"id\":4}]}",
          "document[1].id" },
        { "{\"document\":[{\"type\":\"mask\",\"max_tokens\":0}]}", "document[0].max_tokens" },
        { "{\"document\":[{\"type\":\"mask\"},{\"type\":\"text\",\"text\":\"a\",\"mask\":{\"rect\":"
          "[0,0,0,4]}}]}",
          "document[1].mask.rect" },
        { "{\"document\":[{\"type\":\"text\",\"text\":\"a\",\"mask\":{\"rects\":[[0,0,1,1],"
          "[0,0,17,1]]}}]}",
          "document[0].mask.rects[1]" },
        { "{\"document\":[{\"type\":\"text\",\"text\":\"a\",\"mask\":{}}]}",
          "document[0].mask.rect" },
    };
    (void)state;
    check_rows(&vlm_kind_infill, rows, VLM_COUNTOF(rows));
}

static void values_of_scores(void **state)
{
    static const struct row rows[] = {
        { "{\"prompt\":\"a b\"}", NULL },
        { "{\"document\":[{\"type\":\"mask\"}],\"candidates\":[\"a\",\"b\"]}", NULL },
        { "{}", "" },
        { "{\"prompt\":\"a\",\"document\":[]}", "" },
        { "{\"prompt\":\"a\",\"candidates\":[]}", "candidates" },
        { "{\"prompt\":\"a\",\"candidates\":[\"b\",1]}", "candidates[1]" },
        { "{\"prompt\":\"a\",\"candidates\":[\"b\",\"\"]}", "candidates[1]" },
        { "{\"prompt\":\"a\",\"spans\":[[0,1],[2,2]]}", "spans[1]" },
        { "{\"prompt\":\"a\",\"candidates\":[\"b\"],\"spans\":[[0,1]]}", "spans" },
    };
    (void)state;
    check_rows(&vlm_kind_score, rows, VLM_COUNTOF(rows));
}

/* All are taken, so many are named. */
static void so_many_unknown_fields_are_named(void **state)
{
    (void)state;
    for (size_t n = VLM_UNKNOWN_MAX - 1; n <= VLM_UNKNOWN_MAX + 1; n++) {
        struct vlm_buffer body = { 0 };
        struct reading it;
        vlm_buffer_text(&body, "{\"prompt\":\"a\"");
        for (size_t i = 0; i < n; i++)
            vlm_buffer_printf(&body, ",\"foo%zu\":1", i);
        vlm_buffer_add(&body, "}", 2);
        begin(&it, &vlm_kind_completions);
        assert_true(read_body(&it, (const char *)body.data));
        assert_int_equal(it.call->reader.n_unknown, VLM_MIN(n, (size_t)VLM_UNKNOWN_MAX));
        end(&it);
        vlm_buffer_release(&body);
    }
}

static void unknown_fields_are_named(void **state)
{
    struct reading it;
    (void)state;
    begin(&it, &vlm_kind_completions);
    assert_true(read_body(&it, P "\"foo\":1,\"user\":\"u\",\"stream_options\":{\"bar\":2}}"));
    assert_int_equal(3, it.call->reader.n_unknown);
    assert_string_equal("foo", it.call->reader.unknown[0]);
    assert_string_equal("user", it.call->reader.unknown[1]);
    assert_string_equal("stream_options.bar", it.call->reader.unknown[2]);
    end(&it);
    begin(&it, &vlm_kind_completions);
    assert_true(read_body(&it, P "\"negative_prompt\":\"a\"}"));
    assert_int_equal(1, it.call->reader.n_unknown);
    assert_string_equal("negative_prompt", it.call->reader.unknown[0]);
    end(&it);
    begin(&it, &vlm_kind_completions);
    assert_true(read_body(&it, P "\"negative_prompt\":\"a\",\"cfg_scale\":2}"));
    assert_int_equal(0, it.call->reader.n_unknown);
    end(&it);
}

static void values_arrive(void **state)
{
    struct reading it;
    (void)state;
    begin(&it, &vlm_kind_completions);
    assert_true(read_body(&it, P "\"temperature\":0.5,\"image_top_k\":7,\"seed\":11,\"n\":3,"
                                 "\"stop\":[\"x\",\"yz\"],\"logit_bias\":{\"4\":-100,\"5\":2},"
                                 "\"max_tokens\":9,\"num_beams\":1,\"logprobs\":2,"
                                 "\"image_format\":\"codes\",\"repeat_last_n\":0,"
                                 "\"presence_penalty\":1}"));
    const struct vlm_request *request = &it.call->request;
    const struct vlm_generate_options *options = &request->options;
    assert_true(options->temperature == 0.5 && options->image_temperature == 1);
    assert_true(options->image_top_k == 7 && options->top_k == 0);
    assert_true(request->seed == 11 && request->n == 3 && options->max_tokens == 9);
    assert_int_equal(2, options->n_words);
    assert_string_equal("yz", options->words[1]);
    assert_int_equal(2, options->n_bias);
    assert_true(options->bias[0].id == 4 && isinf(options->bias[0].bias));
    assert_true(options->bias[1].id == 5 && options->bias[1].bias == 2);
    assert_int_equal(2, options->likely);
    assert_int_equal(VLM_IMAGE_FORM_CODES, request->image_form);
    assert_true(options->presence == 0); /* nothing is looked back at */
    end(&it);
}

static void schemas_are_json(void **state)
{
    const struct vlm_call_kind *const kinds[] = { &vlm_kind_completions, &vlm_kind_chat,
                                                  &vlm_kind_infill, &vlm_kind_score,
                                                  &vlm_kind_detokenize };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(kinds); i++) {
        struct vlm_buffer out = { 0 };
        struct vlm_err err = { 0 };
        json_object *parsed, *schema = NULL;
        vlm_buffer_byte(&out, '{');
        vlm_openapi_kind(&out, kinds[i]);
        vlm_buffer_byte(&out, '}');
        assert_false(out.failed);
        if (vlm_json_parse(&parsed, (const char *)out.data, out.size, &err))
            fail_msg("%s", err.msg);
        assert_true(json_object_object_get_ex(parsed, "requestBody", &schema));
        assert_true(json_object_object_get_ex(parsed, "responses", &schema));
        assert_true(json_object_object_get_ex(schema, "400", NULL));
        json_object_put(parsed);
        vlm_buffer_release(&out);
    }
}

/* ---- base64 ---- */

static void base64_is_strict(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } rows[] = {
        { "", "" },           { "Zg==", "f" },        { "Zm8=", "fo" },
        { "Zm9v", "foo" },    { "Zm9vYg==", "foob" }, { "Zg", "f" },
        { "Zm8", "fo" },      { "Z", NULL },          { "Zg=", NULL },
        { "Zh==", NULL },     { "Zm9v Zm9v", NULL },  { "Zm9v\n", NULL },
        { "Zg==Zg==", NULL }, { "====", NULL },       { "Zm9_", NULL },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++) {
        uint8_t out[64];
        size_t bad = 0;
        const size_t n = vlm_unbase64(out, rows[i].text, strlen(rows[i].text), &bad);
        if (!rows[i].bytes) {
            if (n != SIZE_MAX)
                fail_msg("'%s' was taken", rows[i].text);
            continue;
        }
        assert_int_equal(strlen(rows[i].bytes), n);
        assert_memory_equal(rows[i].bytes, out, n);
    }
    struct vlm_buffer text = { 0 };
    uint8_t bytes[256], back[260];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        size_t bad;
        text.size = 0;
        vlm_base64(&text, bytes, n);
        assert_int_equal((n + 2) / 3 * 4, text.size);
        assert_int_equal(n, vlm_unbase64(back, n ? (char *)text.data : "", text.size, &bad));
        assert_memory_equal(bytes, back, n);
    }
    vlm_buffer_release(&text);
}

/* ---- markup as words ---- */

static void markup_becomes_words(void **state)
{
    static const struct {
        const char *markup, *words;
    } rows[] = {
        { "a <b>c</b> d", "a c d" },
        { "1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2" },
        { "&#65;&#8364;&quot;", "A\xe2\x82\xac\"" },
        { "<img alt=\"x > y\" src=\"\">z", "z" },
        { "a < b & c &nothing; &lt", "a < b & c &nothing; &lt" },
        { "a <", "a <" },
        { "&averyveryverylongname;", "&averyveryverylongname;" },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++) {
        const size_t n = strlen(rows[i].markup);
        for (size_t cut = 0; cut <= n; cut++) {
            struct vlm_plain plain = { 0 };
            struct vlm_buffer out = { 0 };
            vlm_plain_add(&plain, &out, rows[i].markup, cut);
            vlm_plain_add(&plain, &out, rows[i].markup + cut, n - cut);
            vlm_plain_end(&plain, &out);
            vlm_buffer_byte(&out, 0);
            assert_string_equal(rows[i].words, (char *)out.data);
            vlm_buffer_release(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_json_to_the_letter),
        cmocka_unit_test(bodies_are_bounded),
        cmocka_unit_test(numbers_keep_their_digits),
        cmocka_unit_test(values_of_completions),
        cmocka_unit_test(counts_are_limited),
        cmocka_unit_test(values_are_limited),
        cmocka_unit_test(numbers_are_limited_by_the_server),
        cmocka_unit_test(values_of_chats),
        cmocka_unit_test(values_of_infills),
        cmocka_unit_test(values_of_scores),
        cmocka_unit_test(unknown_fields_are_named),
        cmocka_unit_test(so_many_unknown_fields_are_named),
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(schemas_are_json),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(markup_becomes_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
