/* bench_html.c - the rate of HTML to document beside libxml2's bare SAX parser, in one process.
 *
 * The two take turns over the same pages, so that a slow moment of the machine hits both; the best
 * pass of each counts. Both rates are in bytes of decoded page. */
#include "base/vlm.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "tokenize/html/bare_sax.h"
#include "tokenize/html/page.h"
#include "tools/bench/bench_html.h"

#include <time.h>

enum { PASSES_DEFAULT = 5 };

struct totals {
    size_t tags;
    uint64_t bytes;
    size_t skipped;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* One pass of libxml2 over all pages. */
static double run_sax(const struct vlm_buffer *pages, struct totals *totals)
{
    struct vlm_bytes in = { pages->data, pages->data + pages->size, false };
    double begin = seconds();
    *totals = (struct totals){ 0 };
    while (vlm_bytes_left(&in)) {
        uint32_t n = vlm_bytes_u32(&in);
        const uint8_t *page = vlm_bytes_take(&in, n);
        if (!page)
            break;
        totals->tags += vlm_bare_sax((const char *)page, n);
        totals->bytes += n;
    }
    return seconds() - begin;
}

/* One pass of ours; negative when it failed. */
static double run_ours(const struct vlm_buffer *pages, struct vlm_page_parser *parser,
                       struct vlm_arena *arena, struct totals *totals, struct vlm_err *err)
{
    struct vlm_bytes in = { pages->data, pages->data + pages->size, false };
    double begin = seconds();
    *totals = (struct totals){ 0 };
    while (vlm_bytes_left(&in)) {
        uint32_t n = vlm_bytes_u32(&in);
        struct vlm_page_input page = { .bytes = vlm_bytes_take(&in, n),
                                       .size = n,
                                       .url = "http://example.org/page.html",
                                       .charset = "utf-8" };
        struct vlm_document *document;
        if (!page.bytes)
            break;
        vlm_arena_reset(arena);
        int rc = vlm_page_parse(&document, parser, &page, arena, NULL, err);
        if (rc < 0)
            return -1;
        totals->skipped += rc == VLM_SKIP;
        for (size_t i = 0; rc == VLM_OK && i < document->n_events; i++)
            totals->tags += document->events[i].kind == VLM_EVENT_OPEN;
        totals->bytes += n;
    }
    return seconds() - begin;
}

static void print_result(const struct totals *ours, const struct totals *sax, double ours_best,
                         double sax_best)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    double megabytes = (double)sax->bytes / 1e6;
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", "html-parse");
    vlm_json_key(&json, "megabytes");
    vlm_json_real(&json, megabytes);
    vlm_json_key(&json, "vlm_mb_per_second");
    vlm_json_real(&json, megabytes / ours_best);
    vlm_json_key(&json, "libxml2_sax_mb_per_second");
    vlm_json_real(&json, megabytes / sax_best);
    vlm_json_key(&json, "ratio");
    vlm_json_real(&json, sax_best / ours_best);
    vlm_json_member_number(&json, "tags", ours->tags);
    vlm_json_member_number(&json, "libxml2_tags", sax->tags);
    vlm_json_member_number(&json, "skipped", ours->skipped);
    vlm_json_close(&json, '}');
    printf("%.*s\n", (int)out.size, (const char *)out.data);
    vlm_buffer_release(&out);
}

static int measure(const struct vlm_buffer *pages, long passes, struct vlm_err *err)
{
    struct vlm_page_parser *parser;
    int rc = vlm_page_parser_new(&parser, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_arena arena;
    vlm_arena_init(&arena, VLM_GIB);
    double ours_best = 0, sax_best = 0;
    struct totals ours = { 0 }, sax = { 0 };
    for (long pass = 0; rc == VLM_OK && pass < passes; pass++) {
        double taken = run_ours(pages, parser, &arena, &ours, err);
        if (taken < 0)
            rc = err->code;
        if (!pass || taken < ours_best)
            ours_best = taken;
        taken = run_sax(pages, &sax);
        if (!pass || taken < sax_best)
            sax_best = taken;
    }
    if (rc == VLM_OK && (!sax.bytes || ours.bytes != sax.bytes))
        rc = vlm_fail(err, VLM_EFORMAT, "the file holds no pages");
    if (rc == VLM_OK)
        print_result(&ours, &sax, ours_best, sax_best);
    vlm_arena_release(&arena);
    vlm_page_parser_free(parser);
    return rc;
}

int vlm_bench_html(int argc, char **argv)
{
    long passes = argc > 2 ? strtol(argv[2], NULL, 10) : PASSES_DEFAULT;
    if (argc < 2 || argc > 3 || passes < 1) {
        fprintf(stderr, "usage: %s PAGES [PASSES]\n", argc ? argv[0] : "html-parse");
        return VLM_EXIT_USAGE;
    }
    struct vlm_buffer pages = { 0 };
    struct vlm_err err = { 0 };
    int rc = vlm_file_read(&pages, argv[1], VLM_GIB, &err);
    if (rc == VLM_OK)
        rc = measure(&pages, passes, &err);
    if (rc != VLM_OK)
        fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    vlm_buffer_release(&pages);
    return vlm_exit_status(rc);
}
