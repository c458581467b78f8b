/* render_fixture.h - pages in memory for tests of passes and renderers.
 *
 *   struct page_fixture *fixture = *state;       // setup and teardown are below
 *   struct vlm_document *document = parse_page(fixture, "<p>text", NULL); */
#ifndef VLM_TESTS_RENDER_FIXTURE_H
#define VLM_TESTS_RENDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "tokenize/html/page.h"
#include "tokenize/names.h"

struct page_fixture {
    struct vlm_page_parser *parser;
    struct vlm_arena arena;
    struct vlm_buffer out;
    struct vlm_err err;
};

static inline int page_setup(void **state)
{
    struct page_fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture || vlm_page_parser_new(&fixture->parser, &fixture->err) != VLM_OK)
        return -1;
    vlm_arena_init(&fixture->arena, 512 << 20);
    *state = fixture;
    return 0;
}

static inline int page_teardown(void **state)
{
    struct page_fixture *fixture = *state;
    vlm_page_parser_free(fixture->parser);
    vlm_arena_release(&fixture->arena);
    vlm_buffer_release(&fixture->out);
    free(fixture);
    return 0;
}

/* Parses bytes as UTF-8; the document is valid until the next call. All images are usable. */
static inline struct vlm_document *parse_bytes(struct page_fixture *fixture, const void *bytes,
                                               size_t n, const char *url)
{
    struct vlm_page_input in = { .bytes = bytes, .size = n, .url = url, .charset = "utf-8" };
    struct vlm_document *document = NULL;
    vlm_arena_reset(&fixture->arena);
    int rc = vlm_page_parse(&document, fixture->parser, &in, &fixture->arena, NULL, &fixture->err);
    if (rc != VLM_OK)
        fail_msg("page does not parse: %s", fixture->err.msg);
    for (size_t i = 0; i < document->n_images; i++)
        document->images[i].status = 0;
    return document;
}

static inline struct vlm_document *parse_page(struct page_fixture *fixture, const char *html,
                                              const char *url)
{
    return parse_bytes(fixture, html, strlen(html), url ? url : "http://a.org/dir/p.html");
}

#endif
