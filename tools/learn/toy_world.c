/* toy_world.c - draws the toy pictures, cuts them into codes, writes documents of ids. */
#include "base/vlm.h"
#include "tools/learn/toy_world.h"

#include "vqgan/train/kmeans.h"

#include <math.h>

enum { SIZES = 2, COLOURS = 6, SHAPES = 4, PATCHES_A_SIDE = TOY_SIDE / TOY_PATCH };

const uint8_t toy_word_of[TOY_ATTRIBUTES] = { 1, 2, 3, 6, 7 };

struct facts {
    unsigned size, colour, shape, vertical, horizontal;
};

static struct facts facts_of(unsigned caption)
{
    struct facts facts;
    facts.horizontal = caption % 2;
    facts.vertical = caption / 2 % 2;
    facts.shape = caption / 4 % SHAPES;
    facts.colour = caption / 16 % COLOURS;
    facts.size = caption / 96 % SIZES;
    return facts;
}

void toy_caption(uint32_t words[TOY_CAPTION], unsigned caption)
{
    const struct facts facts = facts_of(caption);
    const uint32_t list[TOY_CAPTION] = { TOY_A,
                                         TOY_SIZE + facts.size,
                                         TOY_COLOUR + facts.colour,
                                         TOY_SHAPE + facts.shape,
                                         TOY_AT,
                                         TOY_THE,
                                         TOY_VERTICAL + facts.vertical,
                                         TOY_HORIZONTAL + facts.horizontal,
                                         TOY_STOP };
    memcpy(words, list, sizeof(list));
}

/* --- drawing --- */

static double jitter(struct vlm_random *random, double most)
{
    return most * (2 * vlm_random_unit(random) - 1);
}

/* Box and Muller 1958. */
static double normal(struct vlm_random *random)
{
    double radius = sqrt(-2 * log(1 - vlm_random_unit(random)));
    return radius * cos(2 * 3.14159265358979323846 * vlm_random_unit(random));
}

/* circle, square, triangle, cross around the middle */
static bool inside(unsigned shape, double x, double y, double r)
{
    switch (shape) {
    case 0:
        return x * x + y * y <= r * r;
    case 1:
        return fabs(x) <= .9 * r && fabs(y) <= .9 * r;
    case 2:
        return y <= .8 * r && y >= -r && fabs(x) <= .55 * (y + r);
    default:
        return (fabs(y) <= r && fabs(x) <= .3 * r) || (fabs(x) <= r && fabs(y) <= .3 * r);
    }
}

void toy_draw(float *rgb, unsigned caption, struct vlm_random *random)
{
    static const float colour[COLOURS][3] = { { 1, 0, 0 }, { 0, 1, 0 },     { 0, 0, 1 },
                                              { 1, 1, 0 }, { .6f, 0, .8f }, { 1, 1, 1 } };
    const struct facts facts = facts_of(caption);
    const double r = (facts.size ? 6.0 : 3.5) + jitter(random, .5);
    const double cy = (facts.vertical ? 23 : 9) + jitter(random, 2);
    const double cx = (facts.horizontal ? 23 : 9) + jitter(random, 2);
    for (int y = 0; y < TOY_SIDE; y++)
        for (int x = 0; x < TOY_SIDE; x++)
            for (int i = 0; i < 3; i++)
                *rgb++ = (inside(facts.shape, x - cx, y - cy, r) ? colour[facts.colour][i] : 0) +
                         (float)(.05 * normal(random));
}

/* --- codes --- */

/* Means of the three colours over a patch, then over each of its quarters. */
static void features(float out[TOY_FEATURES], const float *rgb, size_t patch)
{
    enum { HALF = TOY_PATCH / 2 };
    const size_t top = patch / PATCHES_A_SIDE * TOY_PATCH,
                 left = patch % PATCHES_A_SIDE * TOY_PATCH;
    memset(out, 0, TOY_FEATURES * sizeof(*out));
    for (size_t y = 0; y < TOY_PATCH; y++)
        for (size_t x = 0; x < TOY_PATCH; x++)
            for (size_t i = 0; i < 3; i++) {
                const float value = rgb[((top + y) * TOY_SIDE + left + x) * 3 + i];
                out[i] += value / (TOY_PATCH * TOY_PATCH);
                out[3 + (y / HALF * 2 + x / HALF) * 3 + i] += value / (HALF * HALF);
            }
}

/* Whether there is more than noise in a patch. */
static bool shows_something(const float *vector)
{
    double square = 0;
    for (size_t i = 0; i < TOY_FEATURES; i++)
        square += (double)vector[i] * (double)vector[i];
    return square > .15 * .15;
}

/* Code 0 is the black patch: k-means over all patches, of which three in four are black, would spend several
 * centres on their noise, and then a model is asked to foretell noise. */
int toy_book_make(struct toy_book *book, const struct vlm_engine *engine, const float *pictures,
                  size_t n, uint64_t seed, struct vlm_err *err)
{
    float *vectors = calloc(n * TOY_CODES, TOY_FEATURES * sizeof(*vectors));
    if (!vectors)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the patches of %zu pictures", n);
    size_t shown = 0;
    for (size_t i = 0; i < n * TOY_CODES; i++) {
        features(vectors + shown * TOY_FEATURES, pictures + i / TOY_CODES * TOY_VALUES,
                 i % TOY_CODES);
        shown += shows_something(vectors + shown * TOY_FEATURES);
    }
    const struct vlm_kmeans job = { .vectors = vectors,
                                    .n = shown,
                                    .width = TOY_FEATURES,
                                    .centres = TOY_BOOK - 1,
                                    .rounds = 12,
                                    .seed = seed };
    memset(book->centres, 0, TOY_FEATURES * sizeof(*book->centres));
    int rc = vlm_kmeans(engine, book->centres + TOY_FEATURES, NULL, &job, err);
    free(vectors);
    return rc;
}

void toy_encode(uint32_t codes[TOY_CODES], const struct toy_book *book, const float *rgb)
{
    for (size_t patch = 0; patch < TOY_CODES; patch++) {
        float vector[TOY_FEATURES], best = INFINITY;
        features(vector, rgb, patch);
        for (uint32_t k = 0; k < TOY_BOOK; k++) {
            float distance = 0;
            for (size_t i = 0; i < TOY_FEATURES; i++) {
                const float d = vector[i] - book->centres[k * TOY_FEATURES + i];
                distance += d * d;
            }
            if (distance < best) {
                best = distance;
                codes[patch] = k;
            }
        }
    }
}

/* --- documents --- */

size_t toy_caption_at(enum toy_form form)
{
    return form == TOY_FORM_ALT ? 2 : 3 + TOY_CODES;
}

size_t toy_codes_at(enum toy_form form)
{
    return form == TOY_FORM_ALT ? 3 + TOY_CAPTION : 2;
}

void toy_document(uint32_t ids[TOY_DOCUMENT], enum toy_form form, unsigned caption,
                  const uint32_t codes[TOY_CODES])
{
    const size_t words = toy_caption_at(form), image = toy_codes_at(form);
    ids[0] = TOY_IMG;
    ids[words - 1] = form == TOY_FORM_ALT ? TOY_ALT : TOY_TITLE;
    ids[image - 1] = TOY_SRC;
    ids[TOY_DOCUMENT - 1] = TOY_CLOSE;
    toy_caption(ids + words, caption);
    for (size_t i = 0; i < TOY_CODES; i++)
        ids[image + i] = TOY_FIRST_CODE + codes[i];
}

void toy_vocabulary(struct vlm_vocabulary *vocabulary)
{
    *vocabulary = (struct vlm_vocabulary){ .n_text = TOY_FIRST_CODE,
                                           .n_masks = 16,
                                           .first_code = TOY_FIRST_CODE,
                                           .n_codes = TOY_BOOK,
                                           .size = TOY_IDS };
    for (unsigned i = 0; i < VLM_CONTROLS; i++)
        vocabulary->control[i] = TOY_PAD;
    vocabulary->control[VLM_CONTROL_END] = TOY_END;
    vocabulary->control[VLM_CONTROL_END_OF_SPAN] = TOY_END_OF_SPAN;
    for (uint32_t i = 0; i < vocabulary->n_masks; i++)
        vocabulary->mask[i] = TOY_MASK_0 + i;
}
