/* test_corpus.c - which documents come, when, and what is refused: sets, mixes, splits, tombstones. */
#include "base/vlm.h"

#include "tests/corpus_fixture.h"
#include "tests/folder_fixture.h"
#include "trainer/data/corpus_internal.h"

#include <math.h>

static const struct corpus_set set_a = { .name = "a", .parts = 3, .documents = 20, .coded = true };
static const struct corpus_set set_b = { .name = "b", .parts = 1, .documents = 25, .coded = true };
static char *a, *b;

static int set_up(void **state)
{
    if (make_test_folder(state) < 0)
        return -1;
    a = test_path("a");
    b = test_path("b");
    write_corpus(a, &set_a);
    write_corpus(b, &set_b);
    return 0;
}

static int tear_down(void **state)
{
    free(a);
    free(b);
    return remove_test_folder(state);
}

/* The id of a document; false when it is left out, and *why says why. */
static bool read_id(struct vlm_corpus_reader *reader, struct vlm_pick pick, enum vlm_split split,
                    uint8_t id[16], enum vlm_left_out *why)
{
    struct vlm_document *document;
    struct vlm_arena arena;
    struct vlm_err err = { 0 };
    vlm_arena_init(&arena, VLM_GIB);
    int rc = vlm_corpus_document(reader, pick, split, &document, why, &arena, &err);
    if (rc < 0)
        fail_msg("%s", err.msg);
    if (rc == VLM_OK)
        vlm_document_id(id, document);
    vlm_arena_release(&arena);
    return rc == VLM_OK;
}

static struct vlm_corpus_reader *open_reader(struct vlm_corpus *corpus)
{
    struct vlm_corpus_reader *reader;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_corpus_reader_new(&reader, corpus, &err), VLM_OK);
    return reader;
}

/* Order ---------------------------------------------------------------------------------------------- */

static void each_document_comes_once_an_epoch(void **state)
{
    (void)state;
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { a, b }, .n = 2, .seed = 3 });
    struct vlm_corpus_reader *reader = open_reader(corpus);
    const uint64_t n =
        vlm_corpus_source(corpus, 0)->documents + vlm_corpus_source(corpus, 1)->documents;
    struct vlm_cursor cursor = { { 0 } };
    enum vlm_left_out why;
    uint64_t first_number[2] = { 0 };
    assert_int_equal(n, 85);
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        uint8_t ids[85][16];
        for (uint64_t i = 0; i < n; i++) {
            const struct vlm_pick pick = vlm_corpus_pick(corpus, &cursor);
            assert_int_equal(pick.epoch, epoch);
            if (cursor.drawn[pick.source] == 1)
                first_number[pick.source] = pick.number;
            assert_true(read_id(reader, pick, VLM_SPLIT_ALL, ids[i], &why));
            for (uint64_t k = 0; k < i; k++)
                assert_memory_not_equal(ids[k], ids[i], 16);
        }
    }
    /* Another seed begins elsewhere, at least in one of two sources. */
    vlm_corpus_reader_free(reader);
    vlm_corpus_close(corpus);
    corpus = open_corpus(&(struct vlm_corpus_options){ .folder = { a, b }, .n = 2, .seed = 4 });
    bool other = false;
    cursor = (struct vlm_cursor){ { 0 } };
    for (uint64_t i = 0; i < 4; i++) {
        const struct vlm_pick pick = vlm_corpus_pick(corpus, &cursor);
        other |= cursor.drawn[pick.source] == 1 && pick.number != first_number[pick.source];
    }
    assert_true(other);
    vlm_corpus_close(corpus);
}

static void check_mix(struct vlm_corpus_options options, uint64_t documents)
{
    struct vlm_corpus *corpus = open_corpus(&options);
    struct vlm_cursor cursor = { { 0 } };
    double sum = 0;
    for (size_t i = 0; i < options.n; i++)
        sum += options.weight[i];
    for (uint64_t n = 1; n <= documents; n++) {
        const struct vlm_cursor before = cursor;
        const struct vlm_pick pick = vlm_corpus_pick(corpus, &cursor);
        assert_int_equal(cursor.drawn[pick.source], before.drawn[pick.source] + 1);
        for (size_t i = 0; i < options.n; i++)
            assert_true(fabs((double)cursor.drawn[i] - options.weight[i] / sum * (double)n) <
                        1 + 1e-9);
    }
    vlm_corpus_close(corpus);
}

static void mixes_keep_their_shares_at_any_time(void **state)
{
    (void)state;
    char *c = test_path("c"), *d = test_path("d"), *e = test_path("e");
    const char *const names[] = { "c", "d", "e" };
    char *const folders[] = { c, d, e };
    for (size_t i = 0; i < VLM_COUNTOF(names); i++)
        write_corpus(folders[i],
                     &(struct corpus_set){ .name = names[i], .parts = 1, .documents = 2 });
    check_mix((struct vlm_corpus_options){ .folder = { a, b }, .weight = { 0.7, 0.3 }, .n = 2 },
              20000);
    check_mix((struct vlm_corpus_options){ .folder = { a, b, c, d, e },
                                           .weight = { 1, 2, 100, 33.3, 0.01 },
                                           .n = 5 },
              20000);
    check_mix((struct vlm_corpus_options){ .folder = { a, b, c, d, e },
                                           .weight = { 5, 4, 4, 4, 4 },
                                           .n = 5 },
              20000);
    free(c);
    free(d);
    free(e);
}

/* Splits --------------------------------------------------------------------------------------------- */

static void validation_is_never_trained_on(void **state)
{
    (void)state;
    const char *const orders[2][2] = { { a, b }, { b, a } };
    size_t n_validation[2] = { 0 };
    for (size_t order = 0; order < 2; order++) {
        struct vlm_corpus *corpus = open_corpus(
            &(struct vlm_corpus_options){ .folder = { orders[order][0], orders[order][1] },
                                          .n = 2,
                                          .seed = order,
                                          .validation_share = 0.25 });
        struct vlm_corpus_reader *reader = open_reader(corpus);
        uint8_t id[16], same[16];
        enum vlm_left_out why;
        for (size_t s = 0; s < 2; s++)
            for (uint64_t i = 0; i < vlm_corpus_source(corpus, s)->documents; i++) {
                const struct vlm_pick pick = { .source = s, .number = i, .epoch = order };
                const bool train = read_id(reader, pick, VLM_SPLIT_TRAIN, id, &why);
                assert_true(train || why == VLM_LEFT_OUT_SPLIT);
                const bool validation = read_id(reader, pick, VLM_SPLIT_VALIDATION, same, &why);
                assert_true(validation || why == VLM_LEFT_OUT_SPLIT);
                assert_true(train != validation);
                n_validation[order] += validation;
                assert_true(read_id(reader, pick, VLM_SPLIT_ALL, id, &why));
            }
        vlm_corpus_reader_free(reader);
        vlm_corpus_close(corpus);
    }
    assert_int_equal(n_validation[0], n_validation[1]);
    /* Binomial: 85 documents, a quarter of them, four standard deviations of 4. */
    assert_in_range(n_validation[0], 5, 37);
}

/* What is refused ------------------------------------------------------------------------------------- */

static void expect_refusal(const struct vlm_corpus_options *options, int code, const char *sentence)
{
    struct vlm_corpus *corpus;
    struct vlm_err err = { 0 };
    char expected[sizeof(err.msg)] = "";
    size_t n = 0;
    for (const char *at = sentence; *at; at++) /* "@" is the folder of this test */
        n += (size_t)snprintf(expected + n, sizeof(expected) - n, *at == '@' ? "%s" : "%.1s",
                              *at == '@' ? test_folder : at);
    int rc = vlm_corpus_open(&corpus, options, &err);
    assert_string_equal(err.msg, expected);
    assert_int_equal(rc, code);
    assert_null(corpus);
}

static void sets_that_are_none_are_refused(void **state)
{
    (void)state;
    char *missing = test_path("missing"), *unfinished = test_path("unfinished");
    char *foreign = test_path("foreign"), *none = test_path("none"), *link = test_path("link");
    struct vlm_err err;
    expect_refusal(&(struct vlm_corpus_options){ .n = 0 }, VLM_EUSAGE, "no shard set is given");
    expect_refusal(&(struct vlm_corpus_options){ .folder = { missing }, .n = 1 }, VLM_EFAIL,
                   "cannot read '@/missing': No such file or directory");
    assert_int_equal(vlm_folder_make(unfinished, &err), VLM_OK);
    append_file(unfinished, "part-00000.lmdb.tmp", "");
    expect_refusal(&(struct vlm_corpus_options){ .folder = { a, unfinished }, .n = 2 }, VLM_EFAIL,
                   "'@/unfinished' is no finished shard set: it has no manifest.json");
    assert_int_equal(vlm_folder_make(foreign, &err), VLM_OK);
    append_file(foreign, "manifest.json", "{}");
    expect_refusal(&(struct vlm_corpus_options){ .folder = { foreign }, .n = 1 }, VLM_EDIFFER,
                   "manifest.json of '@/foreign': its checksum differs from its content");
    assert_int_equal(vlm_folder_make(none, &err), VLM_OK);
    const struct vlm_set_tokenizers no_codes = { .n = 0 };
    write_corpus_manifest(none, NULL, 0, &no_codes, "{}");
    expect_refusal(&(struct vlm_corpus_options){ .folder = { none }, .n = 1 }, VLM_EUSAGE,
                   "'@/none' holds no documents");
    expect_refusal(
        &(struct vlm_corpus_options){ .folder = { a, none }, .weight = { 1, 1 }, .n = 2 },
        VLM_EUSAGE, "'@/none' has a weight, but holds no documents");
    vlm_corpus_close(open_corpus(&(struct vlm_corpus_options){ .folder = { a, none }, .n = 2 }));
    expect_refusal(&(struct vlm_corpus_options){ .folder = { a, b, a }, .n = 3 }, VLM_EUSAGE,
                   "shard set '@/a' is given twice; its weight says how often its documents come");
    assert_int_equal(symlink("a", link), 0);
    expect_refusal(&(struct vlm_corpus_options){ .folder = { a, link }, .n = 2 }, VLM_EUSAGE,
                   "shard set '@/link' is given twice, first as '@/a'; its weight says how often "
                   "its documents come");
    expect_refusal(&(struct vlm_corpus_options){ .folder = { a, b }, .weight = { 1, 0 }, .n = 2 },
                   VLM_EUSAGE, "'@/b' has no weight, but other shard sets have: give one to each");
    expect_refusal(&(struct vlm_corpus_options){ .folder = { a, b }, .weight = { 1, -1 }, .n = 2 },
                   VLM_EUSAGE, "the weight -1 of '@/b' is no positive number");
    expect_refusal(&(struct vlm_corpus_options){ .folder = { a }, .n = 1, .validation_share = 0.6 },
                   VLM_EUSAGE, "a validation share of 0.6 is not between 0 and 0.5");
    free(missing);
    free(unfinished);
    free(foreign);
    free(none);
    free(link);
}

static void tokenizers_must_agree(void **state)
{
    (void)state;
    char *other = test_path("other"), *plain = test_path("plain");
    write_corpus(
        other,
        &(struct corpus_set){
            .name = "other", .parts = 1, .documents = 4, .coded = true, .tokenizer = "vq-else" });
    write_corpus(plain, &(struct corpus_set){ .name = "plain", .parts = 1, .documents = 4 });
    expect_refusal(&(struct vlm_corpus_options){ .folder = { a, other }, .n = 2 }, VLM_EUSAGE,
                   "no image tokenizer is common to the shard sets: '@/a' has codes of "
                   "pca-fixture, '@/other' has codes of vq-else");
    expect_refusal(
        &(struct vlm_corpus_options){ .folder = { a }, .n = 1, .image_tokenizer = "vq-else" },
        VLM_EUSAGE, "'@/a' has no codes of 'vq-else', but codes of pca-fixture");
    expect_refusal(
        &(struct vlm_corpus_options){ .folder = { plain }, .n = 1, .image_tokenizer = "vq-else" },
        VLM_EUSAGE, "'@/plain' has no codes of 'vq-else', nor of any other tokenizer");
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { plain, a }, .n = 2 });
    assert_string_equal(vlm_corpus_tokenizer(corpus)->id, "pca-fixture");
    assert_false(vlm_corpus_source(corpus, 0)->coded);
    assert_int_equal(vlm_corpus_source(corpus, 0)->images, 2);
    assert_true(vlm_corpus_source(corpus, 1)->coded);
    vlm_corpus_close(corpus);
    corpus = open_corpus(&(struct vlm_corpus_options){ .folder = { plain }, .n = 1 });
    assert_null(vlm_corpus_tokenizer(corpus));
    vlm_corpus_close(corpus);
    free(other);
    free(plain);
}

static void damaged_parts_are_refused(void **state)
{
    (void)state;
    char *flipped = test_path("flipped"), *path = test_path("flipped/part-00001.lmdb");
    struct stat size;
    write_corpus(flipped, &(struct corpus_set){ .name = "flipped", .parts = 2, .documents = 5 });
    damage_file(flipped, "part-00001.lmdb", "http://flipped.org/7");
    assert_int_equal(stat(path, &size), 0);
    char sentence[300];
    snprintf(sentence, sizeof(sentence),
             "'@/flipped/part-00001.lmdb' is damaged: bytes 0 to %lld differ from what was written",
             (long long)size.st_size - 1);
    const struct vlm_corpus_options options = { .folder = { flipped }, .n = 1 };
    expect_refusal(&options, VLM_EDIFFER, sentence);

    struct vlm_corpus_options trusting = options;
    trusting.no_verify = true;
    struct vlm_corpus *corpus = open_corpus(&trusting);
    struct vlm_corpus_reader *reader = open_reader(corpus);
    enum vlm_left_out why;
    uint8_t id[16];
    for (uint64_t i = 0; i < 10; i++) {
        const bool read =
            read_id(reader, (struct vlm_pick){ .number = i }, VLM_SPLIT_TRAIN, id, &why);
        assert_int_equal(read, i != 7);
        assert_int_equal(why, i == 7 ? VLM_LEFT_OUT_DAMAGED : VLM_LEFT_OUT_NOT);
    }
    vlm_corpus_reader_free(reader);
    vlm_corpus_close(corpus);

    assert_int_equal(truncate(path, size.st_size - 4096), 0);
    snprintf(sentence, sizeof(sentence),
             "'@/flipped/part-00001.lmdb' has %lld bytes, the manifest says %lld",
             (long long)size.st_size - 4096, (long long)size.st_size);
    expect_refusal(&options, VLM_EDIFFER, sentence);
    expect_refusal(&trusting, VLM_EDIFFER, sentence);
    assert_int_equal(unlink(path), 0);
    expect_refusal(&options, VLM_EFAIL,
                   "cannot read '@/flipped/part-00001.lmdb': No such file or directory");
    free(flipped);
    free(path);
}

/* Parts ------------------------------------------------------------------------------------------------ */

/* More parts than a reader maps, and than a corpus holds open: names of one file. */
static void many_parts_are_read(void **state)
{
    (void)state;
    enum { PARTS = VLM_PARTS_HELD + 20 };
    char *many = test_path("many"), *first = test_path("many/part-00000.lmdb");
    write_corpus(many, &(struct corpus_set){ .name = "many", .parts = 1, .documents = 3 });
    struct vlm_part_info *parts = calloc(PARTS, sizeof(*parts)), measured = { .size = 0 };
    struct vlm_err err = { 0 };
    assert_non_null(parts);
    assert_int_equal(vlm_part_measure(&measured, first, &err), VLM_OK);
    for (size_t i = 0; i < PARTS; i++) {
        parts[i] = measured;
        parts[i].documents = 3;
        vlm_part_name(parts[i].name, i, 1);
        char *path = vlm_path_join(many, parts[i].name);
        assert_true(!i || link(first, path) == 0);
        free(path);
    }
    const struct vlm_set_tokenizers no_codes = { .n = 0 };
    write_corpus_manifest(many, parts, PARTS, &no_codes, "{}");
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { a, many }, .n = 2 });
    struct vlm_corpus_reader *reader = open_reader(corpus);
    uint8_t ids[3][16], id[16];
    enum vlm_left_out why;
    for (uint64_t turn = 0; turn < 2; turn++)
        for (uint64_t i = 0; i < 3 * PARTS; i++) {
            const struct vlm_pick pick = { .source = 1, .number = i };
            assert_true(read_id(reader, pick, VLM_SPLIT_ALL, i < 3 && !turn ? ids[i] : id, &why));
            if (i >= 3)
                assert_memory_equal(id, ids[i % 3], 16);
        }
    vlm_corpus_reader_free(reader);
    vlm_corpus_close(corpus);
    free(measured.blocks);
    free(parts);
    free(many);
    free(first);
}

/* A set that is sealed anew while it is read: its old parts are gone, but not for those who had them. */
static void parts_that_are_deleted_are_still_read(void **state)
{
    (void)state;
    char *gone = test_path("gone");
    struct vlm_err err;
    enum vlm_left_out why;
    uint8_t id[16];
    write_corpus(gone, &(struct corpus_set){ .name = "gone", .parts = 2, .documents = 3 });
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { gone }, .n = 1 });
    assert_int_equal(vlm_folder_delete(gone, &err), VLM_OK);
    struct vlm_corpus_reader *reader = open_reader(corpus);
    for (uint64_t i = 0; i < 6; i++)
        assert_true(read_id(reader, (struct vlm_pick){ .number = i }, VLM_SPLIT_ALL, id, &why));
    vlm_corpus_reader_free(reader);
    vlm_corpus_close(corpus);
    free(gone);
}

/* Tombstones ------------------------------------------------------------------------------------------ */

/* The document of a.org under a number; NULL: it is deleted. */
static struct vlm_document *look(struct vlm_corpus_reader *reader, uint64_t number,
                                 struct vlm_arena *arena)
{
    struct vlm_document *document;
    struct vlm_err err = { 0 };
    enum vlm_left_out why;
    vlm_arena_reset(arena);
    int rc = vlm_corpus_document(reader, (struct vlm_pick){ .number = number }, VLM_SPLIT_ALL,
                                 &document, &why, arena, &err);
    assert_true(rc == VLM_OK || (rc == VLM_SKIP && why == VLM_LEFT_OUT_DELETED));
    return rc == VLM_OK ? document : NULL;
}

/* A set with a tombstone of each kind; of the URL, the second half comes later. */
static void tombstones_are_honoured(void **state)
{
    (void)state;
    char *grave = test_path("grave"), line[200], hex[2 * VLM_SHA256_SIZE + 1];
    const struct corpus_set set = { .name = "grave", .parts = 1, .documents = 10, .coded = true };
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    uint64_t new_ones;
    uint8_t id[16], sha[VLM_SHA256_SIZE];
    vlm_arena_init(&arena, VLM_GIB);
    write_corpus(grave, &set);
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { grave }, .n = 1 });
    struct vlm_corpus_reader *reader = open_reader(corpus);
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);
    assert_int_equal(new_ones, 0);

    vlm_document_id(id, look(reader, 4, &arena));
    snprintf(line, sizeof(line), "{\"id\": \"%s\", \"reason\": \"asked for\"}\n",
             vlm_hex(hex, id, 16));
    append_file(grave, "deleted.jsonl", line);
    assert_non_null(look(reader, 4, &arena));
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);
    assert_int_equal(new_ones, 1);
    assert_int_equal(vlm_corpus_generation(corpus), 1);
    assert_null(look(reader, 4, &arena));

    append_file(grave, "deleted.jsonl", "\n{\"url\": \"HTTP://grave.org:80/./5#p");
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);
    assert_int_equal(new_ones, 0);
    assert_non_null(look(reader, 5, &arena));
    append_file(grave, "deleted.jsonl", "art\"}");
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);
    assert_int_equal(new_ones, 1);
    assert_null(look(reader, 5, &arena));
    assert_non_null(look(reader, 6, &arena));

    corpus_image_sha(sha, &set, 6);
    assert_non_null(look(reader, 6, &arena)->images[0].codes);
    snprintf(line, sizeof(line), "\n{\"sha256\": \"%s\"}\n", vlm_hex(hex, sha, VLM_SHA256_SIZE));
    append_file(grave, "deleted.jsonl", line);
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);
    assert_int_equal(new_ones, 1);
    const struct vlm_document *document = look(reader, 6, &arena);
    assert_null(document->images[0].codes);
    assert_true(document->images[0].status != 0);
    assert_non_null(look(reader, 9, &arena)->images[0].codes);
    vlm_corpus_reader_free(reader);
    vlm_corpus_close(corpus);
    vlm_arena_release(&arena);
    free(grave);
}

static void lines_that_are_no_tombstones_are_told_once(void **state)
{
    (void)state;
    char *odd = test_path("odd"), start[200];
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    uint64_t new_ones;
    vlm_arena_init(&arena, VLM_GIB);
    write_corpus(odd, &(struct corpus_set){ .name = "odd", .parts = 1, .documents = 6 });
    append_file(odd, "deleted.jsonl",
                "{\"url\": \"http://odd.org/2\"}\n \n"
                "{\"url\": \"http://odd.org/3\", \"id\": \"12\"}\nnonsense\n"
                "{\"other\": 1}\n{\"sha256\": 3}\n[]\n{\"url\": \"http://odd.org/4");
    struct vlm_corpus *corpus =
        open_corpus(&(struct vlm_corpus_options){ .folder = { odd }, .n = 1 });
    struct vlm_corpus_reader *reader = open_reader(corpus);
    assert_null(look(reader, 2, &arena));
    assert_non_null(look(reader, 3, &arena)); /* a line counts as a whole or not at all */
    assert_non_null(look(reader, 4, &arena));
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_SKIP);
    snprintf(start, sizeof(start),
             "'%s/deleted.jsonl', line 3: 'id' is not 32 hexadecimal digits; it deletes nothing, "
             "nor do 4 other such lines",
             odd);
    assert_string_equal(err.msg, start);
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);

    /* What was deleted stays deleted when the file goes. */
    snprintf(start, sizeof(start), "%s/deleted.jsonl", odd);
    assert_int_equal(unlink(start), 0);
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);
    assert_null(look(reader, 2, &arena));
    append_file(odd, "deleted.jsonl", "");
    assert_int_equal(vlm_corpus_tombstones(corpus, &new_ones, &err), VLM_OK);
    assert_null(look(reader, 2, &arena));
    vlm_corpus_reader_free(reader);
    vlm_corpus_close(corpus);
    vlm_arena_release(&arena);
    free(odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_document_comes_once_an_epoch),
        cmocka_unit_test(mixes_keep_their_shares_at_any_time),
        cmocka_unit_test(validation_is_never_trained_on),
        cmocka_unit_test(sets_that_are_none_are_refused),
        cmocka_unit_test(tokenizers_must_agree),
        cmocka_unit_test(damaged_parts_are_refused),
        cmocka_unit_test(many_parts_are_read),
        cmocka_unit_test(parts_that_are_deleted_are_still_read),
        cmocka_unit_test(tombstones_are_honoured),
        cmocka_unit_test(lines_that_are_no_tombstones_are_told_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
