/* crawl_page.h - the page of a document, read from the crawl again, with the map from its text to its bytes.
 *
 *   struct vlm_crawl crawl = { .path = "crawl" };
 *   rc = vlm_crawl_page_read(&page, &crawl, document, arena, &err);
 *   ... page.text, page.map ...
 *   vlm_crawl_release(&crawl); */
#ifndef VLM_TOOLS_CRAWL_PAGE_H
#define VLM_TOOLS_CRAWL_PAGE_H

#include "tokenize/html/page.h"

/* Zeroed but for path it is ready. One thread. */
struct vlm_crawl {
    const char *path; /* the folder that was built from, or the one file */
    struct vlm_page_parser *parser;
    struct vlm_page_map map;
};

struct vlm_crawl_page {
    const char *text; /* decoded, in arena */
    size_t size;
    const struct vlm_document
        *document;                  /* as parsed again; its events are those of the stored one */
    const struct vlm_page_map *map; /* of the crawl; valid until it reads the next page */
};

/* Opens the record that the document names, and checks that its body is the one the document was made from
 * (SHA-256), and that it still becomes the same document. VLM_EFAIL: no such file or record;
 * VLM_EDIFFER: the record is another, or the parser reads it otherwise than when the set was made. */
VLM_MUST_CHECK int vlm_crawl_page_read(struct vlm_crawl_page *page, struct vlm_crawl *crawl,
                                       const struct vlm_document *document, struct vlm_arena *arena,
                                       struct vlm_err *err);
void vlm_crawl_release(struct vlm_crawl *crawl);

#endif
