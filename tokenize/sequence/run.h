/* run.h - pieces of sequences: what masks, blocks and windows are put together from.
 *
 *   if (!vlm_sequence_append(out, in, from, to) ||           // 256 codes stay 256 codes
 *       !vlm_sequence_push(out, vocabulary->control[VLM_CONTROL_END], 1))
 *       return vlm_fail(err, VLM_ENOMEM, "...");
 *
 * Images of a sequence stand in the order of their positions and do not overlap. */
#ifndef VLM_TOKENIZE_RUN_H
#define VLM_TOKENIZE_RUN_H

#include "tokenize/sequence/sequence.h"

/* Appends the tokens [from, to) of another sequence and lists their images at the new places. An
 * image of which only a part is among them becomes an entry of that many tokens; its tag is its
 * position where the tag itself stays behind. False: memory ran out, out is as before. */
VLM_MUST_CHECK bool vlm_sequence_append(struct vlm_sequence *out, const struct vlm_sequence *in,
                                        size_t from, size_t to);

/* Appends a control token, which stands nowhere in the rendering. */
VLM_MUST_CHECK bool vlm_sequence_push(struct vlm_sequence *out, uint32_t id, float weight);

/* The index of the first of n images whose tokens end behind a position; n: none. */
size_t vlm_images_after(const struct vlm_sequence_image *images, size_t n, size_t position);

#endif
