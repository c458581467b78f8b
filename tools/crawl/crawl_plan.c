/* crawl_plan.c - decides what a page holds and what the crawler got of it.
 *
 * Ordinary variety (markup, encodings, formats) is drawn at random; the rare cases that a crawl must
 * hold are tied to page numbers modulo 100, so that two hundred pages have each of them twice. */
#include "base/vlm.h"
#include "tools/crawl/crawl_page.h"

#include "tools/crawl/scene_words.h"

enum { STREAM_PAGE = 1, STREAM_SCENE = 2, STREAM_FILE = 3 };
enum { SITES = 4, SECONDS_PER_PAGE = 13, REVISIT_DISTANCE = 7 };

#define FIRST_SECOND 1767600000u /* 2026-01-05T08:00:00Z */

const char *crawl_site_host(unsigned site)
{
    static const char *const hosts[SITES] = { "shapes.example", "www.colour-book.example",
                                              "pictures.example", "drawings.example" };
    return hosts[site % SITES];
}

static uint64_t page_time(uint64_t page)
{
    return FIRST_SECOND + page * SECONDS_PER_PAGE;
}

static enum crawl_fate fate_of(uint64_t page, unsigned index)
{
    if (index)
        return FATE_FOUND;
    switch (page % 100) {
    case 11:
        return FATE_REVISIT_OTHER;
    case 61:
        return FATE_REVISIT_SAME;
    case 17:
    case 73:
        return FATE_REDIRECT_TWO;
    case 23:
    case 83:
        return FATE_REDIRECT;
    case 59:
        return FATE_DATA;
    case 53:
        return FATE_MISSING;
    case 67:
        return FATE_NOT_FOUND;
    default:
        return FATE_FOUND;
    }
}

static void image_url(char url[CRAWL_URL_MAX], const struct crawl_image *image, const char *folder,
                      uint64_t page, unsigned index)
{
    struct vlm_buffer slug = { 0 };
    scene_slug(&slug, &image->scene);
    snprintf(url, CRAWL_URL_MAX, "https://%s/%s/%06" PRIu64 "-%u-%.*s.%s",
             crawl_site_host((unsigned)(page % SITES)), folder, page, index, (int)slug.size,
             (const char *)slug.data, image->png ? "png" : "jpg");
    vlm_buffer_release(&slug);
}

/* The image that (page, index) stands for when it is not a revisit. */
static void make_image(struct crawl_image *image, uint64_t seed, uint64_t page, unsigned index)
{
    struct vlm_random random = vlm_random_at(seed, STREAM_SCENE, page * CRAWL_IMAGES_MAX + index);
    scene_make(&image->scene, &random);
    random = vlm_random_at(seed, STREAM_FILE, page * CRAWL_IMAGES_MAX + index);
    image->png = vlm_random_chance(&random, 10);
    image->quality = (int)vlm_random_between(&random, 78, 94);
    image->fate = fate_of(page, index);
    image->markup = MARKUP_PLAIN;
    unsigned at = (unsigned)vlm_random_below(&random, 100);
    if (image->fate != FATE_DATA && at < 30)
        image->markup = at < 12 ? MARKUP_LAZY : at < 24 ? MARKUP_SRCSET : MARKUP_PICTURE;
    image->time = page_time(page) + 2 + index;
    image->target_time = image->time;
    image_url(image->url, image, "media", page, index);
    image_url(image->target, image, "files/media", page, index);
}

static void make_revisit(struct crawl_image *image, uint64_t seed, uint64_t page)
{
    struct crawl_image original;
    make_image(&original, seed, page - REVISIT_DISTANCE, 0);
    image->scene = original.scene;
    image->png = original.png;
    image->quality = original.quality;
    image->target_time = original.time;
    memcpy(image->target, original.url, sizeof(image->target));
    if (image->fate == FATE_REVISIT_SAME)
        memcpy(image->url, original.url, sizeof(image->url));
    else
        image_url(image->url, image, "media", page, 0);
}

/* A page of the simple world: one picture that is as it was drawn, found where the page says; or, of every other two
 * pages, none but what its words are about. */
static void plan_simple(struct crawl_plan *plan, const struct crawl_options *options, uint64_t page)
{
    struct crawl_image *image = &plan->image[0];
    struct vlm_random random = vlm_random_at(options->seed, STREAM_SCENE, page * CRAWL_IMAGES_MAX);
    plan->world = WORLD_SIMPLE;
    plan->n_images = page % 4 < 2;
    scene_make_simple(&image->scene, options->pairs, &random);
    image->png = true;
    image->fate = FATE_FOUND;
    image->markup = MARKUP_PLAIN;
    image->time = image->target_time = page_time(page) + 2;
    image_url(image->url, image, "media", page, 0);
}

void crawl_plan_make(struct crawl_plan *plan, const struct crawl_options *options, uint64_t page)
{
    *plan = (struct crawl_plan){ .number = page, .seed = options->seed };
    struct vlm_random random = vlm_random_at(options->seed, STREAM_PAGE, page);
    plan->site = (unsigned)(page % SITES);
    plan->time = page_time(page);
    plan->gzip = vlm_random_chance(&random, 25);
    plan->chunked = vlm_random_chance(&random, 20);
    plan->opt_out = page % 100 == 37;
    plan->duplicate = page % 100 == 41;
    plan->damaged = options->damage && options->pages > 2 && page == options->pages / 2;
    plan->n_images = 1 + (size_t)vlm_random_below(&random, options->images_per_page);
    snprintf(plan->url, sizeof(plan->url), "https://%s/gallery/%06" PRIu64 ".html",
             crawl_site_host(plan->site), page);
    if (options->world == WORLD_SIMPLE) {
        plan->gzip = plan->chunked = plan->opt_out = plan->duplicate = false;
        plan_simple(plan, options, page);
        return;
    }
    for (unsigned i = 0; i < plan->n_images; i++) {
        struct crawl_image *image = &plan->image[i];
        make_image(image, options->seed, page, i);
        if (image->fate == FATE_REVISIT_SAME || image->fate == FATE_REVISIT_OTHER)
            make_revisit(image, options->seed, page);
    }
}
