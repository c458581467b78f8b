/* gate.c - who may ask: Host against DNS rebinding, Origin against other people's pages, API keys.
 *
 * A page in a browser can send requests to this machine, but it cannot choose Host or Origin. A name in Host that is
 * not ours is a name that somebody made point here; an Origin that is neither ours nor named by the operator is a page
 * that was not asked. Keys are kept and compared as SHA-256, all of them each time, so the time says nothing. */
#include "base/vlm.h"
#include "serve/http/connection_internal.h"

#include <arpa/inet.h>

int vlm_http_server_set_keys(struct vlm_http_server *http, const char *const *keys, size_t n,
                             struct vlm_err *err)
{
    uint8_t(*hashes)[VLM_SHA256_SIZE] = n ? calloc(n, sizeof(*hashes)) : NULL;
    if (n && !hashes)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu API keys", n);
    for (size_t i = 0; i < n; i++) {
        if (!keys[i][0]) {
            free(hashes);
            return vlm_fail(err, VLM_EUSAGE, "API key %zu is empty", i + 1);
        }
        vlm_sha256(hashes[i], keys[i], strlen(keys[i]));
    }
    free(http->key_hashes);
    http->key_hashes = hashes;
    http->n_keys = n;
    return VLM_OK;
}

/* "127.0.0.1" or "[::1]" as an address. */
static bool parse_address(struct vlm_address *out, const char *host)
{
    char text[INET6_ADDRSTRLEN];
    size_t n = strlen(host);
    memset(out, 0, sizeof(*out));
    if (host[0] != '[') {
        out->byte[10] = out->byte[11] = 0xff;
        return inet_pton(AF_INET, host, out->byte + 12) == 1;
    }
    if (n < 3 || n - 2 >= sizeof(text))
        return false;
    memcpy(text, host + 1, n - 2);
    text[n - 2] = '\0';
    return inet_pton(AF_INET6, text, out->byte) == 1;
}

/* Ours are localhost, the addresses of the loopback, the address that the client has reached, and what the operator
 * named. The port may differ: there are tunnels and proxies. No page reaches a UNIX socket, but for a proxy in front, of which the
 * operator says so by naming hosts. */
static bool host_is_ours(const struct vlm_connection *connection, const char *host)
{
    const struct vlm_http_options *options = &connection->http->options;
    struct vlm_address address;
    const bool local = vlm_address_is_local(&connection->remote);
    if ((local && !options->n_hosts) || !strcmp(host, "localhost") ||
        !evutil_ascii_strcasecmp(host, options->host))
        return true;
    if (!local && parse_address(&address, host) && !vlm_address_is_local(&address) &&
        (vlm_address_is_loopback(&address) ||
         !memcmp(&address, &connection->local, sizeof(address))))
        return true;
    for (size_t i = 0; i < options->n_hosts; i++)
        if (!evutil_ascii_strcasecmp(host, options->hosts[i]))
            return true;
    return false;
}

/* Our own page: its Origin is the Host that it was loaded from, which has passed. */
static bool origin_is_ours(const struct vlm_exchange *exchange, const char *origin)
{
    const char *authority = vlm_head_text(&exchange->head, exchange->head.authority);
    size_t scheme = !evutil_ascii_strncasecmp(origin, "http://", 7)    ? 7
                    : !evutil_ascii_strncasecmp(origin, "https://", 8) ? 8
                                                                       : 0;
    return scheme && !evutil_ascii_strcasecmp(origin + scheme, authority);
}

/* Sets exchange->origin when it is one that was named. */
static bool origin_may(struct vlm_exchange *exchange)
{
    const struct vlm_http_options *options = &exchange->connection->http->options;
    size_t count;
    const char *origin = vlm_head_field(&exchange->head, "origin", &count);
    if (!count)
        return true;
    if (count > 1)
        return false;
    for (size_t i = 0; i < options->n_origins; i++)
        if (!evutil_ascii_strcasecmp(origin, options->origins[i])) {
            exchange->origin = options->origins[i];
            return true;
        }
    return origin_is_ours(exchange, origin);
}

static bool key_is_known(const struct vlm_exchange *exchange)
{
    const struct vlm_http_server *http = exchange->connection->http;
    uint8_t hash[VLM_SHA256_SIZE];
    size_t count;
    unsigned known = 0;
    const char *value = vlm_head_field(&exchange->head, "authorization", &count);
    if (count != 1 || evutil_ascii_strncasecmp(value, "bearer ", 7))
        return false;
    value += 7;
    value += strspn(value, " ");
    vlm_sha256(hash, value, strlen(value));
    for (size_t i = 0; i < http->n_keys; i++) {
        unsigned differ = 0;
        for (size_t k = 0; k < sizeof(hash); k++)
            differ |= (unsigned)(hash[k] ^ http->key_hashes[i][k]);
        known |= differ - 1; /* all ones when nothing differs; else the upper bits are none */
    }
    return known >> 31;
}

static bool path_is_open(const struct vlm_exchange *exchange)
{
    const char *const *open = exchange->connection->http->options.open_paths;
    for (; open && *open; open++)
        if (!strcmp(exchange->request.path, *open))
            return true;
    return false;
}

/* A question of a browser before the request, without a key; or of anybody what the server can at all. */
static void answer_options(struct vlm_exchange *exchange)
{
    static const char methods[] = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
    if (exchange->origin) {
        vlm_exchange_header(exchange, "Access-Control-Allow-Methods", methods);
        vlm_exchange_header(exchange, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type, X-Request-Id");
        vlm_exchange_header(exchange, "Access-Control-Max-Age", "600");
        if (vlm_head_field(&exchange->head, "access-control-request-private-network", NULL))
            vlm_exchange_header(exchange, "Access-Control-Allow-Private-Network", "true");
    }
    vlm_exchange_header(exchange, "Allow", methods);
    vlm_exchange_reply(exchange, 204, NULL, "", 0);
}

bool vlm_gate_open(struct vlm_exchange *exchange)
{
    const struct vlm_http_server *http = exchange->connection->http;
    const struct vlm_head *head = &exchange->head;
    if (!host_is_ours(exchange->connection, vlm_head_text(head, head->host))) {
        vlm_exchange_error(exchange, 403, NULL, "the host in Host is not one of this server");
        return false;
    }
    if (!origin_may(exchange)) {
        vlm_exchange_error(exchange, 403, NULL, "pages of this origin may not use this server");
        return false;
    }
    const bool preflight =
        exchange->origin && vlm_head_field(head, "access-control-request-method", NULL);
    if (head->method == VLM_HTTP_OPTIONS && (preflight || !strcmp(exchange->request.path, "*"))) {
        answer_options(exchange);
        return false;
    }
    if (http->n_keys && !key_is_known(exchange) && !path_is_open(exchange)) {
        vlm_exchange_header(exchange, "WWW-Authenticate", "Bearer");
        vlm_exchange_error(exchange, 401, NULL, "a valid API key is needed");
        return false;
    }
    return true;
}
