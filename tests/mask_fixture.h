/* mask_fixture.h - a vocabulary without a tokenizer, and documents made of numbers. */
#ifndef VLM_TESTS_MASK_FIXTURE_H
#define VLM_TESTS_MASK_FIXTURE_H

#include "tokenize/sequence/mask.h"

enum { FIXTURE_TEXT = 1000, FIXTURE_CODES = 1024 };

/* Text ids 0 to 999, then control tokens, masks and codes. */
static inline void fixture_vocabulary(struct vlm_vocabulary *vocabulary, uint32_t n_masks)
{
    uint32_t id = FIXTURE_TEXT;
    *vocabulary = (struct vlm_vocabulary){ .n_text = FIXTURE_TEXT, .n_masks = n_masks };
    for (int i = 0; i < VLM_CONTROLS; i++)
        vocabulary->control[i] = id++;
    for (uint32_t i = 0; i < n_masks; i++)
        vocabulary->mask[i] = id++;
    vocabulary->first_code = id;
    vocabulary->n_codes = FIXTURE_CODES;
    vocabulary->size = id + FIXTURE_CODES;
}

static inline void fixture_add(struct vlm_sequence *sequence, uint32_t id,
                               enum vlm_modality modality)
{
    VLM_BUG_IF(!vlm_sequence_reserve(sequence, 1));
    sequence->ids[sequence->n] = id;
    sequence->weights[sequence->n] = 1;
    sequence->modality[sequence->n] = (uint8_t)modality;
    sequence->start[sequence->n] = (uint32_t)(3 * sequence->n);
    sequence->n++;
}

/* Appends n text ids that tell their places apart. */
static inline void fixture_text(struct vlm_sequence *sequence, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fixture_add(sequence, (uint32_t)(sequence->n % FIXTURE_TEXT), VLM_MODALITY_TEXT);
}

/* Appends a tag of `tag` tokens and n codes behind it. */
static inline void fixture_image(struct vlm_sequence *sequence, size_t tag, size_t n,
                                 const struct vlm_vocabulary *vocabulary)
{
    VLM_BUG_IF(!vlm_sequence_reserve_images(sequence, 1));
    size_t at = sequence->n;
    for (size_t i = 0; i < tag; i++)
        fixture_add(sequence, (uint32_t)(sequence->n % FIXTURE_TEXT), VLM_MODALITY_MARKUP);
    uint32_t i = (uint32_t)sequence->n_images++;
    sequence->images[i] =
        (struct vlm_sequence_image){ i, (uint32_t)sequence->n, (uint32_t)n, (uint32_t)at };
    for (size_t k = 0; k < n; k++)
        fixture_add(sequence, vocabulary->first_code + (uint32_t)((k * 7 + 31 * i) % FIXTURE_CODES),
                    VLM_MODALITY_IMAGE);
}

#endif
