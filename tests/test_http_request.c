/* test_http_request.c - heads and bodies of HTTP requests: what is read, what is refused with which status, limits at
 * one below, at and one above, and the same result however the bytes come apart. */
#include "base/vlm.h"

#include "base/random.h"
#include "serve/http/request_body.h"
#include "serve/http/request_head.h"

#include <setjmp.h>

#include <cmocka.h>

#define START "GET / HTTP/1.1\r\nHost: localhost\r\n"
#define POST  "POST /x HTTP/1.1\r\nHost: localhost\r\n"

/* 0: complete; -1: more is needed; else the status of the refusal. */
static int read_head(struct vlm_head *head, const void *bytes, size_t n, size_t step)
{
    const uint8_t *at = bytes;
    *head = (struct vlm_head){ 0 };
    for (size_t done = 0; done < n;) {
        size_t used = 0;
        enum vlm_head_result result =
            vlm_head_feed(head, at + done, VLM_MIN(step, n - done), &used);
        assert_true(used <= VLM_MIN(step, n - done));
        done += used;
        if (result == VLM_HEAD_BAD) {
            assert_true(head->status >= 400 && head->why && head->why[0]);
            return head->status;
        }
        if (result == VLM_HEAD_DONE)
            return done == n ? 0 : 1;
        assert_int_equal(used, VLM_MIN(step, n - (done - used)));
    }
    return -1;
}

static const char
    *why; /* the last refusal of status_of() or chunked_status(); NULL: there was none */

static int status_of(const void *bytes, size_t n)
{
    struct vlm_head head;
    int status = read_head(&head, bytes, n, n);
    why = head.why;
    vlm_head_release(&head);
    return status;
}

static void test_good_head(void **state)
{
    (void)state;
    static const char text[] =
        "\r\nPOST /v1/a%20b/%c3%a9?stream=1&x HTTP/1.1\r\nHOST: LocalHost:8080\r\nContent-Length:  "
        "12 \r\n"
        "Content-Type: Multipart/Form-Data ; Charset=\"UTF-8\"; boundary=\"a b\"\r\nX-Empty:\r\n"
        "Connection: foo,  Keep-Alive\r\nExpect: 100-Continue\r\nX-Text: \t two words \t\r\n\r\n";
    for (size_t step = 1; step < sizeof(text); step += step < 8 ? 1 : 97) {
        struct vlm_head head;
        assert_int_equal(read_head(&head, text, sizeof(text) - 1, step), 0);
        assert_int_equal(head.method, VLM_HTTP_POST);
        assert_int_equal(head.minor, 1);
        assert_string_equal(vlm_head_text(&head, head.path), "/v1/a b/\xc3\xa9");
        assert_string_equal(vlm_head_text(&head, head.query), "stream=1&x");
        assert_string_equal(vlm_head_text(&head, head.host), "localhost");
        assert_string_equal(vlm_head_text(&head, head.authority), "localhost:8080");
        assert_string_equal(vlm_head_text(&head, head.content_type), "multipart/form-data");
        assert_string_equal(vlm_head_text(&head, head.boundary), "a b");
        assert_string_equal(vlm_head_field(&head, "x-empty", NULL), "");
        assert_string_equal(vlm_head_field(&head, "x-text", NULL), "two words");
        assert_null(vlm_head_field(&head, "x-none", NULL));
        assert_true(head.has_length && !head.chunked && head.length == 12);
        assert_true(head.keep_alive && !head.close && head.expects_continue);
        vlm_head_release(&head);
    }
}

/* What else must be accepted, with the path that is understood. */
static void test_other_good_heads(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path;
    } good[] = {
        { "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "/" },
        { "HEAD //a/ HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", "//a/" },
        { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*" },
        { "GET http://LOCALHOST:1/a/b?c HTTP/1.1\r\nHost: localhost:1\r\n\r\n", "/a/b" },
        { "GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "/" },
        { "DELETE /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", "/a/b" },
        { "GET /...//..a/b.. HTTP/1.1\r\nHost: a\r\n\r\n", "/...//..a/b.." },
        { "GET /?a[]=1&b={}%7b HTTP/1.1\r\nHost: a\r\n\r\n", NULL },
        { "GET /?a[0]=1&b=%7b HTTP/1.1\r\nHost: a\r\n\r\n", "/" },
        { "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "/x" },
        { "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", "/x" },
        { "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade, "
          "HTTP2-Settings\r\n\r\n",
          "/" },
        { "GET / HTTP/1.0\r\nHost: a\r\nExpect: something\r\n\r\n", "/" },
        { "GET / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json;charset=utf-8;\r\n\r\n",
          "/" },
        { "GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: identity\r\n\r\n", "/" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(good); i++) {
        struct vlm_head head;
        int status = read_head(&head, good[i].text, strlen(good[i].text), 1000);
        if (status != (good[i].path ? 0 : 400))
            fail_msg("%s: %d %s", good[i].text, status, head.why ? head.why : "");
        if (good[i].path)
            assert_string_equal(vlm_head_text(&head, head.path), good[i].path);
        vlm_head_release(&head);
    }
}

static const struct {
    int status;
    const char *text;
} refused[] = {
    /* the request line */
    { 400, "\r\n\r\n" },
    { 400, "hello\r\n" },
    { 400, "GET /\r\n" },
    { 400, "GET / \r\n" },
    { 400, "GET  / HTTP/1.1\r\n" },
    { 400, "GET / HTTP/1.1 \r\n" },
    { 400, " GET / HTTP/1.1\r\n" },
    { 400, "GET\t/ HTTP/1.1\r\n" },
    { 400, "GET / http/1.1\r\n" },
    { 400, "GET / HTTP/1.10\r\n" },
    { 400, "GET / HTTP/1\r\n" },
    { 400, "GET / HTTP/11\r\n" },
    { 400, "GET / HTTPS/1.1\r\n" },
    { 505, "GET / HTTP/1.2\r\n" },
    { 505, "GET / HTTP/0.9\r\n" },
    { 505, "PRI * HTTP/2.0\r\n" },
    { 400, "GET / HTTP/1.1\n" },
    { 400, "GET / HTTP/1.1\rHost" },
    { 400, "\n" },
    { 400, "\x16\x03\x01" },
    { 405, "get / HTTP/1.1\r\n" },
    { 405, "BREW / HTTP/1.1\r\n" },
    { 405, "GETT / HTTP/1.1\r\n" },
    { 405, "TRACE / HTTP/1.1\r\n" },
    { 405, "CONNECT localhost:80 HTTP/1.1\r\n" },
    { 405, "PATCH / HTTP/1.1\r\n" },
    { 400, "G(T / HTTP/1.1\r\n" },
    /* the target */
    { 400, "GET * HTTP/1.1\r\n" },
    { 400, "GET x HTTP/1.1\r\n" },
    { 400, "GET localhost:80 HTTP/1.1\r\n" },
    { 400, "GET ftp://localhost/ HTTP/1.1\r\n" },
    { 400, "GET http:// HTTP/1.1\r\n" },
    { 400, "GET http:/// HTTP/1.1\r\n" },
    { 400, "GET http://localhost HTTP/1.1\r\n" },
    { 400, "GET /a/../b HTTP/1.1\r\n" },
    { 400, "GET /.. HTTP/1.1\r\n" },
    { 400, "GET /. HTTP/1.1\r\n" },
    { 400, "GET /a/./b HTTP/1.1\r\n" },
    { 400, "GET /%2e%2e/b HTTP/1.1\r\n" },
    { 400, "GET /a/..%2fb HTTP/1.1\r\n" },
    { 400, "GET /..%5cb HTTP/1.1\r\n" },
    { 400, "GET /..\\b HTTP/1.1\r\n" },
    { 400, "GET /%00 HTTP/1.1\r\n" },
    { 400, "GET /a%0d%0ab HTTP/1.1\r\n" },
    { 400, "GET /%7f HTTP/1.1\r\n" },
    { 400, "GET /% HTTP/1.1\r\n" },
    { 400, "GET /%4 HTTP/1.1\r\n" },
    { 400, "GET /%4g HTTP/1.1\r\n" },
    { 400, "GET /%c3 HTTP/1.1\r\n" },
    { 400, "GET /%c0%af HTTP/1.1\r\n" },
    { 400, "GET /\xc3\xa9 HTTP/1.1\r\n" },
    { 400, "GET /#a HTTP/1.1\r\n" },
    { 400, "GET /\"a HTTP/1.1\r\n" },
    { 400, "GET /?a#b HTTP/1.1\r\n" },
    { 400, "GET /?%zz HTTP/1.1\r\n" },
    { 400, "GET /?a=1&b=2&a=3 HTTP/1.1\r\n" },
    { 400, "GET http://other/ HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 400, "GET http://localhost:2/ HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 400, "GET http://a@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    /* fields */
    { 400, START ": x\r\n" },
    { 400, START "a b: x\r\n" },
    { 400, START "a : x\r\n" },
    { 400, START "nothing\r\n" },
    { 400, START "a: b\r\n c\r\n" },
    { 400, START "a: b\r\n\tc\r\n" },
    { 400, START " a: b\r\n" },
    { 400, START "a: b\n" },
    { 400, START "a: b\rc\r\n" },
    { 400, START "a: b\r\r\n" },
    { 400, START "a: \x01\r\n" },
    { 400, START "a: \x7f\r\n" },
    { 400, START "a: \x80\r\n" },
    { 400, START "\xc3\xa9: a\r\n" },
    { 400, START "a(: b\r\n" },
    { 400, "GET / HTTP/1.1\r\n\r\n" },
    { 400, "GET / HTTP/1.0\r\n\r\n" },
    { 400, START "Host: localhost\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: :11434\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a:\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a:1x\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: []\r\n\r\n" },
    /* length and coding */
    { 400, POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n" },
    { 400, POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n" },
    { 400, POST "Content-Length: +5\r\n\r\n" },
    { 400, POST "Content-Length: -1\r\n\r\n" },
    { 400, POST "Content-Length: 0x5\r\n\r\n" },
    { 400, POST "Content-Length: 5,5\r\n\r\n" },
    { 400, POST "Content-Length: 5 5\r\n\r\n" },
    { 400, POST "Content-Length: 1e3\r\n\r\n" },
    { 400, POST "Content-Length:\r\n\r\n" },
    { 411, POST "\r\n" },
    { 411, "PUT / HTTP/1.1\r\nHost: a\r\n\r\n" },
    { 400, POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" },
    { 400, POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" },
    { 400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" },
    { 400, POST "Transfer-Encoding: gzip, chunked\r\n\r\n" },
    { 400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n" },
    { 400, POST "Transfer-Encoding: xchunked\r\n\r\n" },
    { 400, POST "Transfer-Encoding: \"chunked\"\r\n\r\n" },
    { 400, POST "Transfer-Encoding: identity\r\n\r\n" },
    { 400, POST "Transfer-Encoding:\r\n\r\n" },
    { 400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" },
    { 417, POST "Content-Length: 1\r\nExpect: 200-ok\r\n\r\n" },
    /* types */
    { 400, POST "Content-Length: 1\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Type: json\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Type: /json\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Type: application/\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Type: a/b/c\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Type: application/json; charset=utf-16\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Type: a/b; charset\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Type: a/b; charset=\"utf-8\r\n\r\n" },
    { 400, POST "Content-Length: 1\r\nContent-Type: a/b; boundary=\"\"\r\n\r\n" },
    { 400, POST "Content-Length: 1\r\nContent-Type: a/b; boundary=\"a<\"\r\n\r\n" },
    { 400, POST "Content-Length: 1\r\nContent-Type: a/b; boundary=a; boundary=a\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Encoding: gzip\r\n\r\n" },
    { 415, POST "Content-Length: 1\r\nContent-Encoding: identity, br\r\n\r\n" },
};

static void test_refused_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(refused); i++)
        for (size_t step = 1; step <= 1000; step += 999) {
            struct vlm_head head;
            int status = read_head(&head, refused[i].text, strlen(refused[i].text), step);
            if (status != refused[i].status)
                fail_msg("%s gives %d, not %d", refused[i].text, status, refused[i].status);
            vlm_head_release(&head);
        }
    assert_int_equal(status_of("G\0T / HTTP/1.1\r\n", 16), 400);
    assert_int_equal(status_of(START "a: \0\r\n", sizeof(START) + 5), 400);
}

/* START, then "Name: " and x, so that the fields have `size` bytes with the empty line. */
static int status_of_fields(size_t size)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, START "N: ");
    const size_t line = strlen("GET / HTTP/1.1\r\n");
    while (text.size < line + size - 4)
        vlm_buffer_byte(&text, 'x');
    vlm_buffer_text(&text, "\r\n\r\n");
    assert_int_equal(text.size, line + size);
    int status = status_of(text.data, text.size);
    vlm_buffer_release(&text);
    return status;
}

static int status_of_line(size_t size)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, "GET /");
    while (text.size < size - 9)
        vlm_buffer_byte(&text, 'x');
    vlm_buffer_text(&text, " HTTP/1.1\r\nHost: a\r\n\r\n");
    int status = status_of(text.data, text.size);
    vlm_buffer_release(&text);
    return status;
}

static int status_of_count(size_t n)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, START);
    for (size_t i = 1; i < n; i++)
        vlm_buffer_text(&text, "a: b\r\n");
    vlm_buffer_text(&text, "\r\n");
    int status = status_of(text.data, text.size);
    vlm_buffer_release(&text);
    return status;
}

static int status_of_parameters(size_t n)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, "GET /?p0=1");
    for (size_t i = 1; i < n; i++)
        vlm_buffer_printf(&text, "&p%zu=1", i);
    vlm_buffer_text(&text, " HTTP/1.1\r\nHost: a\r\n\r\n");
    int status = status_of(text.data, text.size);
    vlm_buffer_release(&text);
    return status;
}

static int status_of_boundary(size_t n)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, START "Content-Type: multipart/form-data; boundary=");
    for (size_t i = 0; i < n; i++)
        vlm_buffer_byte(&text, 'b');
    vlm_buffer_text(&text, "\r\n\r\n");
    int status = status_of(text.data, text.size);
    vlm_buffer_release(&text);
    return status;
}

static void test_limits_of_heads(void **state)
{
    (void)state;
    static const struct {
        int (*status_of)(size_t n);
        size_t limit;
        int over;
        const char *sentence;
    } limits[] = {
        { status_of_fields, VLM_REQUEST_HEAD_MAX, 431, "the header fields are too long" },
        { status_of_line, VLM_REQUEST_LINE_MAX, 414, "the target is too long" },
        { status_of_count, VLM_REQUEST_FIELDS_MAX, 431, "there are too many header fields" },
        { status_of_parameters, VLM_REQUEST_QUERY_MAX, 400, "the query has too many parameters" },
        { status_of_boundary, 70, 400, "the boundary of Content-Type is empty or too long" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(limits); i++) {
        assert_int_equal(limits[i].status_of(limits[i].limit - 1), 0);
        assert_int_equal(limits[i].status_of(limits[i].limit), 0);
        assert_int_equal(limits[i].status_of(limits[i].limit + 1), limits[i].over);
        assert_string_equal(why, limits[i].sentence);
    }
    uint8_t method[VLM_REQUEST_LINE_MAX + 1];
    memset(method, 'G', sizeof(method));
    assert_int_equal(status_of(method, sizeof(method)), 405);
}

/* Values that add up to the largest text that a head can become. */
static void test_largest_head(void **state)
{
    (void)state;
    struct vlm_buffer text = { 0 };
    struct vlm_head head;
    vlm_buffer_text(&text, START "Content-Type: a/");
    while (text.size < VLM_REQUEST_LINE_MAX)
        vlm_buffer_byte(&text, 'x');
    vlm_buffer_text(&text, "\r\n\r\n");
    assert_int_equal(read_head(&head, text.data, text.size, 4096), 0);
    assert_int_equal(strlen(vlm_head_text(&head, head.content_type)),
                     VLM_REQUEST_LINE_MAX - strlen(START "Content-Type: "));
    vlm_head_release(&head);
    vlm_buffer_release(&text);
}

static void test_length_does_not_overflow(void **state)
{
    (void)state;
    static const struct {
        const char *digits;
        uint64_t length;
    } lengths[] = {
        { "0", 0 },
        { "007", 7 },
        { "18446744073709551614", UINT64_MAX - 1 },
        { "18446744073709551615", UINT64_MAX },
        { "18446744073709551616", UINT64_MAX },
        { "99999999999999999999999999999999999999999", UINT64_MAX },
    };
    for (size_t i = 0; i < VLM_COUNTOF(lengths); i++) {
        struct vlm_head head;
        struct vlm_buffer text = { 0 };
        vlm_buffer_printf(&text, POST "Content-Length: %s\r\n\r\n", lengths[i].digits);
        assert_int_equal(read_head(&head, text.data, text.size, text.size), 0);
        assert_true(head.length == lengths[i].length);
        vlm_head_release(&head);
        vlm_buffer_release(&text);
    }
}

/* Every byte at every kind of place: accepted where the grammar has it, nowhere else. */
static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z' && byte < 128;
        const bool digit = byte >= '0' && byte <= '9';
        const bool token =
            letter || digit || (byte && byte < 128 && strchr("!#$%&'*+-.^_`|~", (int)byte));
        const bool path =
            letter || digit || (byte && byte < 128 && strchr("/-._~!$&'()*+,;=:@?", (int)byte));
        char name[] = START "a?b: c\r\n\r\n", value[] = START "a: b?c\r\n\r\n",
             target[] = "GET /a?c HTTP/1.1\r\nHost: a\r\n\r\n";
        name[strlen(START) + 1] = (char)byte;
        value[strlen(START) + 4] = (char)byte;
        target[6] = (char)byte;
        /* "a:b: c" is a name, too */
        assert_int_equal(status_of(name, sizeof(name) - 1), token || byte == ':' ? 0 : 400);
        assert_int_equal(status_of(value, sizeof(value) - 1),
                         (byte >= 0x20 && byte < 0x7f) || byte == '\t' ? 0 : 400);
        assert_int_equal(status_of(target, sizeof(target) - 1), path ? 0 : 400);
    }
}

/* Nothing that is cut off is complete; nothing that is cut off crashes. */
static void test_truncation(void **state)
{
    (void)state;
    static const char text[] =
        "POST /a?b=c HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
        "boundary=\"x\"\r\nContent-Length: 3\r\n\r\n";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        uint8_t *exact = malloc(n + !n); /* so that a sanitizer sees a read behind it */
        assert_non_null(exact);
        memcpy(exact, text, n);
        assert_int_equal(status_of(exact, n), -1);
        free(exact);
    }
    assert_int_equal(status_of(text, sizeof(text) - 1), 0);
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            char flipped[sizeof(text)];
            memcpy(flipped, text, sizeof(text));
            flipped[i] = (char)(flipped[i] ^ (char)(1 << bit));
            int status = status_of(flipped, sizeof(text) - 1);
            assert_true(status == -1 || status == 0 || status == 1 ||
                        (status >= 400 && status < 506));
        }
}

/* ---- bodies ---- */

/* As read_head(): 0 complete, 1 complete before the end, -1 more, else the status. */
static int read_body(struct vlm_body *body, const char *framing, const void *bytes, size_t n,
                     size_t step, size_t max)
{
    struct vlm_head head;
    struct vlm_buffer text = { 0 };
    const uint8_t *at = bytes;
    vlm_buffer_printf(&text, POST "%s\r\n\r\n", framing);
    assert_int_equal(read_head(&head, text.data, text.size, text.size), 0);
    enum vlm_head_result result = vlm_body_begin(body, &head, max);
    size_t done = 0;
    while (result == VLM_HEAD_MORE && done < n) {
        size_t used = 0;
        result = vlm_body_feed(body, at + done, VLM_MIN(step, n - done), &used);
        done += used;
    }
    vlm_head_release(&head);
    vlm_buffer_release(&text);
    if (result == VLM_HEAD_DONE)
        assert_int_equal(body->bytes.data[body->bytes.size], 0);
    return result == VLM_HEAD_BAD ? body->status : result == VLM_HEAD_MORE ? -1 : done < n;
}

static int chunked_status(const char *text, size_t max)
{
    struct vlm_body body;
    int status = read_body(&body, "Transfer-Encoding: chunked", text, strlen(text), 1000000, max);
    why = body.why;
    vlm_body_release(&body);
    return status;
}

static void test_length_bodies(void **state)
{
    (void)state;
    for (size_t step = 1; step < 7; step++) {
        struct vlm_body body;
        assert_int_equal(read_body(&body, "Content-Length: 5", "hello", 5, step, 5), 0);
        assert_string_equal((char *)body.bytes.data, "hello");
        vlm_body_release(&body);
    }
    struct vlm_body body;
    assert_int_equal(read_body(&body, "Content-Length: 5", "hell", 4, 9, 5), -1);
    vlm_body_release(&body);
    assert_int_equal(read_body(&body, "Content-Length: 5", "hello!", 6, 9, 5), 1);
    assert_int_equal(body.bytes.size, 5);
    vlm_body_release(&body);
    assert_int_equal(read_body(&body, "Content-Length: 0", "", 0, 9, 5), 0);
    assert_string_equal((char *)body.bytes.data, "");
    vlm_body_release(&body);
    assert_int_equal(read_body(&body, "Content-Length: 6", "", 0, 9, 5), 413);
    assert_string_equal(body.why, "the body has 6 bytes, at most 5 may be (--max-body)");
    assert_int_equal(body.bytes.capacity, 0);
    vlm_body_release(&body);
    assert_int_equal(
        read_body(&body, "Content-Length: 99999999999999999999", "", 0, 9, SIZE_MAX - 1), 413);
    assert_string_equal(body.why, "the body has at least 18446744073709551615 bytes, at most "
                                  "18446744073709551614 may be (--max-body)");
    vlm_body_release(&body);
}

static void test_chunked_bodies(void **state)
{
    (void)state;
    static const char text[] =
        "5\r\nhello\r\n0001;a=\"b\";c\r\n \r\nA\r\n0123456789\r\n00\r\nX-T: 1\r\nY:\r\n\r\n";
    for (size_t step = 1; step < sizeof(text); step++) {
        struct vlm_body body;
        assert_int_equal(
            read_body(&body, "Transfer-Encoding: chunked", text, sizeof(text) - 1, step, 16), 0);
        assert_string_equal((char *)body.bytes.data, "hello 0123456789");
        vlm_body_release(&body);
        for (size_t n = 0; n < sizeof(text) - 1; n += step) {
            assert_int_equal(read_body(&body, "Transfer-Encoding: chunked", text, n, step, 16), -1);
            vlm_body_release(&body);
        }
    }
    assert_int_equal(chunked_status(text, 15), 413);
    struct vlm_body body;
    assert_int_equal(read_body(&body, "Transfer-Encoding: chunked", text, sizeof(text) - 1, 7, 15),
                     413);
    assert_string_equal(body.why, "the body has at least 16 bytes, at most 15 may be (--max-body)");
    vlm_body_release(&body);
    assert_int_equal(chunked_status("0\r\n\r\n", 0), 0);
    assert_int_equal(chunked_status("0\r\n\r\nG", 0), 1);
}

static void test_refused_chunks(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "-2\r\n",
        "\r\n",
        "+2\r\n",
        "0x5\r\n",
        " 5\r\n",
        "5 \r\n",
        "5 ;a\r\n",
        "g\r\n",
        "5;\x01\r\n",
        "5;\x80\r\n",
        "5\n",
        "5\r5",
        "00000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "2\r\nabc",
        "2\r\nab\n",
        "2\r\nab\r\r",
        "2\r\nab0\r\n",
        "0\r\nnothing\r\n",
        "0\r\n a: b\r\n",
        "0\r\na : b\r\n",
        "0\r\nContent-Length: 5\r\n",
        "0\r\ntransfer-encoding: chunked\r\n",
        "0\r\nHOST: a\r\n",
        "0\r\nAuthorization: a\r\n",
        "0\r\na: b\n",
    };
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++)
        if (chunked_status(bad[i], 1000) != 400)
            fail_msg("%s gives %d", bad[i], chunked_status(bad[i], 1000));
    assert_int_equal(chunked_status("ffffffffffffffff\r\n", 1000), 413);
    assert_int_equal(chunked_status("3e9\r\n", 1000), 413);
    assert_int_equal(chunked_status("3e8\r\n", 1000), -1);
}

/* n bytes of extension in one line, or in lines of 200; n trailers. */
static int status_of_extension(size_t n)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, "1;");
    while (text.size < n)
        vlm_buffer_byte(&text, 'x');
    vlm_buffer_text(&text, "\r\na\r\n0\r\n\r\n");
    vlm_buffer_byte(&text, '\0');
    int status = chunked_status((const char *)text.data, 1000);
    vlm_buffer_release(&text);
    return status;
}

static int status_of_extensions(size_t n)
{
    struct vlm_buffer text = { 0 };
    for (; n; n -= VLM_MIN(n, 200)) {
        vlm_buffer_text(&text, "1;");
        for (size_t i = 1; i < VLM_MIN(n, 200); i++)
            vlm_buffer_byte(&text, 'x');
        vlm_buffer_text(&text, "\r\na\r\n");
    }
    vlm_buffer_text(&text, "0\r\n\r\n");
    vlm_buffer_byte(&text, '\0');
    int status = chunked_status((const char *)text.data, 1000);
    vlm_buffer_release(&text);
    return status;
}

static int status_of_trailers(size_t n)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, "0\r\n");
    for (size_t i = 0; i < n; i++)
        vlm_buffer_text(&text, "a: b\r\n");
    vlm_buffer_text(&text, "\r\n");
    vlm_buffer_byte(&text, '\0');
    int status = chunked_status((const char *)text.data, 1000);
    vlm_buffer_release(&text);
    return status;
}

static void test_limits_of_chunks(void **state)
{
    (void)state;
    static const struct {
        int (*status_of)(size_t n);
        size_t limit;
        const char *sentence;
    } limits[] = {
        { status_of_extension, VLM_REQUEST_CHUNK_LINE, "a line between chunks is too long" },
        { status_of_extensions, VLM_REQUEST_CHUNK_EXTRA, "the chunks have too many extensions" },
        { status_of_trailers, VLM_REQUEST_FIELDS_MAX, "there are too many trailers" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(limits); i++) {
        assert_int_equal(limits[i].status_of(limits[i].limit - 1), 0);
        assert_int_equal(limits[i].status_of(limits[i].limit), 0);
        assert_int_equal(limits[i].status_of(limits[i].limit + 1), 400);
        assert_string_equal(why, limits[i].sentence);
    }
}

/* A large body in random pieces and random chunks is the same body. */
static void test_random_splits(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    uint8_t *bytes = malloc(SIZE);
    assert_non_null(bytes);
    struct vlm_random random = vlm_random_at(1, 2, 3);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)vlm_random_below(&random, 256);
    for (unsigned round = 0; round < 10; round++) {
        struct vlm_buffer text = { 0 };
        struct vlm_body body;
        for (size_t at = 0, n; at < SIZE; at += n) {
            n = 1 + vlm_random_below(&random, VLM_MIN(SIZE - at, 10000));
            vlm_buffer_printf(&text, "%zx\r\n", n);
            vlm_buffer_add(&text, bytes + at, n);
            vlm_buffer_text(&text, "\r\n");
        }
        vlm_buffer_text(&text, "0\r\n\r\n");
        assert_int_equal(read_body(&body, "Transfer-Encoding: chunked", text.data, text.size,
                                   1 + vlm_random_below(&random, 5000), SIZE),
                         0);
        assert_int_equal(body.bytes.size, SIZE);
        assert_memory_equal(body.bytes.data, bytes, SIZE);
        vlm_body_release(&body);
        vlm_buffer_release(&text);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_head),      cmocka_unit_test(test_other_good_heads),
        cmocka_unit_test(test_refused_heads),  cmocka_unit_test(test_limits_of_heads),
        cmocka_unit_test(test_largest_head),   cmocka_unit_test(test_length_does_not_overflow),
        cmocka_unit_test(test_every_byte),     cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_length_bodies),  cmocka_unit_test(test_chunked_bodies),
        cmocka_unit_test(test_refused_chunks), cmocka_unit_test(test_limits_of_chunks),
        cmocka_unit_test(test_random_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
