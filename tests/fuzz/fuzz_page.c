/* fuzz_page.c - any bytes as a page: the document passes its check, whatever they are. The first
 * byte chooses what else is known about the page. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/html/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const types[] = { NULL, "text/html; charset=gbk", "text/html; charset=utf-8",
                                         "text/html; charset=iso-2022-jp" };
    static const char *const charsets[] = { NULL, "big5", "utf-16le", "utf-8" };
    static struct vlm_page_parser *parser; /* one for the whole run, as a worker has it */
    struct vlm_err err = { 0 };
    if (!n)
        return 0;
    if (!parser)
        must(vlm_page_parser_new(&parser, &err) == VLM_OK);
    struct vlm_page_input in = {
        .bytes = bytes + 1,
        .size = n - 1,
        .url = bytes[0] & 1 ? "http://h/d/p.html" : NULL,
        .content_type = types[bytes[0] >> 1 & 3],
        .charset = charsets[bytes[0] >> 3 & 3],
    };
    struct vlm_arena arena;
    vlm_arena_init(&arena, VLM_GIB);
    struct vlm_document *document;
    unsigned opt_out;
    int rc = bytes[0] & 32 ? vlm_page_from_text(&document, parser, &in, &arena, &err)
                           : vlm_page_parse(&document, parser, &in, &arena, &opt_out, &err);
    must(rc == VLM_OK || rc == VLM_SKIP);
    must(rc != VLM_OK || vlm_document_check(document, &err) == VLM_OK);
    vlm_arena_release(&arena);
    return 0;
}
