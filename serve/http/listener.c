/* listener.c - the socket that listens, TCP or UNIX, and how many connections there may be.
 *
 * A socket file that nobody listens on is a rest of a process that was killed and is replaced; any other file of that
 * name stays and is an error. Over the limit of connections the one that has been idle for longest,
 * or has sent half a request, makes room; without one the new client is told 503. Without descriptors listening
 * pauses, so that the loop does not spin on a full backlog. It also lets the rest of the loop have its turn behind a few
 * clients: libevent would go on as long as new ones come. */
#include "base/vlm.h"
#include "serve/http/connection_internal.h"

#include "base/progress.h"

#include <arpa/inet.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define QUIET_SECONDS 0.25
#define HALF_SECONDS  1.0
#define BODY_SECONDS  10.0

enum {
    BACKLOG = 1024,
    REFUSED_MAX = 64, /* clients over the limit that are told so; more are closed without a word */
    RESUME_MS = 100,
    BODIES_MAX = 8,   /* times body_max: memory of all bodies together */
    ACCEPTS_MAX = 32, /* clients that are taken before those who are there have their turn */
};

/* ---- addresses ---- */

/* All zero for a UNIX socket. */
static struct vlm_address address_of(const struct sockaddr *name)
{
    struct vlm_address address = { { 0 } };
    if (name->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)name;
        address.byte[10] = address.byte[11] = 0xff;
        memcpy(address.byte + 12, &four->sin_addr, 4);
    } else if (name->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)name;
        memcpy(address.byte, &six->sin6_addr, 16);
    }
    return address;
}

static bool is_mapped(const struct vlm_address *address)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    return !memcmp(address->byte, mapped, 12);
}

bool vlm_address_is_loopback(const struct vlm_address *address)
{
    static const uint8_t six[16] = { [15] = 1 };
    return is_mapped(address) ? address->byte[12] == 127 : !memcmp(address->byte, six, 16);
}

bool vlm_address_is_local(const struct vlm_address *address)
{
    static const uint8_t none[16] = { 0 };
    return !memcmp(address->byte, none, 16);
}

void vlm_address_text(const struct vlm_address *address, char out[64])
{
    if (vlm_address_is_local(address))
        snprintf(out, 64, "unix");
    else if (is_mapped(address))
        inet_ntop(AF_INET, address->byte + 12, out, 64);
    else
        inet_ntop(AF_INET6, address->byte, out, 64);
}

/* ---- connections ---- */

/* The connection that can best be spared: of those between requests, without a request for QUIET_SECONDS, or with half a
 * head for HALF_SECONDS, the one that is so for longest; when there are none, of those with half a body for BODY_SECONDS,
 * which may be a picture on a slow line. NULL: all have a request. */
static struct vlm_connection *most_idle(const struct vlm_http_server *http)
{
    const double now = vlm_now();
    struct vlm_connection *found = NULL;
    for (struct vlm_connection *c = http->first; c; c = c->next) {
        const double spared = c->state == VLM_CONNECTION_HEAD   ? HALF_SECONDS
                              : c->state == VLM_CONNECTION_BODY ? BODY_SECONDS
                              : c->state != VLM_CONNECTION_IDLE ? HUGE_VAL
                              : c->answered                     ? 0
                                                                : QUIET_SECONDS;
        if (c->refused || now - c->since < spared)
            continue;
        const bool body = c->state == VLM_CONNECTION_BODY;
        const bool of_body = found && found->state == VLM_CONNECTION_BODY;
        if (!found || (body == of_body ? c->since < found->since : of_body))
            found = c;
    }
    return found;
}

static size_t count_address(const struct vlm_http_server *http, const struct vlm_address *address)
{
    size_t n = 0;
    for (const struct vlm_connection *c = http->first; c; c = c->next)
        n += !c->refused && !memcmp(&c->remote, address, sizeof(*address));
    return n;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *name,
                      int name_n, void *argument)
{
    struct vlm_http_server *http = argument;
    struct sockaddr_storage own = { 0 };
    socklen_t own_n = sizeof(own);
    int over = 0;
    (void)name_n;
    if (++http->n_accepted % ACCEPTS_MAX == 0) {
        evconnlistener_disable(listener);
        event_active(http->resume, EV_TIMEOUT, 0);
    }
    const struct vlm_address remote = address_of(name);
    getsockname(fd, (struct sockaddr *)&own, &own_n);
    const struct vlm_address local = address_of((const struct sockaddr *)&own);
    if (!vlm_address_is_local(&remote) &&
        http->options.address_connections_max < http->options.connections_max &&
        count_address(http, &remote) >= http->options.address_connections_max)
        over = 429;
    if (!over && http->n_connections >= http->options.connections_max) {
        struct vlm_connection *spared = most_idle(http);
        if (spared)
            vlm_connection_gone(spared);
        else
            over = 503;
    }
    if (over && http->n_refused >= REFUSED_MAX)
        evutil_closesocket(fd);
    else
        vlm_connection_new(http, fd, &remote, &local, over);
}

static void on_accept_error(struct evconnlistener *listener, void *argument)
{
    struct vlm_http_server *http = argument;
    const struct timeval pause = { 0, RESUME_MS * 1000 };
    evconnlistener_disable(listener);
    event_add(http->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *argument)
{
    struct vlm_http_server *http = argument;
    (void)fd, (void)what;
    if (http->listener)
        evconnlistener_enable(http->listener);
}

/* ---- listening ---- */

/* A socket that is bound and not yet listening; -1 with errno. */
static int bound_socket(const struct sockaddr *name, socklen_t n)
{
    const int on = 1;
    int fd = socket(name->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (name->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!bind(fd, name, n))
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

/* Deletes a socket file that nobody listens on. */
static int clear_socket_file(const char *path, const struct sockaddr_un *name, struct vlm_err *err)
{
    struct stat info;
    if (lstat(path, &info))
        return errno == ENOENT ? VLM_OK : vlm_fail_errno(err, errno, "cannot look at '%s'", path);
    if (!S_ISSOCK(info.st_mode))
        return vlm_fail(err, VLM_EFAIL, "cannot listen on '%s': it exists and is not a socket",
                        path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot make a socket");
    const bool alive =
        !connect(fd, (const struct sockaddr *)name, sizeof(*name)) || errno != ECONNREFUSED;
    close(fd);
    if (alive)
        return vlm_fail(err, VLM_EFAIL, "cannot listen on '%s': another process does", path);
    if (unlink(path) && errno != ENOENT)
        return vlm_fail_errno(err, errno, "cannot delete the old socket '%s'", path);
    return VLM_OK;
}

static int bind_unix(struct vlm_http_server *http, int *fd, struct vlm_err *err)
{
    const char *path = http->options.host;
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    struct stat info;
    if (strlen(path) >= sizeof(name.sun_path))
        return vlm_fail(err, VLM_EUSAGE, "the socket path '%s' is longer than %zu bytes", path,
                        sizeof(name.sun_path) - 1);
    memcpy(name.sun_path, path, strlen(path) + 1);
    int rc = clear_socket_file(path, &name, err);
    if (rc)
        return rc;
    *fd = bound_socket((const struct sockaddr *)&name, sizeof(name));
    if (*fd < 0)
        return vlm_fail_errno(err, errno, "cannot listen on '%s'", path);
    http->socket_path = strdup(path);
    if (!http->socket_path)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a path");
    /* Nobody can connect before it listens, so the mode is in time. */
    const mode_t mode = http->options.socket_mode ? (mode_t)http->options.socket_mode : 0600;
    if (chmod(path, mode) || lstat(path, &info))
        return vlm_fail_errno(err, errno, "cannot set the mode of '%s'", path);
    http->socket_device = info.st_dev;
    http->socket_inode = info.st_ino;
    return VLM_OK;
}

/* The first address of the name that can be bound, IPv4 before IPv6. */
static int bind_tcp(struct vlm_http_server *http, int *fd, struct vlm_err *err)
{
    const struct vlm_http_options *options = &http->options;
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    char port[8], host[256];
    const size_t n = strlen(options->host);
    const bool bracketed = n > 2 && options->host[0] == '[' && options->host[n - 1] == ']';
    int number = 0;
    snprintf(port, sizeof(port), "%u", options->port);
    snprintf(host, sizeof(host), "%.*s", (int)(bracketed ? n - 2 : n), options->host + bracketed);
    int code = getaddrinfo(host, port, &hints, &list);
    if (code)
        return vlm_fail(err, VLM_EFAIL, "cannot listen on '%s': %s", options->host,
                        gai_strerror(code));
    for (int family = AF_INET; *fd < 0 && family; family = family == AF_INET ? AF_INET6 : 0)
        for (const struct addrinfo *at = list; at && *fd < 0; at = at->ai_next) {
            if (at->ai_family != family)
                continue;
            const struct vlm_address address = address_of(at->ai_addr);
            if (!options->n_keys && !vlm_address_is_loopback(&address)) {
                freeaddrinfo(list);
                return vlm_fail(err, VLM_EUSAGE,
                                "'%s' is not an address of this machine alone: it needs an API key",
                                options->host);
            }
            *fd = bound_socket(at->ai_addr, at->ai_addrlen);
            number = errno;
        }
    freeaddrinfo(list);
    if (*fd < 0)
        return vlm_fail_errno(err, number, "cannot listen on '%s' port %u", options->host,
                              options->port);
    struct sockaddr_storage own = { 0 };
    socklen_t own_n = sizeof(own);
    if (getsockname(*fd, (struct sockaddr *)&own, &own_n))
        return vlm_fail_errno(err, errno, "cannot learn the port");
    http->port = ntohs(own.ss_family == AF_INET ? ((struct sockaddr_in *)&own)->sin_port
                                                : ((struct sockaddr_in6 *)&own)->sin6_port);
    return VLM_OK;
}

static bool is_socket_path(const char *host)
{
    const size_t n = strlen(host);
    return strchr(host, '/') || (n > 5 && !strcmp(host + n - 5, ".sock"));
}

static int start_listening(struct vlm_http_server *http, struct vlm_err *err)
{
    int fd = -1;
    int rc =
        is_socket_path(http->options.host) ? bind_unix(http, &fd, err) : bind_tcp(http, &fd, err);
    if (!rc && listen(fd, BACKLOG))
        rc = vlm_fail_errno(err, errno, "cannot listen on '%s' port %u", http->options.host,
                            http->port);
    if (!rc) {
        http->resume = evtimer_new(http->base, on_resume, http);
        http->listener = evconnlistener_new(http->base, on_accept, http,
                                            LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
        if (!http->resume || !http->listener)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory to listen");
        else
            evconnlistener_set_error_cb(http->listener, on_accept_error);
    }
    if (rc && fd >= 0 && !http->listener)
        close(fd);
    return rc;
}

int vlm_http_server_new(struct vlm_http_server **out, struct event_base *base,
                        const struct vlm_http_options *options, struct vlm_err *err)
{
    *out = NULL;
    struct vlm_http_server *http = calloc(1, sizeof(*http));
    if (!http)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the server");
    http->base = base;
    http->options = *options;
    http->body_bytes_max = BODIES_MAX * options->body_max;
    if (getrandom(&http->id_seed, sizeof(http->id_seed), 0) != sizeof(http->id_seed))
        http->id_seed = (uint64_t)getpid();
    int rc = vlm_http_server_set_keys(http, options->keys, options->n_keys, err);
    if (!rc)
        rc = start_listening(http, err);
    if (rc) {
        vlm_http_server_free(http);
        return rc;
    }
    *out = http;
    return VLM_OK;
}

uint16_t vlm_http_server_port(const struct vlm_http_server *http)
{
    return http->port;
}

size_t vlm_http_server_exchanges(const struct vlm_http_server *http)
{
    return http->n_exchanges;
}

uint64_t vlm_http_server_log_lost(const struct vlm_http_server *http)
{
    return http->log_lost_ever;
}

/* Deletes the socket file when it is still ours. */
static void remove_socket_file(struct vlm_http_server *http)
{
    struct stat info;
    if (http->socket_path && !lstat(http->socket_path, &info) &&
        info.st_dev == http->socket_device && info.st_ino == http->socket_inode)
        unlink(http->socket_path);
    http->socket_inode = 0;
}

void vlm_http_server_stop_listening(struct vlm_http_server *http)
{
    if (!http->listener)
        return;
    http->draining = true;
    remove_socket_file(http);
    evconnlistener_free(http->listener);
    http->listener = NULL;
    for (struct vlm_connection *c = http->first, *next; c; c = next) {
        next = c->next;
        if (c->state == VLM_CONNECTION_IDLE)
            vlm_connection_gone(c);
    }
}

void vlm_http_server_free(struct vlm_http_server *http)
{
    if (!http)
        return;
    while (http->first)
        vlm_connection_gone(http->first);
    if (http->listener)
        evconnlistener_free(http->listener);
    remove_socket_file(http);
    if (http->resume)
        event_free(http->resume);
    free(http->socket_path);
    free(http->key_hashes);
    free(http);
}
