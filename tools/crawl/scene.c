/* scene.c - chooses and draws scenes of coloured shapes.
 *
 * Everything that words may claim (colour, shape, size, place, relation, count) is chosen first and
 * the geometry follows from it with a little jitter, so that a description made from the choices is
 * true. Shapes are polygons with corners on a grid of 1/256 pixel, filled by the even-odd rule with
 * four scanlines per pixel row and exact coverage along them, in integers: the same pixels on every
 * machine. There is no text, no noise and no perspective in the pictures. */
#include "base/vlm.h"
#include "tools/crawl/scene.h"

#include <math.h>

enum { POINTS_MAX = 160, SUBROWS = 4, CROSSINGS_MAX = 16, UNIT = 256 };

static const double PI = 3.14159265358979323846;

/* --- choosing --- */

static const uint8_t palette[COLOURS][3] = {
    [COLOUR_RED] = { 212, 32, 38 },        [COLOUR_GREEN] = { 38, 148, 58 },
    [COLOUR_BLUE] = { 36, 72, 204 },       [COLOUR_YELLOW] = { 248, 218, 48 },
    [COLOUR_ORANGE] = { 244, 136, 22 },    [COLOUR_PURPLE] = { 132, 44, 168 },
    [COLOUR_PINK] = { 246, 150, 186 },     [COLOUR_BROWN] = { 120, 74, 36 },
    [COLOUR_TURQUOISE] = { 58, 200, 192 }, [COLOUR_BLACK] = { 20, 20, 20 },
    [COLOUR_WHITE] = { 246, 246, 246 },    [COLOUR_GREY] = { 142, 142, 142 },
};

/* Squared distance of two colours, weighted roughly as the eye does. */
static int colour_distance(enum scene_colour a, enum scene_colour b)
{
    int red = palette[a][0] - palette[b][0], green = palette[a][1] - palette[b][1];
    int blue = palette[a][2] - palette[b][2];
    return 2 * red * red + 4 * green * green + blue * blue;
}

/* A random colour that stands out from all that are taken. */
static enum scene_colour choose_colour(struct vlm_random *random, const enum scene_colour *taken,
                                       size_t n)
{
    enum { FAR_ENOUGH = 42000 };
    unsigned start = (unsigned)vlm_random_below(random, COLOURS);
    enum scene_colour best = COLOUR_BLACK;
    int best_distance = -1;
    for (unsigned i = 0; i < COLOURS; i++) {
        enum scene_colour colour = (start + i) % COLOURS;
        int distance = INT_MAX;
        for (size_t j = 0; j < n; j++)
            distance = VLM_MIN(distance, colour_distance(colour, taken[j]));
        if (distance >= FAR_ENOUGH)
            return colour;
        if (distance > best_distance) {
            best_distance = distance;
            best = colour;
        }
    }
    return best;
}

/* A shade of the colour that still has its name. */
static void jitter_colour(uint8_t rgb[3], enum scene_colour colour, struct vlm_random *random)
{
    int light = (int)vlm_random_between(random, -9, 9);
    for (int i = 0; i < 3; i++) {
        int value = palette[colour][i] + light + (int)vlm_random_between(random, -4, 4);
        rgb[i] = (uint8_t)VLM_MAX(0, VLM_MIN(255, value));
    }
}

static enum scene_layout choose_layout(struct vlm_random *random)
{
    static const uint8_t percent[LAYOUTS] = {
        [LAYOUT_ONE] = 24,    [LAYOUT_BESIDE] = 14, [LAYOUT_ABOVE] = 12,
        [LAYOUT_ROW] = 11,    [LAYOUT_COLUMN] = 9,  [LAYOUT_GRID] = 6,
        [LAYOUT_OVERLAP] = 8, [LAYOUT_INSIDE] = 8,  [LAYOUT_THREE] = 8,
    };
    unsigned at = (unsigned)vlm_random_below(random, 100), layout = 0;
    while (layout < LAYOUTS - 1 && at >= percent[layout])
        at -= percent[layout++];
    return (enum scene_layout)layout;
}

static void choose_background(struct scene *scene, struct vlm_random *random)
{
    scene->pattern = vlm_random_chance(random, 55)
                         ? PATTERN_PLAIN
                         : (enum scene_pattern)vlm_random_between(random, 1, PATTERNS - 1);
    scene->background[0] = (enum scene_colour)vlm_random_below(random, COLOURS);
    scene->background[1] = scene->background[0];
    if (scene->pattern != PATTERN_PLAIN)
        scene->background[1] = choose_colour(random, scene->background, 1);
    for (int i = 0; i < 2; i++)
        jitter_colour(scene->background_rgb[i], scene->background[i], random);
    if (scene->pattern == PATTERN_PLAIN)
        memcpy(scene->background_rgb[1], scene->background_rgb[0], 3);
    scene->frame = vlm_random_chance(random, 14);
    scene->frame_colour = choose_colour(random, scene->background, 2);
}

static double short_side(const struct scene *scene)
{
    return VLM_MIN(scene->width, scene->height);
}

/* Objects stand on a stage, the square in the middle: models see the centre crop, and the words must be
 * true of it too. These give the share of the stage for a place in the picture. */
static double stage_x(const struct scene *scene, double x)
{
    return (x - (scene->width - short_side(scene)) / 2) / short_side(scene);
}

static double stage_y(const struct scene *scene, double y)
{
    return (y - (scene->height - short_side(scene)) / 2) / short_side(scene);
}

static double jitter(struct vlm_random *random, double most)
{
    return most * (2 * vlm_random_unit(random) - 1);
}

/* Sizes are shares of the shorter side and well apart, so that the words for them are fair. */
static double radius_of(const struct scene *scene, enum scene_size size, struct vlm_random *random)
{
    static const double share[SIZES] = { .105, .17, .25 };
    return short_side(scene) * share[size] * (1 + jitter(random, .06));
}

/* Adds an object around (x, y), shares of the stage, moved inside it. */
static struct scene_object *add_object(struct scene *scene, enum scene_shape shape,
                                       enum scene_colour colour, double x, double y, double radius)
{
    VLM_BUG_IF(scene->n_objects == SCENE_OBJECTS_MAX);
    struct scene_object *object = &scene->object[scene->n_objects++];
    double side = short_side(scene), edge = radius + (scene->frame ? 10 : 3);
    *object = (struct scene_object){ .shape = shape, .colour = colour, .radius = radius };
    object->x = (scene->width - side) / 2 + fmin(fmax(x * side, edge), side - edge);
    object->y = (scene->height - side) / 2 + fmin(fmax(y * side, edge), side - edge);
    return object;
}

static const double grid_at[3] = { .21, .5, .79 };

static struct scene_object *add_at_place(struct scene *scene, enum scene_shape shape,
                                         enum scene_colour colour, enum scene_size size,
                                         enum scene_place place, struct vlm_random *random)
{
    double x = grid_at[place % 3] + jitter(random, .02),
           y = grid_at[place / 3] + jitter(random, .02);
    struct scene_object *object =
        add_object(scene, shape, colour, x, y, radius_of(scene, size, random));
    object->place = place;
    object->size = size;
    return object;
}

static enum scene_shape any_shape(struct vlm_random *random)
{
    return (enum scene_shape)vlm_random_below(random, SHAPES);
}

/* Another shape than the n before. */
static enum scene_shape other_shape(const struct scene *scene, struct vlm_random *random)
{
    unsigned shape = (unsigned)vlm_random_below(random, SHAPES);
    for (size_t i = 0; i < scene->n_objects;) {
        if (scene->object[i++].shape == shape) {
            shape = (shape + 1) % SHAPES;
            i = 0;
        }
    }
    return (enum scene_shape)shape;
}

/* The colours of background, frame and objects so far, for choose_colour. */
static enum scene_colour new_colour(const struct scene *scene, struct vlm_random *random)
{
    enum scene_colour taken[2 + SCENE_OBJECTS_MAX];
    size_t n = 0;
    taken[n++] = scene->background[0];
    taken[n++] = scene->background[1];
    for (size_t i = 0; i < scene->n_objects; i++)
        taken[n++] = scene->object[i].colour;
    return choose_colour(random, taken, n);
}

static void make_two(struct scene *scene, struct vlm_random *random)
{
    /* Never large beside medium: they might touch in narrow pictures. */
    static const uint8_t pair[5][2] = { { SIZE_SMALL, SIZE_SMALL },
                                        { SIZE_MEDIUM, SIZE_MEDIUM },
                                        { SIZE_SMALL, SIZE_MEDIUM },
                                        { SIZE_SMALL, SIZE_LARGE },
                                        { SIZE_LARGE, SIZE_SMALL } };
    const uint8_t *sizes = pair[vlm_random_below(random, 5)];
    bool beside = scene->layout == LAYOUT_BESIDE;
    for (unsigned i = 0; i < 2; i++) {
        double along = (i ? .75 : .25) + jitter(random, .02), across = .5 + jitter(random, .05);
        enum scene_shape shape = i && vlm_random_chance(random, 75) ? other_shape(scene, random)
                                 : i                                ? scene->object[0].shape
                                                                    : any_shape(random);
        enum scene_size size = (enum scene_size)sizes[i];
        struct scene_object *object =
            add_object(scene, shape, new_colour(scene, random), beside ? along : across,
                       beside ? across : along, radius_of(scene, size, random));
        object->size = size;
        object->place = beside ? (i ? PLACE_RIGHT : PLACE_LEFT) : (i ? PLACE_BOTTOM : PLACE_TOP);
    }
}

/* Rows, columns and grids of equal objects. */
static void make_many(struct scene *scene, struct vlm_random *random)
{
    bool row = scene->layout != LAYOUT_COLUMN;
    unsigned lines = scene->layout == LAYOUT_GRID ? 2 : 1;
    unsigned n = (unsigned)(lines == 2 ? vlm_random_between(random, 2, 4)
                                       : vlm_random_between(random, 2, 6));
    unsigned third = (unsigned)vlm_random_below(random, 3);
    double radius = fmin(.36 / n, lines == 2 ? .17 : .16) * short_side(scene);
    enum scene_shape shape = any_shape(random);
    enum scene_colour colour = new_colour(scene, random);
    double shift = jitter(random, .02);
    for (unsigned i = 0; i < n * lines; i++) {
        double a = (i % n + .5) / n, b = lines == 2 ? (i / n ? .73 : .27) : grid_at[third] + shift;
        struct scene_object *object =
            add_object(scene, shape, colour, row ? a : b, row ? b : a, radius);
        object->place = (enum scene_place)(row ? third * 3 + 1 : 3 + third);
    }
}

static void make_overlap(struct scene *scene, struct vlm_random *random)
{
    static const uint8_t solid[] = { SHAPE_CIRCLE, SHAPE_SQUARE, SHAPE_HEXAGON, SHAPE_HEART };
    static const uint8_t front[] = { SHAPE_CIRCLE,  SHAPE_SQUARE,  SHAPE_TRIANGLE, SHAPE_STAR,
                                     SHAPE_DIAMOND, SHAPE_HEXAGON, SHAPE_CROSS };
    double radius = radius_of(scene, SIZE_LARGE, random);
    double side = vlm_random_chance(random, 50) ? -1 : 1,
           up = vlm_random_chance(random, 50) ? -1 : 1;
    enum scene_shape shape = solid[vlm_random_below(random, VLM_COUNTOF(solid))];
    struct scene_object *back = add_object(scene, shape, new_colour(scene, random), .5, .5, radius);
    back->size = SIZE_LARGE;
    back->place = PLACE_CENTRE;
    shape = front[vlm_random_below(random, VLM_COUNTOF(front))];
    if (shape == back->shape)
        shape = SHAPE_DIAMOND;
    double x = back->x + side * .5 * radius, y = back->y + up * .5 * radius;
    struct scene_object *object =
        add_object(scene, shape, new_colour(scene, random), stage_x(scene, x), stage_y(scene, y),
                   radius_of(scene, SIZE_MEDIUM, random));
    object->size = SIZE_MEDIUM;
    object->place = (enum scene_place)((up < 0 ? 0 : 6) + (side < 0 ? 0 : 2));
}

static void make_inside(struct scene *scene, struct vlm_random *random)
{
    static const uint8_t outer[] = { SHAPE_CIRCLE, SHAPE_SQUARE, SHAPE_HEXAGON, SHAPE_DIAMOND };
    enum scene_shape shape = outer[vlm_random_below(random, VLM_COUNTOF(outer))];
    double radius = short_side(scene) * (.35 + jitter(random, .02));
    double x = .5 + jitter(random, .04), y = .5 + jitter(random, .02);
    struct scene_object *object = add_object(scene, shape, new_colour(scene, random), x, y, radius);
    object->size = SIZE_LARGE;
    object->place = PLACE_CENTRE;
    shape = other_shape(scene, random);
    x = stage_x(scene, object->x);
    y = stage_y(scene, object->y);
    object = add_object(scene, shape, new_colour(scene, random), x, y,
                        radius_of(scene, SIZE_SMALL, random) * 1.1);
    object->size = SIZE_SMALL;
    object->place = PLACE_CENTRE;
}

static void make_three(struct scene *scene, struct vlm_random *random)
{
    unsigned taken = 0;
    for (int i = 0; i < 3; i++) {
        unsigned place = (unsigned)vlm_random_below(random, PLACES);
        while (taken & 1u << place)
            place = (place + 1) % PLACES;
        taken |= 1u << place;
        add_at_place(scene, other_shape(scene, random), new_colour(scene, random), SIZE_SMALL,
                     (enum scene_place)place, random);
    }
}

void scene_make(struct scene *scene, struct vlm_random *random)
{
    *scene = (struct scene){ .layout = choose_layout(random) };
    scene->width = (uint32_t)vlm_random_between(random, SCENE_WIDTH_MIN, SCENE_WIDTH_MAX);
    scene->height = (uint32_t)vlm_random_between(random, SCENE_HEIGHT_MIN, SCENE_HEIGHT_MAX);
    choose_background(scene, random);
    if (scene->frame) /* a crop must not cut the frame off */
        scene->width = scene->height =
            VLM_MAX((uint32_t)SCENE_WIDTH_MIN, VLM_MIN(scene->width, scene->height));
    switch (scene->layout) {
    case LAYOUT_ONE: {
        enum scene_size size = (enum scene_size)vlm_random_below(random, SIZES);
        enum scene_place place = (enum scene_place)vlm_random_below(random, PLACES);
        add_at_place(scene, any_shape(random), new_colour(scene, random), size, place, random);
        break;
    }
    case LAYOUT_BESIDE:
    case LAYOUT_ABOVE:
        make_two(scene, random);
        break;
    case LAYOUT_OVERLAP:
        make_overlap(scene, random);
        break;
    case LAYOUT_INSIDE:
        make_inside(scene, random);
        break;
    case LAYOUT_THREE:
        make_three(scene, random);
        break;
    default:
        make_many(scene, random);
    }
    bool equal = scene->layout == LAYOUT_ROW || scene->layout == LAYOUT_COLUMN ||
                 scene->layout == LAYOUT_GRID;
    for (size_t i = 0; i < scene->n_objects; i++) {
        if (i && equal)
            memcpy(scene->object_rgb[i], scene->object_rgb[0], 3);
        else
            jitter_colour(scene->object_rgb[i], scene->object[i].colour, random);
    }
}

/* --- simple scenes --- */

static const uint8_t simple_colours[SIMPLE_COLOURS] = { COLOUR_RED,       COLOUR_GREEN,
                                                        COLOUR_BLUE,      COLOUR_YELLOW,
                                                        COLOUR_ORANGE,    COLOUR_PURPLE,
                                                        COLOUR_TURQUOISE, COLOUR_BLACK };
static const uint8_t simple_shapes[SIMPLE_SHAPES] = { SHAPE_CIRCLE, SHAPE_SQUARE, SHAPE_TRIANGLE,
                                                      SHAPE_STAR };

enum scene_colour scene_simple_colour(size_t i)
{
    return (enum scene_colour)simple_colours[i % SIMPLE_COLOURS];
}

enum scene_shape scene_simple_shape(size_t i)
{
    return (enum scene_shape)simple_shapes[i % SIMPLE_SHAPES];
}

const uint8_t *scene_colour_rgb(enum scene_colour colour)
{
    return palette[colour];
}

bool scene_is_held_out(enum scene_colour colour, enum scene_place place)
{
    for (unsigned i = 0; i < SIMPLE_COLOURS; i++)
        if (simple_colours[i] == colour) /* 4 and 9 have no common factor: eight different places */
            return place == 4 * i % PLACES;
    return false;
}

void scene_make_simple(struct scene *scene, enum scene_pairs pairs, struct vlm_random *random)
{
    *scene = (struct scene){ .layout = LAYOUT_ONE, .width = SIMPLE_SIDE, .height = SIMPLE_SIDE };
    scene->background[0] = scene->background[1] = COLOUR_WHITE;
    memcpy(scene->background_rgb[0], palette[COLOUR_WHITE], 3);
    memcpy(scene->background_rgb[1], palette[COLOUR_WHITE], 3);
    enum scene_shape shape = scene_simple_shape(vlm_random_below(random, SIMPLE_SHAPES));
    enum scene_colour colour;
    enum scene_place place;
    do {
        colour = scene_simple_colour(vlm_random_below(random, SIMPLE_COLOURS));
        place = (enum scene_place)vlm_random_below(random, PLACES);
    } while (pairs != SCENE_PAIRS_ALL &&
             scene_is_held_out(colour, place) != (pairs == SCENE_PAIRS_HELD_OUT));
    add_at_place(scene, shape, colour, SIZE_MEDIUM, place, random);
    jitter_colour(scene->object_rgb[0], colour, random);
}

/* --- drawing --- */

struct polygon {
    int32_t x[POINTS_MAX], y[POINTS_MAX]; /* 1/256 pixel */
    bool starts[POINTS_MAX];              /* a new outline begins with this point */
    size_t n;
};

/* A point in units of the object's radius, y downwards. */
static void add_point(struct polygon *polygon, const struct scene_object *object, double x,
                      double y)
{
    VLM_BUG_IF(polygon->n == POINTS_MAX);
    polygon->x[polygon->n] = (int32_t)lround((object->x + x * object->radius) * UNIT);
    polygon->y[polygon->n] = (int32_t)lround((object->y + y * object->radius) * UNIT);
    polygon->starts[polygon->n] = polygon->n == 0;
    polygon->n++;
}

/* n corners on a circle, the first one straight up; every second one at `inner`. */
static void add_corners(struct polygon *polygon, const struct scene_object *object, unsigned n,
                        double outer, double inner)
{
    size_t first = polygon->n;
    for (unsigned i = 0; i < n; i++) {
        double angle = 2 * PI * i / n, radius = i % 2 ? inner : outer;
        add_point(polygon, object, radius * sin(angle), -radius * cos(angle));
    }
    polygon->starts[first] = true;
}

static void add_list(struct polygon *polygon, const struct scene_object *object,
                     const double (*points)[2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_point(polygon, object, points[i][0], points[i][1]);
}

static void add_heart(struct polygon *polygon, const struct scene_object *object)
{
    for (unsigned i = 0; i < 64; i++) {
        double t = 2 * PI * i / 64, s = sin(t);
        double y = 13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t);
        add_point(polygon, object, s * s * s, -(y + 2.5) / 16.5);
    }
}

/* A disc without the part under a second disc that is shifted to the right. */
static void add_crescent(struct polygon *polygon, const struct scene_object *object)
{
    const double shift = .55, radius = .78;
    /* Where the two circles meet: x from the two equations, then the angles. */
    double x = (1 - radius * radius + shift * shift) / (2 * shift), outer = acos(x);
    double inner = acos((x - shift) / radius);
    for (unsigned i = 0; i <= 48; i++) {
        double angle = outer + (2 * PI - 2 * outer) * i / 48;
        add_point(polygon, object, cos(angle), -sin(angle));
    }
    for (unsigned i = 1; i < 48; i++) {
        double angle = 2 * PI - inner - (2 * PI - 2 * inner) * i / 48;
        add_point(polygon, object, shift + radius * cos(angle), -radius * sin(angle));
    }
}

static void outline(struct polygon *polygon, const struct scene_object *object)
{
    static const double square[][2] = {
        { -.86, -.86 }, { .86, -.86 }, { .86, .86 }, { -.86, .86 }
    };
    static const double triangle[][2] = { { 0, -1 }, { .98, .78 }, { -.98, .78 } };
    static const double cross[][2] = { { -.3, -1 }, { .3, -1 }, { .3, -.3 }, { 1, -.3 },
                                       { 1, .3 },   { .3, .3 }, { .3, 1 },   { -.3, 1 },
                                       { -.3, .3 }, { -1, .3 }, { -1, -.3 }, { -.3, -.3 } };
    polygon->n = 0;
    switch (object->shape) {
    case SHAPE_SQUARE:
        add_list(polygon, object, square, VLM_COUNTOF(square));
        break;
    case SHAPE_TRIANGLE:
        add_list(polygon, object, triangle, VLM_COUNTOF(triangle));
        break;
    case SHAPE_CROSS:
        add_list(polygon, object, cross, VLM_COUNTOF(cross));
        break;
    case SHAPE_STAR:
        add_corners(polygon, object, 10, 1, .4);
        break;
    case SHAPE_DIAMOND:
        add_corners(polygon, object, 4, 1, .72);
        break;
    case SHAPE_HEXAGON:
        add_corners(polygon, object, 6, 1, 1);
        break;
    case SHAPE_HEART:
        add_heart(polygon, object);
        break;
    case SHAPE_CRESCENT:
        add_crescent(polygon, object);
        break;
    case SHAPE_RING:
        add_corners(polygon, object, 72, 1, 1);
        add_corners(polygon, object, 72, .6, .6);
        break;
    default:
        add_corners(polygon, object, 72, 1, 1);
    }
}

/* Where the outline crosses the line y, sorted by x; returns how often. */
static size_t crossings(int32_t at[CROSSINGS_MAX], const struct polygon *polygon, int32_t y)
{
    size_t n = 0, first = 0;
    for (size_t i = 0; i < polygon->n; i++) {
        if (polygon->starts[i])
            first = i;
        size_t next = i + 1 < polygon->n && !polygon->starts[i + 1] ? i + 1 : first;
        int32_t y0 = polygon->y[i], y1 = polygon->y[next];
        if ((y0 <= y) == (y1 <= y))
            continue;
        int64_t dx = polygon->x[next] - polygon->x[i];
        int32_t x = polygon->x[i] + (int32_t)(dx * (y - y0) / (y1 - y0));
        VLM_BUG_IF(n == CROSSINGS_MAX);
        size_t j = n++;
        for (; j && at[j - 1] > x; j--)
            at[j] = at[j - 1];
        at[j] = x;
    }
    return n;
}

/* Adds the span [from, to) of one subrow to the coverage of a pixel row; 256 is a full pixel. */
static void cover_span(uint16_t *cover, int32_t from, int32_t to)
{
    int32_t first = from / UNIT, last = to / UNIT;
    if (first == last) {
        cover[first] = (uint16_t)(cover[first] + (to - from) / SUBROWS);
        return;
    }
    cover[first] = (uint16_t)(cover[first] + (UNIT - from % UNIT) / SUBROWS);
    for (int32_t x = first + 1; x < last; x++)
        cover[x] = (uint16_t)(cover[x] + UNIT / SUBROWS);
    cover[last] = (uint16_t)(cover[last] + to % UNIT / SUBROWS);
}

static void blend_row(uint8_t *row, const uint16_t *cover, int32_t from, int32_t to,
                      const uint8_t rgb[3])
{
    for (int32_t x = from; x <= to; x++)
        for (int i = 0; i < 3; i++)
            row[3 * x + i] =
                (uint8_t)((row[3 * x + i] * (UNIT - cover[x]) + rgb[i] * cover[x] + UNIT / 2) /
                          UNIT);
}

static void draw_object(const struct scene *scene, size_t number, uint8_t *rgb)
{
    const struct scene_object *object = &scene->object[number];
    struct polygon polygon;
    outline(&polygon, object);
    uint16_t cover[SCENE_WIDTH_MAX + 1];
    int32_t top = (int32_t)(object->y - object->radius) - 1, bottom = top + 2;
    int32_t left = (int32_t)(object->x - object->radius) - 1, right = left + 3;
    bottom += (int32_t)(2 * object->radius) + 1;
    right += (int32_t)(2 * object->radius) + 1;
    top = VLM_MAX(top, 0);
    left = VLM_MAX(left, 0);
    bottom = VLM_MIN(bottom, (int32_t)scene->height - 1);
    right = VLM_MIN(right, (int32_t)scene->width - 1);
    for (int32_t y = top; y <= bottom; y++) {
        memset(cover, 0, sizeof(cover));
        for (int32_t i = 0; i < SUBROWS; i++) {
            int32_t at[CROSSINGS_MAX];
            size_t n = crossings(at, &polygon, y * UNIT + (2 * i + 1) * UNIT / (2 * SUBROWS));
            for (size_t j = 0; j + 1 < n; j += 2)
                cover_span(cover, at[j], at[j + 1]);
        }
        blend_row(rgb + (size_t)y * scene->width * 3, cover, left, right,
                  scene->object_rgb[number]);
    }
}

static void fill(uint8_t *row, size_t from, size_t to, const uint8_t rgb[3])
{
    for (size_t x = from; x < to; x++)
        memcpy(row + 3 * x, rgb, 3);
}

/* Columns and checks: cells of equal width whose colours alternate. */
static void fill_cells(uint8_t *row, size_t width, size_t cell, size_t phase,
                       const uint8_t rgb[2][3])
{
    for (size_t x = 0; x < width; x += cell)
        fill(row, x, VLM_MIN(x + cell, width), rgb[(x / cell + phase) & 1]);
}

static void background_row(const struct scene *scene, size_t y, uint8_t *row)
{
    const uint8_t(*rgb)[3] = scene->background_rgb;
    size_t width = scene->width, height = scene->height, cell = VLM_MIN(width, height) / 8;
    uint8_t mixed[3];
    switch (scene->pattern) {
    case PATTERN_FADE:
        for (int i = 0; i < 3; i++)
            mixed[i] = (uint8_t)((rgb[0][i] * (height - 1 - y) + rgb[1][i] * y) / (height - 1));
        fill(row, 0, width, mixed);
        break;
    case PATTERN_HALVES:
        fill(row, 0, width, rgb[y >= height / 2]);
        break;
    case PATTERN_ROWS:
        fill(row, 0, width, rgb[y / cell & 1]);
        break;
    case PATTERN_COLUMNS:
        fill_cells(row, width, cell, 0, rgb);
        break;
    case PATTERN_CHECKED:
        fill_cells(row, width, cell, y / cell, rgb);
        break;
    default:
        fill(row, 0, width, rgb[0]);
    }
}

static void draw_frame(const struct scene *scene, uint8_t *rgb)
{
    enum { THICK = 6 };
    const uint8_t *colour = palette[scene->frame_colour];
    for (size_t y = 0; y < scene->height; y++) {
        uint8_t *row = rgb + y * scene->width * 3;
        if (y < THICK || y + THICK >= scene->height) {
            fill(row, 0, scene->width, colour);
        } else {
            fill(row, 0, THICK, colour);
            fill(row, scene->width - THICK, scene->width, colour);
        }
    }
}

void scene_draw(const struct scene *scene, uint8_t *rgb)
{
    for (size_t y = 0; y < scene->height; y++)
        background_row(scene, y, rgb + y * scene->width * 3);
    for (size_t i = 0; i < scene->n_objects; i++)
        draw_object(scene, i, rgb);
    if (scene->frame)
        draw_frame(scene, rgb);
}
