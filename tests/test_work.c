/* test_work.c - jobs through the work thread: what is told and in which order, who waits and who goes first, and that
 * whoever leaves, is late or fails leaves no slot taken. A small model with random weights, the real decoder. */
#include "base/vlm.h"

#include "base/progress.h"
#include "base/random.h"
#include "serve/work/work.h"
#include "tests/metrics_fixture.h"
#include "tests/small_model_fixture.h"

#include <event2/event.h>
#include <time.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { CONTEXT = 1024, SLOTS = 4, QUEUE = 8, PROMPT_MAX = 1000, BRANCHES = 16 };

struct fixture {
    struct vlm_engine engine;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_model model;
    struct vlm_choices choices;
    struct vlm_metrics *metrics;
    struct event_base *base;
    struct vlm_work *work;
    struct vlm_err err;
    uint32_t prompt[PROMPT_MAX];
};

/* A job of a test and what was told of it. */
struct told {
    struct fixture *it;
    struct vlm_job job;
    struct vlm_job_branch branch[BRANCHES];
    size_t events, started, prompts, branches, tokens, dones, failed;
    size_t tokens_of[BRANCHES];
    uint32_t ids[BRANCHES][CONTEXT]; /* as TOKENS events say */
    struct vlm_sequence fill[BRANCHES];
    size_t cached[BRANCHES], prompt_done, losses;
    double loss_sum;
    int rc;
    char sentence[1024];
    double done_at;
    bool stop_at_first, over;
};

/* ---- fixture ---- */

static int open_model(struct fixture *it)
{
    struct vlm_model_config config = small_config("llama", it->vocabulary.size, CONTEXT);
    config.tied = true;
    int rc = small_model(&it->model, &config, 7, &it->err);
    return rc != VLM_OK
               ? rc
               : vlm_choices_init(&it->choices, &it->engine, &it->model, &it->vocabulary, &it->err);
}

static int start(struct fixture *it, size_t slots, size_t chunk)
{
    const struct vlm_work_options options = {
        .engine = &it->engine,
        .model = &it->model,
        .choices = &it->choices,
        .decoder = { .slots = slots, .chunk = chunk },
        .queue_max = QUEUE,
        .metrics = it->metrics,
    };
    return vlm_work_new(&it->work, it->base, &options, &it->err);
}

static int setup_with(void **state, size_t slots, size_t chunk)
{
    struct fixture *it = calloc(1, sizeof(*it));
    const struct vlm_vocabulary_options options = { .n_codes = SMALL_CODES };
    *state = it;
    if (!it || vlm_engine_init(&it->engine, 1, VLM_GEMM_OWN, &it->err) ||
        vlm_text_tokenizer_open(&it->tokenizer, NULL, &it->err) ||
        vlm_vocabulary_init(&it->vocabulary, it->tokenizer, &options, &it->err) || open_model(it) ||
        vlm_metrics_new(&it->metrics, &it->err))
        return -1;
    struct vlm_random random = vlm_random_at(3, 0, 0);
    it->prompt[0] = it->vocabulary.control[VLM_CONTROL_END];
    for (size_t i = 1; i < PROMPT_MAX; i++)
        it->prompt[i] = 100 + (uint32_t)vlm_random_below(&random, 300);
    it->base = event_base_new();
    return it->base ? start(it, slots, chunk) : -1;
}

static int setup(void **state)
{
    return setup_with(state, SLOTS, 0);
}

/* A row of a prompt a step: long prompts take long. */
static int setup_slow(void **state)
{
    return setup_with(state, SLOTS, 1);
}

static int setup_two(void **state)
{
    return setup_with(state, 2, 0);
}

static int teardown(void **state)
{
    struct fixture *it = *state;
    vlm_work_free(it->work);
    event_base_free(it->base);
    vlm_metrics_free(it->metrics);
    vlm_choices_release(&it->choices);
    vlm_model_release(&it->model);
    vlm_text_tokenizer_close(it->tokenizer);
    vlm_engine_release(&it->engine);
    free(it);
    return 0;
}

/* ---- jobs ---- */

static void keep_tokens(struct told *told, const struct vlm_job_event *event)
{
    for (size_t i = 0; i < event->n; i++)
        if (told->tokens_of[event->branch] < CONTEXT)
            told->ids[event->branch][told->tokens_of[event->branch]++] = event->drawn[i].id;
    told->tokens += event->n;
}

static void keep_branch(struct told *told, const struct vlm_job_event *event)
{
    told->branches++;
    told->cached[event->branch] = event->cached;
    for (size_t i = 0; event->losses && i < event->n; i++)
        if (isfinite(event->losses[i])) {
            told->losses++;
            told->loss_sum += (double)event->losses[i];
        }
    if (!event->answer)
        return;
    const struct vlm_sequence *fill = &event->answer->fills[0];
    struct vlm_sequence *copy = &told->fill[event->branch];
    assert_true(vlm_sequence_reserve(copy, fill->n));
    memcpy(copy->ids, fill->ids, fill->n * sizeof(*fill->ids));
    copy->n = fill->n;
}

static void on_event(struct vlm_job *job, const struct vlm_job_event *event)
{
    struct told *told = job->context;
    assert_false(told->over);
    told->events++;
    told->started += event->kind == VLM_JOB_STARTED;
    told->prompts += event->kind == VLM_JOB_PROMPT;
    if (event->kind == VLM_JOB_PROMPT)
        told->prompt_done = event->prompt_done;
    if (event->kind == VLM_JOB_TOKENS)
        keep_tokens(told, event);
    if (event->kind == VLM_JOB_BRANCH)
        keep_branch(told, event);
    told->dones += event->kind == VLM_JOB_DONE;
    if (event->kind == VLM_JOB_FAILED) {
        told->failed++;
        told->rc = event->rc;
        snprintf(told->sentence, sizeof(told->sentence), "%s", event->err->msg);
    }
    if (event->kind == VLM_JOB_DONE || event->kind == VLM_JOB_FAILED) {
        told->over = true;
        told->done_at = vlm_now();
        assert_null(job->state);
    }
    if (told->over || told->stop_at_first)
        event_base_loopbreak(told->it->base);
}

static struct told *job_new(struct fixture *it, size_t prompt, size_t tokens, size_t branches)
{
    struct told *told = calloc(1, sizeof(*told));
    assert_non_null(told);
    told->it = it;
    told->job = (struct vlm_job){
        .branches = told->branch, .n_branches = branches, .on_event = on_event, .context = told
    };
    for (size_t i = 0; i < branches; i++) {
        const struct vlm_generate_options defaults = VLM_GENERATE_DEFAULTS;
        told->branch[i].prompt = (struct vlm_stream_prompt){ .ids = it->prompt, .n = prompt };
        told->branch[i].options = defaults;
        told->branch[i].options.seed = 11 + i;
        told->branch[i].options.max_tokens = tokens;
        told->branch[i].options.ignore_end = true;
    }
    return told;
}

static void job_free(struct told *told)
{
    for (size_t i = 0; i < BRANCHES; i++)
        vlm_sequence_release(&told->fill[i]);
    free(told);
}

static int submit(struct told *told)
{
    return vlm_work_submit(told->it->work, &told->job, &told->it->err);
}

static void run_until_over(struct told *told)
{
    while (!told->over)
        assert_true(event_base_loop(told->it->base, EVLOOP_ONCE) >= 0);
}

/* Until nothing runs or waits; the seconds that took. */
static double run_until_idle(struct fixture *it)
{
    const double began = vlm_now();
    struct vlm_work_state state = vlm_work_state(it->work);
    while ((state.running || state.waiting) && vlm_now() < began + 10) {
        event_base_loop(it->base, EVLOOP_NONBLOCK);
        state = vlm_work_state(it->work);
    }
    assert_int_equal(state.running, 0);
    assert_int_equal(state.waiting, 0);
    return vlm_now() - began;
}

static void run_for(struct fixture *it, double seconds)
{
    const double end = vlm_now() + seconds;
    while (vlm_now() < end)
        event_base_loop(it->base, EVLOOP_NONBLOCK);
}

static size_t slots_taken(struct fixture *it)
{
    struct vlm_work_slot slots[64];
    size_t n = vlm_work_slots(it->work, slots, VLM_COUNTOF(slots)), taken = 0;
    for (size_t i = 0; i < n; i++)
        taken += slots[i].state >= 2 || slots[i].job;
    return taken;
}

/* ---- what is told ---- */

static void an_answer_is_told_in_order(void **state)
{
    struct fixture *it = *state;
    struct told *told = job_new(it, 20, 30, 1);
    assert_int_equal(submit(told), VLM_OK);
    run_until_over(told);
    assert_int_equal(told->started, 1);
    assert_int_equal(told->branches, 1);
    assert_int_equal(told->dones, 1);
    assert_int_equal(told->failed, 0);
    assert_int_equal(told->tokens, 30);
    assert_int_equal(told->fill[0].n, 30);
    assert_memory_equal(told->ids[0], told->fill[0].ids, 30 * sizeof(uint32_t));
    assert_int_equal(
        metric_value(it->metrics, "vlm_generated_tokens_total{modality=\"text\"}") +
            metric_value(it->metrics, "vlm_generated_tokens_total{modality=\"image\"}"),
        30);
    assert_int_equal(metric_value(it->metrics, "vlm_prompt_tokens_total{modality=\"text\"}"), 20);
    run_until_idle(it);
    job_free(told);
}

/* Sixteen answers of one request on four slots are those that each seed gives alone. */
static void branches_are_what_they_are_alone(void **state)
{
    struct fixture *it = *state;
    struct told *many = job_new(it, 40, 12, BRANCHES);
    assert_int_equal(submit(many), VLM_OK);
    run_until_over(many);
    assert_int_equal(many->branches, BRANCHES);
    assert_int_equal(many->dones, 1);
    for (size_t i = 0; i < BRANCHES; i += 5) {
        struct told *alone = job_new(it, 40, 12, 1);
        alone->branch[0].options.seed = 11 + i;
        assert_int_equal(submit(alone), VLM_OK);
        run_until_over(alone);
        assert_int_equal(alone->fill[0].n, many->fill[i].n);
        assert_memory_equal(alone->fill[0].ids, many->fill[i].ids, 12 * sizeof(uint32_t));
        assert_int_equal(alone->cached[0], 39);
        job_free(alone);
    }
    assert_true(metric_value(it->metrics, "vlm_prefix_cache_hits_total") >= 39 * (BRANCHES - 1));
    job_free(many);
}

static void a_score_has_its_losses(void **state)
{
    struct fixture *it = *state;
    struct told *told = job_new(it, 50, 0, 1);
    told->branch[0].score_from = 1;
    assert_int_equal(submit(told), VLM_OK);
    run_until_over(told);
    assert_int_equal(told->dones, 1);
    assert_int_equal(told->losses, 49);
    assert_true(told->loss_sum > 0);
    assert_int_equal(told->tokens, 0);
    job_free(told);
}

static void progress_of_a_long_prompt(void **state)
{
    struct fixture *it = *state;
    struct told *told = job_new(it, PROMPT_MAX, 2, 1);
    told->job.wants_progress = true;
    assert_int_equal(submit(told), VLM_OK);
    run_until_over(told);
    assert_true(told->prompts >= 1);
    assert_true(told->prompt_done > 0 && told->prompt_done <= PROMPT_MAX);
    job_free(told);
}

/* ---- who may ---- */

static void a_prompt_that_is_too_long_is_refused_at_once(void **state)
{
    struct fixture *it = *state;
    uint32_t ids[CONTEXT + 1];
    for (size_t i = 0; i < VLM_COUNTOF(ids); i++)
        ids[i] = it->prompt[i % 7];
    struct told *told = job_new(it, 1, 4, 1);
    told->branch[0].prompt = (struct vlm_stream_prompt){ .ids = ids, .n = VLM_COUNTOF(ids) };
    assert_int_equal(submit(told), VLM_EUSAGE);
    assert_null(told->job.state);
    told->branch[0].prompt.n = 5;
    told->branch[0].options.beams = SLOTS + 1;
    assert_int_equal(submit(told), VLM_EUSAGE);
    assert_int_equal(told->events, 0);
    job_free(told);
}

static void a_full_queue_refuses(void **state)
{
    struct fixture *it = *state;
    struct told *jobs[SLOTS + QUEUE + 1];
    for (size_t i = 0; i < VLM_COUNTOF(jobs); i++)
        jobs[i] = job_new(it, 5, 900, 1);
    for (size_t i = 0; i < SLOTS; i++) {
        assert_int_equal(submit(jobs[i]), VLM_OK);
        while (!jobs[i]->started)
            event_base_loop(it->base, EVLOOP_ONCE);
    }
    for (size_t i = SLOTS; i < SLOTS + QUEUE; i++)
        assert_int_equal(submit(jobs[i]), VLM_OK);
    assert_int_equal(submit(jobs[SLOTS + QUEUE]), VLM_ELIMIT);
    assert_string_equal(it->err.msg, "8 requests are waiting, as many as may");
    assert_int_equal(metric_value(it->metrics, "vlm_requests_rejected_total{reason=\"queue\"}"), 1);
    assert_int_equal(vlm_work_state(it->work).waiting, QUEUE);
    for (size_t i = 0; i < VLM_COUNTOF(jobs); i++)
        vlm_work_cancel(it->work, &jobs[i]->job);
    run_until_idle(it);
    for (size_t i = 0; i < VLM_COUNTOF(jobs); i++)
        job_free(jobs[i]);
}

/* A request for sixteen long answers holds both slots; one for a short answer that comes later is not last. */
static void many_answers_do_not_keep_one_waiting(void **state)
{
    struct fixture *it = *state;
    struct told *many = job_new(it, 8, 100, BRANCHES), *one = job_new(it, 9, 4, 1);
    assert_int_equal(submit(many), VLM_OK);
    while (!many->started)
        event_base_loop(it->base, EVLOOP_ONCE);
    assert_int_equal(submit(one), VLM_OK);
    run_until_over(one);
    assert_true(many->branches <= 3);
    run_until_over(many);
    assert_int_equal(many->branches, BRANCHES);
    job_free(many);
    job_free(one);
}

/* A loop that does not come is not buried under messages; when it comes, it has others to attend to between them. */
static void the_thread_waits_for_a_slow_loop(void **state)
{
    struct fixture *it = *state;
    struct told *many = job_new(it, 8, 120, BRANCHES);
    assert_int_equal(submit(many), VLM_OK);
    const struct timespec half = { .tv_nsec = 500000000 };
    nanosleep(&half, NULL);
    assert_int_equal(vlm_work_state(it->work).running, 1);
    event_base_loop(it->base, EVLOOP_ONCE);
    assert_true(many->events > 0 && many->events <= 100);
    run_until_over(many);
    assert_int_equal(many->branches, BRANCHES);
    assert_int_equal(many->tokens, 120 * BRANCHES);
    job_free(many);
}

/* ---- who leaves ---- */

/* Submits a job, waits for the phase, cancels, and says how long the slot took to be free. */
static double cancel_latency(struct fixture *it, size_t prompt, size_t tokens, bool drawn)
{
    struct told *told = job_new(it, prompt, tokens, 1);
    assert_int_equal(submit(told), VLM_OK);
    while (!told->started || (drawn && !told->tokens))
        event_base_loop(it->base, EVLOOP_ONCE);
    const size_t events = told->events;
    assert_int_equal(vlm_work_cancel(it->work, &told->job),
                     drawn ? VLM_JOB_DECODES : VLM_JOB_PREFILLS);
    const double seconds = run_until_idle(it);
    assert_int_equal(told->events, events);
    assert_int_equal(slots_taken(it), 0);
    assert_true(drawn || !told->tokens);
    job_free(told);
    return seconds;
}

static void slots_are_free_when_a_client_left(void **state)
{
    struct fixture *it = *state;
    for (int drawn = 0; drawn < 2; drawn++) {
        double seconds = 1;
        /* Again, because the machine may be busy with something else for that long. */
        for (size_t tries = 0; tries < 5 && seconds >= 0.1; tries++)
            seconds = cancel_latency(it, drawn ? 3 : PROMPT_MAX, drawn ? 900 : 4, drawn);
        assert_true(seconds < 0.1);
    }
}

static void cancelled_in_the_queue(void **state)
{
    struct fixture *it = *state;
    struct told *jobs[5];
    for (size_t i = 0; i < 5; i++) {
        jobs[i] = job_new(it, 5 + i, i < 2 ? 300 : 3, 1);
        assert_int_equal(submit(jobs[i]), VLM_OK);
        while (i < 2 && !jobs[i]->started)
            event_base_loop(it->base, EVLOOP_ONCE);
    }
    /* The last, the middle one. */
    assert_int_equal(vlm_work_cancel(it->work, &jobs[4]->job), VLM_JOB_WAITS);
    assert_int_equal(vlm_work_cancel(it->work, &jobs[3]->job), VLM_JOB_WAITS);
    assert_int_equal(vlm_work_state(it->work).waiting, 1);
    /* Twice is nothing. */
    assert_int_equal(vlm_work_cancel(it->work, &jobs[3]->job), VLM_JOB_ENDED);
    run_until_over(jobs[2]);
    assert_int_equal(jobs[2]->fill[0].n, 3);
    for (size_t i = 0; i < 2; i++)
        run_until_over(jobs[i]); /* an idle thread's last messages may still be on their way */
    run_until_idle(it);
    assert_int_equal(jobs[3]->events + jobs[4]->events, 0);
    for (size_t i = 0; i < 5; i++)
        job_free(jobs[i]);
}

/* 2,000 requests that come and go at any moment. */
static void a_storm_leaves_nothing_behind(void **state)
{
    enum { TIMES = 2000, AT_ONCE = SLOTS + QUEUE };
    struct fixture *it = *state;
    struct vlm_random random = vlm_random_at(5, 0, 0);
    struct told *jobs[AT_ONCE] = { NULL };
    size_t refused = 0;
    for (size_t i = 0; i < TIMES; i++) {
        struct told **place = &jobs[vlm_random_below(&random, AT_ONCE)];
        if (*place) {
            vlm_work_cancel(it->work, &(*place)->job);
            job_free(*place);
        }
        *place = job_new(it, 1 + vlm_random_below(&random, 60), 1 + vlm_random_below(&random, 50),
                         1 + vlm_random_below(&random, 3));
        refused += submit(*place) != VLM_OK;
        if (vlm_random_chance(&random, 30))
            event_base_loop(it->base, EVLOOP_NONBLOCK);
    }
    for (size_t i = 0; i < AT_ONCE; i++)
        if (jobs[i]) {
            vlm_work_cancel(it->work, &jobs[i]->job);
            job_free(jobs[i]);
        }
    run_until_idle(it);
    assert_int_equal(slots_taken(it), 0);
    assert_true(refused < TIMES);
    assert_int_equal(metric_value(it->metrics, "vlm_requests_waiting"), 0);
    struct told *after = job_new(it, 20, 30, 1);
    assert_int_equal(submit(after), VLM_OK);
    run_until_over(after);
    assert_int_equal(after->fill[0].n, 30);
    job_free(after);
}

/* ---- who is late, and the end ---- */

static void a_deadline_ends_a_request(void **state)
{
    struct fixture *it = *state;
    struct told *runs = job_new(it, 3, 900, 1), *other = job_new(it, 4, 900, 1),
                *waits = job_new(it, 5, 4, 1);
    runs->job.deadline_seconds = 0.05;
    waits->job.deadline_seconds = 0.02;
    assert_int_equal(submit(runs), VLM_OK);
    assert_int_equal(submit(other), VLM_OK);
    assert_int_equal(submit(waits), VLM_OK);
    run_until_over(waits);
    run_until_over(runs);
    assert_int_equal(waits->rc, VLM_ESTOPPED);
    assert_int_equal(runs->rc, VLM_ESTOPPED);
    assert_string_equal(runs->sentence, "the request took longer than 0.05 seconds");
    assert_int_equal(waits->tokens, 0);
    vlm_work_cancel(it->work, &other->job);
    run_until_idle(it);
    assert_int_equal(slots_taken(it), 0);
    job_free(runs);
    job_free(other);
    job_free(waits);
}

static void the_end_is_told_to_all(void **state)
{
    struct fixture *it = *state;
    struct told *jobs[4];
    for (size_t i = 0; i < 4; i++) {
        jobs[i] = job_new(it, 5, 900, 1);
        assert_int_equal(submit(jobs[i]), VLM_OK);
    }
    while (!jobs[0]->tokens)
        event_base_loop(it->base, EVLOOP_ONCE);
    vlm_work_end(it->work);
    for (size_t i = 0; i < 4; i++) {
        run_until_over(jobs[i]);
        assert_int_equal(jobs[i]->rc, VLM_ESTOPPED);
        assert_string_equal(jobs[i]->sentence, "the server is stopping");
    }
    struct told *late = job_new(it, 5, 5, 1);
    assert_int_equal(submit(late), VLM_ESTOPPED);
    job_free(late);
    for (size_t i = 0; i < 4; i++)
        job_free(jobs[i]);
}

/* Freed with jobs in slots and in the queue: no event, no job that believes to be there. */
static void work_may_be_freed_at_any_time(void **state)
{
    struct fixture *it = *state;
    struct told *jobs[6];
    for (size_t i = 0; i < 6; i++) {
        jobs[i] = job_new(it, 5, 500, 2);
        assert_int_equal(submit(jobs[i]), VLM_OK);
    }
    run_for(it, 0.01);
    vlm_work_free(it->work);
    it->work = NULL;
    event_base_loop(it->base, EVLOOP_NONBLOCK);
    for (size_t i = 0; i < 6; i++) {
        assert_null(jobs[i]->job.state);
        assert_false(jobs[i]->over);
        job_free(jobs[i]);
    }
}

static void a_model_without_numbers_is_noticed(void **state)
{
    struct fixture *it = *state;
    struct told *told = job_new(it, 5, 5, 1);
    assert_false(vlm_work_state(it->work).failed);
    for (size_t i = 0; i < vlm_tensor_count(it->model.norm_weight); i++)
        it->model.norm_weight->data[i] = NAN;
    assert_int_equal(submit(told), VLM_OK);
    run_until_over(told);
    assert_int_equal(told->rc, VLM_EFORMAT);
    assert_true(vlm_work_state(it->work).failed);
    assert_int_equal(slots_taken(it), 0);
    job_free(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_is_told_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(branches_are_what_they_are_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_score_has_its_losses, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_of_a_long_prompt, setup_slow, teardown),
        cmocka_unit_test_setup_teardown(a_prompt_that_is_too_long_is_refused_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(the_thread_waits_for_a_slow_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(many_answers_do_not_keep_one_waiting, setup_two, teardown),
        cmocka_unit_test_setup_teardown(slots_are_free_when_a_client_left, setup_slow, teardown),
        cmocka_unit_test_setup_teardown(cancelled_in_the_queue, setup_two, teardown),
        cmocka_unit_test_setup_teardown(a_storm_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deadline_ends_a_request, setup_two, teardown),
        cmocka_unit_test_setup_teardown(the_end_is_told_to_all, setup_two, teardown),
        cmocka_unit_test_setup_teardown(work_may_be_freed_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_without_numbers_is_noticed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
