/* show_html.c - a document as one file of HTML: pictures are data: URLs, and the page may load nothing. */
#include "base/vlm.h"

#include "tokenize/render/attributes.h"
#include "tools/inspect/show.h"

static const char head[] =
    "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'\">\n"
    "<style>\n"
    "body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }\n"
    ".text { white-space: pre-line; overflow-wrap: anywhere; }\n"
    ".about, figcaption { color: #666; font-size: 0.85rem; overflow-wrap: anywhere; }\n"
    "figure { margin: 1.5rem 0; }\n"
    ".pair { display: flex; flex-wrap: wrap; gap: 1rem; }\n"
    ".pair div { text-align: center; font-size: 0.85rem; }\n"
    ".pair img { display: block; width: 256px; height: 256px; }\n"
    "</style>\n";

static void add_base64(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        size_t have = VLM_MIN(n - i, (size_t)3);
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= have > 2 ? bytes[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            vlm_buffer_byte(out, k <= have ? (uint8_t)digit[group >> (18 - 6 * k) & 63] : '=');
    }
}

static void add_escaped(struct vlm_buffer *out, const char *text, size_t n)
{
    vlm_escape(out, text, n, true);
}

static void add_picture(struct vlm_buffer *out, const char *type, const uint8_t *bytes, size_t n,
                        const char *name)
{
    vlm_buffer_printf(out, "<div><img alt=\"%s\" src=\"data:image/%s;base64,", name, type);
    add_base64(out, bytes, n);
    vlm_buffer_printf(out, "\">%s</div>\n", name);
}

static int add_image(struct vlm_buffer *out, const struct vlm_shown *shown, size_t i,
                     struct vlm_err *err)
{
    const struct vlm_shown_image *it = &shown->images[i];
    const struct vlm_document_image *about = &shown->document->images[i];
    struct vlm_buffer png = { 0 }, caption = { 0 };
    int rc = VLM_OK;
    const bool pictures = it->original || it->decoded;
    vlm_buffer_text(out, pictures ? "<figure>\n<div class=\"pair\">\n" : "<figure>\n");
    if (it->original)
        add_picture(out, "jpeg", it->jpeg, it->jpeg_size, "stored square");
    if (it->decoded)
        rc = vlm_rgb_to_png(&png, it->decoded, VLM_SQUARE_SIDE, VLM_SQUARE_SIDE, err);
    if (it->decoded && rc == VLM_OK)
        add_picture(out, "png", png.data, png.size, "from its 256 codes");
    vlm_buffer_text(out, pictures ? "</div>\n<figcaption>" : "<figcaption>");
    vlm_show_caption(&caption, shown, i);
    add_escaped(out, (const char *)caption.data, caption.size);
    if (about->alt.length) {
        vlm_buffer_text(out, "<br>alt: ");
        add_escaped(out, shown->document->text + about->alt.start, about->alt.length);
    }
    vlm_buffer_text(out, "</figcaption>\n</figure>\n");
    out->failed |= png.failed || caption.failed;
    vlm_buffer_release(&png);
    vlm_buffer_release(&caption);
    return rc;
}

int vlm_show_html(struct vlm_buffer *out, const struct vlm_shown *shown, struct vlm_err *err)
{
    const struct vlm_document *document = shown->document;
    const char *title = *document->title ? document->title : document->url;
    const char *text = shown->text.data ? (const char *)shown->text.data : "";
    int rc = VLM_OK;
    vlm_buffer_text(out, head);
    vlm_buffer_text(out, "<title>");
    add_escaped(out, title, strlen(title));
    vlm_buffer_text(out, "</title>\n</head>\n<body>\n<h1>");
    add_escaped(out, title, strlen(title));
    vlm_buffer_text(out, "</h1>\n<p class=\"about\">");
    add_escaped(out, document->url, strlen(document->url));
    if (document->date) {
        vlm_buffer_text(out, " · ");
        add_escaped(out, document->date, strlen(document->date));
    }
    vlm_buffer_text(out, "</p>\n");
    for (size_t i = 0; rc == VLM_OK && i < shown->n_pieces; i++) {
        const struct vlm_shown_piece *piece = &shown->pieces[i];
        if (piece->length) {
            vlm_buffer_text(out, "<p class=\"text\">");
            add_escaped(out, text + piece->start, piece->length);
            vlm_buffer_text(out, "</p>\n");
        }
        if (piece->image != SIZE_MAX)
            rc = add_image(out, shown, piece->image, err);
    }
    vlm_buffer_text(out, "</body>\n</html>\n");
    out->failed |= shown->text.failed;
    return rc;
}
