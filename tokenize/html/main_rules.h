/* main_rules.h - data of the rule that finds the main content: words in class and id that name
 * what stands beside an article.
 *
 * Tokens are split at '-', '_', digits and capitals ("relatedPosts" is "related", "posts"); a part
 * must equal a word. */
#ifndef VLM_TOKENIZE_MAIN_RULES_H
#define VLM_TOKENIZE_MAIN_RULES_H

/* clang-format off */
#define VLM_BESIDE_WORDS(X)                                                                        \
    X("related") X("share") X("sharing") X("shares") X("sharedaddy") X("social") X("promo")        \
    X("promos") X("promotion") X("sponsor") X("sponsored") X("ad") X("ads") X("advert")            \
    X("adverts") X("advertisement") X("advertising") X("newsletter") X("newsletters")              \
    X("subscribe") X("subscription") X("signup") X("recommend") X("recommended")                   \
    X("recommendation") X("recommendations") X("recirc")                                           \
    X("popular") X("trending") X("sidebar") X("widget") X("widgets") X("tags") X("taglist")        \
    X("breadcrumb") X("breadcrumbs") X("pagination") X("pager") X("toolbar") X("footer")           \
    X("outbrain") X("taboola") X("modal") X("popup") X("overlay") X("banner") X("cookie")          \
    X("cookies") X("consent") X("login") X("signin") X("rail") X("follow") X("byline")             \
    X("bylines") X("timestamp") X("dateline") X("credit") X("credits") X("menu") X("nav")          \
    X("navigation") X("navbar") X("masthead") X("paywall") X("feedback") X("rating") X("ratings")  \
    X("bio") X("slideshow") X("readmore") X("mostread") X("print") X("tooltip") X("hidden")        \
    X("visuallyhidden") X("disclaimer") X("teaser") X("teasers") X("upsell") X("poll")             \
    X("hatnote") X("editsection") X("noprint") X("screenreader")

/* What readers wrote: it may be longer than the article. */
#define VLM_COMMENT_WORDS(X)                                                                       \
    X("comment") X("comments") X("disqus") X("respond") X("replies") X("commentlist")

/* What describes an image. */
#define VLM_CAPTION_WORDS(X)                                                                       \
    X("caption") X("captions") X("figcaption")

/* clang-format on */

#endif
