/* test_api.c - the server as a whole, in this process, with a small model of random weights: requests in raw HTTP, answers as
 * clients read them. Rows of wrong requests have their status and the field at fault; answers keep what is promised of them:
 * pictures are whole, streams say what answers say, seeds decide, regions keep what is around them, clients that leave
 * leave nothing behind. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tests/api_fixture.h"

/* ---- wrong requests ---- */

struct row {
    const char *path, *body;
    int status;
    const char *param; /* NULL: null */
};

static void check_row(const struct row *row)
{
    struct answer answer = ask(row->path, row->body);
    json_object *error = answer.json ? at(answer.json, "error") : NULL;
    if (answer.status != row->status)
        fail_msg("%s %s: expected %d, found %d %s", row->path, row->body ? row->body : "",
                 row->status, answer.status, answer.body);
    if (row->status >= 400) {
        assert_non_null(error);
        assert_int_equal(row->status, number_at(&answer, "error.code"));
        assert_true(strlen(text_at(&answer, "error.message")) > 0);
        const char *param = json_object_get_string(at(error, "param"));
        if ((param == NULL) != (row->param == NULL) || (param && strcmp(param, row->param) != 0))
            fail_msg("%s: '%s' is at fault, expected '%s'", row->body, param ? param : "null",
                     row->param ? row->param : "null");
    }
    forget(&answer);
}

#define COMPLETE "/v1/completions"
#define CHAT     "/v1/chat/completions"

static void wrong_requests_say_what_is_wrong(void **state)
{
    static const struct row rows[] = {
        { "/nothing", NULL, 404, NULL },
        { COMPLETE, NULL, 405, NULL },
        { "/props", "{}", 405, NULL },
        { "/v1/models/other", NULL, 404, "model" },
        { COMPLETE, "{", 400, NULL },
        { COMPLETE, "[]", 400, NULL },
        { COMPLETE, "{\"prompt\":\"a\",\"prompt\":\"b\"}", 400, "prompt" },
        { COMPLETE, "{\"prompt\":[{\"type\":\"text\"},{\"type\":1,\"type\":2}]}", 400,
          "prompt[1].type" },
        { "/tokenize", "{\"content\":\"a\",\"content\":\"b\"}", 400, "content" },
        { COMPLETE, "{\"prompt\":\"\\ud800\"}", 400, NULL },
        { COMPLETE, "{}", 400, "prompt" },
        { COMPLETE, "{\"prompt\":\"\"}", 400, "prompt" },
        { COMPLETE, "{\"prompt\":[2,-1]}", 400, "prompt[1]" },
        { COMPLETE, "{\"prompt\":[2,4000000000]}", 400, "prompt[1]" },
        { COMPLETE, "{\"prompt\":\"a\",\"model\":\"other\"}", 404, "model" },
        { COMPLETE, "{\"prompt\":\"a\",\"temperature\":-1}", 400, "temperature" },
        { COMPLETE, "{\"prompt\":\"a\",\"max_tokens\":4000}", 400, "max_tokens" },
        { COMPLETE, "{\"prompt\":\"a\",\"num_beams\":5}", 400, "num_beams" },
        { COMPLETE, "{\"prompt\":\"a\",\"max_tokens\":0}", 400, "max_tokens" },
        { COMPLETE, "{\"prompt\":\"a\",\"truncate\":\"right\"}", 400, "truncate" },
        { CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"min_images\":1}", 400,
          "min_images" },
        { COMPLETE, "{\"prompt\":\"a <mask:1>\",\"special\":true}", 400, "prompt" },
        { COMPLETE, "{\"prompt\":\"<mask:0> <mask:0> <mask:0>\",\"special\":true}", 400, "prompt" },
        { CHAT,
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_codes\","
          "\"codes\":[1]}]}]}",
          400, "messages[0].content[0].codes" },
        { CHAT,
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
          "\"image_url\":{\"url\":\"data:image/png;base64,aGVsbG8=\"}}]}]}",
          400, "messages[0].content[0].image_url.url" },
        { "/infill", "{\"document\":[{\"type\":\"text\",\"text\":\"a\"}]}", 400, "document" },
        { "/infill", "{}", 400, NULL },
        { "/infill",
          "{\"document\":[{\"type\":\"mask\",\"id\":3},{\"type\":\"text\",\"text\":\"a\"},"
          "{\"type\":\"mask\",\"id\":3}]}",
          400, "document[2].id" },
        { "/infill", "{\"input_prefix\":\"a\",\"input_extra\":[{\"filename\":1,\"text\":\"b\"}]}",
          400, "input_extra[0].filename" },
        { "/score", "{\"prompt\":[2]}", 400, "prompt" },
        { "/tokenize", "{}", 400, "content" },
        { "/detokenize", "{\"tokens\":[4000000000]}", 400, "tokens[0]" },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++)
        check_row(&rows[i]);
}

/* Appends n times an id. */
static void add_ids(struct vlm_buffer *out, uint32_t id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vlm_buffer_printf(out, "%s%u", out->data[out->size - 1] == '[' ? "" : ",", id);
}

static void add_text_ids(struct vlm_buffer *out, const char *text)
{
    struct vlm_buffer body = { 0 };
    vlm_buffer_printf(&body, "{\"content\":\"%s\"}", text);
    vlm_buffer_byte(&body, 0);
    struct answer answer = ask_well("/tokenize", (const char *)body.data);
    json_object *tokens = at(answer.json, "tokens");
    for (size_t i = 0; i < json_object_array_length(tokens); i++)
        add_ids(out, (uint32_t)json_object_get_int64(json_object_array_get_idx(tokens, i)), 1);
    forget(&answer);
    vlm_buffer_release(&body);
}

static void prompts_fit_or_are_refused(void **state)
{
    (void)state;
    for (size_t n = CONTEXT - 1; n <= CONTEXT + 1; n++) {
        struct vlm_buffer body = { 0 };
        vlm_buffer_text(&body, "{\"max_tokens\":1,\"prompt\":[");
        add_ids(&body, 60, n);
        vlm_buffer_add(&body, "]}", 3);
        struct answer answer = ask(COMPLETE, (const char *)body.data);
        assert_int_equal(n < CONTEXT ? 200 : 400, answer.status);
        if (n >= CONTEXT) {
            char expected[64];
            snprintf(expected, sizeof(expected), "n_prompt_tokens %zu, n_ctx %d", n, CONTEXT);
            assert_non_null(strstr(text_at(&answer, "error.message"), expected));
            assert_string_equal("prompt", text_at(&answer, "error.param"));
        }
        forget(&answer);
        vlm_buffer_release(&body);
    }
}

/* Texts are refused for their bytes before they become tokens, of which at the limit there are too many for prompts. */
static void bytes_of_texts_are_limited(void **state)
{
    static const struct {
        const char *path, *field, *behind;
        bool prompt;
    } rows[] = {
        { "/tokenize", "content", "\"}", false },
        { COMPLETE, "prompt", "\"}", true },
        { "/score", "prompt", "\"}", true },
        { "/infill", "input_prefix", "\",\"input_suffix\":\"\"}", true },
    };
    const size_t limit = VLM_MIB;
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++)
        for (size_t n = limit - 1; n <= limit + 1; n++) {
            struct vlm_buffer body = { 0 };
            char sentence[128];
            vlm_buffer_printf(&body, "{\"%s\":\"", rows[i].field);
            for (size_t k = 0; k < n; k++)
                vlm_buffer_byte(&body, k % 8 ? 'a' : ' ');
            vlm_buffer_add(&body, rows[i].behind, strlen(rows[i].behind) + 1);
            struct answer answer = ask(rows[i].path, (const char *)body.data);
            snprintf(sentence, sizeof(sentence), "'%s' has %zu bytes, at most %zu are allowed",
                     rows[i].field, n, limit);
            if (n <= limit && !rows[i].prompt)
                assert_int_equal(answer.status, 200);
            else
                assert_int_equal(answer.status, 400);
            if (n > limit)
                assert_string_equal(text_at(&answer, "error.message"), sentence);
            else if (rows[i].prompt && !strstr(text_at(&answer, "error.message"), "too long"))
                fail_msg("%s: %s", rows[i].path, text_at(&answer, "error.message"));
            forget(&answer);
            vlm_buffer_release(&body);
        }
}

static void codes_stand_in_images_of_256(void **state)
{
    static const struct {
        size_t codes;
        bool good, text;
    } rows[] = { { 256, true, false }, { 255, false, false }, { 257, false, false },
                 { 1, false, true },   { 0, false, false },   { 0, true, true } };
    const uint32_t first = it.model.vocabulary.first_code;
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++) {
        struct vlm_buffer body = { 0 };
        vlm_buffer_text(&body, "{\"max_tokens\":1,\"prompt\":[");
        add_text_ids(&body, rows[i].text ? "<p>" : "<img src=\\\"");
        add_ids(&body, first + 3, rows[i].codes);
        add_text_ids(&body, rows[i].text ? "</p>" : "\\\">");
        vlm_buffer_add(&body, "]}", 3);
        struct answer answer = ask(COMPLETE, (const char *)body.data);
        assert_int_equal(rows[i].good ? 200 : 400, answer.status);
        if (!rows[i].good)
            assert_memory_equal("prompt[", text_at(&answer, "error.param"), 7);
        forget(&answer);
        vlm_buffer_release(&body);
    }
}

/* ---- answers ---- */

/* All codes of a picture are there, and the codebook has them. */
static void check_codes(json_object *codes)
{
    assert_non_null(codes);
    assert_int_equal(256, json_object_array_length(codes));
    for (size_t i = 0; i < 256; i++) {
        json_object *code = json_object_array_get_idx(codes, i);
        assert_true(json_object_is_type(code, json_type_int));
        assert_in_range(json_object_get_int64(code), 0, FIXTURE_CODES - 1);
    }
}

static void pictures_are_whole(void **state)
{
    struct answer answer = ask_well(
        COMPLETE, "{\"prompt\":\"<img alt=\\\"a\\\" src=\\\"\",\"max_tokens\":270,\"seed\":1}");
    (void)state;
    check_codes(at(answer.json, "choices.0.images.0.vlm.codes"));
    assert_int_equal(256, number_at(&answer, "usage.completion_tokens_details.image_tokens"));
    assert_string_equal("image_ref", text_at(&answer, "choices.0.content_parts.0.type"));
    forget(&answer);
    answer = ask_well(CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a cat\"}],"
                            "\"modalities\":[\"image\"],\"seed\":2}");
    check_codes(at(answer.json, "choices.0.message.images.0.vlm.codes"));
    assert_null(at(answer.json, "choices.0.message.images.1"));
    assert_string_equal("stop", text_at(&answer, "choices.0.finish_reason"));
    forget(&answer);
}

static void streams_say_what_answers_say(void **state)
{
    static const char *const bodies[] = {
        "{\"prompt\":\"<p>A\",\"max_tokens\":40,\"seed\":5,\"temperature\":0.8,\"logprobs\":1",
        "{\"prompt\":\"<p>A\",\"max_tokens\":60,\"seed\":7,\"stop\":[\"e\"],\"n\":3",
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(bodies); i++) {
        char body[512];
        struct vlm_buffer text[3] = { { 0 } };
        snprintf(body, sizeof(body), "%s}", bodies[i]);
        struct answer whole = ask_well(COMPLETE, body);
        snprintf(body, sizeof(body),
                 "%s,\"stream\":true,\"stream_options\":{\"include_usage\":true}}", bodies[i]);
        struct answer streamed = ask_well(COMPLETE, body);
        const char *rest = streamed.body;
        bool usage = false;
        char id[64] = "";
        for (json_object *event; (event = next_event(&rest)); json_object_put(event)) {
            const char *its = json_object_get_string(at(event, "id"));
            assert_true(!*id || !strcmp(id, its));
            snprintf(id, sizeof(id), "%s", its);
            if (!at(event, "choices.0")) {
                usage = true;
                assert_string_equal(json_object_get_string(at(whole.json, "usage.total_tokens")),
                                    json_object_get_string(at(event, "usage.total_tokens")));
                continue;
            }
            const int64_t index = json_object_get_int64(at(event, "choices.0.index"));
            assert_in_range(index, 0, 2);
            vlm_buffer_text(&text[index], json_object_get_string(at(event, "choices.0.text")));
        }
        assert_true(usage);
        assert_non_null(strstr(streamed.body, "data: [DONE]\n\n"));
        for (size_t k = 0; k < (i ? 3 : 1); k++) {
            char path[32];
            snprintf(path, sizeof(path), "choices.%zu.text", k);
            vlm_buffer_byte(&text[k], 0);
            assert_string_equal(text_at(&whole, path), (char *)text[k].data);
        }
        for (size_t k = 0; k < 3; k++)
            vlm_buffer_release(&text[k]);
        forget(&whole);
        forget(&streamed);
    }
}

static void seeds_decide(void **state)
{
    struct answer both = ask_well(COMPLETE, "{\"prompt\":\"<p>A\",\"max_tokens\":30,\"seed\":5,"
                                            "\"n\":2}");
    struct answer second = ask_well(COMPLETE, "{\"prompt\":\"<p>A\",\"max_tokens\":30,\"seed\":6}");
    (void)state;
    assert_string_equal(text_at(&both, "choices.1.text"), text_at(&second, "choices.0.text"));
    assert_string_not_equal(text_at(&both, "choices.0.text"), text_at(&both, "choices.1.text"));
    assert_int_equal(6, number_at(&both, "choices.1.seed"));
    forget(&both);
    forget(&second);
    /* One that was drawn by lot is told, and gives the same again. */
    struct answer lot = ask_well(COMPLETE, "{\"prompt\":\"<p>A\",\"max_tokens\":30}");
    char body[128];
    snprintf(body, sizeof(body), "{\"prompt\":\"<p>A\",\"max_tokens\":30,\"seed\":%" PRId64 "}",
             number_at(&lot, "choices.0.seed"));
    struct answer again = ask_well(COMPLETE, body);
    assert_string_equal(text_at(&lot, "choices.0.text"), text_at(&again, "choices.0.text"));
    forget(&lot);
    forget(&again);
}

static void unknown_fields_are_warned_of(void **state)
{
    struct answer answer =
        ask_well(COMPLETE, "{\"prompt\":\"a\",\"max_tokens\":1,\"foo\":1,\"user\":\"u\"}");
    (void)state;
    assert_non_null(strstr(text_at(&answer, "warnings.0"), "'foo'"));
    assert_non_null(strstr(text_at(&answer, "warnings.1"), "'user'"));
    forget(&answer);
    check_row(
        &(struct row){ COMPLETE, "{\"prompt\":\"a\",\"foo\":1,\"strict\":true}", 400, "foo" });
}

static void words_of_people_are_text(void **state)
{
    /* None of it becomes a control token (the ids of words begin behind those). */
    struct answer answer =
        ask_well("/tokenize", "{\"content\":\"<mask:0> <image> <EOC> <eoss> <|endoftext|>\"}");
    json_object *tokens = at(answer.json, "tokens");
    (void)state;
    for (size_t i = 0; i < json_object_array_length(tokens); i++) {
        const uint32_t id = (uint32_t)json_object_get_int64(json_object_array_get_idx(tokens, i));
        assert_false(vlm_vocabulary_is_control(&it.model.vocabulary, id));
        assert_int_equal(-1, vlm_vocabulary_mask_number(&it.model.vocabulary, id));
    }
    forget(&answer);
    answer = ask_well("/tokenize", "{\"content\":\"<mask:0>\",\"parse_special\":true}");
    assert_int_equal(it.model.vocabulary.mask[0], number_at(&answer, "tokens.0"));
    forget(&answer);
}

static void ids_become_text_and_pictures_again(void **state)
{
    struct vlm_buffer body = { 0 };
    (void)state;
    vlm_buffer_text(&body, "{\"tokens\":[");
    add_text_ids(&body, "<img src=\\\"");
    add_ids(&body, it.model.vocabulary.first_code + 7, 256);
    add_text_ids(&body, "\\\">");
    vlm_buffer_add(&body, "]}", 3);
    struct answer answer = ask_well("/detokenize", (const char *)body.data);
    check_codes(at(answer.json, "images.0.vlm.codes"));
    assert_memory_equal("<img src=\"7 7 7", text_at(&answer, "content"), 15);
    assert_string_equal("<img src=\"", text_at(&answer, "content_parts.0.text"));
    forget(&answer);
    vlm_buffer_release(&body);
}

/* ---- fills ---- */

static void add_codes(struct vlm_buffer *out)
{
    vlm_buffer_text(out, "{\"type\":\"image_codes\",\"codes\":[");
    for (size_t i = 0; i < 256; i++)
        vlm_buffer_printf(out, "%s%zu", i ? "," : "", i * 5 % FIXTURE_CODES);
    vlm_buffer_text(out, "]");
}

static void regions_keep_what_is_around_them(void **state)
{
    struct vlm_buffer body = { 0 };
    (void)state;
    vlm_buffer_text(&body, "{\"seed\":3,\"document\":[");
    add_codes(&body);
    vlm_buffer_text(&body, ",\"mask\":{\"id\":9,\"rect\":[4,5,12,13]}}]}");
    vlm_buffer_byte(&body, 0);
    struct answer answer = ask_well("/infill", (const char *)body.data);
    json_object *codes = at(answer.json, "masks.0.images.0.vlm.codes");
    check_codes(codes);
    assert_int_equal(9, number_at(&answer, "masks.0.id"));
    assert_int_equal(64, number_at(&answer, "masks.0.tokens_predicted"));
    size_t changed = 0;
    for (size_t i = 0; i < 256; i++) {
        const bool inside = i / 16 >= 4 && i / 16 < 12 && i % 16 >= 5 && i % 16 < 13;
        const bool same = json_object_get_int64(json_object_array_get_idx(codes, i)) ==
                          (int64_t)(i * 5 % FIXTURE_CODES);
        assert_true(inside || same);
        changed += !same;
    }
    assert_true(changed > 16);
    forget(&answer);
    vlm_buffer_release(&body);
}

/* What guidance leads away from when nothing is said: the page without its words. */
static void guidance_leads_away_from_words(void **state)
{
#define WHOLE "\"seed\":4,\"cfg_scale\":3,\"image_top_k\":60"
    (void)state;
    struct answer same = ask_well(
        COMPLETE, "{\"prompt\":\"<img alt=\\\"a cat\\\" src=\\\"\",\"max_tokens\":256," WHOLE "}");
    struct answer named =
        ask_well(COMPLETE, "{\"prompt\":\"<img alt=\\\"a cat\\\" src=\\\"\",\"max_tokens\":256,"
                           "\"negative_prompt\":\"<img src=\\\"\"," WHOLE "}");
    struct answer other =
        ask_well(COMPLETE, "{\"prompt\":\"<img alt=\\\"a cat\\\" src=\\\"\",\"max_tokens\":256,"
                           "\"negative_prompt\":\"<img alt=\\\"a dog\\\" src=\\\"\"," WHOLE "}");
    const char *codes = text_at(&same, "choices.0.images.0.vlm.codes");
    assert_string_equal(codes, text_at(&named, "choices.0.images.0.vlm.codes"));
    assert_string_not_equal(codes, text_at(&other, "choices.0.images.0.vlm.codes"));
    struct answer chat = ask_well(CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a cat\"}],"
                                        "\"modalities\":[\"image\"]," WHOLE "}");
    struct answer away =
        ask_well(CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a cat\"}],"
                       "\"modalities\":[\"image\"],\"negative_prompt\":\"a dog\"," WHOLE "}");
    assert_string_not_equal(text_at(&chat, "choices.0.message.images.0.vlm.codes"),
                            text_at(&away, "choices.0.message.images.0.vlm.codes"));
    struct answer fill[2];
    static const char *const scale[] = { "1", "3" };
    for (size_t i = 0; i < 2; i++) {
        char body[400];
        snprintf(body, sizeof(body),
                 "{\"document\":[{\"type\":\"text\",\"text\":\"<p>a cat</p>\"},{\"type\":"
                 "\"mask\",\"id\":1,\"kind\":\"image\"},{\"type\":\"mask\",\"id\":0}],"
                 "\"order\":[0,1],\"seed\":4,\"max_tokens\":4,\"cfg_scale_image\":%s}",
                 scale[i]);
        fill[i] = ask_well("/infill", body);
    }
    assert_string_equal(text_at(&fill[0], "masks.1.content"), text_at(&fill[1], "masks.1.content"));
    assert_string_not_equal(text_at(&fill[0], "masks.0.images.0.vlm.codes"),
                            text_at(&fill[1], "masks.0.images.0.vlm.codes"));
    struct answer *const all[] = { &same, &named, &other, &chat, &away, &fill[0], &fill[1] };
    for (size_t i = 0; i < VLM_COUNTOF(all); i++)
        forget(all[i]);
#undef WHOLE
}

/* With echo the prompt's tokens have what /score says of them. */
static void prompts_have_logprobs(void **state)
{
    (void)state;
    struct answer score = ask_well("/score", "{\"prompt\":\"<p>The cat\"}");
    struct answer echo =
        ask_well(COMPLETE, "{\"prompt\":\"<p>The cat\",\"echo\":true,\"max_tokens\":0,"
                           "\"logprobs\":2}");
    struct answer more = ask_well(COMPLETE, "{\"prompt\":\"<p>The cat\",\"echo\":true,"
                                            "\"max_tokens\":3,\"logprobs\":1,\"ignore_eos\":true}");
    json_object *ours = at(echo.json, "choices.0.logprobs.token_logprobs");
    json_object *theirs = at(score.json, "logprobs");
    const size_t n = json_object_array_length(theirs);
    assert_int_equal(n - 1, json_object_array_length(ours));
    for (size_t i = 1; i < n; i++)
        assert_true(fabs(json_object_get_double(json_object_array_get_idx(theirs, i)) -
                         json_object_get_double(json_object_array_get_idx(ours, i - 1))) < 1e-5);
    assert_string_equal("<p>The cat", text_at(&echo, "choices.0.text"));
    assert_int_equal(0, number_at(&echo, "usage.completion_tokens"));
    assert_int_equal(3, /* the prompt's own one is not among the two */
                     json_object_object_length(at(echo.json, "choices.0.logprobs.top_logprobs.0")));
    assert_int_equal(n - 1 + 3,
                     json_object_array_length(at(more.json, "choices.0.logprobs.tokens")));
    assert_int_equal(n - 1 + 3,
                     json_object_array_length(at(more.json, "choices.0.logprobs.top_logprobs")));
    struct answer ids = ask_well(COMPLETE, "{\"prompt\":[2,40,41],\"echo\":true,\"max_tokens\":0,"
                                           "\"logprobs\":0}");
    ours = at(ids.json, "choices.0.logprobs.token_logprobs");
    assert_int_equal(3, json_object_array_length(ours));
    assert_null(json_object_array_get_idx(ours, 0));
    struct answer *const all[] = { &score, &echo, &more, &ids };
    for (size_t i = 0; i < VLM_COUNTOF(all); i++)
        forget(all[i]);
}

/* A prompt that is too long is an error, but on request, which is answered with how much is missing. */
static void prompts_are_cut_on_request(void **state)
{
    static const char *const where[] = { "none", "left", "middle" };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct vlm_buffer body = { 0 };
        vlm_buffer_text(&body, "{\"prompt\":\"<p>begin</p>");
        for (size_t k = 0; k < 150; k++)
            vlm_buffer_printf(&body, "<p>%zu</p>", k);
        vlm_buffer_printf(&body, "<p>end\",\"max_tokens\":20,\"truncate\":\"%s\"}", where[i]);
        vlm_buffer_byte(&body, 0);
        struct answer answer = ask(COMPLETE, (const char *)body.data);
        assert_int_equal(i ? 200 : 400, answer.status);
        if (i) {
            assert_string_equal("true", text_at(&answer, "truncated"));
            assert_true(number_at(&answer, "truncated_tokens") > 0);
            assert_in_range(number_at(&answer, "usage.prompt_tokens"), CONTEXT / 2, CONTEXT - 20);
        }
        forget(&answer);
        vlm_buffer_release(&body);
    }
    /* Not within a picture, and not a mask. */
    struct vlm_buffer body = { 0 };
    vlm_buffer_text(&body, "{\"prompt\":[");
    for (size_t k = 0; k < 2; k++) {
        add_codes(&body);
        vlm_buffer_text(&body, k ? "}" : "},");
    }
    vlm_buffer_text(&body, "],\"max_tokens\":4,\"truncate\":\"left\"}");
    vlm_buffer_byte(&body, 0);
    struct answer answer = ask_well(COMPLETE, (const char *)body.data);
    assert_int_equal(256, number_at(&answer, "usage.prompt_tokens_details.image_tokens"));
    forget(&answer);
    vlm_buffer_release(&body);
}

/* Where a tag ends, a picture that has to be begins; none begins behind the last that may be. */
static void pictures_are_counted(void **state)
{
    (void)state;
    struct answer ids = ask_well("/tokenize", "{\"content\":\"a>\"}");
    json_object *tokens = at(ids.json, "tokens");
    const int64_t bracket = json_object_get_int64(
        json_object_array_get_idx(tokens, json_object_array_length(tokens) - 1));
    static const char *const counts[] = { "\"min_images\":1,\"max_images\":1",
                                          "\"min_images\":1,\"max_images\":1,\"num_beams\":2",
                                          "\"max_images\":0" };
    for (size_t i = 0; i < 3; i++) {
        char body[400];
        snprintf(body, sizeof(body),
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"modalities\":[\"text\","
                 "\"image\"],\"max_tokens\":300,\"seed\":2,\"logit_bias\":{\"%" PRId64
                 "\":100},%s}",
                 bracket, counts[i]);
        struct answer answer = ask_well(CHAT, body);
        json_object *images = at(answer.json, "choices.0.message.images");
        assert_int_equal(i < 2, images ? json_object_array_length(images) : 0);
        if (i < 2)
            assert_int_equal(VLM_CODES, json_object_array_length(at(
                                            answer.json, "choices.0.message.images.0.vlm.codes")));
        forget(&answer);
    }
    forget(&ids);
}

/* In any order, of which the answer says nothing: its masks are those of the document. */
static void orders_are_kept(void **state)
{
    static const char *const orders[] = { "[4,2]", "[2,4]" };
    char first[2][256];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char body[512];
        snprintf(
            body, sizeof(body),
            "{\"document\":[{\"type\":\"text\",\"text\":\"<p>The\"},{\"type\":\"mask\",\"id\":4},"
            "{\"type\":\"text\",\"text\":\" and\"},{\"type\":\"mask\",\"id\":2},{\"type\":\"text\","
            "\"text\":\"</p>\"}],\"seed\":3,\"max_tokens\":6,\"ignore_eos\":true,\"order\":%s}",
            orders[i]);
        struct answer answer = ask_well("/infill", body);
        assert_int_equal(4, number_at(&answer, "masks.0.id"));
        assert_int_equal(2, number_at(&answer, "masks.1.id"));
        snprintf(first[i], sizeof(first[i]), "%s", text_at(&answer, "masks.0.content"));
        forget(&answer);
    }
    assert_string_not_equal(first[0], first[1]); /* it was drawn first, and second */
}

static void documents_are_filled(void **state)
{
    struct answer answer = ask_well(
        "/infill", "{\"document\":[{\"type\":\"text\",\"text\":\"<p>The\"},{\"type\":\"mask\","
                   "\"id\":4,\"max_tokens\":3},{\"type\":\"text\",\"text\":\" and\"},{\"type\":"
                   "\"mask\",\"id\":2,\"max_tokens\":5},{\"type\":\"text\",\"text\":\"</p>\"}],"
                   "\"seed\":3,\"order\":[4,2],\"ignore_eos\":true}");
    struct vlm_buffer expected = { 0 };
    (void)state;
    assert_int_equal(4, number_at(&answer, "masks.0.id"));
    assert_int_equal(3, number_at(&answer, "masks.0.tokens_predicted"));
    assert_string_equal("limit", text_at(&answer, "masks.0.stop_type"));
    assert_int_equal(5, number_at(&answer, "masks.1.tokens_predicted"));
    vlm_buffer_printf(&expected, "<p>The%s and%s</p>", text_at(&answer, "masks.0.content"),
                      text_at(&answer, "masks.1.content"));
    vlm_buffer_byte(&expected, 0);
    assert_string_equal((char *)expected.data, text_at(&answer, "content"));
    vlm_buffer_release(&expected);
    forget(&answer);
    answer =
        ask_well("/infill", "{\"input_prefix\":\"<p>The\",\"input_suffix\":\"</p>\",\"prompt\":"
                            "\" old\",\"n_predict\":6,\"seed\":1,\"ignore_eos\":true}");
    assert_int_equal(6, number_at(&answer, "tokens_predicted"));
    assert_string_equal(text_at(&answer, "masks.0.content"), text_at(&answer, "content"));
    forget(&answer);
}

/* As editors send it ahead of what they will ask: the prompt is read, and nothing of an answer counts. */
static void prompts_are_read_ahead(void **state)
{
    static const char *const bodies[] = {
        "{\"input_prefix\":\"<p>The\",\"input_suffix\":\"</p>\",\"n_predict\":0,\"n_probs\":1}",
        "{\"document\":[{\"type\":\"text\",\"text\":\"<p>\"},{\"type\":\"mask\",\"id\":0}],"
        "\"n_predict\":0,\"n_probs\":1}"
    };
    static const char *const contents[] = { "", "<p>" };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(bodies); i++) {
        struct answer answer = ask_well("/infill", bodies[i]);
        assert_string_equal(contents[i], text_at(&answer, "content"));
        assert_string_equal("none", text_at(&answer, "stop_type"));
        assert_int_equal(0, number_at(&answer, "tokens_predicted"));
        assert_int_equal(0, number_at(&answer, "usage.completion_tokens"));
        assert_int_equal(0, number_at(&answer, "timings.predicted_n"));
        json_object *drawn = at(answer.json, "completion_probabilities");
        assert_true(json_object_is_type(drawn, json_type_array));
        assert_int_equal(0, json_object_array_length(drawn));
        assert_true(number_at(&answer, "tokens_evaluated") > 0);
        forget(&answer);
    }
}

/* The words that end the template's answer do not, no more than the end itself. */
static void chats_without_an_end_are_long(void **state)
{
    struct vlm_buffer ids = { 0 };
    bool ended = false;
    (void)state;
    vlm_buffer_text(&ids, "[");
    add_text_ids(&ids, "</p>");
    vlm_buffer_text(&ids, "]");
    vlm_buffer_byte(&ids, 0);
    json_object *list = json_tokener_parse((const char *)ids.data);
    struct vlm_buffer bias = { 0 };
    for (size_t i = 0; i < json_object_array_length(list); i++)
        vlm_buffer_printf(&bias, "%s\"%" PRId64 "\":100", i ? "," : "",
                          json_object_get_int64(json_object_array_get_idx(list, i)));
    vlm_buffer_byte(&bias, 0);
    for (int seed = 0; seed < 20 && !ended; seed++) {
        static const char form[] =
            "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":120,\"seed\":%d,"
            "\"logit_bias\":{%s}%s}";
        char body[512];
        snprintf(body, sizeof(body), form, seed, (const char *)bias.data, "");
        struct answer answer = ask_well(CHAT, body);
        ended = !strcmp("stop", text_at(&answer, "choices.0.finish_reason"));
        forget(&answer);
        snprintf(body, sizeof(body), form, seed, (const char *)bias.data, ",\"ignore_eos\":true");
        answer = ask_well(CHAT, body);
        assert_string_equal("length", text_at(&answer, "choices.0.finish_reason"));
        assert_int_equal(120, number_at(&answer, "usage.completion_tokens"));
        forget(&answer);
    }
    assert_true(ended); /* one of them would have */
    json_object_put(list);
    vlm_buffer_release(&ids);
    vlm_buffer_release(&bias);
}

/* ---- scores ---- */

/* How likely drawn tokens were is what their score says afterwards. */
static void scores_are_those_of_answers(void **state)
{
    enum { N = 12 };
    struct answer drawn = ask_well("/completion", "{\"prompt\":[2,60,61],\"n_predict\":12,"
                                                  "\"seed\":4,\"n_probs\":1,\"ignore_eos\":true}");
    struct vlm_buffer body = { 0 };
    char path[64];
    (void)state;
    assert_int_equal(N, json_object_array_length(at(drawn.json, "completion_probabilities")));
    vlm_buffer_text(&body, "{\"spans\":[[3,15]],\"prompt\":[2,60,61");
    for (size_t i = 0; i < N; i++) {
        snprintf(path, sizeof(path), "completion_probabilities.%zu.id", i);
        vlm_buffer_printf(&body, ",%" PRId64, number_at(&drawn, path));
    }
    vlm_buffer_add(&body, "]}", 3);
    struct answer score = ask_well("/score", (const char *)body.data);
    double sum = 0;
    assert_true(json_object_is_type(at(score.json, "logprobs.0"), json_type_null));
    for (size_t i = 0; i < N; i++) {
        snprintf(path, sizeof(path), "completion_probabilities.%zu.logprob", i);
        const double expected = json_object_get_double(at(drawn.json, path));
        const double found =
            json_object_get_double(json_object_array_get_idx(at(score.json, "logprobs"), 3 + i));
        assert_true(found - expected < 1e-4 && expected - found < 1e-4);
        sum += found;
    }
    const double span = json_object_get_double(at(score.json, "spans.0.log_likelihood"));
    assert_true(span - sum < 1e-3 && sum - span < 1e-3);
    forget(&score);
    forget(&drawn);
    vlm_buffer_release(&body);
}

static void the_likeliest_candidate_comes_first(void **state)
{
    double one[2];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct answer score =
            ask_well("/score", i ? "{\"prompt\":\"<p>The\",\"candidates\":[\" cat\"]}"
                                 : "{\"prompt\":\"<p>The\",\"candidates\":[\" end\"]}");
        one[i] = json_object_get_double(at(score.json, "candidates.0.log_likelihood"));
        forget(&score);
    }
    struct answer score =
        ask_well("/score", "{\"prompt\":\"<p>The\",\"candidates\":[\" end\",\" cat\"]}");
    assert_int_equal(one[1] > one[0], number_at(&score, "candidates.0.index"));
    assert_true(json_object_get_double(at(score.json, "candidates.0.log_likelihood")) ==
                VLM_MAX(one[0], one[1]));
    forget(&score);
    score = ask_well("/score", "{\"document\":[{\"type\":\"text\",\"text\":\"<p>The \"},{\"type\":"
                               "\"mask\"},{\"type\":\"text\",\"text\":\" is red.</p>\"}],"
                               "\"candidates\":[\"cat\",\"dog\",\"cat\"]}");
    assert_int_equal(3, json_object_array_length(at(score.json, "candidates")));
    double last = 0;
    for (size_t i = 0; i < 3; i++) {
        char path[48];
        snprintf(path, sizeof(path), "candidates.%zu.log_likelihood", i);
        const double each = json_object_get_double(at(score.json, path));
        assert_true(each < 0 && (!i || each <= last));
        last = each;
    }
    forget(&score);
}

/* ---- the rest ---- */

static void methods_are_told(void **state)
{
    struct answer answer = ask_bytes("OPTIONS", "/props", NULL, 0);
    (void)state;
    assert_int_equal(204, answer.status);
    assert_non_null(strstr((char *)answer.bytes.data, "Allow: GET, HEAD, OPTIONS"));
    forget(&answer);
    answer = ask_bytes("DELETE", COMPLETE, NULL, 0);
    assert_int_equal(405, answer.status);
    assert_non_null(strstr((char *)answer.bytes.data, "Allow: POST, OPTIONS"));
    forget(&answer);
    answer = ask_bytes("HEAD", "/health", NULL, 0);
    assert_int_equal(200, answer.status);
    assert_string_equal("", answer.body);
    forget(&answer);
}

static void states_can_be_asked(void **state)
{
    static const char *const paths[] = { "/health", "/v1/health", "/live",     "/ready",
                                         "/props",  "/version",   "/v1/models" };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(paths); i++) {
        struct answer answer = ask_well(paths[i], NULL);
        assert_non_null(answer.json);
        forget(&answer);
    }
    struct answer answer = ask_well("/props", NULL);
    assert_int_equal(FIXTURE_CODES, number_at(&answer, "image.codebook_size"));
    assert_int_equal(16, number_at(&answer, "image.grid.1"));
    assert_int_equal(CONTEXT, number_at(&answer, "n_ctx"));
    forget(&answer);
    answer = ask_well("/v1/models/modern", NULL);
    assert_string_equal("image", text_at(&answer, "architecture.output_modalities.1"));
    forget(&answer);
    answer = ask_well("/metrics", NULL);
    assert_non_null(strstr(answer.body, "vlm_requests_running 0\n"));
    forget(&answer);
    answer = ask_well("/", NULL);
    assert_non_null(strstr(answer.body, "<html"));
    forget(&answer);
}

static void every_path_is_described(void **state)
{
    static const char *const paths[] = {
        COMPLETE,           CHAT,          "/v1/images/generations",
        "/v1/images/edits", "/infill",     "/v1/models",
        "/tokenize",        "/detokenize", "/score",
        "/vq/encode",       "/vq/decode",  "/v1/images/blobs/{sha256}",
        "/health",          "/ready",      "/metrics",
        "/props",           "/slots",      "/openapi.json",
    };
    struct answer answer = ask_well("/openapi.json", NULL);
    json_object *all = at(answer.json, "paths");
    (void)state;
    assert_non_null(all);
    for (size_t i = 0; i < VLM_COUNTOF(paths); i++) {
        json_object *path;
        if (!json_object_object_get_ex(all, paths[i], &path))
            fail_msg("%s is not there", paths[i]);
        json_object_object_foreach(path, method, operation)
        {
            if (!at(operation, "responses.200") && !at(operation, "responses.201"))
                fail_msg("%s %s has no answer", method, paths[i]);
            assert_non_null(at(operation, "responses.400"));
            assert_non_null(at(operation, "responses.401"));
        }
    }
    const struct {
        const char *path, *field, *value;
    } defaults[] = {
        { "/v1/completions", "echo", "false" },
        { "/v1/chat/completions", "min_images", "0" },
        { "/v1/chat/completions", "logprobs", "false" },
        { "/infill", "temperature", "1" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(defaults); i++) {
        char place[128];
        snprintf(place, sizeof(place),
                 "%s.post.requestBody.content.application/json.schema.properties.%s.default",
                 defaults[i].path, defaults[i].field);
        assert_string_equal(json_object_to_json_string(at(all, place)), defaults[i].value);
    }
#define BIAS                                                                                       \
    "/v1/completions.post.requestBody.content.application/json.schema.properties.logit_bias"
    json_object *pair = at(all, BIAS ".anyOf.2.items");
    assert_string_equal("integer", json_object_get_string(at(pair, "prefixItems.0.type")));
    assert_int_equal(-100, json_object_get_int64(at(pair, "prefixItems.1.anyOf.0.minimum")));
    forget(&answer);
}

/* Slots that work on something. */
static size_t busy(void)
{
    struct answer answer = ask_well("/slots", NULL);
    size_t n = 0;
    for (size_t i = 0; i < json_object_array_length(answer.json); i++)
        n += json_object_get_boolean(at(json_object_array_get_idx(answer.json, i), "is_processing"))
                 ? 1
                 : 0;
    forget(&answer);
    return n;
}

/* Requests that were given up so far because their clients had left. */
static unsigned long cancelled(void)
{
    static const char name[] = "\nvlm_cancelled_requests_total{";
    struct answer answer = ask_well("/metrics", NULL);
    unsigned long n = 0;
    for (const char *at = answer.body; (at = strstr(at, name)); at++)
        n += strtoul(strchr(at, '}') + 1, NULL, 10);
    forget(&answer);
    return n;
}

/* Slots are free one step of the model later. */
static void wait_until_idle(void)
{
    const double end = vlm_now() + 5;
    while (busy() && vlm_now() < end)
        usleep(1000);
    assert_int_equal(busy(), 0);
}

static void clients_that_leave_free_their_slots(void **state)
{
    static const char *const bodies[] = {
        "{\"prompt\":\"<p>A\",\"ignore_eos\":true,\"stream\":true,\"n\":6}",
        "{\"prompt\":\"<img src=\\\"\",\"ignore_eos\":true,\"n\":6}",
    };
    enum { CLIENTS = 12 };
    (void)state;
    const unsigned long before = cancelled();
    for (size_t i = 0; i < CLIENTS; i++) {
        const char *body = bodies[i % 2];
        int fd = dial();
        struct vlm_buffer in = { 0 };
        send_request(fd, "POST", COMPLETE, body, strlen(body));
        if (i % 2 == 0)
            receive(fd, &in, 1 + 300 * i);
        for (size_t k = 0; k < i * 3; k++)
            pump();
        close(fd);
        vlm_buffer_release(&in);
    }
    /* The last of them may not have been read yet when the slots are looked at. */
    const double end = vlm_now() + 5;
    while (cancelled() - before < CLIENTS && vlm_now() < end)
        usleep(1000);
    assert_int_equal(CLIENTS, cancelled() - before);
    wait_until_idle();
    struct answer answer = ask_well(COMPLETE, "{\"prompt\":\"<p>A\",\"max_tokens\":3}");
    forget(&answer);
}

static void answers_that_are_cut_count_for_nobody_who_left(void **state)
{
    (void)state;
    const unsigned long before = cancelled();
    struct answer answer =
        ask_well("/completion", "{\"prompt\":\"<p>A\",\"ignore_eos\":true,\"n_predict\":300,"
                                "\"t_max_predict_ms\":0.01}");
    assert_string_equal(text_at(&answer, "stop_type"), "limit");
    assert_in_range(number_at(&answer, "tokens_predicted"), 1, 299);
    forget(&answer);
    wait_until_idle();
    assert_int_equal(cancelled(), before);
}

/* ---- models of text, and of pictures that are seen ---- */

static void texts_are_continued_and_not_filled(void **state)
{
    (void)state;
    struct answer answer = ask_well(COMPLETE, "{\"prompt\":\"This is\",\"max_tokens\":8}");
    assert_null(at(answer.json, "choices.0.images"));
    forget(&answer);
    answer = ask_well("/apply-template", "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},"
                                         "{\"role\":\"user\",\"content\":\"U\"}]}");
    assert_non_null(strstr(text_at(&answer, "prompt"), "System: S\nUser: U\nAssistant:"));
    forget(&answer);
    answer = ask_well(CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"U\"}],"
                            "\"max_tokens\":8}");
    forget(&answer);
    const struct row rows[] = {
        { "/infill", "{\"input_prefix\":\"a\",\"input_suffix\":\"b\"}", 400, "input_suffix" },
        { COMPLETE, "{\"prompt\":\"a\",\"suffix\":\"b\"}", 400, "suffix" },
        { CHAT,
          "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"modalities\":["
          "\"image\"]}",
          400, "modalities" },
        { CHAT,
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
          "\"image_url\":{\"url\":\"data:image/png;base64,aGVsbG8=\"}}]}]}",
          400, "messages[0].content[0].image_url.url" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++)
        check_row(&rows[i]);
}

static void pictures_are_seen(void **state)
{
    struct vlm_buffer body = { 0 };
    (void)state;
    vlm_buffer_text(&body, "{\"max_tokens\":6,\"messages\":[{\"role\":\"user\",\"content\":[");
    add_codes(&body);
    vlm_buffer_text(&body, "},{\"type\":\"text\",\"text\":\"A\"}]}]}");
    vlm_buffer_byte(&body, 0);
    struct answer answer = ask_well(CHAT, (const char *)body.data);
    assert_int_equal(8, number_at(&answer, "usage.prompt_tokens_details.image_tokens"));
    assert_non_null(text_at(&answer, "choices.0.message.content"));
    forget(&answer);
    vlm_buffer_release(&body);
}

int main(void)
{
    const struct CMUnitTest of_pages[] = {
        cmocka_unit_test(wrong_requests_say_what_is_wrong),
        cmocka_unit_test(prompts_fit_or_are_refused),
        cmocka_unit_test(bytes_of_texts_are_limited),
        cmocka_unit_test(codes_stand_in_images_of_256),
        cmocka_unit_test(pictures_are_whole),
        cmocka_unit_test(streams_say_what_answers_say),
        cmocka_unit_test(seeds_decide),
        cmocka_unit_test(unknown_fields_are_warned_of),
        cmocka_unit_test(words_of_people_are_text),
        cmocka_unit_test(ids_become_text_and_pictures_again),
        cmocka_unit_test(regions_keep_what_is_around_them),
        cmocka_unit_test(guidance_leads_away_from_words),
        cmocka_unit_test(prompts_have_logprobs),
        cmocka_unit_test(prompts_are_cut_on_request),
        cmocka_unit_test(pictures_are_counted),
        cmocka_unit_test(documents_are_filled),
        cmocka_unit_test(prompts_are_read_ahead),
        cmocka_unit_test(chats_without_an_end_are_long),
        cmocka_unit_test(orders_are_kept),
        cmocka_unit_test(scores_are_those_of_answers),
        cmocka_unit_test(the_likeliest_candidate_comes_first),
        cmocka_unit_test(methods_are_told),
        cmocka_unit_test(states_can_be_asked),
        cmocka_unit_test(every_path_is_described),
        cmocka_unit_test(clients_that_leave_free_their_slots),
        cmocka_unit_test(answers_that_are_cut_count_for_nobody_who_left),
    };
    const struct CMUnitTest of_texts[] = {
        cmocka_unit_test(texts_are_continued_and_not_filled),
        cmocka_unit_test(methods_are_told),
    };
    const struct CMUnitTest of_pairs[] = { cmocka_unit_test(pictures_are_seen) };
    signal(SIGPIPE, SIG_IGN);
    if (make_test_folder(NULL))
        return 1;
    int failed = cmocka_run_group_tests(of_pages, start_modern, stop);
    failed += cmocka_run_group_tests(of_texts, start_lm, stop);
    failed += cmocka_run_group_tests(of_pairs, start_captioner, stop);
    return remove_test_folder(NULL) || failed;
}
