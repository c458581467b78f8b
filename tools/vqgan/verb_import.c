/* verb_import.c - vlm-vqgan import: weights that others have trained become a model. */
#include "base/vlm.h"

#include "base/json.h"
#include "tools/vqgan/vqgan.h"
#include "vqgan/tokenizer/taming.h"

static int print(const char *folder, bool json, bool quiet, struct vlm_err *err)
{
    struct vlm_tokenizer *tokenizer;
    int rc = vlm_tokenizer_open(&tokenizer, folder, VLM_PRECISION_EXACT, err);
    if (rc < 0)
        return rc;
    struct vlm_tokenizer_info info = vlm_tokenizer_info(tokenizer);
    if (json) {
        struct vlm_buffer out = { 0 };
        struct vlm_json object = { .out = &out };
        vlm_json_open(&object, '{');
        vlm_json_member_string(&object, "tokenizer", info.id);
        vlm_json_member_string(&object, "kind", info.kind);
        vlm_json_member_string(&object, "output", folder);
        vlm_json_member_number(&object, "codebook_size", info.codebook_size);
        vlm_json_member_number(&object, "parameters", info.parameters);
        vlm_json_close(&object, '}');
        printf("%.*s\n", (int)out.size, (const char *)out.data);
        vlm_buffer_release(&out);
    }
    if (!quiet)
        fprintf(stderr, "vlm-vqgan: '%s' is %s: %zu codes, %zu parameters\n", folder, info.id,
                info.codebook_size, info.parameters);
    vlm_tokenizer_close(tokenizer);
    return VLM_OK;
}

static int import(const char *path, enum vlm_import_format format, const char *folder,
                  struct vlm_err *err)
{
    struct vlm_weights *weights;
    char id[VLM_TOKENIZER_ID_SIZE];
    int rc = vlm_weights_open(&weights, path, err);
    if (rc == VLM_OK) {
        rc = vlm_taming_import(weights, format, folder, id, err);
        if (rc < 0)
            rc = vlm_wrap(err, "'%s'", path);
    }
    vlm_weights_close(weights);
    /* A refused file is a failure, whatever is wrong with it. */
    return rc < 0 ? vlm_recode(err, VLM_EFAIL) : rc;
}

int vlm_vqgan_import(int argc, char **argv)
{
    const char *output = NULL;
    int format = VLM_IMPORT_TAMING;
    bool json = false, quiet = false;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('o', "output", &output, "MODEL", "the model, a folder"),
        VLM_OPTION_CHOICE(0, "format", &format, VLM_IMPORT_WORDS, "whose names the file has"),
        VLM_OPTION_FLAG(0, "json", &json, "print what was made as one JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "only errors"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-vqgan import",
        .synopsis = "WEIGHTS -o MODEL [--format FORMAT]",
        .summary =
            "Makes a model of a VQGAN that was trained elsewhere: a safetensors file or what\n"
            "torch.save() writes. The file is read as data: no code in it ever runs. A file\n"
            "that is not of the format is refused with exit status 1 and no MODEL.",
        .examples = "  vlm-vqgan import last.ckpt -o taming\n"
                    "  vlm-vqgan import vq_ds16_c2i.pt --format llamagen -o llamagen\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &json,
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one file of weights");
    if (rc == VLM_OK && !output)
        rc = vlm_fail(&err, VLM_EUSAGE, "no output given: use -o MODEL");
    if (rc == VLM_OK)
        rc = import(argv[1], (enum vlm_import_format)format, output, &err);
    if (rc == VLM_OK)
        rc = print(output, json, quiet, &err);
    return vlm_tool_end(&tool, rc, &err);
}
