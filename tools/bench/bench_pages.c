/* bench_pages.c - vlm-bench pages: crawls and saved pages as length-prefixed UTF-8. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "tokenize/dump/http.h"
#include "tokenize/html/page.h"
#include "tools/bench/bench_pages.h"

#include <fcntl.h>
#include <unistd.h>

struct extraction {
    struct vlm_page_parser *parser;
    struct vlm_arena arena;
};

static int write_page(struct extraction *extraction, const struct vlm_page_input *in,
                      struct vlm_err *err)
{
    const char *text, *charset;
    size_t size;
    int rc =
        vlm_page_decode(&text, &size, &charset, extraction->parser, in, &extraction->arena, err);
    if (rc != VLM_OK)
        return rc == VLM_SKIP ? VLM_OK : rc;
    uint8_t length[4];
    for (size_t i = 0; i < sizeof(length); i++)
        length[i] = (uint8_t)(size >> 8 * i);
    if (fwrite(length, 1, 4, stdout) != 4 || fwrite(text, 1, size, stdout) != size)
        return vlm_fail_errno(err, errno, "cannot write the pages");
    return VLM_OK;
}

static int write_record(struct extraction *extraction, const struct vlm_record *record,
                        struct vlm_err *err)
{
    struct vlm_http http;
    int rc = vlm_http_decode(&http, record, &extraction->arena, err);
    if (rc < 0 || (http.status && http.status != 200) ||
        vlm_payload_kind(record, &http) != VLM_PAYLOAD_HTML)
        return rc;
    return write_page(extraction,
                      &(struct vlm_page_input){
                          .bytes = http.body,
                          .size = http.body_length,
                          .url = record->uri,
                          .content_type = http.content_type,
                      },
                      err);
}

static int write_dump(struct extraction *extraction, int fd, const char *path, struct vlm_err *err)
{
    struct vlm_dump *dump = NULL;
    struct vlm_record record;
    int rc = vlm_dump_open(&dump, &(struct vlm_dump_input){ .fd = fd, .name = path }, err);
    while (rc >= VLM_OK && (rc = vlm_dump_next(dump, &record, err)) >= VLM_OK && rc != VLM_EOF) {
        vlm_arena_reset(&extraction->arena);
        if (rc == VLM_OK && record.type == VLM_RECORD_RESPONSE)
            rc = write_record(extraction, &record, err);
    }
    vlm_dump_close(dump);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int write_file(struct extraction *extraction, const char *path, struct vlm_err *err)
{
    uint8_t head[512];
    struct vlm_buffer bytes = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
    int rc;
    if (n < 0)
        rc = vlm_fail_errno(err, errno, "cannot read '%s'", path);
    else if (vlm_dump_sniff(head, (size_t)n) != VLM_DUMP_UNKNOWN)
        rc = write_dump(extraction, fd, path, err);
    else
        rc = vlm_file_read(&bytes, path, VLM_BODY_MAX, err);
    if (rc == VLM_OK && bytes.size)
        rc = write_page(extraction, &(struct vlm_page_input){ bytes.data, bytes.size, 0, 0, 0 },
                        err);
    vlm_arena_reset(&extraction->arena);
    vlm_buffer_release(&bytes);
    if (fd >= 0)
        close(fd);
    return rc;
}

int vlm_bench_pages(int argc, char **argv)
{
    struct extraction extraction = { 0 };
    struct vlm_err err = { 0 };
    vlm_arena_init(&extraction.arena, VLM_GIB);
    int rc = vlm_page_parser_new(&extraction.parser, &err);
    for (int i = 1; rc == VLM_OK && i < argc; i++)
        rc = write_file(&extraction, argv[i], &err);
    vlm_page_parser_free(extraction.parser);
    vlm_arena_release(&extraction.arena);
    if (rc == VLM_OK && fflush(stdout))
        rc = vlm_fail_errno(&err, errno, "cannot write the pages");
    if (rc < 0)
        fprintf(stderr, "vlm-bench: %s\n", err.msg);
    return vlm_exit_status(rc);
}
