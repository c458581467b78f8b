/* find_document.c - goes through a shard set, which is in no order of ids. */
#include "base/vlm.h"

#include "tools/common/find_document.h"

int vlm_id_check(const char *digits, struct vlm_err *err)
{
    size_t n = strlen(digits);
    if (n >= VLM_ID_DIGITS_MIN && n <= VLM_ID_DIGITS && strspn(digits, "0123456789abcdef") == n)
        return VLM_OK;
    return vlm_fail(err, VLM_EUSAGE,
                    "'%s' is no id: give %d to %d hexadecimal digits, as vlm-inspect cat has them",
                    digits, VLM_ID_DIGITS_MIN, VLM_ID_DIGITS);
}

bool vlm_id_begins(const uint8_t id[16], const char *digits)
{
    char hex[VLM_ID_DIGITS + 1];
    return !strncmp(vlm_hex(hex, id, 16), digits, strlen(digits));
}

int vlm_find_document(struct vlm_set **set, struct vlm_document **document, const char *folder,
                      const char *id, struct vlm_arena *arena, struct vlm_err *err)
{
    uint64_t found = 0, number = 0, n = 0;
    uint8_t its[16];
    int rc = vlm_id_check(id, err);
    if (rc == VLM_OK)
        rc = vlm_set_open(set, folder, err);
    while (rc == VLM_OK && (rc = vlm_set_next(*set, document, arena, err)) == VLM_OK) {
        n++;
        vlm_document_id(its, *document);
        if (vlm_id_begins(its, id)) {
            if (strlen(id) == VLM_ID_DIGITS)
                return VLM_OK;
            number = n;
            found++;
        }
        vlm_arena_reset(arena);
    }
    if (rc != VLM_EOF)
        return rc;
    if (found != 1)
        return vlm_fail(err, VLM_EFAIL,
                        found ? "'%s' has %" PRIu64 " documents whose id begins with '%s'"
                              : "'%s' has %" PRIu64 " documents with the id '%s'",
                        folder, found, id);
    vlm_set_close(*set);
    rc = vlm_set_open(set, folder, err);
    for (n = 0; rc == VLM_OK && n < number; n++) {
        vlm_arena_reset(arena);
        rc = vlm_set_next(*set, document, arena, err);
    }
    return rc;
}
