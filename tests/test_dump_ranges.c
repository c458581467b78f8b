/* test_dump_ranges.c - a file read in ranges gives the same records as the whole file.
 *
 * Ranges are put together as a committer does: one is accepted when it begins where the one before
 * it ended, and read again from there otherwise. Undamaged files must need no second reading. */
#include "base/vlm.h"

#include "tests/dump_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zstd.h>

static bool same(const struct found *a, const struct found *b)
{
    return a->rc == b->rc && a->error == b->error && a->offset == b->offset &&
           a->length == b->length && a->start == b->start && a->block_length == b->block_length &&
           a->block_crc == b->block_crc && !strcmp(a->uri, b->uri);
}

/* Reads the ranges between cuts (the last one open-ended), compares with whole; returns how many
 * had to be read twice. */
static unsigned check_ranges(int fd, const struct found_list *whole, const uint64_t *cuts, size_t n)
{
    static struct found_list part;
    size_t at = 0;
    uint64_t expected = 0;
    unsigned again = 0;
    for (size_t i = 0; i <= n; i++) {
        uint64_t begin = i ? cuts[i - 1] : 0, end = i < n ? cuts[i] : 0;
        read_range(&part, fd, begin, end, false);
        assert_int_equal(part.rc, VLM_EOF);
        bool empty = part.first == UINT64_MAX && end && expected >= end;
        if (part.first != expected && !empty) {
            again += !(part.first == UINT64_MAX && !end && expected == whole->position);
            read_range(&part, fd, expected, end, true);
            assert_int_equal(part.first, expected);
        }
        for (size_t k = 0; k < part.n; k++, at++) {
            assert_true(at < whole->n);
            if (!same(&part.item[k], &whole->item[at]))
                fail_msg("range %zu of %zu: record %zu differs", i, n, at);
        }
        if (!empty)
            expected = part.position;
    }
    assert_int_equal(at, whole->n);
    assert_int_equal(expected, whole->position);
    return again;
}

/* All single cuts in steps, and many cuts at once. */
static unsigned check_file(int fd, uint64_t size, uint64_t step)
{
    static struct found_list whole;
    uint64_t cuts[64];
    unsigned again = 0;
    read_range(&whole, fd, 0, 0, false);
    assert_int_equal(whole.rc, VLM_EOF);
    assert_true(whole.n > 0);
    for (uint64_t cut = 1; cut < size; cut += step)
        again += check_ranges(fd, &whole, &cut, 1);
    for (size_t n = 2; n <= VLM_COUNTOF(cuts); n *= 2) {
        for (size_t i = 0; i < n; i++)
            cuts[i] = size * (i + 1) / (n + 1) + 1;
        again += check_ranges(fd, &whole, cuts, n);
    }
    return again;
}

static void add_frame(struct vlm_buffer *out, const void *bytes, size_t n, ZSTD_CCtx *context)
{
    uint8_t *to = vlm_buffer_reserve(out, ZSTD_compressBound(n));
    size_t got = ZSTD_compress2(context, to, ZSTD_compressBound(n), bytes, n);
    assert_false(ZSTD_isError(got));
    out->size += got;
}

/* A .warc.zst: its dictionary in a skippable frame, compressed or not, then a frame per record. */
static void make_zstd(struct vlm_buffer *out, unsigned n, bool dictionary, bool packed)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    struct vlm_buffer sample = { 0 }, frame = { 0 };
    for (unsigned i = 100; i < 110; i++)
        add_page(&sample, i);
    if (dictionary) {
        if (packed)
            add_frame(&frame, sample.data, sample.size, context);
        else
            vlm_buffer_add(&frame, sample.data, sample.size);
        vlm_buffer_u32(out, 0x184d2a5d);
        vlm_buffer_u32(out, (uint32_t)frame.size);
        vlm_buffer_add(out, frame.data, frame.size);
        assert_false(ZSTD_isError(ZSTD_CCtx_loadDictionary(context, sample.data, sample.size)));
    }
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    for (unsigned i = 0; i < n; i++) {
        struct vlm_buffer record = { 0 };
        add_page(&record, i);
        add_frame(out, record.data, record.size, context);
        vlm_buffer_release(&record);
    }
    ZSTD_freeCCtx(context);
    vlm_buffer_release(&sample);
    vlm_buffer_release(&frame);
}

static void test_zstd(void **state)
{
    (void)state;
    static struct found_list list;
    for (int form = 0; form < 3; form++) {
        struct vlm_buffer bytes = { 0 };
        make_zstd(&bytes, 12, form > 0, form > 1);
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.records, 12);
        assert_int_equal(list.damages, 0);
        for (unsigned i = 0; i < 12; i++)
            assert_true(has_page(&list, i));
        /* Damage in record 5. */
        bytes.data[(list.item[5].offset + list.item[6].offset) / 2] ^= 0x10;
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.records, 11);
        assert_int_equal(list.damages, 1);
        assert_int_equal(list.item[5].error, VLM_DAMAGE_ZSTD);
        bytes.data[(list.item[5].offset + list.item[6].offset) / 2] ^= 0x10;
        int fd = file_of(bytes.data, bytes.size);
        check_file(fd, bytes.size, 97);
        close(fd);
        vlm_buffer_release(&bytes);
    }
}

static void test_made_crawls(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        struct vlm_buffer bytes = { 0 };
        uint64_t starts[41];
        make_crawl(&bytes, 40, gzip, starts);
        int fd = file_of(bytes.data, bytes.size);
        assert_int_equal(check_file(fd, bytes.size, 61), 0);
        close(fd);
        vlm_buffer_release(&bytes);
    }
}

/* Damage, nested crawls and records across members may need a second reading, never give others. */
static void test_awkward_crawls(void **state)
{
    (void)state;
    struct vlm_buffer bytes = { 0 }, plain = { 0 }, inner = { 0 }, record = { 0 };
    uint64_t starts[21];
    make_crawl(&bytes, 20, true, starts);
    for (unsigned i = 3; i < 20; i += 4)
        bytes.data[(starts[i] + starts[i + 1]) / 2] ^= 0x40;
    int fd = file_of(bytes.data, bytes.size);
    check_file(fd, bytes.size, 53);
    close(fd);

    make_crawl(&plain, 20, false, starts);
    vlm_buffer_reset(&bytes);
    for (size_t at = 0; at < plain.size; at += 500)
        add_member(&bytes, plain.data + at, VLM_MIN((size_t)500, plain.size - at));
    fd = file_of(bytes.data, bytes.size);
    check_file(fd, bytes.size, 53);
    close(fd);

    /* A stored member whose body is a crawl itself. */
    make_crawl(&inner, 5, true, starts);
    add_record(&record, "resource", "http://inner.warc.gz/", inner.data, inner.size);
    vlm_buffer_reset(&bytes);
    make_crawl(&bytes, 5, false, starts);
    vlm_buffer_add(&bytes, record.data, record.size);
    add_record(&bytes, "resource", "http://inner.warc/", plain.data, plain.size);
    add_page(&bytes, 30);
    fd = file_of(bytes.data, bytes.size);
    check_file(fd, bytes.size, 53);
    close(fd);
    vlm_buffer_release(&bytes);
    vlm_buffer_release(&plain);
    vlm_buffer_release(&inner);
    vlm_buffer_release(&record);
}

static void test_arc(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        struct vlm_buffer bytes = { 0 };
        for (unsigned i = 0; i < 30; i++) {
            struct vlm_buffer record = { 0 }, block = { 0 };
            vlm_buffer_printf(&block, "HTTP/1.0 200 OK\r\n\r\nline of page %u\nanother 1 2 3\n", i);
            if (i == 0)
                vlm_buffer_text(&record, "filedesc://a.arc 0.0.0.0 20080430204825 text/plain 5\n"
                                         "1 0 X\n");
            else
                vlm_buffer_printf(&record,
                                  "http://a/b c%u 10.0.0.1 20080430204825 text/html %zu\n%.*s\n", i,
                                  block.size, (int)block.size, (const char *)block.data);
            if (gzip)
                add_member(&bytes, record.data, record.size);
            else
                vlm_buffer_add(&bytes, record.data, record.size);
            vlm_buffer_release(&record);
            vlm_buffer_release(&block);
        }
        static struct found_list list;
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.records, 30);
        assert_int_equal(list.damages, 0);
        assert_int_equal(list.item[0].type, VLM_RECORD_WARCINFO);
        assert_int_equal(list.item[1].type, VLM_RECORD_RESPONSE);
        assert_string_equal(list.item[2].uri, "http://a/b c2");
        int fd = file_of(bytes.data, bytes.size);
        assert_int_equal(check_file(fd, bytes.size, 7), 0);
        close(fd);
        vlm_buffer_release(&bytes);
    }
}

static void test_real_crawls(void **state)
{
    (void)state;
    static const char *const names[] = {
        "warc-basic/resiliparse/warcfile.warc.gz",
        "warc-basic/webarchive-commons/IAH-urls-wget.warc",
        "warc-pages-a/IAH-20080430204825-00000-blackbook.warc.gz",
        "warc-pages-a/IAH-20080430204825-00000-blackbook.arc.gz",
        "warc-pages-a/ipwb-sample-1.warc.gz",
        "warc-repacked-a/gutenberg-chiriqui.warc.gz",
    };
    const char *root = getenv("VLM_SHARED_DATA");
    for (size_t i = 0; i < VLM_COUNTOF(names); i++) {
        char path[512];
        struct stat st;
        snprintf(path, sizeof(path), "%s/warc/%s", root ? root : "../shared/data", names[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            print_message("no crawl at %s\n", path);
            skip();
        }
        assert_int_equal(fstat(fd, &st), 0);
        unsigned again = check_file(fd, (uint64_t)st.st_size, (uint64_t)st.st_size / 5 + 1);
        if (again)
            fail_msg("%s: %u ranges began at a wrong place", names[i], again);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_crawls), cmocka_unit_test(test_awkward_crawls),
        cmocka_unit_test(test_zstd),        cmocka_unit_test(test_arc),
        cmocka_unit_test(test_real_crawls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
