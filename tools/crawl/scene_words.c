/* scene_words.c - sentences about scenes, from templates with synonyms.
 *
 * In a template, $ and a letter stand for words made from the scene:
 *   $a $b $c  objects 0, 1, 2 with size: "a large red circle"
 *   $A $B $C  the same without size: "a red circle"
 *   $x $y $z  the objects once they are known: "the red circle"
 *   $1 $2 $3  their places: "in the upper left corner"
 *   $d $e     size and colour and shape of objects 0 and 1 without article: "large red circle"
 *   $n $s     for equal objects their number and name: "four", "red stars"
 *   $l        the line they stand in: "along the bottom"
 *   $g $h     the background: "on a plain white background", "plain white background"
 *   $k        the frame's colour
 * Every template of a list is true of every scene that the list is used for. */
#include "base/vlm.h"
#include "tools/crawl/scene_words.h"

#include <ctype.h>

enum { SYNONYMS = 4 };

static const char *pick(struct vlm_random *random, const char *const *words)
{
    size_t n = 0;
    while (n < SYNONYMS && words[n])
        n++;
    return words[vlm_random_below(random, n)];
}

static const char *const shape_words[SHAPES][SYNONYMS] = {
    [SHAPE_CIRCLE] = { "circle", "circle", "disc" },
    [SHAPE_SQUARE] = { "square" },
    [SHAPE_TRIANGLE] = { "triangle" },
    [SHAPE_STAR] = { "star", "star", "five-pointed star" },
    [SHAPE_DIAMOND] = { "diamond", "diamond", "rhombus" },
    [SHAPE_HEXAGON] = { "hexagon" },
    [SHAPE_HEART] = { "heart" },
    [SHAPE_CROSS] = { "cross", "cross", "plus sign" },
    [SHAPE_RING] = { "ring" },
    [SHAPE_CRESCENT] = { "crescent" },
};

static const char *const shape_plurals[SHAPES][SYNONYMS] = {
    [SHAPE_CIRCLE] = { "circles", "circles", "discs" },
    [SHAPE_SQUARE] = { "squares" },
    [SHAPE_TRIANGLE] = { "triangles" },
    [SHAPE_STAR] = { "stars", "five-pointed stars" },
    [SHAPE_DIAMOND] = { "diamonds", "diamonds", "rhombuses" },
    [SHAPE_HEXAGON] = { "hexagons" },
    [SHAPE_HEART] = { "hearts" },
    [SHAPE_CROSS] = { "crosses", "crosses", "plus signs" },
    [SHAPE_RING] = { "rings" },
    [SHAPE_CRESCENT] = { "crescents" },
};

static const char *const colour_words[COLOURS][SYNONYMS] = {
    [COLOUR_RED] = { "red" },
    [COLOUR_GREEN] = { "green" },
    [COLOUR_BLUE] = { "blue" },
    [COLOUR_YELLOW] = { "yellow" },
    [COLOUR_ORANGE] = { "orange" },
    [COLOUR_PURPLE] = { "purple", "purple", "violet" },
    [COLOUR_PINK] = { "pink" },
    [COLOUR_BROWN] = { "brown" },
    [COLOUR_TURQUOISE] = { "turquoise" },
    [COLOUR_BLACK] = { "black" },
    [COLOUR_WHITE] = { "white" },
    [COLOUR_GREY] = { "grey", "grey", "gray" },
};

static const char *const size_words[SIZES][SYNONYMS] = {
    [SIZE_SMALL] = { "small", "small", "little" },
    [SIZE_MEDIUM] = { "medium-sized", "mid-sized" },
    [SIZE_LARGE] = { "large", "large", "big" },
};

static const char *const place_words[PLACES][SYNONYMS] = {
    [PLACE_UPPER_LEFT] = { "in the upper left corner", "at the top left", "in the upper left" },
    [PLACE_TOP] = { "at the top", "near the top edge", "in the upper middle" },
    [PLACE_UPPER_RIGHT] = { "in the upper right corner", "at the top right", "in the upper right" },
    [PLACE_LEFT] = { "on the left", "on the left side", "near the left edge" },
    [PLACE_CENTRE] = { "in the middle", "in the centre", "at the center" },
    [PLACE_RIGHT] = { "on the right", "on the right side", "near the right edge" },
    [PLACE_LOWER_LEFT] = { "in the lower left corner", "at the bottom left", "in the lower left" },
    [PLACE_BOTTOM] = { "at the bottom", "near the bottom edge", "in the lower middle" },
    [PLACE_LOWER_RIGHT] = { "in the lower right corner", "at the bottom right",
                            "in the lower right" },
};

static const char *const line_words[PLACES][SYNONYMS] = {
    [PLACE_TOP] = { "along the top", "near the top edge" },
    [PLACE_CENTRE] = { "across the middle", "through the middle" },
    [PLACE_BOTTOM] = { "along the bottom", "near the bottom edge" },
    [PLACE_LEFT] = { "along the left side", "near the left edge" },
    [PLACE_RIGHT] = { "along the right side", "near the right edge" },
};

const char *scene_number_word(size_t n)
{
    static const char *const words[] = { "no",   "one", "two",   "three", "four",
                                         "five", "six", "seven", "eight" };
    return n < VLM_COUNTOF(words) ? words[n] : "many";
}

/* --- phrases --- */

static void article(struct vlm_buffer *out, const char *word)
{
    vlm_buffer_text(out, strchr("aeiou", word[0]) ? "an " : "a ");
}

static void noun(struct vlm_buffer *out, const struct scene_object *object, bool with_article,
                 bool with_size, struct vlm_random *random)
{
    const char *size = with_size ? pick(random, size_words[object->size]) : NULL;
    const char *colour = pick(random, colour_words[object->colour]);
    if (with_article)
        article(out, size ? size : colour);
    vlm_buffer_printf(out, "%s%s%s %s", size ? size : "", size ? " " : "", colour,
                      pick(random, shape_words[object->shape]));
}

/* The definite form uses the plainest words, which are the first of each list. */
static void definite(struct vlm_buffer *out, const struct scene_object *object)
{
    vlm_buffer_printf(out, "the %s %s", colour_words[object->colour][0],
                      shape_words[object->shape][0]);
}

static void background(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random)
{
    static const char *const plain[SYNONYMS] = { "plain ", "", "", "solid " };
    const char *first = pick(random, colour_words[scene->background[0]]);
    const char *second = pick(random, colour_words[scene->background[1]]);
    switch (scene->pattern) {
    case PATTERN_FADE:
        vlm_buffer_printf(out, "background that fades from %s at the top to %s at the bottom",
                          first, second);
        break;
    case PATTERN_HALVES:
        vlm_buffer_printf(out, "background that is %s above and %s below", first, second);
        break;
    case PATTERN_ROWS:
        vlm_buffer_printf(out, "background of horizontal %s and %s stripes", first, second);
        break;
    case PATTERN_COLUMNS:
        vlm_buffer_printf(out, "background of vertical %s and %s stripes", first, second);
        break;
    case PATTERN_CHECKED:
        vlm_buffer_printf(out, "checkered %s and %s background", first, second);
        break;
    default:
        vlm_buffer_printf(out, "%s%s background", plain[vlm_random_below(random, SYNONYMS)], first);
    }
}

static void on_background(struct vlm_buffer *out, const struct scene *scene,
                          struct vlm_random *random)
{
    if (scene->pattern == PATTERN_PLAIN && vlm_random_chance(random, 25)) {
        vlm_buffer_printf(out, "on %s", pick(random, colour_words[scene->background[0]]));
        return;
    }
    struct vlm_buffer phrase = { 0 };
    background(&phrase, scene, random);
    vlm_buffer_text(out, "on ");
    vlm_buffer_byte(&phrase, 0);
    if (!phrase.failed) {
        article(out, (const char *)phrase.data);
        vlm_buffer_text(out, (const char *)phrase.data);
    }
    out->failed |= phrase.failed;
    vlm_buffer_release(&phrase);
}

static void expand(struct vlm_buffer *out, const char *template, const struct scene *scene,
                   struct vlm_random *random)
{
    const struct scene_object *object = scene->object;
    for (const char *p = template; *p; p++) {
        if (*p != '$') {
            vlm_buffer_byte(out, (uint8_t)*p);
            continue;
        }
        char c = *++p;
        if (c >= 'a' && c <= 'c')
            noun(out, &object[c - 'a'], true, true, random);
        else if (c >= 'A' && c <= 'C')
            noun(out, &object[c - 'A'], true, false, random);
        else if (c >= 'x' && c <= 'z')
            definite(out, &object[c - 'x']);
        else if (c >= '1' && c <= '3')
            vlm_buffer_text(out, pick(random, place_words[object[c - '1'].place]));
        else if (c == 'd' || c == 'e')
            noun(out, &object[c - 'd'], false, true, random);
        else if (c == 'n')
            vlm_buffer_text(out, scene_number_word(scene->n_objects));
        else if (c == 's')
            vlm_buffer_printf(out, "%s %s", pick(random, colour_words[object->colour]),
                              pick(random, shape_plurals[object->shape]));
        else if (c == 'l')
            vlm_buffer_text(out, pick(random, line_words[object->place]));
        else if (c == 'g')
            on_background(out, scene, random);
        else if (c == 'h')
            background(out, scene, random);
        else {
            VLM_BUG_IF(c != 'k'); /* a template with an unknown letter */
            vlm_buffer_text(out, colour_words[scene->frame_colour][0]);
        }
    }
}

/* Expands a template and capitalises what comes out. */
static void sentence(struct vlm_buffer *out, const char *template, const struct scene *scene,
                     struct vlm_random *random)
{
    size_t start = out->size;
    expand(out, template, scene, random);
    if (out->size > start)
        out->data[start] = (uint8_t)toupper(out->data[start]);
}

/* --- templates, by layout --- */

enum { FORMS = 8 };
typedef const char *const forms[FORMS];

static const char *choose(struct vlm_random *random, forms list)
{
    size_t n = 0;
    while (n < FORMS && list[n])
        n++;
    return list[vlm_random_below(random, n)];
}

/* Without a full stop. */
static forms titles[LAYOUTS] = {
    [LAYOUT_ONE] = { "$d", "$d $g", "$a $1", "$A $g", "$A $1" },
    [LAYOUT_BESIDE] = { "$A beside $B", "$A and $B", "$d left of $e", "$A next to $B $g" },
    [LAYOUT_ABOVE] = { "$A above $B", "$A over $B", "$d above $e", "$B below $A $g" },
    [LAYOUT_ROW] = { "$n $s", "$n $s in a row", "a row of $n $s", "$n $s $g" },
    [LAYOUT_COLUMN] = { "$n $s", "$n $s in a column", "a column of $n $s", "$n $s $g" },
    [LAYOUT_GRID] = { "$n $s", "$n $s in two rows", "two rows of $s", "$n $s $g" },
    [LAYOUT_OVERLAP] = { "$B in front of $A", "$A behind $B", "$A and $B" },
    [LAYOUT_INSIDE] = { "$B inside $A", "$A with $B inside", "$B in $A" },
    [LAYOUT_THREE] = { "$A, $B and $C", "three shapes", "three small shapes $g" },
};

static forms captions[LAYOUTS] = {
    [LAYOUT_ONE] = { "$a $1 $g.", "$1 there is $a.", "The picture shows $a $1.",
                     "$a can be seen $1, $g.", "$a lies $1 of the picture $g." },
    [LAYOUT_BESIDE] = { "$a to the left of $b.", "$b to the right of $a.",
                        "$a is on the left and $b is on the right.",
                        "On the left $a, on the right $b.", "$a stands beside $b $g." },
    [LAYOUT_ABOVE] = { "$a above $b.", "$b below $a.", "$a is at the top and $b is at the bottom.",
                       "At the top $a, under it $b.", "$b lies under $a $g." },
    [LAYOUT_ROW] = { "$n $s side by side $l.", "a row of $n $s $g.", "$n $s stand in a row $l.",
                     "There are $n $s next to each other $g." },
    [LAYOUT_COLUMN] = { "$n $s one below the other.", "a column of $n $s $g.",
                        "$n $s stand one above the other.", "There are $n $s in a column $g." },
    [LAYOUT_GRID] = { "$n $s in two rows $g.", "two equal rows with $n $s in all.",
                      "There are $n $s, half of them above and half below.",
                      "$n $s are set out in two rows." },
    [LAYOUT_OVERLAP] = { "$b in front of $a.", "$b covers a part of $a.",
                         "$a is partly hidden by $b $g.", "$a behind $b." },
    [LAYOUT_INSIDE] = { "$b inside $a.", "$a contains $b.", "$b lies within $a $g.",
                        "In the middle of $a there is $b." },
    [LAYOUT_THREE] = { "$A $1, $B $2 and $C $3.", "three small shapes: $A, $B and $C.",
                       "$A is $1, $B is $2 and $C is $3." },
};

/* The first sentence of a paragraph. */
static forms openings[LAYOUTS] = {
    [LAYOUT_ONE] = { "This picture shows $a $1.", "Here we see $a, and it is $1.",
                     "There is only one shape here: $a.", "$a was painted $1.",
                     "The only thing to be seen is $a $g.", "Look $1 and you will find $a." },
    [LAYOUT_BESIDE] = { "Two shapes stand next to each other: $a and $b.",
                        "This picture shows $a to the left of $b.",
                        "There are two shapes here, $a on the left and $b on the right.",
                        "$a and $b were painted side by side $g.",
                        "On the right we see $b, and to its left there is $a." },
    [LAYOUT_ABOVE] = { "Two shapes stand one above the other: $a and, below it, $b.",
                       "This picture shows $a above $b.",
                       "There are two shapes here, $a at the top and $b at the bottom.",
                       "$b was painted under $a $g.", "At the bottom we see $b, and above it $a." },
    [LAYOUT_ROW] = { "This picture shows $n $s in a row.", "There are $n $s side by side $l.",
                     "Counting from left to right, we find $n $s.",
                     "$n $s of the same size were painted $l.", "A row of $n $s runs $l." },
    [LAYOUT_COLUMN] = { "This picture shows $n $s, one below the other.",
                        "There are $n $s in a column $g.",
                        "Counting from top to bottom, we find $n $s.",
                        "$n $s of the same size were painted one above the other." },
    [LAYOUT_GRID] = { "This picture shows $n $s in two rows.",
                      "There are $n $s here, half of them in an upper and half in a lower row.",
                      "Two rows hold the same number of shapes, $n $s in all.",
                      "$n $s of the same size were painted in two rows $g." },
    [LAYOUT_OVERLAP] = { "This picture shows $b in front of $a.",
                         "There are two shapes here, and $b covers a part of $a.",
                         "$a is partly hidden behind $b.",
                         "$b was painted over $a, so that the two overlap." },
    [LAYOUT_INSIDE] = { "This picture shows $b inside $a.",
                        "There are two shapes here, and the small one lies inside the large one.",
                        "$a surrounds $b.", "Inside $a you will find $b." },
    [LAYOUT_THREE] = { "This picture shows three small shapes: $A, $B and $C.",
                       "There are three shapes here.", "$A, $B and $C were painted $g.",
                       "Three different shapes share this picture." },
};

/* Further sentences about what is where; two or more of them, each at most once. */
static forms details[LAYOUTS] = {
    [LAYOUT_ONE] = { "$x is $1.", "You can find $x $1.", "There are no other shapes.",
                     "No other shape was painted.", "Only one shape is to be seen." },
    [LAYOUT_BESIDE] = { "$x is left of $y.", "$y is right of $x.", "$x is on the left side.",
                        "$y is on the right side.", "The two do not touch.",
                        "There are two shapes in all." },
    [LAYOUT_ABOVE] = { "$x is above $y.", "$y is below $x.", "$x is nearer to the top.",
                       "$y is nearer to the bottom.", "The two do not touch.",
                       "There are two shapes in all." },
    [LAYOUT_ROW] = { "They are equal in shape, size and colour.", "They stand side by side.",
                     "Every one has the same colour.", "There are exactly $n of them.",
                     "You can count $n $s." },
    [LAYOUT_COLUMN] = { "They are equal in shape, size and colour.",
                        "Each one stands below the one before.", "Every one has the same color.",
                        "There are exactly $n of them.", "You can count $n $s." },
    [LAYOUT_GRID] = { "They are equal in shape, size and colour.",
                      "Both rows are of the same length.", "Every one has the same colour.",
                      "There are exactly $n of them.", "You can count $n $s." },
    [LAYOUT_OVERLAP] = { "$y is in front.", "$x is behind.", "$x is larger than $y.",
                         "$y is smaller than $x.", "A part of $x cannot be seen." },
    [LAYOUT_INSIDE] = { "$y is inside $x.", "$x is around $y.", "$x is larger than $y.",
                        "$y is smaller than $x.", "Both are in the middle of the picture." },
    [LAYOUT_THREE] = { "$x is $1.", "$y is $2.", "$z is $3.", "No two of them touch.",
                       "Each of the three has a colour of its own." },
};

/* --- texts --- */

void scene_title(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random)
{
    sentence(out, choose(random, titles[scene->layout]), scene, random);
}

void scene_heading(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random)
{
    static forms frames = { "", "", "picture: ", "painted: " };
    const char *before = choose(random, frames);
    size_t start = out->size;
    vlm_buffer_text(out, before);
    expand(out, scene->layout == LAYOUT_ONE ? "$a" : choose(random, titles[scene->layout]), scene,
           random);
    if (out->size > start)
        out->data[start] = (uint8_t)toupper(out->data[start]);
}

void scene_alt(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random)
{
    forms *list = vlm_random_chance(random, 40) ? &titles[scene->layout] : &captions[scene->layout];
    size_t start = out->size;
    sentence(out, choose(random, *list), scene, random);
    if (out->size > start && out->data[out->size - 1] == '.')
        out->size--;
}

void scene_caption(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random)
{
    sentence(out, choose(random, captions[scene->layout]), scene, random);
}

static void compare_sizes(struct vlm_buffer *out, const struct scene *scene,
                          struct vlm_random *random)
{
    enum scene_size first = scene->object[0].size, second = scene->object[1].size;
    static forms larger = { " $x is larger than $y.", " $y is smaller than $x." };
    static forms smaller = { " $y is larger than $x.", " $x is smaller than $y." };
    static forms equal = { " Both are about as large.", " The two have nearly the same size." };
    const char *template = choose(random, first > second   ? larger
                                          : first < second ? smaller
                                                           : equal);
    vlm_buffer_byte(out, ' ');
    sentence(out, template + 1, scene, random);
}

static void describe_background(struct vlm_buffer *out, const struct scene *scene,
                                struct vlm_random *random)
{
    const char *first = pick(random, colour_words[scene->background[0]]);
    const char *second = pick(random, colour_words[scene->background[1]]);
    bool long_form = vlm_random_chance(random, 50);
    vlm_buffer_byte(out, ' ');
    switch (scene->pattern) {
    case PATTERN_FADE:
        vlm_buffer_printf(out,
                          long_form ? "The background is %s at the top and slowly becomes %s "
                                      "towards the bottom."
                                    : "From top to bottom the background fades from %s to %s.",
                          first, second);
        break;
    case PATTERN_HALVES:
        vlm_buffer_printf(out,
                          long_form ? "The upper half of the background is %s and the lower half "
                                      "is %s."
                                    : "The background is %s above and %s below.",
                          first, second);
        break;
    case PATTERN_ROWS:
        vlm_buffer_printf(out,
                          long_form ? "Stripes of %s and %s run across the background from left "
                                      "to right."
                                    : "The background has horizontal stripes, %s and %s in turn.",
                          first, second);
        break;
    case PATTERN_COLUMNS:
        vlm_buffer_printf(out,
                          long_form ? "Stripes of %s and %s run down the background."
                                    : "The background has vertical stripes, %s and %s in turn.",
                          first, second);
        break;
    case PATTERN_CHECKED:
        vlm_buffer_printf(out,
                          long_form ? "The background is checkered in %s and %s."
                                    : "Behind everything lies a checkerboard of %s and %s.",
                          first, second);
        break;
    default:
        /* A frame is something else, too. */
        vlm_buffer_printf(
            out, long_form || scene->frame ? "The background is %s." : "Everything else is %s.",
            first);
    }
}

void scene_paragraph(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random)
{
    sentence(out, choose(random, openings[scene->layout]), scene, random);
    if ((scene->layout == LAYOUT_BESIDE || scene->layout == LAYOUT_ABOVE) &&
        vlm_random_chance(random, 60))
        compare_sizes(out, scene, random);
    /* Details in the order of the list, from a random start, so that none is said twice. */
    forms *list = &details[scene->layout];
    size_t n = 0;
    while (n < FORMS && (*list)[n])
        n++;
    size_t start = (size_t)vlm_random_below(random, n),
           count = 1 + (size_t)vlm_random_below(random, 3);
    if (scene->layout == LAYOUT_THREE) { /* all three places are told */
        start = 0;
        count = 3 + (size_t)vlm_random_below(random, 3);
    }
    for (size_t i = 0; i < count; i++) {
        vlm_buffer_byte(out, ' ');
        sentence(out, (*list)[(start + i) % n], scene, random);
    }
    if (vlm_random_chance(random, 70))
        describe_background(out, scene, random);
    if (scene->frame) {
        vlm_buffer_byte(out, ' ');
        sentence(out,
                 vlm_random_chance(random, 50) ? "A $k frame runs around the picture."
                                               : "The picture has a $k border.",
                 scene, random);
    }
}

void scene_slug(struct vlm_buffer *out, const struct scene *scene)
{
    const struct scene_object *object = &scene->object[0];
    vlm_buffer_printf(out, "%s-%s", colour_words[object->colour][0], shape_words[object->shape][0]);
}

const char *scene_colour_word(enum scene_colour colour)
{
    return colour_words[colour][0];
}

const char *scene_shape_word(enum scene_shape shape)
{
    return shape_words[shape][0];
}

const char *scene_place_words(enum scene_place place)
{
    return place_words[place][0];
}

void scene_plain_words(struct vlm_buffer *out, const struct scene *scene)
{
    const struct scene_object *object = &scene->object[0];
    /* Not "an orange circle": the article would tell the colour before its word does. */
    vlm_buffer_printf(out, "%s %s %s", colour_words[object->colour][0],
                      shape_words[object->shape][0], place_words[object->place][0]);
}

void scene_plain_sentences(struct vlm_buffer *out, const struct scene *scene,
                           struct vlm_random *random)
{
    const struct scene_object *object = &scene->object[0];
    const char *colour = colour_words[object->colour][0], *shape = shape_words[object->shape][0],
               *place = place_words[object->place][0];
    switch (vlm_random_below(random, 3)) {
    case 0:
        vlm_buffer_printf(out, "%s %s %s. The %s is %s and %s.", colour, shape, place, shape,
                          colour, place);
        break;
    case 1:
        vlm_buffer_printf(out, "The %s %s is %s. It is a %s %s.", shape, place, colour, colour,
                          shape);
        break;
    default:
        vlm_buffer_printf(out, "The %s shape is a %s. The %s is %s %s.", colour, shape, shape,
                          colour, place);
    }
}
