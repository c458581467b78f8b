/* test_trainer_state.c - trainer_state.json: every number comes back bit for bit; what is not of that form is
 * refused with its place. */
#include "base/vlm.h"

#include "trainer/save/trainer_state.h"

#include "base/buffer.h"
#include "base/random.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

/* Any finite double: all patterns of bits but those of NaN and the infinities. */
static double any_double(struct vlm_random *random)
{
    double value;
    do {
        uint64_t bits = vlm_random_next(random);
        memcpy(&value, &bits, sizeof(value));
    } while (!isfinite(value));
    return value;
}

static void any_state(struct vlm_trainer_state *state, uint64_t seed)
{
    struct vlm_random random = vlm_random_at(seed, 0, 0);
    memset(state, 0, sizeof(*state));
    state->step = vlm_random_next(&random);
    state->batches = vlm_random_next(&random);
    state->updates = vlm_random_below(&random, state->step);
    state->tokens = UINT64_MAX;
    state->documents = (UINT64_C(1) << 53) + 1;
    state->roll_backs = vlm_random_below(&random, 9);
    state->best_loss = seed % 3 ? any_double(&random) : (double)INFINITY;
    state->best_step = vlm_random_below(&random, state->step);
    state->n_left_out = vlm_random_below(&random, VLM_LEFT_OUT_MAX + 1);
    for (size_t i = 0; i < state->n_left_out; i++)
        state->left_out[i] = vlm_random_next(&random);
    for (size_t i = 0; i < seed % (VLM_SOURCES_MAX + 1); i++)
        state->place.cursor.drawn[i] = vlm_random_below(&random, 2) * vlm_random_next(&random);
    state->place.sample = vlm_random_next(&random);
    struct vlm_guard *guard = &state->guard;
    guard->count = (uint32_t)vlm_random_below(&random, VLM_GUARD_WINDOW + 1);
    guard->next = guard->count < VLM_GUARD_WINDOW
                      ? guard->count
                      : (uint32_t)vlm_random_below(&random, VLM_GUARD_WINDOW);
    for (uint32_t i = 0; i < guard->count; i++) {
        guard->loss[i] = any_double(&random);
        guard->norm[i] = any_double(&random);
    }
    guard->bad_in_row = (uint32_t)vlm_random_below(&random, VLM_GUARD_PATIENCE);
    guard->accepted = vlm_random_next(&random);
    guard->skipped = vlm_random_next(&random);
    guard->not_finite = vlm_random_next(&random);
    guard->spikes = vlm_random_next(&random);
}

static struct vlm_buffer text_of(const struct vlm_trainer_state *state,
                                 const struct vlm_identity *identity)
{
    struct vlm_buffer text = { 0 };
    vlm_trainer_state_write(&text, state, identity);
    assert_false(text.failed);
    return text;
}

static void every_number_comes_back(void **unused)
{
    static struct vlm_trainer_state state, again;
    static struct vlm_identity identity, identity_again;
    struct vlm_err err = { 0 };
    (void)unused;
    for (uint64_t seed = 0; seed < 300; seed++) {
        any_state(&state, seed);
        identity.n = 0;
        for (size_t i = 0; i < seed % 129; i++) {
            char key[16];
            snprintf(key, sizeof(key), "key %zu", i);
            vlm_identity_add(&identity, key, "%" PRIu64 " \"\\ é", seed * i);
        }
        struct vlm_buffer text = text_of(&state, &identity);
        int rc =
            vlm_trainer_state_read(&again, &identity_again, (char *)text.data, text.size, &err);
        if (rc != VLM_OK)
            fail_msg("seed %" PRIu64 ": %s", seed, err.msg);
        /* Padding is zero in both: they were cleared as a whole. */
        assert_memory_equal(&state, &again, sizeof(state));
        assert_int_equal(vlm_identity_check(&identity_again, &identity, &err), VLM_OK);
        assert_int_equal(identity.n, identity_again.n);
        vlm_buffer_release(&text);
    }
}

/* Reads text with `find` replaced by `with`; the code, and the sentence in err. */
static int read_changed(const struct vlm_buffer *text, const char *find, const char *with,
                        struct vlm_err *err)
{
    static struct vlm_trainer_state state;
    static struct vlm_identity identity;
    struct vlm_buffer changed = { 0 };
    char *copy = strndup((char *)text->data, text->size);
    char *at = strstr(copy, find);
    if (!at)
        fail_msg("'%s' does not stand in %s", find, copy);
    vlm_buffer_add(&changed, copy, (size_t)(at - copy));
    vlm_buffer_text(&changed, with);
    vlm_buffer_text(&changed, at + strlen(find));
    int rc = vlm_trainer_state_read(&state, &identity, (char *)changed.data, changed.size, err);
    vlm_buffer_release(&changed);
    free(copy);
    return rc;
}

static struct vlm_buffer plain_text(void)
{
    static struct vlm_trainer_state state;
    static struct vlm_identity identity;
    state = (struct vlm_trainer_state){ .step = 9, .updates = 8, .best_loss = 0.5, .best_step = 4 };
    for (int i = 0; i < 3; i++)
        vlm_guard_judge(&state.guard, 1, 2);
    identity.n = 0;
    vlm_identity_add(&identity, "seed", "%d", 42);
    return text_of(&state, &identity);
}

static void what_is_wrong_is_said(void **unused)
{
    static const struct {
        const char *find, *with, *sentence;
    } cases[] = {
        { "\"step\": 9", "\"step\": -1", "byte " },
        { "\"step\": 9", "\"step\": 9.0", "byte " },
        { "\"step\": 9", "\"step\": 18446744073709551616", "byte " },
        { "\"step\": 9", "\"step\": \"9\"", "byte " },
        { "\"step\": 9, ", "", "it is not complete" },
        { "\"step\": 9, ", "\"step\": 9, \"step\": 9, ", "a member stands there twice" },
        { "\"step\": 9, ", "\"step\": 9, \"stop\": 9, ", "an unknown member" },
        { "\"step\": 9", "\"step\": 7", "8 updates, the best at step 4, of 7 steps" },
        { "\"best_step\": 4", "\"best_step\": 10", "8 updates, the best at step 10, of 9 steps" },
        { "\"best_loss\": 0.5", "\"best_loss\": 1e999", "a number is too large" },
        { "\"best_loss\": 0.5", "\"best_loss\": \"0.5\"", "a number was expected" },
        { "\"best_loss\": 0.5", "\"best_loss\": NaN", "byte " },
        { "\"best_loss\": 0.5", "\"best_loss\": 00.5", "byte " },
        { "\"best_loss\": 0.5",
          "\"best_loss\": 0.5000000000000000000000000000000000000000000000000000000000000001",
          "a number is too long" },
        { "\"place\": {", "\"place\": {\"x\": 1, ", "an unknown member of \"place\"" },
        { "\"sample\": 0", "\"sample\": 0, \"sample\": 0", "a member stands there twice" },
        { ", \"sample\": 0", "", "\"place\" is not complete" },
        { "\"loss\": [1, 1, 1]", "\"loss\": [1, 1]",
          "the lists of \"guard\" are not equally long" },
        { "\"loss\": [1, 1, 1]", "\"loss\": [1, null, 1]", "a number was expected" },
        { "\"next\": 3", "\"next\": 2", "guard: 3 values, the next at 2" },
        { "\"next\": 3", "\"next\": 4294967299", "a number is too large" },
        { "\"bad_in_row\": 0", "\"bad_in_row\": 3", "guard: 3 bad steps in a row" },
        { "\"accepted\": 3, ", "", "\"guard\" is not complete" },
        { "\"guard\": {", "\"guard\": {\"x\": [[{}]], ", "an unknown member of \"guard\"" },
        { "[\"seed\", \"42\"]", "[\"seed\"]", "\"identity\" is not a list of at most 128 pairs" },
        { "[\"seed\", \"42\"]", "[\"seed\", \"42\", \"43\"]",
          "\"identity\" is not a list of at most 128 pairs" },
        { "\"42\"", "\"4\\n2\"", "a text has a control character" },
        { "vlm-checkpoint 1", "vlm-checkpoint 0", "\"format\" is 'vlm-checkpoint 0', expected" },
        { "vlm-checkpoint 1", "vlm-checkpoint 1x", "\"format\" is 'vlm-checkpoint 1x', expected" },
        { "vlm-checkpoint 1", "pickle", "\"format\" is 'pickle', expected 'vlm-checkpoint 1'" },
        { "]]}", "]]} x", "byte " },
        { "{\"format\"", "[\"format\"", "byte " },
    };
    struct vlm_buffer text = plain_text();
    (void)unused;
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_err err = { 0 };
        int rc = read_changed(&text, cases[i].find, cases[i].with, &err);
        if (rc != VLM_EFORMAT || strncmp(err.msg, cases[i].sentence, strlen(cases[i].sentence)))
            fail_msg("case %zu, '%s': result %d, '%s'", i, cases[i].with, rc, err.msg);
    }
    vlm_buffer_release(&text);
}

static void a_newer_format_is_another_thing(void **unused)
{
    struct vlm_err err = { 0 };
    struct vlm_buffer text = plain_text();
    (void)unused;
    assert_int_equal(read_changed(&text, "vlm-checkpoint 1", "vlm-checkpoint 12", &err),
                     VLM_EUSAGE);
    assert_string_equal(err.msg, "it has format 12 of version " VLM_VERSION
                                 ", this is version " VLM_VERSION ", which knows formats up to 1");
    vlm_buffer_release(&text);
}

/* Lists longer than the struct has room for, and a file that ends anywhere. */
static void nothing_is_written_beyond_its_place(void **unused)
{
    static struct vlm_trainer_state state;
    static struct vlm_identity identity;
    struct vlm_err err = { 0 };
    struct vlm_buffer text = plain_text(), list = { 0 };
    (void)unused;
    vlm_buffer_text(&list, "[");
    for (int i = 0; i < 200; i++)
        vlm_buffer_printf(&list, "%s%d", i ? ", " : "", i);
    vlm_buffer_text(&list, "]");
    vlm_buffer_byte(&list, 0);
    char with[2048];
    static const char *const keys[] = { "\"left_out\": []", "\"documents\": []",
                                        "\"loss\": [1, 1, 1]", "\"norm\": [2, 2, 2]" };
    for (size_t i = 0; i < VLM_COUNTOF(keys); i++) {
        snprintf(with, sizeof(with), "%.*s%s", (int)(strchr(keys[i], '[') - keys[i]), keys[i],
                 (char *)list.data);
        assert_int_equal(read_changed(&text, keys[i], with, &err), VLM_EFORMAT);
        assert_string_equal(err.msg, "a list is too long");
    }
    for (size_t n = 0; n + 1 < text.size; n++) {
        /* As large as it is, so that tools see a byte too many being read. */
        char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, text.data, n);
        int rc = vlm_trainer_state_read(&state, &identity, cut, n, &err);
        if (rc != VLM_EFORMAT)
            fail_msg("%zu bytes: result %d", n, rc);
        free(cut);
    }
    vlm_buffer_release(&list);
    vlm_buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_comes_back),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(a_newer_format_is_another_thing),
        cmocka_unit_test(nothing_is_written_beyond_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
