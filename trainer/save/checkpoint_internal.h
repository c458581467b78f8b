/* checkpoint_internal.h - what the files of trainer/save share: names, checksums, folders that take the place of
 * others. Paths that are returned are the caller's to free. */
#ifndef VLM_TRAINER_CHECKPOINT_INTERNAL_H
#define VLM_TRAINER_CHECKPOINT_INTERNAL_H

#include "trainer/save/trainer_state.h"

/* Names in a run and in a checkpoint. What ends in ".tmp" is nobody's once its process is dead; ".swap.tmp" is
 * a folder that makes room for a new one, see vlm_folder_put(). */
#define VLM_RUN_CHECKPOINTS      "checkpoints"
#define VLM_RUN_MODEL            "model"
#define VLM_TEMPORARY            ".tmp"
#define VLM_SWAP                 ".swap.tmp"
#define VLM_CHECKPOINT_OPTIMIZER "optimizer.safetensors"
#define VLM_CHECKPOINT_STATE     "trainer_state.json"
#define VLM_CHECKPOINT_SUMS      "SHA256SUMS"
#define VLM_CHECKPOINT_WEIGHTS   "model.safetensors"

/* ---- checkpoint_names.c ---- */

/* RUN/checkpoints/step-N, and with a suffix behind it. */
char *vlm_checkpoint_path(const char *run, uint64_t step, const char *suffix);

/* Whether name is step-N as vlm_checkpoint_path() makes it: no leading zeros, nothing behind. */
bool vlm_checkpoint_step(uint64_t *step, const char *name);

/* ---- checkpoint_sums.c ---- */

/* A line of SHA256SUMS. */
struct vlm_sum {
    char *name; /* path below the folder */
    uint8_t digest[32];
};
struct vlm_sums {
    struct vlm_sum *list; /* by name */
    size_t n, capacity;
};
void vlm_sums_release(struct vlm_sums *sums); /* safe on a zeroed struct */

/* Reads all files below folder, SHA256SUMS in it apart, and appends them. */
VLM_MUST_CHECK int vlm_sums_make(struct vlm_sums *sums, const char *folder, struct vlm_err *err);

/* Reads SHA256SUMS of a folder; every file that it names is in the folder or below and has this digest;
 * optimizer, state and weights are among them. VLM_EFORMAT, VLM_EDIFFER: which file, and why. */
VLM_MUST_CHECK int vlm_sums_check(struct vlm_sums *sums, const char *folder, struct vlm_err *err);

/* Whether a file of a checkpoint belongs into the model folder too. */
bool vlm_sums_is_model(const char *name);

enum vlm_sums_flags { VLM_SUMS_MODEL = 1 /* only the files of the model */ };

/* The text of SHA256SUMS, as `sha256sum -c` takes it. Failure sticks to the buffer. */
void vlm_sums_write(struct vlm_buffer *out, const struct vlm_sums *sums, unsigned flags);

/* ---- folder_put.c ---- */

/* Deletes whatever has that name; links are not followed. */
VLM_MUST_CHECK int vlm_anything_delete(const char *path, struct vlm_err *err);

/* Gives the folder `from`, which is whole and synced, the name `path` for good and deletes what had it. At any
 * moment path is the old folder or the new one; where the file system cannot exchange names there is a moment
 * at which it is absent, which vlm_folder_put_finish() ends. from is path + ".tmp". */
VLM_MUST_CHECK int vlm_folder_put(const char *from, const char *path, struct vlm_err *err);

/* After a crash: path is again what it was, or the new one. To be called before any ".tmp" is removed. */
VLM_MUST_CHECK int vlm_folder_put_finish(const char *path, struct vlm_err *err);

/* ---- model_put.c ---- */

/* Makes RUN/model the model of a whole checkpoint, whose sums are given. Does nothing when it is that already. */
VLM_MUST_CHECK int vlm_model_put(const char *run, const char *checkpoint,
                                 const struct vlm_sums *sums, struct vlm_err *err);

/* ---- checkpoint_moments.c ---- */

/* optimizer.safetensors from or into the optimizer of a model: "m.NAME", "v.NAME", and "average.NAME". */
VLM_MUST_CHECK int vlm_moments_save(const char *path, const struct vlm_model *model,
                                    struct vlm_optimizer *optimizer, struct vlm_err *err);
VLM_MUST_CHECK int vlm_moments_load(const char *path, const struct vlm_model *model,
                                    struct vlm_optimizer *optimizer, struct vlm_err *err);

#endif
