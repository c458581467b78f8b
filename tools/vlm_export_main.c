/* vlm_export_main.c - vlm-export: shard sets in the formats of others. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/option.h"
#include "tools/inspect/document_json.h"

#include <fcntl.h>
#include <unistd.h>

/* Through a temporary name, so that PATH is whole or absent. */
static int export_file(const char *folder, const char *path, enum vlm_render form, unsigned flags,
                       const char *tokenizer, uint64_t limit, struct vlm_err *err)
{
    size_t n = strlen(path);
    char *temporary = malloc(n + 5);
    if (!temporary)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a name");
    snprintf(temporary, n + 5, "%s.tmp", path);
    FILE *out = fopen(temporary, "wbe");
    int rc = out ? vlm_cat_documents(folder, form, flags, tokenizer, limit, out, err)
                 : vlm_fail_errno(err, errno, "cannot write '%s'", temporary);
    if (rc == VLM_OK && fflush(out))
        rc = vlm_fail_errno(err, errno, "cannot write '%s'", temporary);
    if (rc == VLM_OK)
        rc = vlm_file_publish(fileno(out), temporary, path, err);
    if (out)
        fclose(out);
    if (rc < 0 && out)
        unlink(temporary);
    free(temporary);
    return rc;
}

int main(int argc, char **argv)
{
    const char *output = NULL;
    int form = VLM_RENDER_TEXT;
    bool main_only = false, quiet = false;
    int64_t limit = 0;
    const char *tokenizer = NULL;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('o', "output", &output, "PATH", "file to write, '-' for standard output"),
        VLM_OPTION_CHOICE(0, "render", &form, VLM_RENDER_WORDS, "form of the member 'text'"),
        VLM_OPTION_STRING(0, "image-tokenizer", &tokenizer, "ID",
                          "whose codes stand in cm3 and htlm; else those of the set's first"),
        VLM_OPTION_FLAG(0, "main", &main_only, "only the main content in text, m3w and pair"),
        VLM_OPTION_NUMBER('n', "limit", &limit, "N", "at most N documents, 0: all", 0, INT64_MAX),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "only errors"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-export",
        .synopsis = "jsonl OUT -o PATH [options]",
        .summary = "Writes the documents of a shard set as JSON lines, one object each, with the "
                   "members of\nvlm-inspect cat.",
        .examples = "  vlm-export jsonl out -o documents.jsonl\n"
                    "  vlm-export jsonl out -o - --render m3w | zstd > m3w.jsonl.zst\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && (argc != 3 || strcmp(argv[1], "jsonl")))
        rc = vlm_fail(&err, VLM_EUSAGE, "give a format (jsonl) and one shard set");
    if (rc == VLM_OK && !output)
        rc = vlm_fail(&err, VLM_EUSAGE, "no output given: use -o PATH");
    unsigned flags = main_only ? VLM_RENDER_MAIN : 0;
    if (rc == VLM_OK && !strcmp(output, "-"))
        rc = vlm_cat_documents(argv[2], (enum vlm_render)form, flags, tokenizer, (uint64_t)limit,
                               stdout, &err);
    else if (rc == VLM_OK)
        rc = export_file(argv[2], output, (enum vlm_render)form, flags, tokenizer, (uint64_t)limit,
                         &err);
    return vlm_tool_end(&tool, rc, &err);
}
