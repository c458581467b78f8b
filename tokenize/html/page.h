/* page.h - from the bytes of an HTML page to a document.
 *
 *   struct vlm_page_input in = { .bytes = body, .size = n, .url = "http://a.org/p.html",
 *                                .content_type = "text/html; charset=gbk" };
 *   struct vlm_document *document;
 *   rc = vlm_page_parse(&document, parser, &in, arena, &err);
 *
 * Charset by the WHATWG order, then libxml2's SAX over the whole decoded page after a pre-pass that
 * elides script and style bodies and comments; offsets of events are in the decoded page. */
#ifndef VLM_TOKENIZE_PAGE_H
#define VLM_TOKENIZE_PAGE_H

#include "tokenize/document.h"
#include "tokenize/html/page_map.h"

/* Something of the page was cut or repaired; bits of document->warnings, names in page.c. */
enum vlm_page_warning {
    VLM_PAGE_REPLACED = 1,   /* bytes that are invalid in the charset became U+FFFD */
    VLM_PAGE_DEPTH = 2,      /* elements below VLM_HTML_DEPTH_MAX were flattened */
    VLM_PAGE_ATTRIBUTES = 4, /* attributes beyond the limits were left out or cut */
    VLM_PAGE_NODES = 8,      /* events beyond VLM_HTML_NODES_MAX were left out */
    VLM_PAGE_IMAGES = 16,    /* images beyond VLM_HTML_IMAGES_MAX were left out */
    VLM_PAGE_TRUNCATED = 32, /* the crawl stored only the beginning (WARC-Truncated) */
    VLM_PAGE_BODY = 64,      /* the HTTP body did not decode as declared; stored bytes used */
};

/* What the page says about its own use: <meta name=robots> and X-Robots-Tag. */
enum vlm_opt_out {
    VLM_OPT_OUT_NOAI = 1,
    VLM_OPT_OUT_NOIMAGEAI = 2,
};

struct vlm_page_input {
    const void *bytes;
    size_t size;
    const char *url;          /* base of relative URLs; NULL: none */
    const char *content_type; /* HTTP header, or NULL */
    const char *charset;      /* overrides everything, or NULL */
};

/* Holds the iconv converters, all opened at once so that a confined process can use them, and
 * libxml2's state. One thread at a time. */
struct vlm_page_parser;
VLM_MUST_CHECK int vlm_page_parser_new(struct vlm_page_parser **out, struct vlm_err *err);
void vlm_page_parser_free(struct vlm_page_parser *parser);

/* From now on every parse fills map anew: where the text stands in the decoded page. NULL: none. The
 * map is the caller's and must live until the last parse. */
void vlm_page_parser_trace(struct vlm_page_parser *parser, struct vlm_page_map *map);

/* Parses one page and runs all passes; url, title, lang, charset and warnings are set, date, source
 * and payload_sha256 are the caller's to set. *opt_out (may be NULL) gets vlm_opt_out bits of
 * <meta name="robots">. The document lives in arena. VLM_SKIP: the page is over a limit. */
VLM_MUST_CHECK int vlm_page_parse(struct vlm_document **out, struct vlm_page_parser *parser,
                                  const struct vlm_page_input *in, struct vlm_arena *arena,
                                  unsigned *opt_out, struct vlm_err *err);

/* The same for plain text (WET): one paragraph per line. */
VLM_MUST_CHECK int vlm_page_from_text(struct vlm_document **out, struct vlm_page_parser *parser,
                                      const struct vlm_page_input *in, struct vlm_arena *arena,
                                      struct vlm_err *err);

/* The decoded page that event offsets point into (for trace and explain); NUL-terminated, in arena.
 */
VLM_MUST_CHECK int vlm_page_decode(const char **text, size_t *size, const char **charset,
                                   struct vlm_page_parser *parser, const struct vlm_page_input *in,
                                   struct vlm_arena *arena, struct vlm_err *err);

/* vlm_opt_out bits of the value of a robots directive ("noai, max-snippet:-1"). */
unsigned vlm_opt_out_parse(const char *value, size_t n);

/* The bytes of a data: URL (base64 or percent-encoded), in arena. VLM_SKIP when it is none. */
VLM_MUST_CHECK int vlm_data_url_decode(const uint8_t **bytes, size_t *size, const char *url,
                                       size_t n, struct vlm_arena *arena, struct vlm_err *err);

#endif
