/* test_mask.c - masks: how many, where, moved and put back; ids that no program wrote. */
#include "base/vlm.h"

#include "tests/mask_fixture.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

enum { CASES = 200000 };

static struct vlm_vocabulary vocabulary;
static struct vlm_sequence document, masked;
static uint32_t *ids;

static int set_up(void **state)
{
    (void)state;
    fixture_vocabulary(&vocabulary, VLM_MASKS_MAX);
    ids = calloc(1 << 16, sizeof(*ids));
    return ids ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    vlm_sequence_release(&document);
    vlm_sequence_release(&masked);
    free(ids);
    return 0;
}

static const struct vlm_mask_rules paper = { .lambda = 1, .min = 1, .max = 16 };

static void apply(const struct vlm_span *spans, size_t n)
{
    struct vlm_err err = { 0 };
    vlm_sequence_reset(&masked);
    if (vlm_mask_apply(&masked, &document, 0, document.n, spans, n, &vocabulary, &err))
        fail_msg("%s", err.msg);
}

static void the_example_of_the_header(void **state)
{
    (void)state;
    vlm_sequence_reset(&document);
    fixture_text(&document, 7);
    apply((struct vlm_span[]){ { 2, 5 } }, 1);
    const uint32_t mask = vocabulary.mask[0];
    const uint32_t expected[] = { 0,    1, mask, 5, 6,
                                  mask, 2, 3,    4, vocabulary.control[VLM_CONTROL_END_OF_SPAN] };
    const float weights[] = { 1, 1, 0, 1, 1, 0, 1, 1, 1, 1 };
    assert_int_equal(masked.n, VLM_COUNTOF(expected));
    assert_memory_equal(masked.ids, expected, sizeof(expected));
    assert_memory_equal(masked.weights, weights, sizeof(weights));
    assert_int_equal(masked.start[3], 15);
    assert_int_equal(masked.start[5], VLM_NOWHERE);
    assert_int_equal(masked.modality[9], VLM_MODALITY_MARKUP);
}

/* Poisson(1) is 0 in 0.3679 of cases, 1 in 0.3679, 2 in 0.1839, ... */
static void counts_are_poisson(void **state)
{
    (void)state;
    const double lambdas[] = { 0.3, 1, 7.5 };
    for (size_t l = 0; l < VLM_COUNTOF(lambdas); l++) {
        struct vlm_mask_rules rules = { .lambda = lambdas[l], .max = 40 };
        unsigned counted[41] = { 0 };
        for (uint64_t i = 0; i < CASES; i++) {
            struct vlm_random random = vlm_random_at(1, l, i);
            counted[vlm_mask_count(&rules, &random)]++;
            assert_int_equal(random.counter, 1);
        }
        double p = exp(-lambdas[l]);
        for (int k = 0; k < 41; p *= lambdas[l] / ++k)
            if (fabs(counted[k] - p * CASES) > 5 * sqrt(p * (1 - p) * CASES) + 3)
                fail_msg("lambda %g: %u of %d are %d, expected %g", lambdas[l], counted[k], CASES,
                         k, p * CASES);
    }
    struct vlm_random random = { 0 };
    assert_int_equal(vlm_mask_count(&(struct vlm_mask_rules){ .min = 3, .max = 9 }, &random), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        random = vlm_random_at(2, 2, i);
        uint32_t n =
            vlm_mask_count(&(struct vlm_mask_rules){ .lambda = 4, .min = 3, .max = 5 }, &random);
        assert_in_range(n, 3, 5);
    }
}

/* Shares over `documents` documents of 2048 tokens. */
struct shares {
    double moved;
    double used[5]; /* 0, 1, 2, 3 spans; more */
};

static struct shares measure(const struct vlm_mask_rules *rules, uint64_t documents)
{
    struct shares shares = { 0 };
    struct vlm_span spans[VLM_MASKS_MAX];
    for (uint64_t i = 0; i < documents; i++) {
        struct vlm_random random = vlm_random_at(42, 0, i);
        uint32_t asked = vlm_mask_count(rules, &random);
        size_t n = vlm_mask_draw(spans, asked, rules, &random, 2048, NULL, 0);
        shares.used[VLM_MIN(n, 4)] += 1;
        for (size_t k = 0; k < n; k++)
            shares.moved += (spans[k].end - spans[k].start) / 2048.0;
    }
    shares.moved /= (double)documents;
    for (int k = 0; k < 5; k++)
        shares.used[k] /= (double)documents;
    return shares;
}

static void check_share(double found, double expected, double deviation, const char *what)
{
    if (fabs(found - expected) > 0.0005 + 5 * deviation)
        fail_msg("%s: %.5f, expected %.4f within %.5f", what, found, expected,
                 0.0005 + 5 * deviation);
}

/* The published code's rule, simulated in Python with 2,000,000 blocks of 2048 tokens: 0.3720 of all
 * tokens are moved, 0.8181 of blocks have one span, 0.1413 two, 0.0335 three; with a minimum of 0,
 * 0.2497 are moved and 0.3679 of blocks have no mask. A share of a block has a standard deviation
 * of at most 0.3. */
static void shares_of_the_published_code(void **state)
{
    (void)state;
    const char *many = getenv("VLM_MASK_DOCUMENTS");
    const uint64_t documents = many ? strtoull(many, NULL, 10) : 1000000;
    const double error = 1 / sqrt((double)documents);
    struct vlm_mask_rules rules = { .lambda = 1, .min = 1, .max = 255 };
    struct shares one = measure(&rules, documents);
    check_share(one.moved, 0.3720, 0.3 * error, "moved");
    check_share(one.used[1], 0.8181, sqrt(0.8181 * 0.1819) * error, "one span");
    check_share(one.used[2], 0.1413, sqrt(0.1413 * 0.8587) * error, "two spans");
    check_share(one.used[3], 0.0335, sqrt(0.0335 * 0.9665) * error, "three spans");
    rules.min = 0;
    struct shares none = measure(&rules, documents);
    check_share(none.moved, 0.2497, 0.3 * error, "moved, minimum 0");
    check_share(none.used[0], 0.3679, 0.5 * error, "no span");
    if (many)
        print_message("min 1: moved %.5f, used %.5f %.5f %.5f; min 0: moved %.5f, none %.5f\n",
                      one.moved, one.used[1], one.used[2], one.used[3], none.moved, none.used[0]);
}

/* The draws from the text of the schema, once more: candidates in a list, taken from its end. */
static size_t draw_plainly(struct vlm_span *spans, uint32_t n, struct vlm_random *random,
                           uint32_t length)
{
    static uint32_t from[16 * 16], to[16 * 16];
    size_t taken = 0;
    for (uint32_t i = 0; i < n * n; i++) {
        uint64_t a = vlm_random_next(random) >> 11, b = vlm_random_next(random) >> 11;
        if (n == 1 && b < a) {
            uint64_t c = a;
            a = b, b = c;
        }
        from[i] = (uint32_t)floor((double)a * 0x1p-53 * length);
        to[i] = (uint32_t)floor((double)b * 0x1p-53 * length + 0.5);
        if (from[i] > to[i]) {
            uint32_t c = from[i];
            from[i] = to[i], to[i] = c;
        }
    }
    for (uint32_t i = n * n; i-- > 0 && taken < n;) {
        bool free = from[i] < to[i];
        for (size_t k = 0; k < taken; k++)
            free = free && VLM_MAX(from[i], spans[k].start) >= VLM_MIN(to[i], spans[k].end);
        if (free)
            spans[taken++] = (struct vlm_span){ from[i], to[i] };
    }
    for (size_t i = 1; i < taken; i++)
        for (size_t k = i; k > 0 && spans[k].start < spans[k - 1].start; k--) {
            struct vlm_span c = spans[k];
            spans[k] = spans[k - 1], spans[k - 1] = c;
        }
    return taken;
}

static void draws_are_those_of_the_schema(void **state)
{
    (void)state;
    struct vlm_span spans[16], expected[16];
    for (uint64_t i = 0; i < 100000; i++) {
        struct vlm_random random = vlm_random_at(3, 3, i), same = random;
        uint32_t n = 1 + (uint32_t)(i % 16), length = 1 + (uint32_t)(i % 777);
        size_t found = vlm_mask_draw(spans, n, &paper, &random, length, NULL, 0);
        assert_int_equal(found, draw_plainly(expected, n, &same, length));
        assert_memory_equal(spans, expected, found * sizeof(*spans));
        assert_int_equal(random.counter, same.counter);
    }
}

/* A document of up to 2000 tokens, one in three of its stretches an image. */
static void make_document(struct vlm_random *random)
{
    vlm_sequence_reset(&document);
    size_t parts = vlm_random_below(random, 7);
    fixture_text(&document, 1 + vlm_random_below(random, 80));
    for (size_t i = 0; i < parts; i++)
        if (vlm_random_chance(random, 35))
            fixture_image(&document, vlm_random_below(random, 9), VLM_IMAGE_CODES, &vocabulary);
        else
            fixture_text(&document, vlm_random_below(random, 80));
}

static bool inside_image(size_t at)
{
    for (size_t i = 0; i < document.n_images; i++)
        if (at > document.images[i].position &&
            at < document.images[i].position + document.images[i].n_tokens)
            return true;
    return false;
}

/* What the images of a masked document must be: pieces of codes where they are said to be, all of
 * them, in order. */
static void check_images(enum vlm_mask_images rule)
{
    size_t tokens = 0, codes = 0, behind = 0;
    for (size_t i = 0; i < masked.n_images; i++) {
        const struct vlm_sequence_image *image = &masked.images[i];
        assert_true(image->position >= behind && image->tag <= image->position);
        behind = image->position + image->n_tokens;
        assert_true(image->n_tokens > 0 && behind <= masked.n);
        for (size_t k = image->position; k < behind; k++)
            assert_int_equal(masked.modality[k], VLM_MODALITY_IMAGE);
        const struct vlm_sequence_image *old = &document.images[image->image];
        if (rule == VLM_MASK_IMAGES_WHOLE) {
            assert_int_equal(image->n_tokens, old->n_tokens);
            assert_memory_equal(masked.ids + image->position, document.ids + old->position,
                                image->n_tokens * sizeof(uint32_t));
        }
        tokens += image->n_tokens;
    }
    for (size_t i = 0; i < masked.n; i++)
        codes += masked.modality[i] == VLM_MODALITY_IMAGE;
    assert_int_equal(tokens, codes);
}

static void check_spans(const struct vlm_span *spans, size_t n, enum vlm_mask_images rule)
{
    for (size_t i = 0; i < n; i++) {
        const struct vlm_span span = spans[i];
        assert_true(span.start < span.end && span.end <= document.n);
        assert_true(!i || spans[i - 1].end <= span.start);
        bool cut = inside_image(span.start) || inside_image(span.end);
        if (rule == VLM_MASK_IMAGES_WHOLE)
            assert_false(cut);
        bool codes = document.modality[span.start] == VLM_MODALITY_IMAGE;
        bool mixed = false;
        for (size_t k = span.start; k < span.end; k++)
            mixed = mixed || (document.modality[k] == VLM_MODALITY_IMAGE) != codes ||
                    (codes && k > span.start && !inside_image(k));
        if (rule == VLM_MASK_IMAGES_NOBREAK)
            assert_false(mixed);
        if (rule == VLM_MASK_IMAGES_SNAP && mixed)
            assert_false(cut);
    }
}

static void masks_come_off_again(void **state)
{
    (void)state;
    struct vlm_span spans[16];
    struct vlm_err err = { 0 };
    size_t used[4] = { 0 };
    for (uint64_t i = 0; i < CASES; i++) {
        struct vlm_random random = vlm_random_at(4, 4, i);
        make_document(&random);
        struct vlm_mask_rules rules = paper;
        rules.images = (enum vlm_mask_images)(i % 4);
        rules.lambda = i % 3 ? 1 : 5;
        rules.first_kept = i % 8 == 3;
        uint32_t asked = vlm_mask_count(&rules, &random);
        size_t n = vlm_mask_draw(spans, asked, &rules, &random, document.n, document.images,
                                 document.n_images);
        check_spans(spans, n, rules.images);
        assert_false(rules.first_kept && asked == 1 && n && !spans[0].start);
        apply(spans, n);
        assert_int_equal(masked.n, document.n + 3 * n);
        check_images(rules.images);
        size_t n_ids;
        if (vlm_unmask(ids, &n_ids, masked.ids, masked.n, &vocabulary, &err))
            fail_msg("%s", err.msg);
        assert_int_equal(n_ids, document.n);
        assert_memory_equal(ids, document.ids, n_ids * sizeof(*ids));
        used[i % 4] += n;
    }
    for (int k = 0; k < 4; k++)
        assert_true(used[k] > CASES / 8);
}

static int unmask(const uint32_t *from, size_t n, size_t *n_ids, struct vlm_err *err)
{
    *err = (struct vlm_err){ 0 };
    return vlm_unmask(ids, n_ids, from, n, &vocabulary, err);
}

/* M0, M1, M2 are masks, S is <eoss>, E is </s>, digits are text. */
static size_t ids_of(uint32_t *out, const char *words)
{
    size_t n = 0;
    for (const char *p = words; *p; p++) {
        if (*p == 'M')
            out[n++] = vocabulary.mask[*++p - '0'];
        else if (*p == 'S')
            out[n++] = vocabulary.control[VLM_CONTROL_END_OF_SPAN];
        else if (*p == 'E')
            out[n++] = vocabulary.control[VLM_CONTROL_END];
        else if (*p != ' ')
            out[n++] = (uint32_t)(*p - '0');
    }
    return n;
}

static void ids_that_are_no_masked_document(void **state)
{
    (void)state;
    static const struct {
        const char *ids, *result; /* what the error says when it begins with "token" */
    } cases[] = {
        { "", "" },
        { "E123E", "E123E" },
        { "E1M04M023SE", "E1234E" },
        { "1M04M023S", "1234" },
        { "1M04M023", "1234" },
        { "1M04M02", "124" },
        { "1M04M0", "14" },
        { "1M04M0E", "14E" },
        { "1M04M023E", "1234E" },
        { "M0M1M01SM12S", "12" },
        { "M0M0S", "" },
        { "1M04", "token 3: the end where the span of <mask:0> was expected" },
        { "M0M1M01S", "token 5: the end where the span of <mask:1> was expected" },
        { "M0M1M01", "token 4: the end where the span of <mask:1> was expected" },
        { "M0M1M01SE", "token 5: another token where the span of <mask:1> was expected" },
        { "M0M1M01SM02S", "token 5: another token where the span of <mask:1> was expected" },
        { "M0M1M11SM02S", "token 2: <mask:1> where <mask:2> was expected" },
        { "1M1", "token 1: <mask:1> where <mask:0> was expected" },
        { "M0M2", "token 1: <mask:2> where <mask:1> was expected" },
        { "1S2", "token 1: <eoss> where no span has begun" },
        { "M0M01M12S", "token 3: a mask inside the span of <mask:0>" },
        { "M0M01M02S", "token 3: a mask inside the span of <mask:0>" },
        { "M0M01S2", "token 4: more than </s> behind the last span" },
        { "M0M01SM0", "token 4: more than </s> behind the last span" },
        { "M0M01SEE", "token 4: more than </s> behind the last span" },
        { "M0M01SS", "token 4: more than </s> behind the last span" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        uint32_t from[32], expected[32];
        size_t n = ids_of(from, cases[i].ids), n_ids;
        struct vlm_err err;
        int rc = unmask(from, n, &n_ids, &err);
        if (!strncmp(cases[i].result, "token", 5)) {
            if (rc != VLM_EFORMAT || strcmp(err.msg, cases[i].result))
                fail_msg("%s: code %d, \"%s\"", cases[i].ids, rc, err.msg);
            continue;
        }
        if (rc)
            fail_msg("%s: %s", cases[i].ids, err.msg);
        assert_int_equal(n_ids, ids_of(expected, cases[i].result));
        assert_memory_equal(ids, expected, n_ids * sizeof(*ids));
    }
}

/* Cut anywhere, a masked document is an error or, from its last span on, a shorter document. */
static void masked_documents_cut_at_every_length(void **state)
{
    (void)state;
    vlm_sequence_reset(&document);
    fixture_text(&document, 40);
    apply((struct vlm_span[]){ { 0, 5 }, { 12, 20 }, { 20, 21 }, { 30, 40 } }, 4);
    for (size_t n = 0; n <= masked.n; n++) {
        size_t n_ids;
        struct vlm_err err;
        uint32_t *copy = malloc((n + 1) * sizeof(*copy)); /* so that a sanitizer sees its end */
        assert_non_null(copy);
        memcpy(copy, masked.ids, n * sizeof(*copy));
        int rc = unmask(copy, n, &n_ids, &err);
        assert_int_equal(rc, n && n < masked.n - 11 ? VLM_EFORMAT : VLM_OK);
        if (n >= masked.n - 11)
            assert_int_equal(n_ids, 30 + VLM_MIN(n - (masked.n - 11), 10));
        free(copy);
    }
}

static void check_splice(size_t mask, size_t n_fill, const struct vlm_sequence_image *images,
                         size_t n_images)
{
    /* The document with its tokens from `mask` on replaced by <mask:0>. */
    struct vlm_sequence prompt = { 0 }, out = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_mask_apply(&prompt, &document, 0, document.n,
                                    &(struct vlm_span){ (uint32_t)mask, (uint32_t)(mask + n_fill) },
                                    1, &vocabulary, &err),
                     VLM_OK);
    prompt.n = document.n - n_fill + 1; /* without the tail */
    while (prompt.n_images && prompt.images[prompt.n_images - 1].position >= prompt.n)
        prompt.n_images--;
    fixture_text(&out, 3);
    assert_int_equal(vlm_splice(&out, &prompt, 0, document.ids + mask, n_fill, &vocabulary, &err),
                     VLM_OK);
    assert_int_equal(out.n, 3 + document.n);
    assert_memory_equal(out.ids + 3, document.ids, document.n * sizeof(*ids));
    assert_int_equal(out.n_images, n_images);
    for (size_t i = 0; i < n_images; i++) {
        assert_int_equal(out.images[i].image, images[i].image);
        assert_int_equal(out.images[i].position, images[i].position + 3);
        assert_int_equal(out.images[i].n_tokens, images[i].n_tokens);
        assert_int_equal(out.images[i].tag, images[i].tag + 3);
    }
    assert_int_equal(vlm_splice(&out, &prompt, 1, NULL, 0, &vocabulary, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "the prompt has no <mask:1>");
    vlm_sequence_release(&prompt);
    vlm_sequence_release(&out);
}

static void answers_take_the_place_of_masks(void **state)
{
    (void)state;
    vlm_sequence_reset(&document);
    fixture_text(&document, 10);
    fixture_image(&document, 4, 256, &vocabulary); /* codes from 14 on */
    fixture_text(&document, 10);
    fixture_image(&document, 2, 256, &vocabulary); /* codes from 282 on */
    fixture_text(&document, 5);
    const struct vlm_sequence_image a = { 0, 14, 256, 10 }, b = { 1, 282, 256, 280 };
    const struct vlm_sequence_image new_a = { VLM_NOWHERE, 14, 256, 14 };
    const struct vlm_sequence_image new_b = { VLM_NOWHERE, 282, 256, 282 };
    check_splice(2, 3, (struct vlm_sequence_image[]){ a, b }, 2);       /* text */
    check_splice(100, 50, (struct vlm_sequence_image[]){ a, b }, 2);    /* within an image */
    check_splice(200, 70, (struct vlm_sequence_image[]){ a, b }, 2);    /* its end */
    check_splice(14, 10, (struct vlm_sequence_image[]){ new_a, b }, 2); /* its first codes */
    check_splice(5, 300, (struct vlm_sequence_image[]){ new_a, new_b }, 2);
    check_splice(0, document.n, (struct vlm_sequence_image[]){ new_a, new_b }, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_header),
        cmocka_unit_test(counts_are_poisson),
        cmocka_unit_test(shares_of_the_published_code),
        cmocka_unit_test(draws_are_those_of_the_schema),
        cmocka_unit_test(masks_come_off_again),
        cmocka_unit_test(ids_that_are_no_masked_document),
        cmocka_unit_test(masked_documents_cut_at_every_length),
        cmocka_unit_test(answers_take_the_place_of_masks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
