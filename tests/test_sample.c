/* test_sample.c - blocks, windows, pairs and rows, from documents made of numbers and from pages. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "tests/mask_fixture.h"
#include "tests/render_fixture.h"
#include "tests/sequence_fixture.h"
#include "tokenize/sequence/sample_internal.h"

#include <math.h>

static struct vlm_vocabulary vocabulary;
static struct vlm_sampler *sampler;
static uint32_t end_id, begin_id, image_id, end_of_chunk, end_of_span;

static int set_up(void **state)
{
    (void)state;
    fixture_vocabulary(&vocabulary, VLM_MASKS_MAX);
    end_id = vocabulary.control[VLM_CONTROL_END];
    begin_id = vocabulary.control[VLM_CONTROL_BEGIN];
    image_id = vocabulary.control[VLM_CONTROL_IMAGE];
    end_of_chunk = vocabulary.control[VLM_CONTROL_END_OF_CHUNK];
    end_of_span = vocabulary.control[VLM_CONTROL_END_OF_SPAN];
    return 0;
}

/* A sampler without a sequencer; settings are key and value in turn, then NULL. */
static void make_sampler(const char *recipe, const char *const *settings)
{
    struct vlm_err err = { 0 };
    vlm_sampler_free(sampler);
    sampler = calloc(1, sizeof(*sampler));
    assert_non_null(sampler);
    sampler->vocabulary = &vocabulary;
    assert_int_equal(vlm_sampling_init(&sampler->sampling, recipe, &err), VLM_OK);
    for (; settings && *settings; settings += 2)
        if (vlm_sampling_set(&sampler->sampling, settings[0], settings[1], &err))
            fail_msg("%s", err.msg);
    sampler->phi = calloc(sampler->sampling.block, sizeof(*sampler->phi));
    assert_non_null(sampler->phi);
}

static int tear_down(void **state)
{
    (void)state;
    vlm_sampler_free(sampler);
    sampler = NULL;
    return 0;
}

static void begin(uint64_t document, uint64_t epoch)
{
    uint8_t id[16] = { 0 };
    memcpy(id, &document, sizeof(document));
    vlm_sampler_begin(sampler, id, epoch);
}

static bool next(struct vlm_sample *sample)
{
    struct vlm_err err = { 0 };
    int rc = vlm_sampler_next(sampler, sample, &err);
    if (rc != VLM_OK && rc != VLM_EOF)
        fail_msg("%s", err.msg);
    return rc == VLM_OK;
}

static bool cuts_an_image(const struct vlm_sequence *document, size_t at)
{
    size_t i = 0;
    while (i < document->n_images &&
           (at <= document->images[i].position ||
            at >= document->images[i].position + document->images[i].n_tokens))
        i++;
    return i < document->n_images;
}

/* All blocks of the document, their masks off, are the document. */
static size_t check_blocks(bool images_whole)
{
    const struct vlm_sequence *document = &sampler->document;
    const size_t block = sampler->sampling.block;
    static uint32_t ids[1 << 16];
    struct vlm_err err = { 0 };
    struct vlm_sample sample;
    size_t at = 0, blocks = 0;
    while (next(&sample)) {
        const struct vlm_sequence *s = sample.sequence;
        assert_int_equal(sample.block, blocks++);
        assert_true(s->n >= 2 && s->n <= block);
        assert_int_equal(s->ids[0], end_id);
        assert_true(s->weights[0] == 0);
        size_t n;
        if (vlm_unmask(ids, &n, s->ids, s->n, &vocabulary, &err))
            fail_msg("%s", err.msg);
        bool last = ids[n - 1] == end_id;
        size_t taken = n - 1 - last;
        assert_true(at + taken <= document->n);
        assert_memory_equal(ids + 1, document->ids + at, taken * sizeof(*ids));
        at += taken;
        assert_int_equal(last, at == document->n);
        assert_true(!cuts_an_image(document, at));
        size_t moved = 0;
        for (size_t i = 1; i < s->n; i++) {
            bool mask = vlm_vocabulary_mask_number(&vocabulary, s->ids[i]) >= 0;
            assert_true(s->weights[i] == (mask ? sampler->sampling.mask_weight : 1));
            moved += mask;
        }
        assert_int_equal(s->n, 1 + taken + moved / 2 * 3 + last);
        for (size_t i = 0; i < s->n_images && images_whole; i++)
            assert_int_equal(s->images[i].n_tokens, VLM_IMAGE_CODES);
    }
    assert_int_equal(at, document->n);
    return blocks;
}

static void make_page(struct vlm_random *random, size_t parts)
{
    vlm_sequence_reset(&sampler->document);
    fixture_text(&sampler->document, 1 + vlm_random_below(random, 80));
    for (size_t i = 0; i < parts; i++)
        if (vlm_random_chance(random, 30))
            fixture_image(&sampler->document, vlm_random_below(random, 500), VLM_IMAGE_CODES,
                          &vocabulary);
        else
            fixture_text(&sampler->document, vlm_random_below(random, 300));
}

static void blocks_hold_the_whole_document(void **state)
{
    (void)state;
    const char *const blocks[] = { "306", "307", "400", "1024", "2048" };
    const char *const images[] = { "whole", "snap", "free", "nobreak", "unit" };
    size_t n = 0;
    for (size_t b = 0; b < VLM_COUNTOF(blocks); b++)
        for (size_t i = 0; i < VLM_COUNTOF(images); i++) {
            make_sampler("cm3", (const char *const[]){ "data.block", blocks[b], "data.images",
                                                       images[i], NULL });
            for (uint64_t d = 0; d < 300; d++) {
                struct vlm_random random = vlm_random_at(5, b * 5 + i, d);
                make_page(&random, vlm_random_below(&random, 20));
                begin(d, 1);
                n += check_blocks(!i);
            }
        }
    assert_true(n > 20000);
}

static void a_block_begins_with_the_tag_of_its_image(void **state)
{
    (void)state;
    make_sampler("cm3", (const char *const[]){ "data.block", "302", "data.lambda", "0", NULL });
    const struct {
        size_t text, tag, first_block;
    } cases[] = {
        { 300, 10, 300 }, /* ends at the tag */
        { 295, 10, 295 }, /* would end inside it */
        { 100, 10, 100 }, /* among the codes */
        { 44, 0, 300 },   /* behind them */
        { 0, 45, 45 },    /* the tag begins the block: before the codes */
        { 0, 400, 300 },  /* a tag that is larger than a block */
        { 300, 0, 300 },
    };
    struct vlm_sample sample;
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        vlm_sequence_reset(&sampler->document);
        fixture_text(&sampler->document, cases[i].text);
        fixture_image(&sampler->document, cases[i].tag, VLM_IMAGE_CODES, &vocabulary);
        fixture_text(&sampler->document, 20);
        begin(i, 0);
        assert_true(next(&sample));
        assert_int_equal(sample.sequence->n - 1, cases[i].first_block);
        while (next(&sample))
            ;
    }
}

static void samples_depend_on_their_key_only(void **state)
{
    (void)state;
    make_sampler("cm3", (const char *const[]){ "cm3.paper", "1", "data.block", "400", NULL });
    vlm_sequence_reset(&sampler->document);
    fixture_text(&sampler->document, 1500);
    uint64_t hash[4] = { 0 };
    for (int k = 0; k < 4; k++) {
        struct vlm_sample sample;
        sampler->sampling.seed = k == 2;
        begin(k == 3, k == 1);
        for (int again = 0; again < 2; again++) {
            uint64_t h = 0;
            begin(k == 3, k == 1);
            while (next(&sample))
                for (size_t i = 0; i < sample.sequence->n; i++)
                    h = vlm_random_mix(h ^ sample.sequence->ids[i]);
            assert_true(!again || hash[k] == h);
            hash[k] = h;
        }
        for (int other = 0; other < k; other++)
            assert_true(hash[other] != hash[k]);
    }
}

static void releases(void **state)
{
    (void)state;
    struct vlm_sample sample;
    size_t full = 0, masked = 0, ended = 0;
    make_sampler("cm3", (const char *const[]){ "cm3.release", "fairseq", NULL });
    vlm_sequence_reset(&sampler->document);
    fixture_text(&sampler->document, 9000);
    for (uint64_t d = 0; d < 200; d++) {
        begin(d, 0);
        for (size_t block = 0; next(&sample); block++) {
            const struct vlm_sequence *s = sample.sequence;
            assert_true(s->n <= 2048 && (s->n == 2048 || block == 4));
            for (size_t i = 1; i < s->n; i++)
                assert_true(s->ids[i] != end_id);
            full += s->n == 2048;
            ended += s->n == 2048 && s->ids[2047] == end_of_span;
        }
    }
    assert_int_equal(full, 4 * 200);
    assert_true(ended < 12); /* its defect: the end of the last span is cut off */
    make_sampler("cm3", (const char *const[]){ "cm3.release", "cm3leon", NULL });
    vlm_sequence_reset(&sampler->document);
    fixture_text(&sampler->document, 9000);
    full = ended = 0;
    for (uint64_t d = 0; d < 200; d++) {
        begin(d, 0);
        for (size_t block = 0; next(&sample); block++) {
            const struct vlm_sequence *s = sample.sequence;
            bool has = vlm_vocabulary_mask_number(&vocabulary, s->ids[s->n - 1]) >= 0;
            for (size_t i = 1; i < s->n; i++)
                has = has || s->ids[i] == vocabulary.mask[0];
            assert_true(s->n <= 2048 && (!has || block == 4 || s->n >= 2047));
            masked += has && block < 4;
            ended += has && block < 4 && s->ids[s->n - 1] == end_of_span;
            full += block < 4;
        }
    }
    assert_int_equal(ended, masked);
    assert_in_range(masked, full / 2, full * 3 / 4);
    make_sampler("cm3", (const char *const[]){ "cm3.release", "metaseq", NULL });
    assert_true(sampler->sampling.mask_weight == 1 && !sampler->sampling.without_end);
    vlm_sequence_reset(&sampler->document);
    fixture_text(&sampler->document, 100);
    begin(0, 0);
    assert_int_equal(check_blocks(true), 1);
}

/* Cute pics of my pets!<EOC><image>My puppy sitting in the grass.<EOC><image> My cat looking very
 * dignified.<EOC>, with a token a word (Flamingo Fig. 7). */
static void make_pets(void)
{
    struct vlm_sequence *document = &sampler->document;
    vlm_sequence_reset(document);
    fixture_add(document, begin_id, VLM_MODALITY_MARKUP);
    fixture_text(document, 5);
    fixture_add(document, end_of_chunk, VLM_MODALITY_MARKUP);
    fixture_image(document, 0, 1, &vocabulary);
    document->ids[7] = image_id;
    fixture_text(document, 6);
    fixture_add(document, end_of_chunk, VLM_MODALITY_MARKUP);
    fixture_image(document, 0, 1, &vocabulary);
    document->ids[15] = image_id;
    fixture_text(document, 5);
    fixture_add(document, end_of_chunk, VLM_MODALITY_MARKUP);
    fixture_add(document, end_id, VLM_MODALITY_MARKUP);
}

static void the_pets_of_flamingo(void **state)
{
    (void)state;
    const int32_t previous[] = {
        0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2
    };
    const int32_t following[] = { 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2,
                                  2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0 };
    const float flamingo[] = {
        0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1
    };
    const float open_flamingo[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1,
                                    1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0 };
    for (int k = 0; k < 4; k++) {
        make_sampler("m3w", (const char *const[]){ "data.p_next", k & 1 ? "1" : "0", "data.labels",
                                                   k & 2 ? "open_flamingo" : "flamingo", NULL });
        make_pets();
        struct vlm_sample sample;
        begin(0, 0);
        assert_true(next(&sample));
        assert_int_equal(sample.sequence->n, 23);
        assert_int_equal(sample.next, k & 1);
        assert_memory_equal(sample.phi, k & 1 ? following : previous, sizeof(previous));
        assert_memory_equal(sample.sequence->weights, k & 2 ? open_flamingo : flamingo,
                            sizeof(flamingo));
        assert_int_equal(sample.sequence->n_images, 2);
        assert_int_equal(sample.sequence->images[1].position, 15);
        assert_false(next(&sample));
    }
}

/* A page of n tokens and their images, each at one in `every` tokens. */
static void make_interleaved(struct vlm_random *random, size_t n, size_t every)
{
    struct vlm_sequence *document = &sampler->document;
    vlm_sequence_reset(document);
    fixture_add(document, begin_id, VLM_MODALITY_MARKUP);
    while (document->n < n || !document->n_images) {
        fixture_text(document, vlm_random_below(random, 2 * every));
        fixture_add(document, end_of_chunk, VLM_MODALITY_MARKUP);
        fixture_image(document, 0, 1, &vocabulary);
        document->ids[document->n - 1] = image_id;
    }
    fixture_text(document, 3);
    fixture_add(document, end_of_chunk, VLM_MODALITY_MARKUP);
    fixture_add(document, end_id, VLM_MODALITY_MARKUP);
}

static void windows_are_full_and_see_an_image(void **state)
{
    (void)state;
    size_t shown = 0, to_next = 0;
    make_sampler("m3w", NULL);
    for (uint64_t d = 0; d < 20000; d++) {
        struct vlm_random random = vlm_random_at(6, 0, d);
        const struct vlm_sequence *document = &sampler->document;
        make_interleaved(&random, vlm_random_below(&random, 2000),
                         1 + vlm_random_below(&random, 600));
        struct vlm_sample sample;
        begin(d, 3);
        assert_true(next(&sample));
        const struct vlm_sequence *s = sample.sequence;
        assert_true(s->n <= 256 && (s->n == 256 || s->ids[s->n - 1] == end_id));
        assert_in_range(s->n_images, 1, 5);
        size_t images = 0, at = 0;
        while (document->start[at] != s->start[0])
            at++;
        for (size_t i = 0; i < s->n; i++, at++) {
            while (document->start[at] != s->start[i]) {
                assert_true(images == 5 && document->ids[at] == image_id);
                at++;
            }
            images += s->ids[i] == image_id;
        }
        assert_int_equal(images, s->n_images);
        for (size_t i = 0; i < images; i++)
            assert_int_equal(s->ids[s->images[i].position], image_id);
        shown += images;
        to_next += sample.next;
        assert_false(next(&sample));
    }
    assert_true(shown > 25000);
    assert_in_range(to_next, 10000 - 350, 10000 + 350); /* 5 standard deviations */
}

/* Where the window of a page with one image begins: uniformly, as far as it holds the image. */
static void windows_begin_anywhere(void **state)
{
    (void)state;
    make_sampler("m3w", (const char *const[]){ "data.window", "20", NULL });
    vlm_sequence_reset(&sampler->document);
    fixture_text(&sampler->document, 50);
    fixture_image(&sampler->document, 0, 1, &vocabulary);
    fixture_text(&sampler->document, 29);
    unsigned at[80] = { 0 };
    for (uint64_t d = 0; d < 60000; d++) {
        struct vlm_sample sample;
        begin(d, 0);
        assert_true(next(&sample) && sample.sequence->n == 20);
        at[sample.sequence->start[0] / 3]++;
    }
    /* 20 of 61 places hold it; 8 tries fail in 0.672^8 = 4.2 % of cases, then it begins at the
     * image. */
    const double each = 60000 * (1 - pow(41 / 61., 8)) / 20;
    for (size_t i = 0; i < 80; i++) {
        double expected = i > 30 && i <= 50 ? each : 0;
        if (i == 50)
            expected += 60000 * pow(41 / 61., 8);
        if (fabs(at[i] - expected) > 5 * sqrt(expected))
            fail_msg("%u windows begin at %zu, expected %g", at[i], i, expected);
    }
}

static void make_pairs(void)
{
    struct vlm_sequence *document = &sampler->document;
    vlm_sequence_reset(document);
    for (size_t captions = 1; captions < 100; captions += 33) {
        fixture_add(document, begin_id, VLM_MODALITY_MARKUP);
        fixture_image(document, 0, 1, &vocabulary);
        document->ids[document->n - 1] = image_id;
        fixture_text(document, captions);
        fixture_add(document, end_of_chunk, VLM_MODALITY_MARKUP);
        fixture_add(document, end_id, VLM_MODALITY_MARKUP);
    }
}

static void pairs_keep_their_ends(void **state)
{
    (void)state;
    make_sampler("pair", (const char *const[]){ "data.space", "0", NULL });
    make_pairs();
    begin(0, 0);
    struct vlm_sample sample;
    for (uint32_t k = 0, at = 0; k < 3; k++) {
        size_t caption = VLM_MIN(1 + 33 * k, 60);
        assert_true(next(&sample));
        const struct vlm_sequence *s = sample.sequence;
        assert_int_equal(s->n, caption + 4);
        assert_int_equal(s->ids[0], begin_id);
        assert_int_equal(s->ids[1], image_id);
        assert_memory_equal(s->ids + 2, sampler->document.ids + at + 2, caption * sizeof(*s->ids));
        assert_int_equal(s->ids[s->n - 2], end_of_chunk);
        assert_int_equal(s->ids[s->n - 1], end_id);
        for (size_t i = 0; i < s->n; i++)
            assert_true(s->weights[i] == (i > 1));
        assert_int_equal(s->n_images, 1);
        assert_int_equal(s->images[0].image, k);
        assert_int_equal(s->images[0].position, 1);
        at += 1 + 33 * k + 4;
    }
    assert_false(next(&sample));
}

static void rows_hold_whole_samples(void **state)
{
    (void)state;
    struct vlm_pack pack = { .size = 10 };
    const struct {
        size_t n, start;
        bool new_row;
    } cases[] = { { 4, 0, true },  { 6, 4, false }, { 1, 0, true }, { 9, 1, false },
                  { 10, 0, true }, { 3, 0, true },  { 8, 0, true }, { 2, 8, false } };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        bool new_row;
        assert_int_equal(vlm_pack_place(&pack, cases[i].n, &new_row), cases[i].start);
        assert_int_equal(new_row, cases[i].new_row);
    }
}

static void what_does_not_go_together(void **state)
{
    (void)state;
    const struct {
        const char *recipe, *key, *value, *error;
    } cases[] = {
        { "cm4", NULL, NULL, "there is no recipe \"cm4\", only cm3, htlm, text, m3w and pair" },
        { "cm3", "data.lamda", "1", "there is no key data.lamda" },
        { "m3w", "data.lambda", "1", "recipe \"m3w\" has no data.lambda" },
        { "cm3", "data.lambda", "nan", "data.lambda = \"nan\" is no number from 0 to 64" },
        { "cm3", "data.lambda", "", "data.lambda = \"\" is no number from 0 to 64" },
        { "cm3", "data.max", "0", "data.max = \"0\" is no whole number from 1 to 512" },
        { "cm3", "data.min", "-1", "data.min = \"-1\" is no whole number from 0 to 512" },
        { "cm3", "data.images", "5",
          "data.images = \"5\" is none of whole|snap|free|nobreak|unit" },
        { "m3w", "data.images", "free",
          "data.images = \"free\" is no whole number from 1 to 2147483647" },
        { "cm3", "cm3.release", "fair",
          "cm3.release = \"fair\" is none of fairseq|metaseq|cm3leon" },
        { "cm3", "data.min", "17", "data.min = 17 masks is more than data.max = 16" },
        { "cm3", "data.max", "17",
          "data.max = 17 masks, but the vocabulary has only 16 (<mask:0> and so on)" },
        { "cm3", "data.block", "305",
          "data.block = 305 tokens is less than 306: 2 for begin and end, 48 for 16 masks, 256 for "
          "an image" },
        { "text", "data.block", "2",
          "data.block = 2 tokens is less than 3: 2 for begin and end, 0 for 0 masks, 1 for a "
          "token" },
        { "pair", "data.block", "4", "data.window (or data.block) = 4 tokens is less than 5" },
    };
    fixture_vocabulary(&vocabulary, 16);
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_err err = { 0 };
        struct vlm_sampling sampling;
        struct vlm_sampler *none = NULL;
        int rc = vlm_sampling_init(&sampling, cases[i].recipe, &err);
        if (!rc)
            rc = vlm_sampling_set(&sampling, cases[i].key, cases[i].value, &err);
        if (!rc)
            rc = vlm_sampler_new(&none, &sampling, &vocabulary, &err);
        assert_int_equal(rc, VLM_EUSAGE);
        assert_null(none);
        assert_string_equal(err.msg, cases[i].error);
    }
    fixture_vocabulary(&vocabulary, VLM_MASKS_MAX);
}

/* Fills the document from words, as make_sample.py does. */
static void build(char *words)
{
    struct vlm_sequence *document = &sampler->document;
    vlm_sequence_reset(document);
    for (char *word; (word = strsep(&words, " "));) {
        size_t n = strtoul(word + 1, NULL, 10);
        switch (*word) {
        case 't':
            fixture_text(document, n);
            break;
        case 'i':
            fixture_image(document, n, VLM_IMAGE_CODES, &vocabulary);
            break;
        case 's':
            fixture_add(document, begin_id, VLM_MODALITY_MARKUP);
            break;
        case 'e':
            fixture_add(document, end_of_chunk, VLM_MODALITY_MARKUP);
            break;
        case 'E':
            fixture_add(document, end_id, VLM_MODALITY_MARKUP);
            break;
        default:
            fixture_image(document, 0, 1, &vocabulary);
            document->ids[document->n - 1] = image_id;
        }
    }
}

static uint64_t fnv(uint64_t hash, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        hash = (hash ^ (number >> 8 * i & 255)) * 0x100000001b3;
    return hash;
}

static uint64_t hash_sample(const struct vlm_sample *sample)
{
    const struct vlm_sequence *s = sample->sequence;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < s->n; i++)
        hash = fnv(fnv(hash, s->ids[i]), (uint32_t)s->weights[i]);
    for (size_t i = 0; i < s->n_images; i++)
        hash = fnv(fnv(hash, s->images[i].position), s->images[i].n_tokens);
    for (size_t i = 0; i < s->n && sample->phi; i++)
        hash = fnv(hash, (uint32_t)sample->phi[i]);
    return hash;
}

static void set_all(char *settings)
{
    struct vlm_err err = { 0 };
    for (char *setting; (setting = strsep(&settings, " "));) {
        char *key = strsep(&setting, "=");
        if (setting && vlm_sampling_set(&sampler->sampling, key, setting, &err))
            fail_msg("%s", err.msg);
    }
    free(sampler->phi);
    sampler->phi = calloc(sampler->sampling.block, sizeof(*sampler->phi));
    assert_non_null(sampler->phi);
}

/* tests/reference/make_sample.py computed the samples from the text of schemas/sample.md. */
static void samples_are_those_of_the_schema(void **state)
{
    (void)state;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_file_read(&text, "tests/vectors/sample.tsv", VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&text, 0);
    char *rest = (char *)text.data;
    size_t lines = 0, samples = 0;
    for (char *line; (line = strsep(&rest, "\n")) && *line; lines++) {
        make_sampler(strsep(&line, "\t"), NULL);
        set_all(strsep(&line, "\t"));
        build(strsep(&line, "\t"));
        sampler->sampling.seed = strtoull(strsep(&line, "\t"), NULL, 10);
        uint64_t epoch = strtoull(strsep(&line, "\t"), NULL, 10);
        const char *hex = strsep(&line, "\t");
        uint8_t id[16];
        for (int i = 0; i < 16; i++)
            id[i] = (uint8_t)strtoul((const char[]){ hex[2 * i], hex[2 * i + 1], 0 }, NULL, 16);
        vlm_sampler_begin(sampler, id, epoch);
        struct vlm_sample sample;
        for (; next(&sample); samples++) {
            if (sample.sequence->n != strtoul(strsep(&line, "\t"), NULL, 10) ||
                hash_sample(&sample) != strtoull(strsep(&line, "\t"), NULL, 16))
                fail_msg("line %zu, sample %" PRIu64 " differs", lines + 1, sample.block);
        }
        assert_null(line);
    }
    assert_int_equal(lines, 122);
    assert_true(samples > 300);
    vlm_buffer_release(&text);
}

/* A text tokenizer, and a page with two images and codes for them. */
struct page {
    struct page_fixture *parser;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_document *document;
    uint16_t codes[2][VLM_IMAGE_CODES];
};

static int open_page(void **state)
{
    struct page *page = calloc(1, sizeof(*page));
    struct vlm_err err = { 0 };
    *state = page;
    return page && page_setup((void **)&page->parser) == 0 &&
                   (page->tokenizer = fixture_tokenizer(true)) != NULL &&
                   !vlm_vocabulary_init(&page->vocabulary, page->tokenizer,
                                        &(struct vlm_vocabulary_options){ .n_codes = 1024 }, &err)
               ? 0
               : -1;
}

static int close_page(void **state)
{
    struct page *page = *state;
    tear_down(state);
    vlm_text_tokenizer_close(page->tokenizer);
    page_teardown((void **)&page->parser);
    free(page);
    return 0;
}

static void parse(struct page *page, const char *html)
{
    page->document = parse_page(page->parser, html, NULL);
    assert_true(page->document->n_images <= 2);
    for (size_t i = 0; i < page->document->n_images; i++) {
        for (size_t k = 0; k < VLM_IMAGE_CODES; k++)
            page->codes[i][k] = (uint16_t)((k * 5 + i) % 1024);
        page->document->images[i].codes = page->codes[i];
    }
}

static void new_sampler(struct page *page, const char *recipe, const char *key, const char *value)
{
    struct vlm_err err = { 0 };
    struct vlm_sampling sampling;
    vlm_sampler_free(sampler);
    sampler = NULL;
    if (vlm_sampling_init(&sampling, recipe, &err) ||
        vlm_sampling_set(&sampling, key, value, &err) ||
        vlm_sampler_new(&sampler, &sampling, &page->vocabulary, &err))
        fail_msg("%s", err.msg);
}

static int start(struct page *page, uint64_t epoch)
{
    struct vlm_err err = { 0 };
    int rc = vlm_sampler_start(sampler, page->document, epoch, &err);
    if (rc < 0)
        fail_msg("%s", err.msg);
    return rc;
}

static const char pets[] =
    "<html><head><title>Pets</title></head><body><p>Here are some pictures of all of my pets. "
    "They live in the house at the end of the road, where I have had pets for as long as I can "
    "remember, and a garden where they play.</p><figure><img src='puppy.jpg' alt='A puppy'>"
    "<figcaption>My puppy sitting in the grass.</figcaption></figure><p>The other one is older. "
    "She came to us from a farm, does not care for the puppy, and sleeps on the window sill "
    "whenever the sun is out.</p><img src='cat.jpg' alt='My cat looking very dignified.'><p>Thank "
    "you for looking at them. There will be more of them when they have grown a little.</p>"
    "</body></html>";

static void a_page_in_every_recipe(void **state)
{
    struct page *page = *state;
    const char *const recipes[] = { "cm3", "htlm", "text", "m3w", "pair" };
    static uint32_t ids[1 << 16];
    parse(page, pets);
    for (size_t r = 0; r < VLM_COUNTOF(recipes); r++) {
        new_sampler(page, recipes[r], "data.block", r < 3 ? "306" : "64");
        struct vlm_sample sample;
        size_t at = 0, samples = 0, n;
        for (uint64_t epoch = 0; epoch < 20; epoch++) {
            assert_int_equal(start(page, epoch), VLM_OK);
            const struct vlm_sequence *document = vlm_sampler_document(sampler);
            for (at = 0; next(&sample); samples++) {
                const struct vlm_sequence *s = sample.sequence;
                struct vlm_err err = { 0 };
                assert_true(s->n <= (r < 3 ? 306 : 64) && s->weights[0] == 0);
                if (r >= 3)
                    continue;
                if (vlm_unmask(ids, &n, s->ids, s->n, &page->vocabulary, &err))
                    fail_msg("%s", err.msg);
                n -= ids[n - 1] == page->vocabulary.control[VLM_CONTROL_END];
                assert_memory_equal(ids + 1, document->ids + at, (n - 1) * sizeof(*ids));
                at += n - 1;
                for (size_t i = 0; i < s->n_images; i++)
                    assert_int_equal(s->images[i].n_tokens, VLM_IMAGE_CODES);
            }
            assert_true(r >= 3 || at == document->n);
        }
        assert_true(samples >= (r == 3 ? 20 : 40));
    }
}

static void some_captions_begin_with_a_space(void **state)
{
    struct page *page = *state;
    const char *const captions[] = { "My puppy sitting in the grass.",
                                     "My cat looking very dignified." };
    struct vlm_buffer text = { 0 };
    struct vlm_sample sample;
    unsigned spaces = 0;
    parse(page, pets);
    new_sampler(page, "pair", "data.space", "0.5");
    for (uint64_t epoch = 0; epoch < 1000; epoch++) {
        assert_int_equal(start(page, epoch), VLM_OK);
        for (uint32_t k = 0; next(&sample); k++) {
            const struct vlm_sequence *s = sample.sequence;
            vlm_buffer_reset(&text);
            for (size_t i = 2; i < s->n - 2; i++)
                assert_true(vlm_vocabulary_token(&text, &page->vocabulary, s->ids[i]));
            vlm_buffer_byte(&text, 0);
            const char *caption = (const char *)text.data;
            spaces += *caption == ' ';
            assert_string_equal(caption + (*caption == ' '), captions[k]);
            assert_int_equal(s->images[0].image, k);
            for (size_t i = 3; i < s->n - 2; i++)
                assert_true(s->start[i] > s->start[i - 1] || (i == 3 && *caption == ' '));
        }
    }
    assert_in_range(spaces, 1000 - 112, 1000 + 112); /* 5 standard deviations */
    vlm_buffer_release(&text);
}

static void pages_that_give_nothing(void **state)
{
    struct page *page = *state;
    struct vlm_err err = { 0 };
    const struct {
        const char *recipe, *html, *error;
    } cases[] = {
        { "text", "<p> </p>", "the document has no text" },
        { "m3w", "<p>word</p>", "the document has no image" },
        { "pair", "<p>word<img src=a.jpg></p>", "the document has no image with a caption" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_sample sample;
        new_sampler(page, cases[i].recipe, "data.block", "64");
        assert_false(next(&sample)); /* none was started */
        parse(page, pets);
        assert_int_equal(start(page, 0), VLM_OK);
        assert_true(next(&sample));
        parse(page, cases[i].html);
        assert_int_equal(vlm_sampler_start(sampler, page->document, 0, &err), VLM_SKIP);
        assert_string_equal(err.msg, cases[i].error);
        assert_false(next(&sample));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_hold_the_whole_document),
        cmocka_unit_test(a_block_begins_with_the_tag_of_its_image),
        cmocka_unit_test(samples_depend_on_their_key_only),
        cmocka_unit_test(releases),
        cmocka_unit_test(the_pets_of_flamingo),
        cmocka_unit_test(windows_are_full_and_see_an_image),
        cmocka_unit_test(windows_begin_anywhere),
        cmocka_unit_test(pairs_keep_their_ends),
        cmocka_unit_test(rows_hold_whole_samples),
        cmocka_unit_test(what_does_not_go_together),
        cmocka_unit_test(samples_are_those_of_the_schema),
        cmocka_unit_test_setup_teardown(a_page_in_every_recipe, open_page, close_page),
        cmocka_unit_test_setup_teardown(some_captions_begin_with_a_space, open_page, close_page),
        cmocka_unit_test_setup_teardown(pages_that_give_nothing, open_page, close_page),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
