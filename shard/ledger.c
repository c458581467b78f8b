/* ledger.c - counters with names; kept is what came in less what was skipped, and seal compares it
 * with what it really wrote. */
#include "base/vlm.h"

#include "shard/ledger.h"

const char *vlm_skip_name(enum vlm_skip skip)
{
    static const char *const name[] = {
        "http_status",   "empty",  "too_large", "not_decoded",     "opt_out",
        "duplicate_url", "digest", "no_image",  "too_little_text",
    };
    return skip < VLM_COUNTOF(name) ? name[skip] : NULL;
}

const char *vlm_image_skip_name(unsigned skip)
{
    if (skip == VLM_IMAGE_SKIP_DUPLICATE)
        return "duplicate";
    if (skip == VLM_IMAGE_SKIP_UNREFERENCED)
        return "unreferenced";
    return vlm_image_status_name((enum vlm_image_status)skip);
}

/* The struct is nothing but counters, which makes adding, writing and reading one loop each. */
enum { COUNTERS = sizeof(struct vlm_ledger) / sizeof(uint64_t) };
_Static_assert(sizeof(struct vlm_ledger) == COUNTERS * sizeof(uint64_t), "only u64 counters");

void vlm_ledger_add(struct vlm_ledger *sum, const struct vlm_ledger *more)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)more;
    for (size_t i = 0; i < COUNTERS; i++)
        to[i] += from[i];
}

void vlm_ledger_encode(struct vlm_buffer *out, const struct vlm_ledger *ledger)
{
    for (size_t i = 0; i < COUNTERS; i++)
        vlm_buffer_u64(out, ((const uint64_t *)ledger)[i]);
}

void vlm_ledger_decode(struct vlm_ledger *ledger, struct vlm_bytes *in)
{
    for (size_t i = 0; i < COUNTERS; i++)
        ((uint64_t *)ledger)[i] = vlm_bytes_u64(in);
}

static uint64_t sum(const uint64_t *counter, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += counter[i];
    return total;
}

uint64_t vlm_ledger_records(const struct vlm_ledger *ledger)
{
    return sum(ledger->records, VLM_RECORD_TYPES);
}

uint64_t vlm_ledger_damaged(const struct vlm_ledger *ledger)
{
    return sum(ledger->damaged, VLM_DAMAGES);
}

uint64_t vlm_ledger_documents_kept(const struct vlm_ledger *ledger)
{
    return ledger->documents_in - sum(ledger->documents_skipped, VLM_SKIPS);
}

uint64_t vlm_ledger_images_kept(const struct vlm_ledger *ledger)
{
    return ledger->images_in - sum(ledger->images_skipped, VLM_IMAGE_SKIPS);
}

uint64_t vlm_ledger_referenced(const struct vlm_ledger *ledger)
{
    return sum(ledger->references, VLM_IMAGE_STATUSES);
}

bool vlm_status_is_joined(enum vlm_image_status status)
{
    switch (status) {
    case VLM_IMAGE_OPT_OUT:
    case VLM_IMAGE_NOT_IN_CRAWL:
    case VLM_IMAGE_HTTP_ERROR:
    case VLM_IMAGE_NOT_AN_IMAGE:
    case VLM_IMAGE_REDIRECT:
    case VLM_IMAGE_REVISIT:
    case VLM_IMAGE_NO_URL:
    case VLM_IMAGE_WORKER_CRASH:
        return false;
    default:
        return true;
    }
}

uint64_t vlm_ledger_joined(const struct vlm_ledger *ledger)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < VLM_IMAGE_STATUSES; i++)
        if (vlm_status_is_joined((enum vlm_image_status)i))
            total += ledger->references[i];
    return total;
}
