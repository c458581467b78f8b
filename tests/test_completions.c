/* test_completions.c - /v1/completions beyond its plain form: what streams say of a prompt that is echoed, prompts of
 * guidance that are cut, what beams take and count. */
#include "base/vlm.h"

#include "tests/api_fixture.h"

#define COMPLETE "/v1/completions"

enum { SLOTS = 4 }; /* of the fixture */

/* ---- streams as one answer ---- */

enum { CHOICES = 4 };

static const char *const lists[] = { "tokens", "token_logprobs", "top_logprobs", "text_offset" };

/* What the chunks of a choice say together. */
struct merged {
    struct vlm_buffer text;
    json_object *list[VLM_COUNTOF(lists)];
    char finish[16];
    bool first; /* its first chunk had logprobs */
    size_t chunks;
};

static void merge(struct merged *choices, const char *body, json_object **usage)
{
    *usage = NULL;
    for (json_object *event; (event = next_event(&body)); json_object_put(event)) {
        json_object *choice = at(event, "choices.0");
        if (!choice) {
            *usage = json_object_get(at(event, "usage"));
            continue;
        }
        struct merged *to = &choices[json_object_get_int64(at(choice, "index"))];
        json_object *logprobs = at(choice, "logprobs"), *finish = at(choice, "finish_reason");
        vlm_buffer_text(&to->text, json_object_get_string(at(choice, "text")));
        to->first = to->first || (!to->chunks++ && logprobs);
        if (finish)
            snprintf(to->finish, sizeof(to->finish), "%s", json_object_get_string(finish));
        for (size_t i = 0; logprobs && i < VLM_COUNTOF(lists); i++) {
            json_object *from = at(logprobs, lists[i]);
            to->list[i] = to->list[i] ? to->list[i] : json_object_new_array();
            for (size_t k = 0; from && k < json_object_array_length(from); k++)
                json_object_array_add(to->list[i],
                                      json_object_get(json_object_array_get_idx(from, k)));
        }
    }
}

static void check_merged(struct merged *merged, json_object *choice)
{
    vlm_buffer_byte(&merged->text, 0);
    assert_string_equal(json_object_get_string(at(choice, "text")), (char *)merged->text.data);
    assert_string_equal(json_object_get_string(at(choice, "finish_reason")), merged->finish);
    assert_true(merged->first);
    for (size_t i = 0; i < VLM_COUNTOF(lists); i++) {
        json_object *whole = at(at(choice, "logprobs"), lists[i]);
        assert_string_equal(whole ? json_object_get_string(whole) : "[ ]",
                            json_object_get_string(merged->list[i]));
    }
}

/* ---- tests ---- */

/* The prompt comes first, with its logprobs; all together it is the answer without a stream. */
static void streams_echo_with_logprobs(void **state)
{
    static const char *const bodies[] = {
        "{\"prompt\":\"<p>The cat\",\"echo\":true,\"max_tokens\":12,\"seed\":5,\"logprobs\":2",
        "{\"prompt\":\"<p>The cat\",\"echo\":true,\"max_tokens\":12,\"seed\":5,\"logprobs\":0",
        ("{\"prompt\":[\"<p>The cat\",\"<p>\\u00e9t\\u00e9 &amp; hiver\"],\"echo\":true,\"n\":2,"
         "\"max_tokens\":9,\"seed\":7,\"logprobs\":1,\"ignore_eos\":true"),
        "{\"prompt\":[2,40,41],\"echo\":true,\"max_tokens\":5,\"seed\":1,\"logprobs\":1",
        "{\"prompt\":\"<p>The cat\",\"echo\":true,\"max_tokens\":0,\"logprobs\":2",
        "{\"prompt\":\"<p>The cat\",\"echo\":true,\"max_tokens\":5,\"num_beams\":3,\"logprobs\":1",
        /* More branches than slots: the prompt is scored behind answers. */
        "{\"prompt\":\"<p>The cat\",\"echo\":true,\"max_tokens\":20,\"num_beams\":4,\"logprobs\":1",
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(bodies); i++) {
        char body[512];
        struct merged merged[CHOICES] = { { .first = false } };
        snprintf(body, sizeof(body), "%s}", bodies[i]);
        struct answer whole = ask_well(COMPLETE, body);
        snprintf(body, sizeof(body),
                 "%s,\"stream\":true,\"stream_options\":{\"include_usage\":true}}", bodies[i]);
        struct answer streamed = ask_well(COMPLETE, body);
        json_object *usage, *choices = at(whole.json, "choices");
        merge(merged, streamed.body, &usage);
        for (size_t k = 0; k < json_object_array_length(choices); k++)
            check_merged(&merged[k], json_object_array_get_idx(choices, k));
        assert_non_null(usage);
        assert_int_equal(number_at(&whole, "usage.completion_tokens"),
                         json_object_get_int64(at(usage, "completion_tokens")));
        json_object_put(usage);
        for (size_t k = 0; k < CHOICES; k++) {
            vlm_buffer_release(&merged[k].text);
            for (size_t l = 0; l < VLM_COUNTOF(lists); l++)
                json_object_put(merged[k].list[l]);
        }
        forget(&whole);
        forget(&streamed);
    }
}

/* top_logprobs has the likeliest, and the drawn token when it is not among them. */
static void drawn_tokens_are_among_the_top(void **state)
{
    struct answer answer =
        ask_well(COMPLETE, "{\"prompt\":\"<p>The cat\",\"echo\":true,\"max_tokens\":20,\"seed\":5,"
                           "\"temperature\":20,\"ignore_eos\":true,\"logprobs\":2}");
    json_object *list[VLM_COUNTOF(lists)];
    size_t beside = 0;
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(lists); i++)
        list[i] = at(at(answer.json, "choices.0.logprobs"), lists[i]);
    const size_t n = json_object_array_length(list[0]);
    assert_in_range(n, 21, 60);
    for (size_t i = 0; i < n; i++) {
        json_object *top = json_object_array_get_idx(list[2], i), *its;
        const char *token = json_object_get_string(json_object_array_get_idx(list[0], i));
        const double logprob = json_object_get_double(json_object_array_get_idx(list[1], i));
        assert_true(json_object_object_get_ex(top, token, &its));
        assert_true(fabs(json_object_get_double(its) - logprob) < 1e-5);
        assert_in_range(json_object_object_length(top), 2, 3);
        beside += json_object_object_length(top) == 3;
    }
    assert_in_range(beside, 5, n);
    forget(&answer);
}

/* n short paragraphs. */
static void add_paragraphs(struct vlm_buffer *body, size_t n)
{
    for (size_t k = 0; k < n; k++)
        vlm_buffer_printf(body, "<p>%zu</p>", k);
}

/* What is left of the prompt is what guides; a negative prompt is cut by itself. */
static void guidance_goes_with_cut_prompts(void **state)
{
#define PICTURE "<img alt=\\\"a cat\\\" src=\\\""
#define BARE    "<img src=\\\""
    static const struct {
        size_t before, negative; /* paragraphs */
        const char *truncate;
        bool says, cut;
    } cases[] = {
        { 150, 0, "left", false, true },    { 150, 0, "left", true, true },
        { 150, 0, "none", false, false },   { 3, 150, "left", true, true },
        { 3, 0, "left", true, false },      { 3, 150, "none", true, false },
        { 150, 150, "middle", true, true },
    };
    struct answer answers[VLM_COUNTOF(cases)];
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_buffer body = { 0 };
        vlm_buffer_text(&body, "{\"prompt\":\"");
        add_paragraphs(&body, cases[i].before);
        vlm_buffer_text(&body, PICTURE "\"");
        if (cases[i].says) {
            vlm_buffer_text(&body, ",\"negative_prompt\":\"");
            add_paragraphs(&body, cases[i].negative);
            vlm_buffer_text(&body, BARE "\"");
        }
        vlm_buffer_printf(&body,
                          ",\"seed\":3,\"max_tokens\":20,\"cfg_scale\":3,\"truncate\":\"%s\"}",
                          cases[i].truncate);
        vlm_buffer_byte(&body, 0);
        answers[i] = ask(COMPLETE, (const char *)body.data);
        const bool whole = cases[i].before + cases[i].negative < 10;
        assert_int_equal(cases[i].cut || whole ? 200 : 400, answers[i].status);
        if (answers[i].status == 200)
            assert_int_equal(cases[i].cut, at(answers[i].json, "truncated") != NULL);
        if (cases[i].cut)
            assert_true(number_at(&answers[i], "truncated_tokens") > 100);
        vlm_buffer_release(&body);
    }
#define CODES "choices.0.images.0.vlm.codes"
    assert_string_equal(text_at(&answers[0], CODES), text_at(&answers[1], CODES));
    assert_string_not_equal(text_at(&answers[3], CODES), text_at(&answers[4], CODES));
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++)
        forget(&answers[i]);
}

/* ---- beams ---- */

/* Slots that work on one request, the first that they find, and the least number of tokens that were drawn in one. */
static size_t slots_of_one(int64_t *least)
{
    struct answer answer = ask_well("/slots", NULL);
    int64_t task = 0;
    size_t n = 0;
    *least = INT64_MAX;
    for (size_t i = 0; i < json_object_array_length(answer.json); i++) {
        json_object *slot = json_object_array_get_idx(answer.json, i);
        const int64_t its = json_object_get_int64(at(slot, "id_task"));
        if (!json_object_get_boolean(at(slot, "is_processing")) || (task && its != task))
            continue;
        task = its;
        n++;
        *least = VLM_MIN(*least, json_object_get_int64(at(slot, "n_decoded")));
    }
    forget(&answer);
    return n;
}

/* They take a slot each for as long as the answer is made; whoever comes behind them has its turn. */
static void beams_take_slots(void **state)
{
    static const char body[] = "{\"prompt\":\"<p>A\",\"num_beams\":4,\"ignore_eos\":true,"
                               "\"stream\":true,\"max_tokens\":380}";
    const int fd = dial();
    int64_t drawn = 0;
    size_t slots = 0;
    (void)state;
    send_request(fd, "POST", COMPLETE, body, strlen(body));
    for (const double end = vlm_now() + 10; (slots < SLOTS || drawn < 5) && vlm_now() < end;)
        slots = slots_of_one(&drawn);
    assert_int_equal(SLOTS, slots);
    assert_in_range(drawn, 5, 380);
    const int behind = dial();
    static const char other[] = "{\"prompt\":\"<p>B\",\"max_tokens\":1}";
    struct vlm_buffer in = { 0 };
    send_request(behind, "POST", COMPLETE, other, strlen(other));
    close(fd);
    receive(behind, &in, SIZE_MAX);
    vlm_buffer_byte(&in, 0);
    assert_non_null(strstr((char *)in.data, "\"completion_tokens\": 1"));
    close(behind);
    vlm_buffer_release(&in);
}

/* One prompt, whatever the number of beams, and the tokens of the answer alone. */
static void beams_count_as_one_answer(void **state)
{
    static const char *const beams[] = { "1", "2", "4", "4" };
    int64_t prompt = 0;
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(beams); i++) {
        char body[200];
        snprintf(body, sizeof(body),
                 "{\"prompt\":\"<p>Beams are many\",\"num_beams\":%s,\"max_tokens\":7,"
                 "\"temperature\":0,\"ignore_eos\":true}",
                 beams[i]);
        struct answer answer = ask_well(COMPLETE, body);
        prompt = prompt ? prompt : number_at(&answer, "usage.prompt_tokens");
        assert_int_equal(prompt, number_at(&answer, "usage.prompt_tokens"));
        assert_int_equal(7, number_at(&answer, "usage.completion_tokens"));
        assert_int_equal(prompt + 7, number_at(&answer, "usage.total_tokens"));
        /* What is asked again is there, but for the row whose logits are wanted. */
        const int64_t cached = number_at(&answer, "usage.prompt_tokens_details.cached_tokens");
        assert_in_range(cached, 0, prompt - 1);
        if (i)
            assert_int_equal(prompt - 1, cached);
        assert_int_equal(1, json_object_array_length(at(answer.json, "choices")));
        assert_int_equal(cached, number_at(&answer, "timings.cache_n"));
        assert_int_equal(7, number_at(&answer, "timings.predicted_n"));
        forget(&answer);
    }
    static const char *const wrong[][2] = { { "\"num_beams\":5", "num_beams" },
                                            { "\"num_beams\":2,\"best_of\":2", "best_of" },
                                            { "\"num_beams\":2,\"n\":2", "num_beams" } };
    for (size_t i = 0; i < VLM_COUNTOF(wrong); i++) {
        char body[200];
        snprintf(body, sizeof(body), "{\"prompt\":\"<p>A\",%s}", wrong[i][0]);
        struct answer answer = ask(COMPLETE, body);
        assert_int_equal(400, answer.status);
        assert_string_equal(wrong[i][1], text_at(&answer, "error.param"));
        forget(&answer);
    }
}

int main(void)
{
    const struct CMUnitTest of_pages[] = {
        cmocka_unit_test(streams_echo_with_logprobs),
        cmocka_unit_test(drawn_tokens_are_among_the_top),
        cmocka_unit_test(guidance_goes_with_cut_prompts),
        cmocka_unit_test(beams_take_slots),
        cmocka_unit_test(beams_count_as_one_answer),
    };
    signal(SIGPIPE, SIG_IGN);
    if (make_test_folder(NULL))
        return 1;
    int failed = cmocka_run_group_tests(of_pages, start_modern, stop);
    return remove_test_folder(NULL) || failed;
}
