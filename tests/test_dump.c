/* test_dump.c - crawl files made here, damaged in every way we know, and read back.
 *
 * The rule behind most tests: damage costs the record it hits, is reported, and nothing else is
 * lost or invented. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tests/dump_fixture.h"

enum { PAGES = 9 };

static void test_formats_by_magic(void **state)
{
    (void)state;
    static const char arc[] = "filedesc://x.arc 0.0.0.0 20080430204825 text/plain 3\n1 0\n";
    assert_int_equal(vlm_dump_sniff((const uint8_t *)"WARC/1.1\r\n", 10), VLM_DUMP_WARC);
    assert_int_equal(vlm_dump_sniff((const uint8_t *)arc, sizeof(arc) - 1), VLM_DUMP_ARC);
    assert_int_equal(vlm_dump_sniff((const uint8_t *)"<html>", 6), VLM_DUMP_UNKNOWN);
    assert_int_equal(vlm_dump_sniff((const uint8_t *)"PK\3\4....", 8), VLM_DUMP_ARCHIVE);
    struct vlm_buffer bytes = { 0 };
    add_member(&bytes, arc, sizeof(arc) - 1);
    assert_int_equal(vlm_dump_sniff(bytes.data, bytes.size), VLM_DUMP_ARC_GZIP);
    vlm_buffer_reset(&bytes);
    add_member(&bytes, "<html>", 6);
    assert_int_equal(vlm_dump_sniff(bytes.data, bytes.size), VLM_DUMP_UNKNOWN);
    vlm_buffer_release(&bytes);
}

static void check_all_pages(const struct found_list *list, unsigned n, const uint64_t *starts)
{
    assert_int_equal(list->rc, VLM_EOF);
    assert_int_equal(list->damages, 0);
    assert_int_equal(list->records, n);
    assert_int_equal(list->position, starts[n]);
    for (unsigned i = 0; i < n; i++) {
        assert_true(has_page(list, i));
        assert_int_equal(list->item[i].offset, starts[i]);
        assert_int_equal(list->item[i].length, starts[i + 1] - starts[i]);
    }
}

static void test_undamaged(void **state)
{
    (void)state;
    static struct found_list list;
    for (int gzip = 0; gzip < 2; gzip++) {
        struct vlm_buffer bytes = { 0 };
        uint64_t starts[PAGES + 1];
        make_crawl(&bytes, PAGES, gzip, starts);
        read_bytes(&list, bytes.data, bytes.size);
        check_all_pages(&list, PAGES, starts);
        vlm_buffer_release(&bytes);
    }
}

/* One member for all: every record has its offset, and a start of its own. */
static void test_one_member_for_all(void **state)
{
    (void)state;
    static struct found_list list;
    struct vlm_buffer plain = { 0 }, bytes = { 0 };
    uint64_t starts[PAGES + 1];
    make_crawl(&plain, PAGES, false, starts);
    add_member(&bytes, plain.data, plain.size);
    read_bytes(&list, bytes.data, bytes.size);
    assert_int_equal(list.records, PAGES);
    assert_int_equal(list.damages, 0);
    uint64_t sum = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        assert_true(has_page(&list, i));
        assert_int_equal(list.item[i].offset, 0);
        assert_int_equal(list.item[i].start, starts[i]);
        sum += list.item[i].length;
    }
    assert_int_equal(sum, bytes.size);
    vlm_buffer_release(&plain);
    vlm_buffer_release(&bytes);
}

/* Members of a fixed size that cut records anywhere; 1 is a member for each byte. */
static void test_records_across_members(void **state)
{
    (void)state;
    static struct found_list list;
    static const size_t sizes[] = { 1, 7, 100, 1000, 4096 };
    struct vlm_buffer plain = { 0 };
    uint64_t starts[PAGES + 1];
    make_crawl(&plain, PAGES, false, starts);
    for (size_t s = 0; s < VLM_COUNTOF(sizes); s++) {
        struct vlm_buffer bytes = { 0 };
        for (size_t at = 0; at < plain.size; at += sizes[s])
            add_member(&bytes, plain.data + at, VLM_MIN(sizes[s], plain.size - at));
        if (sizes[s] > 4) { /* what begins with one byte of a record is not known to be one */
            read_bytes(&list, bytes.data, bytes.size);
        } else {
            struct vlm_dump *dump = NULL;
            int fd = file_of(bytes.data, bytes.size);
            const struct vlm_dump_input in = { .fd = fd, .format = VLM_DUMP_WARC_GZIP };
            list.n = list.records = list.damages = 0;
            assert_int_equal(vlm_dump_open(&dump, &in, NULL), VLM_OK);
            collect(&list, dump);
            vlm_dump_close(dump);
            close(fd);
        }
        assert_int_equal(list.damages, 0);
        assert_int_equal(list.records, PAGES);
        for (unsigned i = 0; i < PAGES; i++)
            assert_true(has_page(&list, i));
        vlm_buffer_release(&bytes);
    }
    vlm_buffer_release(&plain);
}

static void test_padding_empty_members_and_mixed(void **state)
{
    (void)state;
    static struct found_list list;
    struct vlm_buffer bytes = { 0 };
    uint64_t starts[PAGES + 1];
    static const uint8_t zeros[700];
    for (int i = 0; i < 50; i++)
        add_member(&bytes, "", 0);
    make_crawl(&bytes, PAGES, true, starts);
    vlm_buffer_add(&bytes, zeros, sizeof(zeros));
    int fd = file_of(bytes.data, bytes.size);
    read_range(&list, fd, 0, 0, false);
    close(fd);
    assert_int_equal(list.records, PAGES);
    assert_int_equal(list.damages, 0);
    assert_int_equal(list.position, bytes.size);

    /* Plain behind gzip behind plain. */
    vlm_buffer_reset(&bytes);
    make_crawl(&bytes, 3, false, starts);
    for (unsigned i = 3; i < 6; i++) {
        struct vlm_buffer record = { 0 };
        add_page(&record, i);
        add_member(&bytes, record.data, record.size);
        vlm_buffer_release(&record);
    }
    add_page(&bytes, 6);
    read_bytes(&list, bytes.data, bytes.size);
    assert_int_equal(list.damages, 0);
    assert_int_equal(list.records, 7);
    for (unsigned i = 0; i < 7; i++)
        assert_true(has_page(&list, i));
    vlm_buffer_release(&bytes);
}

/* A file cut at every length keeps the records that are whole. */
static void test_truncation(void **state)
{
    (void)state;
    static struct found_list list;
    enum { SHORT = 4 };
    for (int gzip = 0; gzip < 2; gzip++) {
        struct vlm_buffer bytes = { 0 };
        uint64_t starts[SHORT + 1];
        make_crawl(&bytes, SHORT, gzip, starts);
        for (size_t n = 0; n <= bytes.size; n++) {
            read_bytes(&list, bytes.data, n);
            unsigned whole = 0;
            while (whole < SHORT && starts[whole + 1] <= n)
                whole++;
            if (list.rc == VLM_EFORMAT) { /* too little to know what it is */
                assert_int_equal(whole, 0);
                continue;
            }
            assert_int_equal(list.rc, VLM_EOF);
            for (unsigned i = 0; i < whole; i++)
                assert_true(has_page(&list, i));
            /* The cut record is either reported, or whole but for its separator. */
            bool separator_only = !gzip && whole < SHORT && n + 4 >= starts[whole + 1];
            bool cut = n > starts[whole] + (gzip ? 0 : 1) && !separator_only;
            if (cut)
                assert_int_equal(list.damages, 1);
            assert_true(list.damages <= 1);
            assert_true(list.records <= whole + separator_only);
        }
        vlm_buffer_release(&bytes);
    }
}

/* Any one byte changed: at most the record that holds it is lost. In gzip files a changed byte is
 * never silent (but in fields of the member's header that say nothing about its data). */
static void test_flips(void **state)
{
    (void)state;
    static struct found_list list;
    enum { SHORT = 4, MASKS = 3 };
    static const uint8_t masks[MASKS] = { 0x01, 0x80, 0xff };
    for (int gzip = 0; gzip < 2; gzip++) {
        struct vlm_buffer bytes = { 0 };
        uint64_t starts[SHORT + 1];
        make_crawl(&bytes, SHORT, gzip, starts);
        for (size_t at = 0; at < bytes.size * MASKS; at++) {
            size_t byte = at / MASKS;
            bytes.data[byte] ^= masks[at % MASKS];
            read_bytes(&list, bytes.data, bytes.size);
            unsigned hit = 0;
            while (starts[hit + 1] <= byte)
                hit++;
            assert_int_equal(list.rc, VLM_EOF);
            for (unsigned i = 0; i < SHORT; i++)
                if (i != hit && !has_page(&list, i))
                    fail_msg("gzip %d, byte %zu of record %u: record %u is lost", gzip, byte, hit,
                             i);
            if (gzip && !has_page(&list, hit))
                assert_true(list.damages > 0);
            bytes.data[byte] ^= masks[at % MASKS];
        }
        vlm_buffer_release(&bytes);
    }
}

/* A damaged member in the middle: one report that covers it exactly. */
static void test_damage_report(void **state)
{
    (void)state;
    static struct found_list list;
    struct vlm_buffer bytes = { 0 };
    uint64_t starts[PAGES + 1];
    make_crawl(&bytes, PAGES, true, starts);
    static const struct {
        int from_end; /* byte counted from the end of member 4, or from its start when negative */
        enum vlm_damage damage;
    } cases[] = {
        { 8, VLM_DAMAGE_GZIP_CHECKSUM },
        { 1, VLM_DAMAGE_GZIP_CHECKSUM },
        { -2, VLM_DAMAGE_GZIP_HEADER },
    };
    for (size_t c = 0; c < VLM_COUNTOF(cases); c++) {
        size_t byte = cases[c].from_end > 0 ? starts[5] - (size_t)cases[c].from_end
                                            : starts[4] + (size_t)-cases[c].from_end;
        bytes.data[byte] ^= 0x55;
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.records, PAGES - 1);
        assert_int_equal(list.damages, 1);
        assert_int_equal(list.item[4].rc, VLM_SKIP);
        assert_int_equal(list.item[4].error, cases[c].damage);
        assert_int_equal(list.item[4].offset, starts[4]);
        assert_int_equal(list.item[4].length, starts[5] - starts[4]);
        bytes.data[byte] ^= 0x55;
    }
    /* The last member cut short. */
    read_bytes(&list, bytes.data, bytes.size - 20);
    assert_int_equal(list.item[PAGES - 1].error, VLM_DAMAGE_GZIP_TRUNCATED);
    assert_int_equal(list.records, PAGES - 1);
    vlm_buffer_release(&bytes);
}

/* A damaged member whose stored bytes hold other members: none of them begins with a record, so
 * none is taken for one. */
static void test_false_members(void **state)
{
    (void)state;
    static struct found_list list;
    static const uint8_t magic[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
    struct vlm_buffer bytes = { 0 }, body = { 0 }, record = { 0 };
    uint64_t starts[4];
    make_crawl(&bytes, 3, true, starts);
    for (int i = 0; i < 200; i++) {
        vlm_buffer_add(&body, magic, sizeof(magic));
        add_member(&body, "<html>not a record</html>", 25);
    }
    add_record(&record, "resource", "http://other/", body.data, body.size);
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 0, Z_DEFLATED, 31, 8, 0), Z_OK); /* stored */
    uint8_t *to = vlm_buffer_reserve(&bytes, record.size + 1000);
    z.next_in = record.data;
    z.avail_in = (uInt)record.size;
    z.next_out = to;
    z.avail_out = (uInt)record.size + 1000;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    bytes.size += z.total_out;
    deflateEnd(&z);
    uint64_t end = bytes.size;
    vlm_buffer_reset(&record);
    add_page(&record, 3);
    add_member(&bytes, record.data, record.size);
    read_bytes(&list, bytes.data, bytes.size);
    assert_int_equal(list.records, 5);
    assert_int_equal(list.damages, 0);
    bytes.data[starts[3] + 12] ^= 0xff; /* the length of its first stored block */
    read_bytes(&list, bytes.data, bytes.size);
    assert_int_equal(list.records, 4);
    assert_int_equal(list.damages, 1);
    assert_int_equal(list.item[3].error, VLM_DAMAGE_GZIP_DATA);
    assert_int_equal(list.item[3].offset, starts[3]);
    assert_int_equal(list.item[3].length, end - starts[3]);
    assert_true(has_page(&list, 3));
    vlm_buffer_release(&bytes);
    vlm_buffer_release(&body);
    vlm_buffer_release(&record);
}

static void test_junk_between_records(void **state)
{
    (void)state;
    static struct found_list list;
    static const size_t sizes[] = { 1, 4, 5000, 3000000 };
    for (int gzip = 0; gzip < 2; gzip++) {
        for (size_t s = 0; s < VLM_COUNTOF(sizes); s++) {
            struct vlm_buffer bytes = { 0 };
            uint64_t starts[PAGES + 1];
            make_crawl(&bytes, 3, gzip, starts);
            for (size_t i = 0; i < sizes[s]; i++)
                vlm_buffer_byte(&bytes, (uint8_t)("JUNK\x1f\x8b\x08"[i % 7]));
            for (unsigned i = 3; i < 6; i++) {
                struct vlm_buffer record = { 0 };
                add_page(&record, i);
                if (gzip)
                    add_member(&bytes, record.data, record.size);
                else
                    vlm_buffer_add(&bytes, record.data, record.size);
                vlm_buffer_release(&record);
            }
            read_bytes(&list, bytes.data, bytes.size);
            assert_int_equal(list.records, 6);
            assert_int_equal(list.damages, 1);
            assert_int_equal(list.item[3].error, VLM_DAMAGE_JUNK);
            assert_int_equal(list.item[3].offset, starts[3]);
            assert_int_equal(list.item[3].length, sizes[s]);
            vlm_buffer_release(&bytes);
        }
    }
}

/* Replaces the declared length of page `which` by another. */
static void make_with_length(struct vlm_buffer *out, unsigned n, unsigned which, int64_t change,
                             const char *literal)
{
    for (unsigned i = 0; i < n; i++) {
        struct vlm_buffer record = { 0 };
        add_page(&record, i);
        vlm_buffer_byte(&record, 0);
        char *field = strstr((char *)record.data, "Content-Length: ");
        char *end = strchr(field, '\r');
        long length = strtol(field + 16, NULL, 10);
        if (i != which) {
            vlm_buffer_add(out, record.data, record.size - 1);
        } else {
            vlm_buffer_add(out, record.data, (size_t)(field + 16 - (char *)record.data));
            if (literal)
                vlm_buffer_text(out, literal);
            else
                vlm_buffer_printf(out, "%" PRId64, (int64_t)length + change);
            vlm_buffer_add(out, end, record.size - 1 - (size_t)(end - (char *)record.data));
        }
        vlm_buffer_release(&record);
    }
}

/* Wrong lengths cost their own record only. */
static void test_wrong_length(void **state)
{
    (void)state;
    static struct found_list list;
    static const int64_t changes[] = { -1, -2, -30, -100, 1, 30, 700, 100000, 100000000 };
    for (size_t c = 0; c < VLM_COUNTOF(changes); c++) {
        struct vlm_buffer bytes = { 0 };
        make_with_length(&bytes, 6, 2, changes[c], NULL);
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.damages, 1);
        assert_int_equal(list.item[2].error, VLM_DAMAGE_LENGTH);
        for (unsigned i = 0; i < 6; i++)
            if (i != 2)
                assert_true(has_page(&list, i));
        vlm_buffer_release(&bytes);
    }
    /* The same where all records share one member. */
    for (size_t c = 0; c < VLM_COUNTOF(changes); c++) {
        struct vlm_buffer plain = { 0 }, bytes = { 0 };
        make_with_length(&plain, 6, 2, changes[c], NULL);
        add_member(&bytes, plain.data, plain.size);
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.damages, 1);
        assert_int_equal(list.item[2].error, VLM_DAMAGE_LENGTH);
        for (unsigned i = 0; i < 6; i++)
            if (i != 2)
                assert_true(has_page(&list, i));
        vlm_buffer_release(&plain);
        vlm_buffer_release(&bytes);
    }
    static const char *const literals[] = {
        "-5",  "+5", "5 5", "", "0x10", "18446744073709551616", "99999999999999999999999999999",
        "1e3",
    };
    for (size_t c = 0; c < VLM_COUNTOF(literals); c++) {
        struct vlm_buffer bytes = { 0 };
        make_with_length(&bytes, 6, 2, 0, literals[c]);
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.damages, 1);
        assert_int_equal(list.item[2].error, VLM_DAMAGE_HEADER);
        assert_int_equal(list.records, 5);
        vlm_buffer_release(&bytes);
    }
}

struct header_case {
    const char *header;
    int rc;
    enum vlm_damage error;
    const char *uri, *date;
};

/* Headers by the letter and in the wild: between two good records that must stay. */
static void test_headers(void **state)
{
    (void)state;
    static const struct header_case cases[] = {
        { "WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/\r\nContent-Length: 4\r\n"
          "WARC-Date: 2024-01-02T03:04:05.123456Z\r\n\r\n",
          VLM_OK, VLM_DAMAGE_NONE, "http://a/", "2024-01-02T03:04:05.123456Z" },
        { "WARC/0.17\nwarc-type:response\ncontent-length:4\nwarc-target-uri: <http://a/b c>\n\n",
          VLM_OK, VLM_DAMAGE_NONE, "http://a/b c", NULL },
        { "WARC/0.18\r\nWARC-Type: response\r\nContent-Length: 4\r\nX: a\r\n b\r\n"
          "WARC-Target-URI:\r\n http://folded/\r\n\tx\r\n\r\n",
          VLM_OK, VLM_DAMAGE_NONE, "http://folded/ x", NULL },
        { "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 4\r\nContent-Length: 9\r\n"
          "WARC-Target-URI: http://1/\r\nWARC-Target-URI: http://2/\r\n"
          "WARC-Date: 9999-99-99\r\n\r\n",
          VLM_OK, VLM_DAMAGE_NONE, "http://1/", NULL },
        { "WARC/2.0\r\nWARC-Type: response\r\nContent-Length: 4\r\n\r\n", VLM_SKIP,
          VLM_DAMAGE_VERSION, NULL, NULL },
        { "WARC/1.0.0\r\nWARC-Type: response\r\nContent-Length: 4\r\n\r\n", VLM_SKIP,
          VLM_DAMAGE_VERSION, NULL, NULL },
        { "WARC/1.0\r\nWARC-Type: response\r\nno colon here\r\nContent-Length: 4\r\n\r\n", VLM_SKIP,
          VLM_DAMAGE_HEADER, NULL, NULL },
        { "WARC/1.0\r\nWARC-Type: response\r\n\r\n", VLM_SKIP, VLM_DAMAGE_HEADER, NULL, NULL },
    };
    for (size_t c = 0; c < VLM_COUNTOF(cases); c++) {
        struct vlm_buffer bytes = { 0 };
        struct vlm_dump *dump = NULL;
        struct vlm_record record;
        add_page(&bytes, 0);
        vlm_buffer_text(&bytes, cases[c].header);
        vlm_buffer_text(&bytes, "body\r\n\r\n");
        add_page(&bytes, 1);
        int fd = file_of(bytes.data, bytes.size);
        assert_int_equal(vlm_dump_open(&dump, &(struct vlm_dump_input){ .fd = fd }, NULL), VLM_OK);
        assert_int_equal(vlm_dump_next(dump, &record, NULL), VLM_OK);
        assert_int_equal(vlm_dump_next(dump, &record, NULL), cases[c].rc);
        assert_int_equal(record.error, cases[c].error);
        if (cases[c].uri)
            assert_string_equal(record.uri, cases[c].uri);
        if (cases[c].date)
            assert_string_equal(record.date, cases[c].date);
        else
            assert_null(record.date);
        if (cases[c].rc == VLM_OK) {
            assert_int_equal(record.block_length, 4);
            assert_memory_equal(record.block, "body", 4);
        }
        assert_int_equal(vlm_dump_next(dump, &record, NULL), VLM_OK);
        assert_string_equal(record.uri, "http://example.org/page/1");
        assert_int_equal(vlm_dump_next(dump, &record, NULL), VLM_EOF);
        vlm_dump_close(dump);
        close(fd);
        vlm_buffer_release(&bytes);
    }
}

/* The first segment of a record is no more than a cut record: the others are not put behind it. */
static void test_segment(void **state)
{
    (void)state;
    static const char segment[] = "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 4\r\n"
                                  "WARC-Segment-Number: 1\r\n\r\nbody\r\n\r\n";
    struct vlm_dump *dump = NULL;
    struct vlm_record record;
    int fd = file_of((const uint8_t *)segment, sizeof(segment) - 1);
    assert_int_equal(vlm_dump_open(&dump, &(struct vlm_dump_input){ .fd = fd }, NULL), VLM_OK);
    assert_int_equal(vlm_dump_next(dump, &record, NULL), VLM_OK);
    assert_non_null(record.truncated);
    vlm_dump_close(dump);
    close(fd);
}

/* A body that shows a record is not one, in a plain file too. */
static void test_record_inside_a_body(void **state)
{
    (void)state;
    static struct found_list list;
    struct vlm_buffer inner = { 0 }, bytes = { 0 };
    vlm_buffer_text(&inner, "HTTP/1.1 200 OK\r\n\r\n<pre>\r\n\r\n");
    add_page(&inner, 7);
    add_page(&bytes, 0);
    add_record(&bytes, "response", "http://outer/", inner.data, inner.size);
    add_page(&bytes, 1);
    read_bytes(&list, bytes.data, bytes.size);
    assert_int_equal(list.records, 3);
    assert_int_equal(list.damages, 0);
    assert_false(has_page(&list, 7));
    vlm_buffer_release(&inner);
    vlm_buffer_release(&bytes);
}

/* The header at the limit, one below and one above. */
static void test_header_limit(void **state)
{
    (void)state;
    static struct found_list list;
    static const char head[] = "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 4\r\nX: ";
    for (int over = -1; over <= 1; over++) {
        struct vlm_buffer bytes = { 0 };
        add_page(&bytes, 0);
        vlm_buffer_text(&bytes, head);
        size_t size = (size_t)((int)VLM_WARC_HEADER_MAX + over) - (sizeof(head) - 1) - 4;
        for (size_t i = 0; i < size; i++)
            vlm_buffer_byte(&bytes, 'x');
        vlm_buffer_text(&bytes, "\r\n\r\nbody\r\n\r\n");
        add_page(&bytes, 1);
        read_bytes(&list, bytes.data, bytes.size);
        assert_int_equal(list.records, over > 0 ? 2 : 3);
        assert_int_equal(list.damages, over > 0 ? 1 : 0);
        if (over > 0)
            assert_int_equal(list.item[1].error, VLM_DAMAGE_HEADER);
        assert_true(has_page(&list, 0) && has_page(&list, 1));
        vlm_buffer_release(&bytes);
    }
}

static void test_block_limit(void **state)
{
    (void)state;
    static struct found_list list;
    uint8_t *block = malloc(VLM_WARC_BLOCK_MAX + 1);
    assert_non_null(block);
    uint32_t seed = 1;
    for (size_t i = 0; i < VLM_WARC_BLOCK_MAX + 1; i++) {
        seed = seed * 1664525u + 1013904223u;
        block[i] = (uint8_t)(i % 64 < 8 ? seed >> 24 : 'a');
    }
    for (int gzip = 0; gzip < 2; gzip++) {
        for (int over = -1; over <= 1; over++) {
            struct vlm_buffer bytes = { 0 }, record = { 0 };
            uint64_t starts[2];
            make_crawl(&bytes, 1, gzip, starts);
            add_record(&record, "response", "http://large/", block,
                       (size_t)((int64_t)VLM_WARC_BLOCK_MAX + over));
            if (gzip) {
                z_stream z = { 0 }; /* level 1: this is about size */
                assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, 0), Z_OK);
                uint8_t *to = vlm_buffer_reserve(&bytes, deflateBound(&z, record.size));
                z.next_in = record.data;
                z.avail_in = (uInt)record.size;
                z.next_out = to;
                z.avail_out = (uInt)deflateBound(&z, record.size);
                assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
                bytes.size += z.total_out;
                deflateEnd(&z);
                vlm_buffer_reset(&record);
                add_page(&record, 1);
                add_member(&bytes, record.data, record.size);
            } else {
                vlm_buffer_add(&bytes, record.data, record.size);
                add_page(&bytes, 1);
            }
            read_bytes(&list, bytes.data, bytes.size);
            assert_int_equal(list.records, over > 0 ? 2 : 3);
            assert_int_equal(list.damages, over > 0 ? 1 : 0);
            if (over > 0)
                assert_int_equal(list.item[1].error, VLM_DAMAGE_TOO_LARGE);
            assert_true(has_page(&list, 0) && has_page(&list, 1));
            vlm_buffer_release(&bytes);
            vlm_buffer_release(&record);
        }
    }
    free(block);
}

/* 1 GiB of zeros in one member between two pages. */
static void test_bomb(void **state)
{
    (void)state;
    static struct found_list list;
    static uint8_t zeros[1 << 20];
    struct vlm_buffer bytes = { 0 }, record = { 0 };
    add_page(&record, 0);
    add_member(&bytes, record.data, record.size);
    uint64_t begin = bytes.size;
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, 0), Z_OK);
    static const char head[] =
        "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 268435456\r\n\r\n";
    for (int i = -1; i < 256; i++) {
        z.next_in = i < 0 ? (z_const Bytef *)(uintptr_t)head : zeros;
        z.avail_in = i < 0 ? sizeof(head) - 1 : sizeof(zeros);
        while (z.avail_in) {
            z.next_out = vlm_buffer_reserve(&bytes, 65536);
            z.avail_out = 65536;
            assert_int_equal(deflate(&z, Z_NO_FLUSH), Z_OK);
            bytes.size += 65536 - z.avail_out;
        }
    }
    z.next_out = vlm_buffer_reserve(&bytes, 1 << 20);
    z.avail_out = 1 << 20;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    bytes.size += (1 << 20) - z.avail_out;
    deflateEnd(&z);
    uint64_t end = bytes.size;
    vlm_buffer_reset(&record);
    add_page(&record, 1);
    add_member(&bytes, record.data, record.size);
    read_bytes(&list, bytes.data, bytes.size);
    assert_int_equal(list.records, 2);
    assert_int_equal(list.damages, 1);
    assert_int_equal(list.item[1].error, VLM_DAMAGE_BOMB);
    assert_int_equal(list.item[1].offset, begin);
    assert_int_equal(list.item[1].length, end - begin);
    assert_true(has_page(&list, 0) && has_page(&list, 1));
    vlm_buffer_release(&bytes);
    vlm_buffer_release(&record);
}

/* A pipe can only be read forward. */
static void test_pipe(void **state)
{
    (void)state;
    static struct found_list list;
    for (int gzip = 0; gzip < 2; gzip++) {
        struct vlm_buffer bytes = { 0 };
        uint64_t starts[PAGES + 1];
        int ends[2];
        make_crawl(&bytes, PAGES, gzip, starts);
        assert_int_equal(pipe(ends), 0);
        assert_true(bytes.size < 65536); /* fits into the pipe, so that one thread is enough */
        assert_int_equal(write(ends[1], bytes.data, bytes.size), (ssize_t)bytes.size);
        close(ends[1]);
        read_range(&list, ends[0], 0, 0, false);
        close(ends[0]);
        check_all_pages(&list, PAGES, starts);
        vlm_buffer_release(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_by_magic),
        cmocka_unit_test(test_undamaged),
        cmocka_unit_test(test_one_member_for_all),
        cmocka_unit_test(test_records_across_members),
        cmocka_unit_test(test_padding_empty_members_and_mixed),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_flips),
        cmocka_unit_test(test_damage_report),
        cmocka_unit_test(test_false_members),
        cmocka_unit_test(test_junk_between_records),
        cmocka_unit_test(test_wrong_length),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_segment),
        cmocka_unit_test(test_record_inside_a_body),
        cmocka_unit_test(test_header_limit),
        cmocka_unit_test(test_block_limit),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
