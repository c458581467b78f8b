/* test_expected_pages.c - charset, title and images of the pages of real crawls against answers that
 * an independent program gave. What differs on purpose is in a table with its reason; what is in
 * neither is a failure, and so is an explanation that nothing needs any more. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "tokenize/dump/http.h"
#include "tokenize/dump/record.h"
#include "tokenize/html/page.h"

#include <fcntl.h>
#include <setjmp.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

enum difference { CHARSET, TITLE, COUNT, SRC, ALT, URL, DIFFERENCES };

static const char *const difference_names[] = { "charset", "title", "count", "src", "alt", "url" };

/* A page and what may differ there. */
static const struct {
    const char *page;
    enum difference what;
    const char *reason;
} explained[] = {
    { "http://0760.jxtdw.com/area/sanxiang/", ALT,
      "GBK A1A4 is U+00B7 in the standard, U+30FB in the GB2312 table of the answers" },
    { "http://bitchmagazine.org/tag/queer-artists", ALT, "two alt attributes: the first counts" },
};

static struct {
    size_t equal[DIFFERENCES], different[DIFFERENCES], used[VLM_COUNTOF(explained)];
    size_t pages, missing;
} totals;

static const char *member(json_object *object, const char *key)
{
    json_object *value;
    if (!json_object_object_get_ex(object, key, &value) || !value)
        return NULL;
    return json_object_get_string(value);
}

static void compare(const char *page, enum difference what, bool equal, const char *ours,
                    const char *theirs)
{
    totals.equal[what] += equal;
    if (equal)
        return;
    totals.different[what]++;
    for (size_t i = 0; i < VLM_COUNTOF(explained); i++)
        if (explained[i].what == what && !strcmp(explained[i].page, page)) {
            totals.used[i]++;
            return;
        }
    fail_msg("%s of %s: \"%s\", expected \"%s\"", difference_names[what], page, ours,
             theirs ? theirs : "(null)");
}

/* The answers hold the label as it was written; it means what the standard says. */
static bool same_charset(const char *ours, const char *label)
{
    static const struct {
        const char *label, *name;
    } meant[] = { { "iso-8859-1", "windows-1252" }, { "gb2312", "gbk" } };
    for (size_t i = 0; i < VLM_COUNTOF(meant); i++)
        if (!strcasecmp(label, meant[i].label))
            return !strcmp(ours, meant[i].name);
    return !strcasecmp(ours, label);
}

/* Equal but for runs of white space. */
static bool same_words(const char *a, const char *b)
{
    for (;;) {
        while (*a == ' ')
            a++;
        while (*b && strchr(" \t\r\n", *b))
            b++;
        if (!*a || !*b)
            return *a == *b;
        while (*a && *a != ' ' && *a == *b)
            a++, b++;
        if (*a && *a != ' ')
            return false;
        if (*b && !strchr(" \t\r\n", *b))
            return false;
    }
}

static bool same_string(const struct vlm_document *document, struct vlm_string string,
                        const char *expected)
{
    return expected && strlen(expected) == string.length &&
           !memcmp(document->text + string.start, expected, string.length);
}

static void compare_image(const char *page, const struct vlm_document *document,
                          const struct vlm_document_image *image, json_object *expected)
{
    const char *src = member(expected, "src"), *alt = member(expected, "alt");
    const char *url = member(expected, "url"), *text = document->text;
    char ours[256];
    /* An <img> whose address stands in another attribute, or that has none at all. */
    bool src_equal = src ? same_string(document, image->src, src) : true;
    snprintf(ours, sizeof(ours), "%.*s", (int)image->src.length, text + image->src.start);
    compare(page, SRC, src_equal, ours, src);
    snprintf(ours, sizeof(ours), "%.*s", (int)image->alt.length, text + image->alt.start);
    compare(page, ALT, alt ? same_string(document, image->alt, alt) : !image->has_alt, ours, alt);
    if (!src || !*src)
        return; /* resolves to the page itself, which is no picture */
    bool found = image->n_candidates && same_string(document, image->candidate[0], url);
    snprintf(ours, sizeof(ours), "%.*s", image->n_candidates ? (int)image->candidate[0].length : 0,
             text + image->candidate[0].start);
    compare(page, URL, found, ours, url);
}

static void compare_page(json_object *expected, const struct vlm_document *document)
{
    const char *page = member(expected, "page"), *title = member(expected, "title");
    json_object *images;
    char ours[32];
    totals.pages++;
    compare(page, CHARSET, same_charset(document->charset, member(expected, "charset")),
            document->charset, member(expected, "charset"));
    compare(page, TITLE, same_words(document->title, title ? title : ""), document->title, title);
    assert_true(json_object_object_get_ex(expected, "images", &images));
    size_t count = json_object_array_length(images);
    snprintf(ours, sizeof(ours), "%zu", document->n_images);
    compare(page, COUNT, count == document->n_images, ours, "another number of images");
    for (size_t i = 0; count == document->n_images && i < count; i++)
        compare_image(page, document, &document->images[i], json_object_array_get_idx(images, i));
}

struct run {
    struct vlm_page_parser *parser;
    struct vlm_arena arena;
    json_object **answers; /* of one folder */
    size_t n_answers;
    bool *met;
};

/* The first answer about this page that was not met yet: a page may be in a file twice. */
static json_object *answer_for(struct run *run, const char *file, const char *uri, size_t bytes)
{
    for (size_t i = 0; uri && i < run->n_answers; i++) {
        json_object *size;
        if (run->met[i] || strcmp(member(run->answers[i], "file"), file) ||
            strcmp(member(run->answers[i], "page"), uri) ||
            !json_object_object_get_ex(run->answers[i], "bytes", &size) ||
            (size_t)json_object_get_int64(size) != bytes)
            continue;
        run->met[i] = true;
        return run->answers[i];
    }
    return NULL;
}

static void parse_record(struct run *run, const char *file, const struct vlm_record *record)
{
    struct vlm_http http;
    struct vlm_err err = { 0 };
    vlm_arena_reset(&run->arena);
    assert_int_equal(vlm_http_decode(&http, record, &run->arena, &err), VLM_OK);
    json_object *expected =
        http.status == 200 ? answer_for(run, file, record->uri, http.body_length) : NULL;
    if (!expected)
        return;
    struct vlm_page_input in = { .bytes = http.body,
                                 .size = http.body_length,
                                 .url = record->uri,
                                 .content_type = http.content_type };
    struct vlm_document *document;
    assert_int_equal(vlm_page_parse(&document, run->parser, &in, &run->arena, NULL, &err), VLM_OK);
    assert_int_equal(vlm_document_check(document, &err), VLM_OK);
    compare_page(expected, document);
}

static void read_dump(struct run *run, const char *folder, const char *file)
{
    char *path = vlm_path_join(folder, file);
    struct vlm_dump *dump;
    struct vlm_record record;
    struct vlm_err err = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    int rc = vlm_dump_open(&dump, &(struct vlm_dump_input){ .fd = fd, .name = path }, &err);
    assert_int_equal(rc, VLM_OK);
    while ((rc = vlm_dump_next(dump, &record, &err)) >= 0 && rc != VLM_EOF)
        if (rc == VLM_OK)
            parse_record(run, file, &record);
    assert_int_equal(rc, VLM_EOF);
    vlm_dump_close(dump);
    close(fd);
    free(path);
}

static void read_answers(struct run *run, const struct vlm_buffer *lines)
{
    const char *p = (const char *)lines->data, *end = p + lines->size;
    struct vlm_err err = { 0 };
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        json_object *answer;
        assert_int_equal(vlm_json_parse(&answer, p, (size_t)(stop - p), &err), VLM_OK);
        if (member(answer, "page") && run->n_answers < 1024)
            run->answers[run->n_answers++] = answer;
        else
            json_object_put(answer);
        p = stop + 1;
    }
}

static void compare_folder(struct run *run, const char *root, const char *name)
{
    char *warc = vlm_path_join(root, "warc"), *folder = vlm_path_join(warc, name);
    char *path = vlm_path_join(folder, "EXPECTED-page-images.jsonl");
    struct vlm_buffer lines = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_file_read(&lines, path, VLM_GIB, &err), VLM_OK);
    run->answers = calloc(1024, sizeof(*run->answers));
    run->met = calloc(1024, sizeof(*run->met));
    run->n_answers = 0;
    assert_non_null(run->answers);
    assert_non_null(run->met);
    read_answers(run, &lines);
    for (size_t i = 0; i < run->n_answers; i++) {
        const char *file = member(run->answers[i], "file");
        bool done = false;
        for (size_t k = 0; k < i; k++)
            done |= !strcmp(member(run->answers[k], "file"), file);
        if (!done)
            read_dump(run, folder, file);
    }
    for (size_t i = 0; i < run->n_answers; i++) {
        totals.missing += !run->met[i];
        if (!run->met[i])
            print_message("not met: %s in %s\n", member(run->answers[i], "page"),
                          member(run->answers[i], "file"));
        json_object_put(run->answers[i]);
    }
    free(run->answers);
    free(run->met);
    vlm_buffer_release(&lines);
    free(path);
    free(folder);
    free(warc);
}

static void pages_of_real_crawls(void **state)
{
    (void)state;
    static const char *const folders[] = { "warc-basic", "warc-pages-a", "warc-repacked-a" };
    const char *root = getenv("VLM_SHARED_DATA");
    struct vlm_err err = { 0 };
    struct run run = { 0 };
    root = root ? root : "../shared/data";
    if (access(root, R_OK)) {
        print_message("no data in %s\n", root);
        skip();
    }
    assert_int_equal(vlm_page_parser_new(&run.parser, &err), VLM_OK);
    vlm_arena_init(&run.arena, VLM_GIB);
    for (size_t i = 0; i < VLM_COUNTOF(folders); i++)
        compare_folder(&run, root, folders[i]);
    for (size_t i = 0; i < DIFFERENCES; i++)
        print_message("%s: %zu equal, %zu explained\n", difference_names[i], totals.equal[i],
                      totals.different[i]);
    print_message("%zu pages compared, %zu not met\n", totals.pages, totals.missing);
    for (size_t i = 0; i < VLM_COUNTOF(explained); i++)
        if (!totals.used[i])
            fail_msg("%s of %s does not differ any more (%s)", difference_names[explained[i].what],
                     explained[i].page, explained[i].reason);
    assert_in_range(totals.pages, 340, 354);
    vlm_arena_release(&run.arena);
    vlm_page_parser_free(run.parser);
}

/* One saved page and its answers, one a line for each <img>. */
static void compare_saved(struct vlm_page_parser *parser, struct vlm_arena *arena,
                          const char *folder, json_object **answers, size_t n)
{
    char *path = vlm_path_join(folder, member(answers[0], "page"));
    struct vlm_buffer page = { 0 };
    struct vlm_document *document;
    struct vlm_err err = { 0 };
    vlm_arena_reset(arena);
    assert_int_equal(vlm_file_read(&page, path, VLM_HTML_MAX, &err), VLM_OK);
    struct vlm_page_input in = { .bytes = page.data, .size = page.size, .url = "http://h/" };
    assert_int_equal(vlm_page_parse(&document, parser, &in, arena, NULL, &err), VLM_OK);
    assert_int_equal(vlm_document_check(document, &err), VLM_OK);
    assert_int_equal(document->n_images, n);
    for (size_t i = 0; i < n; i++) {
        const struct vlm_document_image *image = &document->images[i];
        const char *src = member(answers[i], "src"), *alt = member(answers[i], "alt");
        if (!same_string(document, image->src, src) ||
            (alt ? !same_string(document, image->alt, alt) : image->has_alt))
            fail_msg("%s, image %zu: \"%.*s\", expected \"%s\" with alt \"%s\"", path, i,
                     (int)image->src.length, document->text + image->src.start, src,
                     alt ? alt : "(null)");
    }
    vlm_buffer_release(&page);
    free(path);
}

static void saved_pages_with_images(void **state)
{
    (void)state;
    static const char *const folders[] = { "html-images/datacarpentry-image-processing",
                                           "html-images/gutenberg-chiriqui" };
    const char *root = getenv("VLM_SHARED_DATA");
    struct run run = { 0 };
    struct vlm_err err = { 0 };
    size_t total = 0;
    root = root ? root : "../shared/data";
    if (access(root, R_OK)) {
        print_message("no data in %s\n", root);
        skip();
    }
    assert_int_equal(vlm_page_parser_new(&run.parser, &err), VLM_OK);
    vlm_arena_init(&run.arena, VLM_GIB);
    run.answers = calloc(1024, sizeof(*run.answers));
    assert_non_null(run.answers);
    for (size_t f = 0; f < VLM_COUNTOF(folders); f++) {
        char *folder = vlm_path_join(root, folders[f]);
        char *path = vlm_path_join(folder, "EXPECTED-page-images.jsonl");
        struct vlm_buffer lines = { 0 };
        assert_int_equal(vlm_file_read(&lines, path, VLM_GIB, &err), VLM_OK);
        run.n_answers = 0;
        read_answers(&run, &lines);
        for (size_t i = 0, next; i < run.n_answers; i = next) {
            const char *page = member(run.answers[i], "page");
            for (next = i + 1; next < run.n_answers; next++)
                if (strcmp(member(run.answers[next], "page"), page))
                    break;
            compare_saved(run.parser, &run.arena, folder, run.answers + i, next - i);
        }
        for (size_t i = 0; i < run.n_answers; i++)
            json_object_put(run.answers[i]);
        total += run.n_answers;
        vlm_buffer_release(&lines);
        free(path);
        free(folder);
    }
    assert_int_equal(total, 722);
    free(run.answers);
    vlm_arena_release(&run.arena);
    vlm_page_parser_free(run.parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pages_of_real_crawls),
                                        cmocka_unit_test(saved_pages_with_images) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
