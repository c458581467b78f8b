/* test_encode.c - codes for a set that is sealed: what is added, what stays, and that the set is whole
 * whatever happens on the way. */
#include "base/vlm.h"

#include "base/file.h"
#include "shard/parts/encode.h"
#include "shard/parts/verify.h"
#include "tests/set_fixture.h"
#include "tests/folder_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char *model, *other, *wild, *out;

static int make_folder(void **state)
{
    if (make_test_folder(state))
        return -1;
    model = vlm_path_join(test_folder, "model");
    other = vlm_path_join(test_folder, "other");
    wild = vlm_path_join(test_folder, "wild");
    out = vlm_path_join(test_folder, "out");
    write_model(model, 0, 1);
    write_model(other, 1, 1);
    write_model(wild, 0, 3e38f);
    return 0;
}

static int remove_folder(void **state)
{
    free(model);
    free(other);
    free(wild);
    free(out);
    return remove_test_folder(state);
}

static const struct fixture_set three_parts = { .parts = 3, .images = 40 };

static void fresh_set(const struct fixture_set *set)
{
    struct vlm_err err;
    if (access(out, F_OK) == 0)
        assert_int_equal(vlm_folder_delete(out, &err), VLM_OK);
    write_set(out, set);
}

static int encode(const char *with, size_t threads, struct vlm_encode_result *result,
                  struct vlm_err *err)
{
    return vlm_set_encode(out, &(struct vlm_encode_options){ .model = with, .threads = threads },
                          NULL, NULL, result, err);
}

static void encode_well(const char *with, size_t threads, struct vlm_encode_result *result)
{
    struct vlm_err err = { 0 };
    int rc = encode(with, threads, result, &err);
    if (rc != VLM_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(rc, VLM_OK);
}

/* A text that names every file of the set with its SHA-256. */
static char *picture_of_set(void)
{
    struct dirent **entries;
    struct vlm_buffer text = { 0 };
    struct vlm_err err;
    int n = scandir(out, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        struct vlm_buffer bytes = { 0 };
        uint8_t sha[VLM_SHA256_SIZE];
        char hex[2 * VLM_SHA256_SIZE + 1];
        char *path = vlm_path_join(out, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            assert_int_equal(vlm_file_read(&bytes, path, VLM_GIB, &err), VLM_OK);
            vlm_sha256(sha, bytes.data, bytes.size);
            vlm_buffer_printf(&text, "%s %s\n", entries[i]->d_name, vlm_hex(hex, sha, sizeof(sha)));
        }
        vlm_buffer_release(&bytes);
        free(path);
        free(entries[i]);
    }
    free(entries);
    vlm_buffer_byte(&text, 0);
    return (char *)text.data;
}

/* Reads every document, image and code of the set; returns the number of images with codes of id. */
static size_t read_all(const char *id)
{
    struct vlm_set *set;
    struct vlm_document *document;
    struct vlm_arena arena;
    struct vlm_err err = { 0 };
    size_t coded = 0, documents = 0;
    vlm_arena_init(&arena, VLM_GIB);
    assert_int_equal(vlm_set_open(&set, out, &err), VLM_OK);
    while (vlm_set_next(set, &document, &arena, &err) == VLM_OK) {
        documents++;
        for (size_t i = 0; i < document->n_images; i++) {
            struct vlm_stored_image image;
            uint16_t codes[VLM_CODES];
            assert_int_equal(vlm_set_image(set, document->images[i].sha256, &image, &err), VLM_OK);
            int rc = vlm_set_codes(set, id, document->images[i].sha256, codes, &err);
            coded += rc == VLM_OK;
        }
    }
    assert_int_equal(documents, three_parts.parts);
    vlm_set_close(set);
    vlm_arena_release(&arena);
    return coded;
}

/* What verify finds in a part; the process that looks confines itself, so it is another one. */
static void assert_findings(const char *name, const char *expected)
{
    char text[4096] = "", *path = vlm_path_join(out, name);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        int status = vlm_verify_part_main(path, "1", "40");
        fflush(stdout);
        _exit(status);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    char *counts = strstr(text, "= ");
    assert_non_null(counts);
    *counts = 0;
    assert_string_equal(text, expected);
    free(path);
}

static void a_part_listed_twice_is_refused(void **state)
{
    (void)state;
    struct vlm_manifest manifest, again;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    fresh_set(&three_parts);
    assert_int_equal(vlm_manifest_read(&manifest, out, &err), VLM_OK);
    memcpy(manifest.parts[2].name, manifest.parts[0].name, sizeof(manifest.parts[2].name));
    assert_int_equal(
        vlm_manifest_renew(&text, &manifest, manifest.parts, &manifest.tokenizers, &err), VLM_OK);
    char *path = vlm_path_join(out, "manifest.json");
    assert_int_equal(vlm_file_write(path, text.data, text.size, &err), VLM_OK);
    assert_int_equal(vlm_manifest_read(&again, out, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "manifest.json lists 'part-00000.lmdb' twice"));
    vlm_manifest_release(&again);
    vlm_manifest_release(&manifest);
    vlm_buffer_release(&text);
    free(path);
}

static void every_image_gets_the_codes_of_its_square(void **state)
{
    (void)state;
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    fresh_set(&three_parts);
    encode_well(model, 2, &result);
    assert_int_equal(result.codes, 120);
    assert_int_equal(result.not_finite, 0);
    assert_false(result.had_codes);

    struct vlm_tokenizer *tokenizer;
    struct vlm_coder *coder;
    struct vlm_set *set;
    struct vlm_document *document;
    struct vlm_arena arena;
    size_t n = 0;
    vlm_arena_init(&arena, VLM_GIB);
    assert_int_equal(vlm_tokenizer_open(&tokenizer, model, VLM_PRECISION_EXACT, &err), VLM_OK);
    assert_int_equal(vlm_coder_new(&coder, tokenizer, 1, &err), VLM_OK);
    assert_int_equal(vlm_set_open(&set, out, &err), VLM_OK);
    const struct vlm_manifest *manifest = vlm_set_manifest(set);
    assert_int_equal(manifest->generation, 2);
    assert_int_equal(manifest->tokenizers.n, 1);
    assert_string_equal(manifest->tokenizers.list[0].id, result.id);
    assert_int_equal(manifest->tokenizers.list[0].codebook_size, FIXTURE_CODES);
    assert_int_equal(manifest->tokenizers.list[0].codes, 120);
    assert_string_equal(manifest->parts[2].name, "part-00002.g2.lmdb");
    while (vlm_set_next(set, &document, &arena, &err) == VLM_OK) {
        assert_int_equal(vlm_set_add_codes(set, NULL, document, &arena, &err), VLM_OK);
        for (size_t i = 0; i < document->n_images; i++, n++) {
            static uint8_t square[VLM_SQUARE_BYTES];
            uint16_t expected[VLM_CODES], codes[VLM_CODES];
            struct vlm_stored_image image;
            const uint8_t *sha = document->images[i].sha256;
            assert_int_equal(vlm_set_image(set, sha, &image, &err), VLM_OK);
            assert_int_equal(
                vlm_stored_square_decode(square, image.square, image.square_size, &arena, &err),
                VLM_OK);
            assert_int_equal(vlm_coder_encode(coder, expected, square, 1, &err), VLM_OK);
            assert_int_equal(vlm_set_codes(set, result.id, sha, codes, &err), VLM_OK);
            assert_memory_equal(codes, expected, sizeof(codes));
            assert_memory_equal(document->images[i].codes, expected, sizeof(codes));
        }
    }
    assert_int_equal(n, 120);
    assert_int_equal(vlm_set_codes(set, "pca-000000000000", document->images[0].sha256,
                                   (uint16_t[VLM_CODES]){ 0 }, &err),
                     VLM_EUSAGE);
    assert_non_null(strstr(err.msg, result.id)); /* says which it has */
    vlm_set_close(set);
    vlm_coder_free(coder);
    vlm_tokenizer_close(tokenizer);
    vlm_arena_release(&arena);
    assert_findings("part-00000.g2.lmdb", "");
}

/* Documents, images and URLs are the same records as before. */
static void the_rest_stays(void **state)
{
    (void)state;
    static const char *const databases[] = { "docs", "images", "urls" };
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    struct vlm_part_reader *was, *is;
    fresh_set(&three_parts);
    char *old = vlm_path_join(out, "part-00001.lmdb"),
         *kept = vlm_path_join(test_folder, "kept.lmdb");
    char *new = vlm_path_join(out, "part-00001.g2.lmdb");
    unlink(kept);
    assert_int_equal(link(old, kept), 0);
    encode_well(model, 1, &result);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(vlm_part_open(&was, kept, &err), VLM_OK);
    assert_int_equal(vlm_part_open(&is, new, &err), VLM_OK);
    for (size_t i = 0; i < VLM_COUNTOF(databases); i++) {
        size_t n = 0;
        for (int rc = VLM_OK; rc == VLM_OK; n++) {
            struct vlm_bytes k1, k2, v1, v2;
            rc = vlm_part_next(was, databases[i], &k1, &v1, &err);
            assert_int_equal(vlm_part_next(is, databases[i], &k2, &v2, &err), rc);
            if (rc != VLM_OK)
                break;
            assert_int_equal(vlm_bytes_left(&k1), vlm_bytes_left(&k2));
            assert_int_equal(vlm_bytes_left(&v1), vlm_bytes_left(&v2));
            assert_memory_equal(k1.at, k2.at, vlm_bytes_left(&k1));
            if (vlm_bytes_left(&v1))
                assert_memory_equal(v1.at, v2.at, vlm_bytes_left(&v1));
        }
        assert_int_equal(n, i == 1 ? 40 : 1);
    }
    vlm_part_close(was);
    vlm_part_close(is);
    free(old);
    free(new);
    free(kept);
}

static void threads_change_no_byte(void **state)
{
    (void)state;
    struct vlm_encode_result result;
    char *expected = NULL;
    for (size_t threads = 1; threads <= 3; threads++) {
        fresh_set(&three_parts);
        encode_well(model, threads, &result);
        encode_well(other, 4 - threads, &result);
        char *found = picture_of_set();
        if (expected)
            assert_string_equal(found, expected);
        else
            expected = strdup(found);
        free(found);
    }
    free(expected);
}

static void tokenizers_add_up(void **state)
{
    (void)state;
    struct vlm_encode_result first, second, again;
    fresh_set(&three_parts);
    encode_well(model, 2, &first);
    encode_well(other, 2, &second);
    assert_string_not_equal(first.id, second.id);
    assert_int_equal(read_all(first.id), 120);
    assert_int_equal(read_all(second.id), 120);
    assert_int_equal(read_all(NULL), 120);
    assert_findings("part-00002.g3.lmdb", "");
    char *before = picture_of_set();
    encode_well(model, 2, &again);
    assert_true(again.had_codes);
    assert_string_equal(again.id, first.id);
    char *after = picture_of_set();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* Only the grey square of each part has codes. */
static void what_is_not_finite_costs_its_codes_only(void **state)
{
    (void)state;
    struct vlm_encode_result result;
    struct vlm_set *set;
    struct vlm_err err = { 0 };
    fresh_set(&three_parts);
    encode_well(wild, 2, &result);
    assert_int_equal(result.codes, 3);
    assert_int_equal(result.not_finite, 117);
    assert_int_equal(read_all(NULL), 3);
    assert_int_equal(vlm_set_open(&set, out, &err), VLM_OK);
    assert_int_equal(vlm_set_manifest(set)->tokenizers.list[0].not_finite, 117);
    vlm_set_close(set);
    assert_findings("part-00000.g2.lmdb", "");
    encode_well(model, 2, &result); /* holes do not matter to the next */
    assert_int_equal(result.codes, 120);
    assert_findings("part-00000.g3.lmdb", "");
}

static void sets_without_squares_are_refused(void **state)
{
    (void)state;
    const struct fixture_set bare = { .parts = 1, .images = 2, .no_squares = true };
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    fresh_set(&bare);
    char *before = picture_of_set();
    assert_int_equal(encode(model, 1, &result, &err), VLM_EFAIL);
    assert_non_null(strstr(err.msg, "--keep none"));
    char *after = picture_of_set();
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal(encode(model, 1, &result, &err), VLM_EFAIL);
    assert_int_equal(vlm_set_encode(test_folder, &(struct vlm_encode_options){ .model = model },
                                    NULL, NULL, &result, &err),
                     VLM_EFAIL);
    assert_non_null(strstr(err.msg, "is no finished shard set"));
}

static void damage_is_not_sealed_in(void **state)
{
    (void)state;
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    fresh_set(&three_parts);
    char *path = vlm_path_join(out, "part-00001.lmdb");
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 100000, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, 100000, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    assert_int_equal(encode(model, 1, &result, &err), VLM_EDIFFER);
    assert_non_null(strstr(err.msg, "part-00001.lmdb"));
    free(path);
}

/* Dies, or asks to be stopped, when so many images are done. */
struct stop {
    uint64_t at;
    bool die;
};

static void stop_at(uint64_t done, uint64_t all, void *context)
{
    const struct stop *stop = context;
    (void)all;
    if (done < stop->at)
        return;
    if (stop->die)
        _exit(9);
    raise(SIGTERM);
}

static void a_killed_run_is_repeated(void **state)
{
    (void)state;
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    fresh_set(&three_parts);
    encode_well(model, 1, &result);
    char *expected = picture_of_set();
    for (uint64_t at = 16; at <= 120; at += 34) {
        fresh_set(&three_parts);
        struct stop stop = { .at = at, .die = true };
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(vlm_set_encode(out, &(struct vlm_encode_options){ .model = model, .threads = 1 },
                                 stop_at, &stop, &result, &err) != VLM_OK);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
        assert_int_equal(read_all(NULL), 0); /* the old generation */
        encode_well(model, 1, &result);
        assert_int_equal(result.parts_resumed, (at - 1) / 40);
        char *found = picture_of_set();
        assert_string_equal(found, expected);
        free(found);
    }
    free(expected);
}

/* Killed by the clock, anywhere: before, in and after the change of the manifest. */
static void killed_anywhere_the_set_is_whole(void **state)
{
    (void)state;
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    fresh_set(&three_parts);
    encode_well(model, 1, &result);
    char *expected = picture_of_set();
    for (unsigned turn = 0; turn < 12; turn++) {
        fresh_set(&three_parts);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(encode(model, 1, &result, &err) != VLM_OK);
        usleep(turn * 7 % 12 * 10000);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        size_t coded = read_all(NULL);
        assert_true(coded == 0 || coded == 120);
        encode_well(model, 1, &result);
        assert_int_equal(result.had_codes, coded == 120);
        char *found = picture_of_set();
        assert_string_equal(found, expected);
        free(found);
    }
    free(expected);
}

/* A kill between the new manifest and the end leaves old parts: the next run deletes them. */
static void old_parts_go_at_the_latest_with_the_next_run(void **state)
{
    (void)state;
    static const char *const names[] = { "part-00000.lmdb", "part-00007.lmdb", "part-00001.g2.lmdb",
                                         "part-00000.g4.lmdb.tmp" };
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    fresh_set(&three_parts);
    encode_well(model, 2, &result);
    encode_well(other, 2, &result);
    char *expected = picture_of_set();
    for (size_t i = 0; i < VLM_COUNTOF(names); i++) {
        char *path = vlm_path_join(out, names[i]);
        assert_int_equal(vlm_file_write(path, "x", 1, &err), VLM_OK);
        free(path);
    }
    encode_well(model, 2, &result);
    char *found = picture_of_set();
    assert_string_equal(found, expected);
    free(found);
    free(expected);
}

static void asked_to_stop_it_can_go_on(void **state)
{
    (void)state;
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    struct stop stop = { .at = 60 };
    fresh_set(&three_parts);
    assert_int_equal(vlm_set_encode(out,
                                    &(struct vlm_encode_options){ .model = model, .threads = 1 },
                                    stop_at, &stop, &result, &err),
                     VLM_ESTOPPED);
    assert_int_equal(result.signal, SIGTERM);
    assert_int_equal(read_all(NULL), 0);
    encode_well(model, 2, &result);
    assert_int_equal(result.parts_resumed, 1);
    assert_int_equal(read_all(result.id), 120);
}

/* An interrupted run of another tokenizer is of no use. */
static void only_parts_of_the_same_tokenizer_are_taken_over(void **state)
{
    (void)state;
    struct vlm_encode_result result;
    struct vlm_err err = { 0 };
    struct stop stop = { .at = 60 };
    fresh_set(&three_parts);
    assert_int_equal(vlm_set_encode(out,
                                    &(struct vlm_encode_options){ .model = other, .threads = 1 },
                                    stop_at, &stop, &result, &err),
                     VLM_ESTOPPED);
    encode_well(model, 2, &result);
    assert_int_equal(result.parts_resumed, 0);
    assert_int_equal(read_all(result.id), 120);
    assert_findings("part-00000.g2.lmdb", "");
}

/* A part whose meta promises more than its databases hold, and a code beyond the codebook. */
static void verify_looks_at_codes(void **state)
{
    (void)state;
    static const char plan[] = "{}";
    struct vlm_set_tokenizers tokenizers = { .n = 1 };
    const struct fixture_set set = { .parts = 1, .images = 1 };
    struct vlm_set_tokenizer *it = &tokenizers.list[0];
    struct vlm_part *part;
    struct vlm_err err = { 0 };
    uint8_t image[VLM_SHA256_SIZE], stranger[VLM_SHA256_SIZE] = { 255 };
    uint16_t codes[VLM_CODES] = { [7] = 27 };
    char hex[2 * VLM_SHA256_SIZE + 1], expected[600];
    snprintf(it->id, sizeof(it->id), "pca-0123456789ab");
    it->codebook_size = 27;
    it->codes = 1;
    fresh_set(&three_parts);
    char *path = vlm_path_join(out, "part-x.lmdb");
    assert_int_equal(vlm_part_create(&part, path, VLM_MIB, &tokenizers, &err), VLM_OK);
    add_fixture_document(part, 0, 1);
    add_fixture_images(part, 0, &set);
    fixture_sha(image, 0, 0);
    assert_int_equal(vlm_part_add_codes(part, 0, stranger, codes, &err), VLM_OK);
    struct vlm_key url = vlm_key_of("http://x/", 9);
    assert_int_equal(vlm_part_add_url(part, &url, 0, &err), VLM_OK);
    assert_int_equal(vlm_part_add_facts(part, 1, 1, plan, 2, &tokenizers, NULL, &err), VLM_OK);
    assert_int_equal(vlm_part_finish(part, &err), VLM_OK);
    int n = snprintf(expected, sizeof(expected),
                     "images: 1 images, the manifest says 40\n"
                     "codes/pca-0123456789ab[ff%062d]: the part has no such image\n"
                     "codes/pca-0123456789ab[ff%062d]: code 7 is 27, the codebook has 27\n"
                     "codes/pca-0123456789ab: 1 images have none, the part says 0\n",
                     0, 0);
    (void)n;
    char whole[800];
    snprintf(whole, sizeof(whole), "codes/pca-0123456789ab[%s]: the image has no codes\n%s",
             vlm_hex(hex, image, sizeof(image)), expected);
    assert_findings("part-x.lmdb", whole);
    free(path);
}

static void lists_of_tokenizers_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool right;
    } cases[] = {
        { "[]", true },
        { "[{\"id\": \"a-0\", \"codebook_size\": 5, \"codes\": 7, \"skipped\": {}}]", true },
        { "{}", false },
        { "null", false },
        { "[{\"id\": \"a/0\", \"codebook_size\": 5}]", false },
        { "[{\"id\": \"\", \"codebook_size\": 5}]", false },
        { "[{\"id\": \"a-0123456789012345678901234567890\", \"codebook_size\": 5}]", false },
        { "[{\"id\": \"a-0\", \"codebook_size\": 0}]", false },
        { "[{\"id\": \"a-0\", \"codebook_size\": 65536}]", false },
        { "[{\"id\": \"a-0\", \"codebook_size\": 5}, {\"id\": \"a-0\", \"codebook_size\": 5}]",
          false },
        { "[1]", false },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_set_tokenizers tokenizers;
        struct vlm_err err = { 0 };
        json_object *array = json_tokener_parse(cases[i].json);
        int rc = vlm_tokenizers_read(&tokenizers, array, &err);
        if ((rc == VLM_OK) != cases[i].right)
            print_error("%s: %d\n", cases[i].json, rc);
        assert_int_equal(rc == VLM_OK, cases[i].right);
        json_object_put(array);
    }
}

static void names_of_parts(void **state)
{
    (void)state;
    char name[VLM_PART_NAME_SIZE];
    uint64_t generation;
    vlm_part_name(name, 7, 1);
    assert_string_equal(name, "part-00007.lmdb");
    assert_true(vlm_part_name_read(name, &generation));
    assert_int_equal(generation, 1);
    vlm_part_name(name, 123456, 12);
    assert_string_equal(name, "part-123456.g12.lmdb");
    assert_true(vlm_part_name_read(name, &generation));
    assert_int_equal(generation, 12);
    static const char *const strangers[] = { "part-7.lmdb",        "part-00007.lmdb.tmp",
                                             "part-00007.g1.lmdb", "part-00007.g02.lmdb",
                                             "part-x.lmdb",        "manifest.json" };
    for (size_t i = 0; i < VLM_COUNTOF(strangers); i++)
        assert_false(vlm_part_name_read(strangers[i], &generation));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_listed_twice_is_refused),
        cmocka_unit_test(every_image_gets_the_codes_of_its_square),
        cmocka_unit_test(the_rest_stays),
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(tokenizers_add_up),
        cmocka_unit_test(what_is_not_finite_costs_its_codes_only),
        cmocka_unit_test(sets_without_squares_are_refused),
        cmocka_unit_test(damage_is_not_sealed_in),
        cmocka_unit_test(a_killed_run_is_repeated),
        cmocka_unit_test(killed_anywhere_the_set_is_whole),
        cmocka_unit_test(old_parts_go_at_the_latest_with_the_next_run),
        cmocka_unit_test(asked_to_stop_it_can_go_on),
        cmocka_unit_test(only_parts_of_the_same_tokenizer_are_taken_over),
        cmocka_unit_test(verify_looks_at_codes),
        cmocka_unit_test(lists_of_tokenizers_are_checked),
        cmocka_unit_test(names_of_parts),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
