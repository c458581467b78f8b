/* trainer_state.h - trainer_state.json of a checkpoint: what weights and moments do not say.
 *
 *   vlm_trainer_state_write(&buffer, &state, &identity);
 *   rc = vlm_trainer_state_read(&state, &identity, text, size, &err);
 *
 * Reading gives every number back bit for bit. schemas/checkpoint.md. */
#ifndef VLM_TRAINER_STATE_H
#define VLM_TRAINER_STATE_H

#include "trainer/save/checkpoint.h"

/* Appends the file. Failure sticks to the buffer. */
void vlm_trainer_state_write(struct vlm_buffer *out, const struct vlm_trainer_state *state,
                             const struct vlm_identity *identity);

/* Any bytes are taken; text is changed. VLM_EFORMAT: what is wrong, and at which byte; VLM_EUSAGE: a newer
 * version of this program wrote it, with both formats. */
VLM_MUST_CHECK int vlm_trainer_state_read(struct vlm_trainer_state *state,
                                          struct vlm_identity *identity, char *text, size_t size,
                                          struct vlm_err *err);

/* VLM_EUSAGE: what is first found to differ, both values, and how to go on. */
VLM_MUST_CHECK int vlm_identity_check(const struct vlm_identity *found,
                                      const struct vlm_identity *expected, struct vlm_err *err);

#endif
