/* checkpoint_load.c - loading: the newest checkpoint whose checksums are right, whose state belongs to this run
 * and whose tensors fit. What is damaged is named and passed over; what is of another run is refused, for an
 * older one would be of that run too. */
#include "base/vlm.h"

#include "trainer/save/checkpoint_internal.h"

#include "base/file.h"
#include "base/limits.h"

struct target {
    struct vlm_model *model;
    struct vlm_optimizer *optimizer;
    struct vlm_trainer_state *state;
    const struct vlm_identity *identity;
};

static int read_state(struct vlm_trainer_state *state, struct vlm_identity *identity,
                      const char *folder, uint64_t step, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    char *path = vlm_path_join(folder, VLM_CHECKPOINT_STATE);
    int rc = vlm_file_read_regular(&text, path, VLM_MIB, err);
    if (rc == VLM_OK) {
        rc = vlm_trainer_state_read(state, identity, (char *)text.data, text.size, err);
        if (rc == VLM_OK && state->step != step)
            rc = vlm_fail(err, VLM_EFORMAT, "it is of step %" PRIu64, state->step);
        if (rc == VLM_EFORMAT)
            vlm_wrap(err, VLM_CHECKPOINT_STATE);
    }
    free(path);
    vlm_buffer_release(&text);
    return rc;
}

static int load_state(struct vlm_trainer_state *state, const char *folder, uint64_t step,
                      const struct vlm_identity *expected, struct vlm_err *err)
{
    struct vlm_identity *found = malloc(sizeof(*found));
    int rc = found ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", folder);
    if (rc == VLM_OK)
        rc = read_state(state, found, folder, step, err);
    if (rc == VLM_OK)
        rc = vlm_identity_check(found, expected, err);
    free(found);
    return rc;
}

int vlm_checkpoint_identity(struct vlm_identity *identity, const char *run, struct vlm_err *err)
{
    struct vlm_trainer_state *state = malloc(sizeof(*state));
    uint64_t *steps = NULL;
    size_t n = 0;
    int rc = state ? vlm_checkpoint_steps(&steps, &n, run, err)
                   : vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", run);
    bool found = false;
    for (; rc == VLM_OK && !found && n; n--) {
        char *path = vlm_checkpoint_path(run, steps[n - 1], "");
        rc = read_state(state, identity, path, steps[n - 1], err);
        found = rc == VLM_OK;
        if (rc == VLM_EUSAGE || rc == VLM_ENOMEM)
            vlm_wrap(err, "checkpoint '%s'", path);
        else
            rc = VLM_OK; /* damaged: vlm_checkpoint_load() will say so */
        free(path);
    }
    if (!found)
        identity->n = 0;
    free(steps);
    free(state);
    return rc;
}

/* Every tensor of the folder's model is one of ours. */
static int take_weights(struct vlm_model *model, const struct vlm_model *from, struct vlm_err *err)
{
    if (from->n != model->n || from->count != model->count)
        return vlm_fail(err, VLM_EFORMAT, "it has %zu tensors of %zu numbers, expected %zu of %zu",
                        from->n, from->count, model->n, model->count);
    for (size_t i = 0; i < model->n; i++) {
        const struct vlm_tensor *a = &from->tensors[i], *b = &model->tensors[i];
        if (strcmp(from->parameters[i].name, model->parameters[i].name) || a->rank != b->rank ||
            memcmp(a->shape, b->shape, a->rank * sizeof(*a->shape)))
            return vlm_fail(err, VLM_EFORMAT, "tensor '%s' stands where '%s' was expected",
                            from->parameters[i].name, model->parameters[i].name);
    }
    for (size_t i = 0; i < model->n; i++)
        if (from->tensors[i].rank) /* 0: one that this layer does not have */
            memcpy(model->tensors[i].data, from->tensors[i].data,
                   vlm_tensor_count(&from->tensors[i]) * sizeof(float));
    return VLM_OK;
}

static int load_weights(struct vlm_model *model, const char *path, struct vlm_err *err)
{
    struct vlm_model_folder *folder;
    int rc = vlm_model_folder_open(&folder, path, VLM_FOLDER_BARE, err);
    if (rc == VLM_OK)
        rc = take_weights(model, &folder->model, err);
    vlm_model_folder_close(folder);
    /* Another kind of model would have had another identity: the folder is damaged. */
    return rc == VLM_EUSAGE ? vlm_recode(err, VLM_EFORMAT) : rc;
}

static int load_one(struct vlm_sums *sums, const char *path, uint64_t step,
                    const struct target *target, struct vlm_err *err)
{
    struct vlm_trainer_state *state = malloc(sizeof(*state));
    char *moments = vlm_path_join(path, VLM_CHECKPOINT_OPTIMIZER);
    int rc = state ? vlm_sums_check(sums, path, err)
                   : vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", path);
    if (rc == VLM_OK)
        rc = load_state(state, path, step, target->identity, err);
    if (rc == VLM_OK)
        rc = load_weights(target->model, path, err);
    if (rc == VLM_OK)
        rc = vlm_moments_load(moments, target->model, target->optimizer, err);
    if (rc == VLM_OK) {
        *target->state = *state;
        target->optimizer->step = state->updates;
    }
    free(moments);
    free(state);
    return rc;
}

/* VLM_SKIP: damaged, told. */
static int try_one(const char *run, uint64_t step, const struct target *target,
                   void (*tell)(const char *sentence, void *context), void *context,
                   struct vlm_err *err)
{
    struct vlm_sums sums = { 0 };
    char *path = vlm_checkpoint_path(run, step, "");
    int rc = load_one(&sums, path, step, target, err);
    if (rc == VLM_EUSAGE || rc == VLM_ENOMEM) {
        vlm_wrap(err, "checkpoint '%s'", path);
    } else if (rc != VLM_OK) {
        vlm_wrap(err, "checkpoint '%s' is passed over", path);
        tell(err->msg, context);
        rc = VLM_SKIP;
    } else {
        rc = vlm_model_put(run, path, &sums, err);
    }
    free(path);
    vlm_sums_release(&sums);
    return rc;
}

int vlm_checkpoint_load(const char *run, uint64_t at_most, struct vlm_model *model,
                        struct vlm_optimizer *optimizer, struct vlm_trainer_state *state,
                        const struct vlm_identity *identity,
                        void (*tell)(const char *sentence, void *context), void *context,
                        struct vlm_err *err)
{
    const struct target target = { model, optimizer, state, identity };
    uint64_t *steps;
    size_t n;
    int rc = vlm_checkpoint_steps(&steps, &n, run, err);
    while (n && steps[n - 1] > at_most)
        n--;
    const size_t tried = n;
    if (rc == VLM_OK && n == 0) {
        vlm_fail(err, VLM_EOF, "'%s' has no checkpoint", run);
        rc = VLM_EOF;
    } else if (rc == VLM_OK) {
        rc = VLM_SKIP;
    }
    for (; rc == VLM_SKIP && n; n--)
        rc = try_one(run, steps[n - 1], &target, tell, context, err);
    if (rc == VLM_SKIP)
        rc = vlm_fail(
            err, VLM_EFORMAT,
            "no checkpoint of '%s' is whole (%zu tried): begin anew in another --output, or "
            "move its folder '" VLM_RUN_CHECKPOINTS "' away",
            run, tried);
    free(steps);
    return rc;
}
