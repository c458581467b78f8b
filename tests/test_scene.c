/* test_scene.c - what words claim about a made-up picture is true of its geometry and its pixels. */
#include "base/vlm.h"

#include "tools/crawl/scene.h"
#include "tools/crawl/scene_words.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

enum { SCENES = 3000 };

static void make(struct scene *scene, unsigned number)
{
    struct vlm_random random = vlm_random_at(11, 12, number);
    scene_make(scene, &random);
}

static bool boxes_touch(const struct scene_object *a, const struct scene_object *b)
{
    double reach = a->radius + b->radius;
    return fabs(a->x - b->x) <= reach && fabs(a->y - b->y) <= reach;
}

static bool in_place(const struct scene *scene, const struct scene_object *object)
{
    /* Thirds of the square in the middle, which is what a centre crop leaves; large shapes in a corner may reach into the middle by a little. */
    double slack = object->size == SIZE_LARGE ? .09 : 0;
    double side = VLM_MIN(scene->width, scene->height);
    double x = (object->x - (scene->width - side) / 2) / side;
    double y = (object->y - (scene->height - side) / 2) / side;
    unsigned column = object->place % 3, row = object->place / 3;
    bool fits_x = column == 0   ? x < .34 + slack
                  : column == 1 ? fabs(x - .5) < .12
                                : x > .66 - slack;
    bool fits_y = row == 0 ? y < .34 + slack : row == 1 ? fabs(y - .5) < .12 : y > .66 - slack;
    return fits_x && fits_y;
}

static void test_objects_are_inside(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SCENES; i++) {
        struct scene scene;
        make(&scene, i);
        assert_in_range(scene.width, SCENE_WIDTH_MIN, SCENE_WIDTH_MAX);
        assert_in_range(scene.height, SCENE_HEIGHT_MIN, SCENE_HEIGHT_MAX);
        assert_in_range(scene.n_objects, 1, SCENE_OBJECTS_MAX);
        for (size_t j = 0; j < scene.n_objects; j++) {
            const struct scene_object *object = &scene.object[j];
            assert_true(object->radius >= 8);
            double side = VLM_MIN(scene.width, scene.height);
            double reach = side / 2 - object->radius;
            assert_true(fabs(object->x - scene.width / 2.) <= reach);
            assert_true(fabs(object->y - scene.height / 2.) <= reach);
        }
    }
}

static void test_relations(void **state)
{
    (void)state;
    unsigned seen[LAYOUTS] = { 0 };
    for (unsigned i = 0; i < SCENES; i++) {
        struct scene scene;
        make(&scene, i);
        const struct scene_object *a = &scene.object[0], *b = &scene.object[1], *c = b + 1;
        seen[scene.layout]++;
        switch (scene.layout) {
        case LAYOUT_ONE:
            assert_int_equal(scene.n_objects, 1);
            assert_true(in_place(&scene, a));
            break;
        case LAYOUT_BESIDE:
            assert_true(a->x + a->radius < b->x - b->radius);
            break;
        case LAYOUT_ABOVE:
            assert_true(a->y + a->radius < b->y - b->radius);
            break;
        case LAYOUT_OVERLAP:
            assert_true(hypot(a->x - b->x, a->y - b->y) < a->radius * .75);
            assert_true(a->radius > 1.2 * b->radius);
            break;
        case LAYOUT_INSIDE:
            assert_true(hypot(a->x - b->x, a->y - b->y) < 1);
            assert_true(a->radius * .55 > b->radius);
            break;
        case LAYOUT_THREE:
            assert_int_equal(scene.n_objects, 3);
            assert_false(boxes_touch(a, b) || boxes_touch(a, c) || boxes_touch(b, c));
            assert_true(in_place(&scene, a) && in_place(&scene, b) && in_place(&scene, c));
            break;
        default:
            for (size_t j = 1; j < scene.n_objects; j++) {
                assert_int_equal(scene.object[j].shape, a->shape);
                assert_true(scene.object[j].radius == a->radius);
                assert_false(boxes_touch(&scene.object[j - 1], &scene.object[j]));
            }
        }
        if (scene.layout == LAYOUT_BESIDE || scene.layout == LAYOUT_ABOVE) {
            if (a->size < b->size)
                assert_true(a->radius * 1.2 < b->radius);
            if (a->size == b->size)
                assert_true(fabs(a->radius / b->radius - 1) < .15);
        }
    }
    for (int i = 0; i < LAYOUTS; i++)
        assert_in_range(seen[i], SCENES / 50, SCENES / 2);
}

static bool is_colour(const uint8_t *pixel, const uint8_t rgb[3])
{
    return pixel[0] == rgb[0] && pixel[1] == rgb[1] && pixel[2] == rgb[2];
}

/* Shapes without a hole show their colour in the middle, unless another one lies on it; corners of
 * the picture show the background or the frame. */
static void test_pixels(void **state)
{
    (void)state;
    static uint8_t rgb[SCENE_BYTES_MAX];
    for (unsigned i = 0; i < SCENES / 5; i++) {
        struct scene scene;
        make(&scene, i);
        scene_draw(&scene, rgb);
        for (size_t j = 0; j < scene.n_objects; j++) {
            const struct scene_object *object = &scene.object[j];
            bool covered =
                j == 0 && (scene.layout == LAYOUT_OVERLAP || scene.layout == LAYOUT_INSIDE);
            size_t at = 3 * ((size_t)object->y * scene.width + (size_t)object->x);
            bool hole = object->shape == SHAPE_RING || object->shape == SHAPE_CRESCENT;
            if (!covered && !hole)
                assert_true(is_colour(rgb + at, scene.object_rgb[j]));
            if (!covered && object->shape == SHAPE_RING)
                assert_false(is_colour(rgb + at, scene.object_rgb[j]));
        }
        if (!scene.frame)
            assert_true(is_colour(rgb, scene.background_rgb[0]));
        if (!scene.frame && scene.pattern == PATTERN_HALVES)
            assert_true(is_colour(rgb + 3 * ((size_t)scene.width * scene.height - 1),
                                  scene.background_rgb[1]));
    }
}

/* A part of what lies behind is hidden, and a part is seen. */
static void test_overlap_hides_a_part(void **state)
{
    (void)state;
    static uint8_t one[SCENE_BYTES_MAX], both[SCENE_BYTES_MAX];
    unsigned seen = 0;
    for (unsigned i = 0; i < SCENES && seen < 60; i++) {
        struct scene scene;
        make(&scene, i);
        if (scene.layout != LAYOUT_OVERLAP)
            continue;
        seen++;
        scene_draw(&scene, both);
        struct scene alone = scene;
        alone.n_objects = 1;
        scene_draw(&alone, one);
        size_t hidden = 0, left = 0, pixels = (size_t)scene.width * scene.height;
        for (size_t at = 0; at < 3 * pixels; at += 3) {
            bool before = is_colour(one + at, scene.object_rgb[0]);
            bool after = is_colour(both + at, scene.object_rgb[0]);
            hidden += before && !after;
            left += before && after;
        }
        assert_true(hidden * 20 > hidden + left); /* more than a twentieth */
        assert_true(left > hidden);
    }
    assert_true(seen >= 40);
}

static void check_text(const struct vlm_buffer *text, bool sentences)
{
    assert_false(text->failed);
    assert_in_range(text->size, 5, 2000);
    assert_in_range(text->data[0], 'A', 'Z');
    for (size_t i = 0; i < text->size; i++) {
        assert_in_range(text->data[i], ' ', '~');
        assert_null(strchr("$<>&\"", text->data[i]));
        assert_false(i && text->data[i] == ' ' && text->data[i - 1] == ' ');
    }
    assert_true((text->data[text->size - 1] == '.') == sentences);
}

static bool contains(struct vlm_buffer *text, const char *word)
{
    vlm_buffer_byte(text, 0);
    text->size--;
    return strstr((char *)text->data, word) != NULL;
}

static void test_words(void **state)
{
    (void)state;
    struct vlm_buffer text = { 0 };
    for (unsigned i = 0; i < SCENES; i++) {
        struct scene scene;
        make(&scene, i);
        struct vlm_random random = vlm_random_at(13, 14, i);
        scene_title(&text, &scene, &random);
        check_text(&text, false);
        vlm_buffer_reset(&text);
        scene_heading(&text, &scene, &random);
        check_text(&text, false);
        vlm_buffer_reset(&text);
        scene_alt(&text, &scene, &random);
        check_text(&text, false);
        vlm_buffer_reset(&text);
        scene_caption(&text, &scene, &random);
        check_text(&text, true);
        vlm_buffer_reset(&text);
        scene_paragraph(&text, &scene, &random);
        check_text(&text, true);
        if (scene.frame)
            assert_true(contains(&text, "frame") || contains(&text, "border"));
        if (scene.layout == LAYOUT_ROW || scene.layout == LAYOUT_COLUMN)
            assert_true(contains(&text, scene_number_word(scene.n_objects) + 1)); /* any case */
        vlm_buffer_reset(&text);
    }
    vlm_buffer_release(&text);
}

static void test_same_seed_same_scene(void **state)
{
    (void)state;
    static uint8_t one[SCENE_BYTES_MAX], two[SCENE_BYTES_MAX];
    struct scene a, b;
    make(&a, 5);
    make(&b, 5);
    scene_draw(&a, one);
    scene_draw(&b, two);
    assert_memory_equal(one, two, (size_t)a.width * a.height * 3);
    make(&b, 6);
    assert_true(a.width != b.width || a.height != b.height || a.object[0].x != b.object[0].x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_are_inside),
        cmocka_unit_test(test_relations),
        cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_overlap_hides_a_part),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_same_seed_same_scene),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
