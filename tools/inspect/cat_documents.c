/* cat_documents.c - a shard set as JSON lines: what vlm-inspect cat prints and vlm-export jsonl
 * writes. */
#include "base/vlm.h"

#include "base/limits.h"
#include "shard/parts/set.h"
#include "tools/inspect/document_json.h"

/* The codes of an image by every tokenizer of the set, as members. */
static int write_codes(struct vlm_json *json, const struct vlm_document_image *image,
                       struct vlm_set *set, struct vlm_err *err)
{
    const struct vlm_set_tokenizers *tokenizers = &vlm_set_manifest(set)->tokenizers;
    for (size_t i = 0; i < tokenizers->n && image->status == VLM_IMAGE_OK; i++) {
        uint16_t codes[VLM_CODES];
        int rc = vlm_set_codes(set, tokenizers->list[i].id, image->sha256, codes, err);
        if (rc < 0)
            return rc;
        if (rc == VLM_SKIP)
            continue;
        vlm_json_key(json, tokenizers->list[i].id);
        vlm_json_open(json, '[');
        for (size_t k = 0; k < VLM_CODES; k++)
            vlm_json_number(json, codes[k]);
        vlm_json_close(json, ']');
    }
    return VLM_OK;
}

struct cat_codes {
    struct vlm_set *set;
    struct vlm_err *err;
    int rc; /* of the first failure */
};

static void add_codes(struct vlm_json *json, const struct vlm_document *document, size_t i,
                      void *user)
{
    struct cat_codes *cat = user;
    if (cat->rc == VLM_OK)
        cat->rc = write_codes(json, &document->images[i], cat->set, cat->err);
}

int vlm_cat_documents(const char *folder, enum vlm_render form, unsigned render_flags,
                      const char *tokenizer, uint64_t limit, FILE *out, struct vlm_err *err)
{
    struct vlm_set *set = NULL;
    struct vlm_document *document;
    struct vlm_arena arena;
    struct vlm_buffer line = { 0 };
    uint64_t n = 0;
    vlm_arena_init(&arena, VLM_GIB);
    int rc = vlm_set_open(&set, folder, err);
    if (rc == VLM_OK && vlm_manifest_has_profile(vlm_set_manifest(set)))
        render_flags |= VLM_RENDER_MAIN;
    while (rc == VLM_OK && (!limit || n < limit) &&
           (rc = vlm_set_next(set, &document, &arena, err)) == VLM_OK) {
        struct vlm_json json = { .out = &line };
        vlm_json_open(&json, '{');
        struct cat_codes cat = { .set = set, .err = err };
        cat.rc = vlm_set_add_codes(set, tokenizer, document, &arena, err);
        vlm_document_json(&json, document, form, render_flags, add_codes, &cat);
        vlm_json_close(&json, '}');
        vlm_buffer_byte(&line, '\n');
        if (cat.rc < 0)
            rc = cat.rc;
        else if (line.failed)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory to print document %" PRIu64, n);
        else if (fwrite(line.data, 1, line.size, out) != line.size)
            rc = vlm_fail_errno(err, errno, "cannot write");
        vlm_buffer_reset(&line);
        vlm_arena_reset(&arena);
        n++;
    }
    vlm_set_close(set);
    vlm_buffer_release(&line);
    vlm_arena_release(&arena);
    return rc == VLM_EOF ? VLM_OK : rc;
}
