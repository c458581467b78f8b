/* access_log.c - JSON lines about requests: who, what, how long, how many tokens. Never bodies, never values of a query,
 * never header fields but the id, and that only has letters, digits and "-_.". */
#include "base/vlm.h"
#include "serve/http/access_log.h"

#include "base/json.h"
#include "base/progress.h"
#include "serve/http/connection_internal.h"

#include <time.h>

static void add_time(struct vlm_json *json)
{
    struct timespec now;
    struct tm utc;
    char text[64], day[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof(text), "%s.%03dZ", day, (int)(now.tv_nsec / 1000000));
    vlm_json_member_string(json, "time", text);
}

/* "/slots?fail_on_no_slot=": the names of parameters, not their values. What is not printable ASCII is percent-encoded:
 * logs are read in terminals, and characters may also turn a line around. */
static void add_path(struct vlm_json *json, const struct vlm_http_request *request)
{
    struct vlm_buffer path = { 0 };
    for (const char *c = request->path; *c; c++)
        if (*c > ' ' && *c < 0x7f && !strchr("%?\"\\", *c))
            vlm_buffer_byte(&path, (uint8_t)*c);
        else
            vlm_buffer_printf(&path, "%%%02X", (unsigned)(uint8_t)*c);
    const char *separator = "?";
    for (const char *at = request->query; *at; at += strcspn(at, "&"), at += *at == '&') {
        size_t n = strcspn(at, "=&");
        vlm_buffer_text(&path, separator);
        vlm_buffer_add(&path, at, n);
        vlm_buffer_text(&path, at[n] == '=' ? "=" : "");
        separator = "&";
    }
    vlm_json_key(json, "path");
    vlm_json_text(json, path.data ? (const char *)path.data : "", path.size);
    vlm_buffer_release(&path);
}

static void add_note(struct vlm_json *json, const struct vlm_exchange_note *note)
{
    const struct {
        const char *name;
        uint64_t n;
    } count[] = {
        { "prompt_tokens", note->prompt_tokens },
        { "cached_tokens", note->cached_tokens },
        { "completion_tokens", note->completion_tokens },
        { "images", note->images },
    };
    for (size_t i = 0; i < VLM_COUNTOF(count); i++)
        if (count[i].n)
            vlm_json_member_number(json, count[i].name, count[i].n);
    if (note->queue_seconds > 0)
        vlm_json_member_real(json, "queue_seconds", note->queue_seconds);
    if (note->first_token_seconds > 0)
        vlm_json_member_real(json, "first_token_seconds", note->first_token_seconds);
    if (note->finish)
        vlm_json_member_string(json, "finish", note->finish);
}

void vlm_access_log(const struct vlm_exchange *exchange, int status)
{
    struct vlm_connection *connection = exchange->connection;
    struct vlm_http_server *http = connection->http;
    if (!http->options.access_log)
        return;
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    char remote[64];
    vlm_address_text(&connection->remote, remote);
    if (http->log_cut)
        vlm_buffer_byte(&line, '\n');
    vlm_json_open(&json, '{');
    add_time(&json);
    vlm_json_member_string(&json, "id", exchange->id);
    vlm_json_member_string(&json, "remote", remote);
    vlm_json_member_string(&json, "method",
                           exchange->line_known ? vlm_method_name(exchange->request.method) : NULL);
    if (exchange->line_known)
        add_path(&json, &exchange->request);
    else
        vlm_json_member_string(&json, "path", NULL);
    vlm_json_member_number(&json, "status", (uint64_t)status);
    vlm_json_member_number(&json, "bytes_in", exchange->bytes_in);
    vlm_json_member_number(&json, "bytes_out", exchange->bytes_out);
    vlm_json_member_real(&json, "seconds", vlm_now() - exchange->start);
    add_note(&json, &exchange->note);
    if (http->log_lost)
        vlm_json_member_number(&json, "lost_lines", http->log_lost);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    FILE *log = http->options.access_log;
    const size_t written = line.failed ? 0 : fwrite(line.data, 1, line.size, log);
    if (line.failed || written != line.size || fflush(log)) {
        clearerr(log);
        http->log_lost++;
        http->log_lost_ever++;
        http->log_cut = http->log_cut || (written && written < line.size);
    } else {
        http->log_lost = 0;
        http->log_cut = false;
    }
    vlm_buffer_release(&line);
}
