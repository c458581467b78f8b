/* piece_map.c - ids by text: open addressing over XXH3, at most half full. */
#include "base/vlm.h"

#include "base/hash.h"
#include "tokenize/text/text_internal.h"

bool vlm_piece_map_init(struct vlm_piece_map *map, size_t n)
{
    size_t places = 16;
    while (places / 2 < n)
        places *= 2;
    *map =
        (struct vlm_piece_map){ .places = calloc(places, sizeof *map->places), .mask = places - 1 };
    return map->places;
}

void vlm_piece_map_release(struct vlm_piece_map *map)
{
    free(map->places);
    *map = (struct vlm_piece_map){ 0 };
}

static struct vlm_piece_place *place_of(const struct vlm_piece_map *map, const char *at, size_t n)
{
    size_t i = vlm_xxh3(at, n) & map->mask;
    for (; map->places[i].text.at; i = (i + 1) & map->mask)
        if (map->places[i].text.n == n && !memcmp(map->places[i].text.at, at, n))
            break;
    return &map->places[i];
}

uint32_t vlm_piece_map_add(struct vlm_piece_map *map, struct vlm_text text, uint32_t id)
{
    struct vlm_piece_place *place = place_of(map, text.at, text.n);
    if (place->text.at)
        return place->id;
    VLM_BUG_IF(map->n++ > map->mask / 2);
    *place = (struct vlm_piece_place){ text, id };
    return VLM_NO_TOKEN;
}

uint32_t vlm_piece_map_find(const struct vlm_piece_map *map, const char *at, size_t n)
{
    const struct vlm_piece_place *place = place_of(map, at, n);
    return place->text.at ? place->id : VLM_NO_TOKEN;
}
