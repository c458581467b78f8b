/* scene_check.h - what a picture of the simple world shows, read from its pixels, and what words say of one.
 *
 *   struct scene_facts seen, said;
 *   if (scene_read(&seen, square) && scene_parse(&said, words, n))
 *       ... seen.colour == said.colour, seen.place == said.place ...
 */
#ifndef VLM_TOOLS_SCENE_CHECK_H
#define VLM_TOOLS_SCENE_CHECK_H

#include "tools/crawl/scene.h"

/* Numbers of scene_simple_colour() and scene_simple_shape(), so that chance is one in SIMPLE_COLOURS,
 * SIMPLE_SHAPES and PLACES. -1: not to be made out. */
struct scene_facts {
    int colour, shape, place;
};

/* Reads a square of 256 x 256 RGB pixels: one object on white. What stands out from white is the object: its place
 * is that of the middle of its extent, its colour the nearest to the median of its pixels, its shape follows
 * from the share of its box that it fills. False, and nothing made out, when less than a hundredth or more than half
 * of the square stands out. */
bool scene_read(struct scene_facts *facts, const uint8_t *square);

/* Words as scene_plain_words() makes them; each fact is looked for by itself, so that a wrong word costs no other.
 * False: none was found. */
bool scene_parse(struct scene_facts *facts, const char *words, size_t n);

#endif
