/* text_workers.c - what several verbs of vlm-tokenize need: encoders for all threads, lines of JSON. */
#include "base/vlm.h"

#include "base/json_scan.h"
#include "tools/tokenize/tokenize.h"

int vlm_text_workers_open(struct vlm_text_workers *workers, const char *path, size_t threads,
                          struct vlm_err *err)
{
    *workers = (struct vlm_text_workers){ 0 };
    int rc = vlm_text_tokenizer_open(&workers->tokenizer, path, err);
    if (rc == VLM_OK)
        rc = vlm_pool_new(&workers->pool, threads, err);
    if (rc != VLM_OK)
        return rc;
    workers->n = vlm_pool_threads(workers->pool);
    workers->list = calloc(workers->n, sizeof(*workers->list));
    if (!workers->list)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu threads", workers->n);
    for (size_t i = 0; rc == VLM_OK && i < workers->n; i++)
        rc = vlm_text_encoder_new(&workers->list[i].encoder, workers->tokenizer, err);
    return rc;
}

void vlm_text_workers_close(struct vlm_text_workers *workers)
{
    for (size_t i = 0; workers->list && i < workers->n; i++) {
        vlm_text_encoder_free(workers->list[i].encoder);
        vlm_tokens_release(&workers->list[i].tokens);
    }
    free(workers->list);
    vlm_pool_free(workers->pool);
    vlm_text_tokenizer_close(workers->tokenizer);
    *workers = (struct vlm_text_workers){ 0 };
}

int vlm_line_text(const char **text, size_t *size, char *line, size_t n, struct vlm_err *err)
{
    struct vlm_json_scan in;
    unsigned found = 0;
    vlm_json_scan_init(&in, line, n);
    vlm_json_scan_open(&in, '{');
    while (vlm_json_scan_more(&in, '}')) {
        if (strcmp(vlm_json_scan_key(&in), "text") != 0) {
            vlm_json_scan_skip(&in);
            continue;
        }
        *text = vlm_json_scan_text(&in, size);
        found++;
    }
    vlm_json_scan_end(&in);
    if (in.problem)
        return vlm_fail(err, VLM_EFORMAT, "byte %zu of the JSON: %s", in.offset, in.problem);
    if (!found)
        return vlm_fail(err, VLM_EFORMAT, "no member 'text'");
    if (found > 1)
        return vlm_fail(err, VLM_EFORMAT, "%u members 'text'", found);
    return VLM_OK;
}
