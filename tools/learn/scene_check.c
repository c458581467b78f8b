/* scene_check.c - reads the simple world's facts back from pixels and from words, with nothing learned. */
#include "base/vlm.h"
#include "tools/learn/scene_check.h"

#include "tools/crawl/scene_words.h"

enum { SIDE = 256, PIXELS = SIDE * SIDE };

/* --- pixels --- */

/* How far a pixel is from white, of 765. Decoded backgrounds stay within 30; the palest colour, yellow, is more
 * than 200 away. */
enum { STANDS_OUT = 110 };

static bool stands_out(const uint8_t *pixel)
{
    return 3 * 246 - (pixel[0] + pixel[1] + pixel[2]) > STANDS_OUT;
}

/* The value that has `rank` smaller ones, from counts of values 0 to 255. */
static int ranked(const uint32_t count[SIDE], uint32_t rank)
{
    int value = 0;
    for (uint32_t below = 0; value < SIDE - 1 && below + count[value] <= rank; value++)
        below += count[value];
    return value;
}

static int nearest_colour(const int rgb[3])
{
    int best = 0, best_distance = INT_MAX;
    for (int i = 0; i < SIMPLE_COLOURS; i++) {
        const uint8_t *named = scene_colour_rgb(scene_simple_colour((size_t)i));
        int red = rgb[0] - named[0], green = rgb[1] - named[1], blue = rgb[2] - named[2];
        int distance = red * red + green * green + blue * blue;
        if (distance < best_distance) {
            best_distance = distance;
            best = i;
        }
    }
    return best;
}

/* Between the thirds of the picture that a middle can lie in: places are at .21, .5 and .79 of a side. */
static int third(int middle)
{
    return middle < .355 * SIDE ? 0 : middle < .645 * SIDE ? 1 : 2;
}

/* Of the box of scene_read(), which cuts the tips off, drawn stars fill .39 to .42, triangles .54 to .57, circles
 * .78 to .83, squares all. Order: scene_simple_shape(). */
static int shape_of(double filled)
{
    enum { CIRCLE, SQUARE, TRIANGLE, STAR };
    return filled < .48 ? STAR : filled < .68 ? TRIANGLE : filled < .91 ? CIRCLE : SQUARE;
}

bool scene_read(struct scene_facts *facts, const uint8_t *square)
{
    uint32_t value[3][SIDE] = { { 0 } }, at_x[SIDE] = { 0 }, at_y[SIDE] = { 0 }, n = 0;
    *facts = (struct scene_facts){ -1, -1, -1 };
    for (size_t i = 0; i < PIXELS; i++) {
        if (!stands_out(square + 3 * i))
            continue;
        n++;
        at_x[i % SIDE]++;
        at_y[i / SIDE]++;
        for (size_t k = 0; k < 3; k++)
            value[k][square[3 * i + k]]++;
    }
    if (n < PIXELS / 100 || n > PIXELS / 2)
        return false;
    const int rgb[3] = { ranked(value[0], n / 2), ranked(value[1], n / 2),
                         ranked(value[2], n / 2) };
    /* The extent without the outermost 1/400 on each side, which may be specks. */
    const uint32_t edge = n / 400;
    int left = ranked(at_x, edge), right = ranked(at_x, n - 1 - edge);
    int top = ranked(at_y, edge), bottom = ranked(at_y, n - 1 - edge);
    facts->colour = nearest_colour(rgb);
    facts->place = third((top + bottom) / 2) * 3 + third((left + right) / 2);
    facts->shape = shape_of((double)n / ((double)(right - left + 1) * (bottom - top + 1)));
    return true;
}

/* --- words --- */

/* Whether `part` stands in the words, from a beginning of a word to an end of one. */
static bool has_words(const char *words, size_t n, const char *part)
{
    const size_t length = strlen(part);
    for (size_t i = 0; i + length <= n; i++) {
        bool begins = !i || words[i - 1] == ' ', ends = i + length == n || words[i + length] == ' ';
        if (begins && ends && !memcmp(words + i, part, length))
            return true;
    }
    return false;
}

bool scene_parse(struct scene_facts *facts, const char *words, size_t n)
{
    *facts = (struct scene_facts){ -1, -1, -1 };
    size_t longest = 0;
    for (int i = 0; i < SIMPLE_COLOURS; i++)
        if (has_words(words, n, scene_colour_word(scene_simple_colour((size_t)i))))
            facts->colour = i;
    for (int i = 0; i < SIMPLE_SHAPES; i++)
        if (has_words(words, n, scene_shape_word(scene_simple_shape((size_t)i))))
            facts->shape = i;
    for (int i = 0; i < PLACES; i++) {
        const char *place = scene_place_words((enum scene_place)i);
        if (has_words(words, n, place) && strlen(place) > longest) {
            longest = strlen(place);
            facts->place = i;
        }
    }
    return facts->colour >= 0 || facts->shape >= 0 || facts->place >= 0;
}
