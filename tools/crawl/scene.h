/* scene.h - pictures of coloured shapes, and the facts about them that words can tell.
 *
 *   struct scene scene;
 *   struct vlm_random random = vlm_random_at(seed, stream, number);
 *   scene_make(&scene, &random);
 *   scene_draw(&scene, rgb);                 // scene.width * scene.height * 3 bytes
 *
 * A scene is a pure function of the generator's state. No memory, any thread. */
#ifndef VLM_TOOLS_SCENE_H
#define VLM_TOOLS_SCENE_H

#include "base/random.h"

enum {
    SCENE_WIDTH_MIN = 200,
    SCENE_WIDTH_MAX = 480,
    SCENE_HEIGHT_MIN = 160,
    SCENE_HEIGHT_MAX = 400,
    SCENE_BYTES_MAX = SCENE_WIDTH_MAX * SCENE_HEIGHT_MAX * 3,
    SCENE_OBJECTS_MAX = 8,
};

enum scene_shape {
    SHAPE_CIRCLE,
    SHAPE_SQUARE,
    SHAPE_TRIANGLE,
    SHAPE_STAR,
    SHAPE_DIAMOND,
    SHAPE_HEXAGON,
    SHAPE_HEART,
    SHAPE_CROSS,
    SHAPE_RING,
    SHAPE_CRESCENT,
    SHAPES,
};

enum scene_colour {
    COLOUR_RED,
    COLOUR_GREEN,
    COLOUR_BLUE,
    COLOUR_YELLOW,
    COLOUR_ORANGE,
    COLOUR_PURPLE,
    COLOUR_PINK,
    COLOUR_BROWN,
    COLOUR_TURQUOISE,
    COLOUR_BLACK,
    COLOUR_WHITE,
    COLOUR_GREY,
    COLOURS,
};

enum scene_size { SIZE_SMALL, SIZE_MEDIUM, SIZE_LARGE, SIZES };

/* Row by row from the upper left: place / 3 is the row, place % 3 the column. */
enum scene_place {
    PLACE_UPPER_LEFT,
    PLACE_TOP,
    PLACE_UPPER_RIGHT,
    PLACE_LEFT,
    PLACE_CENTRE,
    PLACE_RIGHT,
    PLACE_LOWER_LEFT,
    PLACE_BOTTOM,
    PLACE_LOWER_RIGHT,
    PLACES,
};

enum scene_pattern {
    PATTERN_PLAIN,
    PATTERN_FADE,    /* from the first colour at the top to the second at the bottom */
    PATTERN_HALVES,  /* upper half first, lower half second colour */
    PATTERN_ROWS,    /* horizontal stripes */
    PATTERN_COLUMNS, /* vertical stripes */
    PATTERN_CHECKED,
    PATTERNS,
};

enum scene_layout {
    LAYOUT_ONE,     /* one object at a place */
    LAYOUT_BESIDE,  /* object 0 left of object 1 */
    LAYOUT_ABOVE,   /* object 0 above object 1 */
    LAYOUT_ROW,     /* n equal objects side by side, at the top, in the middle or at the bottom */
    LAYOUT_COLUMN,  /* n equal objects one below the other, at the left, middle or right */
    LAYOUT_GRID,    /* n equal objects in two rows */
    LAYOUT_OVERLAP, /* object 1 hides a part of object 0 */
    LAYOUT_INSIDE,  /* object 1 lies inside object 0 */
    LAYOUT_THREE,   /* three different objects at three places */
    LAYOUTS,
};

struct scene_object {
    enum scene_shape shape;
    enum scene_colour colour;
    enum scene_size size;
    enum scene_place place;
    double x, y, radius; /* pixels */
};

struct scene {
    uint32_t width, height;
    enum scene_layout layout;
    enum scene_pattern pattern;
    enum scene_colour background[2]; /* the second one is set for every pattern but plain */
    uint8_t background_rgb[2][3];
    bool frame;
    enum scene_colour frame_colour;
    struct scene_object object[SCENE_OBJECTS_MAX];
    uint8_t object_rgb[SCENE_OBJECTS_MAX][3];
    size_t n_objects;
};

void scene_make(struct scene *scene, struct vlm_random *random);

/* A scene that a small model learns to describe and to draw within minutes: one medium-sized object of
 * SIMPLE_SHAPES shapes and SIMPLE_COLOURS colours at one of the nine places of a white square. Each
 * colour has one place at which it is held out (scene_is_held_out()): scenes of SCENE_PAIRS_TRAINED never show such
 * a pair, those of SCENE_PAIRS_HELD_OUT show nothing else. */
enum { SIMPLE_SIDE = 256, SIMPLE_SHAPES = 4, SIMPLE_COLOURS = 8 };
enum scene_pairs { SCENE_PAIRS_ALL, SCENE_PAIRS_TRAINED, SCENE_PAIRS_HELD_OUT };
#define SCENE_PAIRS_WORDS "all|trained|held-out"
void scene_make_simple(struct scene *scene, enum scene_pairs pairs, struct vlm_random *random);
bool scene_is_held_out(enum scene_colour colour, enum scene_place place);

/* Number i of the colours, or shapes, of simple scenes. */
enum scene_colour scene_simple_colour(size_t i);
enum scene_shape scene_simple_shape(size_t i);

/* The middle of a colour's shades, of the background too. */
const uint8_t *scene_colour_rgb(enum scene_colour colour);
void scene_draw(const struct scene *scene, uint8_t *rgb);

#endif
