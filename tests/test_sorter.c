/* test_sorter.c - the sorter against qsort: in memory and spilling, with duplicates, odd sizes, and
 * read twice. */
#include "base/vlm.h"

#include "base/random.h"
#include "base/sorter.h"

#include <dirent.h>
#include <setjmp.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(test_folder); /* fails when a file was left behind */
}

static size_t record_size; /* for qsort, which has no context */

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, record_size);
}

static void assert_sorted_as(struct vlm_sorter *sorter, const uint8_t *expected, size_t n)
{
    struct vlm_err err = { 0 };
    uint8_t *record = malloc(record_size);
    assert_non_null(record);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(vlm_sorter_next(sorter, record, &err), VLM_OK);
        assert_memory_equal(record, expected + i * record_size, record_size);
    }
    assert_int_equal(vlm_sorter_next(sorter, record, &err), VLM_EOF);
    assert_int_equal(vlm_sorter_next(sorter, record, &err), VLM_EOF);
    free(record);
}

/* n random records of `size` bytes whose bytes are below `values`, so that few values make many
 * duplicates; read, read half, read again. */
static void check(size_t size, size_t n, size_t memory, unsigned values)
{
    struct vlm_err err = { 0 };
    struct vlm_sorter *sorter;
    struct vlm_random random = vlm_random_at(1, size, n + memory + values);
    uint8_t *records = malloc(n * size + 1);
    assert_non_null(records);
    for (size_t i = 0; i < n * size; i++)
        records[i] = (uint8_t)vlm_random_below(&random, values);
    assert_int_equal(vlm_sorter_new(&sorter, size, memory, test_folder, &err), VLM_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(vlm_sorter_add(sorter, records + i * size, &err), VLM_OK);
    assert_int_equal(vlm_sorter_count(sorter), n);
    assert_int_equal(vlm_sorter_sort(sorter, &err), VLM_OK);
    record_size = size;
    qsort(records, n, size, compare);
    assert_sorted_as(sorter, records, n);
    assert_int_equal(vlm_sorter_rewind(sorter, &err), VLM_OK);
    uint8_t *record = malloc(size);
    assert_non_null(record);
    for (size_t i = 0; i < n / 2; i++)
        assert_int_equal(vlm_sorter_next(sorter, record, &err), VLM_OK);
    free(record);
    assert_int_equal(vlm_sorter_rewind(sorter, &err), VLM_OK);
    assert_sorted_as(sorter, records, n);
    assert_int_equal(vlm_sorter_count(sorter), n);
    vlm_sorter_free(sorter);
    free(records);
}

static void sorts_in_memory(void **state)
{
    (void)state;
    static const size_t counts[] = { 0, 1, 2, 63, 64, 65, 127, 128, 129, 5000 };
    for (size_t i = 0; i < VLM_COUNTOF(counts); i++) {
        check(16, counts[i], 1 << 20, 256);
        check(1, counts[i], 1 << 20, 256);
        check(7, counts[i], 1 << 20, 2);
    }
}

/* Room for 0 (counts as 1), 1, 10, 64, 65 and 100 records. */
static void sorts_on_disk(void **state)
{
    (void)state;
    static const size_t rooms[] = { 0, 1, 10, 64, 65, 100 };
    for (size_t i = 0; i < VLM_COUNTOF(rooms); i++) {
        check(24, 1, 24 * rooms[i], 256);
        check(24, rooms[i], 24 * rooms[i], 256); /* just fits */
        check(24, rooms[i] + 1, 24 * rooms[i], 256);
        check(24, 700, 24 * rooms[i] + 23, 256);
        check(24, 700, 24 * rooms[i], 1); /* all equal */
        check(3, 700, 3 * rooms[i], 3);
    }
}

/* A run longer than the buffer it is read through, and records that do not divide the buffer. */
static void reads_runs_in_pieces(void **state)
{
    (void)state;
    check(37, 60000, 37 * 25000, 256);
    check(300000, 9, 2 * 300000, 256); /* a record larger than the buffer */
}

static void order_does_not_depend_on_memory_or_input_order(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    enum { N = 3000, SIZE = 4 };
    uint8_t out[2][N * SIZE];
    for (unsigned turn = 0; turn < 2; turn++) {
        struct vlm_sorter *sorter;
        assert_int_equal(vlm_sorter_new(&sorter, SIZE, turn ? 64 : 1 << 20, test_folder, &err),
                         VLM_OK);
        for (uint32_t i = 0; i < N; i++) {
            uint8_t record[SIZE];
            vlm_put_big_endian(record, (turn ? N - 1 - i : i) % 1000, SIZE);
            assert_int_equal(vlm_sorter_add(sorter, record, &err), VLM_OK);
        }
        assert_int_equal(vlm_sorter_sort(sorter, &err), VLM_OK);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(vlm_sorter_next(sorter, out[turn] + i * SIZE, &err), VLM_OK);
        vlm_sorter_free(sorter);
    }
    assert_memory_equal(out[0], out[1], sizeof(out[0]));
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(vlm_get_big_endian(out[0] + i * SIZE, SIZE), i / 3);
}

static void a_folder_that_is_not_there_fails_when_it_is_needed(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_sorter *sorter;
    assert_int_equal(vlm_sorter_new(&sorter, 8, 8, "build/no/such/folder", &err), VLM_OK);
    assert_int_equal(vlm_sorter_add(sorter, "abcdefgh", &err), VLM_OK);
    assert_true(vlm_sorter_add(sorter, "abcdefgh", &err) < 0);
    assert_non_null(strstr(err.msg, "build/no/such/folder"));
    vlm_sorter_free(sorter);
    vlm_sorter_free(NULL);
}

static void big_endian_numbers_order_as_their_bytes(void **state)
{
    (void)state;
    static const uint64_t numbers[] = { 0, 1, 255, 256, 65535, 65536, UINT32_MAX, UINT64_MAX };
    for (size_t i = 0; i < VLM_COUNTOF(numbers); i++) {
        uint8_t bytes[8], before[8] = { 0 };
        vlm_put_big_endian(bytes, numbers[i], 8);
        assert_int_equal(vlm_get_big_endian(bytes, 8), numbers[i]);
        if (i)
            assert_true(memcmp(before, bytes, 8) < 0);
        vlm_put_big_endian(before, numbers[i], 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_in_memory),
        cmocka_unit_test(sorts_on_disk),
        cmocka_unit_test(reads_runs_in_pieces),
        cmocka_unit_test(order_does_not_depend_on_memory_or_input_order),
        cmocka_unit_test(a_folder_that_is_not_there_fails_when_it_is_needed),
        cmocka_unit_test(big_endian_numbers_order_as_their_bytes),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_folder);
}
