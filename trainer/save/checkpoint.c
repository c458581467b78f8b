/* checkpoint.c - saving: a folder is filled under a temporary name, synced, checked by reading it once for its
 * checksums, and renamed; then model/ follows; then what the ring no longer holds goes.
 *
 * Nothing that has a final name is ever changed, and nothing old is deleted before the new is safe: so the disk
 * must hold one checkpoint more than the ring. */
#include "base/vlm.h"

#include "trainer/save/checkpoint_internal.h"

#include "base/file.h"
#include "base/limits.h"

#include <math.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* config.json, the vocabulary in it, tokenizer.json and the like, generously: bytes, and bytes an id. */
enum { OTHER_FILES = 1 << 18, BYTES_AN_ID = 128 };

/* ---- before ---- */

static int check_weights(const struct vlm_model *model, struct vlm_err *err)
{
    for (size_t i = 0; i < model->n; i++) {
        const float *data = model->tensors[i].data;
        const size_t count = vlm_tensor_count(&model->tensors[i]);
        for (size_t k = 0; data && k < count; k++) /* NULL: one that this layer does not have */
            if (!isfinite(data[k]))
                return vlm_fail(err, VLM_EFORMAT,
                                "tensor '%s' has %g at %zu: a model with such numbers is not saved",
                                model->parameters[i].name, (double)data[k], k);
    }
    return VLM_OK;
}

static uint64_t file_size(const char *folder, const char *name)
{
    struct stat about;
    char *path = vlm_path_join(folder, name);
    uint64_t size = stat(path, &about) == 0 ? (uint64_t)about.st_size : 0;
    free(path);
    return size;
}

/* Bytes of a checkpoint, from above. */
static uint64_t size_of(const struct vlm_model_content *content,
                        const struct vlm_optimizer *optimizer)
{
    uint64_t moments = optimizer->options.average > 0 ? 3 : 2;
    uint64_t others = OTHER_FILES + (uint64_t)BYTES_AN_ID * content->model->config.vocabulary;
    if (content->readme)
        others += strlen(content->readme);
    if (content->provenance)
        others += strlen(content->provenance);
    if (content->image_tokenizer)
        others += file_size(content->image_tokenizer, "model.safetensors") +
                  file_size(content->image_tokenizer, "config.json");
    return sizeof(float) * (content->model->count + moments * optimizer->state_floats) + others;
}

/* What the disk has for us; UINT64_MAX when it does not say. */
static uint64_t free_bytes(const char *run)
{
    struct statvfs about;
    if (statvfs(run, &about) < 0)
        return UINT64_MAX;
    return (uint64_t)about.f_bavail * about.f_frsize;
}

static int check_room(const char *run, uint64_t needed, struct vlm_err *err)
{
    uint64_t there = free_bytes(run);
    if (there < needed)
        return vlm_fail(err, VLM_ELIMIT,
                        "no room for a checkpoint in '%s': it needs %" PRIu64 " bytes, %" PRIu64
                        " are free",
                        run, needed, there);
    return VLM_OK;
}

/* ---- writing ---- */

static int write_state(const char *path, const struct vlm_trainer_state *state,
                       const struct vlm_identity *identity, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    vlm_trainer_state_write(&text, state, identity);
    int rc = text.failed ? vlm_fail(err, VLM_ENOMEM, "no memory for '%s'", path)
                         : vlm_file_write(path, text.data, text.size, err);
    vlm_buffer_release(&text);
    return rc;
}

static int write_sums(struct vlm_sums *sums, const char *folder, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    char *path = vlm_path_join(folder, VLM_CHECKPOINT_SUMS);
    int rc = vlm_sums_make(sums, folder, err);
    if (rc == VLM_OK) {
        vlm_sums_write(&text, sums, 0);
        rc = text.failed ? vlm_fail(err, VLM_ENOMEM, "no memory for '%s'", path)
                         : vlm_file_write(path, text.data, text.size, err);
    }
    vlm_buffer_release(&text);
    free(path);
    return rc;
}

struct parts {
    const struct vlm_model_content *content;
    struct vlm_optimizer *optimizer;
    const struct vlm_trainer_state *state;
    const struct vlm_identity *identity;
};

static int fill(const char *folder, const struct parts *parts, struct vlm_sums *sums,
                struct vlm_err *err)
{
    /* Rounded weights would not be those that the run goes on with. */
    struct vlm_model_content exact = *parts->content;
    exact.bf16 = false;
    char *moments = vlm_path_join(folder, VLM_CHECKPOINT_OPTIMIZER);
    char *state = vlm_path_join(folder, VLM_CHECKPOINT_STATE);
    int rc = vlm_anything_delete(folder, err);
    if (rc == VLM_OK)
        rc = vlm_folder_make(folder, err);
    if (rc == VLM_OK)
        rc = vlm_model_folder_write(folder, &exact, err);
    if (rc == VLM_OK)
        rc = vlm_moments_save(moments, exact.model, parts->optimizer, err);
    if (rc == VLM_OK)
        rc = write_state(state, parts->state, parts->identity, err);
    if (rc == VLM_OK)
        rc = write_sums(sums, folder, err);
    if (rc == VLM_OK)
        rc = vlm_folder_sync(folder, err);
    free(state);
    free(moments);
    return rc;
}

/* step-N.tmp, then step-N. */
static int write_checkpoint(const char *run, const struct parts *parts, struct vlm_sums *sums,
                            struct vlm_err *err)
{
    char *path = vlm_checkpoint_path(run, parts->state->step, "");
    char *temporary = vlm_checkpoint_path(run, parts->state->step, VLM_TEMPORARY);
    int rc = fill(temporary, parts, sums, err);
    if (rc == VLM_OK)
        rc = vlm_folder_put(temporary, path, err);
    if (rc != VLM_OK) {
        struct vlm_err ignored;
        if (vlm_anything_delete(temporary, &ignored) != VLM_OK)
            vlm_append(err, ", and what was written of it could not be deleted");
    }
    free(temporary);
    free(path);
    return rc;
}

/* ---- the ring ---- */

/* First the name goes, then the files: what has a final name is whole at any moment. */
static int delete_checkpoint(const char *run, uint64_t step, struct vlm_err *err)
{
    char *path = vlm_checkpoint_path(run, step, ""),
         *old = vlm_checkpoint_path(run, step, ".old.tmp");
    char *folder = vlm_path_join(run, VLM_RUN_CHECKPOINTS);
    int rc = vlm_anything_delete(old, err);
    if (rc == VLM_OK && rename(path, old) < 0)
        rc = vlm_fail_errno(err, errno, "cannot rename '%s' to '%s'", path, old);
    if (rc == VLM_OK)
        rc = vlm_folder_sync(folder, err);
    if (rc == VLM_OK)
        rc = vlm_anything_delete(old, err);
    free(folder);
    free(old);
    free(path);
    return rc;
}

/* Newer ones than this step are damaged, or of a course that the run has left: they would be taken for the
 * newest at the next start. */
static int turn_ring(const struct vlm_checkpoint_options *options,
                     const struct vlm_trainer_state *state, struct vlm_err *err)
{
    uint64_t *steps;
    size_t n;
    int rc = vlm_checkpoint_steps(&steps, &n, options->run, err);
    size_t older = n;
    while (older && steps[older - 1] > state->step)
        older--;
    const size_t keep = VLM_MAX(options->keep, (size_t)1);
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        bool newest = i < older && i + keep >= older;
        bool for_ever = i < older && options->keep_every && steps[i] % options->keep_every == 0;
        bool best = steps[i] == state->best_step && isfinite(state->best_loss);
        if (!newest && !for_ever && !best)
            rc = delete_checkpoint(options->run, steps[i], err);
    }
    free(steps);
    return rc;
}

/* ---- all of it ---- */

/* A disk that is full answers in many ways; what a person must know is how much is missing. */
static int explain(const char *run, uint64_t step, uint64_t needed, struct vlm_err *err)
{
    uint64_t there = free_bytes(run);
    if (err->code != VLM_ELIMIT && !(err->code == VLM_EFAIL && there < needed))
        return vlm_wrap(err, "cannot save step %" PRIu64 " of '%s'", step, run);
    vlm_recode(err, VLM_ELIMIT);
    return vlm_wrap(
        err, "no room for a checkpoint in '%s': it needs %" PRIu64 " bytes, %" PRIu64 " are free",
        run, needed, there);
}

int vlm_checkpoint_save(const struct vlm_checkpoint_options *options,
                        const struct vlm_model_content *content, struct vlm_optimizer *optimizer,
                        const struct vlm_trainer_state *state, const struct vlm_identity *identity,
                        struct vlm_err *err)
{
    const struct parts parts = { content, optimizer, state, identity };
    const uint64_t needed = size_of(content, optimizer);
    struct vlm_sums sums = { 0 };
    char *path = vlm_checkpoint_path(options->run, state->step, "");
    VLM_BUG_IF(state->updates != optimizer->step);
    int rc = check_weights(content->model, err);
    if (rc == VLM_OK)
        rc = check_room(options->run, needed, err);
    if (rc == VLM_OK) {
        rc = write_checkpoint(options->run, &parts, &sums, err);
        if (rc == VLM_OK)
            rc = vlm_model_put(options->run, path, &sums, err);
        if (rc == VLM_OK)
            rc = turn_ring(options, state, err);
        if (rc != VLM_OK)
            rc = explain(options->run, state->step, needed, err);
    }
    vlm_sums_release(&sums);
    free(path);
    return rc;
}
