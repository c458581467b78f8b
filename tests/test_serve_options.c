/* test_serve_options.c - how many and how long things on the command line of vlm-serve may be: one below the limit, the
 * limit, one above with its sentence. The rest of the options is in tests/cli/serve_refused.sh. */
#include "base/vlm.h"

#include "base/limits.h"
#include "serve/run/serve_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

enum { ARGUMENTS_MAX = 256 };

/* What is wrong with "-m model" and these; "": nothing. The arguments are changed. */
static void parse(char problem[1024], char *const *arguments, size_t n)
{
    char *argv[ARGUMENTS_MAX + 4] = { (char *)"vlm-serve", (char *)"-m", (char *)"model" };
    struct vlm_serve_options options;
    struct vlm_err err = { 0 };
    assert_true(n <= ARGUMENTS_MAX);
    memcpy(argv + 3, arguments, n * sizeof(*arguments));
    int rc = vlm_serve_options_parse(&options, (int)n + 3, argv, &err);
    assert_true(rc == VLM_OK || rc == VLM_EUSAGE || rc == VLM_ELIMIT);
    snprintf(problem, 1024, "%s", rc == VLM_OK ? "" : err.msg);
    vlm_serve_options_release(&options);
}

static char *filled(size_t n)
{
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, 'k', n);
    text[n] = 0;
    return text;
}

static void options_are_repeated_64_times(void **state)
{
    static const struct {
        const char *option, *sentence;
    } rows[] = {
        { "--api-key", "option '--api-key': more than 64 values" },
        { "--allow-host", "option '--allow-host': more than 64 values" },
        { "--allow-origin", "option '--allow-origin': more than 64 values" },
        { "--shards", "option '--shards': more than 64 values" },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++)
        for (size_t n = VLM_SERVE_LIST_MAX - 1; n <= VLM_SERVE_LIST_MAX + 1; n++) {
            char values[VLM_SERVE_LIST_MAX + 1][8], problem[1024];
            char *arguments[2 * VLM_SERVE_LIST_MAX + 2];
            for (size_t k = 0; k < n; k++) {
                snprintf(values[k], sizeof(values[k]), "v%zu", k);
                arguments[2 * k] = (char *)(uintptr_t)rows[i].option;
                arguments[2 * k + 1] = values[k];
            }
            parse(problem, arguments, 2 * n);
            assert_string_equal(problem, n <= VLM_SERVE_LIST_MAX ? "" : rows[i].sentence);
        }
}

static void keys_have_512_bytes(void **state)
{
    (void)state;
    for (size_t n = 511; n <= 513; n++) {
        char problem[1024], *key = filled(n);
        parse(problem, (char *[]){ (char *)"--api-key", key }, 2);
        assert_string_equal(
            problem, n <= 512 ? "" : "option '--api-key': a key of 513 bytes, at most 512 may be");
        free(key);
    }
}

static void files_of_keys_have_64_kib(void **state)
{
    char *path = test_path("keys"), problem[1024], sentence[1024];
    (void)state;
    for (size_t n = 64 * VLM_KIB - 1; n <= 64 * VLM_KIB + 1; n++) {
        struct vlm_err err = { 0 };
        char *text = filled(n);
        text[0] = '#'; /* a remark, and a key behind it */
        memcpy(text + n - 4, "\nkey", 4);
        assert_int_equal(vlm_file_write(path, text, n, &err), VLM_OK);
        assert_int_equal(chmod(path, 0600), 0);
        parse(problem, (char *[]){ (char *)"--api-key-file", path }, 2);
        snprintf(sentence, sizeof(sentence), "'%s' has 65537 bytes, more than 65536", path);
        assert_string_equal(problem, n <= 64 * VLM_KIB ? "" : sentence);
        free(text);
    }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_repeated_64_times),
        cmocka_unit_test(keys_have_512_bytes),
        cmocka_unit_test(files_of_keys_have_64_kib),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
