/* crawl_page.c - the records of one page: request, response, metadata, then its images.
 *
 * HTTP messages are built here as servers and crawlers leave them: gzip and chunked bodies, redirects
 * of one and two hops, revisits, a 404. Pictures are encoded by the same code that shards use. */
#include "base/vlm.h"
#include "tools/crawl/crawl_page.h"

#include "vqgan/image/image.h"

struct crawl_maker {
    struct crawl_writer *writer;
    struct vlm_buffer html, body, message, file;
    uint8_t *rgb;
    struct crawl_plan plan;
};

struct crawl_maker *crawl_maker_new(void)
{
    struct crawl_maker *maker = calloc(1, sizeof(*maker));
    if (!maker)
        return NULL;
    maker->writer = crawl_writer_new();
    maker->rgb = malloc(SCENE_BYTES_MAX);
    if (maker->writer && maker->rgb)
        return maker;
    crawl_maker_free(maker);
    return NULL;
}

void crawl_maker_free(struct crawl_maker *maker)
{
    if (!maker)
        return;
    crawl_writer_free(maker->writer);
    vlm_buffer_release(&maker->html);
    vlm_buffer_release(&maker->body);
    vlm_buffer_release(&maker->message);
    vlm_buffer_release(&maker->file);
    free(maker->rgb);
    free(maker);
}

/* Pieces of 1 to 2 KiB, the last one empty (RFC 9112, 7.1). */
static void add_chunks(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t size = VLM_MIN(n - at, 1024 + (at * 7 + n) % 1024);
        vlm_buffer_printf(out, "%zx\r\n", size);
        vlm_buffer_add(out, bytes + at, size);
        vlm_buffer_text(out, "\r\n");
        at += size;
    }
    vlm_buffer_text(out, "0\r\n\r\n");
}

static void begin_message(struct vlm_buffer *out, const char *status, uint64_t time)
{
    char date[CRAWL_DATE_SIZE];
    vlm_buffer_reset(out);
    vlm_buffer_printf(out, "HTTP/1.1 %s\r\nServer: example\r\nX-Fetched: %s\r\n", status,
                      crawl_date_text(date, time));
}

static void add_request(struct crawl_maker *maker, const char *url, uint64_t time,
                        char id[CRAWL_ID_SIZE])
{
    const char *host = url + strlen("https://"), *path = strchr(host, '/');
    vlm_buffer_reset(&maker->message);
    vlm_buffer_printf(&maker->message,
                      "GET %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: vlm-make-crawl\r\n"
                      "Accept: */*\r\n\r\n",
                      path, (int)(path - host), host);
    crawl_record_add(maker->writer,
                     &(struct crawl_record){ .type = CRAWL_REQUEST,
                                             .uri = url,
                                             .time = time,
                                             .block = maker->message.data,
                                             .block_size = maker->message.size },
                     id);
}

/* The page itself: body, message, record. */
static void add_page_response(struct crawl_maker *maker, uint64_t time, bool damaged,
                              const char *request_id)
{
    const struct crawl_plan *plan = &maker->plan;
    struct vlm_buffer *message = &maker->message;
    const struct vlm_buffer *body = &maker->html;
    if (plan->gzip) {
        vlm_buffer_reset(&maker->body);
        crawl_gzip_add(maker->writer, &maker->body, maker->html.data, maker->html.size, false);
        body = &maker->body;
    }
    begin_message(message, "200 OK", time);
    vlm_buffer_text(message, "Content-Type: text/html; charset=utf-8\r\n");
    if (plan->gzip)
        vlm_buffer_text(message, "Content-Encoding: gzip\r\n");
    if (plan->chunked) {
        vlm_buffer_text(message, "Transfer-Encoding: chunked\r\n\r\n");
        add_chunks(message, body->data, body->size);
    } else {
        vlm_buffer_printf(message, "Content-Length: %zu\r\n\r\n", body->size);
        vlm_buffer_add(message, body->data, body->size);
    }
    message->failed |= body->failed;
    crawl_record_add(maker->writer,
                     &(struct crawl_record){ .type = CRAWL_RESPONSE,
                                             .uri = plan->url,
                                             .time = time,
                                             .block = message->data,
                                             .block_size = message->size,
                                             .payload = body->data,
                                             .payload_size = body->size,
                                             .concurrent_to = request_id,
                                             .damaged = damaged },
                     NULL);
}

static void add_page_records(struct crawl_maker *maker, struct crawl_counts *counts)
{
    const struct crawl_plan *plan = &maker->plan;
    char request[CRAWL_ID_SIZE];
    add_request(maker, plan->url, plan->time, request);
    add_page_response(maker, plan->time, plan->damaged, request);
    counts->pages++;
    counts->damaged += plan->damaged;
    counts->opt_outs += plan->opt_out;
    vlm_buffer_reset(&maker->message);
    vlm_buffer_printf(&maker->message, "fetchTimeMs: %u\r\nhopsFromSeed: L\r\n",
                      (unsigned)(40 + plan->number % 90));
    crawl_record_add(maker->writer,
                     &(struct crawl_record){ .type = CRAWL_METADATA,
                                             .uri = plan->url,
                                             .time = plan->time,
                                             .block = maker->message.data,
                                             .block_size = maker->message.size,
                                             .concurrent_to = request },
                     NULL);
    if (plan->duplicate) { /* captured again two seconds before the next page */
        add_page_response(maker, plan->time + 11, false, NULL);
        counts->duplicates++;
    }
}

static int encode_image(struct crawl_maker *maker, const struct crawl_image *image,
                        struct vlm_err *err)
{
    const struct scene *scene = &image->scene;
    vlm_buffer_reset(&maker->file);
    scene_draw(scene, maker->rgb);
    if (image->png)
        return vlm_rgb_to_png(&maker->file, maker->rgb, scene->width, scene->height, err);
    return vlm_rgb_to_jpeg(&maker->file, maker->rgb, scene->width, scene->height, image->quality,
                           err);
}

static void add_image_response(struct crawl_maker *maker, const struct crawl_image *image,
                               const char *url)
{
    struct vlm_buffer *message = &maker->message;
    begin_message(message, "200 OK", image->time);
    vlm_buffer_printf(message, "Content-Type: image/%s\r\nContent-Length: %zu\r\n\r\n",
                      image->png ? "png" : "jpeg", maker->file.size);
    vlm_buffer_add(message, maker->file.data, maker->file.size);
    crawl_record_add(maker->writer,
                     &(struct crawl_record){ .type = CRAWL_RESPONSE,
                                             .uri = url,
                                             .time = image->time,
                                             .block = message->data,
                                             .block_size = message->size,
                                             .payload = maker->file.data,
                                             .payload_size = maker->file.size,
                                             .fast = true },
                     NULL);
}

/* A response whose body is a line of text: redirects and errors. */
static void add_short_response(struct crawl_maker *maker, const char *url, uint64_t time,
                               const char *status, const char *location)
{
    struct vlm_buffer *message = &maker->message;
    const char *reason = strchr(status, ' ') + 1;
    size_t n = strlen(reason);
    begin_message(message, status, time);
    if (location)
        vlm_buffer_printf(message, "Location: %s\r\n", location);
    vlm_buffer_printf(message, "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s", n,
                      reason);
    crawl_record_add(maker->writer,
                     &(struct crawl_record){ .type = CRAWL_RESPONSE,
                                             .uri = url,
                                             .time = time,
                                             .block = message->data,
                                             .block_size = message->size,
                                             .payload = (const uint8_t *)reason,
                                             .payload_size = n },
                     NULL);
}

static void add_redirects(struct crawl_maker *maker, const struct crawl_image *image)
{
    if (image->fate == FATE_REDIRECT) {
        add_short_response(maker, image->url, image->time, "301 Moved Permanently", image->target);
        return;
    }
    char middle[CRAWL_URL_MAX + 8];
    const char *path = strchr(image->url + strlen("https://"), '/');
    int host = (int)(path - image->url);
    snprintf(middle, sizeof(middle), "%.*s/moved%s", host, image->url, path);
    add_short_response(maker, image->url, image->time, "302 Found", middle + host);
    add_short_response(maker, middle, image->time, "301 Moved Permanently", image->target);
}

static void add_revisit(struct crawl_maker *maker, const struct crawl_image *image)
{
    char digest[CRAWL_DIGEST_SIZE];
    struct vlm_buffer *message = &maker->message;
    begin_message(message, "200 OK", image->time);
    vlm_buffer_printf(message, "Content-Type: image/%s\r\nContent-Length: %zu\r\n\r\n",
                      image->png ? "png" : "jpeg", maker->file.size);
    crawl_digest_text(digest, maker->file.data, maker->file.size);
    crawl_record_add(maker->writer,
                     &(struct crawl_record){ .type = CRAWL_REVISIT,
                                             .uri = image->url,
                                             .time = image->time,
                                             .block = message->data,
                                             .block_size = message->size,
                                             .payload_digest = digest,
                                             .refers_to_uri = image->target,
                                             .refers_to_time = image->target_time },
                     NULL);
}

static int add_image_records(struct crawl_maker *maker, struct crawl_counts *counts,
                             const struct crawl_image *image, struct vlm_err *err)
{
    int rc = VLM_OK;
    switch (image->fate) {
    case FATE_DATA: /* is in the page */
        counts->data_urls++;
        return VLM_OK;
    case FATE_MISSING:
        counts->missing++;
        return VLM_OK;
    case FATE_NOT_FOUND:
        counts->not_found++;
        add_short_response(maker, image->url, image->time, "404 Not Found", NULL);
        return VLM_OK;
    case FATE_REVISIT_SAME:
    case FATE_REVISIT_OTHER:
        counts->revisits++;
        rc = encode_image(maker, image, err);
        add_revisit(maker, image);
        return rc;
    case FATE_REDIRECT:
    case FATE_REDIRECT_TWO:
        counts->redirects++;
        add_redirects(maker, image);
        break;
    case FATE_FOUND:
        break;
    }
    rc = encode_image(maker, image, err);
    add_image_response(maker, image, image->fate == FATE_FOUND ? image->url : image->target);
    counts->images++;
    counts->png += image->png;
    counts->jpeg += !image->png;
    return rc;
}

static void add_record_counts(struct crawl_counts *counts, const struct crawl_writer *writer)
{
    const uint64_t *records = crawl_writer_counts(writer);
    for (size_t i = 0; i < CRAWL_TYPES; i++)
        counts->records[i] += records[i];
}

int crawl_page_add(struct crawl_maker *maker, struct vlm_buffer *out, struct crawl_counts *counts,
                   const struct crawl_options *options, uint64_t page, struct vlm_err *err)
{
    struct crawl_plan *plan = &maker->plan;
    crawl_plan_make(plan, options, page);
    crawl_writer_begin(maker->writer, out, options->seed, page);
    vlm_buffer_reset(&maker->html);
    vlm_buffer_reset(&maker->file);
    int rc = VLM_OK;
    if (plan->image[0].fate == FATE_DATA)
        rc = encode_image(maker, &plan->image[0], err);
    crawl_html(&maker->html, plan, &maker->file);
    add_page_records(maker, counts);
    for (size_t i = 0; rc == VLM_OK && i < plan->n_images; i++)
        rc = add_image_records(maker, counts, &plan->image[i], err);
    add_record_counts(counts, maker->writer);
    if (rc == VLM_OK && (out->failed || maker->html.failed || maker->message.failed))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for page %" PRIu64, page);
    return rc;
}

void crawl_warcinfo_add(struct crawl_maker *maker, struct vlm_buffer *out,
                        struct crawl_counts *counts, const struct crawl_options *options,
                        uint64_t file)
{
    struct vlm_buffer *block = &maker->message;
    vlm_buffer_reset(block);
    vlm_buffer_printf(block,
                      "software: vlm-make-crawl %s\r\nformat: WARC File Format 1.1\r\n"
                      "description: made-up pages of coloured shapes, seed %" PRIu64 "\r\n",
                      VLM_VERSION, options->seed);
    crawl_writer_begin(maker->writer, out, options->seed, UINT64_MAX - file);
    crawl_plan_make(&maker->plan, options, 0);
    crawl_record_add(maker->writer,
                     &(struct crawl_record){ .type = CRAWL_WARCINFO,
                                             .time = maker->plan.time,
                                             .block = block->data,
                                             .block_size = block->size },
                     NULL);
    add_record_counts(counts, maker->writer);
}
