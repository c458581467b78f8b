/* fuzz_mask.c - documents with images under any rules: masked, they come off again; and any ids as
 * a masked sequence or a prompt. The first byte chooses. */
#include "base/vlm.h"

#include "tests/mask_fixture.h"
#include "tokenize/sequence/run.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Each byte is a stretch of text or an image. */
static void make_document(struct vlm_sequence *document, const uint8_t *bytes, size_t n,
                          const struct vlm_vocabulary *vocabulary)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] & 1)
            fixture_image(document, bytes[i] >> 5, 1 + (bytes[i] >> 1) % 16, vocabulary);
        else
            fixture_text(document, bytes[i] >> 1);
}

static void mask_and_unmask(const uint8_t *bytes, size_t n, const struct vlm_vocabulary *vocabulary)
{
    struct vlm_sequence document = { 0 }, masked = { 0 };
    struct vlm_span spans[VLM_MASKS_MAX];
    struct vlm_err err = { 0 };
    uint8_t head[8] = { 0 };
    memcpy(head, bytes, VLM_MIN(n, sizeof(head)));
    const struct vlm_mask_rules rules = { .lambda = head[0] / 16.0,
                                          .min = head[1] % 8,
                                          .max = 8 + head[2] % 24,
                                          .images = (enum vlm_mask_images)(head[3] % 4),
                                          .first_kept = head[3] & 4 };
    make_document(&document, bytes + VLM_MIN(n, sizeof(head)), n - VLM_MIN(n, sizeof(head)),
                  vocabulary);
    struct vlm_random random = vlm_random_at(head[4], head[5], head[6]);
    uint32_t asked = vlm_mask_count(&rules, &random);
    size_t used = vlm_mask_draw(spans, asked, &rules, &random, document.n, document.images,
                                document.n_images);
    VLM_BUG_IF(used > asked);
    VLM_BUG_IF(vlm_mask_apply(&masked, &document, 0, document.n, spans, used, vocabulary, &err) !=
               VLM_OK);
    VLM_BUG_IF(masked.n != document.n + 3 * used);
    size_t codes = 0, in_images = 0, n_ids;
    for (size_t i = 0; i < masked.n; i++)
        codes += masked.modality[i] == VLM_MODALITY_IMAGE;
    for (size_t i = 0; i < masked.n_images; i++) {
        const struct vlm_sequence_image *image = &masked.images[i];
        VLM_BUG_IF(!image->n_tokens || image->position + image->n_tokens > masked.n);
        VLM_BUG_IF(rules.images == VLM_MASK_IMAGES_WHOLE &&
                   image->n_tokens != document.images[image->image].n_tokens);
        in_images += image->n_tokens;
    }
    VLM_BUG_IF(codes != in_images);
    uint32_t *ids = malloc((masked.n + 1) * sizeof(*ids));
    VLM_BUG_IF(!ids);
    VLM_BUG_IF(vlm_unmask(ids, &n_ids, masked.ids, masked.n, vocabulary, &err) != VLM_OK);
    VLM_BUG_IF(n_ids != document.n || (n_ids && memcmp(ids, document.ids, n_ids * sizeof(*ids))));
    free(ids);
    vlm_sequence_release(&document);
    vlm_sequence_release(&masked);
}

/* Each byte is a token; low ones are those that mean something. */
static void unmask_anything(const uint8_t *bytes, size_t n, const struct vlm_vocabulary *vocabulary)
{
    struct vlm_err err = { 0 };
    struct vlm_sequence prompt = { 0 }, filled = { 0 };
    uint32_t *ids = malloc((n + 1) * sizeof(*ids));
    VLM_BUG_IF(!ids);
    for (size_t i = 0; i < n; i++) {
        uint32_t id = bytes[i] < 32    ? vocabulary->mask[bytes[i]]
                      : bytes[i] < 64  ? vocabulary->control[bytes[i] % VLM_CONTROLS]
                      : bytes[i] < 128 ? vocabulary->first_code + bytes[i]
                                       : bytes[i] * 0x01010101u;
        bool code = vlm_vocabulary_is_code(vocabulary, id);
        fixture_add(&prompt, id, code ? VLM_MODALITY_IMAGE : VLM_MODALITY_TEXT);
    }
    size_t n_ids = 0;
    if (vlm_unmask(ids, &n_ids, prompt.ids, prompt.n, vocabulary, &err))
        VLM_BUG_IF(!err.msg[0]);
    VLM_BUG_IF(n_ids > n);
    size_t half = n / 2;
    if (!vlm_splice(&filled, &prompt, 0, prompt.ids + half, n - half, vocabulary, &err))
        VLM_BUG_IF(filled.n != n - 1 + n - half);
    free(ids);
    vlm_sequence_release(&prompt);
    vlm_sequence_release(&filled);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct vlm_vocabulary vocabulary;
    fixture_vocabulary(&vocabulary, 32);
    if (n && bytes[0] & 1)
        mask_and_unmask(bytes + 1, n - 1, &vocabulary);
    else if (n > 1)
        unmask_anything(bytes + 1, n - 1, &vocabulary);
    return 0;
}
