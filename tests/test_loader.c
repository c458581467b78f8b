/* test_loader.c - batches: the same for any number of threads, from any place, and whole. */
#include "base/vlm.h"

#include "nn/ops/vocabulary_loss.h"
#include "tests/corpus_fixture.h"
#include "tests/folder_fixture.h"
#include "tokenize/sequence/sample.h"

#include <dirent.h>
#include <signal.h>

enum { BLOCK = 400 };

static const struct corpus_set set_a = { .name = "a", .parts = 2, .documents = 40, .coded = true };
static const struct corpus_set set_b = { .name = "b", .parts = 1, .documents = 30, .coded = true };
static char *a, *b;
static struct vlm_text_tokenizer *tokenizer;
static struct vlm_vocabulary vocabulary;

static int set_up(void **state)
{
    const struct vlm_vocabulary_options options = { .n_codes = CORPUS_CODES };
    struct vlm_err err = { 0 };
    if (make_test_folder(state) < 0)
        return -1;
    tokenizer = fixture_tokenizer(true);
    a = test_path("a");
    b = test_path("b");
    write_corpus(a, &set_a);
    write_corpus(b, &set_b);
    return tokenizer ? vlm_vocabulary_init(&vocabulary, tokenizer, &options, &err) : -1;
}

static int tear_down(void **state)
{
    vlm_text_tokenizer_close(tokenizer);
    free(a);
    free(b);
    return remove_test_folder(state);
}

/* cm3 in small blocks, so that documents have several samples. */
static struct vlm_loader_options make_options(const char *recipe, size_t threads)
{
    struct vlm_loader_options options = {
        .vocabulary = &vocabulary, .weight = { 1, 1, 1 }, .tokens = 2 * BLOCK, .threads = threads
    };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_sampling_init(&options.sampling, recipe, &err), VLM_OK);
    options.sampling.block = BLOCK;
    options.sampling.seed = 11;
    return options;
}

static struct vlm_loader *open_loader(struct vlm_corpus *corpus,
                                      const struct vlm_loader_options *options,
                                      const struct vlm_place *place)
{
    static const struct vlm_place start = { .sample = 0 };
    struct vlm_loader *loader;
    struct vlm_err err = { 0 };
    if (vlm_loader_new(&loader, corpus, options, place ? place : &start, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return loader;
}

static void next(struct vlm_loader *loader, struct vlm_batch *batch)
{
    struct vlm_err err = { 0 };
    if (vlm_loader_next(loader, batch, &err) != VLM_OK)
        fail_msg("%s", err.msg);
}

static struct vlm_corpus_options both_sets(void)
{
    return (struct vlm_corpus_options){
        .folder = { a, b }, .weight = { 0.7, 0.3 }, .n = 2, .seed = 5, .validation_share = 0.1
    };
}

static void assert_same(const struct vlm_batch *x, const struct vlm_batch *y)
{
    const size_t n = x->rows.n * sizeof(uint32_t);
    assert_int_equal(x->rows.n, y->rows.n);
    assert_int_equal(x->samples, y->samples);
    assert_int_equal(x->documents, y->documents);
    assert_memory_equal(x->rows.ids, y->rows.ids, n);
    assert_memory_equal(x->rows.positions, y->rows.positions, n);
    assert_memory_equal(x->rows.lo, y->rows.lo, n);
    assert_memory_equal(x->rows.hi, y->rows.hi, n);
    assert_memory_equal(x->targets, y->targets, n);
    assert_memory_equal(x->weights, y->weights, n);
    assert_memory_equal(x->modality, y->modality, x->rows.n);
    assert_true(x->weight_sum == y->weight_sum);
    assert_memory_equal(&x->before, &y->before, sizeof(x->before));
    assert_memory_equal(&x->after, &y->after, sizeof(x->after));
    for (size_t i = 0; i < x->samples; i++) {
        assert_memory_equal(x->sample[i].id, y->sample[i].id, 16);
        assert_int_equal(x->sample[i].block, y->sample[i].block);
        assert_int_equal(x->sample[i].first_row, y->sample[i].first_row);
    }
}

/* Order ----------------------------------------------------------------------------------------------- */

enum { BATCHES = 300 };

static struct vlm_batch *first_batches(struct vlm_corpus *corpus,
                                       const struct vlm_loader_options *options)
{
    struct vlm_batch *batches = calloc(BATCHES, sizeof(*batches)), batch;
    struct vlm_loader *loader = open_loader(corpus, options, NULL);
    struct vlm_err err = { 0 };
    assert_non_null(batches);
    for (size_t i = 0; i < BATCHES; i++) {
        next(loader, &batch);
        assert_int_equal(vlm_batch_copy(&batches[i], &batch, &err), VLM_OK);
        assert_same(&batches[i], &batch);
    }
    vlm_loader_free(loader);
    return batches;
}

static void release_batches(struct vlm_batch *batches)
{
    for (size_t i = 0; i < BATCHES; i++)
        vlm_batch_release(&batches[i]);
    free(batches);
}

static void batches_depend_on_their_place_alone(void **state)
{
    (void)state;
    const struct vlm_corpus_options sets = both_sets();
    struct vlm_corpus *corpus = open_corpus(&sets);
    struct vlm_loader_options options = make_options("cm3", 1);
    struct vlm_batch *batches = first_batches(corpus, &options), batch;
    size_t inside = 0;
    assert_true(batches[BATCHES - 1].sample[0].pick.epoch >= 1);
    for (size_t i = 1; i < BATCHES; i++) {
        assert_memory_equal(&batches[i].before, &batches[i - 1].after, sizeof(batch.before));
        inside += batches[i].before.sample > 0;
    }
    assert_true(inside > 20); /* batches that begin in the middle of a document */
    for (options.threads = 2; options.threads <= 5; options.threads += 3) {
        struct vlm_loader *loader = open_loader(corpus, &options, NULL);
        for (size_t i = 0; i < BATCHES; i++) {
            next(loader, &batch);
            assert_same(&batches[i], &batch);
        }
        vlm_loader_free(loader);
    }
    for (size_t i = 0; i + 1 < BATCHES; i += 3) {
        options.threads = 1 + i / 3 % 3;
        struct vlm_loader *loader = open_loader(corpus, &options, &batches[i].before);
        for (size_t k = i; k < i + 2; k++) {
            next(loader, &batch);
            assert_same(&batches[k], &batch);
        }
        vlm_loader_free(loader);
    }
    release_batches(batches);
    vlm_corpus_close(corpus);
}

/* Each document of the training split gives each of its samples once an epoch. */
static void samples_come_once_an_epoch(void **state)
{
    (void)state;
    struct vlm_corpus *corpus = open_corpus(&(struct vlm_corpus_options){
        .folder = { a }, .n = 1, .seed = 6, .validation_share = 0.2 });
    const struct vlm_loader_options options = make_options("cm3", 2);
    struct vlm_loader *loader = open_loader(corpus, &options, NULL);
    enum { EPOCHS = 3 };
    uint64_t blocks[EPOCHS][80] = { { 0 } };
    for (bool over = false; !over;) {
        struct vlm_batch batch;
        next(loader, &batch);
        for (size_t i = 0; i < batch.samples && !over; i++) {
            const struct vlm_batch_sample *sample = &batch.sample[i];
            over = sample->pick.epoch == EPOCHS;
            if (!over) /* in order, none left out, none twice */
                assert_int_equal(sample->block, blocks[sample->pick.epoch][sample->pick.number]++);
        }
    }
    size_t documents = 0;
    for (size_t i = 0; i < 80; i++) {
        documents += blocks[0][i] > 0;
        assert_int_equal(blocks[0][i] > 0, blocks[1][i] > 0);
        assert_int_equal(blocks[0][i] > 0, blocks[2][i] > 0);
    }
    assert_in_range(documents, 45, 79);
    const struct vlm_loader_counts counts = vlm_loader_counts(loader);
    assert_true(counts.skipped_validation >= EPOCHS * (80 - documents));
    vlm_loader_free(loader);
    vlm_corpus_close(corpus);
}

/* The training split, once through, has the documents that validation has not. */
static void training_documents_may_come_once(void **state)
{
    (void)state;
    const struct vlm_corpus_options sets = both_sets();
    struct vlm_corpus *corpus = open_corpus(&sets);
    struct vlm_loader_options options = make_options("cm3", 2);
    uint64_t documents = 0;
    options.once = true;
    for (size_t i = 0; i < 2; i++) {
        static const enum vlm_split splits[] = { VLM_SPLIT_TRAIN, VLM_SPLIT_VALIDATION };
        struct vlm_batch batch;
        struct vlm_err err = { 0 };
        int rc;
        options.split = splits[i];
        struct vlm_loader *loader = open_loader(corpus, &options, NULL);
        while ((rc = vlm_loader_next(loader, &batch, &err)) == VLM_OK)
            assert_int_equal(batch.sample[0].pick.epoch, 0);
        assert_int_equal(rc, VLM_EOF);
        documents += vlm_loader_counts(loader).documents;
        vlm_loader_free(loader);
    }
    assert_int_equal(documents, 110);
    vlm_corpus_close(corpus);
}

/* Ends, in the order of the set; nothing that is trained on. */
static void validation_ends(void **state)
{
    (void)state;
    const struct vlm_corpus_options sets = both_sets();
    struct vlm_corpus *corpus = open_corpus(&sets);
    struct vlm_loader_options options = make_options("cm3", 2);
    uint8_t held_out[110][16];
    struct vlm_batch batch;
    struct vlm_err err = { 0 };
    size_t n[3] = { 0 }, n_held_out = 0;
    for (size_t split = 0; split < 3; split++) {
        static const enum vlm_split splits[] = { VLM_SPLIT_ALL, VLM_SPLIT_VALIDATION };
        options.split = splits[split > 0];
        options.documents_max = split == 2 ? 3 : 0;
        struct vlm_loader *loader = open_loader(corpus, &options, NULL);
        uint64_t last = 0;
        int rc;
        while ((rc = vlm_loader_next(loader, &batch, &err)) == VLM_OK)
            for (size_t i = 0; i < batch.samples; i++) {
                const struct vlm_pick pick = batch.sample[i].pick;
                assert_int_equal(pick.epoch, 0);
                assert_true(pick.source * 1000 + pick.number >= last);
                last = pick.source * 1000 + pick.number;
                if (split == 1 && !batch.sample[i].block)
                    memcpy(held_out[n_held_out++], batch.sample[i].id, 16);
            }
        assert_int_equal(rc, VLM_EOF);
        assert_int_equal(vlm_loader_next(loader, &batch, &err), VLM_EOF);
        n[split] = vlm_loader_counts(loader).documents;
        vlm_loader_free(loader);
    }
    assert_int_equal(n[0], 110);
    assert_in_range(n[1], 4, 25);
    assert_int_equal(n[1], n_held_out);
    assert_int_equal(n[2], 3);
    options.split = VLM_SPLIT_TRAIN;
    struct vlm_loader *loader = open_loader(corpus, &options, NULL);
    for (size_t i = 0; i < 200; i++) {
        next(loader, &batch);
        for (size_t k = 0; k < batch.samples; k++)
            for (size_t m = 0; m < n_held_out; m++)
                assert_memory_not_equal(held_out[m], batch.sample[k].id, 16);
    }
    vlm_loader_free(loader);
    vlm_corpus_close(corpus);
}

/* Rows ------------------------------------------------------------------------------------------------ */

/* Draws the sample once more, from its document. */
static void check_rows(struct vlm_corpus_reader *reader, struct vlm_sampler *sampler,
                       const struct vlm_batch *batch, size_t i,
                       const struct vlm_loader_options *options)
{
    const struct vlm_batch_sample *it = &batch->sample[i];
    struct vlm_document *document;
    struct vlm_sample sample = { .block = 0 };
    struct vlm_arena arena;
    struct vlm_err err = { 0 };
    enum vlm_left_out why;
    vlm_arena_init(&arena, VLM_GIB);
    assert_int_equal(
        vlm_corpus_document(reader, it->pick, VLM_SPLIT_ALL, &document, &why, &arena, &err),
        VLM_OK);
    assert_int_equal(vlm_sampler_start(sampler, document, it->pick.epoch, &err), VLM_OK);
    for (uint64_t block = 0; block <= it->block; block++)
        assert_int_equal(vlm_sampler_next(sampler, &sample, &err), VLM_OK);
    const struct vlm_sequence *sequence = sample.sequence;
    assert_int_equal(sequence->n, it->rows);
    for (size_t t = 0; t < sequence->n; t++) {
        const size_t row = it->first_row + t;
        const bool last = t + 1 == sequence->n;
        const double weight =
            last ? 0 : sequence->weights[t + 1] * options->weight[sequence->modality[t + 1]];
        assert_int_equal(batch->rows.ids[row], sequence->ids[t]);
        assert_int_equal(batch->rows.positions[row], t);
        assert_int_equal(batch->rows.lo[row], it->first_row);
        assert_int_equal(batch->rows.hi[row], row + 1);
        assert_true(batch->weights[row] == (float)weight);
        assert_int_equal(batch->targets[row], weight > 0 ? sequence->ids[t + 1] : VLM_IGNORE);
        assert_int_equal(batch->modality[row],
                         weight > 0 ? sequence->modality[t + 1] : VLM_ROW_NO_TARGET);
    }
    vlm_arena_release(&arena);
}

static void rows_are_those_of_the_samples(void **state)
{
    (void)state;
    const struct vlm_corpus_options sets = both_sets();
    struct vlm_corpus *corpus = open_corpus(&sets);
    struct vlm_loader_options options = make_options("cm3", 2);
    options.weight[VLM_MODALITY_MARKUP] = 0.5;
    options.weight[VLM_MODALITY_IMAGE] = 0;
    struct vlm_loader *loader = open_loader(corpus, &options, NULL);
    struct vlm_corpus_reader *reader;
    struct vlm_sampler *sampler;
    struct vlm_err err = { 0 };
    size_t codes = 0;
    assert_int_equal(vlm_corpus_reader_new(&reader, corpus, &err), VLM_OK);
    assert_int_equal(vlm_sampler_new(&sampler, &options.sampling, &vocabulary, &err), VLM_OK);
    for (size_t i = 0; i < 60; i++) {
        struct vlm_batch batch;
        double sum = 0;
        size_t rows = 0;
        next(loader, &batch);
        for (size_t k = 0; k < batch.samples; k++) {
            assert_int_equal(batch.sample[k].first_row, rows);
            rows += batch.sample[k].rows;
            check_rows(reader, sampler, &batch, k, &options);
        }
        assert_int_equal(rows, batch.rows.n);
        assert_true(rows <= options.tokens && rows > options.tokens - BLOCK);
        for (size_t row = 0; row < rows; row++) {
            sum += batch.weights[row];
            codes += vlm_vocabulary_is_code(&vocabulary, batch.rows.ids[row]);
        }
        assert_true(sum == batch.weight_sum);
        assert_int_equal(batch.rows.n_images, 0);
        assert_null(batch.rows.places);
    }
    assert_true(codes > 1000);
    vlm_sampler_free(sampler);
    vlm_corpus_reader_free(reader);
    vlm_loader_free(loader);
    vlm_corpus_close(corpus);
}

/* A captioner's batch: <s>, 7 rows for the image, the caption, <EOC>, </s>. */
static void check_pairs(const struct vlm_batch *batch, size_t image_rows)
{
    assert_int_equal(batch->rows.n_images, batch->samples);
    assert_int_equal(batch->image_rows, image_rows);
    for (size_t i = 0; i < batch->samples; i++) {
        const struct vlm_batch_sample *sample = &batch->sample[i];
        const size_t first = sample->first_row;
        uint16_t codes[VLM_CODES];
        assert_int_equal(batch->rows.ids[first], vocabulary.control[VLM_CONTROL_BEGIN]);
        for (size_t k = 0; k < image_rows; k++) {
            const size_t row = batch->rows.image_rows[i * image_rows + k];
            assert_int_equal(row, first + 1 + k);
            assert_int_equal(batch->rows.ids[row], vocabulary.control[VLM_CONTROL_IMAGE]);
            assert_int_equal(batch->rows.positions[row], 1 + k);
            if (k + 1 < image_rows)
                assert_int_equal(batch->targets[row], VLM_IGNORE);
            else
                assert_int_equal(batch->targets[row], batch->rows.ids[row + 1]);
        }
        assert_int_equal(batch->targets[first], VLM_IGNORE); /* <image> is given, not predicted */
        assert_int_equal(batch->targets[first + sample->rows - 1], VLM_IGNORE);
        assert_int_equal(batch->rows.ids[first + sample->rows - 1],
                         vocabulary.control[VLM_CONTROL_END]);
        corpus_code(codes, sample->pick.number);
        for (size_t k = 0; k < VLM_CODES; k++)
            assert_int_equal(batch->rows.codes[i * VLM_CODES + k], codes[k]);
    }
}

static void images_become_rows(void **state)
{
    (void)state;
    char *half = test_path("half");
    write_corpus(
        half,
        &(struct corpus_set){
            .name = "half", .parts = 1, .documents = 30, .coded = true, .uncoded_too = true });
    for (size_t i = 0; i < 2; i++) {
        struct vlm_corpus *corpus =
            open_corpus(&(struct vlm_corpus_options){ .folder = { i ? half : a }, .n = 1 });
        struct vlm_loader_options options = make_options("pair", 2);
        struct vlm_vocabulary without_codes;
        struct vlm_err err = { 0 };
        assert_int_equal(vlm_vocabulary_init(&without_codes, tokenizer,
                                             &(struct vlm_vocabulary_options){ .n_codes = 0 },
                                             &err),
                         VLM_OK);
        options.vocabulary = &without_codes;
        options.split = VLM_SPLIT_ALL;
        options.image_rows = 7;
        options.sampling.block = 100;
        options.tokens = 300;
        struct vlm_loader *loader = open_loader(corpus, &options, NULL);
        struct vlm_batch batch, copy = { .samples = 0 };
        int rc;
        while ((rc = vlm_loader_next(loader, &batch, &err)) == VLM_OK) {
            check_pairs(&batch, 7);
            assert_int_equal(vlm_batch_copy(&copy, &batch, &err), VLM_OK);
            check_pairs(&copy, 7);
        }
        assert_int_equal(rc, VLM_EOF);
        const struct vlm_loader_counts counts = vlm_loader_counts(loader);
        /* Every third document has an image, half of those in `half` have codes. */
        assert_int_equal(counts.samples, i ? 5 : 27);
        assert_int_equal(counts.left_out, i ? 5 : 0);
        vlm_batch_release(&copy);
        vlm_loader_free(loader);
        vlm_corpus_close(corpus);
    }
    free(half);
}

/* A vocabulary without codes leaves the images out, not the pages. */
static void pages_are_read_without_codes(void **state)
{
    (void)state;
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { a }, .n = 1 });
    struct vlm_loader_options options = make_options("cm3", 1);
    struct vlm_vocabulary without_codes;
    struct vlm_batch batch;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_vocabulary_init(&without_codes, tokenizer,
                                         &(struct vlm_vocabulary_options){ .n_codes = 0 }, &err),
                     VLM_OK);
    options.vocabulary = &without_codes;
    options.split = VLM_SPLIT_ALL;
    struct vlm_loader *loader = open_loader(corpus, &options, NULL);
    while (vlm_loader_next(loader, &batch, &err) == VLM_OK)
        continue;
    assert_int_equal(vlm_loader_counts(loader).documents, 80);
    vlm_loader_free(loader);
    vlm_corpus_close(corpus);
}

/* What goes wrong ------------------------------------------------------------------------------------- */

static void sets_without_samples_say_why(void **state)
{
    (void)state;
    char *mute = test_path("mute"), expected[400];
    write_corpus(mute,
                 &(struct corpus_set){ .name = "mute", .parts = 1, .documents = 6, .empty = true });
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { mute }, .n = 1 });
    struct vlm_loader_options options = make_options("text", 2);
    static const enum vlm_split splits[] = { VLM_SPLIT_ALL, VLM_SPLIT_TRAIN, VLM_SPLIT_VALIDATION };
    static const int results[] = { VLM_EFORMAT, VLM_EFORMAT, VLM_EOF };
    for (size_t i = 0; i < VLM_COUNTOF(splits); i++) {
        struct vlm_batch batch;
        struct vlm_err err = { 0 };
        options.split = splits[i];
        struct vlm_loader *loader = open_loader(corpus, &options, NULL);
        for (size_t again = 0; again < 2; again++)
            assert_int_equal(vlm_loader_next(loader, &batch, &err), results[i]);
        snprintf(expected, sizeof(expected),
                 "6 documents of '%s' give no sample of text: 6 hold nothing to learn (the "
                 "document has no text), 0 are damaged, 0 are deleted, 0 are for validation",
                 mute);
        if (splits[i] == VLM_SPLIT_ALL)
            assert_string_equal(err.msg, expected);
        if (splits[i] == VLM_SPLIT_TRAIN)
            assert_non_null(strstr(err.msg, "hold nothing to learn (the document has no text)"));
        vlm_loader_free(loader);
    }
    vlm_corpus_close(corpus);
    free(mute);
}

static void damaged_documents_are_left_out(void **state)
{
    (void)state;
    char *hurt = test_path("hurt");
    write_corpus(hurt, &(struct corpus_set){ .name = "hurt", .parts = 1, .documents = 20 });
    damage_file(hurt, "part-00000.lmdb", "http://hurt.org/7");
    damage_file(hurt, "part-00000.lmdb", "http://hurt.org/12");
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { hurt }, .n = 1, .no_verify = true });
    struct vlm_loader_options options = make_options("cm3", 2);
    options.split = VLM_SPLIT_ALL;
    struct vlm_loader *loader = open_loader(corpus, &options, NULL);
    struct vlm_batch batch;
    struct vlm_err err = { 0 };
    assert_string_equal(vlm_loader_damage(loader), "");
    while (vlm_loader_next(loader, &batch, &err) == VLM_OK)
        for (size_t i = 0; i < batch.samples; i++)
            assert_true(batch.sample[i].pick.number != 7 && batch.sample[i].pick.number != 12);
    assert_int_equal(vlm_loader_counts(loader).documents, 18);
    assert_int_equal(vlm_loader_counts(loader).skipped_damaged, 2);
    assert_non_null(strstr(vlm_loader_damage(loader), "hurt/part-00000.lmdb': docs[7]: "));
    vlm_loader_free(loader);
    vlm_corpus_close(corpus);
    free(hurt);
}

static void options_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { a }, .n = 1 });
    const struct vlm_place start = { .sample = 0 };
    struct vlm_loader_options options = make_options("cm3", 1);
    struct vlm_loader *loader;
    struct vlm_err err = { 0 };
    options.tokens = BLOCK - 1;
    assert_int_equal(vlm_loader_new(&loader, corpus, &options, &start, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "a micro-batch of 399 tokens has no room for a block of 400");
    options = make_options("cm3", 0);
    assert_int_equal(vlm_loader_new(&loader, corpus, &options, &start, &err), VLM_EUSAGE);
    options = make_options("cm3", 1);
    options.sampling.block = 20;
    assert_int_equal(vlm_loader_new(&loader, corpus, &options, &start, &err), VLM_EUSAGE);
    assert_null(loader);
    options = make_options("cm3", 1);
    options.weight[VLM_MODALITY_TEXT] = -1;
    assert_int_equal(vlm_loader_new(&loader, corpus, &options, &start, &err), VLM_EUSAGE);
    vlm_corpus_close(corpus);
}

/* While it runs ---------------------------------------------------------------------------------------- */

static void tombstones_reach_what_is_rendered(void **state)
{
    (void)state;
    char *grave = test_path("grave"), line[120], hex[2 * VLM_SHA256_SIZE + 1];
    const struct corpus_set set = { .name = "grave", .parts = 1, .documents = 30, .coded = true };
    write_corpus(grave, &set);
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { grave }, .n = 1, .seed = 2 });
    const struct vlm_loader_options options = make_options("cm3", 2);
    struct vlm_loader *loader = open_loader(corpus, &options, NULL);
    struct vlm_batch batch, copy = { .samples = 0 };
    struct vlm_err err = { 0 };
    uint64_t new_ones;
    uint8_t sha[VLM_SHA256_SIZE];
    size_t images = 0;
    next(loader, &batch);
    assert_int_equal(vlm_batch_copy(&copy, &batch, &err), VLM_OK);
    /* All 30 documents fit in the ring: they are rendered by now, or soon. */
    for (uint64_t number = 0; number < 30; number += 2) {
        snprintf(line, sizeof(line), "{\"url\": \"http://grave.org/%" PRIu64 "\"}\n", number);
        append_file(grave, "deleted.jsonl", line);
    }
    corpus_image_sha(sha, &set, 15);
    snprintf(line, sizeof(line), "{\"sha256\": \"%s\"}\n", vlm_hex(hex, sha, sizeof(sha)));
    append_file(grave, "deleted.jsonl", line);
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);
    assert_int_equal(new_ones, 16);
    for (size_t i = 0; i < 60; i++) {
        next(loader, &batch);
        if (!i) /* nothing is lost or comes twice */
            assert_memory_equal(&batch.before, &copy.after, sizeof(copy.after));
        for (size_t k = 0; k < batch.samples; k++) {
            const struct vlm_batch_sample *sample = &batch.sample[k];
            assert_true(sample->pick.number % 2);
            for (uint32_t row = 0; row < sample->rows; row++) {
                const uint32_t code =
                    batch.rows.ids[sample->first_row + row] - vocabulary.first_code;
                images += code < CORPUS_CODES;
                assert_false(code < CORPUS_CODES && sample->pick.number == 15);
            }
        }
    }
    assert_true(images > 0);
    assert_true(vlm_loader_counts(loader).skipped_deleted > 20);
    vlm_batch_release(&copy);
    vlm_loader_free(loader);
    vlm_corpus_close(corpus);
    free(grave);
}

/* Threads of this process that would take SIGTERM (a sanitizer may have one of its own). */
static size_t threads_that_take_signals(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t n = 0;
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));) {
        char path[300], line[200];
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
        FILE *file = fopen(path, "r");
        unsigned long long blocked;
        while (file && fgets(line, sizeof(line), file))
            if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
                n += !(blocked >> (SIGTERM - 1) & 1);
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return n;
}

/* At any time, with threads that wait, or draw; and signals stay the caller's. */
static void a_loader_may_be_freed_at_any_time(void **state)
{
    (void)state;
    const struct vlm_corpus_options sets = both_sets();
    struct vlm_corpus *corpus = open_corpus(&sets);
    const size_t takers = threads_that_take_signals();
    assert_true(takers >= 1);
    for (size_t i = 0; i < 40; i++) {
        const struct vlm_loader_options options = make_options("cm3", 1 + i % 5);
        struct vlm_loader *loader = open_loader(corpus, &options, NULL);
        struct vlm_batch batch;
        for (size_t k = 0; k < i % 4; k++)
            next(loader, &batch);
        assert_int_equal(threads_that_take_signals(), takers);
        vlm_loader_free(loader);
    }
    vlm_loader_free(NULL);
    vlm_corpus_close(corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_depend_on_their_place_alone),
        cmocka_unit_test(samples_come_once_an_epoch),
        cmocka_unit_test(training_documents_may_come_once),
        cmocka_unit_test(validation_ends),
        cmocka_unit_test(rows_are_those_of_the_samples),
        cmocka_unit_test(images_become_rows),
        cmocka_unit_test(pages_are_read_without_codes),
        cmocka_unit_test(sets_without_samples_say_why),
        cmocka_unit_test(damaged_documents_are_left_out),
        cmocka_unit_test(options_that_cannot_be_are_refused),
        cmocka_unit_test(tombstones_reach_what_is_rendered),
        cmocka_unit_test(a_loader_may_be_freed_at_any_time),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
