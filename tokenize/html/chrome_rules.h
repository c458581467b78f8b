/* chrome_rules.h - data of the rule that recognises chrome: elements, roles, names in class and id.
 *
 * Names are compared in lower case. WORD is a whole class or id token; START and END are how a
 * token begins or ends: they are listed only where authors compose freely ("js-cookie-banner"). */
#ifndef VLM_TOKENIZE_CHROME_RULES_H
#define VLM_TOKENIZE_CHROME_RULES_H

/* clang-format off */
#define VLM_CHROME_ELEMENTS(X)                                                                     \
    X(header) X(footer) X(nav) X(form) X(dialog) X(frame) X(menu) X(search) X(button) X(select)    \
    X(textarea) X(input)

#define VLM_CHROME_ROLES(X)                                                                        \
    X("banner") X("navigation") X("contentinfo") X("dialog") X("alertdialog") X("search")          \
    X("menu") X("menubar") X("toolbar")

#define VLM_CHROME_NAMES(WORD, START, END)                                                         \
    WORD("footer") WORD("header") WORD("nav") WORD("navbar") WORD("navigation") WORD("menu")       \
    WORD("copyright") WORD("cookie") WORD("cookies") WORD("site-info") WORD("sidebar")             \
    WORD("breadcrumb") WORD("breadcrumbs") WORD("site-header") WORD("site-footer")                 \
    WORD("page-footer") WORD("global-header") WORD("global-footer") WORD("masthead")               \
    WORD("topbar") WORD("mw-navigation") WORD("mw-head") WORD("mw-panel") WORD("catlinks")         \
    WORD("skip-link") WORD("skiplink") WORD("screen-reader-text") WORD("noprint")                  \
    START("cookie-") START("cookie_") START("breadcrumb") START("navbar-") START("nav-")           \
    START("gdpr") END("-cookie") END("-cookies") END("-breadcrumb") END("-breadcrumbs")            \
    END("-navbar") END("-nav") END("_nav") END("-navigation") END("_navigation") END("-menu")      \
    END("_menu") END("-copyright") END("_copyright") END("-sidebar") END("_sidebar")               \
    END("-footer") END("_footer") END("cookie-banner") END("cookie-notice") END("cookie-consent")

/* A leaf block that begins with one of these, shorter than VLM_COPYRIGHT_MAX, is a copyright line.
 */
#define VLM_COPYRIGHT_STARTS(X)                                                                    \
    X("copyright") X("(c)") X("\xc2\xa9") X("all rights reserved")

/* clang-format on */

enum { VLM_COPYRIGHT_MAX = 200 };

#endif
