/* fuzz_render.c - pages of any bytes through parser, passes and all renderers.
 *
 * Whatever the page is, its renderings are valid UTF-8, their markup is balanced, and no special
 * word stands in them that we did not write (tests/render_oracle.h). */
#include "base/vlm.h"

#include "tests/render_oracle.h"
#include "tokenize/html/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vlm_page_parser *parser; /* one for all runs: it opens dozens of converters */
    struct vlm_arena arena;
    struct vlm_buffer scratch = { 0 };
    struct vlm_err err = { 0 };
    if (!parser && vlm_page_parser_new(&parser, &err) != VLM_OK)
        abort();
    vlm_arena_init(&arena, 256 << 20);
    struct vlm_page_input in = {
        .bytes = data, .size = size, .url = "http://a.org/b/c.html", .charset = "utf-8"
    };
    struct vlm_document *document;
    int rc = vlm_page_parse(&document, parser, &in, &arena, NULL, &err);
    if (rc == VLM_OK) {
        const char *wrong = render_oracle(document, &scratch);
        if (wrong) {
            fprintf(stderr, "%s\n", wrong);
            abort();
        }
    }
    vlm_buffer_release(&scratch);
    vlm_arena_release(&arena);
    return 0;
}
