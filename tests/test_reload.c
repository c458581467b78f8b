/* test_reload.c - what a running server reads again: its keys, and the file of its log after somebody has moved it. */
#include "base/vlm.h"

#include "tests/api_fixture.h"

#include "base/file.h"
#include "base/limits.h"

#include <sys/stat.h>

static char *keys, *log_path, *moved;
static char said[512];

static void hear(void *context, const char *sentence)
{
    (void)context;
    snprintf(said, sizeof(said), "%s", sentence);
}

static void write_keys(const char *text, mode_t mode)
{
    struct vlm_err err = { 0 };
    fixture_check(vlm_file_write(keys, text, strlen(text), &err), &err);
    assert_int_equal(0, chmod(keys, mode));
}

static int start_with_keys(void **state)
{
    (void)state;
    keys = test_path("keys");
    log_path = test_path("log");
    moved = test_path("log.1");
    write_keys("first\nsecond\n", 0600);
    const char *const more[] = { "--api-key-file", keys, "--access-log", log_path, NULL };
    start_with("lm", more);
    it.options.warn = hear;
    return 0;
}

static int stop_with_keys(void **state)
{
    free(keys);
    free(log_path);
    free(moved);
    return stop(state);
}

static int status_with(const char *key)
{
    struct vlm_buffer request = { 0 }, in = { 0 };
    int fd = dial(), status = 0;
    vlm_buffer_printf(&request,
                      "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                      "Authorization: Bearer %s\r\n\r\n",
                      key);
    send_all(fd, (const char *)request.data, request.size);
    receive(fd, &in, SIZE_MAX);
    close(fd);
    vlm_buffer_byte(&in, 0);
    assert_int_equal(1, sscanf((char *)in.data, "HTTP/1.1 %d", &status));
    vlm_buffer_release(&request);
    vlm_buffer_release(&in);
    return status;
}

static void keys_are_read_again(void **state)
{
    (void)state;
    assert_int_equal(200, status_with("first"));
    assert_int_equal(200, status_with("second"));
    assert_int_equal(401, status_with("third"));
    write_keys("# new\nsecond\n\nthird", 0600);
    assert_int_equal(200, status_with("first")); /* nobody has said so yet */
    vlm_server_reload(it.server);
    assert_string_equal("", said);
    assert_int_equal(401, status_with("first"));
    assert_int_equal(200, status_with("second"));
    assert_int_equal(200, status_with("third"));
}

/* A server with keys never becomes one without. */
static void bad_files_change_nothing(void **state)
{
    static const struct {
        const char *text;
        mode_t mode;
        const char *why; /* a part of it */
    } cases[] = {
        { "# none\n", 0600, "has no key" },
        { "fourth\n", 0644, "has mode 0644" },
        { "fourth\nfi fth\n", 0600, "no header can hold" },
        { NULL, 0, "cannot read" },
    };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        if (cases[i].text)
            write_keys(cases[i].text, cases[i].mode);
        else
            assert_int_equal(0, unlink(keys));
        *said = 0;
        vlm_server_reload(it.server);
        assert_non_null(strstr(said, "the keys stay as they were: "));
        assert_non_null(strstr(said, cases[i].why));
        assert_int_equal(200, status_with("third"));
        assert_int_equal(401, status_with("fourth"));
        assert_int_equal(401, status_with(""));
    }
    /* Of a pipe the keys came once: to wait for others would stop the server. */
    assert_int_equal(0, mkfifo(keys, 0600));
    vlm_server_reload(it.server);
    assert_non_null(strstr(said, "is not a file that can be read again"));
    assert_int_equal(200, status_with("third"));
    assert_int_equal(0, unlink(keys));
}

static size_t lines_of(const char *path)
{
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    size_t n = 0;
    fixture_check(vlm_file_read(&text, path, VLM_MIB, &err), &err);
    for (size_t i = 0; i < text.size; i++)
        n += text.data[i] == '\n';
    vlm_buffer_release(&text);
    return n;
}

static void logs_are_opened_again(void **state)
{
    (void)state;
    write_keys("third\n", 0600);
    const size_t before = lines_of(log_path);
    assert_true(before > 0);
    assert_int_equal(0, rename(log_path, moved));
    status_with("third"); /* still into the file that was moved */
    assert_int_equal(before + 1, lines_of(moved));
    *said = 0;
    vlm_server_reload(it.server);
    assert_string_equal("", said);
    status_with("third");
    assert_int_equal(before + 1, lines_of(moved));
    assert_int_equal(1, lines_of(log_path));
    /* Where no file can be made the old one goes on. */
    assert_int_equal(0, unlink(log_path));
    assert_int_equal(0, mkdir(log_path, 0700));
    vlm_server_reload(it.server);
    assert_non_null(strstr(said, "cannot open the access log"));
    assert_int_equal(200, status_with("third"));
    assert_int_equal(0, rmdir(log_path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_again),
        cmocka_unit_test(bad_files_change_nothing),
        cmocka_unit_test(logs_are_opened_again),
    };
    signal(SIGPIPE, SIG_IGN);
    if (make_test_folder(NULL))
        return 1;
    int failed = cmocka_run_group_tests(tests, start_with_keys, stop_with_keys);
    return remove_test_folder(NULL) || failed;
}
