/* inspect_cat.c - vlm-inspect cat: the documents of a shard set as JSON lines, in their order. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/option.h"
#include "shard/parts/set.h"
#include "tools/inspect/document_json.h"
#include "tools/inspect/inspect.h"

int vlm_inspect_cat(int argc, char **argv)
{
    int form = VLM_RENDER_TEXT;
    bool main_only = false, quiet = false;
    const char *tokenizer = NULL;
    int64_t limit = 0;
    const struct vlm_option table[] = {
        VLM_OPTION_CHOICE(0, "render", &form, VLM_RENDER_WORDS, "form of the member 'text'"),
        VLM_OPTION_NUMBER('n', "limit", &limit, "N", "print at most N documents, 0: all", 0,
                          INT64_MAX),
        VLM_OPTION_STRING(0, "image-tokenizer", &tokenizer, "ID",
                          "whose codes stand in cm3 and htlm; else those of the set's first"),
        VLM_OPTION_FLAG(0, "main", &main_only, "only the main content in text, m3w and pair"),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "only errors"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-inspect cat",
        .synopsis = "OUT [options]",
        .summary = "Prints the documents of a shard set, one JSON object a line.",
        .examples =
            "  vlm-inspect cat out --limit 3 --render m3w\n"
            "  vlm-inspect cat out | jq -r '.images[] | select(.status != \"ok\") | .url'\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one shard set");
    if (rc == VLM_OK)
        rc = vlm_cat_documents(argv[1], (enum vlm_render)form, main_only ? VLM_RENDER_MAIN : 0,
                               tokenizer, (uint64_t)limit, stdout, &err);
    return vlm_tool_end(&tool, rc, &err);
}
