/* tokenize_info.c - vlm-tokenize info: what a tokenizer is. */
#include "base/vlm.h"

#include "base/json.h"
#include "tokenize/sequence/vocabulary.h"
#include "tools/common/print.h"
#include "tools/tokenize/tokenize.h"

/* "bpe" of "bpe-0123456789ab". */
static int kind_length(const char *id)
{
    return (int)strcspn(id, "-");
}

/* Control token number i, masks behind the others: its id when the tokenizer has it itself, or -1.
 * An own </s> may be called <|endoftext|>. */
static int64_t own_control(const struct vlm_vocabulary *vocabulary, uint32_t i,
                           char word[VLM_CONTROL_WORD_SIZE])
{
    const struct vlm_text_tokenizer *tokenizer = vocabulary->tokenizer;
    const uint32_t id =
        i < VLM_CONTROLS ? vocabulary->control[i] : vocabulary->mask[i - VLM_CONTROLS];
    vlm_vocabulary_word(word, i);
    if (id >= vocabulary->n_text)
        return -1;
    if (vlm_text_tokenizer_added(tokenizer, word) != (int64_t)id)
        snprintf(word, VLM_CONTROL_WORD_SIZE, "<|endoftext|>");
    return id;
}

static void add_control(struct vlm_json *json, const struct vlm_vocabulary *vocabulary)
{
    char word[VLM_CONTROL_WORD_SIZE];
    vlm_json_open(json, '{');
    for (uint32_t i = 0; i < VLM_CONTROLS + vocabulary->n_masks; i++) {
        int64_t id = own_control(vocabulary, i, word);
        if (id < 0)
            continue;
        vlm_json_key(json, word);
        vlm_json_signed(json, id);
    }
    vlm_json_close(json, '}');
}

static int print_json(const struct vlm_vocabulary *vocabulary, struct vlm_err *err)
{
    const struct vlm_text_tokenizer *tokenizer = vocabulary->tokenizer;
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    const char *id = vlm_text_tokenizer_id(tokenizer);
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "tokenizer", id);
    vlm_json_key(&json, "kind");
    vlm_json_text(&json, id, (size_t)kind_length(id));
    vlm_json_member_number(&json, "vocab_size", vlm_text_tokenizer_size(tokenizer));
    vlm_json_key(&json, "bytewise");
    vlm_json_bool(&json, vlm_text_tokenizer_is_bytewise(tokenizer));
    vlm_json_key(&json, "control");
    add_control(&json, vocabulary);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&out, '\n');
    int rc = vlm_print(&out, err);
    vlm_buffer_release(&out);
    return rc;
}

/* "<pad> 0, <s> 1, ..., 16 masks from 6". */
static void print_control(const struct vlm_vocabulary *vocabulary)
{
    char word[VLM_CONTROL_WORD_SIZE];
    const char *separator = "";
    uint32_t masks = 0;
    for (uint32_t i = 0; i < VLM_CONTROLS; i++) {
        int64_t id = own_control(vocabulary, i, word);
        if (id >= 0)
            printf("%s%s %" PRId64, separator, word, id);
        separator = id >= 0 ? ", " : separator;
    }
    for (uint32_t i = 0; i < vocabulary->n_masks; i++)
        masks += vocabulary->mask[i] < vocabulary->n_text;
    if (masks)
        printf("%s%" PRIu32 " masks from %" PRIu32, separator, masks, vocabulary->mask[0]);
    else if (!*separator)
        printf("none of ours; they follow behind its ids");
    printf("\n");
}

static void print_text(const struct vlm_vocabulary *vocabulary, const char *path)
{
    const struct vlm_text_tokenizer *tokenizer = vocabulary->tokenizer;
    const char *id = vlm_text_tokenizer_id(tokenizer);
    printf("%-12s %s\n", "tokenizer", id);
    printf("%-12s %s\n", "file", path ? path : "part of the program");
    printf("%-12s %.*s\n", "kind", kind_length(id), id);
    printf("%-12s %" PRIu32 "\n", "ids", vlm_text_tokenizer_size(tokenizer));
    printf("%-12s %s\n", "decoding",
           vlm_text_tokenizer_is_bytewise(tokenizer) ? "gives back every byte"
                                                     : "loses some bytes");
    printf("%-12s ", "control");
    print_control(vocabulary);
}

int vlm_tokenize_info(int argc, char **argv)
{
    const char *path = NULL;
    bool json = false, quiet = false;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('t', "tokenizer", &path, "TOKENIZER", "same as the operand"),
        VLM_OPTION_FLAG(0, "json", &json, "one JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "only errors: does it open?"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-tokenize info",
        .synopsis = "[TOKENIZER] [options]",
        .summary =
            "What a tokenizer is: id, kind, size, control tokens. Without TOKENIZER, the one "
            "that is part of the program.",
        .examples = "  vlm-tokenize info\n"
                    "  vlm-tokenize info gpt2/tokenizer.json --json | jq .vocab_size\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &json,
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    struct vlm_text_tokenizer *tokenizer = NULL;
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && (argc > 2 || (argc == 2 && path)))
        rc = vlm_fail(&err, VLM_EUSAGE, "give one tokenizer");
    if (rc == VLM_OK) {
        path = argc == 2 ? argv[1] : path;
        rc = vlm_text_tokenizer_open(&tokenizer, path, &err);
    }
    /* All masks that there can be, to find out which are the tokenizer's own. */
    struct vlm_vocabulary vocabulary;
    const struct vlm_vocabulary_options options = { .n_masks = VLM_MASKS_MAX };
    if (rc == VLM_OK)
        rc = vlm_vocabulary_init(&vocabulary, tokenizer, &options, &err);
    if (rc == VLM_OK && json)
        rc = print_json(&vocabulary, &err);
    else if (rc == VLM_OK && !quiet)
        print_text(&vocabulary, path);
    vlm_text_tokenizer_close(tokenizer);
    return vlm_tool_end(&tool, rc, &err);
}
