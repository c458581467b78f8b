/* fuzz_charsmap.c - any bytes as SentencePiece's map of characters, and a text through it: two bytes with the size of
 * the map, the map, the text. Places never go back and stay inside of the text; it grows no more than it may. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/unicode/charsmap.h"
#include "tokenize/unicode/normalize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vlm_charsmap *map;
    struct vlm_normal normal = { 0 };
    struct vlm_err err = { 0 };
    if (size < 2)
        return 0;
    size_t n_map = VLM_MIN((size_t)data[0] | (size_t)data[1] << 8, size - 2);
    if (vlm_charsmap_new(&map, data + 2, n_map, &err) != VLM_OK)
        return 0;
    const char *text = (const char *)data + 2 + n_map;
    size_t n = size - 2 - n_map;
    const struct vlm_normalizer step = { .kind = VLM_NORMALIZE_PRECOMPILED, .charsmap = map };
    VLM_BUG_IF(vlm_normal_set(&normal, text, n, &err) != VLM_OK);
    int rc = vlm_normalize(&normal, &step, 1, &err);
    VLM_BUG_IF(rc != VLM_OK && rc != VLM_ELIMIT);
    VLM_BUG_IF(normal.n > 4 * VLM_NORMAL_RATIO_MAX * VLM_MAX(n, VLM_KIB));
    for (size_t i = 0; i < normal.n; i++)
        VLM_BUG_IF(
            normal.start[i] > normal.end[i] || normal.end[i] > n ||
            (i && (normal.start[i - 1] > normal.start[i] || normal.end[i - 1] > normal.end[i])));
    vlm_normal_release(&normal);
    vlm_charsmap_free(map);
    return 0;
}
