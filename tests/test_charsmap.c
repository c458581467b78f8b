/* test_charsmap.c - SentencePiece's map of characters and the clusters that it is asked for: rules one by one, what the
 * package tokenizers 0.23 makes of the same maps, and arrays that lie. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "base/utf8.h"
#include "tokenize/unicode/charsmap.h"
#include "tokenize/unicode/grapheme.h"
#include "tokenize/unicode/normalize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Clusters of a text, with '|' between them. */
static const char *clusters(const char *text)
{
    static char out[256];
    struct vlm_grapheme state = { 0 };
    size_t n = strlen(text), size = 0;
    for (size_t i = 0, bytes; i < n; i += bytes) {
        if (vlm_grapheme_begins(&state, vlm_utf8_decode(text + i, &bytes)) && i)
            out[size++] = '|';
        memcpy(out + size, text + i, bytes);
        size += bytes;
    }
    out[size] = 0;
    return out;
}

static void rules_of_clusters(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "a|b",
        "\r\n|\n|\r|a",                     /* GB3 to GB5 */
        "a|\t|\u0301|b",                    /* a control takes no marks */
        "\u1100\u1161\u11a8|\u1100|a",      /* GB6 to GB8: L V T */
        "\uac00\u11a8|\uac01\u11a8|\u1161", /* LV T, LVT T, no LVT V */
        "\u1100\u1100\uac01|\uac00\u1161|\uac00",
        "\ud7b0\u11a8|\ua960\uac00",  /* the extended blocks */
        "e\u0301\u0302|e\u200d|e",    /* GB9 */
        "\u0915\u0903|\u0e01\u0e33",  /* GB9a: spacing marks */
        "\u0600A|\u0600\u0600\u0301", /* GB9b: prepended */
        "\u0915\u094d\u0915|\u0915",  /* GB9c: consonants with a virama between */
        "\u0915\u094d\u200d\u0301\u0915",
        "\u0915\u094d\u200c|\u0915", /* kept apart */
        "\u0915\u0903\u094d|\u0915", /* a spacing mark ends it */
        "\u0915\u0301|\u0915",
        "\u094d|\u0915",
        "\U0001f469\u200d\U0001f467|\U0001f467", /* GB11: pictures */
        "\u00a9\u0301\u200d\u00ae\u200d\u00a9",
        "\u00a9\u200d\u200d|\u00ae",
        "\u00a9\u200d\u0301\u200d|\u00ae",
        "\u00a9\u0903\u200d|\u00ae",
        "a\u200d|\u00ae",
        "\U0001f1e9\U0001f1ea|\U0001f1eb\U0001f1f7|\U0001f1e9", /* GB12, GB13: flags */
        "\u0600\U0001f1e9\U0001f1ea|\U0001f1eb",
        "\U0001f1e9\u0301|\U0001f1ea\U0001f1eb",
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        char text[128];
        size_t n = 0;
        for (const char *p = cases[i]; *p; p++)
            if (*p != '|')
                text[n++] = *p;
        text[n] = 0;
        assert_string_equal(clusters(text), cases[i]);
    }
    struct vlm_grapheme all = { 0 };
    for (uint32_t c = 0; c < 0x110200; c++) /* and bytes that are no characters */
        vlm_grapheme_begins(&all, c);
}

/* A map with a block of 256 units for each beginning of a key; the texts one behind the other. */
struct map_maker {
    uint32_t units[256 * 64];
    uint32_t blocks;
    struct vlm_buffer texts;
};

/* The block of the children of a unit, which may be a new one. */
static uint32_t children_of(struct map_maker *maker, uint32_t node)
{
    if (!(maker->units[node] >> 10)) {
        maker->blocks++;
        assert_true(maker->blocks * 256 < VLM_COUNTOF(maker->units));
        maker->units[node] |= (node ^ maker->blocks * 256) << 10;
    }
    return node ^ maker->units[node] >> 10;
}

static void add_key(struct map_maker *maker, const char *key, const char *text)
{
    uint32_t node = 0;
    for (size_t i = 0; key[i]; i++) {
        node = children_of(maker, node) + (uint8_t)key[i];
        maker->units[node] |= (uint8_t)key[i];
    }
    maker->units[children_of(maker, node)] = (uint32_t)maker->texts.size | 1U << 31;
    maker->units[node] |= 1 << 8;
    vlm_buffer_add(&maker->texts, text, strlen(text) + 1);
}

static struct vlm_charsmap *make_map(const char *const *pairs, size_t n)
{
    static struct map_maker maker;
    struct vlm_buffer bytes = { 0 };
    struct vlm_charsmap *map;
    struct vlm_err err = { 0 };
    maker = (struct map_maker){ 0 };
    for (size_t i = 0; i < n; i += 2)
        add_key(&maker, pairs[i], pairs[i + 1]);
    vlm_buffer_u32(&bytes, sizeof maker.units);
    for (size_t i = 0; i < VLM_COUNTOF(maker.units); i++)
        vlm_buffer_u32(&bytes, maker.units[i]);
    vlm_buffer_add(&bytes, maker.texts.data, maker.texts.size);
    assert_int_equal(vlm_charsmap_new(&map, bytes.data, bytes.size, &err), VLM_OK);
    vlm_buffer_release(&bytes);
    vlm_buffer_release(&maker.texts);
    return map;
}

static const char *const pairs[] = {
    "a",    "",  "b",  "xyz",  "c",  "é", "é", "e",   "e\u0301", "é", "\u0301", "",
    "\r\n", " ", "\n", "\n\n", "ab", "Q", "©", "(c)", "\u1100",  "",  "\u0600", "#",
};

static const char *found(const struct vlm_charsmap *map, const char *key)
{
    size_t size = 99;
    const char *text = vlm_charsmap_find(map, key, strlen(key), &size);
    if (text)
        assert_int_equal(size, strlen(text));
    return text ? text : "none";
}

static void keys(void **state)
{
    (void)state;
    struct vlm_charsmap *map = make_map(pairs, VLM_COUNTOF(pairs));
    assert_string_equal(found(map, "b"), "xyz");
    assert_string_equal(found(map, "bb"), "xyz"); /* the shortest key that it begins with */
    assert_string_equal(found(map, "ab"), "");
    assert_string_equal(found(map, "e"), "none");
    assert_string_equal(found(map, "e\u0301"), "é");
    assert_string_equal(found(map, "e\xcc"), "none");
    assert_string_equal(found(map, "\r\n"), " ");
    assert_string_equal(found(map, ""), "none");
    assert_string_equal(found(map, "zz"), "none");
    vlm_charsmap_free(map);
    vlm_charsmap_free(NULL);
}

/* What the package gives for these texts with this map: the text, and the place of each of its bytes. */
static void as_the_package(void **state)
{
    (void)state;
    static const struct {
        const char *text, *result, *places;
    } cases[] = {
        { "z", "z", "0-1" },
        { "b", "xyz", "0-1 0-1 0-1" },
        { "ab", "xyz", "0-1 0-1 0-1" },
        { "aab", "xyz", "0-1 0-1 0-1" },
        { "ba", "xyz", "0-1 0-1 1-2" },
        { "bab", "xyzxyz", "0-1 0-1 1-2 2-3 2-3 2-3" },
        { "bza", "xyzz", "0-1 0-1 0-1 1-2" },
        { "ca", "\u00e9", "0-1 0-1" },
        { "e\u0301x", "\u00e9x", "0-1 0-1 3-4" },
        { "e\u0301\u0302x", "\u00e9x", "0-1 0-1 5-6" },
        { "c\u0301", "\u00e9", "0-1 0-1" },
        { "c\u0301\u0301", "\u00e9", "0-1 0-1" },
        { "c\u0301\u0301\u0301", "\u00e9", "0-1 0-1" },
        { "\u00a9\u0301\u0301", "(c)", "0-2 0-2 2-4" },
        { "\r\n\n\r", " \n\n\r", "0-1 2-3 2-3 3-4" },
        { "\u0301z", "z", "0-2" },
        { "z\u0301z", "zz", "0-1 3-4" },
        { "\u1100\u1161", "\u1161", "0-3 0-3 0-3" },
        { "\u1100a", "", "" },
        { "\u0600b", "#", "0-2" },
        { "\u0600\u0600\u0600", "###", "0-2 2-4 4-6" },
        { "b\u0301a", "xyz", "0-1 1-3 3-4" },
        { "ez\u0301", "ez", "0-1 1-2" },
        { "\u00e9\u0302\u0302", "e\u0302\u0302", "0-2 2-4 2-4 4-6 4-6" },
        { "bbaaz", "xyzxyzz", "0-1 0-1 0-1 1-2 1-2 2-3 4-5" },
    };
    struct vlm_charsmap *map = make_map(pairs, VLM_COUNTOF(pairs));
    const struct vlm_normalizer step = { .kind = VLM_NORMALIZE_PRECOMPILED, .charsmap = map };
    struct vlm_normal normal = { 0 };
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        char places[256] = "";
        size_t size = 0;
        assert_int_equal(vlm_normal_set(&normal, cases[i].text, strlen(cases[i].text), &err),
                         VLM_OK);
        assert_int_equal(vlm_normalize(&normal, &step, 1, &err), VLM_OK);
        assert_int_equal(normal.n, strlen(cases[i].result));
        assert_memory_equal(normal.text, cases[i].result, normal.n);
        for (size_t k = 0; k < normal.n; k++)
            size += (size_t)snprintf(places + size, sizeof places - size, "%s%u-%u", k ? " " : "",
                                     normal.start[k], normal.end[k]);
        assert_string_equal(places, cases[i].places);
    }
    /* A byte that is not UTF-8 is a cluster of its own and stays. */
    assert_int_equal(vlm_normal_set(&normal, "b\xcc\u0301\xff", 5, &err), VLM_OK);
    assert_int_equal(vlm_normalize(&normal, &step, 1, &err), VLM_OK);
    assert_int_equal(normal.n, 5);
    assert_memory_equal(normal.text, "xyz\xcc\xff", 5);
    vlm_normal_release(&normal);
    vlm_charsmap_free(map);
}

static int open_bytes(struct vlm_charsmap **map, const uint32_t *units, uint32_t n_units,
                      const char *texts, size_t n_texts)
{
    struct vlm_buffer bytes = { 0 };
    struct vlm_err err = { 0 };
    vlm_buffer_u32(&bytes, n_units * 4);
    for (uint32_t i = 0; i < n_units; i++)
        vlm_buffer_u32(&bytes, units[i]);
    vlm_buffer_add(&bytes, texts, n_texts);
    uint8_t *exact = malloc(bytes.size);
    assert_non_null(exact);
    memcpy(exact, bytes.data, bytes.size);
    int rc = vlm_charsmap_new(map, exact, bytes.size, &err);
    free(exact);
    vlm_buffer_release(&bytes);
    return rc;
}

static void hostile_arrays(void **state)
{
    (void)state;
    static const uint8_t nothing[8] = { 0 };
    struct vlm_charsmap *map;
    struct vlm_err err = { 0 };
    for (size_t n = 0; n <= sizeof nothing; n++)
        assert_int_equal(vlm_charsmap_new(&map, nothing, n, &err), VLM_EFORMAT);
    assert_int_equal(vlm_charsmap_new(&map, (const uint8_t *)"\xff\xff\xff\xff", 4, &err),
                     VLM_EFORMAT);
    assert_int_equal(vlm_charsmap_new(&map, (const uint8_t *)"\x08\0\0\0\0\0\0", 8, &err),
                     VLM_EFORMAT);
    static const uint32_t none[1] = { 0 };
    assert_int_equal(open_bytes(&map, none, 1, "\xff", 1), VLM_EFORMAT);
    /* A root that leads to itself, far away, and to every unit there is. */
    static const uint32_t roots[] = { 0, UINT32_MAX, 0x3ffffeu << 10, 1u << 10 | 1u << 9, 'a' };
    for (size_t i = 0; i < VLM_COUNTOF(roots); i++) {
        assert_int_equal(open_bytes(&map, &roots[i], 1, "", 0), VLM_OK);
        assert_string_equal(found(map, "aaaa"), "none");
        vlm_charsmap_free(map);
    }
    /* 'a' ends a key; its value is outside, behind the last text, inside of a character, without a NUL. */
    static const struct {
        uint32_t value;
        const char *text;
    } values[] = { { UINT32_MAX, "none" }, { 4, "none" }, { 3, "" },
                   { 1, "none" },          { 0, "éx" },   { 2, "x" } };
    for (size_t i = 0; i < VLM_COUNTOF(values); i++) {
        uint32_t units[256] = { 0 };
        units['a'] = 'a' | 1 << 8 | ('a' ^ 'b') << 10;
        units['b'] = values[i].value;
        assert_int_equal(open_bytes(&map, units, 256, "éx", 3), VLM_OK);
        assert_string_equal(found(map, "a"), values[i].text);
        vlm_charsmap_free(map);
        assert_int_equal(open_bytes(&map, units, 'b', "éx", 3), VLM_OK); /* it ends before */
        assert_string_equal(found(map, "a"), "none");
        vlm_charsmap_free(map);
    }
    /* 'a' leads to itself again and again: as many steps as the key has bytes. */
    uint32_t units[256] = { 0 };
    units['a'] = 'a' | 'a' << 10;
    assert_int_equal(open_bytes(&map, units, 256, "", 0), VLM_OK);
    char key[1001] = "";
    memset(key, 'a', 1000);
    assert_string_equal(found(map, key), "none");
    vlm_charsmap_free(map);
}

static void a_text_that_explodes(void **state)
{
    (void)state;
    static char long_text[70000], text[4096];
    struct vlm_normal normal = { 0 };
    struct vlm_err err = { 0 };
    memset(long_text, 'x', sizeof long_text - 1);
    memset(text, 'a', sizeof text);
    const char *const pair[] = { "a", long_text };
    struct vlm_charsmap *map = make_map(pair, 2);
    const struct vlm_normalizer step = { .kind = VLM_NORMALIZE_PRECOMPILED, .charsmap = map };
    assert_int_equal(vlm_normal_set(&normal, text, sizeof text, &err), VLM_OK);
    assert_int_equal(vlm_normalize(&normal, &step, 1, &err), VLM_ELIMIT);
    vlm_normal_release(&normal);
    vlm_charsmap_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_of_clusters),    cmocka_unit_test(keys),
        cmocka_unit_test(as_the_package),       cmocka_unit_test(hostile_arrays),
        cmocka_unit_test(a_text_that_explodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
