/* test_dump_expected.c - real crawl files against a record list that another program made.
 *
 * Every field of every record is compared. Where we differ on purpose, the table below says where
 * and why; any other difference fails. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "tests/dump_fixture.h"
#include "tokenize/dump/http.h"

#include <fcntl.h>

enum what {
    DAMAGE, /* we report the record as damaged: value is the reason */
    EXTRA,  /* a line beyond the other reader's last: value is the damage, or NULL for a record */
    DATE,   /* we give null */
    DIGEST, /* we give value */
    BODY,   /* our body has the SHA-1 value */
    WHOLE,  /* our record goes on where theirs stops; the body has the SHA-1 value */
};

static const struct explained {
    const char *file;
    uint64_t i;
    enum what what;
    const char *value, *why;
} explained[] = {
    { "ipwb/HTTP204.warc", 0, DAMAGE, "warc_length", "Content-Length too small" },
    { "ipwb/HTTP204.warc", 1, EXTRA, "warc_length", "Content-Length too small; they stopped" },
    { "ipwb/HTTP204.warc", 2, EXTRA, NULL, "behind the damage; they stopped" },
    { "ipwb/broken.warc", 5, DAMAGE, "warc_length", "Content-Length 7, the block is longer" },
    { "ipwb/redirect.warc", 1, DAMAGE, "warc_length", "the file ends inside the block" },
    { "ipwb/variableSizedDates.warc", 1, DATE, NULL, "2014-01 is not RFC 3339" },
    { "solrwayback/Evil-Warc-Headers.warc", 0, DAMAGE, "warc_length", "827 of 6000 bytes" },
    { "solrwayback/transfer_compression_gzip_chunked.warc.gz", 1, DIGEST, "ok",
      "the digest is the decoded body's" },
    { "solrwayback/transfer_compression_none_truncated.warc.gz", 2, DAMAGE, "gz_truncated",
      "the file ends inside the member" },
    { "warcio/bad.arc", 0, EXTRA, "arc_header", "length -1" },
    { "warcio/bad.arc", 1, EXTRA, NULL, "one good line between bad ones" },
    { "warcio/bad.arc", 2, EXTRA, "arc_header", "length abc" },
    { "warcio/example-iana.org-chunked.warc", 1, DIGEST, "ok", "the digest is in hexadecimal" },
    { "warcio/example-space-in-url.arc", 1, DAMAGE, "warc_length", "1579 of 1591 bytes" },
    { "warcio/example-trunc.warc", 2, DAMAGE, "warc_length", "Content-Length too small" },
    { "warcio/example-trunc.warc", 3, EXTRA, NULL, "behind the damage; they stopped" },
    { "warcio/example-wrong-chunks.warc.gz", 0, WHOLE, "0e973b59f476007fd10f87f347c3956065516fc0",
      "the record goes on in the next member" },
    { "warcio/example-wrong-chunks.warc.gz", 0, DIGEST, "ok", "of the whole record" },
    { "webarchive-commons/mutliple-headers.warc", 0, DIGEST, "ok", "the digest is in hexadecimal" },
    { "webarchive-discovery/transfer_compression_brotli.warc", 2, BODY,
      "c5c87c7a9fa75f6ac6551d0fdc1aed6fab5d26eb", "brotli is decoded" },
    { "webarchive-discovery/transfer_compression_brotli.warc.gz", 2, BODY,
      "c5c87c7a9fa75f6ac6551d0fdc1aed6fab5d26eb", "brotli is decoded" },
};

static const struct explained *explain(const char *file, uint64_t i, enum what what)
{
    for (size_t k = 0; k < VLM_COUNTOF(explained); k++)
        if (explained[k].i == i && explained[k].what == what && !strcmp(explained[k].file, file))
            return &explained[k];
    return NULL;
}

/* The file that is being read, and where in it we are. */
struct reading {
    const char *folder; /* with the crawls */
    char file[256];
    int fd;
    struct vlm_dump *dump;
    uint64_t lines;
    struct vlm_arena arena;
    size_t compared;
};

static const char *text_of(json_object *line, const char *key)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(line, key, &value) || !value)
        return NULL;
    return json_object_get_string(value);
}

static uint64_t number_of(json_object *line, const char *key)
{
    json_object *value = NULL;
    return json_object_object_get_ex(line, key, &value) ? (uint64_t)json_object_get_int64(value)
                                                        : 0;
}

static void check_text(const struct reading *r, const char *key, const char *theirs,
                       const char *ours)
{
    if (!theirs && !ours)
        return;
    if (!theirs || !ours || strcmp(theirs, ours) != 0)
        fail_msg("%s, record %" PRIu64 ": %s is %s, expected %s", r->file, r->lines, key,
                 ours ? ours : "null", theirs ? theirs : "null");
}

static void check_number(const struct reading *r, const char *key, uint64_t theirs, uint64_t ours)
{
    if (theirs != ours)
        fail_msg("%s, record %" PRIu64 ": %s is %" PRIu64 ", expected %" PRIu64, r->file, r->lines,
                 key, ours, theirs);
}

/* Their URIs keep the brackets of WARC 1.0, their ARC dates the 14 digits, types other names. */
static void check_fields(const struct reading *r, json_object *line,
                         const struct vlm_record *record)
{
    char uri[4096], date[32];
    const char *type = text_of(line, "type");
    const char *their_uri = text_of(line, "uri"), *their_date = text_of(line, "date");
    if (!strcmp(type, "arc"))
        type = "response";
    if (!strcmp(type, "filedesc"))
        type = "warcinfo";
    if (their_uri && their_uri[0] == '<') {
        snprintf(uri, sizeof(uri), "%.*s", (int)strlen(their_uri) - 2, their_uri + 1);
        their_uri = uri;
    }
    if (their_date && strlen(their_date) == 14) {
        const char *d = their_date;
        snprintf(date, sizeof(date), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", d, d + 4, d + 6, d + 8,
                 d + 10, d + 12);
        their_date = date;
    }
    if (explain(r->file, r->lines, DATE))
        their_date = NULL;
    check_text(r, "type", type, vlm_record_type_name(record->type));
    check_text(r, "uri", their_uri, record->uri);
    check_text(r, "date", their_date, record->date);
    check_number(r, "offset", number_of(line, "offset"), record->offset);
    if (!explain(r->file, r->lines, WHOLE))
        check_number(r, "length", number_of(line, "len"), record->block_length);
}

static void check_body(const struct reading *r, json_object *line, const struct vlm_http *http)
{
    uint8_t sha1[VLM_SHA1_SIZE];
    char hex[2 * VLM_SHA1_SIZE + 1];
    const struct explained *body = explain(r->file, r->lines, BODY);
    const struct explained *whole = explain(r->file, r->lines, WHOLE);
    const struct explained *digest = explain(r->file, r->lines, DIGEST);
    json_object *theirs = NULL;
    check_number(r, "status", number_of(line, "status"), (uint64_t)http->status);
    if (!http->status)
        return;
    check_text(r, "content_type", text_of(line, "ctype"), http->content_type);
    vlm_sha1(sha1, http->body, http->body_length);
    vlm_hex(hex, sha1, sizeof(sha1));
    const char *wanted = body ? body->value : whole ? whole->value : text_of(line, "body_sha1");
    check_text(r, "body_sha1", wanted, hex);
    if (!body && !whole)
        check_number(r, "body_length", number_of(line, "body_len"), http->body_length);
    if (!json_object_object_get_ex(line, "digest_ok", &theirs))
        return;
    bool fits = json_object_is_type(theirs, json_type_array);
    enum vlm_digest_state state = fits || digest ? VLM_DIGEST_OK : VLM_DIGEST_MISMATCH;
    check_number(r, "digest", state, http->digest);
}

/* The next record of the file against one line. */
static void check_record(struct reading *r, json_object *line)
{
    struct vlm_record record;
    struct vlm_http http;
    struct vlm_err err = { 0 };
    const struct explained *damage = explain(r->file, r->lines, DAMAGE);
    check_number(r, "i", number_of(line, "i"), r->lines);
    int rc = vlm_dump_next(r->dump, &record, &err);
    if (damage && rc == VLM_SKIP) {
        check_text(r, "damage", damage->value, vlm_damage_name(record.error));
    } else if (rc != VLM_OK || damage) {
        fail_msg("%s, record %" PRIu64 ": result %d, %s", r->file, r->lines, rc,
                 rc == VLM_SKIP ? vlm_damage_name(record.error) : err.msg);
    } else {
        vlm_arena_reset(&r->arena);
        assert_int_equal(vlm_http_decode(&http, &record, &r->arena, &err), VLM_OK);
        check_fields(r, line, &record);
        check_body(r, line, &http);
    }
    r->lines++;
    r->compared++;
}

/* Nothing may follow their last record but what the table says. */
static void finish_file(struct reading *r)
{
    struct vlm_record record;
    struct vlm_err err = { 0 };
    int rc;
    while ((rc = vlm_dump_next(r->dump, &record, &err)) == VLM_OK || rc == VLM_SKIP) {
        const struct explained *extra = explain(r->file, r->lines, EXTRA);
        if (!extra)
            fail_msg("%s: an unexpected record at byte %" PRIu64, r->file, record.offset);
        check_text(r, "damage", extra->value,
                   rc == VLM_SKIP ? vlm_damage_name(record.error) : NULL);
        r->lines++;
    }
    assert_int_equal(rc, VLM_EOF);
    if (explain(r->file, r->lines, EXTRA))
        fail_msg("%s: record %" PRIu64 " is missing", r->file, r->lines);
    vlm_dump_close(r->dump);
    close(r->fd);
    r->dump = NULL;
    r->file[0] = '\0';
}

static void start_file(struct reading *r, const char *file)
{
    struct vlm_err err = { 0 };
    snprintf(r->file, sizeof(r->file), "%s", file);
    char *path = vlm_path_join(r->folder, file);
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(r->fd >= 0);
    r->lines = 0;
    const struct vlm_dump_input in = { .fd = r->fd, .name = file };
    if (vlm_dump_open(&r->dump, &in, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    free(path);
}

static size_t compare_folder(const char *folder)
{
    struct reading r = { .folder = folder };
    struct vlm_buffer list = { 0 };
    char *path = vlm_path_join(folder, "EXPECTED-records.jsonl");
    struct vlm_err err = { 0 };
    vlm_arena_init(&r.arena, (size_t)256 << 20);
    if (vlm_file_read(&list, path, (size_t)64 << 20, &err) != VLM_OK) {
        print_message("%s\n", err.msg);
        free(path);
        return 0;
    }
    for (const uint8_t *at = list.data, *end = at + list.size; at < end;) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = newline ? (size_t)(newline - at) : (size_t)(end - at);
        json_object *line = NULL, *last = NULL;
        assert_int_equal(vlm_json_parse(&line, (const char *)at, n, &err), VLM_OK);
        if (!r.dump)
            start_file(&r, text_of(line, "file"));
        if (json_object_object_get_ex(line, "end", &last))
            finish_file(&r);
        else
            check_record(&r, line);
        json_object_put(line);
        at += n + 1;
    }
    assert_null(r.dump);
    vlm_arena_release(&r.arena);
    vlm_buffer_release(&list);
    free(path);
    return r.compared;
}

static void test_expected_records(void **state)
{
    (void)state;
    static const char *const folders[] = { "warc-basic", "warc-commoncrawl", "warc-pages-a",
                                           "warc-repacked-a" };
    const char *root = getenv("VLM_SHARED_DATA");
    size_t compared = 0;
    for (size_t i = 0; i < VLM_COUNTOF(folders); i++) {
        char folder[512];
        snprintf(folder, sizeof(folder), "%s/warc/%s", root ? root : "../shared/data", folders[i]);
        compared += compare_folder(folder);
    }
    if (!compared) {
        print_message("no crawls with record lists below %s\n", root ? root : "../shared/data");
        skip();
    }
    print_message("%zu records compared\n", compared);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_expected_records) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
