/* ingest.c - records into documents, images and captures; every one leaves a line in the ledger.
 *
 * A capture is what the crawl holds under a URL: an image, a redirect, a revisit, an error, something
 * else. References of documents carry the keys of their candidate URLs, so that the join compares keys
 * and never looks at a byte of the crawl again. */
#include "base/vlm.h"

#include "shard/units/ingest.h"

#include "base/date.h"
#include "base/limits.h"
#include "shard/parts/stored.h"
#include "tokenize/html/url.h"

static struct vlm_ledger *ledger(struct vlm_ingest *ingest)
{
    return &ingest->unit.trailer.ledger;
}

/* The plan names the tokenizer by its id: a file that changes under a running build is noticed. */
static int open_tokenizer(struct vlm_ingest *ingest, struct vlm_err *err)
{
    const struct vlm_work *work = ingest->work;
    if (!work->options.tokenizer[0])
        return VLM_OK;
    int rc = vlm_tokenizer_open(&ingest->tokenizer, work->model[0] ? work->model : NULL,
                                VLM_PRECISION_EXACT, err);
    if (rc < 0)
        return rc;
    const char *id = vlm_tokenizer_info(ingest->tokenizer).id;
    if (strcmp(id, work->options.tokenizer))
        return vlm_fail(err, VLM_EDIFFER, "image tokenizer '%s' has changed: it is %s, was %s",
                        work->model, id, work->options.tokenizer);
    return vlm_coder_new(&ingest->coder, ingest->tokenizer, 1, err);
}

int vlm_ingest_init(struct vlm_ingest *ingest, const struct vlm_work *work, int output,
                    struct vlm_err *err)
{
    memset(ingest, 0, sizeof(*ingest));
    ingest->work = work;
    ingest->rules = vlm_profile_rules(work->options.profile);
    vlm_arena_init(&ingest->arena, VLM_GIB);
    ingest->square = malloc(VLM_SQUARE_BYTES);
    if (!ingest->square)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a worker");
    /* libcrypto reads its configuration at the first use. */
    uint8_t digest[VLM_SHA_MAX];
    (void)!vlm_digest(digest, "sha256", "", 0);
    int rc = open_tokenizer(ingest, err);
    if (rc == VLM_OK)
        rc = vlm_page_parser_new(&ingest->parser, err);
    return rc < 0 ? rc : vlm_unit_begin(&ingest->unit, output, work->output, work->plan, err);
}

void vlm_ingest_release(struct vlm_ingest *ingest)
{
    vlm_coder_free(ingest->coder);
    vlm_tokenizer_close(ingest->tokenizer);
    vlm_page_parser_free(ingest->parser);
    vlm_unit_release(&ingest->unit);
    vlm_arena_release(&ingest->arena);
    vlm_buffer_release(&ingest->stored);
    vlm_buffer_release(&ingest->canonical);
    free(ingest->seen.slots);
    free(ingest->square);
}

struct vlm_key vlm_url_key(struct vlm_buffer *scratch, const char *url, size_t n)
{
    char name[VLM_DATA_NAME_SIZE];
    if (n >= 5 && !strncasecmp(url, "data:", 5)) {
        vlm_data_name(name, url, n);
        return vlm_key_of(name, strlen(name));
    }
    vlm_buffer_reset(scratch);
    vlm_url_canonical(scratch, url, n);
    return vlm_key_of(scratch->data, scratch->size);
}

/* Digests are compared as they are written; the algorithm's name and base32 ignore case. */
static struct vlm_key digest_key(struct vlm_buffer *scratch, const char *field)
{
    vlm_buffer_reset(scratch);
    vlm_buffer_text(scratch, "digest ");
    for (const char *c = field; *c; c++)
        vlm_buffer_byte(scratch, (uint8_t)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c));
    return vlm_key_of(scratch->data, scratch->size);
}

/* Images seen ----------------------------------------------------------------------------------- */

static size_t seen_slot(const struct vlm_seen_images *seen, const uint8_t sha256[VLM_SHA256_SIZE])
{
    uint64_t hash;
    memcpy(&hash, sha256, sizeof(hash));
    size_t slot = (size_t)hash & (seen->capacity - 1);
    while (seen->slots[slot].key.byte[0] &&
           memcmp(seen->slots[slot].sha256, sha256, VLM_SHA256_SIZE))
        slot = (slot + 1) & (seen->capacity - 1);
    return slot;
}

static int seen_grow(struct vlm_seen_images *seen, struct vlm_err *err)
{
    struct vlm_seen_images larger = { .capacity = seen->capacity ? seen->capacity * 2 : 256 };
    larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
    if (!larger.slots)
        return vlm_fail(err, VLM_ENOMEM, "no memory to remember %zu images", seen->count);
    for (size_t i = 0; i < seen->capacity; i++)
        if (seen->slots[i].key.byte[0])
            larger.slots[seen_slot(&larger, seen->slots[i].sha256)] = seen->slots[i];
    larger.count = seen->count;
    free(seen->slots);
    *seen = larger;
    return VLM_OK;
}

/* Images ---------------------------------------------------------------------------------------- */

/* Puts the codes of the image behind its stored form. A tokenizer that gives no number for it costs its
 * codes only: seal counts what has none. */
static int add_codes(struct vlm_ingest *ingest, const struct vlm_buffer *jpeg, struct vlm_err *err)
{
    uint16_t codes[VLM_CODES];
    struct vlm_err why;
    int rc = vlm_stored_square_decode(ingest->square, jpeg->data, jpeg->size, &ingest->arena, err);
    if (rc < 0)
        return rc;
    rc = vlm_coder_encode(ingest->coder, codes, ingest->square, 1, &why);
    if (rc == VLM_OK)
        vlm_unit_codes_add(&ingest->stored, codes);
    if (rc != VLM_EFORMAT && rc < 0)
        return vlm_fail(err, rc, "%s", why.msg);
    return VLM_OK;
}

/* Decodes an image and adds it to the unit file; fills what the capture says of it. */
static int store_image(struct vlm_ingest *ingest, struct vlm_capture *capture, const uint8_t *bytes,
                       size_t size, struct vlm_err *err)
{
    struct vlm_image image;
    struct vlm_buffer jpeg = { 0 };
    int keep = ingest->work->options.keep;
    int rc = vlm_image_decode(&image, bytes, size, &ingest->rules->image, &ingest->arena, err);
    if (rc < 0)
        return rc;
    capture->status = (uint8_t)image.info.status;
    capture->format = (uint8_t)image.info.format;
    capture->width = image.info.width;
    capture->height = image.info.height;
    if (image.info.status != VLM_IMAGE_OK)
        return VLM_OK;
    rc = vlm_image_square(ingest->square, &image, &ingest->arena, err);
    /* Tokenizers see the square as it comes back from its JPEG file, kept or not. */
    if (rc == VLM_OK && (keep != VLM_KEEP_NONE || ingest->coder))
        rc = vlm_rgb_to_jpeg(&jpeg, ingest->square, VLM_SQUARE_SIDE, VLM_SQUARE_SIDE,
                             VLM_SQUARE_QUALITY, err);
    if (rc == VLM_OK) {
        vlm_buffer_reset(&ingest->stored);
        vlm_stored_image_encode(&ingest->stored,
                                &(struct vlm_stored_image){
                                    .format = (uint8_t)image.info.format,
                                    .mode = (uint8_t)image.info.mode,
                                    .orientation = image.info.orientation,
                                    .halved = image.info.halved,
                                    .width = image.info.width,
                                    .height = image.info.height,
                                    .phash = vlm_image_phash(ingest->square, &ingest->arena),
                                    .square = keep == VLM_KEEP_NONE ? NULL : jpeg.data,
                                    .square_size = keep == VLM_KEEP_NONE ? 0 : jpeg.size,
                                    .original = keep == VLM_KEEP_ORIGINAL ? bytes : NULL,
                                    .original_size = keep == VLM_KEEP_ORIGINAL ? size : 0,
                                });
        if (ingest->coder)
            rc = add_codes(ingest, &jpeg, err);
    }
    if (rc == VLM_OK)
        rc = vlm_unit_add_image(&ingest->unit, &ingest->stored, capture, err);
    vlm_buffer_release(&jpeg);
    return rc;
}

/* Fills capture with what these bytes are, decoding them unless this unit has seen them before. */
static int take_image(struct vlm_ingest *ingest, struct vlm_capture *capture, const uint8_t *bytes,
                      size_t size, struct vlm_err *err)
{
    struct vlm_seen_images *seen = &ingest->seen;
    int rc = seen->count * 2 >= seen->capacity ? seen_grow(seen, err) : VLM_OK;
    if (rc < 0)
        return rc;
    capture->kind = VLM_CAPTURE_IMAGE;
    vlm_sha256(capture->sha256, bytes, size);
    struct vlm_capture *known = &seen->slots[seen_slot(seen, capture->sha256)];
    if (known->key.byte[0]) {
        capture->status = known->status;
        capture->format = known->format;
        capture->width = known->width;
        capture->height = known->height;
        capture->position = known->position;
        capture->size = known->size;
        return VLM_OK;
    }
    rc = store_image(ingest, capture, bytes, size, err);
    if (rc < 0)
        return rc;
    *known = *capture;
    known->key.byte[0] = 1; /* the slot is taken */
    seen->count++;
    return VLM_OK;
}

static void count_image(struct vlm_ingest *ingest, const struct vlm_capture *capture)
{
    ledger(ingest)->images_in++;
    if (capture->status != VLM_IMAGE_OK)
        ledger(ingest)->images_skipped[capture->status]++;
}

static int ingest_image(struct vlm_ingest *ingest, struct vlm_capture *capture,
                        const struct vlm_record *record, const struct vlm_http *http,
                        struct vlm_err *err)
{
    int rc = VLM_OK;
    capture->kind = VLM_CAPTURE_IMAGE;
    if (http->opt_out)
        capture->status = VLM_IMAGE_OPT_OUT;
    else if (record->truncated)
        capture->status = VLM_IMAGE_TRUNCATED_CAPTURE;
    else if (http->error == VLM_BODY_ENCODING || http->error == VLM_BODY_BOMB)
        capture->status = VLM_IMAGE_CORRUPT;
    else
        rc = take_image(ingest, capture, http->body, http->body_length, err);
    if (rc < 0)
        return rc;
    count_image(ingest, capture);
    vlm_unit_add_capture(&ingest->unit, capture);
    if (record->payload_digest && capture->status == VLM_IMAGE_OK) {
        struct vlm_capture by_digest = *capture;
        by_digest.key = digest_key(&ingest->canonical, record->payload_digest);
        by_digest.again = true;
        vlm_unit_add_capture(&ingest->unit, &by_digest);
    }
    return VLM_OK;
}

/* Pages ----------------------------------------------------------------------------------------- */

static int take_data_url(struct vlm_ingest *ingest, struct vlm_key key, const char *url, size_t n,
                         struct vlm_err *err)
{
    const uint8_t *bytes;
    size_t size;
    struct vlm_capture capture = { .key = key };
    int rc = vlm_data_url_decode(&bytes, &size, url, n, &ingest->arena, err);
    if (rc < 0)
        return rc;
    if (rc == VLM_SKIP)
        capture.status = VLM_IMAGE_CORRUPT, capture.kind = VLM_CAPTURE_IMAGE;
    else
        rc = take_image(ingest, &capture, bytes, size, err);
    if (rc < 0)
        return rc;
    count_image(ingest, &capture);
    vlm_unit_add_capture(&ingest->unit, &capture);
    return VLM_OK;
}

/* Keys of the candidates of every image of a page; pictures in data: URLs are taken in on the way. */
static int refer_to_images(struct vlm_ingest *ingest, struct vlm_document *document, bool opt_out,
                           struct vlm_err *err)
{
    for (size_t i = 0; i < document->n_images; i++) {
        struct vlm_document_image *image = &document->images[i];
        struct vlm_reference *reference = &ingest->references[i];
        *reference = (struct vlm_reference){ .status = VLM_IMAGE_NOT_IN_CRAWL };
        if (opt_out)
            reference->status = VLM_IMAGE_OPT_OUT;
        else if (!image->n_candidates)
            reference->status = VLM_IMAGE_NO_URL;
        image->status = reference->status;
        for (size_t k = 0; !opt_out && k < image->n_candidates; k++) {
            const char *url = document->text + image->candidate[k].start;
            size_t n = image->candidate[k].length;
            struct vlm_key key = vlm_url_key(&ingest->canonical, url, n);
            reference->candidate[reference->n_candidates++] = key;
            int rc = n >= 5 && !strncasecmp(url, "data:", 5)
                         ? take_data_url(ingest, key, url, n, err)
                         : VLM_OK;
            if (rc < 0)
                return rc;
        }
    }
    return VLM_OK;
}

/* Words of the text that readers would see: runs of bytes that are no white space. */
static uint32_t count_words(const struct vlm_document *document)
{
    uint32_t words = 0;
    size_t hidden = 0; /* depth below an OPEN that is marked */
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        bool marked = event->flags & (VLM_NODE_HIDDEN | VLM_NODE_CHROME | VLM_NODE_OUTSIDE);
        if (event->kind == VLM_EVENT_OPEN && (hidden || marked))
            hidden++;
        else if (event->kind == VLM_EVENT_CLOSE && hidden)
            hidden--;
        if (event->kind != VLM_EVENT_TEXT || hidden || marked)
            continue;
        bool inside = false;
        for (size_t k = 0; k < event->length; k++) {
            bool space = strchr(" \t\r\n", document->text[event->start + k]) != NULL;
            words += !space && !inside;
            inside = !space;
        }
    }
    return words;
}

static bool has_text(const struct vlm_document *document)
{
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_TEXT && !(event->flags & VLM_NODE_HIDDEN))
            for (size_t k = 0; k < event->length; k++)
                if (!strchr(" \t\r\n", document->text[event->start + k]))
                    return true;
    }
    return false;
}

static int add_document(struct vlm_ingest *ingest, struct vlm_document *document,
                        const struct vlm_record *record, const struct vlm_http *http, bool opt_out,
                        struct vlm_err *err)
{
    document->url = record->uri ? record->uri : "";
    document->date = vlm_date_seconds(record->date) ? record->date : NULL;
    document->source = (struct vlm_source){
        .file = ingest->work->format == VLM_DUMP_FILES ? ingest->work->file_names[record->offset]
                                                       : ingest->work->name,
        .offset = ingest->work->format == VLM_DUMP_FILES ? 0 : record->offset,
        .length = record->length,
    };
    document->warnings |= record->truncated ? VLM_PAGE_TRUNCATED : 0;
    document->warnings |= http->error ? VLM_PAGE_BODY : 0;
    vlm_sha256(document->payload_sha256, http->body, http->body_length);
    int rc = refer_to_images(ingest, document, opt_out, err);
    if (rc < 0)
        return rc;
    struct vlm_document_head head = {
        .url = record->uri ? vlm_url_key(&ingest->canonical, document->url, strlen(document->url))
                           : (struct vlm_key){ { 0 } },
        .date = vlm_date_seconds(record->date),
        .words = count_words(document),
        .n_references = (uint32_t)document->n_images,
    };
    vlm_buffer_reset(&ingest->stored);
    vlm_stored_document_encode(&ingest->stored, document);
    return vlm_unit_add_document(&ingest->unit, &ingest->stored, &head, ingest->references, err);
}

static bool skip_page(struct vlm_ingest *ingest, enum vlm_skip reason)
{
    ledger(ingest)->documents_skipped[reason]++;
    return true;
}

/* A head without a document: older captures of the URL are duplicates of a page that has opted out. */
static int opt_page_out(struct vlm_ingest *ingest, const struct vlm_record *record,
                        struct vlm_err *err)
{
    const char *url = record->uri ? record->uri : "";
    struct vlm_document_head head = {
        .url = vlm_url_key(&ingest->canonical, url, strlen(url)),
        .date = vlm_date_seconds(record->date),
    };
    skip_page(ingest, VLM_SKIP_OPT_OUT);
    vlm_buffer_reset(&ingest->stored);
    return vlm_unit_add_document(&ingest->unit, &ingest->stored, &head, NULL, err);
}

/* What can be said of a page before it is parsed; the first reason counts. */
static bool refuse_page(struct vlm_ingest *ingest, const struct vlm_http *http)
{
    if (http->status && http->status != 200)
        return skip_page(ingest, VLM_SKIP_HTTP_STATUS);
    if (http->error == VLM_BODY_ENCODING || http->error == VLM_BODY_BOMB)
        return skip_page(ingest, VLM_SKIP_NOT_DECODED);
    if (http->digest == VLM_DIGEST_MISMATCH && ingest->work->options.digest == VLM_DIGEST_STRICT)
        return skip_page(ingest, VLM_SKIP_DIGEST);
    return false;
}

static int ingest_page(struct vlm_ingest *ingest, const struct vlm_record *record,
                       const struct vlm_http *http, bool plain_text, struct vlm_err *err)
{
    struct vlm_document *document;
    unsigned opt_out = 0;
    struct vlm_page_input in = {
        .bytes = http->body,
        .size = http->body_length,
        .url = record->uri,
        .content_type = http->content_type,
    };
    ledger(ingest)->documents_in++;
    if (refuse_page(ingest, http))
        return VLM_OK;
    if (http->opt_out & VLM_OPT_OUT_NOAI)
        return opt_page_out(ingest, record, err);
    int rc = plain_text
                 ? vlm_page_from_text(&document, ingest->parser, &in, &ingest->arena, err)
                 : vlm_page_parse(&document, ingest->parser, &in, &ingest->arena, &opt_out, err);
    opt_out |= http->opt_out;
    if (rc < 0)
        return rc;
    if (rc == VLM_SKIP)
        skip_page(ingest, VLM_SKIP_TOO_LARGE);
    else if (opt_out & VLM_OPT_OUT_NOAI)
        return opt_page_out(ingest, record, err);
    else if (!document->n_images && !has_text(document))
        skip_page(ingest, VLM_SKIP_EMPTY);
    else
        return add_document(ingest, document, record, http, opt_out & VLM_OPT_OUT_NOIMAGEAI, err);
    return VLM_OK;
}

/* Records --------------------------------------------------------------------------------------- */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The key of a URL that a header names, relative to the record's own; zero when it is none. */
static struct vlm_key target_key(struct vlm_ingest *ingest, const struct vlm_record *record,
                                 const char *reference)
{
    struct vlm_key none = { { 0 } };
    struct vlm_buffer absolute = { 0 };
    struct vlm_err ignored;
    struct vlm_key key = none;
    if (reference &&
        vlm_url_resolve(&absolute, record->uri, reference, strlen(reference), &ignored) == VLM_OK)
        key = vlm_url_key(&ingest->canonical, (const char *)absolute.data, absolute.size);
    vlm_buffer_release(&absolute);
    return key;
}

static void add_redirect(struct vlm_ingest *ingest, struct vlm_capture *capture,
                         const struct vlm_record *record, const char *location)
{
    capture->kind = VLM_CAPTURE_REDIRECT;
    capture->target = target_key(ingest, record, location);
    vlm_unit_add_capture(&ingest->unit, capture);
}

/* What is revisited may be a redirect: its body is the same empty one again, but its header, which says
 * where it leads, is here. */
static int ingest_revisit(struct vlm_ingest *ingest, struct vlm_capture *capture,
                          const struct vlm_record *record, struct vlm_err *err)
{
    struct vlm_http http;
    int rc = vlm_http_decode(&http, record, &ingest->arena, err);
    if (rc < 0 && rc != VLM_ELIMIT)
        return rc;
    if (rc == VLM_OK && is_redirect(http.status) && http.location) {
        add_redirect(ingest, capture, record, http.location);
        return VLM_OK;
    }
    capture->kind = VLM_CAPTURE_REVISIT;
    capture->target = target_key(ingest, record, record->refers_to_uri);
    capture->target_date = vlm_date_seconds(record->refers_to_date);
    if (record->payload_digest)
        capture->digest = digest_key(&ingest->canonical, record->payload_digest);
    vlm_unit_add_capture(&ingest->unit, capture);
    return VLM_OK;
}

static int ingest_payload(struct vlm_ingest *ingest, struct vlm_capture *capture,
                          const struct vlm_record *record, struct vlm_err *err)
{
    struct vlm_http http;
    int rc = vlm_http_decode(&http, record, &ingest->arena, err);
    if (rc == VLM_ELIMIT) {
        ledger(ingest)->documents_in++;
        skip_page(ingest, VLM_SKIP_TOO_LARGE);
        return VLM_OK;
    }
    if (rc < 0)
        return rc;
    ledger(ingest)->digests[http.digest]++;
    ledger(ingest)->bytes_decoded += http.body_length;
    enum vlm_payload kind = vlm_payload_kind(record, &http);
    bool found = http.status == 0 || http.status == 200;
    if (kind == VLM_PAYLOAD_IMAGE && found && record->uri)
        return ingest_image(ingest, capture, record, &http, err);
    if (record->uri && record->type != VLM_RECORD_CONVERSION) {
        capture->kind = found ? VLM_CAPTURE_OTHER : VLM_CAPTURE_HTTP_ERROR;
        if (is_redirect(http.status) && http.location)
            add_redirect(ingest, capture, record, http.location);
        else
            vlm_unit_add_capture(&ingest->unit, capture);
    }
    if (ingest->work->images_only)
        return VLM_OK;
    if (kind == VLM_PAYLOAD_HTML)
        return ingest_page(ingest, record, &http, false, err);
    if (record->type == VLM_RECORD_CONVERSION && kind == VLM_PAYLOAD_TEXT)
        return ingest_page(ingest, record, &http, true, err);
    return VLM_OK;
}

void vlm_ingest_damage(struct vlm_ingest *ingest, const struct vlm_record *record)
{
    ledger(ingest)->damaged[record->error]++;
    ledger(ingest)->bytes_damaged += record->length;
    if (record->error != VLM_DAMAGE_CRASH || !record->uri)
        return;
    /* Pages that show it learn why it is not there. */
    struct vlm_capture capture = {
        .key = vlm_url_key(&ingest->canonical, record->uri, strlen(record->uri)),
        .date = vlm_date_seconds(record->date),
        .kind = VLM_CAPTURE_IMAGE,
        .status = VLM_IMAGE_WORKER_CRASH,
    };
    vlm_unit_add_capture(&ingest->unit, &capture);
}

int vlm_ingest_record(struct vlm_ingest *ingest, const struct vlm_record *record,
                      struct vlm_err *err)
{
    struct vlm_capture capture = { .date = vlm_date_seconds(record->date) };
    vlm_arena_reset(&ingest->arena);
    ledger(ingest)->records[record->type]++;
    ledger(ingest)->bytes_read += record->length;
    if (record->uri)
        capture.key = vlm_url_key(&ingest->canonical, record->uri, strlen(record->uri));
    switch (record->type) {
    case VLM_RECORD_RESPONSE:
    case VLM_RECORD_RESOURCE:
    case VLM_RECORD_CONVERSION:
        return ingest_payload(ingest, &capture, record, err);
    case VLM_RECORD_REVISIT:
        return record->uri ? ingest_revisit(ingest, &capture, record, err) : VLM_OK;
    default:
        return VLM_OK;
    }
}
