/* test_weights.c - files of weights: what torch.save() and safetensors write is read to the bit;
 * other kinds, archives that are damaged and values that are none give a sentence. Pickles:
 * test_pickle.c. Vectors: tests/reference/torch_files.py. */
#include "base/vlm.h"

#include "tests/weights_fixture.h"

#include "base/file.h"
#include "base/limits.h"
#include "nn/safetensors.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

#define VECTORS "tests/vectors/torch/"

/* PyTorch's files ----------------------------------------------------------------------------- */

/* The fields of a line of expected.tsv. */
struct expected {
    char file[64], name[64], shape[64], bits[4096];
};

static void check_bits(const struct expected *want, const float *got, size_t count)
{
    const char *at = want->bits;
    for (size_t i = 0; i < count; i++) {
        char *end;
        uint32_t bits = (uint32_t)strtoul(at, &end, 16), is;
        memcpy(&is, &got[i], sizeof(is));
        if (end == at || bits != is)
            fail_msg("%s, '%s': value %zu is %08x instead of %08x", want->file, want->name, i, is,
                     bits);
        at = end;
    }
    assert_int_equal(*at, 0);
}

static void check_tensor(const struct vlm_weights *weights, const struct expected *want)
{
    struct vlm_err err = { 0 };
    const struct vlm_weight *weight = vlm_weights_find(weights, want->name);
    if (!weight)
        fail_msg("%s has no tensor '%s'", want->file, want->name);
    char shape[64] = "";
    size_t used = 0;
    for (unsigned i = 0; i < weight->rank; i++)
        used += (size_t)snprintf(shape + used, sizeof(shape) - used, "%s%zu", i ? "x" : "",
                                 weight->shape[i]);
    assert_string_equal(shape, want->shape);
    float *values = malloc((weight->count + 1) * sizeof(*values));
    assert_non_null(values);
    int rc = vlm_weights_read(weights, weight, values, &err);
    if (!strcmp(want->bits, "-")) {
        assert_int_equal(rc, VLM_EFORMAT);
        assert_non_null(strstr(err.msg, "not of floating-point numbers"));
    } else {
        if (rc != VLM_OK)
            fail_msg("%s", err.msg);
        check_bits(want, values, weight->count);
    }
    free(values);
}

static bool read_expected(struct expected *want, FILE *from)
{
    char line[8192], *field[4], *at = line;
    if (!fgets(line, sizeof(line), from))
        return false;
    line[strcspn(line, "\n")] = 0;
    for (size_t i = 0; i < 4; i++) {
        field[i] = strsep(&at, "\t");
        assert_non_null(field[i]);
    }
    snprintf(want->file, sizeof(want->file), "%s", field[0]);
    snprintf(want->name, sizeof(want->name), "%s", field[1]);
    snprintf(want->shape, sizeof(want->shape), "%s", field[2]);
    snprintf(want->bits, sizeof(want->bits), "%s", field[3]);
    return true;
}

/* Every tensor of every file, and no other. */
static void files_of_pytorch_are_read_to_the_bit(void **state)
{
    (void)state;
    struct vlm_weights *weights = NULL;
    struct vlm_err err = { 0 };
    struct expected want;
    char open[64] = "", path[128];
    size_t left = 0, files = 0;
    FILE *from = fopen(VECTORS "expected.tsv", "r");
    assert_non_null(from);
    while (read_expected(&want, from)) {
        if (strcmp(open, want.file)) {
            assert_int_equal(left, 0);
            vlm_weights_close(weights);
            snprintf(path, sizeof(path), VECTORS "%s", want.file);
            if (vlm_weights_open(&weights, path, &err) != VLM_OK)
                fail_msg("%s", err.msg);
            memcpy(open, want.file, sizeof(open));
            left = vlm_weights_count(weights);
            files++;
        }
        check_tensor(weights, &want);
        left--;
    }
    assert_int_equal(left, 0);
    assert_int_equal(files, 10);
    assert_null(vlm_weights_find(weights, "absent"));
    vlm_weights_close(weights);
    fclose(from);
}

static void other_kinds_of_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *path, *sentence;
    } files[] = {
        { VECTORS "legacy.pt", "a torch file from before PyTorch 1.6" },
        { VECTORS "object.pt", "no dictionary but one object; save its state_dict()" },
        { VECTORS "script.pt", "a TorchScript program" },
        { VECTORS "absent.pt", "cannot open" },
        { "tests/vectors", "not a regular file" },
    };
    static const struct {
        const char *bytes;
        size_t size;
        const char *sentence;
    } contents[] = {
        { TEXT(PICKLE(DICT(KEY1("a") MATRIX))), "a bare Python pickle" },
        { TEXT("\x80\5\x95\0\0\0\0\0\0\0\0}."), "a bare Python pickle" },
        { TEXT("\x81\xa6params\x81\xa1w\xc7\0\1"), "a msgpack file" },
        { TEXT("\xde\0\1\xa6params\x81\xa1w"), "a msgpack file" },
        { TEXT("\xdf\0\0\0\1\xd9\6params\x81"), "a msgpack file" },
        { TEXT("PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "without its end" },
        { TEXT("PK\3\4"), "4 bytes are too few for a zip archive" },
        { TEXT("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "without data.pkl" },
        { TEXT(""), "0 bytes are too few" },
        { TEXT("GGUF\3\0\0\0\0\0\0\0\0\0\0\0"), "a GGUF file" },
        { TEXT("version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer" },
    };
    struct vlm_weights *weights;
    struct vlm_err err;
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        err = (struct vlm_err){ 0 };
        assert_true(vlm_weights_open(&weights, files[i].path, &err) < 0);
        assert_null(weights);
        if (!strstr(err.msg, files[i].sentence) || !strstr(err.msg, files[i].path))
            fail_msg("%s: %s", files[i].path, err.msg);
    }
    for (size_t i = 0; i < VLM_COUNTOF(contents); i++) {
        assert_int_equal(open_bytes(&weights, contents[i].bytes, contents[i].size, &err),
                         VLM_EFORMAT);
        if (!strstr(err.msg, contents[i].sentence))
            fail_msg("%s: %s", contents[i].sentence, err.msg);
    }
    assert_int_equal(vlm_weights_open(&weights, VECTORS "absent.pt", NULL), VLM_EFAIL);
    vlm_weights_close(NULL);
}

/* Safetensors --------------------------------------------------------------------------------- */

static void check_two(const char *path)
{
    struct vlm_weights *weights;
    struct vlm_err err = { 0 };
    if (vlm_weights_open(&weights, path, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(vlm_weights_count(weights), 2);
    const struct vlm_weight *b = vlm_weights_find(weights, "b");
    const struct vlm_weight *a = vlm_weights_find(weights, "a");
    assert_non_null(a);
    assert_non_null(b);
    assert_true(vlm_weights_at(weights, 0) == a || vlm_weights_at(weights, 1) == a);
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[0], 1);
    assert_int_equal(b->shape[1], 2);
    float values[2];
    assert_int_equal(vlm_weights_read(weights, b, values, &err), VLM_OK);
    assert_true(values[0] == 3 && values[1] == 4);
    assert_int_equal(vlm_weights_read(weights, a, values, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "tensor 'a': value 1 is NaN"));
    vlm_weights_close(weights);
}

static void safetensors_and_their_index_are_read(void **state)
{
    (void)state;
    char *path = test_path("model.ckpt"), *index_path = test_path("m.index.json");
    const float a[2] = { 1, NAN }, b[2] = { 3, 4 };
    const struct vlm_safetensors_item items[] = {
        { .name = "b", .rank = 2, .shape = { 1, 2 }, .data = b },
        { .name = "a", .rank = 1, .shape = { 2 }, .data = a },
    };
    static const char index[] = "{\"weight_map\":{\"a\":\"1\",\"b\":\"0\"}}";
    /* The content decides, not the name. */
    struct vlm_safetensors_content content = { .items = items, .count = 2 };
    assert_int_equal(vlm_safetensors_write(path, &content, NULL), VLM_OK);
    check_two(path);
    for (size_t i = 0; i < 2; i++) {
        char *part = test_path(i ? "1" : "0");
        content = (struct vlm_safetensors_content){ .items = &items[i], .count = 1 };
        assert_int_equal(vlm_safetensors_write(part, &content, NULL), VLM_OK);
        free(part);
    }
    assert_int_equal(vlm_file_write(index_path, TEXT(index), NULL), VLM_OK);
    check_two(index_path);
    free(path);
    free(index_path);
}

/* A header of 129 bytes begins as msgpack does, one of 19280 as a zip archive. */
static void a_size_may_look_like_another_kind(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0x81, 0x280, 0x4b50 };
    for (size_t i = 0; i < VLM_COUNTOF(sizes); i++) {
        uint8_t *bytes = malloc(8 + sizes[i]);
        assert_non_null(bytes);
        memset(bytes, ' ', 8 + sizes[i]);
        for (unsigned k = 0; k < 8; k++)
            bytes[k] = (uint8_t)((uint64_t)sizes[i] >> 8 * k);
        memcpy(bytes + 8, "{}", 2);
        struct vlm_weights *weights;
        struct vlm_err err;
        if (open_bytes(&weights, bytes, 8 + sizes[i], &err) != VLM_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(vlm_weights_count(weights), 0);
        vlm_weights_close(weights);
        free(bytes);
    }
}

/* Values -------------------------------------------------------------------------------------- */

static void values_that_are_no_numbers_are_named(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *sentence;
    } bad[] = { { NAN, "value 3 is NaN" },
                { INFINITY, "value 3 is Inf" },
                { -INFINITY, "value 3 is -Inf" } };
    /* [3, 2], transposed: value 3 of the tensor is value 4 of the storage. */
    static const char pickle[] =
        PICKLE(DICT(KEY1("w") TENSOR(SIX, "K\0", SHAPE2("\3", "\2"), SHAPE2("\1", "\3")) KEY1("v")
                        TENSOR(SIX, "K\0", "K\4\x85", "K\1\x85")));
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++) {
        float six[6] = { 0, 1, 2, 3, bad[i].value, 5 }, to[6];
        struct zip_writer zip = { .members = 0 };
        zip_add(&zip, "x/data/0", six, sizeof(six));
        zip_add(&zip, "x/data.pkl", TEXT(pickle));
        zip_end(&zip);
        struct vlm_weights *weights;
        struct vlm_err err;
        assert_int_equal(open_bytes(&weights, zip.file.data, zip.file.size, &err), VLM_OK);
        assert_int_equal(vlm_weights_read(weights, vlm_weights_find(weights, "w"), to, &err),
                         VLM_EFORMAT);
        assert_non_null(strstr(err.msg, "tensor 'w'"));
        assert_non_null(strstr(err.msg, bad[i].sentence));
        assert_int_equal(vlm_weights_read(weights, vlm_weights_find(weights, "w"), to, NULL),
                         VLM_EFORMAT);
        /* What the storage holds beside the tensor is nobody's. */
        assert_int_equal(vlm_weights_read(weights, vlm_weights_find(weights, "v"), to, &err),
                         VLM_OK);
        assert_true(to[3] == 3);
        vlm_weights_close(weights);
        zip_release(&zip);
    }
}

/* Storages of many pieces: forward, transposed, and with steps longer than a piece. */
static void large_views_are_read(void **state)
{
    (void)state;
    enum { ROWS = 50, COLUMNS = 5000 };
    float *values = malloc(ROWS * COLUMNS * sizeof(*values));
    float *to = malloc(ROWS * COLUMNS * sizeof(*to));
    assert_true(values && to);
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        values[i] = (float)i;
    static const char text[] =
        "\x80\2}(\x8c\1t" GLOBAL("torch._utils", "_rebuild_tensor_v2") "((\x8c\7storage" GLOBAL(
            "torch",
            "FloatStorage") "\x8c\1\60\x8c\3cpuJ\x90\xd0\3\0tQq\1"
                            "K\0M\x88\x13K\x32\x86K\1M\x88\x13\x86\x89" ORDERED "tR"
                            "\x8c\1s" GLOBAL(
                                "torch._utils",
                                "_rebuild_tensor_v2") "(h\1K\7K\x32\x85M\x88\x13\x85\x89" ORDERED
                                                      "tRu.";
    struct zip_writer zip = { .members = 0 };
    zip_add(&zip, "x/data.pkl", TEXT(text));
    zip_add(&zip, "x/data/0", values, ROWS * COLUMNS * sizeof(*values));
    zip_end(&zip);
    struct vlm_weights *weights;
    struct vlm_err err;
    if (open_bytes(&weights, zip.file.data, zip.file.size, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(vlm_weights_read(weights, vlm_weights_find(weights, "t"), to, &err), VLM_OK);
    for (size_t i = 0; i < COLUMNS; i++)
        for (size_t k = 0; k < ROWS; k++)
            assert_true(to[i * ROWS + k] == values[k * COLUMNS + i]);
    assert_int_equal(vlm_weights_read(weights, vlm_weights_find(weights, "s"), to, &err), VLM_OK);
    for (size_t k = 0; k < ROWS; k++)
        assert_true(to[k] == values[k * COLUMNS + 7]);
    vlm_weights_close(weights);
    zip_release(&zip);
    free(values);
    free(to);
}

static void a_file_that_changes_is_noticed(void **state)
{
    (void)state;
    static const char pickle[] = PICKLE(DICT(KEY1("w") MATRIX));
    struct zip_writer zip = { .members = 0 };
    make_torch(&zip, TEXT(pickle));
    char *path = test_path("changes");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, zip.file.data, zip.file.size), zip.file.size);
    struct vlm_weights *weights;
    struct vlm_err err = { 0 };
    float to[6];
    assert_int_equal(vlm_weights_open(&weights, path, &err), VLM_OK);
    assert_int_equal(vlm_weights_read(weights, vlm_weights_at(weights, 0), to, &err), VLM_OK);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(vlm_weights_read(weights, vlm_weights_at(weights, 0), to, &err), VLM_EFAIL);
    assert_non_null(strstr(err.msg, "was changed while it was read"));
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_int_equal(vlm_weights_read(weights, vlm_weights_at(weights, 0), to, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "tensor 'w'"));
    vlm_weights_close(weights);
    close(fd);
    free(path);
    zip_release(&zip);
}

/* Archives ------------------------------------------------------------------------------------ */

static const char small[] = PICKLE(DICT(KEY1("w") MATRIX));

static void zip64_records_are_read(void **state)
{
    (void)state;
    struct zip_writer zip = { .large = true };
    make_torch(&zip, TEXT(small));
    struct vlm_weights *weights;
    struct vlm_err err;
    if (open_bytes(&weights, zip.file.data, zip.file.size, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(read_all(weights), 1);
    vlm_weights_close(weights);
    zip_release(&zip);
}

/* Writes members by hand; what is wrong is in the sentence. */
static void check_archive(struct zip_writer *zip, const char *sentence)
{
    struct vlm_weights *weights;
    struct vlm_err err;
    zip_end(zip);
    assert_true(open_bytes(&weights, zip->file.data, zip->file.size, &err) < 0);
    if (!strstr(err.msg, sentence))
        fail_msg("'%s' instead of '%s'", err.msg, sentence);
    zip_release(zip);
}

static void archives_against_the_rules_are_refused(void **state)
{
    (void)state;
    struct zip_writer zip = { .members = 0 };
    zip_add(&zip, "a/data.pkl", TEXT(small));
    zip_add(&zip, "a/byteorder", "big", 3);
    check_archive(&zip, "not little-endian");

    zip = (struct zip_writer){ .members = 0 };
    zip_add(&zip, "a/data.pkl", TEXT(small));
    zip_add(&zip, "b/data.pkl", TEXT(small));
    check_archive(&zip, "data.pkl in two folders");

    zip = (struct zip_writer){ .members = 0 };
    zip_add(&zip, "a/data.pkl", TEXT(small));
    zip_add(&zip, "a/data/0", "", 0);
    zip_add(&zip, "a/data/0", "", 0);
    check_archive(&zip, "two members 'a/data/0'");

    zip = (struct zip_writer){ .method = 8 };
    zip_add(&zip, "a/data.pkl", TEXT(small));
    check_archive(&zip, "member 'a/data.pkl' is compressed");

    zip = (struct zip_writer){ .flags = 1 };
    zip_add(&zip, "a/data.pkl", TEXT(small));
    check_archive(&zip, "member 'a/data.pkl' is compressed");

    zip = (struct zip_writer){ .members = 0 };
    zip_add(&zip, "data.pkl", TEXT(small));
    zip_add(&zip, "a/b/data.pkl", TEXT(small));
    zip_add(&zip, "/data.pkl", TEXT(small));
    check_archive(&zip, "without data.pkl");

    zip = (struct zip_writer){ .members = 0 };
    zip_add(&zip, "a/data.pkl", TEXT(small));
    zip_add(&zip, "a/code/x.py", "", 0);
    check_archive(&zip, "a TorchScript program");

    zip = (struct zip_writer){ .members = 0 };
    zip_add(&zip, "a/data.pkl", TEXT(small));
    zip_add(&zip, "", "", 0);
    check_archive(&zip, "no proper name");
}

static void members_out_of_place_are_refused(void **state)
{
    (void)state;
    struct zip_writer zip = { .members = 0 };
    zip_header(&zip, "a/data.pkl");
    zip_entry(&zip, "a/data.pkx", 0, 0); /* the header has another name */
    check_archive(&zip, "disagree");

    zip = (struct zip_writer){ .members = 0 };
    zip_header(&zip, "a/data.pkl");
    zip_entry(&zip, "a/data.pkl", 200, 0);
    zip_entry(&zip, "a/data/0", 4, zip.file.size);
    zip_header(&zip, "a/data/0");
    vlm_buffer_add(&zip.file, "\0\0\0\0", 4);
    check_archive(&zip, "member 'a/data.pkl': its 200 bytes reach into what follows");

    zip = (struct zip_writer){ .members = 0 };
    zip_header(&zip, "a/data.pkl");
    zip_entry(&zip, "a/data.pkl", 10, 0); /* they would be the directory */
    check_archive(&zip, "its 10 bytes reach into what follows");

    zip = (struct zip_writer){ .members = 0 };
    zip_header(&zip, "a/data.pkl");
    zip_entry(&zip, "a/data.pkl", 0, 1000);
    check_archive(&zip, "points to byte 1000 of a file");

    zip = (struct zip_writer){ .large = true };
    zip_header(&zip, "a/data.pkl");
    zip_entry(&zip, "a/data.pkl", UINT64_MAX - 5, 0);
    check_archive(&zip, "reach into what follows");

    zip = (struct zip_writer){ .large = true };
    zip_header(&zip, "a/data.pkl");
    zip_entry(&zip, "a/data.pkl", 0, UINT64_MAX - 5);
    check_archive(&zip, "points to byte 18446744073709551610 of a file");
}

/* Archives of many members, of which all have the same place in vain: only the counts matter. */
static void archives_over_a_limit_are_refused(void **state)
{
    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        struct zip_writer zip = { .large = true };
        zip_add(&zip, "a/data.pkl", TEXT(small));
        zip_add(&zip, "a/data/0", "012345678901234567890123", 24);
        zip.large = false;
        while (zip.members < VLM_ZIP_MEMBERS_MAX + over) {
            char name[16];
            snprintf(name, sizeof(name), "%x", zip.members);
            zip_add(&zip, name, "", 0);
        }
        zip.large = true;
        zip_end(&zip);
        struct vlm_weights *weights;
        struct vlm_err err;
        int rc = open_bytes(&weights, zip.file.data, zip.file.size, &err);
        assert_int_equal(rc, over ? VLM_ELIMIT : VLM_OK);
        if (over)
            assert_non_null(strstr(err.msg, "262145 members are over the limit"));
        vlm_weights_close(weights);
        zip_release(&zip);
    }
    for (unsigned over = 0; over < 2; over++) {
        uint8_t bytes[26] = "PK\3\4PK\5\6\0\0\0\0\1\0\1";
        uint32_t size = (uint32_t)VLM_ZIP_DIRECTORY_MAX + over;
        memcpy(bytes + 16, &size, sizeof(size));
        struct vlm_weights *weights;
        struct vlm_err err;
        assert_int_equal(open_bytes(&weights, bytes, sizeof(bytes), &err),
                         over ? VLM_ELIMIT : VLM_EFORMAT);
        assert_non_null(strstr(err.msg, over ? "over the limit" : "not in front of its end"));
    }
}

static void archives_cut_anywhere_are_refused(void **state)
{
    (void)state;
    for (unsigned large = 0; large < 2; large++) {
        struct zip_writer zip = { .large = large };
        make_torch(&zip, TEXT(small));
        struct vlm_weights *weights;
        struct vlm_err err;
        for (size_t n = 0; n < zip.file.size; n++)
            assert_int_equal(open_bytes(&weights, zip.file.data, n, &err), VLM_EFORMAT);
        vlm_buffer_byte(&zip.file, 0);
        assert_int_equal(open_bytes(&weights, zip.file.data, zip.file.size, &err), VLM_EFORMAT);
        zip_release(&zip);
    }
}

/* Each byte of an archive, with each single bit turned and a few other values. */
static void damaged_archives_are_read_or_refused(void **state)
{
    (void)state;
    size_t refused = 0, read = 0;
    for (unsigned large = 0; large < 2; large++) {
        struct zip_writer zip = { .large = large };
        make_torch(&zip, TEXT(small));
        for (size_t i = 0; i < zip.file.size; i++) {
            uint8_t *byte = &zip.file.data[i], was = *byte;
            const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff, was ^ 1, was ^ 4, was ^ 32 };
            for (size_t k = 0; k < sizeof(values); k++) {
                struct vlm_weights *weights;
                struct vlm_err err;
                *byte = values[k];
                if (open_bytes(&weights, zip.file.data, zip.file.size, &err) == VLM_OK)
                    read += read_all(weights);
                else
                    refused++;
                vlm_weights_close(weights);
            }
            *byte = was;
        }
        zip_release(&zip);
    }
    assert_true(refused > 1000 && read > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_pytorch_are_read_to_the_bit),
        cmocka_unit_test(other_kinds_of_files_are_named),
        cmocka_unit_test(safetensors_and_their_index_are_read),
        cmocka_unit_test(a_size_may_look_like_another_kind),
        cmocka_unit_test(values_that_are_no_numbers_are_named),
        cmocka_unit_test(large_views_are_read),
        cmocka_unit_test(a_file_that_changes_is_noticed),
        cmocka_unit_test(zip64_records_are_read),
        cmocka_unit_test(archives_against_the_rules_are_refused),
        cmocka_unit_test(members_out_of_place_are_refused),
        cmocka_unit_test(archives_over_a_limit_are_refused),
        cmocka_unit_test(archives_cut_anywhere_are_refused),
        cmocka_unit_test(damaged_archives_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
