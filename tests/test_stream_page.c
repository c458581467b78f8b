/* test_stream_page.c - what is certain of a page while it is made. */
#include "base/vlm.h"

#include "tests/stream_fixture.h"
#include "tokenize/sequence/run.h"

static int setup(void **out)
{
    return !(*out = stream_fixture_new("pre-ln", false));
}

static int teardown(void **out)
{
    stream_fixture_free(*out);
    return 0;
}

/* What was there at one token is there at the next, and in the end it is the answer's page. */
static void test_page(void **out)
{
    static const char *const prompts[] = { "<p>A", "<p>a<mask:0>b</p><img src=\"<mask:1>\">",
                                           "<img src=\"{20} <mask:0> {36}\"><p><mask:1></p>" };
    struct stream_fixture *it = *out;
    struct vlm_sequence prompt = { 0 };
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    options.max_tokens = 210;
    for (size_t i = 0; i < VLM_COUNTOF(prompts); i++)
        for (options.beams = 0; options.beams <= 2; options.beams += 2) {
            fixture_prompt(it, &prompt, prompts[i]);
            struct vlm_stream *stream = fixture_stream(it, &prompt, NULL, &options);
            struct vlm_sequence page = { 0 }, before = { 0 };
            size_t grown = 0;
            for (;;) {
                assert_int_equal(vlm_stream_page(&page, stream, &it->err), VLM_OK);
                assert_true(page.n >= before.n);
                if (before.n)
                    assert_memory_equal(page.ids, before.ids, before.n * sizeof(*page.ids));
                grown += page.n > before.n;
                vlm_sequence_reset(&before);
                assert_true(vlm_sequence_append(&before, &page, 0, page.n));
                if (stream->over)
                    break;
                assert_int_equal(fixture_step(it, stream), VLM_OK);
            }
            const struct vlm_sequence *whole = &stream->answer.sequence;
            assert_int_equal(page.n, whole->n);
            assert_memory_equal(page.ids, whole->ids, page.n * sizeof(*page.ids));
            assert_memory_equal(page.modality, whole->modality, page.n);
            assert_int_equal(page.n_images, whole->n_images);
            for (size_t k = 0; k < page.n_images; k++) {
                assert_int_equal(page.images[k].position, whole->images[k].position);
                assert_int_equal(page.images[k].n_tokens, whole->images[k].n_tokens);
            }
            /* Beams show nothing before their end. */
            assert_true(options.beams ? grown == 2 : grown > 20);
            vlm_sequence_release(&page);
            vlm_sequence_release(&before);
            vlm_stream_free(stream);
        }
    vlm_sequence_release(&prompt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
