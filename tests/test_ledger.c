/* test_ledger.c - counters add up, keep their layout and have a name each. */
#include "base/vlm.h"

#include "shard/ledger.h"

#include <setjmp.h>

#include <cmocka.h>

enum { COUNTERS = sizeof(struct vlm_ledger) / sizeof(uint64_t) };

/* Counter i holds base + i. */
static void fill(struct vlm_ledger *ledger, uint64_t base)
{
    for (size_t i = 0; i < COUNTERS; i++)
        ((uint64_t *)ledger)[i] = base + i;
}

static void adding_takes_every_counter(void **state)
{
    (void)state;
    struct vlm_ledger sum, more, expected;
    fill(&sum, 1000);
    fill(&more, 500000);
    for (size_t i = 0; i < COUNTERS; i++)
        ((uint64_t *)&expected)[i] = 501000 + 2 * i;
    vlm_ledger_add(&sum, &more);
    assert_memory_equal(&sum, &expected, sizeof(sum));
}

static void the_layout_is_little_endian_in_order(void **state)
{
    (void)state;
    struct vlm_ledger ledger, back;
    struct vlm_buffer out = { 0 };
    fill(&ledger, UINT64_C(0x0102030405060700));
    vlm_ledger_encode(&out, &ledger);
    assert_int_equal(out.size, COUNTERS * 8);
    assert_memory_equal(out.data + 8, "\x01\x07\x06\x05\x04\x03\x02\x01", 8);
    struct vlm_bytes in = { out.data, out.data + out.size, false };
    vlm_ledger_decode(&back, &in);
    assert_false(in.bad);
    assert_ptr_equal(in.at, in.end);
    assert_memory_equal(&ledger, &back, sizeof(back));
    for (size_t n = 0; n < out.size; n++) {
        in = (struct vlm_bytes){ out.data, out.data + n, false };
        vlm_ledger_decode(&back, &in);
        assert_true(in.bad);
    }
    vlm_buffer_release(&out);
}

static void sums_are_over_their_own_counters(void **state)
{
    (void)state;
    struct vlm_ledger ledger = { 0 };
    for (size_t i = 0; i < VLM_RECORD_TYPES; i++)
        ledger.records[i] = 1;
    for (size_t i = 0; i < VLM_DAMAGES; i++)
        ledger.damaged[i] = 10;
    ledger.documents_in = 1000;
    for (size_t i = 0; i < VLM_SKIPS; i++)
        ledger.documents_skipped[i] = 3;
    ledger.images_in = 2000;
    for (size_t i = 0; i < VLM_IMAGE_SKIPS; i++)
        ledger.images_skipped[i] = 5;
    assert_int_equal(vlm_ledger_records(&ledger), VLM_RECORD_TYPES);
    assert_int_equal(vlm_ledger_damaged(&ledger), 10 * VLM_DAMAGES);
    assert_int_equal(vlm_ledger_documents_kept(&ledger), 1000 - 3 * VLM_SKIPS);
    assert_int_equal(vlm_ledger_images_kept(&ledger), 2000 - 5 * VLM_IMAGE_SKIPS);
}

static void joined_is_what_the_crawl_holds_as_an_image(void **state)
{
    (void)state;
    static const uint8_t not_joined[] = { VLM_IMAGE_OPT_OUT,    VLM_IMAGE_NOT_IN_CRAWL,
                                          VLM_IMAGE_HTTP_ERROR, VLM_IMAGE_NOT_AN_IMAGE,
                                          VLM_IMAGE_REDIRECT,   VLM_IMAGE_REVISIT,
                                          VLM_IMAGE_NO_URL,     VLM_IMAGE_WORKER_CRASH };
    struct vlm_ledger ledger = { 0 };
    for (size_t i = 0; i < VLM_IMAGE_STATUSES; i++)
        ledger.references[i] = 1;
    assert_int_equal(vlm_ledger_referenced(&ledger), VLM_IMAGE_STATUSES);
    assert_int_equal(vlm_ledger_joined(&ledger), VLM_IMAGE_STATUSES - VLM_COUNTOF(not_joined));
    for (size_t i = 0; i < VLM_COUNTOF(not_joined); i++)
        assert_false(vlm_status_is_joined(not_joined[i]));
    assert_true(vlm_status_is_joined(VLM_IMAGE_OK));
    assert_true(vlm_status_is_joined(VLM_IMAGE_TOO_SMALL));
}

static void every_reason_has_its_own_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VLM_SKIPS; i++) {
        assert_non_null(vlm_skip_name((enum vlm_skip)i));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(vlm_skip_name((enum vlm_skip)i),
                                    vlm_skip_name((enum vlm_skip)k));
    }
    for (unsigned i = 0; i < VLM_IMAGE_SKIPS; i++) {
        assert_non_null(vlm_image_skip_name(i));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(vlm_image_skip_name(i), vlm_image_skip_name(k));
    }
    /* Names are read by people and scripts: they do not change. */
    assert_string_equal(vlm_skip_name(VLM_SKIP_HTTP_STATUS), "http_status");
    assert_string_equal(vlm_skip_name(VLM_SKIP_DUPLICATE_URL), "duplicate_url");
    assert_string_equal(vlm_skip_name(VLM_SKIP_TOO_LITTLE_TEXT), "too_little_text");
    assert_string_equal(vlm_image_skip_name(VLM_IMAGE_SKIP_UNREFERENCED), "unreferenced");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding_takes_every_counter),
        cmocka_unit_test(the_layout_is_little_endian_in_order),
        cmocka_unit_test(sums_are_over_their_own_counters),
        cmocka_unit_test(joined_is_what_the_crawl_holds_as_an_image),
        cmocka_unit_test(every_reason_has_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
