/* checkpoint.h - a run's state on disk: whole or absent, checked before it is believed.
 *
 * RUN/checkpoints/step-N is a model folder (models/folder) plus optimizer.safetensors, trainer_state.json and
 * SHA256SUMS. It is made as step-N.tmp, synced, renamed; then RUN/model, which is always a whole model folder,
 * is exchanged for one with the same files (links); then old checkpoints beyond the ring go. */
#ifndef VLM_TRAINER_CHECKPOINT_H
#define VLM_TRAINER_CHECKPOINT_H

#include "models/folder/model_folder.h"
#include "nn/guard.h"
#include "trainer/data/loader.h"

enum { VLM_LEFT_OUT_MAX = 64 };

/* What the next step depends on, beside weights and moments. */
struct vlm_trainer_state {
    uint64_t step;    /* steps made, skipped ones included */
    uint64_t batches; /* batches drawn, left-out ones included */
    uint64_t updates; /* of the optimizer */
    uint64_t tokens, documents;
    struct vlm_place place;
    struct vlm_guard guard;
    uint64_t left_out[VLM_LEFT_OUT_MAX]; /* numbers of batches that a roll-back leaves out */
    size_t n_left_out;
    uint64_t roll_backs;
    double best_loss; /* of validation; INFINITY: none yet */
    uint64_t best_step;
};

/* What must be the same for a run to go on: pairs of a name and a value, like "data 0" and a digest. A
 * difference is refused with both values. */
struct vlm_identity_pair {
    char key[64];
    char value[160];
};
struct vlm_identity {
    struct vlm_identity_pair pair[128];
    size_t n;
};
void vlm_identity_add(struct vlm_identity *identity, const char *key, const char *format, ...)
    VLM_PRINTF(3, 4);
/* NULL: there is no such pair. */
const char *vlm_identity_value(const struct vlm_identity *identity, const char *key);

struct vlm_checkpoint_options {
    const char *run;     /* folder */
    size_t keep;         /* newest checkpoints to keep, at least 1 */
    uint64_t keep_every; /* steps; such ones stay for ever; 0: none */
};

/* Writes everything, then drops what the ring no longer holds: the newest `keep` up to this step, those of
 * keep_every, and state->best_step stay; checkpoints of later steps (damaged ones, or of a course that a roll-back
 * has left) go. Weights are stored in fp32 whatever content->bf16 says: a run goes on with the very numbers.
 * VLM_ELIMIT: the disk is full, with the bytes needed and free; the checkpoints that were there are as before, and
 * no .tmp is left. VLM_EFORMAT: a tensor that is not finite, by its name; nothing was written. The lock is held
 * by the caller. */
VLM_MUST_CHECK int vlm_checkpoint_save(const struct vlm_checkpoint_options *options,
                                       const struct vlm_model_content *content,
                                       struct vlm_optimizer *optimizer,
                                       const struct vlm_trainer_state *state,
                                       const struct vlm_identity *identity, struct vlm_err *err);

/* Loads the newest checkpoint that is whole into model, optimizer and state, and makes RUN/model its model if a
 * crash kept it from becoming that. VLM_EOF: there is none. Damaged ones are named to tell(), one sentence each, and
 * passed over; VLM_EFORMAT: none was whole (never a reason to begin anew in silence), and weights and moments may be
 * those of any. VLM_EUSAGE: the newest whole one has another identity, or is of a newer version. at_most: none
 * newer than this step (roll back); UINT64_MAX: any. */
VLM_MUST_CHECK int vlm_checkpoint_load(const char *run, uint64_t at_most, struct vlm_model *model,
                                       struct vlm_optimizer *optimizer,
                                       struct vlm_trainer_state *state,
                                       const struct vlm_identity *identity,
                                       void (*tell)(const char *sentence, void *context),
                                       void *context, struct vlm_err *err);

/* Whether the files of a model folder are those of its SHA256SUMS, README.md apart; a folder without that is not
 * checked. VLM_EDIFFER, VLM_EFORMAT: which file, and why; also one of which the model is made and that is not listed. */
VLM_MUST_CHECK int vlm_model_sums_check(const char *folder, struct vlm_err *err);

/* The steps of all checkpoints of a run, ascending; none when the folder is absent. *steps is freed by the
 * caller, also on failure. */
VLM_MUST_CHECK int vlm_checkpoint_steps(uint64_t **steps, size_t *n, const char *run,
                                        struct vlm_err *err);

/* What the newest checkpoint whose trainer_state.json can be read says of its run, nothing else of it being
 * looked at; n is 0: there is none. VLM_EUSAGE: it is of a newer version. */
VLM_MUST_CHECK int vlm_checkpoint_identity(struct vlm_identity *identity, const char *run,
                                           struct vlm_err *err);

/* Takes the lock of a run folder, which it makes; removes what a dead run left half-written; finishes an
 * exchange of model/ that was interrupted. VLM_EFAIL: another process has it. *lock is closed by the caller. */
VLM_MUST_CHECK int vlm_run_lock(const char *run, int *lock, struct vlm_err *err);

#endif
