/* trainer_state.c - trainer_state.json: counters as whole numbers, doubles with the 17 digits that give them
 * back bit for bit, written and read by one table where that is possible.
 *
 * Reading is strict: every member once, none unknown, everything within its range. "format" and "version" stand first:
 * a newer program's file is called that, and not damaged. */
#include "base/vlm.h"

#include "trainer/save/trainer_state.h"

#include "base/json.h"
#include "base/json_scan.h"

#include <math.h>

enum { FORMAT = 1, NUMBER_SIZE = 64 };
#define FORMAT_NAME "vlm-checkpoint "

/* Whole numbers of the state, in the order of the file. */
struct counter {
    const char *key;
    size_t offset; /* of a uint64_t */
};
static const struct counter counters[] = {
    { "step", offsetof(struct vlm_trainer_state, step) },
    { "batches", offsetof(struct vlm_trainer_state, batches) },
    { "updates", offsetof(struct vlm_trainer_state, updates) },
    { "tokens", offsetof(struct vlm_trainer_state, tokens) },
    { "documents", offsetof(struct vlm_trainer_state, documents) },
    { "roll_backs", offsetof(struct vlm_trainer_state, roll_backs) },
    { "best_step", offsetof(struct vlm_trainer_state, best_step) },
};
static const struct counter guard_counters[] = {
    { "accepted", offsetof(struct vlm_guard, accepted) },
    { "skipped", offsetof(struct vlm_guard, skipped) },
    { "not_finite", offsetof(struct vlm_guard, not_finite) },
    { "spikes", offsetof(struct vlm_guard, spikes) },
};

/* ---- writing ---- */

static void write_counters(struct vlm_json *json, const struct counter *list, size_t n,
                           const void *object)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value;
        memcpy(&value, (const char *)object + list[i].offset, sizeof(value));
        vlm_json_member_number(json, list[i].key, value);
    }
}

static void write_numbers(struct vlm_json *json, const char *key, const uint64_t *list, size_t n)
{
    vlm_json_key(json, key);
    vlm_json_open(json, '[');
    for (size_t i = 0; i < n; i++)
        vlm_json_number(json, list[i]);
    vlm_json_close(json, ']');
}

/* vlm_json_real() has 6 digits. */
static void write_exact(struct vlm_json *json, double value)
{
    if (!isfinite(value)) {
        vlm_json_null(json);
        return;
    }
    if (json->comma)
        vlm_buffer_text(json->out, ", ");
    vlm_buffer_printf(json->out, "%.17g", value);
    json->comma = true;
}

static void write_exact_list(struct vlm_json *json, const char *key, const double *list, size_t n)
{
    vlm_json_key(json, key);
    vlm_json_open(json, '[');
    for (size_t i = 0; i < n; i++)
        write_exact(json, list[i]);
    vlm_json_close(json, ']');
}

static void write_place(struct vlm_json *json, const struct vlm_place *place)
{
    size_t n = VLM_SOURCES_MAX;
    while (n && !place->cursor.drawn[n - 1])
        n--;
    vlm_json_key(json, "place");
    vlm_json_open(json, '{');
    write_numbers(json, "documents", place->cursor.drawn, n);
    vlm_json_member_number(json, "sample", place->sample);
    vlm_json_close(json, '}');
}

static void write_guard(struct vlm_json *json, const struct vlm_guard *guard)
{
    vlm_json_key(json, "guard");
    vlm_json_open(json, '{');
    write_exact_list(json, "loss", guard->loss, guard->count);
    write_exact_list(json, "norm", guard->norm, guard->count);
    vlm_json_member_number(json, "next", guard->next);
    vlm_json_member_number(json, "bad_in_row", guard->bad_in_row);
    write_counters(json, guard_counters, VLM_COUNTOF(guard_counters), guard);
    vlm_json_close(json, '}');
}

static void write_identity(struct vlm_json *json, const struct vlm_identity *identity)
{
    vlm_json_key(json, "identity");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < identity->n; i++) {
        vlm_json_open(json, '[');
        vlm_json_string(json, identity->pair[i].key);
        vlm_json_string(json, identity->pair[i].value);
        vlm_json_close(json, ']');
    }
    vlm_json_close(json, ']');
}

void vlm_trainer_state_write(struct vlm_buffer *out, const struct vlm_trainer_state *state,
                             const struct vlm_identity *identity)
{
    struct vlm_json json = { .out = out };
    char format[NUMBER_SIZE];
    snprintf(format, sizeof(format), FORMAT_NAME "%d", FORMAT);
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "format", format);
    vlm_json_member_string(&json, "version", VLM_VERSION);
    write_counters(&json, counters, VLM_COUNTOF(counters), state);
    vlm_json_key(&json, "best_loss");
    write_exact(&json, state->best_loss);
    write_numbers(&json, "left_out", state->left_out, state->n_left_out);
    write_place(&json, &state->place);
    write_guard(&json, &state->guard);
    write_identity(&json, identity);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}

/* ---- reading ---- */

/* The scanner, and the first thing wrong that it cannot know. */
struct reader {
    struct vlm_json_scan in;
    const char *problem; /* NULL: none */
};

static void complain(struct reader *reader, const char *problem)
{
    if (!reader->problem && !reader->in.problem)
        reader->problem = problem;
}

/* Each member of an object may stand there once; bits of `seen` by its number. */
static void note_member(struct reader *reader, uint32_t *seen, unsigned number)
{
    if (*seen & UINT32_C(1) << number)
        complain(reader, "a member stands there twice");
    *seen |= UINT32_C(1) << number;
}

static bool read_counter(struct reader *reader, const struct counter *list, size_t n,
                         const char *key, void *object, uint32_t *seen, unsigned first)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].key, key)) {
            uint64_t value = vlm_json_scan_number(&reader->in);
            memcpy((char *)object + list[i].offset, &value, sizeof(value));
            note_member(reader, seen, first + (unsigned)i);
            return true;
        }
    return false;
}

static size_t read_numbers(struct reader *reader, uint64_t *list, size_t capacity)
{
    size_t n = 0;
    vlm_json_scan_open(&reader->in, '[');
    while (vlm_json_scan_more(&reader->in, ']')) {
        uint64_t value = vlm_json_scan_number(&reader->in);
        if (n < capacity)
            list[n++] = value;
        else
            complain(reader, "a list is too long");
    }
    return n;
}

/* A finite number; the scanner says that it is one, by passing over it. */
static double read_exact(struct reader *reader)
{
    char digits[NUMBER_SIZE];
    char c = vlm_json_scan_peek(&reader->in);
    const char *from = reader->in.at;
    if (c != '-' && (c < '0' || c > '9')) {
        complain(reader, "a number was expected");
        vlm_json_scan_skip(&reader->in);
        return 0;
    }
    vlm_json_scan_skip(&reader->in);
    size_t n = (size_t)(reader->in.at - from);
    if (reader->in.problem || n >= sizeof(digits)) {
        complain(reader, "a number is too long");
        return 0;
    }
    memcpy(digits, from, n);
    digits[n] = 0;
    double value = strtod(digits, NULL);
    if (!isfinite(value))
        complain(reader, "a number is too large");
    return value;
}

static uint32_t read_exact_list(struct reader *reader, double list[VLM_GUARD_WINDOW])
{
    uint32_t n = 0;
    vlm_json_scan_open(&reader->in, '[');
    while (vlm_json_scan_more(&reader->in, ']')) {
        double value = read_exact(reader);
        if (n < VLM_GUARD_WINDOW)
            list[n++] = value;
        else
            complain(reader, "a list is too long");
    }
    return n;
}

static void read_place(struct reader *reader, struct vlm_place *place)
{
    uint32_t seen = 0;
    vlm_json_scan_open(&reader->in, '{');
    while (vlm_json_scan_more(&reader->in, '}')) {
        const char *key = vlm_json_scan_key(&reader->in);
        if (!strcmp(key, "documents")) {
            note_member(reader, &seen, 0);
            read_numbers(reader, place->cursor.drawn, VLM_SOURCES_MAX);
        } else if (!strcmp(key, "sample")) {
            note_member(reader, &seen, 1);
            place->sample = vlm_json_scan_number(&reader->in);
        } else {
            complain(reader, "an unknown member of \"place\"");
            vlm_json_scan_skip(&reader->in);
        }
    }
    if (seen != 3)
        complain(reader, "\"place\" is not complete");
}

static uint32_t read_small(struct reader *reader)
{
    uint64_t value = vlm_json_scan_number(&reader->in);
    if (value > UINT32_MAX)
        complain(reader, "a number is too large");
    return (uint32_t)value;
}

static void read_guard(struct reader *reader, struct vlm_guard *guard)
{
    enum { LOSS, NORM, NEXT, BAD_IN_ROW, COUNTERS };
    uint32_t seen = 0, norms = 0;
    vlm_json_scan_open(&reader->in, '{');
    while (vlm_json_scan_more(&reader->in, '}')) {
        const char *key = vlm_json_scan_key(&reader->in);
        if (!strcmp(key, "loss")) {
            note_member(reader, &seen, LOSS);
            guard->count = read_exact_list(reader, guard->loss);
        } else if (!strcmp(key, "norm")) {
            note_member(reader, &seen, NORM);
            norms = read_exact_list(reader, guard->norm);
        } else if (!strcmp(key, "next")) {
            note_member(reader, &seen, NEXT);
            guard->next = read_small(reader);
        } else if (!strcmp(key, "bad_in_row")) {
            note_member(reader, &seen, BAD_IN_ROW);
            guard->bad_in_row = read_small(reader);
        } else if (!read_counter(reader, guard_counters, VLM_COUNTOF(guard_counters), key, guard,
                                 &seen, COUNTERS)) {
            complain(reader, "an unknown member of \"guard\"");
            vlm_json_scan_skip(&reader->in);
        }
    }
    if (seen != (UINT32_C(1) << (COUNTERS + VLM_COUNTOF(guard_counters))) - 1)
        complain(reader, "\"guard\" is not complete");
    if (norms != guard->count)
        complain(reader, "the lists of \"guard\" are not equally long");
}

/* Texts end up in sentences. */
static void read_text(struct reader *reader, char *to, size_t size)
{
    const char *text = vlm_json_scan_string(&reader->in);
    if (strlen(text) >= size)
        complain(reader, "a text is too long");
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            complain(reader, "a text has a control character");
    snprintf(to, size, "%s", text);
}

static void read_identity(struct reader *reader, struct vlm_identity *identity)
{
    struct vlm_identity_pair pair = { .key = "" };
    vlm_json_scan_open(&reader->in, '[');
    while (vlm_json_scan_more(&reader->in, ']')) {
        size_t n = 0;
        vlm_json_scan_open(&reader->in, '[');
        for (; vlm_json_scan_more(&reader->in, ']'); n++)
            read_text(reader, n ? pair.value : pair.key, n ? sizeof(pair.value) : sizeof(pair.key));
        if (n != 2 || identity->n == VLM_COUNTOF(identity->pair))
            complain(reader, "\"identity\" is not a list of at most 128 pairs");
        else if (!reader->in.problem)
            identity->pair[identity->n++] = pair;
    }
}

/* What can be read of "format" and "version" of any version of us. */
static int check_format(const char *format, const char *version, struct vlm_err *err)
{
    size_t n = strlen(FORMAT_NAME);
    char *end = NULL;
    errno = 0;
    unsigned long number = strncmp(format, FORMAT_NAME, n) ? 0 : strtoul(format + n, &end, 10);
    if (number == 0 || *end || errno)
        return vlm_fail(err, VLM_EFORMAT, "\"format\" is '%.40s', expected '" FORMAT_NAME "%d'",
                        format, FORMAT);
    if (number > FORMAT)
        return vlm_fail(err, VLM_EUSAGE,
                        "it has format %lu of version %s, this is version %s, which knows formats "
                        "up to %d",
                        number, version, VLM_VERSION, FORMAT);
    return VLM_OK;
}

static int read_all(struct reader *reader, struct vlm_trainer_state *state,
                    struct vlm_identity *identity, struct vlm_err *err)
{
    enum { FORMAT_KEY, VERSION, BEST_LOSS, LEFT_OUT, PLACE, GUARD, IDENTITY, COUNTERS };
    struct vlm_json_scan *in = &reader->in;
    char format[NUMBER_SIZE] = "absent", version[NUMBER_SIZE] = "unknown";
    uint32_t seen = 0;
    int rc = VLM_OK;
    vlm_json_scan_open(in, '{');
    while (rc == VLM_OK && vlm_json_scan_more(in, '}')) {
        const char *key = vlm_json_scan_key(in);
        if (!strcmp(key, "format")) {
            note_member(reader, &seen, FORMAT_KEY);
            read_text(reader, format, sizeof(format));
        } else if (!strcmp(key, "version")) {
            note_member(reader, &seen, VERSION);
            read_text(reader, version, sizeof(version));
            /* Now, for nobody knows what else a newer file holds. */
            rc = check_format(format, version, err);
        } else if (!strcmp(key, "best_loss")) {
            note_member(reader, &seen, BEST_LOSS);
            state->best_loss = vlm_json_scan_null(in) ? (double)INFINITY : read_exact(reader);
        } else if (!strcmp(key, "left_out")) {
            note_member(reader, &seen, LEFT_OUT);
            state->n_left_out = read_numbers(reader, state->left_out, VLM_LEFT_OUT_MAX);
        } else if (!strcmp(key, "place")) {
            note_member(reader, &seen, PLACE);
            read_place(reader, &state->place);
        } else if (!strcmp(key, "guard")) {
            note_member(reader, &seen, GUARD);
            read_guard(reader, &state->guard);
        } else if (!strcmp(key, "identity")) {
            note_member(reader, &seen, IDENTITY);
            read_identity(reader, identity);
        } else if (!read_counter(reader, counters, VLM_COUNTOF(counters), key, state, &seen,
                                 COUNTERS)) {
            complain(reader, "an unknown member");
            vlm_json_scan_skip(in);
        }
    }
    if (rc != VLM_OK)
        return rc;
    vlm_json_scan_end(in);
    if (in->problem)
        return vlm_fail(err, VLM_EFORMAT, "byte %zu: %s", in->offset, in->problem);
    if (seen != (UINT32_C(1) << (COUNTERS + VLM_COUNTOF(counters))) - 1)
        complain(reader, "it is not complete");
    if (reader->problem)
        return vlm_fail(err, VLM_EFORMAT, "%s", reader->problem);
    return VLM_OK;
}

static int check_state(const struct vlm_trainer_state *state, struct vlm_err *err)
{
    int rc = vlm_guard_check(&state->guard, err);
    if (rc == VLM_OK && (state->updates > state->step || state->best_step > state->step))
        rc = vlm_fail(err, VLM_EFORMAT,
                      "%" PRIu64 " updates, the best at step %" PRIu64 ", of %" PRIu64 " steps",
                      state->updates, state->best_step, state->step);
    return rc;
}

int vlm_trainer_state_read(struct vlm_trainer_state *state, struct vlm_identity *identity,
                           char *text, size_t size, struct vlm_err *err)
{
    struct reader reader = { 0 };
    *state = (struct vlm_trainer_state){ 0 };
    identity->n = 0;
    vlm_json_scan_init(&reader.in, text, size);
    int rc = read_all(&reader, state, identity, err);
    return rc == VLM_OK ? check_state(state, err) : rc;
}
