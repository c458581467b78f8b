/* test_url.c - URLs: every example of RFC 3986 section 5.4, what browsers forgive, the canonical
 * spelling, data: URLs. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/html/page.h"
#include "tokenize/html/url.h"

#include <setjmp.h>

#include <cmocka.h>

struct example {
    const char *base, *reference, *expected; /* NULL: VLM_SKIP */
};

#define RFC "http://a/b/c/d;p?q"

static const struct example examples[] = {
    /* RFC 3986 5.4.1, fragments kept off as our contract says. */
    { RFC, "g:h", "g:h" },
    { RFC, "g", "http://a/b/c/g" },
    { RFC, "./g", "http://a/b/c/g" },
    { RFC, "g/", "http://a/b/c/g/" },
    { RFC, "/g", "http://a/g" },
    { RFC, "//g", "http://g" },
    { RFC, "?y", "http://a/b/c/d;p?y" },
    { RFC, "g?y", "http://a/b/c/g?y" },
    { RFC, "#s", "http://a/b/c/d;p?q" },
    { RFC, "g#s", "http://a/b/c/g" },
    { RFC, "g?y#s", "http://a/b/c/g?y" },
    { RFC, ";x", "http://a/b/c/;x" },
    { RFC, "g;x", "http://a/b/c/g;x" },
    { RFC, "g;x?y#s", "http://a/b/c/g;x?y" },
    { RFC, "", "http://a/b/c/d;p?q" },
    { RFC, ".", "http://a/b/c/" },
    { RFC, "./", "http://a/b/c/" },
    { RFC, "..", "http://a/b/" },
    { RFC, "../", "http://a/b/" },
    { RFC, "../g", "http://a/b/g" },
    { RFC, "../..", "http://a/" },
    { RFC, "../../", "http://a/" },
    { RFC, "../../g", "http://a/g" },
    /* 5.4.2 */
    { RFC, "../../../g", "http://a/g" },
    { RFC, "../../../../g", "http://a/g" },
    { RFC, "/./g", "http://a/g" },
    { RFC, "/../g", "http://a/g" },
    { RFC, "g.", "http://a/b/c/g." },
    { RFC, ".g", "http://a/b/c/.g" },
    { RFC, "g..", "http://a/b/c/g.." },
    { RFC, "..g", "http://a/b/c/..g" },
    { RFC, "./../g", "http://a/b/g" },
    { RFC, "./g/.", "http://a/b/c/g/" },
    { RFC, "g/./h", "http://a/b/c/g/h" },
    { RFC, "g/../h", "http://a/b/c/h" },
    { RFC, "g;x=1/./y", "http://a/b/c/g;x=1/y" },
    { RFC, "g;x=1/../y", "http://a/b/c/y" },
    { RFC, "g?y/./x", "http://a/b/c/g?y/./x" },
    { RFC, "g?y/../x", "http://a/b/c/g?y/../x" },
    { RFC, "g#s/./x", "http://a/b/c/g" },
    { RFC, "g#s/../x", "http://a/b/c/g" },
    { RFC, "http:g", "http://a/b/c/g" }, /* "for backward compatibility" */
    /* What browsers forgive (WHATWG URL). */
    { RFC, "  \n g.png \t ", "http://a/b/c/g.png" },
    { RFC, "g\n.p\tng", "http://a/b/c/g.png" },
    { RFC, "\\x\\y.png", "http://a/x/y.png" },
    { RFC, "g?a\\b", "http://a/b/c/g?a\\b" },
    { RFC, "HTTP:\\\\h\\p", "HTTP://h/p" },
    { RFC, "https:/h/p", "https://h/p" },
    { RFC, "https:h/p", "https://h/p" },
    { RFC, "http:///h/p", "http://h/p" },
    { "http://a", "g", "http://a/g" },
    { "http://a?q", "g", "http://a/g" },
    { "https://a/b", "//c/d", "https://c/d" },
    { NULL, "http://a/b/../c", "http://a/c" },
    { NULL, "data:image/png;base64,AA==", "data:image/png;base64,AA==" },
    { NULL, "g", NULL },
    { "", "g", NULL },
    { "mailto:x", "g", NULL },
};

static void references_resolve(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(examples); i++) {
        const struct example *e = &examples[i];
        struct vlm_buffer out = { 0 };
        struct vlm_err err = { 0 };
        int rc = vlm_url_resolve(&out, e->base, e->reference, strlen(e->reference), &err);
        vlm_buffer_byte(&out, 0);
        if (rc != (e->expected ? VLM_OK : VLM_SKIP) ||
            (e->expected && strcmp((char *)out.data, e->expected)))
            fail_msg("\"%s\" against \"%s\": %d \"%s\", expected \"%s\"", e->reference,
                     e->base ? e->base : "(null)", rc, (char *)out.data,
                     e->expected ? e->expected : "(skip)");
        vlm_buffer_release(&out);
    }
}

static void resolve_keeps_what_was_in_the_buffer(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    vlm_buffer_text(&out, "before ");
    assert_int_equal(vlm_url_resolve(&out, RFC, "../x", 4, &err), VLM_OK);
    vlm_buffer_byte(&out, 0);
    assert_string_equal((char *)out.data, "before http://a/b/x");
    vlm_buffer_release(&out);
}

static void url_length_is_limited(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    char *reference = malloc(VLM_URL_MAX + 2);
    assert_non_null(reference);
    memset(reference, 'x', VLM_URL_MAX + 2);
    memcpy(reference, "http://a/", 9);
    for (size_t n = VLM_URL_MAX - 1; n <= VLM_URL_MAX + 1; n++) {
        struct vlm_buffer out = { 0 };
        int rc = vlm_url_resolve(&out, NULL, reference, n, &err);
        assert_int_equal(rc, n <= VLM_URL_MAX ? VLM_OK : VLM_SKIP);
        assert_int_equal(out.size, n <= VLM_URL_MAX ? n : 0);
        vlm_buffer_release(&out);
    }
    /* Short parts that are too long together. */
    struct vlm_buffer out = { 0 };
    assert_int_equal(
        vlm_url_resolve(&out, "http://host/folder/", reference + 9, VLM_URL_MAX - 9, &err),
        VLM_SKIP);
    assert_int_equal(out.size, 0);
    vlm_buffer_release(&out);
    free(reference);
}

static void canonical_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } pairs[] = {
        { "HTTP://Example.ORG:80/a/./b/../%7euser?Q=%c3%a9#f",
          "http://example.org/a/~user?Q=%C3%A9" },
        { "http://example.org", "http://example.org/" },
        { "https://example.org:443", "https://example.org/" },
        { "https://example.org:80/", "https://example.org:80/" },
        { "http://example.org:/x", "http://example.org/x" },
        { "http://User@EXAMPLE.org/%2f", "http://User@example.org/%2F" },
        { "http://a/b c", "http://a/b%20c" },
        { " http://a/b\n ", "http://a/b" },
        { "http://a/\xc3\xa9", "http://a/%C3%A9" },
        { "http:\\\\a\\b", "http://a/b" },
        { "http://a/%zz%4", "http://a/%25zz%254" },
        { "http://a:%38%30/", "http://a/" },
        { "http://:80/x", "http://:80/x" },
        /* A saved folder: no host, but the spelling of a path counts. */
        { "file:///a b/\xc3\xa9.png", "file:///a%20b/%C3%A9.png" },
        { "file:///a%20b/./%c3%a9.png", "file:///a%20b/%C3%A9.png" },
        /* Hosts beyond ASCII (RFC 3492, also section 7.1). */
        { "http://b\xc3\xbc"
          "cher.example/x",
          "http://xn--bcher-kva.example/x" },
        { "http://B%C3%9CCHER.example:80/x", "http://xn--bcher-kva.example/x" },
        { "https://"
          "u@\xd0\x9f\xd0\xa0\xd0\xb0\xd0\xb2\xd0\xb4\xd0\xb0.a."
          "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e:8443/",
          "https://u@xn--80aafi6cg.a.xn--wgv71a119e:8443/" },
        { "http://\xc5\xbdlu\xc5\xa5ou\xc4\x8dk\xc3\xbd/", "http://xn--luouk-uva4it5a4g/" },
        { "http://a\xff.b/", "http://a%FF.b/" },
        { "http://a%20\xc3\xbc.b/", "http://a%20%C3%BC.b/" },
        { "not a url", "not a url" },
        { "urn:x:Y", "urn:x:Y" },
        { "", "" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(pairs); i++) {
        struct vlm_buffer out = { 0 }, again = { 0 };
        vlm_url_canonical(&out, pairs[i].from, strlen(pairs[i].from));
        /* The canonical form of a canonical form is itself. */
        vlm_url_canonical(&again, (char *)out.data, out.size);
        vlm_buffer_byte(&out, 0);
        vlm_buffer_byte(&again, 0);
        assert_string_equal((char *)out.data, pairs[i].to);
        assert_string_equal((char *)again.data, pairs[i].to);
        vlm_buffer_release(&out);
        vlm_buffer_release(&again);
    }
}

static void host_of_a_url(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host;
    } pairs[] = {
        { "http://example.org/x", "example.org" },
        { "http://example.org:8080?x", "example.org" },
        { "http://user:pass@example.org:1/x@y", "example.org" },
        { "http://[::1]:80/", "[::1]" },
        { "//h/p", "h" },
        { "mailto:x@y", "" },
        { "x", "" },
        { "", "" },
    };
    size_t n;
    for (size_t i = 0; i < VLM_COUNTOF(pairs); i++) {
        const char *host = vlm_url_host(pairs[i].url, &n);
        assert_int_equal(n, strlen(pairs[i].host));
        assert_memory_equal(host, pairs[i].host, n);
    }
    vlm_url_host(NULL, &n);
    assert_int_equal(n, 0);
}

static void data_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *bytes; /* NULL: VLM_SKIP */
    } pairs[] = {
        { "data:text/plain;base64,SGVsbG8=", "Hello" },
        { "data:;base64,SGVsbG8", "Hello" },
        { " DATA:image/png ;charset=x; BASE64 , SGV\n sbG8= ", "Hello" },
        { "data:,a%20b%zz%4", "a b%zz%4" },
        { "data:image/png;base64,SGVs%62G8%3D", "Hello" },
        { "data:image/png;base64,", "" },
        { "data:image/png;base64,S!", NULL },
        { "data:image/png", NULL },
        { "http://a/,x", NULL },
        { "", NULL },
    };
    struct vlm_arena arena;
    vlm_arena_init(&arena, VLM_MIB);
    for (size_t i = 0; i < VLM_COUNTOF(pairs); i++) {
        const uint8_t *bytes;
        size_t size;
        struct vlm_err err = { 0 };
        int rc =
            vlm_data_url_decode(&bytes, &size, pairs[i].url, strlen(pairs[i].url), &arena, &err);
        assert_int_equal(rc, pairs[i].bytes ? VLM_OK : VLM_SKIP);
        if (!pairs[i].bytes)
            continue;
        assert_int_equal(size, strlen(pairs[i].bytes));
        assert_memory_equal(bytes, pairs[i].bytes, size);
    }
    vlm_arena_release(&arena);
}

static void ten_thousand_parents_take_linear_time(void **state)
{
    (void)state;
    char reference[VLM_URL_MAX];
    size_t n = 0;
    while (n + 5 < sizeof(reference)) {
        memcpy(reference + n, n < sizeof(reference) / 2 ? "aa/" : "../", 3);
        n += 3;
    }
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_url_resolve(&out, "http://h/", reference, n, &err), VLM_OK);
    assert_true(out.size < 20);
    vlm_buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_resolve),
        cmocka_unit_test(resolve_keeps_what_was_in_the_buffer),
        cmocka_unit_test(url_length_is_limited),
        cmocka_unit_test(canonical_spelling),
        cmocka_unit_test(host_of_a_url),
        cmocka_unit_test(data_urls),
        cmocka_unit_test(ten_thousand_parents_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
