/* fuzz_http_request.c - any bytes as what a client sends: head, body, and the next request behind it. However they come
 * apart, the result is the same; what is accepted keeps its promises. */
#include "base/vlm.h"

#include "serve/http/request_body.h"
#include "serve/http/request_head.h"

enum { BODY_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct outcome {
    enum vlm_head_result head, body;
    int status;
    size_t used, body_n;
    uint64_t path, bytes;
};

static uint64_t mix(const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

static void check_head(const struct vlm_head *head)
{
    const char *path = vlm_head_text(head, head->path);
    VLM_BUG_IF(path[0] != '/' && strcmp(path, "*"));
    VLM_BUG_IF(strstr(path, "/../") || strchr(path, '\\'));
    for (const char *c = path; *c; c++)
        VLM_BUG_IF((uint8_t)*c < 0x20 || *c == 0x7f);
    VLM_BUG_IF(!vlm_head_text(head, head->host)[0]);
    VLM_BUG_IF(head->chunked && head->has_length);
    VLM_BUG_IF(head->minor > 1 || head->n_fields > VLM_REQUEST_FIELDS_MAX);
    VLM_BUG_IF(strlen(vlm_head_text(head, head->boundary)) > 70);
    for (size_t i = 0; i < head->n_fields; i++) {
        VLM_BUG_IF(!vlm_head_text(head, head->field[i].name)[0]);
        for (const char *c = vlm_head_text(head, head->field[i].value); *c; c++)
            VLM_BUG_IF(((uint8_t)*c < 0x20 && *c != '\t') || (uint8_t)*c > 0x7e);
    }
}

/* Copies each piece to memory of its own size, so that a read behind it is seen. */
static struct outcome run(const uint8_t *bytes, size_t n, size_t step)
{
    struct vlm_head head = { 0 };
    struct vlm_body body = { 0 };
    struct outcome out = { VLM_HEAD_MORE, VLM_HEAD_MORE, 0, 0, 0, 0, 0 };
    while (out.used < n && out.head != VLM_HEAD_BAD && out.body == VLM_HEAD_MORE) {
        size_t used = 0, take = VLM_MIN(step, n - out.used);
        uint8_t *piece = malloc(take);
        if (!piece)
            break;
        memcpy(piece, bytes + out.used, take);
        if (out.head == VLM_HEAD_MORE) {
            out.head = vlm_head_feed(&head, piece, take, &used);
            if (out.head == VLM_HEAD_DONE) {
                check_head(&head);
                out.body = vlm_body_begin(&body, &head, BODY_MAX);
            }
        } else {
            out.body = vlm_body_feed(&body, piece, take, &used);
        }
        free(piece);
        VLM_BUG_IF(used > take);
        out.used += used;
    }
    VLM_BUG_IF(body.bytes.size > BODY_MAX);
    out.status = out.head == VLM_HEAD_BAD   ? head.status
                 : out.body == VLM_HEAD_BAD ? body.status
                                            : 0;
    VLM_BUG_IF(out.status && (out.status < 400 || out.status > 505));
    const char *path = vlm_head_text(&head, head.path);
    out.path = mix(path, strlen(path));
    out.body_n = body.bytes.size;
    out.bytes = mix(body.bytes.data, body.bytes.size);
    vlm_body_release(&body);
    vlm_head_release(&head);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const size_t steps[] = { 1, 2, 7, 64 };
    struct outcome whole = run(bytes, n, n + 1);
    for (size_t i = 0; i < VLM_COUNTOF(steps); i++) {
        struct outcome parts = run(bytes, n, steps[i]);
        VLM_BUG_IF(parts.head != whole.head || parts.body != whole.body);
        VLM_BUG_IF(parts.status != whole.status || parts.used != whole.used);
        VLM_BUG_IF(parts.path != whole.path || parts.bytes != whole.bytes);
    }
    return 0;
}
