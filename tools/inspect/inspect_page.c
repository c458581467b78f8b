/* inspect_page.c - vlm-inspect page: one page through parser, passes and renderer.
 *
 * There is no crawl, so an image is usable when it has a URL; only data: URLs are decoded. With a
 * profile, text, m3w and pair hold the main content. No filter ever suppresses the output. */
#include "base/vlm.h"

#include <ctype.h>
#include <strings.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/option.h"
#include "shard/options.h"
#include "tokenize/html/page.h"
#include "tools/inspect/document_json.h"
#include "tools/inspect/inspect.h"
#include "vqgan/image/image.h"

enum { ARENA_MAX = 1 << 30 };

struct page_inspection {
    const char *url;
    const char *charset;
    int render;
    int profile;
    struct vlm_page_parser *parser;
    struct vlm_arena arena, image_arena;
    struct vlm_buffer bytes, out;
};

static const char *const warning_names[] = {
    "replaced", "depth", "attributes", "nodes", "images", "truncated", "body",
};

static int read_file(struct vlm_buffer *bytes, const char *path, struct vlm_err *err)
{
    return vlm_file_read(bytes, strcmp(path, "-") == 0 ? "/dev/stdin" : path, VLM_BODY_MAX, err);
}

/* Whether something may stand behind a URL: on the web, in the URL itself, or, for a relative one,
 * beside the page. */
static bool is_place(const char *url, size_t n)
{
    static const char *const schemes[] = { "http", "https", "data", "ftp", "file" };
    size_t length = 0;
    while (length < n && (isalnum((unsigned char)url[length]) || strchr("+-.", url[length])))
        length++;
    if (n == 0 || length == n || url[length] != ':' || length == 0)
        return n > 0; /* no scheme */
    for (size_t i = 0; i < VLM_COUNTOF(schemes); i++)
        if (strlen(schemes[i]) == length && !strncasecmp(url, schemes[i], length))
            return true;
    return false;
}

/* Without --url a relative src has no candidates, but is a place all the same. */
static bool has_place(const struct vlm_document *document, const struct vlm_document_image *image)
{
    for (unsigned i = 0; i < image->n_candidates; i++)
        if (is_place(document->text + image->candidate[i].start, image->candidate[i].length))
            return true;
    return !image->n_candidates && is_place(document->text + image->src.start, image->src.length);
}

/* Looks at the image behind a data: URL; others stay unknown. */
static int find_image(struct page_inspection *inspection, const struct vlm_document *document,
                      struct vlm_document_image *image, struct vlm_err *err)
{
    image->status = has_place(document, image) ? VLM_STATUS_UNKNOWN : VLM_IMAGE_NO_URL;
    for (uint8_t i = 0; i < image->n_candidates; i++) {
        const char *url = document->text + image->candidate[i].start;
        size_t n = image->candidate[i].length;
        const uint8_t *bytes;
        size_t size;
        if (n < 5 || strncasecmp(url, "data:", 5) != 0)
            continue;
        vlm_arena_reset(&inspection->image_arena);
        if (vlm_data_url_decode(&bytes, &size, url, n, &inspection->image_arena, err) != VLM_OK) {
            image->status = i == 0 ? VLM_IMAGE_NOT_AN_IMAGE : image->status;
            continue;
        }
        struct vlm_image decoded;
        int rc =
            vlm_image_decode(&decoded, bytes, size, &vlm_profile_rules(inspection->profile)->image,
                             &inspection->image_arena, err);
        if (rc != VLM_OK)
            return rc;
        image->status = (uint8_t)decoded.info.status;
        image->format = (uint8_t)decoded.info.format;
        image->used = i;
        image->width = decoded.info.width;
        image->height = decoded.info.height;
        vlm_sha256(image->sha256, bytes, size);
        return VLM_OK;
    }
    return VLM_OK;
}

static void write_list(struct vlm_json *json, const char *key, unsigned bits,
                       const char *const *names, size_t n)
{
    vlm_json_key(json, key);
    vlm_json_open(json, '[');
    for (size_t i = 0; i < n; i++)
        if (bits >> i & 1)
            vlm_json_string(json, names[i]);
    vlm_json_close(json, ']');
}

static void write_json(struct vlm_buffer *out, const struct vlm_document *document,
                       unsigned opt_out, const struct vlm_buffer *text)
{
    static const char *const opt_out_names[] = { "noai", "noimageai" };
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "url", document->url);
    vlm_json_member_string(&json, "title", document->title);
    vlm_json_member_string(&json, "lang", document->lang);
    vlm_json_member_string(&json, "charset", document->charset);
    write_list(&json, "warnings", document->warnings, warning_names, VLM_COUNTOF(warning_names));
    write_list(&json, "opt_out", opt_out, opt_out_names, VLM_COUNTOF(opt_out_names));
    vlm_json_key(&json, "text");
    vlm_json_text(&json, text->size ? (const char *)text->data : "", text->size);
    vlm_document_json_images(&json, document, NULL, NULL);
    vlm_json_key(&json, "events");
    vlm_render_events(&json, document);
    vlm_json_close(&json, '}');
}

/* An image that nobody has looked for counts as usable. */
static void render(struct page_inspection *inspection, const struct vlm_document *document,
                   struct vlm_buffer *out)
{
    unsigned flags = inspection->profile == VLM_PROFILE_NONE ? 0 : VLM_RENDER_MAIN;
    for (size_t i = 0; i < document->n_images; i++)
        if (document->images[i].status == VLM_STATUS_UNKNOWN)
            document->images[i].status = VLM_IMAGE_OK;
    vlm_render(out, document, (enum vlm_render)inspection->render, flags);
}

static int inspect_file(struct page_inspection *inspection, const char *path, struct vlm_err *err)
{
    vlm_arena_reset(&inspection->arena);
    vlm_buffer_reset(&inspection->bytes);
    vlm_buffer_reset(&inspection->out);
    int rc = read_file(&inspection->bytes, path, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_page_input in = { .bytes = inspection->bytes.data,
                                 .size = inspection->bytes.size,
                                 .url = inspection->url,
                                 .charset = inspection->charset };
    struct vlm_document *document;
    unsigned opt_out = 0;
    rc = vlm_page_parse(&document, inspection->parser, &in, &inspection->arena, &opt_out, err);
    if (rc != VLM_OK)
        return rc;
    for (size_t i = 0; i < document->n_images; i++) {
        rc = find_image(inspection, document, &document->images[i], err);
        if (rc < 0)
            return rc;
    }
    if (inspection->render == VLM_RENDER_JSON) {
        struct vlm_buffer text = { 0 };
        vlm_render(&text, document, VLM_RENDER_TEXT,
                   inspection->profile == VLM_PROFILE_NONE ? 0 : VLM_RENDER_MAIN);
        write_json(&inspection->out, document, opt_out, &text);
        vlm_buffer_release(&text);
    } else {
        render(inspection, document, &inspection->out);
    }
    vlm_buffer_byte(&inspection->out, '\n');
    if (inspection->out.failed)
        return vlm_fail(err, VLM_ENOMEM, "the rendering does not fit into memory");
    if (fwrite(inspection->out.data, 1, inspection->out.size, stdout) != inspection->out.size)
        return vlm_fail_errno(err, errno, "cannot write to standard output");
    return VLM_OK;
}

static int inspect_files(struct page_inspection *inspection, char **paths, size_t n,
                         struct vlm_err *err)
{
    int rc = vlm_page_parser_new(&inspection->parser, err);
    vlm_arena_init(&inspection->arena, ARENA_MAX);
    vlm_arena_init(&inspection->image_arena, ARENA_MAX);
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        rc = inspect_file(inspection, paths[i], err);
        if (rc != VLM_OK)
            vlm_wrap(err, "%s", paths[i]);
    }
    vlm_page_parser_free(inspection->parser);
    vlm_arena_release(&inspection->arena);
    vlm_arena_release(&inspection->image_arena);
    vlm_buffer_release(&inspection->bytes);
    vlm_buffer_release(&inspection->out);
    return rc;
}

int vlm_inspect_page(int argc, char **argv)
{
    struct page_inspection inspection = { .render = VLM_RENDER_TEXT, .profile = VLM_PROFILE_NONE };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING(0, "url", &inspection.url, "URL", "the page's address, for its links"),
        VLM_OPTION_STRING(0, "charset", &inspection.charset, "NAME",
                          "decode with this charset, whatever the page says"),
        VLM_OPTION_CHOICE(0, "render", &inspection.render, VLM_RENDER_WORDS, "form of the output"),
        VLM_OPTION_CHOICE(0, "profile", &inspection.profile, VLM_PROFILE_WORDS,
                          "with m3w or obelics, text, m3w and pair hold the main content"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-inspect page",
        .synopsis = "FILE.html... [--url URL] [--charset NAME] [--render FORM]",
        .summary = "Show what a page becomes: through parser, passes and renderer, no filters.",
        .examples = "  vlm-inspect page --render cm3 --url https://a.org/b article.html\n"
                    "  vlm-inspect page --render text --profile m3w - <article.html\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc < 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "no page is given");
    else if (rc == VLM_OK)
        rc = inspect_files(&inspection, argv + 1, (size_t)argc - 1, &err);
    return vlm_tool_end(&tool, rc, &err);
}
