/* identity.c - what must be the same for a run to go on: pairs of names and values, compared in order. */
#include "base/vlm.h"

#include "trainer/save/trainer_state.h"

void vlm_identity_add(struct vlm_identity *identity, const char *key, const char *format, ...)
{
    VLM_BUG_IF(identity->n == VLM_COUNTOF(identity->pair));
    struct vlm_identity_pair *pair = &identity->pair[identity->n++];
    va_list args;
    va_start(args, format);
    int key_size = snprintf(pair->key, sizeof(pair->key), "%s", key);
    int value_size = vsnprintf(pair->value, sizeof(pair->value), format, args);
    va_end(args);
    /* A value that was cut could hide a difference. */
    VLM_BUG_IF(key_size >= (int)sizeof(pair->key) || value_size >= (int)sizeof(pair->value));
}

const char *vlm_identity_value(const struct vlm_identity *identity, const char *key)
{
    for (size_t i = 0; i < identity->n; i++)
        if (!strcmp(identity->pair[i].key, key))
            return identity->pair[i].value;
    return NULL;
}

/* NULL: there is no such pair. */
static int differs(const char *key, const char *found, const char *expected, struct vlm_err *err)
{
    return vlm_fail(
        err, VLM_EUSAGE,
        "it is of a run with '%s' = %s%s%s, now %s%s%s: choose another --output, or the "
        "options that this run began with",
        key, found ? "'" : "", found ? found : "none", found ? "'" : "",
        expected ? "it is '" : "there is ", expected ? expected : "none", expected ? "'" : "");
}

int vlm_identity_check(const struct vlm_identity *found, const struct vlm_identity *expected,
                       struct vlm_err *err)
{
    for (size_t i = 0; i < expected->n; i++) {
        const char *there = vlm_identity_value(found, expected->pair[i].key);
        if (!there || strcmp(there, expected->pair[i].value))
            return differs(expected->pair[i].key, there, expected->pair[i].value, err);
    }
    for (size_t i = 0; i < found->n; i++)
        if (!vlm_identity_value(expected, found->pair[i].key))
            return differs(found->pair[i].key, found->pair[i].value, NULL, err);
    return VLM_OK;
}
