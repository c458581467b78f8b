/* verb_info.c - vlm-vqgan info: what a tokenizer is. */
#include "base/vlm.h"

#include "base/json.h"
#include "tools/vqgan/vqgan.h"

static const char *const precisions[] = { "exact", "fast", "bf16" };

static int print_json(const struct vlm_tokenizer_info *info, json_object *config,
                      struct vlm_err *err)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    int rc = VLM_OK;
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "tokenizer", info->id);
    vlm_json_member_string(&json, "kind", info->kind);
    vlm_json_member_number(&json, "codebook_size", info->codebook_size);
    vlm_json_member_number(&json, "code_width", info->code_width);
    vlm_json_key(&json, "grid");
    vlm_json_open(&json, '[');
    vlm_json_number(&json, VLM_CODES_SIDE);
    vlm_json_number(&json, VLM_CODES_SIDE);
    vlm_json_close(&json, ']');
    vlm_json_member_number(&json, "parameters", info->parameters);
    vlm_json_member_string(&json, "precision", precisions[info->precision]);
    vlm_json_key(&json, "config");
    vlm_json_value(&json, config);
    vlm_json_close(&json, '}');
    if (out.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to print");
    else
        printf("%.*s\n", (int)out.size, (const char *)out.data);
    vlm_buffer_release(&out);
    return rc;
}

static void print_text(const struct vlm_tokenizer_info *info, json_object *config,
                       const char *model)
{
    printf("%-12s %s\n", "tokenizer", info->id);
    printf("%-12s %s\n", "model", model ? model : "part of the program");
    printf("%-12s %s\n", "kind", info->kind);
    printf("%-12s %zu codes of %zu numbers, %dx%d of them for an image of %dx%d pixels\n",
           "codebook", info->codebook_size, info->code_width, VLM_CODES_SIDE, VLM_CODES_SIDE,
           VLM_SQUARE_SIDE, VLM_SQUARE_SIDE);
    printf("%-12s %zu\n", "parameters", info->parameters);
    printf("%-12s %s\n", "precision", precisions[info->precision]);
    static const char *const parts[] = { "architecture", "training" };
    for (size_t i = 0; i < VLM_COUNTOF(parts); i++) {
        json_object *part = json_object_object_get(config, parts[i]);
        if (part)
            printf("%-12s %s\n", parts[i],
                   json_object_to_json_string_ext(part, JSON_C_TO_STRING_SPACED));
    }
}

int vlm_vqgan_info(int argc, char **argv)
{
    const char *model = NULL;
    int precision = VLM_PRECISION_EXACT;
    bool json = false, quiet = false;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('m', "model", &model, "MODEL", "same as the operand"),
        VLM_OPTION_CHOICE(0, "precision", &precision, VLM_PRECISION_WORDS,
                          "whose id to print: it is part of it unless exact"),
        VLM_OPTION_FLAG(0, "json", &json, "one JSON object, with the configuration"),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "only errors"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-vqgan info",
        .synopsis = "[MODEL] [options]",
        .summary = "What a tokenizer is: its id, kind, codebook and configuration. Without MODEL,\n"
                   "the one that is part of the program.",
        .examples = "  vlm-vqgan info\n"
                    "  vlm-vqgan info vq --json | jq .codebook_size\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &json,
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    struct vlm_tokenizer *tokenizer = NULL;
    json_object *config = NULL;
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && (argc > 2 || (argc == 2 && model)))
        rc = vlm_fail(&err, VLM_EUSAGE, "give one model");
    if (rc == VLM_OK) {
        model = argc == 2 ? argv[1] : model;
        rc = vlm_tokenizer_open(&tokenizer, model, (enum vlm_precision)precision, &err);
    }
    if (rc == VLM_OK) {
        struct vlm_tokenizer_info info = vlm_tokenizer_info(tokenizer);
        rc = vlm_json_parse(&config, info.config, strlen(info.config), &err);
        if (rc == VLM_OK && json)
            rc = print_json(&info, config, &err);
        else if (rc == VLM_OK && !quiet)
            print_text(&info, config, model);
    }
    json_object_put(config);
    vlm_tokenizer_close(tokenizer);
    return vlm_tool_end(&tool, rc, &err);
}
