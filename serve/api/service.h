/* service.h - what endpoints share, and the table of them.
 *
 *   service.pictures, service.work, ... set by the main program
 *   vlm_service_handle(&service, exchange);      // vlm_http_options.handle
 *
 * Everything in serve/api runs on the thread of the event loop. */
#ifndef VLM_SERVE_SERVICE_H
#define VLM_SERVE_SERVICE_H

#include "models/folder/model_folder.h"
#include "models/model/model_serve.h"
#include "serve/http/http_server.h"
#include "serve/picture/picture.h"
#include "serve/work/work.h"
#include "tokenize/sequence/sequence.h"

struct vlm_service_limits {
    size_t prompt_bytes, n, stop_words, stop_bytes, bias, images, max_tokens;
};
#define VLM_SERVICE_LIMITS                                                                         \
    {                                                                                              \
        .prompt_bytes = VLM_MIB, .n = 16, .stop_words = 16, .stop_bytes = 256, .bias = 512,        \
        .images = 16, .max_tokens = 65536                                                          \
    }

struct vlm_service {
    const char *model_name; /* as /v1/models says it: the folder's name, or --alias */
    struct vlm_model_folder *folder;
    const struct vlm_choices *choices;
    struct vlm_sequencer *sequencer; /* of this thread */
    struct vlm_work *work;
    struct vlm_pictures *pictures; /* NULL: text only */
    struct vlm_metrics *metrics;
    const struct vlm_http_server *http; /* NULL: no listener yet */
    struct event_base *base;
    struct vlm_service_limits limits;
    size_t slots, context; /* rows of a slot */
    enum vlm_weights weights;
    uint64_t model_hash;    /* XXH3 of the parameters as the folder has them */
    uint64_t started;       /* seconds of the epoch */
    bool draining;          /* /ready says so, new work is refused with 503 */
    double ping_seconds;    /* of a silent stream */
    double timeout_seconds; /* of a request, waiting included; 0: any */
    size_t held_bytes;      /* of requests that were read and are under way, all together */
};

void vlm_service_handle(void *service, struct vlm_exchange *exchange);

/* Answers, and counts the answer: every endpoint's last call. JSON of vlm_service_json() is its buffer, which is released.
 */
void vlm_service_reply(struct vlm_service *service, struct vlm_exchange *exchange, int status,
                       const char *content_type, const void *bytes, size_t n);
void vlm_service_json(struct vlm_service *service, struct vlm_exchange *exchange, int status,
                      struct vlm_buffer *json);
void vlm_service_error(struct vlm_service *service, struct vlm_exchange *exchange, int status,
                       const char *param, const char *format, ...) VLM_PRINTF(5, 6);
/* The same for an answer that was sent otherwise. finish: as vlm_metrics_request(). */
void vlm_service_count(struct vlm_service *service, const char *path, int status,
                       const char *finish);

/* ---- the table ---- */

struct vlm_call_kind;

struct vlm_endpoint {
    enum vlm_http_method method;
    const char *path; /* "/v1/images/blobs/{sha256}": the last part may be anything */
    void (*handle)(struct vlm_service *service, struct vlm_exchange *exchange);
    bool works;                       /* makes the model work: refused while draining */
    const struct vlm_call_kind *kind; /* instead of handle and describe */
    const char *summary;              /* for /openapi.json */
    /* Appends the JSON of the OpenAPI operation's "requestBody" and "responses"; NULL: neither. */
    void (*describe)(struct vlm_buffer *out);
};
const struct vlm_endpoint *vlm_endpoints(size_t *n);

#endif
