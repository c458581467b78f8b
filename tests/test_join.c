/* test_join.c - which capture an <img> shows, and which page of a URL stays, over unit files made by
 * hand. */
#include "base/vlm.h"

#include "base/limits.h"
#include "shard/parts/join.h"
#include "tests/unit_fixture.h"
#include "tests/folder_fixture.h"

enum { UNITS_MAX = 3 };
struct crawl {
    struct vlm_unit_writer unit[UNITS_MAX];
    char *path[UNITS_MAX];
    size_t n;
    struct vlm_join join;
};

static struct vlm_unit_writer *begin(struct crawl *crawl)
{
    char name[16];
    snprintf(name, sizeof(name), "unit-%zu", crawl->n);
    crawl->path[crawl->n] = vlm_path_join(test_folder, name);
    begin_unit(&crawl->unit[crawl->n], crawl->path[crawl->n]);
    return &crawl->unit[crawl->n++];
}

static void run_with(struct crawl *crawl, size_t memory)
{
    struct vlm_err err = { 0 };
    int rc =
        vlm_join_run(&crawl->join, crawl->path, crawl->n, FIXTURE_PLAN, memory, test_folder, &err);
    if (rc != VLM_OK)
        fail_msg("%s", err.msg);
}

static void run(struct crawl *crawl)
{
    for (size_t i = 0; i < crawl->n; i++)
        end_unit(&crawl->unit[i]);
    run_with(crawl, 1 << 20);
}

static void release(struct crawl *crawl)
{
    for (size_t i = 0; i < crawl->n; i++) {
        unlink(crawl->path[i]);
        free(crawl->path[i]);
    }
    vlm_join_release(&crawl->join);
}

/* The next verdict: of this document, image and candidate; found with this mark, or not (0). */
static void expect(struct crawl *crawl, uint64_t document, uint16_t image, uint8_t candidate,
                   uint8_t mark, uint8_t status)
{
    struct vlm_verdict verdict;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_join_next_verdict(&crawl->join, &verdict, &err), VLM_OK);
    assert_int_equal(verdict.document, document);
    assert_int_equal(verdict.image, image);
    assert_int_equal(verdict.result.used, candidate);
    assert_int_equal(verdict.found, mark != 0);
    assert_int_equal(verdict.result.status, status);
    if (!mark)
        return;
    assert_int_equal(verdict.result.sha256[0], mark);
    assert_int_equal(verdict.result.width, mark);
    assert_int_equal(verdict.result.height, mark + 1);
    assert_int_equal(verdict.result.format, VLM_FORMAT_PNG);
    struct vlm_unit unit;
    struct vlm_buffer bytes = { 0 };
    if (status != VLM_IMAGE_OK) {
        assert_int_equal(verdict.size, 0);
        return;
    }
    assert_int_equal(vlm_unit_open(&unit, crawl->path[verdict.unit], FIXTURE_PLAN, &err), VLM_OK);
    assert_int_equal(vlm_unit_read(&unit, &bytes, verdict.position, verdict.size, &err), VLM_OK);
    assert_int_equal(bytes.size, 1);
    assert_int_equal(bytes.data[0], mark);
    vlm_buffer_release(&bytes);
    vlm_unit_close(&unit);
}

static void expect_no_more(struct crawl *crawl)
{
    struct vlm_verdict verdict;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_join_next_verdict(&crawl->join, &verdict, &err), VLM_EOF);
}

static void one_page_with(struct crawl *crawl, struct vlm_unit_writer *unit, const char *candidate)
{
    struct vlm_reference reference = wants(candidate);
    (void)crawl;
    add_page(unit, "http://x/", 1000, &reference, 1);
}

static void nearest_date_wins(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    struct vlm_reference reference = wants("a");
    add_picture(unit, "a", 800, 1, VLM_IMAGE_OK);
    add_picture(unit, "a", 1150, 2, VLM_IMAGE_OK);
    add_picture(unit, "a", 2000, 3, VLM_IMAGE_OK);
    add_page(unit, "http://x/1", 1000, &reference, 1); /* 1150 is nearer than 800 */
    add_page(unit, "http://x/2", 900, &reference, 1);
    add_page(unit, "http://x/3", 9999, &reference, 1);
    add_page(unit, "http://x/4", 0, &reference, 1); /* no date: the earliest */
    run(&crawl);
    expect(&crawl, 0, 0, 0, 2, VLM_IMAGE_OK);
    expect(&crawl, 1, 0, 0, 1, VLM_IMAGE_OK);
    expect(&crawl, 2, 0, 0, 3, VLM_IMAGE_OK);
    expect(&crawl, 3, 0, 0, 1, VLM_IMAGE_OK);
    expect_no_more(&crawl);
    release(&crawl);
}

/* 900 and 1100 are equally near to 1000; so are two captures of one second. */
static void ties_go_to_the_first_in_the_crawl(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *first = begin(&crawl), *second = begin(&crawl);
    struct vlm_reference references[2] = { wants("a"), wants("b") };
    add_page(second, "http://x/", 1000, references, 2);
    add_picture(first, "a", 1100, 1, VLM_IMAGE_OK);
    add_picture(second, "a", 900, 2, VLM_IMAGE_OK);
    add_picture(second, "b", 900, 3, VLM_IMAGE_OK);
    add_picture(first, "b", 900, 4, VLM_IMAGE_OK);
    run(&crawl);
    expect(&crawl, 0, 0, 0, 1, VLM_IMAGE_OK);
    expect(&crawl, 0, 1, 0, 4, VLM_IMAGE_OK);
    release(&crawl);
}

/* Whatever their dates: usable, then damaged, then redirects, then errors, then other things. */
static void better_captures_win_over_nearer_ones(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    struct vlm_reference references[4] = { wants("a"), wants("b"), wants("c"), wants("d") };
    add_page(unit, "http://x/", 1000, references, 4);
    add_picture(unit, "a", 1000, 1, VLM_IMAGE_CORRUPT);
    add_picture(unit, "a", 1, 2, VLM_IMAGE_OK);
    add_redirect(unit, "b", "a");
    add_picture(unit, "b", 1, 3, VLM_IMAGE_TOO_SMALL);
    add_other(unit, "c", VLM_CAPTURE_HTTP_ERROR);
    add_redirect(unit, "c", "a");
    add_other(unit, "d", VLM_CAPTURE_OTHER);
    add_other(unit, "d", VLM_CAPTURE_HTTP_ERROR);
    run(&crawl);
    expect(&crawl, 0, 0, 0, 2, VLM_IMAGE_OK);
    expect(&crawl, 0, 1, 0, 3, VLM_IMAGE_TOO_SMALL);
    expect(&crawl, 0, 2, 0, 2, VLM_IMAGE_OK);
    expect(&crawl, 0, 3, 0, 0, VLM_IMAGE_HTTP_ERROR);
    release(&crawl);
}

static void reasons_for_finding_nothing(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    struct vlm_reference references[] = { wants("absent"),    wants("error"),   wants("other"),
                                          wants("to-absent"), wants("revisit"), wants("bare") };
    add_page(unit, "http://x/", 1000, references, VLM_COUNTOF(references));
    add_other(unit, "error", VLM_CAPTURE_HTTP_ERROR);
    add_other(unit, "other", VLM_CAPTURE_OTHER);
    add_redirect(unit, "to-absent", "nowhere");
    vlm_unit_add_capture(unit, &(struct vlm_capture){ .key = key_of("revisit"),
                                                      .kind = VLM_CAPTURE_REVISIT,
                                                      .target = key_of("nowhere") });
    vlm_unit_add_capture(
        unit, &(struct vlm_capture){ .key = key_of("bare"), .kind = VLM_CAPTURE_REVISIT });
    run(&crawl);
    expect(&crawl, 0, 0, 0, 0, VLM_IMAGE_NOT_IN_CRAWL);
    expect(&crawl, 0, 1, 0, 0, VLM_IMAGE_HTTP_ERROR);
    expect(&crawl, 0, 2, 0, 0, VLM_IMAGE_NOT_AN_IMAGE);
    expect(&crawl, 0, 3, 0, 0, VLM_IMAGE_REDIRECT);
    expect(&crawl, 0, 4, 0, 0, VLM_IMAGE_REVISIT);
    expect(&crawl, 0, 5, 0, 0, VLM_IMAGE_REVISIT);
    expect_no_more(&crawl);
    release(&crawl);
}

/* r0 -> r1 -> ... -> r(n-1) -> picture */
static void chain_of_redirects(unsigned n, uint8_t mark, uint8_t status)
{
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    one_page_with(&crawl, unit, n ? "r0" : "picture");
    for (unsigned i = 0; i < n; i++) {
        char from[16], to[16];
        snprintf(from, sizeof(from), "r%u", i);
        snprintf(to, sizeof(to), "r%u", i + 1);
        add_redirect(unit, from, i + 1 == n ? "picture" : to);
    }
    add_picture(unit, "picture", 5, 9, VLM_IMAGE_OK);
    run(&crawl);
    expect(&crawl, 0, 0, 0, mark, status);
    expect_no_more(&crawl);
    release(&crawl);
}

static void redirects_are_followed_five_times(void **state)
{
    (void)state;
    for (unsigned n = 0; n <= VLM_REDIRECTS_MAX; n++)
        chain_of_redirects(n, 9, VLM_IMAGE_OK);
    chain_of_redirects(VLM_REDIRECTS_MAX + 1, 0, VLM_IMAGE_REDIRECT);
    chain_of_redirects(40, 0, VLM_IMAGE_REDIRECT);
}

static void loops_of_redirects_end(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    struct vlm_reference references[2] = { wants("a"), wants("self") };
    add_page(unit, "http://x/", 1, references, 2);
    add_redirect(unit, "a", "b");
    add_redirect(unit, "b", "a");
    add_redirect(unit, "self", "self");
    run(&crawl);
    expect(&crawl, 0, 0, 0, 0, VLM_IMAGE_REDIRECT);
    expect(&crawl, 0, 1, 0, 0, VLM_IMAGE_REDIRECT);
    expect_no_more(&crawl);
    release(&crawl);
}

/* A revisit names the URL and the date of what it repeats; the date decides between captures. When
 * the URL is not there, the payload digest finds the bytes under any other. */
static void revisits_by_uri_and_by_digest(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    struct vlm_reference references[3] = { wants("r"), wants("s"), wants("both") };
    struct vlm_capture again = { .key = key_of("digest 1"),
                                 .kind = VLM_CAPTURE_IMAGE,
                                 .format = VLM_FORMAT_PNG,
                                 .again = true,
                                 .width = 6,
                                 .height = 7,
                                 .sha256 = { 6 } };
    struct vlm_buffer stored = { 0 };
    struct vlm_err err = { 0 };
    add_page(unit, "http://x/", 1000, references, 3);
    add_picture(unit, "original", 1000, 4, VLM_IMAGE_OK);
    add_picture(unit, "original", 500, 5, VLM_IMAGE_OK);
    vlm_buffer_byte(&stored, 6);
    assert_int_equal(vlm_unit_add_image(unit, &stored, &again, &err), VLM_OK);
    vlm_unit_add_capture(unit, &again);
    vlm_buffer_release(&stored);
    vlm_unit_add_capture(unit, &(struct vlm_capture){ .key = key_of("r"),
                                                      .kind = VLM_CAPTURE_REVISIT,
                                                      .target = key_of("original"),
                                                      .target_date = 501 });
    vlm_unit_add_capture(unit, &(struct vlm_capture){ .key = key_of("s"),
                                                      .kind = VLM_CAPTURE_REVISIT,
                                                      .target = key_of("absent"),
                                                      .digest = key_of("digest 1") });
    vlm_unit_add_capture(unit, &(struct vlm_capture){ .key = key_of("both"),
                                                      .kind = VLM_CAPTURE_REVISIT,
                                                      .target = key_of("original"),
                                                      .target_date = 999,
                                                      .digest = key_of("digest 1") });
    run(&crawl);
    expect(&crawl, 0, 0, 0, 5, VLM_IMAGE_OK);
    expect(&crawl, 0, 1, 0, 0, VLM_IMAGE_REVISIT); /* by URI: nothing */
    expect(&crawl, 0, 1, 0, 6, VLM_IMAGE_OK);      /* by digest */
    expect(&crawl, 0, 2, 0, 4, VLM_IMAGE_OK);      /* the URI stands first */
    expect(&crawl, 0, 2, 0, 6, VLM_IMAGE_OK);
    expect_no_more(&crawl);
    /* What is listed a second time is not counted as another image. */
    uint8_t sha[VLM_SHA256_SIZE];
    assert_int_equal(vlm_join_next_image(&crawl.join, sha, &err), VLM_OK);
    assert_int_equal(sha[0], 4);
    assert_int_equal(vlm_join_next_image(&crawl.join, sha, &err), VLM_OK);
    assert_int_equal(sha[0], 5);
    assert_int_equal(vlm_join_next_image(&crawl.join, sha, &err), VLM_EOF);
    release(&crawl);
}

static void candidates_keep_their_order(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    struct vlm_reference reference = { .n_candidates = VLM_IMAGE_CANDIDATES_MAX };
    for (unsigned k = 0; k < VLM_IMAGE_CANDIDATES_MAX; k++) {
        char name[8];
        snprintf(name, sizeof(name), "c%u", k);
        reference.candidate[k] = key_of(name);
        if (k % 2)
            add_picture(unit, name, 1, (uint8_t)(10 + k), VLM_IMAGE_OK);
    }
    add_page(unit, "http://x/", 1, &reference, 1);
    run(&crawl);
    for (uint8_t k = 0; k < VLM_IMAGE_CANDIDATES_MAX; k++)
        expect(&crawl, 0, 0, k, k % 2 ? (uint8_t)(10 + k) : 0,
               k % 2 ? VLM_IMAGE_OK : VLM_IMAGE_NOT_IN_CRAWL);
    expect_no_more(&crawl);
    release(&crawl);
}

static void newest_page_of_a_url_stays(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *first = begin(&crawl), *second = begin(&crawl);
    struct vlm_err err = { 0 };
    uint64_t document;
    add_page(first, "http://x/a", 5, NULL, 0);  /* 0: older */
    add_page(first, "http://x/b", 9, NULL, 0);  /* 1: newest */
    add_page(first, "http://x/c", 7, NULL, 0);  /* 2: first of two of one date */
    add_page(first, "http://x/d", 0, NULL, 0);  /* 3: no date is older than any */
    add_page(second, "http://x/a", 6, NULL, 0); /* 4: newest */
    add_page(second, "http://x/b", 8, NULL, 0); /* 5 */
    add_page(second, "http://x/b", 7, NULL, 0); /* 6 */
    add_page(second, "http://x/c", 7, NULL, 0); /* 7 */
    add_page(second, "http://x/d", 1, NULL, 0); /* 8 */
    run(&crawl);
    assert_int_equal(crawl.join.n_documents, 9);
    static const uint64_t dropped[] = { 0, 3, 5, 6, 7 };
    for (size_t i = 0; i < VLM_COUNTOF(dropped); i++) {
        assert_int_equal(vlm_join_next_drop(&crawl.join, &document, &err), VLM_OK);
        assert_int_equal(document, dropped[i]);
    }
    assert_int_equal(vlm_join_next_drop(&crawl.join, &document, &err), VLM_EOF);
    assert_int_equal(document, UINT64_MAX);
    release(&crawl);
}

/* No URL is no key that two pages could share. */
static void pages_without_a_url_all_stay(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    struct vlm_document_head head = { .date = 5 };
    struct vlm_buffer stored = { 0 };
    struct vlm_err err = { 0 };
    uint64_t document;
    vlm_buffer_text(&stored, "page");
    for (int i = 0; i < 3; i++)
        assert_int_equal(vlm_unit_add_document(unit, &stored, &head, NULL, &err), VLM_OK);
    vlm_buffer_release(&stored);
    run(&crawl);
    assert_int_equal(crawl.join.n_documents, 3);
    assert_int_equal(vlm_join_next_drop(&crawl.join, &document, &err), VLM_EOF);
    release(&crawl);
}

/* With almost no memory everything spills, and the answers are the same. */
static void memory_does_not_change_the_answers(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_unit_writer *unit = begin(&crawl);
    struct vlm_err err = { 0 };
    struct vlm_verdict a, b;
    enum { N = 300 };
    for (unsigned i = 0; i < N; i++) {
        char url[32], image[32], other[32];
        snprintf(url, sizeof(url), "http://x/%u", i % 250);
        snprintf(image, sizeof(image), "i%u", i % 17);
        snprintf(other, sizeof(other), "i%u", (i + 3) % 17);
        struct vlm_reference references[2] = { wants(image), wants(other) };
        add_page(unit, url, i, references, 2);
        if (i % 3)
            add_picture(unit, image, i * 7 % 100, (uint8_t)(1 + i % 200), VLM_IMAGE_OK);
        else
            add_redirect(unit, image, other);
    }
    run(&crawl);
    struct vlm_join large = crawl.join;
    run_with(&crawl, 1);
    for (unsigned i = 0; i < 2 * N; i++) {
        memset(&a, 0, sizeof(a));
        memset(&b, 0, sizeof(b));
        assert_int_equal(vlm_join_next_verdict(&large, &a, &err), VLM_OK);
        assert_int_equal(vlm_join_next_verdict(&crawl.join, &b, &err), VLM_OK);
        assert_int_equal(a.document, i / 2);
        assert_int_equal(a.found, b.found);
        assert_memory_equal(&a, &b, sizeof(a));
    }
    for (unsigned i = 0; i < N - 250; i++) {
        uint64_t x, y;
        assert_int_equal(vlm_join_next_drop(&large, &x, &err), VLM_OK);
        assert_int_equal(vlm_join_next_drop(&crawl.join, &y, &err), VLM_OK);
        assert_int_equal(x, i); /* the older one */
        assert_int_equal(x, y);
    }
    vlm_join_release(&large);
    release(&crawl);
}

static void a_unit_of_another_plan_is_an_error(void **state)
{
    (void)state;
    struct crawl crawl = { 0 };
    struct vlm_err err = { 0 };
    (void)begin(&crawl);
    end_unit(&crawl.unit[0]);
    assert_true(
        vlm_join_run(&crawl.join, crawl.path, 1, FIXTURE_PLAN + 1, 1 << 20, test_folder, &err) < 0);
    vlm_join_release(&crawl.join);
    unlink(crawl.path[0]);
    assert_true(vlm_join_run(&crawl.join, crawl.path, 1, FIXTURE_PLAN, 1 << 20, test_folder, &err) <
                0);
    release(&crawl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_date_wins),
        cmocka_unit_test(ties_go_to_the_first_in_the_crawl),
        cmocka_unit_test(better_captures_win_over_nearer_ones),
        cmocka_unit_test(reasons_for_finding_nothing),
        cmocka_unit_test(redirects_are_followed_five_times),
        cmocka_unit_test(loops_of_redirects_end),
        cmocka_unit_test(revisits_by_uri_and_by_digest),
        cmocka_unit_test(candidates_keep_their_order),
        cmocka_unit_test(newest_page_of_a_url_stays),
        cmocka_unit_test(pages_without_a_url_all_stay),
        cmocka_unit_test(memory_does_not_change_the_answers),
        cmocka_unit_test(a_unit_of_another_plan_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
