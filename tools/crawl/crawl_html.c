/* crawl_html.c - writes a page as web pages are: head, navigation, an article with figures, footer.
 *
 * Only the article speaks about the pictures; what stands around it is the same on every page of a
 * site, as on the web. The words come from scene_words.c and need no escaping. */
#include "base/vlm.h"
#include "tools/crawl/crawl_page.h"

#include "tools/crawl/scene_words.h"

enum { STREAM_WORDS = 4 };

static const char *const site_names[] = { "The Shape Gallery", "Colour Book", "Picture Archive",
                                          "Plain Drawings" };

static const char *const page_style =
    "<style>\nbody { font-family: sans-serif; max-width: 60em; margin: auto; }\n"
    "nav li { display: inline; }\nfigure { margin: 1em 0; }\n</style>\n";

static const char *const page_script =
    "<script>\n(function () {\n  var lazy = document.querySelectorAll('img[data-src]');\n"
    "  for (var i = 0; i < lazy.length; i++) { if (i < 3 && lazy[i].complete) "
    "lazy[i].src = lazy[i].dataset.src; }\n})();\n</script>\n";

static void add_base64(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (uint32_t)(left > 1 ? bytes[i + 1] : 0) << 8 |
                         (left > 2 ? bytes[i + 2] : 0);
        char four[4] = { digit[three >> 18], digit[three >> 12 & 63],
                         left > 1 ? digit[three >> 6 & 63] : '=',
                         left > 2 ? digit[three & 63] : '=' };
        vlm_buffer_add(out, four, 4);
    }
}

/* A path on the page's own site is written relative on every third page. */
static const char *written_url(const struct crawl_plan *plan, const char *url)
{
    const char *host = crawl_site_host(plan->site);
    size_t n = strlen("https://") + strlen(host);
    bool own = !strncmp(url + strlen("https://"), host, strlen(host)) && url[n] == '/';
    return own && plan->number % 3 == 0 ? url + n : url;
}

static void add_head(struct vlm_buffer *out, const struct crawl_plan *plan,
                     struct vlm_random *random)
{
    const struct crawl_image *image = &plan->image[0];
    vlm_buffer_text(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    vlm_buffer_text(out, "<title>");
    scene_title(out, &image->scene, random);
    vlm_buffer_printf(out, " - %s</title>\n", site_names[plan->site]);
    vlm_buffer_text(out, "<meta name=\"description\" content=\"");
    scene_caption(out, &image->scene, random);
    vlm_buffer_text(out, "\">\n<meta property=\"og:title\" content=\"");
    scene_title(out, &image->scene, random);
    vlm_buffer_text(out, "\">\n");
    if (image->fate != FATE_DATA)
        vlm_buffer_printf(out, "<meta property=\"og:image\" content=\"%s\">\n", image->url);
    if (plan->opt_out)
        vlm_buffer_text(out, "<meta name=\"robots\" content=\"noai, noimageai\">\n");
    vlm_buffer_text(out, "<link rel=\"stylesheet\" href=\"/style.css\">\n");
    vlm_buffer_text(out, page_style);
    if (plan->number % 2)
        vlm_buffer_text(out, page_script);
    vlm_buffer_text(out, "</head>\n");
}

static void add_navigation(struct vlm_buffer *out, const struct crawl_plan *plan)
{
    vlm_buffer_printf(
        out,
        "<body>\n<header class=\"site-header\">\n<a href=\"/\">%s</a>\n<nav>\n<ul>\n"
        "<li><a href=\"/\">Home</a></li>\n<li><a href=\"/gallery/\">Gallery</a></li>\n"
        "<li><a href=\"/about.html\">About &amp; contact</a></li>\n",
        site_names[plan->site]);
    if (plan->number >= 4)
        vlm_buffer_printf(out, "<li><a href=\"/gallery/%06" PRIu64 ".html\">Previous</a></li>\n",
                          plan->number - 4);
    vlm_buffer_printf(out, "<li><a href=\"/gallery/%06" PRIu64 ".html\">Next</a></li>\n",
                      plan->number + 4);
    vlm_buffer_text(out, "</ul>\n</nav>\n</header>\n");
    if (plan->number % 5 == 2)
        vlm_buffer_text(out, "<div class=\"cookie-banner\" id=\"cookie-consent\"><p>We use cookies "
                             "to count visitors.</p><button>Accept</button></div>\n");
}

static void add_size(struct vlm_buffer *out, const struct crawl_image *image)
{
    vlm_buffer_printf(out, " width=\"%u\" height=\"%u\"", image->scene.width, image->scene.height);
}

static void add_source(struct vlm_buffer *out, const struct crawl_plan *plan,
                       const struct crawl_image *image, const struct vlm_buffer *data)
{
    const char *url = written_url(plan, image->url);
    int stem = (int)(strrchr(url, '.') - url);
    if (image->fate == FATE_DATA) {
        vlm_buffer_printf(out, " src=\"data:image/%s;base64,", image->png ? "png" : "jpeg");
        add_base64(out, data->data, data->size);
        vlm_buffer_byte(out, '"');
    } else if (image->markup == MARKUP_LAZY) {
        vlm_buffer_printf(out,
                          " class=\"lazy\" src=\"data:image/gif;base64,"
                          "R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==\""
                          " data-src=\"%s\"",
                          url);
    } else if (image->markup == MARKUP_SRCSET) {
        /* The double size was not captured; src was. */
        vlm_buffer_printf(out, " src=\"%s\" srcset=\"%s 1x, %.*s@2x.%s 2x\"", url, url, stem, url,
                          image->png ? "png" : "jpg");
    } else {
        vlm_buffer_printf(out, " src=\"%s\"", url);
    }
}

static void add_image(struct vlm_buffer *out, const struct crawl_plan *plan,
                      const struct crawl_image *image, const struct vlm_buffer *data,
                      struct vlm_random *random)
{
    bool picture = image->markup == MARKUP_PICTURE;
    if (picture) {
        const char *url = written_url(plan, image->url);
        vlm_buffer_printf(out, "<picture><source type=\"image/avif\" srcset=\"%.*s.avif\">",
                          (int)(strrchr(url, '.') - url), url);
    }
    vlm_buffer_text(out, "<img");
    add_source(out, plan, image, data);
    if (!vlm_random_chance(random, 8)) {
        vlm_buffer_text(out, " alt=\"");
        scene_alt(out, &image->scene, random);
        vlm_buffer_byte(out, '"');
    }
    if (vlm_random_chance(random, 70))
        add_size(out, image);
    vlm_buffer_byte(out, '>');
    if (picture)
        vlm_buffer_text(out, "</picture>");
    if (image->markup == MARKUP_LAZY && vlm_random_chance(random, 50))
        vlm_buffer_printf(out, "<noscript><img src=\"%s\"></noscript>",
                          written_url(plan, image->url));
    vlm_buffer_byte(out, '\n');
}

static void add_figure(struct vlm_buffer *out, const struct crawl_plan *plan,
                       const struct crawl_image *image, const struct vlm_buffer *data,
                       struct vlm_random *random)
{
    if (vlm_random_chance(random, 18)) {
        vlm_buffer_text(out, "<div class=\"image\">\n");
        add_image(out, plan, image, data, random);
        vlm_buffer_text(out, "</div>\n");
        return;
    }
    vlm_buffer_text(out, "<figure>\n");
    add_image(out, plan, image, data, random);
    vlm_buffer_text(out, "<figcaption>");
    scene_caption(out, &image->scene, random);
    vlm_buffer_text(out, "</figcaption>\n</figure>\n");
}

static void add_paragraph(struct vlm_buffer *out, const struct crawl_image *image,
                          struct vlm_random *random)
{
    vlm_buffer_text(out, "<p>");
    scene_paragraph(out, &image->scene, random);
    vlm_buffer_text(out, "</p>\n");
}

static void add_section(struct vlm_buffer *out, const struct crawl_plan *plan, size_t i,
                        const struct vlm_buffer *data, struct vlm_random *random)
{
    const struct crawl_image *image = &plan->image[i];
    if (plan->n_images > 1) {
        vlm_buffer_text(out, "<h2>");
        scene_heading(out, &image->scene, random);
        vlm_buffer_text(out, "</h2>\n");
    }
    bool before = vlm_random_chance(random, 40);
    if (before)
        add_paragraph(out, image, random);
    add_figure(out, plan, image, data, random);
    if (!before || vlm_random_chance(random, 30))
        add_paragraph(out, image, random);
}

static void add_intro(struct vlm_buffer *out, const struct crawl_plan *plan,
                      struct vlm_random *random)
{
    unsigned form = (unsigned)vlm_random_below(random, 4);
    const char *number = scene_number_word(plan->n_images), *plural = plan->n_images > 1 ? "s" : "";
    vlm_buffer_text(out, "<main>\n<article>\n<h1>");
    if (plan->n_images > 1 && vlm_random_chance(random, 30))
        vlm_buffer_printf(out, "%c%s pictures", number[0] - 'a' + 'A', number + 1);
    else
        scene_heading(out, &plan->image[0].scene, random);
    vlm_buffer_text(out, "</h1>\n");
    if (form == 0)
        vlm_buffer_printf(out, "<p>This page shows %s picture%s.</p>\n", number, plural);
    else if (form == 1)
        vlm_buffer_printf(out, "<p>Today's entry has %s picture%s.</p>\n", number, plural);
    else if (form == 2)
        vlm_buffer_printf(out, "<p>Below you will find %s picture%s and a description.</p>\n",
                          number, plural);
}

/* Of four pages, one has words before its picture (alt comes before src in the order of attributes that CM3 uses),
 * one behind it (title), and two are words alone, as most of the web is: without them, masks would nearly
 * always stand for parts of pictures, which are 256 tokens of some 290. */
static void simple_page(struct vlm_buffer *out, const struct crawl_plan *plan,
                        struct vlm_random *random)
{
    const struct crawl_image *image = &plan->image[0];
    vlm_buffer_text(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<body>\n");
    if (plan->n_images) {
        vlm_buffer_printf(out, "<img src=\"%s\" %s=\"", image->url,
                          plan->number % 2 ? "title" : "alt");
        scene_plain_words(out, &image->scene);
        vlm_buffer_text(out, "\">");
    } else {
        vlm_buffer_text(out, "<p>");
        scene_plain_sentences(out, &image->scene, random);
        vlm_buffer_text(out, "</p>");
    }
    vlm_buffer_text(out, "\n</body>\n</html>\n");
}

void crawl_html(struct vlm_buffer *out, const struct crawl_plan *plan,
                const struct vlm_buffer *data)
{
    struct vlm_random random = vlm_random_at(plan->seed, STREAM_WORDS, plan->number);
    if (plan->world == WORLD_SIMPLE) {
        simple_page(out, plan, &random);
        return;
    }
    add_head(out, plan, &random);
    add_navigation(out, plan);
    add_intro(out, plan, &random);
    for (size_t i = 0; i < plan->n_images; i++)
        add_section(out, plan, i, data, &random);
    vlm_buffer_text(out, "</article>\n</main>\n");
    if (plan->number % 3 == 1)
        vlm_buffer_text(out, "<aside class=\"sidebar\">\n<h3>More to see</h3>\n<ul>\n"
                             "<li><a href=\"/gallery/\">All pictures</a></li>\n"
                             "<li><a href=\"/random\">A random one</a></li>\n</ul>\n</aside>\n");
    vlm_buffer_printf(out,
                      "<footer>\n<p>&copy; 2026 %s. All pages are made up.</p>\n"
                      "<p><a href=\"/imprint.html\">Imprint</a> | <a href=\"/privacy.html\">Privacy"
                      "</a></p>\n</footer>\n</body>\n</html>\n",
                      site_names[plan->site]);
}
