/* web_page.h - the web page of the server, inside of the program.
 *
 *   const struct vlm_web_page page = vlm_web_page();
 *   vlm_exchange_header(exchange, "Content-Security-Policy", VLM_WEB_PAGE_POLICY);
 *   vlm_exchange_reply(exchange, 200, "text/html; charset=utf-8", page.bytes, page.n);
 *
 * One file of HTML with its style and its script: it asks only the server that it came from. */
#ifndef VLM_SERVE_WEB_PAGE_H
#define VLM_SERVE_WEB_PAGE_H

#include "base/vlm.h"

struct vlm_web_page {
    const uint8_t *bytes; /* serve/page/web_page.html; a NUL stands behind them */
    size_t n;
};

/* Any thread; lives as long as the program. */
struct vlm_web_page vlm_web_page(void);

/* What a browser may do with it: no other server, no frame around it; pictures from answers and from files. */
#define VLM_WEB_PAGE_POLICY                                                                        \
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "                  \
    "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "               \
    "frame-ancestors 'none'"

#endif
