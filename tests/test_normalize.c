/* test_normalize.c - normalizers: examples by hand, every code point against what the package
 * tokenizers gives (tests/vectors/normalize.tsv by tests/reference/make_normalize.py), hostile
 * texts and their time. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "tests/code_points_fixture.h"
#include "tokenize/unicode/normalize.h"
#include "tokenize/unicode/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static const struct step {
    const char *name;
    struct vlm_normalizer normalizer;
    const char *pattern; /* of VLM_NORMALIZE_REPLACE */
} all_steps[] = {
    { "nfc", { .kind = VLM_NORMALIZE_NFC }, NULL },
    { "nfd", { .kind = VLM_NORMALIZE_NFD }, NULL },
    { "nfkc", { .kind = VLM_NORMALIZE_NFKC }, NULL },
    { "nfkd", { .kind = VLM_NORMALIZE_NFKD }, NULL },
    { "lowercase", { .kind = VLM_NORMALIZE_LOWERCASE }, NULL },
    { "strip_accents", { .kind = VLM_NORMALIZE_STRIP_ACCENTS }, NULL },
    { "bert",
      { .kind = VLM_NORMALIZE_BERT,
        .flags = VLM_BERT_CLEAN_TEXT | VLM_BERT_CHINESE_CHARS | VLM_BERT_STRIP_ACCENTS |
                 VLM_BERT_LOWERCASE },
      NULL },
    { "bert_cased",
      { .kind = VLM_NORMALIZE_BERT, .flags = VLM_BERT_CLEAN_TEXT | VLM_BERT_CHINESE_CHARS },
      NULL },
    { "bert_accents_kept",
      { .kind = VLM_NORMALIZE_BERT,
        .flags = VLM_BERT_CLEAN_TEXT | VLM_BERT_CHINESE_CHARS | VLM_BERT_LOWERCASE },
      NULL },
    { "bert_accents_only", { .kind = VLM_NORMALIZE_BERT, .flags = VLM_BERT_STRIP_ACCENTS }, NULL },
    { "strip", { .kind = VLM_NORMALIZE_STRIP, .flags = VLM_STRIP_LEFT | VLM_STRIP_RIGHT }, NULL },
    { "strip_left", { .kind = VLM_NORMALIZE_STRIP, .flags = VLM_STRIP_LEFT }, NULL },
    { "strip_right", { .kind = VLM_NORMALIZE_STRIP, .flags = VLM_STRIP_RIGHT }, NULL },
    { "replace",
      { .kind = VLM_NORMALIZE_REPLACE, .content = "x\xc3\xa9", .content_size = 3 },
      "a" },
    { "replace_by_nothing",
      { .kind = VLM_NORMALIZE_REPLACE, .content = "", .content_size = 0 },
      "aa" },
    { "prepend",
      { .kind = VLM_NORMALIZE_PREPEND, .content = "\xe2\x96\x81x", .content_size = 4 },
      NULL },
    { "byte_level", { .kind = VLM_NORMALIZE_BYTE_LEVEL }, NULL },
    { "nmt", { .kind = VLM_NORMALIZE_NMT }, NULL },
};

static const struct step *step_of(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(all_steps); i++)
        if (!strcmp(all_steps[i].name, name))
            return &all_steps[i];
    return NULL;
}

/* One step over a text, from memory that is exactly as large as the text. */
static int run(struct vlm_normal *normal, const struct step *step, const char *text, size_t n,
               struct vlm_err *err)
{
    struct vlm_normalizer normalizer = step->normalizer;
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    if (step->pattern) {
        int rc = vlm_pattern_new(&normalizer.pattern, step->pattern, strlen(step->pattern),
                                 VLM_PATTERN_STRING, err);
        assert_int_equal(rc, VLM_OK);
    }
    int rc = vlm_normal_set(normal, copy, n, err);
    free(copy);
    if (rc == VLM_OK)
        rc = vlm_normalize(normal, &normalizer, 1, err);
    vlm_pattern_free(normalizer.pattern);
    return rc;
}

/* Spans are in the text and in order but where marks changed places. */
static void check_places(const struct vlm_normal *normal, size_t n)
{
    for (size_t i = 0; i < normal->n; i++) {
        assert_true(normal->start[i] <= normal->end[i]);
        assert_true(normal->end[i] <= n);
        assert_true(!i || normal->start[i - 1] <= normal->start[i]);
        assert_true(!i || normal->end[i - 1] <= normal->end[i]);
    }
}

static void expect_bytes(const char *name, const char *text, size_t n, const char *expected,
                         size_t expected_n, const uint32_t *places)
{
    struct vlm_normal normal = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(run(&normal, step_of(name), text, n, &err), VLM_OK);
    assert_int_equal(normal.n, expected_n);
    assert_memory_equal(normal.text, expected, expected_n);
    for (size_t i = 0; places && i < expected_n; i++) {
        assert_int_equal(normal.start[i], places[2 * i]);
        assert_int_equal(normal.end[i], places[2 * i + 1]);
    }
    check_places(&normal, n);
    vlm_normal_release(&normal);
}

static void expect(const char *name, const char *text, const char *expected)
{
    expect_bytes(name, text, strlen(text), expected, strlen(expected), NULL);
}

static void examples(void **state)
{
    (void)state;
    expect("nfc", "e\xcc\x81", "\xc3\xa9");
    expect("nfd", "\xc3\xa9", "e\xcc\x81");
    expect("nfkc", "\xef\xac\x81", "fi");
    expect("lowercase", "\xc4\xb0", "i\xcc\x87");                /* U+0130 */
    expect("lowercase", "\xce\x91\xce\xa3", "\xce\xb1\xcf\x83"); /* no final sigma */
    expect("lowercase", "\xf0\x90\xb5\x90", "\xf0\x90\xb5\xb0"); /* of Unicode 16 */
    expect("bert", "H\xc3\xa9llo\tW\x01orld\xef\xbf\xbd", "hello world");
    expect("bert",
           "a\xe4\xb8\xad"
           "b",
           "a \xe4\xb8\xad b");
    expect("bert", "\xe2\x84\xaa", "k"); /* the Kelvin sign is K in every form */
    expect("bert_accents_kept", "\xc3\x89", "\xc3\xa9");
    expect("strip", " \t\xc2\xa0 a b\xe3\x80\x80", "a b");
    expect("strip", " \n ", "");
    expect("replace", "banana", "bx\xc3\xa9nx\xc3\xa9nx\xc3\xa9");
    expect("replace_by_nothing", "aaab", "ab");
    expect("prepend", "", "");
    expect("byte_level", " \xc3\xa9", "\xc4\xa0\xc3\x83\xc2\xa9");
    expect("nmt",
           "a\x01"
           "b\xe2\x80\x8b"
           "c",
           "ab c");
    for (size_t i = 0; i < VLM_COUNTOF(all_steps); i++)
        expect(all_steps[i].name, "", "");
}

static void places(void **state)
{
    (void)state;
    /* Two marks change places; the second then has the place of the one before it. */
    expect_bytes("nfd", "\xc3\xa9\xcc\xa3", 4, "e\xcc\xa3\xcc\x81", 5,
                 (const uint32_t[]){ 0, 2, 2, 4, 2, 4, 2, 4, 2, 4 });
    /* What is composed has the place of its first character. */
    expect_bytes("nfc", "xe\xcc\x81y", 5, "x\xc3\xa9y", 4,
                 (const uint32_t[]){ 0, 1, 1, 2, 1, 2, 4, 5 });
    expect_bytes("prepend", "\xc3\xa9", 2, "\xe2\x96\x81x\xc3\xa9", 6,
                 (const uint32_t[]){ 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2 });
    expect_bytes("replace", "-a-", 3, "-x\xc3\xa9-", 5,
                 (const uint32_t[]){ 0, 1, 1, 2, 1, 2, 1, 2, 2, 3 });
    expect_bytes("bert", "\xe4\xb8\xad", 3, " \xe4\xb8\xad ", 5,
                 (const uint32_t[]){ 0, 3, 0, 3, 0, 3, 0, 3, 0, 3 });
}

/* Bytes that are not UTF-8 stay, each a character of its own; what is around them is normalized. */
static void not_utf8(void **state)
{
    (void)state;
    expect("bert",
           "\xff"
           "A\xc3",
           "\xff"
           "a\xc3");
    expect("nfc",
           "\x80"
           "e\xcc\x81\xe2\x82",
           "\x80\xc3\xa9\xe2\x82");
    expect("nfd", "\xed\xa0\x80", "\xed\xa0\x80"); /* a surrogate */
    expect("replace",
           "\xff"
           "a\xff",
           "\xff"
           "x\xc3\xa9\xff");
    expect("byte_level", "\xff", "\xc3\xbf");
    expect_bytes("bert_cased", "\xc3\x01\xa9", 3, "\xc3\xa9", 2, (const uint32_t[]){ 0, 1, 2, 3 });
}

static void steps_in_a_row(void **state)
{
    (void)state;
    struct vlm_normalizer steps[] = { step_of("nfd")->normalizer,
                                      step_of("strip_accents")->normalizer,
                                      step_of("lowercase")->normalizer,
                                      step_of("strip")->normalizer };
    struct vlm_normal normal = { 0 };
    struct vlm_err err = { 0 };
    for (int i = 0; i < 2; i++) { /* the memory of the first text is used again */
        const char *text = i ? " \xc3\x80 LA  CARTE " : "\xc3\x89";
        assert_int_equal(vlm_normal_set(&normal, text, strlen(text), &err), VLM_OK);
        assert_int_equal(vlm_normalize(&normal, steps, VLM_COUNTOF(steps), &err), VLM_OK);
        const char *expected = i ? "a la  carte" : "e";
        assert_int_equal(normal.n, strlen(expected));
        assert_memory_equal(normal.text, expected, normal.n);
        assert_int_equal(normal.start[0], i);
        assert_int_equal(normal.end[0], i + 2);
    }
    vlm_normal_release(&normal);
}

static void add_result(struct vlm_buffer *out, struct vlm_normal *normal, const struct step *step,
                       const struct vlm_buffer *text)
{
    struct vlm_err err = { 0 };
    assert_int_equal(run(normal, step, (const char *)text->data, text->size, &err), VLM_OK);
    vlm_buffer_u32(out, (uint32_t)normal->n);
    vlm_buffer_add(out, normal->text, normal->n);
    for (size_t i = 0; i < normal->n; i++)
        vlm_buffer_u32(out, normal->start[i]);
    for (size_t i = 0; i < normal->n; i++)
        vlm_buffer_u32(out, normal->end[i]);
}

static bool row_is_right(struct vlm_normal *normal, const struct step *step,
                         const struct context *context, uint32_t first, uint32_t end,
                         const char *expected)
{
    enum { BLOCK = 512 };
    struct vlm_sha256_stream *digest = vlm_sha256_begin();
    struct vlm_buffer text = { 0 }, out = { 0 };
    for (uint32_t block = first; block < end; block += BLOCK) {
        vlm_buffer_reset(&text);
        for (uint32_t c = block; c < block + BLOCK; c++) {
            if (is_surrogate(c))
                continue;
            if (text.size)
                vlm_buffer_byte(&text, '\n');
            add_in_context(&text, context, c);
        }
        if (text.size)
            add_result(&out, normal, step, &text);
        add_gathered(digest, &out);
    }
    vlm_buffer_release(&out);
    vlm_buffer_release(&text);
    return digest_is(digest, expected);
}

static void every_code_point(void **state)
{
    (void)state;
    struct vlm_buffer rows = { 0 };
    struct vlm_normal normal = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_file_read(&rows, "tests/vectors/normalize.tsv", VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&rows, 0);
    size_t n = 0, wrong = 0;
    char *save = NULL;
    for (char *row = strtok_r((char *)rows.data, "\n", &save); row;
         row = strtok_r(NULL, "\n", &save), n++) {
        char name[32], where[32], expected[64];
        unsigned first, end;
        assert_int_equal(sscanf(row, "%31s %31s %x %x %63s", name, where, &first, &end, expected),
                         5);
        const struct step *step = step_of(name);
        const struct context *context = context_of(where);
        assert_non_null(step);
        assert_non_null(context);
        if (!row_is_right(&normal, step, context, first, end, expected)) {
            print_message("differs: %s %s %x\n", name, where, first);
            wrong++;
        }
    }
    vlm_buffer_release(&rows);
    vlm_normal_release(&normal);
    assert_true(n > 0);
    assert_int_equal(wrong, 0);
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One string again and again: 1 MiB for the steps that move characters, where a quadratic one takes
 * hours. */
static void hostile_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\xef\xb7\xba", /* U+FDFA, 18 characters in NFKC */
        "\xcc\x81",
        "\xcc\x81\xcc\xa3\xcc\xb4", /* marks of one class, and in wrong order */
        "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8",
        "\xff", /* jamo; not UTF-8 */
        "\xf0\x9d\x85\xa0",
        "\xe4\xb8\xad",
        "a",
        "\xe2\x80\x80",
        " ",
    };
    char *text = malloc(VLM_MIB);
    assert_non_null(text);
    for (size_t t = 0; t < VLM_COUNTOF(texts); t++) {
        size_t size = strlen(texts[t]);
        for (size_t i = 0; i + size <= VLM_MIB; i += size)
            memcpy(text + i, texts[t], size);
        for (size_t s = 0; s < VLM_COUNTOF(all_steps); s++) {
            bool moves = all_steps[s].normalizer.kind <= VLM_NORMALIZE_NFKD && t < 4;
            size_t n = (moves ? VLM_MIB : 64 * VLM_KIB) / size * size;
            struct vlm_normal normal = { 0 };
            struct vlm_err err = { 0 };
            double before = cpu_seconds();
            assert_int_equal(run(&normal, &all_steps[s], text, n, &err), VLM_OK);
            double seconds = cpu_seconds() - before;
            if (seconds > 0.5)
                print_message("text %zu, %s: %.2f s\n", t, all_steps[s].name, seconds);
            assert_true(seconds < 20); /* what a sanitizer may take */
            assert_true(!normal.n || normal.end[normal.n - 1] <= n);
            vlm_normal_release(&normal);
        }
    }
    free(text);
}

static int expand(size_t n, size_t content_size, size_t *result)
{
    struct vlm_normal normal = { 0 };
    struct vlm_err err = { 0 };
    struct vlm_normalizer normalizer = { .kind = VLM_NORMALIZE_PREPEND };
    char *text = calloc(1, n), *content = malloc(content_size);
    assert_non_null(text);
    assert_non_null(content);
    memset(content, 'x', content_size);
    normalizer.content = content;
    normalizer.content_size = content_size;
    assert_int_equal(vlm_normal_set(&normal, text, n, &err), VLM_OK);
    int rc = vlm_normalize(&normal, &normalizer, 1, &err);
    *result = normal.n;
    vlm_normal_release(&normal);
    free(text);
    free(content);
    return rc;
}

static void limit_of_expansion(void **state)
{
    (void)state;
    size_t max = VLM_NORMAL_RATIO_MAX * VLM_KIB, result;
    assert_int_equal(expand(10, max - 11, &result), VLM_OK);
    assert_int_equal(result, max - 1);
    assert_int_equal(expand(10, max - 10, &result), VLM_OK);
    assert_int_equal(result, max);
    assert_int_equal(expand(10, max - 9, &result), VLM_ELIMIT);
    assert_int_equal(result, 10); /* as it was */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),           cmocka_unit_test(places),
        cmocka_unit_test(not_utf8),           cmocka_unit_test(steps_in_a_row),
        cmocka_unit_test(every_code_point),   cmocka_unit_test(hostile_texts),
        cmocka_unit_test(limit_of_expansion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
