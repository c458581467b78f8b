/* server.h - all parts of vlm-serve put together, and their life from the first request to the last.
 *
 *   rc = vlm_server_new(&server, &options, &err);     // loads the model, listens
 *   ... vlm_server_facts(server).url is ready ...
 *   rc = vlm_server_run(server, &err);                // until vlm_server_stop() and the answers under way
 *   vlm_server_free(server);
 *
 * One thread, that of the event loop. */
#ifndef VLM_SERVE_SERVER_H
#define VLM_SERVE_SERVER_H

#include "serve/run/serve_options.h"

struct event_base;
struct vlm_server;

/* The options must outlive it. VLM_ELIMIT: what it takes is more memory than there is, in numbers. */
VLM_MUST_CHECK int vlm_server_new(struct vlm_server **out, const struct vlm_serve_options *options,
                                  struct vlm_err *err);
void vlm_server_free(struct vlm_server *server); /* NULL is fine */

/* For events of the caller: signals. */
struct event_base *vlm_server_base(struct vlm_server *server);

/* VLM_OK after vlm_server_stop(); VLM_EFAIL: the event loop failed. */
VLM_MUST_CHECK int vlm_server_run(struct vlm_server *server, struct vlm_err *err);

/* Begins the end: no connections any more, new work is refused, answers under way have the grace that the options
 * say; then they fail. */
void vlm_server_stop(struct vlm_server *server);

/* Opens the file of the access log again, which somebody has moved, and reads the file of keys again. What fails stays
 * as it was, and options->warn says why. */
void vlm_server_reload(struct vlm_server *server);

enum { VLM_SERVER_URL_SIZE = 300 };

/* For people; texts are valid until the server is freed. */
struct vlm_server_facts {
    const char *url, *model, *recipe, *dtype, *cpu;
    size_t parameters, slots, context, threads;
    size_t weight_bytes, cache_bytes;
    bool pictures;
};
struct vlm_server_facts vlm_server_facts(const struct vlm_server *server);

#endif
