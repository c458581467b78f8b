/* test_dump_archive.c - members of tar and zip files, crawls inside them, and loose files. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tests/dump_fixture.h"

#include <archive.h>
#include <archive_entry.h>

enum form { TAR, TAR_GZIP, TAR_ZSTD, TAR_XZ, ZIP, FORMS };

static la_ssize_t write_some(struct archive *archive, void *user, const void *bytes, size_t n)
{
    (void)archive;
    vlm_buffer_add(user, bytes, n);
    return (la_ssize_t)n;
}

static struct archive *begin_archive(struct vlm_buffer *out, enum form form)
{
    struct archive *archive = archive_write_new();
    if (form == ZIP)
        archive_write_set_format_zip(archive);
    else
        archive_write_set_format_pax_restricted(archive);
    if (form == TAR_GZIP)
        archive_write_add_filter_gzip(archive);
    if (form == TAR_ZSTD)
        archive_write_add_filter_zstd(archive);
    if (form == TAR_XZ)
        archive_write_add_filter_xz(archive);
    archive_write_set_bytes_in_last_block(archive, 1); /* no padding behind the compressed data */
    assert_int_equal(archive_write_open(archive, out, NULL, write_some, NULL), ARCHIVE_OK);
    return archive;
}

static void add_entry(struct archive *archive, const char *path, const void *bytes, size_t n,
                      bool folder)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, path);
    archive_entry_set_filetype(entry, folder ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 1704164645, 0); /* 2024-01-02T03:04:05Z */
    archive_entry_set_size(entry, (la_int64_t)n);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    if (n)
        assert_int_equal(archive_write_data(archive, bytes, n), (la_ssize_t)n);
    archive_entry_free(entry);
}

static void end_archive(struct archive *archive)
{
    archive_write_close(archive);
    archive_write_free(archive);
}

/* A page, a folder, a picture below a strange path, and a crawl. */
static void make_archive(struct vlm_buffer *out, enum form form)
{
    struct vlm_buffer crawl = { 0 };
    uint64_t starts[4];
    make_crawl(&crawl, 3, true, starts);
    struct archive *archive = begin_archive(out, form);
    add_entry(archive, "index.html", "<html>", 6, false);
    add_entry(archive, "img", "", 0, true);
    add_entry(archive, "./../img/a b%.png", "\x89PNG", 4, false);
    add_entry(archive, "archive/data.warc.gz", crawl.data, crawl.size, false);
    add_entry(archive, "empty", "", 0, false);
    end_archive(archive);
    vlm_buffer_release(&crawl);
}

static void check_archive(const struct found_list *list)
{
    assert_int_equal(list->rc, VLM_EOF);
    assert_int_equal(list->damages, 0);
    assert_int_equal(list->records, 6);
    assert_string_equal(list->item[0].uri, "file:///index.html");
    assert_int_equal(list->item[0].type, VLM_RECORD_RESOURCE);
    assert_int_equal(list->item[0].block_length, 6);
    assert_int_equal(list->item[0].block_crc, crc32(0, (const Bytef *)"<html>", 6));
    assert_string_equal(list->item[1].uri, "file:///img/a%20b%25.png");
    for (unsigned i = 0; i < 3; i++)
        assert_true(has_page(list, i));
    assert_int_equal(list->item[2].type, VLM_RECORD_RESPONSE);
    assert_string_equal(list->item[5].uri, "file:///empty");
    for (size_t i = 1; i < list->n; i++) { /* (offset, start) orders records */
        const struct found *a = &list->item[i - 1], *b = &list->item[i];
        assert_true(a->offset < b->offset || (a->offset == b->offset && a->start < b->start));
    }
}

static void test_forms(void **state)
{
    (void)state;
    static struct found_list list;
    for (enum form form = TAR; form < FORMS; form++) {
        struct vlm_buffer bytes = { 0 };
        make_archive(&bytes, form);
        int fd = file_of(bytes.data, bytes.size);
        read_range(&list, fd, 0, 0, false);
        if (list.rc != VLM_EOF)
            fail_msg("form %d: result %d", (int)form, list.rc);
        check_archive(&list);
        assert_int_equal(list.position, bytes.size);
        read_range(&list, fd, 100, 0, false); /* an archive is one unit */
        assert_int_equal(list.n, 0);
        assert_true(list.first == UINT64_MAX);
        read_range(&list, fd, bytes.size, 0, true);
        assert_int_equal(list.n, 0);
        assert_int_equal(list.first, bytes.size);
        assert_int_equal(list.position, bytes.size);
        close(fd);
        vlm_buffer_release(&bytes);
    }
}

static void test_date(void **state)
{
    (void)state;
    struct vlm_buffer bytes = { 0 };
    struct vlm_dump *dump = NULL;
    struct vlm_record record;
    make_archive(&bytes, TAR);
    int fd = file_of(bytes.data, bytes.size);
    assert_int_equal(vlm_dump_open(&dump, &(struct vlm_dump_input){ .fd = fd }, NULL), VLM_OK);
    assert_int_equal(vlm_dump_format(dump), VLM_DUMP_ARCHIVE);
    assert_int_equal(vlm_dump_next(dump, &record, NULL), VLM_OK);
    assert_string_equal(record.date, "2024-01-02T03:04:05Z");
    assert_null(record.content_type);
    vlm_dump_close(dump);
    close(fd);
    vlm_buffer_release(&bytes);
}

/* Cut or changed anywhere: it ends, and members before the place stay. */
static void test_damage(void **state)
{
    (void)state;
    static struct found_list list;
    for (enum form form = TAR; form < FORMS; form++) {
        struct vlm_buffer bytes = { 0 };
        make_archive(&bytes, form);
        for (size_t n = 0; n < bytes.size; n += 13) {
            read_bytes(&list, bytes.data, n);
            assert_true(list.rc == VLM_EOF || list.rc == VLM_EFORMAT);
            if (form == TAR && n >= 2048 && list.rc == VLM_EOF)
                assert_string_equal(list.item[0].uri, "file:///index.html");
        }
        for (size_t at = 0; at < bytes.size; at += 7) {
            bytes.data[at] ^= 0x21;
            read_bytes(&list, bytes.data, bytes.size);
            assert_true(list.rc == VLM_EOF || list.rc == VLM_EFORMAT);
            bytes.data[at] ^= 0x21;
        }
        vlm_buffer_release(&bytes);
    }
}

static void test_large_member(void **state)
{
    (void)state;
    static struct found_list list;
    uint8_t *block = malloc(VLM_WARC_BLOCK_MAX + 1);
    assert_non_null(block);
    memset(block, 'x', VLM_WARC_BLOCK_MAX + 1);
    for (int over = -1; over <= 1; over++) {
        struct vlm_buffer bytes = { 0 };
        struct archive *archive = begin_archive(&bytes, TAR);
        add_entry(archive, "a", "1", 1, false);
        add_entry(archive, "large", block, (size_t)((int64_t)VLM_WARC_BLOCK_MAX + over), false);
        add_entry(archive, "b", "2", 1, false);
        end_archive(archive);
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.records, over > 0 ? 2 : 3);
        assert_int_equal(list.damages, over > 0 ? 1 : 0);
        if (over > 0)
            assert_int_equal(list.item[1].error, VLM_DAMAGE_TOO_LARGE);
        assert_string_equal(list.item[2].uri, "file:///b");
        vlm_buffer_release(&bytes);
    }
    free(block);
}

static void test_files(void **state)
{
    (void)state;
    static struct found_list list;
    const int files[] = { file_of("<html>", 6), file_of("", 0), file_of("text", 4) };
    const char *const names[] = { "a/b c.html", "empty", "../up.txt" };
    struct vlm_dump_input in = {
        .fd = -1, .format = VLM_DUMP_FILES, .files = files, .file_names = names, .n_files = 3
    };
    for (uint64_t begin = 0; begin < 3; begin++) {
        struct vlm_dump *dump = NULL;
        in.begin = begin;
        in.end = begin ? begin + 1 : 0;
        list.n = list.records = list.damages = 0;
        assert_int_equal(vlm_dump_open(&dump, &in, NULL), VLM_OK);
        collect(&list, dump);
        assert_int_equal(list.records, begin ? 1 : 3);
        assert_int_equal(list.item[0].offset, begin);
        assert_int_equal(list.first, begin);
        assert_int_equal(list.position, begin ? begin + 1 : 3);
        vlm_dump_close(dump);
        if (begin == 0) {
            assert_string_equal(list.item[0].uri, "file:///a/b%20c.html");
            assert_string_equal(list.item[2].uri, "file:///up.txt");
            assert_int_equal(list.item[2].block_crc, crc32(0, (const Bytef *)"text", 4));
            assert_int_equal(list.item[1].block_length, 0);
        }
    }
    for (size_t i = 0; i < 3; i++)
        close(files[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),  cmocka_unit_test(test_date),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_large_member),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
