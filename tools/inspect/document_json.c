/* document_json.c - writes a document as JSON members, in the order that scripts rely on. */
#include "base/vlm.h"

#include "tools/inspect/document_json.h"
#include "vqgan/image/image.h"

static void string_member(struct vlm_json *json, const char *key,
                          const struct vlm_document *document, struct vlm_string value)
{
    vlm_json_key(json, key);
    vlm_json_text(json, document->text + value.start, value.length);
}

/* Width, height, format and hash are known only of an image whose bytes were found. */
static void write_found(struct vlm_json *json, const struct vlm_document_image *image)
{
    static const uint8_t none[VLM_SHA256_SIZE];
    bool found = memcmp(image->sha256, none, sizeof(none)) != 0;
    vlm_json_member_string(json, "format",
                           found && image->format < VLM_FORMATS
                               ? vlm_image_format_name((enum vlm_image_format)image->format)
                               : NULL);
    vlm_json_key(json, "width");
    image->width ? vlm_json_number(json, image->width) : vlm_json_null(json);
    vlm_json_key(json, "height");
    image->height ? vlm_json_number(json, image->height) : vlm_json_null(json);
    vlm_json_key(json, "sha256");
    found ? vlm_json_hex(json, image->sha256, sizeof(image->sha256)) : vlm_json_null(json);
}

void vlm_document_json_images(struct vlm_json *json, const struct vlm_document *document,
                              vlm_codes_writer *codes, void *user)
{
    vlm_json_key(json, "images");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < document->n_images; i++) {
        const struct vlm_document_image *image = &document->images[i];
        vlm_json_open(json, '{');
        vlm_json_member_number(json, "i", i);
        string_member(json, "src", document, image->src);
        unsigned used = image->used < image->n_candidates ? image->used : 0;
        if (image->n_candidates)
            string_member(json, "url", document, image->candidate[used]);
        else
            vlm_json_member_string(json, "url", NULL);
        if (image->has_alt)
            string_member(json, "alt", document, image->alt);
        else
            vlm_json_member_string(json, "alt", NULL);
        vlm_json_member_string(json, "status",
                               image->status < VLM_IMAGE_STATUSES
                                   ? vlm_image_status_name((enum vlm_image_status)image->status)
                                   : NULL);
        write_found(json, image);
        vlm_json_key(json, "codes");
        vlm_json_open(json, '{');
        if (codes)
            codes(json, document, i, user);
        vlm_json_close(json, '}');
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

static void write_source(struct vlm_json *json, const struct vlm_source *source)
{
    vlm_json_key(json, "source");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "file", source->file);
    vlm_json_member_number(json, "offset", source->offset);
    vlm_json_member_number(json, "length", source->length);
    vlm_json_close(json, '}');
}

void vlm_document_json(struct vlm_json *json, const struct vlm_document *document,
                       enum vlm_render form, unsigned render_flags, vlm_codes_writer *codes,
                       void *user)
{
    uint8_t id[16];
    vlm_document_id(id, document);
    vlm_json_key(json, "id");
    vlm_json_hex(json, id, sizeof(id));
    vlm_json_member_string(json, "url", document->url);
    vlm_json_member_string(json, "date", document->date);
    vlm_json_member_string(json, "title", document->title);
    vlm_json_member_string(json, "lang", document->lang);
    vlm_json_member_string(json, "charset", document->charset);
    write_source(json, &document->source);
    struct vlm_buffer text = { 0 };
    vlm_render(&text, document, form, render_flags);
    vlm_json_key(json, "text");
    vlm_json_text(json, text.size ? (const char *)text.data : "", text.size);
    if (text.failed)
        json->out->failed = true;
    vlm_buffer_release(&text);
    vlm_document_json_images(json, document, codes, user);
    if (form == VLM_RENDER_JSON) {
        vlm_json_key(json, "events");
        vlm_render_events(json, document);
    }
}
