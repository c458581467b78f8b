/* test_images_serve.c - the endpoints of pictures, whole: HTTP in, a model with random weights, pictures out. */
#include "base/vlm.h"

#include "base/base64.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/limits.h"
#include "serve/api/service.h"
#include "serve/picture/box.h"
#include "tests/corpus_fixture.h"
#include "tests/folder_fixture.h"
#include "tests/http_fixture.h"
#include "tests/image_fixture.h"
#include "tests/model_folder_fixture.h"

enum { CONTEXT = 400, SLOTS = 2, SIDE = VLM_SQUARE_SIDE };

/* ---- a server ---- */

struct serving {
    struct server server;
    struct vlm_engine engine;
    struct fixture_model model;
    struct vlm_model_folder folder;
    struct vlm_tokenizer *images;
    struct vlm_choices choices;
    struct vlm_sequencer *sequencer;
    struct vlm_metrics *metrics;
    struct vlm_work *work;
    struct vlm_pictures *pictures;
    struct vlm_service service;
};

/* The modern form with the codes of the tokenizer that is part of the program. */
static void make_model(struct serving *it)
{
    const struct fixture_form *form = &fixture_forms[2];
    struct vlm_err err = { 0 };
    fixture_check(vlm_tokenizer_open(&it->images, NULL, VLM_PRECISION_EXACT, &err), &err);
    fixture_check(vlm_text_tokenizer_open(&it->model.tokenizer, NULL, &err), &err);
    const struct vlm_vocabulary_options options = {
        .n_codes = (uint32_t)vlm_tokenizer_info(it->images).codebook_size
    };
    fixture_check(vlm_vocabulary_init(&it->model.vocabulary, it->model.tokenizer, &options, &err),
                  &err);
    fixture_check(vlm_recipe_open(&it->model.recipe, form->recipe, NULL, 0, &err), &err);
    struct vlm_model_config config = fixture_config(form, it->model.vocabulary.size);
    config.context = CONTEXT;
    fixture_check(vlm_model_init(&it->folder.model, &config, 0, &err), &err);
    vlm_model_fill(&it->folder.model, 5);
    it->folder.vocabulary = it->model.vocabulary;
    it->folder.has_vocabulary = true;
    it->folder.recipe = it->model.recipe;
    it->folder.images = it->images;
}

static void start(struct serving *it, const char *set)
{
    struct vlm_err err = { 0 };
    struct vlm_http_options options = VLM_HTTP_DEFAULTS;
    const struct vlm_service_limits limits = VLM_SERVICE_LIMITS;
    *it = (struct serving){ .server.tell_gone = true };
    it->server.base = event_base_new();
    make_model(it);
    fixture_check(vlm_engine_init(&it->engine, 1, VLM_GEMM_AUTO, &err), &err);
    fixture_check(vlm_choices_init(&it->choices, &it->engine, &it->folder.model,
                                   &it->folder.vocabulary, &err),
                  &err);
    fixture_check(vlm_sequencer_new(&it->sequencer, &it->folder.vocabulary, &err), &err);
    fixture_check(vlm_metrics_new(&it->metrics, &err), &err);
    fixture_check(
        vlm_work_new(&it->work, it->server.base,
                     &(struct vlm_work_options){ .engine = &it->engine,
                                                 .model = &it->folder.model,
                                                 .choices = &it->choices,
                                                 .decoder = { .slots = SLOTS, .capacity = CONTEXT },
                                                 .queue_max = 16,
                                                 .metrics = it->metrics },
                     &err),
        &err);
    fixture_check(vlm_pictures_new(&it->pictures, it->server.base,
                                   &(struct vlm_pictures_options){ .tokenizer = it->images,
                                                                   .threads = 1,
                                                                   .kept_bytes = 8 * VLM_MIB,
                                                                   .program = "/proc/self/exe",
                                                                   .sets = &set,
                                                                   .n_sets = set ? 1 : 0,
                                                                   .metrics = it->metrics },
                                   &err),
                  &err);
    it->service = (struct vlm_service){ .model_name = "tiny",
                                        .folder = &it->folder,
                                        .choices = &it->choices,
                                        .sequencer = it->sequencer,
                                        .work = it->work,
                                        .pictures = it->pictures,
                                        .metrics = it->metrics,
                                        .base = it->server.base,
                                        .limits = limits,
                                        .slots = SLOTS,
                                        .context = CONTEXT };
    options.port = 0;
    options.handle = vlm_service_handle;
    options.context = &it->service;
    signal(SIGPIPE, SIG_IGN);
    fixture_check(vlm_http_server_new(&it->server.http, it->server.base, &options, &err), &err);
}

static void stop(struct serving *it)
{
    vlm_http_server_free(it->server.http);
    vlm_work_free(it->work);
    vlm_pictures_free(it->pictures);
    vlm_metrics_free(it->metrics);
    vlm_sequencer_free(it->sequencer);
    vlm_choices_release(&it->choices);
    vlm_engine_release(&it->engine);
    vlm_model_release(&it->folder.model);
    vlm_text_tokenizer_close(it->model.tokenizer);
    vlm_tokenizer_close(it->images);
    event_base_free(it->server.base);
}

/* ---- requests ---- */

struct answer {
    int status;
    char *body; /* NUL behind it; freed by the next request */
    size_t n;
};

static void put_back_chunks(struct answer *answer)
{
    size_t to = 0;
    for (char *at = answer->body;;) {
        const size_t n = strtoul(at, &at, 16);
        at += 2;
        if (!n)
            break;
        memmove(answer->body + to, at, n);
        to += n;
        at += n + 2;
    }
    answer->n = to;
    answer->body[to] = 0;
}

static void request(struct serving *it, struct answer *answer, const char *method, const char *path,
                    const char *type, const void *body, size_t n)
{
    struct client client;
    char head[512];
    free(answer->body);
    connect_client(&client, &it->server);
    snprintf(head, sizeof(head),
             "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
             method, path, type, n);
    say_text(&client, head);
    say(&client, body, n);
    const double until = vlm_now() + 30;
    while (!answer_size(&client, 0, false) && vlm_now() < until) {
        event_base_loop(it->server.base, EVLOOP_NONBLOCK);
        receive(&client);
        poll(NULL, 0, 1);
    }
    assert_true(answer_size(&client, 0, false));
    answer->status = status_of_answer(&client);
    vlm_buffer_byte(&client.in, 0);
    const char *text = (const char *)client.in.data, *end = strstr(text, "\r\n\r\n") + 4;
    answer->n = client.in.size - 1 - (size_t)(end - text);
    answer->body = malloc(answer->n + 1);
    assert_non_null(answer->body);
    memcpy(answer->body, end, answer->n + 1);
    const char *chunked = strstr(text, "Transfer-Encoding: chunked");
    if (chunked && chunked < end)
        put_back_chunks(answer);
    close_client(&client);
}

static void post(struct serving *it, struct answer *answer, const char *path, const char *json)
{
    request(it, answer, "POST", path, "application/json", json, strlen(json));
}

static json_object *parse(const char *text, size_t n)
{
    json_object *value = NULL;
    struct vlm_err err = { 0 };
    if (vlm_json_parse(&value, text, n, &err) != VLM_OK)
        fail_msg("%s: %.300s", err.msg, text);
    return value;
}

static json_object *member(json_object *object, const char *key)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value))
        fail_msg("there is no '%s' in %.300s", key, json_object_to_json_string(object));
    return value;
}

static void take_codes(uint16_t codes[VLM_CODES], json_object *list)
{
    assert_int_equal(json_object_array_length(list), VLM_CODES);
    for (size_t i = 0; i < VLM_CODES; i++) {
        json_object *code = json_object_array_get_idx(list, i);
        assert_int_equal(json_object_get_type(code), json_type_int);
        codes[i] = (uint16_t)json_object_get_int(code);
    }
}

/* The file and the codes of one picture of data. */
static void take_picture(struct vlm_buffer *file, uint16_t codes[VLM_CODES], json_object *entry)
{
    json_object *base64 = member(entry, "b64_json");
    const size_t n = (size_t)json_object_get_string_len(base64);
    size_t bad;
    vlm_buffer_reset(file);
    uint8_t *to = vlm_buffer_reserve(file, vlm_base64_room(n));
    assert_non_null(to);
    file->size = vlm_unbase64(to, json_object_get_string(base64), n, &bad);
    assert_int_not_equal(file->size, SIZE_MAX);
    take_codes(codes, member(member(entry, "vlm"), "codes"));
}

static void decode_square(uint8_t *square, const struct vlm_buffer *file)
{
    struct vlm_arena arena;
    struct vlm_err err = { 0 };
    vlm_arena_init(&arena, FIXTURE_ARENA);
    struct vlm_image image = decoded(file, NULL, &arena);
    assert_int_equal(image.info.status, VLM_IMAGE_OK);
    assert_int_equal(vlm_image_square(square, &image, &arena, &err), VLM_OK);
    vlm_arena_release(&arena);
}

/* ---- tests ---- */

static void words_become_whole_pictures(void **state)
{
    (void)state;
    struct serving it;
    struct answer answer = { 0 };
    struct vlm_buffer file = { 0 };
    uint16_t codes[2][VLM_CODES], again[VLM_CODES];
    uint8_t drawn[VLM_SQUARE_BYTES], square[VLM_SQUARE_BYTES];
    struct vlm_coder *coder;
    struct vlm_err err = { 0 };
    start(&it, NULL);
    post(&it, &answer, "/v1/images/generations",
         "{\"prompt\": \"A \\\"red\\\" <circle>\", \"n\": 2, \"seed\": 7, \"size\": \"256x256\"}");
    assert_int_equal(answer.status, 200);
    json_object *root = parse(answer.body, answer.n), *data = member(root, "data");
    assert_int_equal(json_object_array_length(data), 2);
    assert_int_equal(json_object_get_int(member(member(root, "usage"), "output_tokens")), 512);
    for (size_t i = 0; i < 2; i++) {
        json_object *entry = json_object_array_get_idx(data, i);
        assert_string_equal(json_object_get_string(member(entry, "finish_reason")), "stop");
        assert_int_equal(json_object_get_int(member(member(entry, "vlm"), "seed")), 7 + (int)i);
        take_picture(&file, codes[i], entry);
    }
    assert_memory_not_equal(codes[0], codes[1], sizeof(codes[0]));
    decode_square(square, &file);
    assert_int_equal(vlm_coder_new(&coder, it.images, 1, &err), VLM_OK);
    assert_int_equal(vlm_coder_decode(coder, drawn, codes[1], 1, &err), VLM_OK);
    assert_memory_equal(square, drawn, VLM_SQUARE_BYTES);
    json_object_put(root);
    /* The second one alone, as JPEG in a data: URL. */
    post(&it, &answer, "/v1/images/generations",
         "{\"prompt\": \"A \\\"red\\\" <circle>\", \"seed\": 8, \"output_format\": \"jpeg\", "
         "\"output_compression\": 70, \"response_format\": \"url\"}");
    assert_int_equal(answer.status, 200);
    root = parse(answer.body, answer.n);
    json_object *entry = json_object_array_get_idx(member(root, "data"), 0);
    assert_int_equal(
        strncmp(json_object_get_string(member(entry, "url")), "data:image/jpeg;base64,/9j/", 27),
        0);
    take_codes(again, member(member(entry, "vlm"), "codes"));
    assert_memory_equal(again, codes[1], sizeof(again));
    json_object_put(root);
    vlm_coder_free(coder);
    vlm_buffer_release(&file);
    free(answer.body);
    stop(&it);
}

/* Names of the events of a stream, each followed by a space; the last event's object. */
static json_object *read_events(const struct answer *answer, char *names, size_t size)
{
    json_object *last = NULL;
    size_t n = 0;
    names[0] = 0;
    for (const char *at = answer->body; (at = strstr(at, "event: "));) {
        const char *end = strchr(at, '\n'), *data = strstr(at, "data: ") + 6;
        n += (size_t)snprintf(names + n, size - n, "%.*s ", (int)(end - at - 7), at + 7);
        json_object_put(last);
        at = strstr(data, "\n\n");
        last = parse(data, (size_t)(at - data));
    }
    return last;
}

static void streams_show_unfinished_pictures(void **state)
{
    (void)state;
    struct serving it;
    struct answer answer = { 0 };
    char names[512];
    start(&it, NULL);
    post(&it, &answer, "/v1/images/generations",
         "{\"prompt\": \"x\", \"stream\": true, \"partial_images\": 2, \"seed\": 1}");
    assert_int_equal(answer.status, 200);
    json_object *last = read_events(&answer, names, sizeof(names));
    assert_string_equal(names, "image_generation.partial_image image_generation.partial_image "
                               "image_generation.completed ");
    assert_string_equal(json_object_get_string(member(last, "type")), "image_generation.completed");
    assert_int_equal(json_object_get_int(member(member(last, "usage"), "output_tokens")), 256);
    assert_true(json_object_get_string_len(member(last, "b64_json")) > 1000);
    json_object_put(last);
    free(answer.body);
    stop(&it);
}

/* As a later request names it. */
static int status_of_picture(struct serving *it, struct answer *answer, json_object *entry)
{
    char body[160];
    snprintf(body, sizeof(body), "{\"image\": \"vlm:sha256:%s\"}",
             json_object_get_string(member(member(entry, "vlm"), "sha256")));
    post(it, answer, "/vq/encode", body);
    return answer->status;
}

/* store is as elsewhere; image_format, for which OpenAI has another name here, is an unknown field, in streams too. */
static void pictures_are_stored_on_request(void **state)
{
    (void)state;
    struct serving it;
    struct answer answer = { 0 };
    char names[512];
    start(&it, NULL);
    for (int store = 0; store < 2; store++) {
        char body[128];
        snprintf(body, sizeof(body),
                 "{\"prompt\": \"x\", \"seed\": %d, \"image_format\": \"jpeg\", \"store\": %s}",
                 store, store ? "true" : "false");
        post(&it, &answer, "/v1/images/generations", body);
        assert_int_equal(answer.status, 200);
        json_object *root = parse(answer.body, answer.n);
        json_object *warnings = member(root, "warnings");
        assert_int_equal(json_object_array_length(warnings), 1);
        assert_non_null(strstr(json_object_to_json_string(warnings), "'image_format'"));
        json_object *entry = json_object_array_get_idx(member(root, "data"), 0);
        assert_int_equal(status_of_picture(&it, &answer, entry), store ? 200 : 400);
        json_object_put(root);
    }
    post(
        &it, &answer, "/v1/images/generations",
        "{\"prompt\": \"x\", \"seed\": 3, \"image_format\": \"jpeg\", \"stream\": true, \"store\": "
        "true}");
    json_object *last = read_events(&answer, names, sizeof(names));
    assert_int_equal(json_object_array_length(member(last, "warnings")), 1);
    assert_int_equal(status_of_picture(&it, &answer, last), 200);
    json_object_put(last);
    free(answer.body);
    stop(&it);
}

/* An RGBA picture of which the rows 64 to 95 of the columns 96 to 191 are transparent. */
static void make_picture(struct vlm_buffer *file, bool holes)
{
    enum { STRIDE = 1 + 4 * SIDE };
    uint8_t *rows = calloc(SIDE, STRIDE);
    assert_non_null(rows);
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++) {
            uint8_t *pixel = rows + y * STRIDE + 1 + 4 * x;
            for (uint32_t c = 0; c < 3; c++)
                pixel[c] = (uint8_t)(y / 2 + x / 4 * c);
            pixel[3] = holes && y >= 64 && y < 96 && x >= 96 && x < 192 ? 0 : 255;
        }
    vlm_buffer_reset(file);
    add_png_header(file, SIDE, SIDE, 8, 6, 0);
    add_png_data(file, rows, (size_t)SIDE * STRIDE);
    add_png_chunk(file, "IEND", NULL, 0);
    free(rows);
}

static void add_part(struct vlm_buffer *form, const char *name, const struct vlm_buffer *file,
                     const char *text)
{
    vlm_buffer_printf(form, "--B\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n", name,
                      file ? "; filename=\"a.png\"" : "");
    if (file)
        vlm_buffer_add(form, file->data, file->size);
    else
        vlm_buffer_text(form, text);
    vlm_buffer_text(form, "\r\n");
}

static void post_form(struct serving *it, struct answer *answer, const char *path,
                      struct vlm_buffer *form)
{
    vlm_buffer_text(form, "--B--\r\n");
    request(it, answer, "POST", path, "multipart/form-data; boundary=B", form->data, form->size);
    vlm_buffer_reset(form);
}

static bool is_cell_of_mask(size_t cell)
{
    const size_t row = cell / 16, column = cell % 16;
    return row >= 4 && row < 6 && column >= 6 && column < 12;
}

static void an_edit_keeps_what_is_outside_the_mask(void **state)
{
    (void)state;
    struct serving it;
    struct answer answer = { 0 };
    struct vlm_buffer picture = { 0 }, mask = { 0 }, form = { 0 }, file = { 0 };
    uint16_t before[VLM_CODES], after[VLM_CODES];
    uint8_t old[VLM_SQUARE_BYTES], new[VLM_SQUARE_BYTES];
    start(&it, NULL);
    make_picture(&picture, false);
    make_picture(&mask, true);
    decode_square(old, &picture);
    request(&it, &answer, "POST", "/vq/encode", "image/png", picture.data, picture.size);
    assert_int_equal(answer.status, 200);
    json_object *root = parse(answer.body, answer.n);
    take_codes(before, member(root, "codes"));
    json_object_put(root);
    add_part(&form, "image[]", &picture, NULL);
    add_part(&form, "mask", &mask, NULL);
    add_part(&form, "prompt", NULL, "a hole");
    add_part(&form, "seed", NULL, "11");
    add_part(&form, "image_temperature", NULL, "1.5");
    post_form(&it, &answer, "/v1/images/edits", &form);
    assert_int_equal(answer.status, 200);
    root = parse(answer.body, answer.n);
    assert_int_equal(json_object_get_int(member(member(root, "usage"), "output_tokens")), 12);
    take_picture(&file, after, json_object_array_get_idx(member(root, "data"), 0));
    json_object_put(root);
    size_t changed = 0;
    for (size_t i = 0; i < VLM_CODES; i++)
        if (!is_cell_of_mask(i))
            assert_int_equal(after[i], before[i]);
        else
            changed += after[i] != before[i];
    assert_true(changed > 6);
    decode_square(new, &file);
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++) {
        const size_t x = i / 3 % SIDE, y = i / 3 / SIDE;
        if (y >= 96 + 64 || x < 96 - 64 || x >= 192 + 64)
            assert_int_equal(new[i], old[i]);
    }
    /* The picture's own transparency does as well, and so does a picture that was sent before. */
    request(&it, &answer, "PUT", "/v1/images/blobs", "image/png", mask.data, mask.size);
    assert_int_equal(answer.status, 200);
    root = parse(answer.body, answer.n);
    char json[256];
    snprintf(json, sizeof(json), "{\"image\": [\"%s\"], \"prompt\": \"a hole\", \"seed\": 11}",
             json_object_get_string(member(root, "url")));
    json_object_put(root);
    post(&it, &answer, "/v1/images/edits", json);
    assert_int_equal(answer.status, 200);
    vlm_buffer_release(&picture);
    vlm_buffer_release(&mask);
    vlm_buffer_release(&form);
    vlm_buffer_release(&file);
    free(answer.body);
    stop(&it);
}

/* The status of the answer, and the field that its error names. */
static void check_error(const struct answer *answer, int status, const char *param)
{
    assert_int_equal(answer->status, status);
    json_object *root = parse(answer->body, answer->n), *error = member(root, "error");
    assert_int_equal(json_object_get_int(member(error, "code")), status);
    const char *found = json_object_get_string(member(error, "param"));
    assert_string_equal(found ? found : "", param);
    json_object_put(root);
}

#define GENERATIONS "/v1/images/generations"
#define EDITS       "/v1/images/edits"
#define PIXEL       "data:image/png;base64,AAAA"

static const struct wrong {
    const char *path, *json, *param;
} wrong[] = {
    { GENERATIONS, "{}", "prompt" },
    { GENERATIONS, "{\"prompt\": 1}", "prompt" },
    { GENERATIONS, "{\"prompt\": \"x\", \"size\": \"512x512\"}", "size" },
    { GENERATIONS, "{\"prompt\": \"x\", \"n\": 0}", "n" },
    { GENERATIONS, "{\"prompt\": \"x\", \"n\": 17}", "n" },
    { GENERATIONS, "{\"prompt\": \"x\", \"output_format\": \"webp\"}", "output_format" },
    { GENERATIONS, "{\"prompt\": \"x\", \"output_compression\": 101}", "output_compression" },
    { GENERATIONS, "{\"prompt\": \"x\", \"partial_images\": 4}", "partial_images" },
    { GENERATIONS, "{\"prompt\": \"x\", \"seed\": -1}", "seed" },
    { GENERATIONS, "{\"prompt\": \"x\", \"seed\": 1.5}", "seed" },
    { GENERATIONS, "{\"prompt\": \"x\", \"strict\": true, \"foo\": 1}", "foo" },
    { GENERATIONS, "{\"prompt\": \"x\", \"prompt\": \"y\"}", "prompt" },
    { GENERATIONS, "[]", "" },
    { EDITS, "{\"prompt\": \"x\"}", "image" },
    { EDITS, "{\"prompt\": \"x\", \"image\": \"http://x/y.png\"}", "image" },
    { EDITS, "{\"prompt\": \"x\", \"image\": \"file:///etc/passwd\"}", "image" },
    { EDITS, "{\"prompt\": \"x\", \"image\": [\"" PIXEL "\", \"" PIXEL "\"]}", "image" },
    { EDITS, "{\"prompt\": \"x\", \"image\": \"" PIXEL "\", \"mask\": 3}", "mask" },
    { EDITS, "{\"prompt\": \"x\", \"image\": \"" PIXEL "\"}", "image" },
    { EDITS, "{\"prompt\": \"x\", \"image\": \"" PIXEL "\", \"mask\": \"" PIXEL "\"}", "mask" },
    { "/vq/encode", "{\"image\": \"" PIXEL "\"}", "image" },
    { "/vq/encode", "{\"image\": \"data:image/png;base64,A A\"}", "image" },
    { "/vq/encode", "{\"image\": \"vlm:sha256:12\"}", "image" },
    { "/vq/decode", "{\"codes\": [1, 2]}", "codes" },
    { "/vq/decode", "{\"codes\": \"x\"}", "codes" },
    { "/vq/decode", "{}", "codes" },
};

/* At the limit the words are too many tokens, above it too many bytes. */
static void words_of_pictures_are_limited(void **state)
{
    (void)state;
    struct serving it;
    struct answer answer = { 0 };
    start(&it, NULL);
    for (size_t n = VLM_MIB - 1; n <= VLM_MIB + 1; n++) {
        struct vlm_buffer body = { 0 };
        char bytes[128];
        vlm_buffer_text(&body, "{\"prompt\": \"");
        for (size_t i = 0; i < n; i++)
            vlm_buffer_byte(&body, i % 8 ? 'a' : ' ');
        vlm_buffer_add(&body, "\"}", 3);
        post(&it, &answer, GENERATIONS, (const char *)body.data);
        check_error(&answer, 400, "prompt");
        snprintf(bytes, sizeof(bytes), "\"'prompt' has %zu bytes, at most %zu are allowed\"", n,
                 (size_t)VLM_MIB);
        assert_int_equal(memmem(answer.body, answer.n, bytes, strlen(bytes)) != NULL, n > VLM_MIB);
        vlm_buffer_release(&body);
    }
    free(answer.body);
    stop(&it);
}

/* Of more than 64 KiB, as values. */
static void add_request_of_values(struct vlm_buffer *body)
{
    vlm_buffer_text(body, "{\"prompt\": \"x\", \"seed\": 3, \"unknown\": [0");
    for (size_t i = 0; i < 8192; i++)
        vlm_buffer_text(body, ",0");
    vlm_buffer_add(body, "]}", 3);
}

/* What requests take that are under way is counted as if others had it. */
static void requests_share_a_memory(void **state)
{
    (void)state;
    static const size_t all = 512 * VLM_MIB;
    static const char *const paths[] = { GENERATIONS, "/v1/completions" };
    struct serving it;
    struct answer answer = { 0 };
    struct vlm_buffer large = { 0 };
    start(&it, NULL);
    add_request_of_values(&large);
    for (size_t i = 0; i < VLM_COUNTOF(paths); i++) {
        it.service.held_bytes = all - 32 * VLM_KIB;
        post(&it, &answer, paths[i], (const char *)large.data);
        check_error(&answer, 503, "");
        assert_non_null(strstr(answer.body, " bytes of memory, all together may have 536870912 "));
        assert_int_equal(it.service.held_bytes, all - 32 * VLM_KIB);
        it.service.held_bytes = all - 8 * VLM_MIB; /* there is room */
        post(&it, &answer, paths[i], (const char *)large.data);
        assert_int_equal(answer.status, 200);
        assert_int_equal(it.service.held_bytes, all - 8 * VLM_MIB);
        it.service.held_bytes = all; /* small ones are read nevertheless */
        post(&it, &answer, paths[i], "{\"prompt\": \"x\", \"seed\": 3}");
        assert_int_equal(answer.status, 200);
        assert_int_equal(it.service.held_bytes, all);
    }
    vlm_buffer_release(&large);
    free(answer.body);
    stop(&it);
}

static void errors_name_the_field(void **state)
{
    (void)state;
    struct serving it;
    struct answer answer = { 0 };
    struct vlm_buffer picture = { 0 }, form = { 0 };
    struct vlm_err err = { 0 };
    static const uint8_t square[VLM_SQUARE_BYTES];
    start(&it, NULL);
    for (size_t i = 0; i < VLM_COUNTOF(wrong); i++) {
        post(&it, &answer, wrong[i].path, wrong[i].json);
        check_error(&answer, 400, wrong[i].param);
    }
    make_picture(&picture, false);
    add_part(&form, "image", &picture, NULL);
    add_part(&form, "prompt", NULL, "x");
    post_form(&it, &answer, EDITS, &form); /* nothing is transparent */
    check_error(&answer, 400, "mask");
    vlm_buffer_reset(&picture);
    fixture_check(vlm_rgb_to_jpeg(&picture, square, SIDE, SIDE, 90, &err), &err);
    add_part(&form, "image", &picture, NULL);
    add_part(&form, "prompt", NULL, "x");
    post_form(&it, &answer, EDITS, &form); /* nothing can be */
    check_error(&answer, 400, "mask");
    assert_non_null(strstr(answer.body, "'mask' is missing: transparency"));
    make_picture(&picture, false);
    add_part(&form, "image", &picture, NULL);
    add_part(&form, "image", &picture, NULL);
    add_part(&form, "prompt", NULL, "x");
    post_form(&it, &answer, EDITS, &form);
    check_error(&answer, 400, "image");
    add_part(&form, "image", &picture, NULL);
    add_part(&form, "prompt", &picture, NULL);
    post_form(&it, &answer, EDITS, &form);
    check_error(&answer, 400, "prompt");
    add_part(&form, "image", &picture, NULL);
    add_part(&form, "prompt", NULL, "x");
    add_part(&form, "n", NULL, "two");
    post_form(&it, &answer, EDITS, &form);
    check_error(&answer, 400, "n");
    request(&it, &answer, "POST", EDITS, "multipart/form-data; boundary=B", "--C", 3);
    check_error(&answer, 400, "");
    request(&it, &answer, "POST", "/v1/images/blobs", "text/plain", "x", 1);
    check_error(&answer, 415, "");
    request(&it, &answer, "POST", "/v1/images/blobs", "image/png", "", 0);
    check_error(&answer, 400, "");
    request(&it, &answer, "POST", "/v1/images/blobs", "image/png", "hello", 5);
    check_error(&answer, 400, "");
    char named[96] = "/v1/images/blobs/", *hex = named + strlen(named);
    uint8_t hash[VLM_SHA256_SIZE];
    vlm_sha256(hash, picture.data, picture.size);
    vlm_hex(hex, hash, sizeof(hash));
    request(&it, &answer, "PUT", named, "image/png", picture.data, picture.size);
    assert_int_equal(answer.status, 200);
    hex[0] = hex[0] == '0' ? '1' : '0';
    request(&it, &answer, "PUT", named, "image/png", picture.data, picture.size);
    check_error(&answer, 400, "");
    request(&it, &answer, "GET", "/v1/images/blobs/12", "text/plain", "", 0);
    check_error(&answer, 404, "sha256");
    vlm_buffer_release(&picture);
    vlm_buffer_release(&form);
    free(answer.body);
    stop(&it);
}

/* A set that holds one picture with these codes. */
static void write_memory(const char *folder, const uint8_t sha256[VLM_SHA256_SIZE],
                         const uint16_t codes[VLM_CODES], struct vlm_tokenizer_info tokenizer)
{
    static const char plan[] = "{\"format\": 2, \"options\": {\"profile\": \"none\"}}";
    struct vlm_set_tokenizers tokenizers = { .n = 1 };
    struct vlm_part_info info = { .images = 1 };
    struct vlm_buffer stored = { 0 };
    struct vlm_part *part;
    struct vlm_err err = { 0 };
    snprintf(tokenizers.list[0].id, sizeof(tokenizers.list[0].id), "%s", tokenizer.id);
    tokenizers.list[0].codebook_size = tokenizer.codebook_size;
    assert_int_equal(vlm_folder_make(folder, &err), VLM_OK);
    vlm_part_name(info.name, 0, 1);
    char *path = vlm_path_join(folder, info.name);
    assert_int_equal(vlm_part_create(&part, path, VLM_MIB, &tokenizers, &err), VLM_OK);
    vlm_stored_image_encode(
        &stored, &(struct vlm_stored_image){
                     .format = VLM_FORMAT_PNG, .orientation = 1, .width = SIDE, .height = SIDE });
    assert_int_equal(vlm_part_add_image(part, sha256, stored.data, stored.size, &err), VLM_OK);
    assert_int_equal(vlm_part_add_codes(part, 0, sha256, codes, &err), VLM_OK);
    assert_int_equal(
        vlm_part_add_facts(part, 0, 1, plan, sizeof(plan) - 1, &tokenizers, NULL, &err), VLM_OK);
    assert_int_equal(vlm_part_finish(part, &err), VLM_OK);
    assert_int_equal(vlm_part_measure(&info, path, &err), VLM_OK);
    write_corpus_manifest(folder, &info, 1, &tokenizers, plan);
    vlm_buffer_release(&stored);
    free(info.blocks);
    free(path);
}

/* A model that knows a deleted picture by heart does not show it. */
static void a_deleted_picture_is_not_drawn(void **state)
{
    (void)state;
    static const char body[] = "{\"prompt\": \"x\", \"seed\": 3}";
    struct serving it;
    struct answer answer = { 0 };
    struct vlm_buffer file = { 0 };
    uint16_t codes[VLM_CODES];
    uint8_t sha256[VLM_SHA256_SIZE];
    char *folder = test_path("memory"), line[128], hex[2 * VLM_SHA256_SIZE + 1];
    start(&it, NULL);
    post(&it, &answer, GENERATIONS, body);
    json_object *root = parse(answer.body, answer.n);
    take_picture(&file, codes, json_object_array_get_idx(member(root, "data"), 0));
    json_object_put(root);
    vlm_sha256(sha256, "a photo", 7);
    write_memory(folder, sha256, codes, vlm_tokenizer_info(it.images));
    stop(&it);
    start(&it, folder);
    for (int deleted = 0; deleted < 2; deleted++) {
        post(&it, &answer, GENERATIONS, body);
        assert_int_equal(answer.status, 200);
        root = parse(answer.body, answer.n);
        json_object *entry = json_object_array_get_idx(member(root, "data"), 0);
        assert_string_equal(json_object_get_string(member(entry, "finish_reason")),
                            deleted ? "content_filter" : "stop");
        assert_true((member(entry, "b64_json") == NULL) == deleted);
        assert_true(json_object_object_get_ex(entry, "vlm", NULL) == !deleted);
        json_object_put(root);
        snprintf(line, sizeof(line), "{\"sha256\": \"%s\"}\n",
                 vlm_hex(hex, sha256, VLM_SHA256_SIZE));
        append_file(folder, "deleted.jsonl", line);
    }
    stop(&it);
    vlm_buffer_release(&file);
    free(answer.body);
    free(folder);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], VLM_BOX_VERB))
        return vlm_picture_box(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_become_whole_pictures),
        cmocka_unit_test(streams_show_unfinished_pictures),
        cmocka_unit_test(pictures_are_stored_on_request),
        cmocka_unit_test(an_edit_keeps_what_is_outside_the_mask),
        cmocka_unit_test(errors_name_the_field),
        cmocka_unit_test(words_of_pictures_are_limited),
        cmocka_unit_test(requests_share_a_memory),
        cmocka_unit_test(a_deleted_picture_is_not_drawn),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
