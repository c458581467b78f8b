/* test_document.c - the lists of names, the id of a document, and that the check refuses what readers
 * could not survive. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/document.h"
#include "tokenize/names.h"

#include <setjmp.h>

#include <cmocka.h>

static void names_are_found_by_number_and_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VLM_ELEMENT_COUNT; i++)
        assert_int_equal(vlm_element_find(vlm_element_name(i), strlen(vlm_element_name(i))), i);
    for (unsigned i = 0; i < VLM_ATTRIBUTE_COUNT; i++)
        assert_int_equal(vlm_attribute_find(vlm_attribute_name(i), strlen(vlm_attribute_name(i))),
                         i);
    assert_null(vlm_element_name(VLM_ELEMENT_COUNT));
    assert_null(vlm_attribute_name(VLM_ATTRIBUTE_COUNT));
    assert_int_equal(vlm_element_find("P", 1), -1);
    assert_int_equal(vlm_element_find("imgx", 4), -1);
    assert_int_equal(vlm_element_find("imgx", 3), VLM_ELEMENT_img);
    assert_int_equal(vlm_element_find("", 0), -1);
    assert_int_equal(vlm_attribute_find("onclick", 7), -1);
}

/* The numbers are on disk: a name that moved would change the meaning of every shard. */
static void numbers_do_not_move(void **state)
{
    (void)state;
    assert_int_equal(VLM_ELEMENT_html, 0);
    assert_int_equal(VLM_ELEMENT_img, 62);
    assert_int_equal(VLM_ELEMENT_applet, 133);
    assert_int_equal(VLM_ATTRIBUTE_alt, 0);
    assert_int_equal(VLM_ATTRIBUTE_width, 20);
}

static void id_is_of_url_date_and_payload(void **state)
{
    (void)state;
    struct vlm_document a = { .url = "http://a/", .date = "2020-01-01T00:00:00Z" };
    struct vlm_document b = a;
    uint8_t id[16], other[16];
    vlm_document_id(id, &a);
    /* sha256("http://a/" NUL "2020-01-01T00:00:00Z" NUL 32 zero bytes) */
    static const uint8_t expected[16] = { 0x47, 0x73, 0x9a, 0xca, 0x67, 0xe3, 0xef, 0x6d,
                                          0x47, 0xb8, 0xea, 0x9d, 0x3e, 0x27, 0x51, 0xa2 };
    assert_memory_equal(id, expected, 16);
    b.text_size = 7; /* not part of it */
    vlm_document_id(other, &b);
    assert_memory_equal(id, other, 16);
    b.payload_sha256[31] = 1;
    vlm_document_id(other, &b);
    assert_memory_not_equal(id, other, 16);
    b = a;
    b.date = NULL;
    vlm_document_id(other, &b);
    assert_memory_not_equal(id, other, 16);
    /* The NUL between: moving a character across it is another document. */
    b.url = "http://a/2";
    b.date = "020-01-01T00:00:00Z";
    vlm_document_id(other, &b);
    assert_memory_not_equal(id, other, 16);
}

/* "é<p title=ab><img>x</img></p>" in pieces: a document with every kind of event. */
static struct vlm_event events[7];
static struct vlm_document_image images[1];

static struct vlm_document valid(void)
{
    memset(events, 0, sizeof(events));
    memset(images, 0, sizeof(images));
    events[0] = (struct vlm_event){ .kind = VLM_EVENT_OPEN, .name = VLM_ELEMENT_p };
    events[1] = (struct vlm_event){
        .kind = VLM_EVENT_ATTRIBUTE, .name = VLM_ATTRIBUTE_title, .start = 2, .length = 2
    };
    events[2] = (struct vlm_event){ .kind = VLM_EVENT_OPEN, .name = VLM_ELEMENT_img };
    events[3] = (struct vlm_event){ .kind = VLM_EVENT_IMAGE, .start = 0 };
    events[4] = (struct vlm_event){ .kind = VLM_EVENT_CLOSE, .name = VLM_ELEMENT_img };
    events[5] = (struct vlm_event){ .kind = VLM_EVENT_TEXT, .start = 0, .length = 4 };
    events[6] = (struct vlm_event){ .kind = VLM_EVENT_CLOSE, .name = VLM_ELEMENT_p };
    images[0] = (struct vlm_document_image){ .src = { 2, 1 },
                                             .alt = { 3, 1 },
                                             .has_alt = true,
                                             .n_candidates = 1,
                                             .candidate = { { 2, 2 } } };
    return (struct vlm_document){ .text = "\xc3\xa9"
                                          "ab",
                                  .text_size = 4,
                                  .events = events,
                                  .n_events = 7,
                                  .images = images,
                                  .n_images = 1 };
}

static void refused(const struct vlm_document *document, const char *sentence)
{
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_document_check(document, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, sentence);
}

static void valid_documents_pass(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_document document = valid(), empty = { .text = "" };
    assert_int_equal(vlm_document_check(&document, &err), VLM_OK);
    assert_int_equal(vlm_document_check(&empty, &err), VLM_OK);
}

static void spans_are_checked(void **state)
{
    (void)state;
    struct vlm_document document = valid();
    events[5].length = 5;
    refused(&document, "event 5 points outside the text");
    events[5] = (struct vlm_event){ .kind = VLM_EVENT_TEXT, .start = 5 };
    refused(&document, "event 5 points outside the text");
    events[5].start = UINT32_MAX;
    events[5].length = 2;
    refused(&document, "event 5 points outside the text");
    events[5] = (struct vlm_event){ .kind = VLM_EVENT_TEXT, .start = 1, .length = 1 };
    refused(&document, "event 5 points outside the text"); /* inside a character */
    document = valid();
    events[1].start = 4;
    events[1].length = 1;
    refused(&document, "event 1 points outside the text");
    document = valid();
    document.text = "\xc3(ab";
    refused(&document, "text is not UTF-8 at byte 0");
}

static void nesting_is_checked(void **state)
{
    (void)state;
    struct vlm_document document = valid();
    document.n_events = 6;
    refused(&document, "element 85 is never closed");
    document = valid();
    events[6].name = VLM_ELEMENT_div;
    refused(&document, "event 6 closes element 38, which is not open");
    document = valid();
    events[0] = events[6];
    refused(&document, "event 0 closes element 85, which is not open");
    document = valid();
    events[0].name = VLM_ELEMENT_COUNT;
    refused(&document, "event 0: element 134 at depth 0");
    document = valid();
    events[1].name = VLM_ATTRIBUTE_COUNT;
    refused(&document, "event 1: attribute 21 out of place");
    document = valid();
    events[5] = events[1];
    refused(&document, "event 5: attribute 17 out of place");
    document = valid();
    events[5] = events[3];
    refused(&document, "event 5: image 0 out of place");
    document = valid();
    events[3].start = 1;
    refused(&document, "event 3: image 1 out of place");
    document = valid();
    events[3].kind = VLM_EVENT_KINDS;
    refused(&document, "event 3 has unknown kind 5");
}

static void images_are_checked(void **state)
{
    (void)state;
    struct vlm_document document = valid();
    images[0].n_candidates = VLM_IMAGE_CANDIDATES_MAX + 1;
    refused(&document, "image 0 has 9 candidates");
    document = valid();
    images[0].candidate[0].length = 3;
    refused(&document, "image 0 points outside the text");
    document = valid();
    images[0].src.start = 9;
    refused(&document, "image 0 points outside the text");
    document = valid();
    images[0].has_alt = false;
    refused(&document, "image 0 has the text of an absent alt");
}

static void depth_is_limited(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    for (size_t depth = VLM_HTML_DEPTH_MAX - 1; depth <= VLM_HTML_DEPTH_MAX + 1; depth++) {
        struct vlm_event *deep = calloc(2 * depth, sizeof(*deep));
        assert_non_null(deep);
        for (size_t i = 0; i < 2 * depth; i++)
            deep[i] = (struct vlm_event){ .kind = i < depth ? VLM_EVENT_OPEN : VLM_EVENT_CLOSE };
        struct vlm_document document = { .text = "", .events = deep, .n_events = 2 * depth };
        assert_int_equal(vlm_document_check(&document, &err),
                         depth <= VLM_HTML_DEPTH_MAX ? VLM_OK : VLM_EFORMAT);
        free(deep);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_by_number_and_back),
        cmocka_unit_test(numbers_do_not_move),
        cmocka_unit_test(id_is_of_url_date_and_payload),
        cmocka_unit_test(valid_documents_pass),
        cmocka_unit_test(spans_are_checked),
        cmocka_unit_test(nesting_is_checked),
        cmocka_unit_test(images_are_checked),
        cmocka_unit_test(depth_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
