/* test_scene_check.c - the checker of drawings sees what was drawn, and words say what was meant. */
#include "base/vlm.h"

#include "tools/crawl/scene_words.h"
#include "tools/learn/scene_check.h"

#include <setjmp.h>

#include <cmocka.h>

static int number_of_colour(enum scene_colour colour)
{
    int i = 0;
    while (i < SIMPLE_COLOURS && scene_simple_colour((size_t)i) != colour)
        i++;
    return i;
}

static int number_of_shape(enum scene_shape shape)
{
    int i = 0;
    while (i < SIMPLE_SHAPES && scene_simple_shape((size_t)i) != shape)
        i++;
    return i;
}

static void pixels_and_words_tell_the_facts_of_a_scene(void **state)
{
    (void)state;
    static uint8_t square[SCENE_BYTES_MAX];
    for (unsigned i = 0; i < 400; i++) {
        struct scene scene;
        struct scene_facts facts;
        struct vlm_random random = vlm_random_at(5, 6, i);
        scene_make_simple(&scene, SCENE_PAIRS_ALL, &random);
        scene_draw(&scene, square);
        assert_true(scene_read(&facts, square));
        assert_int_equal(number_of_colour(scene.object[0].colour), facts.colour);
        assert_int_equal(number_of_shape(scene.object[0].shape), facts.shape);
        assert_int_equal(scene.object[0].place, facts.place);
        struct vlm_buffer words = { 0 };
        scene_plain_words(&words, &scene);
        assert_true(scene_parse(&facts, (const char *)words.data, words.size));
        assert_int_equal(number_of_colour(scene.object[0].colour), facts.colour);
        assert_int_equal(number_of_shape(scene.object[0].shape), facts.shape);
        assert_int_equal(scene.object[0].place, facts.place);
        vlm_buffer_release(&words);
    }
}

static void nothing_is_seen_where_nothing_is(void **state)
{
    (void)state;
    static uint8_t square[256 * 256 * 3];
    struct scene_facts facts;
    memset(square, 246, sizeof(square));
    assert_false(scene_read(&facts, square));
    assert_int_equal(-1, facts.colour);
    memset(square, 0, sizeof(square));
    assert_false(scene_read(&facts, square));
}

static void words_are_found_one_by_one(void **state)
{
    (void)state;
    struct scene_facts facts;
    assert_true(scene_parse(&facts, "red reddish", 11));
    assert_int_equal(0, facts.colour);
    assert_int_equal(-1, facts.shape);
    assert_false(scene_parse(&facts, "reddish", 7));
    assert_false(scene_parse(&facts, "", 0));
    /* "on the left" is a place, and no part of "at the left" is. */
    static const char on_the_left[] = "blue star on the left";
    assert_true(scene_parse(&facts, on_the_left, sizeof(on_the_left) - 1));
    assert_int_equal(PLACE_LEFT, facts.place);
    assert_true(scene_parse(&facts, "star at the left", 16));
    assert_int_equal(-1, facts.place);
}

static void pairs_are_held_out_as_said(void **state)
{
    (void)state;
    unsigned held_out = 0;
    for (int colour = 0; colour < SIMPLE_COLOURS; colour++)
        for (int place = 0; place < PLACES; place++)
            held_out +=
                scene_is_held_out(scene_simple_colour((size_t)colour), (enum scene_place)place) ? 1
                                                                                                : 0;
    assert_int_equal(SIMPLE_COLOURS, held_out);
    bool seen[2][PLACES] = { { false } };
    for (unsigned i = 0; i < 1000; i++) {
        for (int held = 0; held < 2; held++) {
            struct scene scene;
            struct vlm_random random = vlm_random_at(8, 9, i);
            scene_make_simple(&scene, held ? SCENE_PAIRS_HELD_OUT : SCENE_PAIRS_TRAINED, &random);
            const struct scene_object *object = &scene.object[0];
            assert_int_equal(held, scene_is_held_out(object->colour, object->place));
            seen[held][object->place] = true;
        }
    }
    int places = 0;
    for (int place = 0; place < PLACES; place++) {
        assert_true(seen[0][place]);
        places += seen[1][place] ? 1 : 0;
    }
    assert_int_equal(SIMPLE_COLOURS, places); /* each colour has a place of its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_and_words_tell_the_facts_of_a_scene),
        cmocka_unit_test(nothing_is_seen_where_nothing_is),
        cmocka_unit_test(words_are_found_one_by_one),
        cmocka_unit_test(pairs_are_held_out_as_said),
    };
    return cmocka_run_group_tests_name("scene_check", tests, NULL, NULL);
}
