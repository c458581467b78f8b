/* test_llama_form.c - what clients of llama.cpp read of /completion and /infill, and clients of OpenAI of "usage". */
#include "base/vlm.h"

#include "models/generate/spell.h"
#include "tests/api_fixture.h"

#define COMPLETE "/v1/completions"
#define TOKENS   "\"prompt\":\"<p>The cat\",\"n_predict\":12,\"seed\":4,\"ignore_eos\":true,"

static size_t length_at(const struct answer *answer, const char *path)
{
    json_object *list = at(answer->json, path);
    return list ? json_object_array_length(list) : 0;
}

static double real_at(const struct answer *answer, const char *path)
{
    return json_object_get_double(at(answer->json, path));
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-4 * VLM_MAX(fabs(a), fabs(b));
}

/* ---- llama.cpp ---- */

static void answers_have_ids_and_probabilities(void **state)
{
    struct answer answer =
        ask_well("/completion", "{" TOKENS "\"n_probs\":2,\"return_tokens\":true}");
    struct vlm_buffer text = { 0 };
    (void)state;
    assert_int_equal(12, number_at(&answer, "tokens_predicted"));
    assert_int_equal(12, length_at(&answer, "tokens"));
    assert_int_equal(12, length_at(&answer, "completion_probabilities"));
    for (size_t i = 0; i < 12; i++) {
        json_object *entry =
            json_object_array_get_idx(at(answer.json, "completion_probabilities"), i);
        json_object *id = json_object_array_get_idx(at(answer.json, "tokens"), i);
        const double logprob = json_object_get_double(at(entry, "logprob"));
        assert_int_equal(json_object_get_int64(id), json_object_get_int64(at(entry, "id")));
        assert_int_equal(2, json_object_array_length(at(entry, "top_logprobs")));
        assert_true(json_object_get_double(at(entry, "top_logprobs.0.logprob")) >= logprob);
        assert_true(logprob <= 0);
        for (size_t k = 0; k < json_object_array_length(at(entry, "bytes")); k++)
            vlm_buffer_byte(&text, (uint8_t)json_object_get_int64(
                                       json_object_array_get_idx(at(entry, "bytes"), k)));
    }
    struct vlm_buffer shown = { 0 }; /* what is no UTF-8 is replaced */
    vlm_spell_bytes(&shown, text.data, text.size);
    vlm_buffer_byte(&shown, 0);
    assert_string_equal(text_at(&answer, "content"), (char *)shown.data);
    vlm_buffer_release(&text);
    vlm_buffer_release(&shown);
    forget(&answer);
    answer = ask_well("/completion", "{" TOKENS "\"n_probs\":0}");
    assert_null(at(answer.json, "completion_probabilities"));
    assert_null(at(answer.json, "tokens"));
    forget(&answer);
}

static void append(json_object *to, json_object *from)
{
    for (size_t i = 0; from && i < json_object_array_length(from); i++)
        json_object_array_add(to, json_object_get(json_object_array_get_idx(from, i)));
}

/* The events of a stream have them as they come, the last one none. */
static void streams_have_them_in_pieces(void **state)
{
    static const char *const paths[] = { "/completion", "/infill" };
    static const char *const bodies[] = {
        "{" TOKENS "\"n_probs\":1,\"return_tokens\":true",
        "{\"input_prefix\":\"<p>The\",\"input_suffix\":\"</p>\",\"n_predict\":9,\"seed\":2,"
        "\"ignore_eos\":true,\"n_probs\":3,\"return_tokens\":true",
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(paths); i++) {
        char body[400];
        snprintf(body, sizeof(body), "%s}", bodies[i]);
        struct answer whole = ask_well(paths[i], body);
        snprintf(body, sizeof(body), "%s,\"stream\":true,\"timings_per_token\":true}", bodies[i]);
        struct answer streamed = ask_well(paths[i], body);
        json_object *ids = json_object_new_array(), *probabilities = json_object_new_array();
        struct vlm_buffer text = { 0 };
        const char *rest = streamed.body;
        int64_t drawn = 0;
        bool stopped = false;
        for (json_object *event; (event = next_event(&rest)); json_object_put(event)) {
            const int64_t n = json_object_get_int64(at(event, "timings.predicted_n"));
            vlm_buffer_text(&text, json_object_get_string(at(event, "content")));
            append(ids, at(event, "tokens"));
            append(probabilities, at(event, "completion_probabilities"));
            assert_true(n >= drawn && n > 0);
            drawn = n;
            stopped = json_object_get_boolean(at(event, "stop"));
            assert_int_equal(stopped, !at(event, "tokens"));
            assert_int_equal(stopped, !at(event, "completion_probabilities"));
        }
        assert_true(stopped);
        vlm_buffer_byte(&text, 0);
        assert_string_equal(text_at(&whole, "content"), (char *)text.data);
        assert_string_equal(text_at(&whole, "tokens"), json_object_get_string(ids));
        assert_string_equal(text_at(&whole, "completion_probabilities"),
                            json_object_get_string(probabilities));
        assert_int_equal(number_at(&whole, "timings.predicted_n"), drawn);
        json_object_put(ids);
        json_object_put(probabilities);
        vlm_buffer_release(&text);
        forget(&whole);
        forget(&streamed);
    }
}

static void timings_agree(void **state)
{
    struct answer answer = ask_well("/completion", "{" TOKENS "\"temperature\":0}");
    static const char *const kinds[] = { "prompt", "predicted" };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(kinds); i++) {
        char path[4][64];
        static const char *const what[] = { "n", "ms", "per_token_ms", "per_second" };
        for (size_t k = 0; k < VLM_COUNTOF(what); k++)
            snprintf(path[k], sizeof(path[k]), "timings.%s_%s", kinds[i], what[k]);
        const double n = real_at(&answer, path[0]), ms = real_at(&answer, path[1]);
        assert_true(n > 0 && ms > 0);
        assert_true(is_near(ms / n, real_at(&answer, path[2])));
        assert_true(is_near(n * 1e3 / ms, real_at(&answer, path[3])));
    }
    assert_int_equal(number_at(&answer, "tokens_evaluated"),
                     number_at(&answer, "timings.prompt_n") +
                         number_at(&answer, "timings.cache_n"));
    assert_int_equal(number_at(&answer, "tokens_cached"), number_at(&answer, "timings.cache_n"));
    forget(&answer);
}

/* What editors ask with: only these members come, under the names that they gave. */
static void answers_have_the_members_that_are_wanted(void **state)
{
#define WANTED                                                                                     \
    "\"response_fields\":[\"content\",\"timings/predicted_n\",\"truncated\",\"nothing/here\","     \
    "\"content\",\"content/of\"]"
    struct answer whole = ask_well("/completion", "{" TOKENS "\"top_k\":4}");
    struct answer few = ask_well("/completion", "{" TOKENS "\"top_k\":4," WANTED "}");
    struct answer fill =
        ask_well("/infill", "{\"input_prefix\":\"<p>The\",\"input_suffix\":\"</p>\","
                            "\"n_predict\":3,\"seed\":2," WANTED "}");
    struct answer streamed = ask_well("/completion", "{" TOKENS "\"stream\":true," WANTED "}");
    (void)state;
    assert_int_equal(3, json_object_object_length(few.json));
    assert_string_equal(text_at(&whole, "content"), text_at(&few, "content"));
    assert_int_equal(12, number_at(&few, "timings/predicted_n"));
    assert_string_equal("false", text_at(&few, "truncated"));
    assert_int_equal(3, json_object_object_length(fill.json));
    assert_non_null(strstr(streamed.body, "data: {\"content\": \"\", \"timings/predicted_n\": 12, "
                                          "\"truncated\": false}"));
    forget(&whole);
    forget(&few);
    forget(&fill);
    forget(&streamed);
    static const char *const wrong[][2] = {
        { "{\"prompt\":\"a\",\"response_fields\":\"content\"}", "response_fields" },
        { "{\"prompt\":\"a\",\"response_fields\":[\"content\",3]}", "response_fields[1]" },
        { "{\"prompt\":\"a\",\"response_fields\":[\"\"]}", "response_fields[0]" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(wrong); i++) {
        struct answer answer = ask("/completion", wrong[i][0]);
        assert_int_equal(400, answer.status);
        assert_string_equal(wrong[i][1], text_at(&answer, "error.param"));
        forget(&answer);
    }
}

/* ---- OpenAI ---- */

/* Of each prompt what the cache had, once, however many answers it gets. */
static void cached_tokens_are_of_all_prompts(void **state)
{
    static const struct {
        const char *body;
        int64_t prompts;
    } cases[] = {
        { "{\"prompt\":[\"<p>One is a page\",\"<h1>Two is another\"],\"max_tokens\":2}", 2 },
        { "{\"prompt\":\"<p>Three answers it gets\",\"n\":3,\"max_tokens\":2}", 1 },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++)
        for (size_t again = 0; again < 2; again++) {
            struct answer answer = ask_well(COMPLETE, cases[i].body);
            const int64_t prompt = number_at(&answer, "usage.prompt_tokens");
            const int64_t cached = number_at(&answer, "usage.prompt_tokens_details.cached_tokens");
            /* Of each the last row is computed, for its logits. */
            if (again)
                assert_int_equal(prompt - cases[i].prompts, cached);
            else
                assert_true(cached < prompt - cases[i].prompts);
            assert_int_equal(prompt + number_at(&answer, "usage.completion_tokens"),
                             number_at(&answer, "usage.total_tokens"));
            assert_int_equal(prompt - cached, number_at(&answer, "timings.prompt_n"));
            forget(&answer);
        }
}

/* With include_usage each chunk has it, null but in the last; without, none has. */
static void usage_comes_at_the_end(void **state)
{
    static const char *const paths[] = { COMPLETE, "/v1/chat/completions" };
    static const char *const bodies[] = {
        "{\"prompt\":\"<p>A\",\"max_tokens\":4,\"stream\":true",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":4,\"stream\":true",
    };
    (void)state;
    for (size_t i = 0; i < 2 * VLM_COUNTOF(paths); i++) {
        char body[200];
        const bool include = i % 2;
        snprintf(body, sizeof(body), "%s%s}", bodies[i / 2],
                 include ? ",\"stream_options\":{\"include_usage\":true}" : "");
        struct answer answer = ask_well(paths[i / 2], body);
        const char *rest = answer.body;
        size_t chunks = 0, full = 0;
        for (json_object *event; (event = next_event(&rest)); json_object_put(event), chunks++) {
            json_object *usage = NULL;
            assert_int_equal(include, json_object_object_get_ex(event, "usage", &usage));
            assert_int_equal(0, full); /* nothing comes behind it */
            full += usage != NULL;
            if (usage)
                assert_int_equal(0, json_object_array_length(at(event, "choices")));
        }
        assert_true(chunks > 1);
        assert_int_equal(include, full);
        forget(&answer);
    }
}

int main(void)
{
    const struct CMUnitTest of_pages[] = {
        cmocka_unit_test(answers_have_ids_and_probabilities),
        cmocka_unit_test(streams_have_them_in_pieces),
        cmocka_unit_test(timings_agree),
        cmocka_unit_test(answers_have_the_members_that_are_wanted),
        cmocka_unit_test(cached_tokens_are_of_all_prompts),
        cmocka_unit_test(usage_comes_at_the_end),
    };
    signal(SIGPIPE, SIG_IGN);
    if (make_test_folder(NULL))
        return 1;
    int failed = cmocka_run_group_tests(of_pages, start_modern, stop);
    return remove_test_folder(NULL) || failed;
}
