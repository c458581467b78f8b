/* crawl_page.c - from the source of a document to its bytes: file, record, HTTP body, page.
 *
 * The path in a document comes from a shard set, which may be anybody's, so it must not lead out of the
 * folder that the user named. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "tokenize/dump/http.h"
#include "tools/inspect/crawl_page.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file of the record; the caller frees it. NULL: the name is none of a file below the folder. */
static char *find_file(const struct vlm_crawl *crawl, const char *name)
{
    struct stat about;
    if (stat(crawl->path, &about) == 0 && !S_ISDIR(about.st_mode))
        return vlm_path_join("", crawl->path);
    for (const char *part = name;;) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 2 && !strncmp(part, "..", 2)))
            return NULL;
        if (!part[n])
            break;
        part += n + 1;
    }
    return vlm_path_join(crawl->path, name);
}

struct body {
    struct vlm_http http;
    bool plain_text;
    bool other; /* a record of the URL stands there, with another body */
};

/* Whether this is the record of the document; its body then. */
static int take_record(struct body *body, const struct vlm_record *record,
                       const struct vlm_document *document, struct vlm_arena *arena,
                       struct vlm_err *err)
{
    uint8_t sha256[VLM_SHA256_SIZE];
    if (strcmp(record->uri ? record->uri : "", document->url) != 0 ||
        (record->type != VLM_RECORD_RESPONSE && record->type != VLM_RECORD_RESOURCE &&
         record->type != VLM_RECORD_CONVERSION))
        return VLM_SKIP;
    int rc = vlm_http_decode(&body->http, record, arena, err);
    if (rc < 0)
        return rc;
    vlm_sha256(sha256, body->http.body, body->http.body_length);
    body->other = memcmp(sha256, document->payload_sha256, sizeof(sha256)) != 0;
    body->plain_text = vlm_payload_kind(record, &body->http) != VLM_PAYLOAD_HTML;
    return body->other ? VLM_SKIP : VLM_OK;
}

/* Looks through the records that begin where the document's does: several in one compressed member, all of an
 * archive, which can only be read from its beginning. The dump stays open: the body may be its. */
static int find_record(struct body *body, struct vlm_dump *dump,
                       const struct vlm_document *document, struct vlm_arena *arena,
                       struct vlm_err *err)
{
    const struct vlm_source *source = &document->source;
    const enum vlm_dump_format format = vlm_dump_format(dump);
    struct vlm_record record;
    for (;;) {
        int rc = vlm_dump_next(dump, &record, err);
        if (rc < 0)
            return rc;
        if (rc == VLM_EOF || (record.offset > source->offset && format != VLM_DUMP_ARCHIVE))
            break;
        if (rc == VLM_OK && (format == VLM_DUMP_FILES || record.offset == source->offset) &&
            (rc = take_record(body, &record, document, arena, err)) != VLM_SKIP)
            return rc;
    }
    if (body->other)
        return vlm_fail(err, VLM_EDIFFER,
                        "byte %" PRIu64 ": the body of '%s' is not the one that the document was "
                        "made from",
                        source->offset, document->url);
    return vlm_fail(err, VLM_EFAIL, "byte %" PRIu64 ": no record of '%s'", source->offset,
                    document->url);
}

static bool same_event(const struct vlm_document *a, const struct vlm_document *b, size_t i)
{
    const struct vlm_event *x = &a->events[i], *y = &b->events[i];
    if (x->kind != y->kind || x->offset != y->offset || x->name != y->name)
        return false;
    if (x->kind == VLM_EVENT_IMAGE)
        return x->start == y->start;
    if (x->kind == VLM_EVENT_ATTRIBUTE && !x->length)
        return true; /* data: URLs are not stored */
    return x->length == y->length && !memcmp(a->text + x->start, b->text + y->start, x->length);
}

/* Parses the body as the build did. */
static int parse(struct vlm_crawl_page *page, struct vlm_crawl *crawl, const struct body *body,
                 const struct vlm_document *document, struct vlm_arena *arena, struct vlm_err *err)
{
    struct vlm_page_input in = {
        .bytes = body->http.body,
        .size = body->http.body_length,
        .url = *document->url ? document->url : NULL,
        .content_type = body->http.content_type,
    };
    struct vlm_document *parsed;
    const char *charset;
    int rc = body->plain_text ? vlm_page_from_text(&parsed, crawl->parser, &in, arena, err)
                              : vlm_page_parse(&parsed, crawl->parser, &in, arena, NULL, err);
    if (rc == VLM_OK) {
        page->document = parsed;
        page->map = &crawl->map;
        size_t i = 0;
        while (i < document->n_events && i < parsed->n_events && same_event(document, parsed, i))
            i++;
        if (i < document->n_events || i < parsed->n_events)
            return vlm_fail(err, VLM_EDIFFER,
                            "'%s' does not become the document of the set any more: event %zu of "
                            "%zu differs",
                            document->url, i, document->n_events);
        rc = vlm_page_decode(&page->text, &page->size, &charset, crawl->parser, &in, arena, err);
    }
    return rc == VLM_SKIP ? vlm_recode(err, VLM_EDIFFER) : rc;
}

int vlm_crawl_page_read(struct vlm_crawl_page *page, struct vlm_crawl *crawl,
                        const struct vlm_document *document, struct vlm_arena *arena,
                        struct vlm_err *err)
{
    const char *name = document->source.file;
    struct vlm_dump *dump = NULL;
    struct body body = { .other = false };
    uint8_t head[512];
    int rc = VLM_OK;
    if (!crawl->parser)
        rc = vlm_page_parser_new(&crawl->parser, err);
    if (rc < 0)
        return rc;
    vlm_page_parser_trace(crawl->parser, &crawl->map);
    char *path = find_file(crawl, name);
    if (!path)
        return vlm_fail(err, VLM_EFORMAT, "'%s' is no name of a file in '%s'", name, crawl->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
    if (n < 0)
        rc = vlm_fail_errno(err, errno, "cannot read '%s'", path);
    if (rc == VLM_OK) {
        struct vlm_dump_input in = {
            .fd = fd, .name = path, .files = &fd, .file_names = &name, .n_files = 1
        };
        enum vlm_dump_format format = vlm_dump_sniff(head, (size_t)n);
        if (format == VLM_DUMP_UNKNOWN && document->source.offset == 0)
            in.format = VLM_DUMP_FILES;
        else if (format != VLM_DUMP_ARCHIVE)
            in.begin = document->source.offset, in.exact = true;
        rc = vlm_dump_open(&dump, &in, err);
    }
    if (rc == VLM_OK)
        rc = find_record(&body, dump, document, arena, err);
    if (rc == VLM_OK)
        rc = parse(page, crawl, &body, document, arena, err);
    if (rc != VLM_OK && n >= 0)
        vlm_wrap(err, "%s", path);
    vlm_dump_close(dump);
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

void vlm_crawl_release(struct vlm_crawl *crawl)
{
    vlm_page_parser_free(crawl->parser);
    vlm_page_map_release(&crawl->map);
    crawl->parser = NULL;
}
