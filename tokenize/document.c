/* document.c - identity of a document, and the check of everything that its readers rely on.
 *
 * The check is what stands between bytes of a shard or of a worker and renderers that index without
 * looking: it walks the events once, with a stack of open elements as deep as parsers allow. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/document.h"
#include "tokenize/names.h"

void vlm_document_id(uint8_t id[16], const struct vlm_document *document)
{
    uint8_t digest[VLM_SHA256_SIZE];
    const char *url = document->url ? document->url : "";
    const char *date = document->date ? document->date : "";
    struct vlm_sha256_stream *stream = vlm_sha256_begin();
    vlm_sha256_add(stream, url, strlen(url) + 1);
    vlm_sha256_add(stream, date, strlen(date) + 1);
    vlm_sha256_add(stream, document->payload_sha256, VLM_SHA256_SIZE);
    vlm_sha256_end(stream, digest);
    memcpy(id, digest, 16);
}

/* A span is inside the text and starts and ends at a character, which in valid UTF-8 is seen from
 * the byte at either end. */
static bool span_ok(const struct vlm_document *document, uint32_t start, uint32_t length)
{
    if (start > document->text_size || length > document->text_size - start)
        return false;
    size_t end = (size_t)start + length;
    return !(start < document->text_size && ((uint8_t)document->text[start] & 0xc0) == 0x80) &&
           !(end < document->text_size && ((uint8_t)document->text[end] & 0xc0) == 0x80);
}

static int check_image(const struct vlm_document *document, size_t i, struct vlm_err *err)
{
    const struct vlm_document_image *image = &document->images[i];
    if (image->n_candidates > VLM_IMAGE_CANDIDATES_MAX)
        return vlm_fail(err, VLM_EFORMAT, "image %zu has %u candidates", i, image->n_candidates);
    bool ok = span_ok(document, image->src.start, image->src.length) &&
              span_ok(document, image->alt.start, image->alt.length);
    for (size_t k = 0; ok && k < image->n_candidates; k++)
        ok = span_ok(document, image->candidate[k].start, image->candidate[k].length);
    if (!ok)
        return vlm_fail(err, VLM_EFORMAT, "image %zu points outside the text", i);
    if (!image->has_alt && image->alt.length)
        return vlm_fail(err, VLM_EFORMAT, "image %zu has the text of an absent alt", i);
    return VLM_OK;
}

struct walk {
    uint16_t open[VLM_HTML_DEPTH_MAX];
    size_t depth;
    bool in_tag; /* only attributes and images since the last OPEN */
};

static int check_event(struct walk *walk, const struct vlm_document *document, size_t i,
                       struct vlm_err *err)
{
    const struct vlm_event *event = &document->events[i];
    bool in_tag = walk->in_tag;
    walk->in_tag = false;
    switch (event->kind) {
    case VLM_EVENT_OPEN:
        if (event->name >= VLM_ELEMENT_COUNT || walk->depth == VLM_HTML_DEPTH_MAX)
            return vlm_fail(err, VLM_EFORMAT, "event %zu: element %u at depth %zu", i, event->name,
                            walk->depth);
        walk->open[walk->depth++] = event->name;
        walk->in_tag = true;
        return VLM_OK;
    case VLM_EVENT_CLOSE:
        if (!walk->depth || walk->open[walk->depth - 1] != event->name)
            return vlm_fail(err, VLM_EFORMAT, "event %zu closes element %u, which is not open", i,
                            event->name);
        walk->depth--;
        return VLM_OK;
    case VLM_EVENT_ATTRIBUTE:
        if (event->name >= VLM_ATTRIBUTE_COUNT || !in_tag)
            return vlm_fail(err, VLM_EFORMAT, "event %zu: attribute %u out of place", i,
                            event->name);
        walk->in_tag = true;
        break;
    case VLM_EVENT_IMAGE:
        if (event->start >= document->n_images || !in_tag)
            return vlm_fail(err, VLM_EFORMAT, "event %zu: image %" PRIu32 " out of place", i,
                            event->start);
        walk->in_tag = true;
        return VLM_OK;
    case VLM_EVENT_TEXT:
        break;
    default:
        return vlm_fail(err, VLM_EFORMAT, "event %zu has unknown kind %u", i, event->kind);
    }
    if (!span_ok(document, event->start, event->length))
        return vlm_fail(err, VLM_EFORMAT, "event %zu points outside the text", i);
    return VLM_OK;
}

int vlm_document_check(const struct vlm_document *document, struct vlm_err *err)
{
    if (document->text_size > UINT32_MAX)
        return vlm_fail(err, VLM_EFORMAT, "text of %zu bytes is over the limit",
                        document->text_size);
    size_t valid = vlm_utf8_valid_prefix(document->text, document->text_size);
    if (valid != document->text_size)
        return vlm_fail(err, VLM_EFORMAT, "text is not UTF-8 at byte %zu", valid);
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < document->n_images; i++)
        rc = check_image(document, i, err);
    struct walk walk = { .depth = 0 };
    for (size_t i = 0; rc == VLM_OK && i < document->n_events; i++)
        rc = check_event(&walk, document, i, err);
    if (rc == VLM_OK && walk.depth)
        return vlm_fail(err, VLM_EFORMAT, "element %u is never closed", walk.open[walk.depth - 1]);
    return rc;
}
