/* fuzz_torch.c - files of torch.save(): read or refused, and every tensor of what is accepted can be
 * read.
 *
 * The first byte of an input says what the rest is: 0 a file; else a pickle, to which an archive with
 * two storages is added, or hardly any input would get past the archive. Memory is bounded by the
 * limit of the fuzzer. */
#include "base/vlm.h"

#include "tests/weights_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vlm_weights *weights = NULL;
    struct vlm_err err;
    if (size < 1)
        return 0;
    int rc = data[0] ? open_pickle(&weights, data + 1, size - 1, &err)
                     : open_bytes(&weights, data + 1, size - 1, &err);
    VLM_BUG_IF((rc == VLM_OK) != (weights != NULL));
    if (weights)
        read_all(weights);
    vlm_weights_close(weights);
    return 0;
}
