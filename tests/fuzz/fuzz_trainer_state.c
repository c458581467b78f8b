/* fuzz_trainer_state.c - trainer_state.json: read or refused; what was read can be written and read again, and
 * is the same then. */
#include "base/vlm.h"

#include "trainer/save/trainer_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_copy(struct vlm_trainer_state *state, struct vlm_identity *identity,
                     const uint8_t *data, size_t size)
{
    struct vlm_err err = { 0 };
    char *text = malloc(size ? size : 1);
    VLM_BUG_IF(!text);
    if (size)
        memcpy(text, data, size);
    int rc = vlm_trainer_state_read(state, identity, text, size, &err);
    VLM_BUG_IF(rc != VLM_OK && !err.msg[0]);
    free(text);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vlm_trainer_state state, again;
    static struct vlm_identity identity, identity_again;
    struct vlm_err err = { 0 };
    if (read_copy(&state, &identity, data, size) != VLM_OK)
        return 0;
    struct vlm_buffer text = { 0 };
    vlm_trainer_state_write(&text, &state, &identity);
    VLM_BUG_IF(read_copy(&again, &identity_again, text.data, text.size) != VLM_OK);
    VLM_BUG_IF(memcmp(&state, &again, sizeof(state)));
    VLM_BUG_IF(identity.n != identity_again.n);
    for (size_t i = 0; i < identity.n; i++)
        VLM_BUG_IF(strcmp(identity.pair[i].key, identity_again.pair[i].key) ||
                   strcmp(identity.pair[i].value, identity_again.pair[i].value));
    (void)vlm_identity_check(&identity, &identity_again, &err);
    vlm_buffer_release(&text);
    return 0;
}
