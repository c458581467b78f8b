/* test_multipart.c - forms with files: what is read, what is refused, and every beginning of a form. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "base/limits.h"
#include "serve/api/multipart.h"

#include <setjmp.h>

#include <cmocka.h>

#define B "--XX\r\n"
#define E "\r\n--XX--\r\n"
#define D "Content-Disposition: form-data; name="

static int parse(struct vlm_multipart *form, struct vlm_arena *arena, const void *body, size_t n,
                 struct vlm_err *err)
{
    /* Exactly as large as the body, so that a checker sees reads behind it. */
    uint8_t *exact = malloc(n + !n);
    assert_non_null(exact);
    memcpy(exact, body, n);
    vlm_arena_reset(arena);
    int rc = vlm_multipart_parse(form, arena, exact, n, "XX", err);
    for (size_t i = 0; rc == VLM_OK && i < form->n; i++) {
        assert_true(form->parts[i].bytes >= exact);
        assert_true(form->parts[i].bytes + form->parts[i].n <= exact + n);
        form->parts[i].bytes = vlm_arena_alloc(arena, form->parts[i].n + 1, 1);
    }
    free(exact);
    return rc;
}

static int set_up(void **state)
{
    static struct vlm_arena arena;
    vlm_arena_init(&arena, VLM_MIB);
    *state = &arena;
    return 0;
}

static int tear_down(void **state)
{
    vlm_arena_release(*state);
    return 0;
}

static const char form_text[] =
    B D "\"prompt\"\r\n\r\na red\r\n--X square"
        "\r\n" B D
        "\"image[]\"; filename=\"a \\\"b\\\\.png\"\r\nContent-Type: Image/PNG; x=y\r\n\r\n\r\n\r\n"
        "\r\n" B "content-disposition:form-data;name=image;filename=\"\"\r\nX-Other: 1\r\n"
        "Content-Transfer-Encoding: binary\r\n\r\n" E;

static void a_form_is_read(void **state)
{
    struct vlm_multipart form;
    struct vlm_err err = { 0 };
    const uint8_t *body = (const uint8_t *)form_text;
    vlm_arena_reset(*state);
    if (vlm_multipart_parse(&form, *state, body, sizeof(form_text) - 1, "XX", &err) != VLM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(form.n, 3);
    const struct vlm_part_field *prompt = vlm_multipart_find(&form, "prompt", 0);
    assert_non_null(prompt);
    assert_int_equal(prompt->n, 17);
    assert_memory_equal(prompt->bytes, "a red\r\n--X square", 17);
    assert_null(prompt->filename);
    assert_string_equal(prompt->content_type, "");
    const struct vlm_part_field *image = vlm_multipart_find(&form, "image", 0);
    assert_string_equal(image->name, "image[]");
    assert_string_equal(image->filename, "a \"b\\.png");
    assert_string_equal(image->content_type, "image/png");
    assert_int_equal(image->n, 4);
    image = vlm_multipart_find(&form, "image", 1);
    assert_string_equal(image->filename, "");
    assert_int_equal(image->n, 0);
    assert_null(vlm_multipart_find(&form, "image", 2));
    assert_null(vlm_multipart_find(&form, "imag", 0));
}

static void every_beginning_is_refused(void **state)
{
    struct vlm_multipart form;
    for (size_t n = 0; n + 1 < sizeof(form_text); n++) {
        struct vlm_err err = { 0 };
        int rc = parse(&form, *state, form_text, n, &err);
        /* The last line end may be missing. */
        assert_int_equal(rc, n + 3 == sizeof(form_text) ? VLM_OK : VLM_EFORMAT);
        assert_true(rc == VLM_OK || err.msg[0]);
    }
}

static void what_is_ambiguous_is_refused(void **state)
{
    static const struct {
        const char *body, *sentence;
    } cases[] = {
        { "preamble\r\n" B D "a\r\n\r\nx" E, "form, byte 0: expected the boundary" },
        { B D "a\r\n\r\nx" E "more", "form, byte 59: bytes behind the last boundary" },
        { B D "a\r\n\r\nx\r\n--XXY\r\n",
          "form, byte 55: expected a line end or '--' behind the boundary" },
        { "--XX \r\n" D "a\r\n\r\nx" E,
          "form, byte 4: expected a line end or '--' behind the boundary" },
        { B "\r\nx" E, "form, byte 8: a part without Content-Disposition" },
        { B D "\r\n\r\nx" E,
          "form, byte 6: a value in Content-Disposition that is malformed or too long" },
        { B D "\"\"\r\n\r\nx" E, "form, byte 6: a part without a name" },
        { B D "a; name=b\r\n\r\nx" E,
          "form, byte 6: a parameter of Content-Disposition stands twice" },
        { B D "a\r\n" D "b\r\n\r\nx" E,
          "form, byte 46: a part with two Content-Disposition lines" },
        { B D "\"a\r\n\r\nx" E,
          "form, byte 6: a value in Content-Disposition that is malformed or too long" },
        { B "Content-Disposition: attachment; name=a\r\n\r\nx" E,
          "form, byte 6: the disposition of a part is not form-data" },
        { B D "a\r\n folded\r\n\r\nx" E,
          "form, byte 46: a line of the header of a part that is no field" },
        { B D "a\r\nContent-Transfer-Encoding: base64\r\n\r\nx" E,
          "form, byte 46: an encoded part" },
        { B D "a\r\nContent-Type: \r\n\r\nx" E,
          "form, byte 46: a part with an empty Content-Type" },
        { B D "a\n\nx" E, "form, byte 6: a control character in the header of a part" },
        { B D "a b\r\n\r\nx" E, "form, byte 6: expected ';' in Content-Disposition" },
        { "--XX--\r\n", NULL },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_multipart form;
        struct vlm_err err = { 0 };
        int rc = parse(&form, *state, cases[i].body, strlen(cases[i].body), &err);
        assert_int_equal(rc, cases[i].sentence ? VLM_EFORMAT : VLM_OK);
        assert_string_equal(err.msg, cases[i].sentence ? cases[i].sentence : "");
    }
}

static void add_parts(struct vlm_buffer *body, size_t n)
{
    vlm_buffer_reset(body);
    for (size_t i = 0; i < n; i++)
        vlm_buffer_text(body, i ? "\r\n" B D "a\r\n\r\nx" : B D "a\r\n\r\nx");
    vlm_buffer_text(body, E);
}

static void limits_hold_to_the_byte(void **state)
{
    struct vlm_multipart form;
    struct vlm_buffer body = { 0 };
    struct vlm_err err = { 0 };
    add_parts(&body, VLM_MULTIPART_PARTS_MAX);
    assert_int_equal(parse(&form, *state, body.data, body.size, &err), VLM_OK);
    assert_int_equal(form.n, VLM_MULTIPART_PARTS_MAX);
    add_parts(&body, VLM_MULTIPART_PARTS_MAX + 1);
    assert_int_equal(parse(&form, *state, body.data, body.size, &err), VLM_ELIMIT);
    for (int over = 0; over < 2; over++) {
        vlm_buffer_reset(&body);
        vlm_buffer_text(&body, B D "a\r\nX: ");
        const size_t rest = VLM_MULTIPART_HEAD_MAX - (body.size - 6) - 4 + (size_t)over;
        for (size_t i = 0; i < rest; i++)
            vlm_buffer_byte(&body, 'x');
        vlm_buffer_text(&body, "\r\n\r\nx" E);
        assert_int_equal(parse(&form, *state, body.data, body.size, &err),
                         over ? VLM_ELIMIT : VLM_OK);
        vlm_buffer_reset(&body);
        vlm_buffer_text(&body, B D "\"");
        for (int i = 0; i < VLM_MULTIPART_NAME_MAX + over; i++)
            vlm_buffer_byte(&body, 'n');
        vlm_buffer_text(&body, "\"\r\n\r\nx" E);
        assert_int_equal(parse(&form, *state, body.data, body.size, &err),
                         over ? VLM_EFORMAT : VLM_OK);
    }
    vlm_buffer_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_read),
        cmocka_unit_test(every_beginning_is_refused),
        cmocka_unit_test(what_is_ambiguous_is_refused),
        cmocka_unit_test(limits_hold_to_the_byte),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
