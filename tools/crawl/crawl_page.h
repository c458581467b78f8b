/* crawl_page.h - one page of the made-up crawl: its plan, its HTML, its records.
 *
 *   struct crawl_maker *maker = crawl_maker_new();
 *   rc = crawl_page_add(maker, &out, &counts, &options, 17, &err);
 *   crawl_maker_free(maker);
 *
 * A page is a pure function of (seed, page number) and of the options. One thread per maker. */
#ifndef VLM_TOOLS_CRAWL_PAGE_H
#define VLM_TOOLS_CRAWL_PAGE_H

#include "tools/crawl/crawl_writer.h"
#include "tools/crawl/scene.h"

enum { CRAWL_IMAGES_MAX = 4, CRAWL_URL_MAX = 160 };

enum crawl_world {
    WORLD_RICH,   /* sites with articles about pictures, and all that happens to crawlers */
    WORLD_SIMPLE, /* a picture and its few words as alt or title, or two sentences */
};
#define CRAWL_WORLD_WORDS "rich|simple"

struct crawl_options {
    uint64_t seed, pages;
    unsigned images_per_page; /* at most */
    bool damage;              /* the record of the page in the middle is damaged */
    enum crawl_world world;
    enum scene_pairs pairs; /* of the simple world: which colours at which places */
};

/* What the crawler got for an image. */
enum crawl_fate {
    FATE_FOUND,
    FATE_REDIRECT,      /* 301, to the file on another path */
    FATE_REDIRECT_TWO,  /* 302 with a relative Location, then 301, then the file */
    FATE_REVISIT_SAME,  /* the URL of an earlier page's image, captured again as a revisit */
    FATE_REVISIT_OTHER, /* a URL of its own, recorded as a revisit of an earlier page's image */
    FATE_DATA,          /* no record: it is a data: URL in the page */
    FATE_MISSING,       /* no record at all */
    FATE_NOT_FOUND,     /* 404 */
};

enum crawl_markup { MARKUP_PLAIN, MARKUP_LAZY, MARKUP_SRCSET, MARKUP_PICTURE };

struct crawl_image {
    struct scene scene;
    bool png;
    int quality;
    enum crawl_fate fate;
    enum crawl_markup markup;
    char url[CRAWL_URL_MAX];    /* as the page names it, made absolute */
    char target[CRAWL_URL_MAX]; /* where redirects end; the original of a revisit */
    uint64_t time, target_time;
};

struct crawl_plan {
    uint64_t number, seed, time;
    unsigned site;
    enum crawl_world world;
    char url[CRAWL_URL_MAX];
    bool gzip, chunked, opt_out, duplicate, damaged;
    struct crawl_image image[CRAWL_IMAGES_MAX];
    size_t n_images;
};

struct crawl_counts {
    uint64_t pages, duplicates, opt_outs, damaged;
    uint64_t images, jpeg, png, redirects, revisits, data_urls, missing, not_found;
    uint64_t records[CRAWL_TYPES];
};

struct crawl_maker;

/* NULL when memory ran out. */
struct crawl_maker *crawl_maker_new(void);
void crawl_maker_free(struct crawl_maker *maker);

/* Appends the records of a page to out and adds to counts. */
VLM_MUST_CHECK int crawl_page_add(struct crawl_maker *maker, struct vlm_buffer *out,
                                  struct crawl_counts *counts, const struct crawl_options *options,
                                  uint64_t page, struct vlm_err *err);

/* The record that begins a file. */
void crawl_warcinfo_add(struct crawl_maker *maker, struct vlm_buffer *out,
                        struct crawl_counts *counts, const struct crawl_options *options,
                        uint64_t file);

/* Decides everything about a page; crawl_plan.c. */
void crawl_plan_make(struct crawl_plan *plan, const struct crawl_options *options, uint64_t page);

/* Writes the HTML of a page; the file of its data: image is in data, or empty. crawl_html.c. */
void crawl_html(struct vlm_buffer *out, const struct crawl_plan *plan,
                const struct vlm_buffer *data);

/* "shapes.example". */
const char *crawl_site_host(unsigned site);

#endif
