/* charsmap.c - reading SentencePiece's precompiled_charsmap. A unit of the array holds the byte that leads to it, how
 * far its children are, and whether a key ends in it; then the child for byte 0 holds the place of the text. Nothing of
 * that is trusted: each step checks where it goes, and a key of n bytes takes n steps, whatever the array says. */
#include "base/vlm.h"
#include "tokenize/unicode/charsmap.h"

#include "base/utf8.h"

enum { UNIT = 4 };

struct vlm_charsmap {
    uint32_t *units; /* [n_units] */
    size_t n_units;
    char *texts; /* [n_texts], and a NUL */
    size_t n_texts;
};

static uint32_t read_unit(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

int vlm_charsmap_new(struct vlm_charsmap **out, const uint8_t *bytes, size_t n, struct vlm_err *err)
{
    *out = NULL;
    size_t size = n >= UNIT ? read_unit(bytes) : 0;
    if (size < UNIT || size > n - UNIT)
        return vlm_fail(err, VLM_EFORMAT,
                        "a charsmap of %zu bytes says that its array has %zu bytes", n, size);
    size_t n_units = size / UNIT;
    const uint8_t *texts = bytes + UNIT + n_units * UNIT;
    size_t n_texts = (size_t)(bytes + n - texts);
    if (vlm_utf8_valid_prefix((const char *)texts, n_texts) < n_texts)
        return vlm_fail(err, VLM_EFORMAT, "the texts of a charsmap are not UTF-8");
    struct vlm_charsmap *map = calloc(1, sizeof *map);
    if (map)
        *map = (struct vlm_charsmap){ malloc(n_units * sizeof *map->units), n_units,
                                      malloc(n_texts + 1), n_texts };
    if (!map || !map->units || !map->texts) {
        vlm_charsmap_free(map);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a charsmap of %zu bytes", n);
    }
    for (size_t i = 0; i < n_units; i++)
        map->units[i] = read_unit(bytes + UNIT + i * UNIT);
    memcpy(map->texts, texts, n_texts);
    map->texts[n_texts] = 0;
    *out = map;
    return VLM_OK;
}

void vlm_charsmap_free(struct vlm_charsmap *map)
{
    if (!map)
        return;
    free(map->units);
    free(map->texts);
    free(map);
}

/* How far the children of a unit are from it, to be combined by exclusive or. */
static inline uint32_t offset_of(uint32_t unit)
{
    return (unit >> 10) << ((unit & 1U << 9) >> 6);
}

const char *vlm_charsmap_find(const struct vlm_charsmap *map, const char *key, size_t n,
                              size_t *size)
{
    enum { KEY_ENDS = 1 << 8 };
    const uint32_t label = 0x800000ff, value = 0x7fffffff;
    size_t at = offset_of(map->units[0]);
    for (size_t i = 0; i < n && key[i]; i++) {
        at ^= (uint8_t)key[i];
        if (at >= map->n_units || (map->units[at] & label) != (uint8_t)key[i])
            return NULL;
        uint32_t unit = map->units[at];
        at ^= offset_of(unit);
        if (!(unit & KEY_ENDS))
            continue;
        size_t place = at < map->n_units ? map->units[at] & value : SIZE_MAX;
        if (place > map->n_texts || ((uint8_t)map->texts[place] & 0xc0) == 0x80)
            return NULL;
        *size = strlen(map->texts + place);
        return map->texts + place;
    }
    return NULL;
}
