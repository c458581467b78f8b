/* fuzz_json_body.c - bodies of requests: any bytes are read by the tables of an endpoint, or refused with one sentence. The
 * first byte says which endpoint. No model: what is checked here comes before it. */
#include "base/vlm.h"

#include "serve/api/endpoints.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct vlm_call_kind *kind_of(uint8_t byte)
{
    const struct vlm_call_kind *const kinds[] = { &vlm_kind_completions, &vlm_kind_chat,
                                                  &vlm_kind_infill,      &vlm_kind_completion,
                                                  &vlm_kind_score,       &vlm_kind_detokenize };
    return kinds[byte % VLM_COUNTOF(kinds)];
}

/* What was accepted is within its limits. */
static void check_request(const struct vlm_request *request)
{
    const struct vlm_generate_options *options = &request->options;
    VLM_BUG_IF(!(options->temperature >= 0 && options->temperature <= 100));
    VLM_BUG_IF(!(options->top_p > 0 && options->top_p <= 1));
    VLM_BUG_IF(request->n < 1 || request->n > 16 || options->n_words > 18 || options->n_bias > 512);
    for (size_t i = 0; i < options->n_words; i++)
        VLM_BUG_IF(!options->words[i][0] || strlen(options->words[i]) > 256);
    for (size_t i = 0; i < options->n_bias; i++)
        VLM_BUG_IF(options->bias[i].id >= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vlm_model_folder folder;
    static struct vlm_choices choices;
    struct vlm_service service = { .folder = &folder,
                                   .choices = &choices,
                                   .limits = VLM_SERVICE_LIMITS };
    const struct vlm_value *body;
    const char *param = NULL;
    struct vlm_err err = { 0 };
    if (!size)
        return 0;
    folder.vocabulary.n_codes = 64;
    const struct vlm_call_kind *kind = kind_of(data[0]);
    struct vlm_call *call = calloc(1, kind->size);
    if (!call)
        return 0;
    vlm_request_init(&call->request);
    call->service = &service;
    call->kind = kind;
    vlm_arena_init(&call->arena, 64 * VLM_MIB);
    call->reader =
        (struct vlm_reader){ .arena = &call->arena, .limits = &service.limits, .n_ids = 1000 };
    char *text = vlm_arena_copy(&call->arena, data + 1, size - 1);
    int rc = text ? vlm_body_parse(&body, &call->arena, text, size - 1, &param, &err) : VLM_ELIMIT;
    VLM_BUG_IF(text && (rc == VLM_OK) == (err.msg[0] != 0));
    VLM_BUG_IF(rc == VLM_OK && param);
    if (rc == VLM_OK && vlm_call_read_value(call, body, kind->groups))
        check_request(&call->request);
    else if (rc == VLM_OK)
        VLM_BUG_IF(call->reader.status != 400 || !call->reader.problem[0]);
    free(call->pictures);
    vlm_arena_release(&call->arena);
    free(call);
    return 0;
}
