/* test_safetensors_values.c - values of tensors: read, converted, loaded, written, and files of an
 * index as one. python.safetensors is a file of the PyPI package safetensors
 * (tests/reference/make_safetensors.py), golden.safetensors one that we wrote once. */
#include "base/vlm.h"

#include "base/file.h"
#include "tests/safetensors_fixture.h"
#include "tests/folder_fixture.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* folder/name; a few are valid at a time. */
static const char *path_of(const char *name)
{
    static char paths[4][4096];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", test_folder, name);
    return path;
}

static struct vlm_safetensors *open_good(const char *path)
{
    struct vlm_safetensors *file;
    struct vlm_err err = { 0 };
    if (vlm_safetensors_open(&file, path, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return file;
}

static void write_good(const char *path, const struct vlm_safetensors_content *content)
{
    struct vlm_err err = { 0 };
    if (vlm_safetensors_write(path, content, &err) != VLM_OK)
        fail_msg("%s", err.msg);
}

/* Writes one tensor, and opens it as what is read back. */
static struct vlm_safetensors *written(const char *name, const struct vlm_safetensors_item *item)
{
    const char *path = path_of(name);
    write_good(path, &(struct vlm_safetensors_content){ .items = item, .count = 1 });
    return open_good(path);
}

static void assert_sentence(const struct vlm_err *err, const char *part)
{
    if (!strstr(err->msg, part))
        fail_msg("'%s' is not in '%s'", part, err->msg);
}

/* Reading -------------------------------------------------------------------------------------- */

static void file_of_python_is_read(void **state)
{
    (void)state;
    static const char *const names[] = { "layer.float64", "layer.float32", "layer.float16",
                                         "layer.bfloat16" };
    struct vlm_safetensors *file = open_good("tests/vectors/python.safetensors");
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_safetensors_count(file), 16);
    assert_string_equal(vlm_safetensors_metadata_find(file, "note"), "\xc3\xa9\n\"");
    for (size_t i = 0; i < VLM_COUNTOF(names); i++) {
        float values[10];
        const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, names[i]);
        assert_non_null(entry);
        assert_int_equal(entry->rank, 2);
        assert_int_equal(entry->shape[1], 5);
        assert_int_equal(
            vlm_safetensors_read_f32(file, entry, values, VLM_SAFETENSORS_FINITE, &err), VLM_OK);
        for (int v = 0; v < 10; v++)
            assert_true(values[v] == (float)(v - 3) * 0.25F);
    }
    int64_t wide[10];
    int8_t narrow[10];
    uint8_t truth[10], one;
    float scalar;
    assert_int_equal(
        vlm_safetensors_read_raw(file, vlm_safetensors_find(file, "layer.int64"), wide, &err),
        VLM_OK);
    assert_int_equal(
        vlm_safetensors_read_raw(file, vlm_safetensors_find(file, "layer.int8"), narrow, &err),
        VLM_OK);
    assert_int_equal(
        vlm_safetensors_read_raw(file, vlm_safetensors_find(file, "layer.bool"), truth, &err),
        VLM_OK);
    for (int v = 0; v < 10; v++) {
        assert_int_equal(wide[v], v + 1);
        assert_int_equal(narrow[v], v + 1);
        assert_int_equal(truth[v], v % 3 == 0);
    }
    const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, "gr\xc3\xb6\xc3\x9f"
                                                                           "e \"\\\n");
    assert_non_null(entry);
    assert_int_equal(vlm_safetensors_read_raw(file, entry, &one, &err), VLM_OK);
    assert_int_equal(one, 1);
    entry = vlm_safetensors_find(file, "scalar");
    assert_int_equal(entry->rank, 0);
    assert_int_equal(vlm_safetensors_read_f32(file, entry, &scalar, 0, &err), VLM_OK);
    assert_true(scalar == -0.75F);
    entry = vlm_safetensors_find(file, "empty");
    assert_int_equal(vlm_safetensors_read_f32(file, entry, NULL, 0, &err), VLM_OK);
    entry = vlm_safetensors_find(file, "layer.uint16");
    assert_int_equal(vlm_safetensors_read_f32(file, entry, &scalar, 0, &err), VLM_EFORMAT);
    assert_sentence(&err, "tensor 'layer.uint16' is of U16, not of floating-point numbers");
    vlm_safetensors_close(file);
}

/* What the bits of a 16-bit float mean, from its definition. */
static double meaning(uint16_t bits, int exponent_bits, int mantissa_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
    double fraction = ldexp((double)(bits & ((1 << mantissa_bits) - 1)), -mantissa_bits);
    double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    return sign * ldexp(exponent ? 1 + fraction : fraction, (exponent ? exponent : 1) - bias);
}

static void all_halves_become_floats(void **state)
{
    (void)state;
    enum { ALL = 65536 };
    static uint16_t bits[ALL];
    static float values[ALL];
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < ALL; i++)
        bits[i] = (uint16_t)i;
    for (int is_half = 0; is_half < 2; is_half++) {
        struct vlm_safetensors *file =
            written("halves", &(struct vlm_safetensors_item){
                                  .name = "x",
                                  .dtype = is_half ? VLM_SAFETENSORS_F16 : VLM_SAFETENSORS_BF16,
                                  .rank = 1,
                                  .shape = { ALL },
                                  .data = bits });
        const struct vlm_safetensors_entry *entry = vlm_safetensors_at(file, 0);
        assert_int_equal(vlm_safetensors_read_f32(file, entry, values, 0, &err), VLM_OK);
        for (size_t i = 0; i < ALL; i++) {
            double expected = meaning(bits[i], is_half ? 5 : 8, is_half ? 10 : 7);
            if (isnan(expected))
                assert_true(isnan(values[i]));
            else
                assert_true((double)values[i] == expected &&
                            !signbit(values[i]) == !signbit(expected));
        }
        assert_int_equal(
            vlm_safetensors_read_f32(file, entry, values, VLM_SAFETENSORS_FINITE, &err),
            VLM_EFORMAT);
        assert_sentence(&err, is_half ? "tensor 'x': value 31744 is Inf"
                                      : "tensor 'x': value 32640 is Inf");
        vlm_safetensors_close(file);
    }
}

static void doubles_are_rounded(void **state)
{
    (void)state;
    const double values[] = { 0.1, -0.0, 1e-300, 16777217, 1e39, -3.5 };
    float floats[6];
    struct vlm_err err = { 0 };
    struct vlm_safetensors *file = written(
        "doubles",
        &(struct vlm_safetensors_item){
            .name = "d", .dtype = VLM_SAFETENSORS_F64, .rank = 1, .shape = { 6 }, .data = values });
    const struct vlm_safetensors_entry *entry = vlm_safetensors_at(file, 0);
    assert_int_equal(vlm_safetensors_read_f32(file, entry, floats, 0, &err), VLM_OK);
    assert_true(floats[0] == 0.1F && floats[1] == 0 && signbit(floats[1]) && floats[2] == 0);
    assert_true(floats[3] == 16777216 && isinf(floats[4]) && floats[5] == -3.5F);
    assert_int_equal(vlm_safetensors_read_f32(file, entry, floats, VLM_SAFETENSORS_FINITE, &err),
                     VLM_EFORMAT);
    assert_sentence(&err, "tensor 'd': value 4 is Inf as a float");
    vlm_safetensors_close(file);
}

/* In every place of a tensor that is read in several pieces. */
static void nonfinite_values_are_found(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    static float values[COUNT], read[COUNT];
    static const size_t places[] = { 0, 1, 4095, 4096, 8191, 8192, 9999 };
    for (size_t i = 0; i < VLM_COUNTOF(places); i++) {
        struct vlm_err err = { 0 };
        char expected[64];
        memset(values, 0, sizeof(values));
        values[places[i]] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
        values[COUNT - 1] = NAN; /* the first is named */
        const struct vlm_safetensors_item item = {
            .name = "v", .rank = 2, .shape = { COUNT / 10, 10 }, .data = values
        };
        struct vlm_safetensors *file = written("nonfinite", &item);
        assert_int_equal(vlm_safetensors_read_f32(file, vlm_safetensors_at(file, 0), read, 0, &err),
                         VLM_OK);
        assert_memory_equal(read, values, sizeof(values));
        assert_int_equal(vlm_safetensors_read_f32(file, vlm_safetensors_at(file, 0), read,
                                                  VLM_SAFETENSORS_FINITE, &err),
                         VLM_EFORMAT);
        snprintf(expected, sizeof(expected), "tensor 'v': value %zu is %s", places[i],
                 places[i] == COUNT - 1 || i % 3 == 0 ? "NaN"
                 : i % 3 == 1                         ? "Inf"
                                                      : "-Inf");
        assert_sentence(&err, expected);
        vlm_safetensors_close(file);
        /* The writer refuses the same, and leaves the old file. */
        const struct vlm_safetensors_content content = { .items = &item,
                                                         .count = 1,
                                                         .flags = VLM_SAFETENSORS_FINITE };
        struct vlm_err refused = { 0 };
        assert_int_equal(vlm_safetensors_write(path_of("absent"), &content, &refused), VLM_EFORMAT);
        assert_sentence(&refused, expected);
        assert_int_equal(access(path_of("absent"), F_OK), -1);
        assert_int_equal(access(path_of("absent.tmp"), F_OK), -1);
    }
}

/* Loading -------------------------------------------------------------------------------------- */

static float first[6], second[2];
static const struct vlm_safetensors_want wanted[] = {
    { .name = "first", .rank = 2, .shape = { 2, 3 }, .to = first },
    { .name = "second", .rank = 1, .shape = { 2 }, .to = second },
};

/* Loads what is wanted out of these items, into memory that holds -1; with a sentence expected,
 * checks that nothing was written. */
static void check_load(const struct vlm_safetensors_item *items, size_t count, unsigned flags,
                       const char *sentence)
{
    struct vlm_err err = { 0 };
    write_good(path_of("load"),
               &(struct vlm_safetensors_content){ .items = items, .count = count });
    struct vlm_safetensors *file = open_good(path_of("load"));
    for (size_t i = 0; i < 6; i++)
        first[i] = second[i / 3] = -1;
    int rc = vlm_safetensors_load(file, wanted, VLM_COUNTOF(wanted), flags, &err);
    assert_int_equal(rc, sentence ? VLM_EFORMAT : VLM_OK);
    assert_int_equal(vlm_safetensors_load(file, wanted, 0, VLM_SAFETENSORS_ALLOW_EXTRA, NULL),
                     VLM_OK);
    if (sentence) {
        assert_sentence(&err, sentence);
        assert_sentence(&err, path_of("load"));
        for (size_t i = 0; i < 6; i++)
            assert_true(first[i] == -1 && second[i / 3] == -1);
    }
    vlm_safetensors_close(file);
}

static void load_checks_everything_first(void **state)
{
    (void)state;
    const float six[6] = { 1, 2, 3, 4, 5, 6 }, bad[2] = { 1, NAN };
    const uint16_t halves[2] = { 0x3c00, 0xc000 };
    const struct vlm_safetensors_item a = {
        .name = "first", .rank = 2, .shape = { 2, 3 }, .data = six
    };
    const struct vlm_safetensors_item b = {
        .name = "second", .dtype = VLM_SAFETENSORS_F16, .rank = 1, .shape = { 2 }, .data = halves
    };
    struct vlm_safetensors_item c = b, d = { .name = "x", .rank = 1, .shape = { 1 }, .data = six };
    check_load((struct vlm_safetensors_item[]){ b, a }, 2, VLM_SAFETENSORS_FINITE, NULL);
    assert_memory_equal(first, six, sizeof(six));
    assert_true(second[0] == 1 && second[1] == -2);
    check_load((struct vlm_safetensors_item[]){ a }, 1, 0,
               "tensor 'second' is missing, expected with shape [2]");
    check_load((struct vlm_safetensors_item[]){ a, b, d }, 3, 0,
               "tensor 'x' of shape [1] is not expected");
    struct vlm_safetensors_item e = d;
    e.name = "y\n";
    check_load((struct vlm_safetensors_item[]){ a, e, b, d }, 4, 0,
               "tensor 'y\\u000a' of shape [1] is not expected (and 1 more)");
    check_load((struct vlm_safetensors_item[]){ a, b, d }, 3, VLM_SAFETENSORS_ALLOW_EXTRA, NULL);
    c.rank = 2, c.shape[1] = 1;
    check_load((struct vlm_safetensors_item[]){ a, c }, 2, 0,
               "tensor 'second' has the shape [2, 1], expected [2]");
    c = (struct vlm_safetensors_item){ .name = "second", .rank = 1, .shape = { 3 }, .data = six };
    check_load((struct vlm_safetensors_item[]){ a, c }, 2, 0,
               "tensor 'second' has the shape [3], expected [2]");
    c = (struct vlm_safetensors_item){ .name = "first", .rank = 2, .shape = { 3, 2 }, .data = six };
    check_load((struct vlm_safetensors_item[]){ c, b }, 2, 0,
               "tensor 'first' has the shape [3, 2], expected [2, 3]");
    c = (struct vlm_safetensors_item){ .name = "second", .data = six };
    check_load((struct vlm_safetensors_item[]){ a, c }, 2, 0,
               "tensor 'second' has the shape [], expected [2]");
    c = b, c.dtype = VLM_SAFETENSORS_I16;
    check_load((struct vlm_safetensors_item[]){ a, c }, 2, 0,
               "tensor 'second' is of I16, expected floating-point numbers");
    c = b, c.name = "Second";
    check_load((struct vlm_safetensors_item[]){ a, c }, 2, 0, "tensor 'second' is missing");
    c = (struct vlm_safetensors_item){ .name = "second", .rank = 1, .shape = { 2 }, .data = bad };
    check_load((struct vlm_safetensors_item[]){ a, c }, 2, VLM_SAFETENSORS_FINITE,
               "tensor 'second': value 1 is NaN");
    check_load((struct vlm_safetensors_item[]){ a, c }, 2, 0, NULL);
    assert_true(isnan(second[1]));
}

/* Writing -------------------------------------------------------------------------------------- */

static const float golden_weights[6] = { 0, 1, -2.5F, 3.25F, 1e-20F, -1e20F };
static const uint16_t golden_bias[3] = { 0x3f80, 0xbf80, 0x0000 };
static const struct vlm_safetensors_item golden_items[] = {
    { .name = "h.0.weight", .rank = 2, .shape = { 2, 3 }, .data = golden_weights },
    { .name = "bias",
      .dtype = VLM_SAFETENSORS_BF16,
      .rank = 1,
      .shape = { 3 },
      .data = golden_bias },
    { .name = "a \"\xc3\xa9\"", .dtype = VLM_SAFETENSORS_F64, .rank = 2, .shape = { 4, 0 } },
    { .name = "scale", .data = golden_weights + 1 },
};
static const struct vlm_safetensors_pair golden_metadata[] = { { "format", "pt" },
                                                               { "config", "{\"a\": 1}\n" } };
static const struct vlm_safetensors_content golden = {
    .items = golden_items,
    .count = VLM_COUNTOF(golden_items),
    .metadata = golden_metadata,
    .metadata_count = VLM_COUNTOF(golden_metadata),
    .flags = VLM_SAFETENSORS_FINITE,
};

static void same_content_gives_the_same_bytes(void **state)
{
    (void)state;
    struct vlm_buffer old = { 0 }, new = { 0 };
    struct vlm_err err = { 0 };
    write_good(path_of("golden"), &golden);
    assert_int_equal(vlm_file_read(&new, path_of("golden"), VLM_MIB, &err), VLM_OK);
    if (vlm_file_read(&old, "tests/vectors/golden.safetensors", VLM_MIB, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(new.size, old.size);
    assert_memory_equal(new.data, old.data, old.size);
    assert_int_equal(new.data[0] % 8, 0);
    assert_int_equal(access(path_of("golden.tmp"), F_OK), -1);
    vlm_buffer_release(&new);
    vlm_buffer_release(&old);
}

static void golden_file_is_read(void **state)
{
    (void)state;
    struct vlm_safetensors *file = open_good("tests/vectors/golden.safetensors");
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_safetensors_count(file), golden.count);
    for (size_t i = 0; i < golden.count; i++) {
        const struct vlm_safetensors_entry *entry =
            vlm_safetensors_find(file, golden_items[i].name);
        uint8_t bytes[64];
        assert_non_null(entry);
        assert_int_equal(entry->dtype, golden_items[i].dtype);
        assert_int_equal(entry->rank, golden_items[i].rank);
        assert_memory_equal(entry->shape, golden_items[i].shape, sizeof(entry->shape));
        assert_int_equal(vlm_safetensors_read_raw(file, entry, bytes, &err), VLM_OK);
        if (entry->bytes)
            assert_memory_equal(bytes, golden_items[i].data, entry->bytes);
    }
    assert_string_equal(vlm_safetensors_metadata_find(file, "config"), "{\"a\": 1}\n");
    vlm_safetensors_close(file);
}

static void bad_content_is_not_written(void **state)
{
    (void)state;
    const float one = 1;
    const struct {
        struct vlm_safetensors_item items[2];
        struct vlm_safetensors_pair metadata[2];
        const char *sentence;
    } bad[] = {
        { { { .name = "", .data = &one } }, { { "a", "" } }, "a tensor cannot have the name ''" },
        { { { .name = "__metadata__", .data = &one } },
          { { "a", "" } },
          "cannot have the name '__metadata__'" },
        { { { .name = "a\xff", .data = &one } },
          { { "a", "" } },
          "tensor 'a\\u00ff' is not UTF-8 at byte 1" },
        { { { .name = "b", .data = &one }, { .name = "b", .data = &one } },
          { { "a", "" } },
          "two tensors 'b'" },
        { { { .name = "b", .data = &one } },
          { { "a", "\x80" } },
          "metadata '\\u0080' is not UTF-8 at byte 0" },
        { { { .name = "b", .data = &one } }, { { "\x80", "" } }, "is not UTF-8" },
        { { { .name = "b", .data = &one } },
          { { "a", "" }, { "a", "" } },
          "two keys of metadata 'a'" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++) {
        struct vlm_err err = { 0 };
        const struct vlm_safetensors_content content = {
            .items = bad[i].items,
            .count = bad[i].items[1].name ? 2 : 1,
            .metadata = bad[i].metadata,
            .metadata_count = bad[i].metadata[1].key ? 2 : 1,
        };
        assert_int_equal(vlm_safetensors_write(path_of("bad"), &content, &err), VLM_EFORMAT);
        assert_sentence(&err, bad[i].sentence);
        assert_sentence(&err, path_of("bad"));
        assert_int_equal(access(path_of("bad"), F_OK), -1);
    }
    /* What nobody could read back. */
    struct vlm_err err = { 0 };
    char *name = malloc(VLM_SAFETENSORS_HEADER_MAX + 1);
    assert_non_null(name);
    memset(name, 'n', VLM_SAFETENSORS_HEADER_MAX);
    static const char rest[] =
        "{\"\": {\"dtype\": \"F32\", \"shape\": [], \"data_offsets\": [0, 4]}}";
    for (size_t over = 2; over-- > 0;) {
        name[VLM_SAFETENSORS_HEADER_MAX - (sizeof(rest) - 1) + over] = 0;
        int rc = vlm_safetensors_write(
            path_of("long"),
            &(struct vlm_safetensors_content){
                .items = &(struct vlm_safetensors_item){ .name = name, .data = &one }, .count = 1 },
            &err);
        assert_int_equal(rc, over ? VLM_ELIMIT : VLM_OK);
    }
    vlm_safetensors_close(open_good(path_of("long")));
    free(name);
    assert_int_equal(vlm_safetensors_write(path_of("no/folder"), &golden, &err), VLM_EFAIL);
    assert_sentence(&err, "No such file or directory");
}

/* RLIMIT_FSIZE stands in for the disk: the error comes from the same call. */
static void full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    static float large[COUNT];
    struct vlm_err err = { 0 };
    struct rlimit old, small;
    struct vlm_buffer bytes = { 0 };
    const struct vlm_safetensors_item item = {
        .name = "w", .rank = 1, .shape = { COUNT }, .data = large
    };
    write_good(path_of("full"), &golden);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    small = old;
    for (small.rlim_cur = 0; small.rlim_cur < 4 * COUNT; small.rlim_cur = 7 * small.rlim_cur + 1) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int rc = vlm_safetensors_write(
            path_of("full"), &(struct vlm_safetensors_content){ .items = &item, .count = 1 }, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(rc, VLM_ELIMIT);
        assert_sentence(&err, "cannot write to '");
        assert_sentence(&err, path_of("full"));
        assert_int_equal(access(path_of("full.tmp"), F_OK), -1);
    }
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(vlm_file_read(&bytes, path_of("full"), VLM_MIB, &err), VLM_OK);
    struct vlm_safetensors *file = open_good(path_of("full"));
    assert_int_equal(vlm_safetensors_count(file), golden.count);
    vlm_safetensors_close(file);
    vlm_buffer_release(&bytes);
}

/* Changes while we read ---------------------------------------------------------------------- */

static void changed_files_are_refused(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static float values[COUNT], read[COUNT];
    struct vlm_err err = { 0 };
    const struct vlm_safetensors_item item = {
        .name = "w", .rank = 1, .shape = { COUNT }, .data = values
    };
    for (unsigned change = 0; change < 4; change++) {
        struct vlm_safetensors *file = written("changed", &item);
        const struct vlm_safetensors_entry *entry = vlm_safetensors_at(file, 0);
        const char *path = path_of("changed");
        struct stat about;
        assert_int_equal(stat(path, &about), 0);
        struct timespec times[2] = { about.st_mtim, about.st_mtim };
        if (change == 0)
            assert_int_equal(truncate(path, about.st_size - 1), 0);
        else if (change == 1)
            assert_int_equal(truncate(path, about.st_size + 1), 0);
        else if (change == 2)
            times[1].tv_sec--;
        if (change < 3)
            assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        else
            write_good(path, &golden); /* by rename: what is open stays whole */
        int rc = vlm_safetensors_read_f32(file, entry, read, 0, &err);
        assert_int_equal(rc, change == 3 ? VLM_OK : change ? VLM_EFAIL : VLM_EFORMAT);
        if (change < 3) {
            assert_sentence(&err, change ? "was changed while it was read" : "1 bytes too early");
            assert_sentence(&err, path);
            assert_true(vlm_safetensors_read_raw(file, entry, read, &err) < 0);
            assert_true(vlm_safetensors_read_raw(file, entry, read, NULL) < 0);
            assert_true(vlm_safetensors_read_f32(file, entry, read, 0, NULL) < 0);
        }
        vlm_safetensors_close(file);
    }
}

/* Several files as one ------------------------------------------------------------------------- */

static void write_text(const char *name, const char *text)
{
    assert_int_equal(vlm_file_write(path_of(name), text, strlen(text), NULL), VLM_OK);
}

static void write_parts(void)
{
    static const float one[4] = { 1, 2, 3, 4 }, two[2] = { 5, 6 };
    const struct vlm_safetensors_item a[] = {
        { .name = "a", .rank = 1, .shape = { 4 }, .data = one },
        { .name = "c", .rank = 1, .shape = { 0 } },
    };
    const struct vlm_safetensors_item b = { .name = "b", .rank = 1, .shape = { 2 }, .data = two };
    const struct vlm_safetensors_pair metadata = { "format", "pt" };
    write_good(path_of("1.safetensors"),
               &(struct vlm_safetensors_content){ a, 2, &metadata, 1, 0, NULL, NULL });
    write_good(path_of("2.safetensors"),
               &(struct vlm_safetensors_content){ &b, 1, &metadata, 1, 0, NULL, NULL });
}

static void index_opens_all_its_files(void **state)
{
    (void)state;
    float a[4] = { 0 }, b[2] = { 0 };
    struct vlm_err err = { 0 };
    write_parts();
    write_text("good.index.json",
               "{\"metadata\": {\"total_size\": 24, \"more\": [{\"x\": null}]},\n"
               " \"other\": -1.5e3, \"weight_map\": {\"c\": \"1.safetensors\", "
               "\"b\": \"2.safetensors\", \"a\": \"1.safetensors\"}}\n");
    struct vlm_safetensors *file = open_good(path_of("good.index.json"));
    assert_int_equal(vlm_safetensors_count(file), 3);
    assert_int_equal(vlm_safetensors_metadata_count(file), 0);
    assert_int_equal(vlm_safetensors_find(file, "b")->part, 1);
    const struct vlm_safetensors_want both[] = {
        { .name = "a", .rank = 1, .shape = { 4 }, .to = a },
        { .name = "b", .rank = 1, .shape = { 2 }, .to = b },
        { .name = "c", .rank = 1, .shape = { 0 }, .to = NULL },
    };
    assert_int_equal(vlm_safetensors_load(file, both, 3, VLM_SAFETENSORS_FINITE, &err), VLM_OK);
    assert_true(a[3] == 4 && b[0] == 5);
    assert_int_equal(vlm_safetensors_load(file, both, 2, 0, &err), VLM_EFORMAT);
    assert_sentence(&err, "tensor 'c' of shape [0] is not expected");
    vlm_safetensors_close(file);
}

static void bad_indexes_are_refused(void **state)
{
    (void)state;
#define A "\"a\":\"1.safetensors\""
#define B "\"b\":\"2.safetensors\""
#define C "\"c\":\"1.safetensors\""
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        { "", "byte 0: expected '{'" },
        { "{}", "it has no 'weight_map'" },
        { "{\"weight_map\":{}}", "or an empty one" },
        { "{\"weight_map\":[]}", "byte 14: expected '{'" },
        { "{\"weight_map\":{" A "," B "," C "}} x", "something stands behind the end" },
        { "{\"weight_map\":{" A "," B "," C "},\"weight_map\":{}}", "two members 'weight_map'" },
        { "{\"weight_map\":{" A "," B "," C ",\"d\":\"3.safetensors\"}}", "No such file" },
        { "{\"weight_map\":{" A "," B "," C ",\"d\":\"../1.safetensors\"}}",
          "tensor 'd' is said to be in '../1.safetensors', which is no plain file name" },
        { "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "which is no plain file name" },
        { "{\"weight_map\":{\"a\":\"..\"}}", "which is no plain file name" },
        { "{\"weight_map\":{\"a\":\"\"}}", "which is no plain file name" },
        { "{\"weight_map\":{\"a\":7}}", "byte 19: expected a string" },
        { "{\"weight_map\":{" A "," B "," C "," A "}}", "tensor 'a' stands twice in weight_map" },
        { "{\"weight_map\":{" A "," B "," C ",\"a\":\"2.safetensors\"}}",
          "tensor 'a' stands twice in weight_map" },
        { "{\"weight_map\":{" A "," B "," C ",\"d\":\"2.safetensors\"}}",
          "tensor 'd' is not in '2.safetensors'" },
        { "{\"weight_map\":{\"a\":\"2.safetensors\"," B "," C "}}",
          "tensor 'a' is not in '2.safetensors'" },
        { "{\"weight_map\":{" A "," B "}}", "tensor 'c' of '" },
        { "{\"metadata\":{\"total_size\":25},\"weight_map\":{" A "," B "," C "}}",
          "total_size is 25, the tensors have 24 bytes" },
        { "{\"metadata\":{\"total_size\":-1},\"weight_map\":{" A "," B "," C "}}",
          "expected a whole number" },
        { "{\"metadata\":{\"total_size\":24,\"total_size\":24},\"weight_map\":{" A "}}",
          "two members 'total_size'" },
        { "{\"metadata\":null,\"weight_map\":{" A "}}", "byte 12: expected '{'" },
        { "{\"weight_map\":{\"a\":\"bad.index.json\"}}", "does not fit into a file" },
    };
    write_parts();
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++) {
        struct vlm_safetensors *file;
        struct vlm_err err = { 0 };
        write_text("bad.index.json", bad[i].text);
        assert_int_equal(vlm_safetensors_open(&file, path_of("bad.index.json"), &err) < 0, 1);
        assert_null(file);
        assert_sentence(&err, bad[i].sentence);
        assert_sentence(&err, "bad.index.json");
    }
    /* One tensor in two files. */
    struct vlm_safetensors *file;
    struct vlm_err err = { 0 };
    const float one = 1;
    write_good(
        path_of("3.safetensors"),
        &(struct vlm_safetensors_content){
            .items = &(struct vlm_safetensors_item){ .name = "b", .data = &one }, .count = 1 });
    write_text("bad.index.json", "{\"weight_map\":{" A "," B "," C ",\"x\":\"3.safetensors\"}}");
    assert_int_equal(vlm_safetensors_open(&file, path_of("bad.index.json"), &err), VLM_EFORMAT);
    assert_sentence(&err, "2.safetensors' and '");
    assert_sentence(&err, "both have a tensor 'b'");
}

/* A file with one tensor of one value, without waiting for the disk. */
static void write_small(const char *name)
{
    char text[8 + 128] = "";
    int n = snprintf(text + 8, sizeof(text) - 8,
                     "{\"%s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", name);
    text[0] = (char)n;
    FILE *to = fopen(path_of(name), "w");
    assert_non_null(to);
    assert_int_equal(fwrite(text, 8 + (size_t)n + 1, 1, to), 1);
    assert_int_equal(fclose(to), 0);
}

static void number_of_files_is_limited(void **state)
{
    (void)state;
    struct vlm_buffer text = { 0 };
    for (int d = -1; d <= 1; d++) {
        struct vlm_safetensors *file;
        struct vlm_err err = { 0 };
        vlm_buffer_reset(&text);
        vlm_buffer_text(&text, "{\"weight_map\":{");
        for (int i = 0; i < VLM_SAFETENSORS_FILES_MAX + d; i++) {
            char name[32];
            snprintf(name, sizeof(name), "part-%d", i);
            vlm_buffer_printf(&text, "%s\"%s\":\"%s\"", i ? "," : "", name, name);
            write_small(name);
        }
        vlm_buffer_text(&text, "}}");
        assert_int_equal(vlm_file_write(path_of("many.index.json"), text.data, text.size, &err),
                         VLM_OK);
        int rc = vlm_safetensors_open(&file, path_of("many.index.json"), &err);
        if (rc != (d > 0 ? VLM_ELIMIT : VLM_OK))
            fail_msg("%s", err.msg);
        vlm_safetensors_close(file);
    }
    vlm_buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_of_python_is_read),
        cmocka_unit_test(all_halves_become_floats),
        cmocka_unit_test(doubles_are_rounded),
        cmocka_unit_test(nonfinite_values_are_found),
        cmocka_unit_test(load_checks_everything_first),
        cmocka_unit_test(same_content_gives_the_same_bytes),
        cmocka_unit_test(golden_file_is_read),
        cmocka_unit_test(bad_content_is_not_written),
        cmocka_unit_test(full_disk_leaves_the_old_file),
        cmocka_unit_test(changed_files_are_refused),
        cmocka_unit_test(index_opens_all_its_files),
        cmocka_unit_test(bad_indexes_are_refused),
        cmocka_unit_test(number_of_files_is_limited),
    };
    return cmocka_run_group_tests_name("safetensors values", tests, make_test_folder,
                                       remove_test_folder);
}
