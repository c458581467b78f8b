/* generate_print.c - an answer as text with its pictures beside it, or as one JSON object. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "tools/common/print.h"
#include "tools/generate/generate_tool.h"

enum { NAME_SIZE = 40 };

static const char *const stop_words[] = {
    [VLM_STOP_END] = "eos",
    [VLM_STOP_LIMIT] = "limit",
    [VLM_STOP_WORD] = "word",
    [VLM_STOP_IMAGE] = "image",
};

/* One answer on its way out. */
struct printing {
    struct vlm_answer_printer *printer;
    const struct vlm_answer *answer;
    size_t first; /* number of its first picture */
};

static const char *picture_name(char name[NAME_SIZE], size_t number)
{
    snprintf(name, NAME_SIZE, "image-%zu.png", number);
    return name;
}

/* ---- pictures ---- */

/* Codes of a picture that a limit, or the prompt, cut: what is missing is unknown. */
static void copy_codes(uint16_t codes[VLM_CODES], const struct printing *it,
                       const struct vlm_sequence_image *image)
{
    vlm_answer_codes(codes, it->printer->vocabulary, it->answer->sequence.ids + image->position,
                     image->n_tokens);
}

static int write_picture(const struct printing *it, size_t i, uint8_t *square, struct vlm_err *err)
{
    const char *folder = it->printer->request->folder;
    uint16_t codes[VLM_CODES];
    char name[NAME_SIZE];
    struct vlm_buffer png = { 0 };
    copy_codes(codes, it, &it->answer->sequence.images[i]);
    int rc = vlm_coder_decode(it->printer->coder, square, codes, 1, err);
    if (rc == VLM_OK)
        rc = vlm_rgb_to_png(&png, square, VLM_SQUARE_SIDE, VLM_SQUARE_SIDE, err);
    char *path = vlm_path_join(folder, picture_name(name, it->first + i));
    for (size_t k = 0; rc == VLM_OK && k < it->printer->request->n_images; k++)
        rc = vlm_file_check_output(path, it->printer->request->images[k], err);
    if (rc == VLM_OK)
        rc = vlm_file_write(path, png.data, png.size, err);
    free(path);
    vlm_buffer_release(&png);
    return rc;
}

static int write_pictures(const struct printing *it, struct vlm_err *err)
{
    const size_t n = it->answer->sequence.n_images;
    if (!n || !it->printer->coder)
        return VLM_OK;
    uint8_t *square = malloc(VLM_SQUARE_BYTES);
    int rc = square ? vlm_folder_make(it->printer->request->folder, err)
                    : vlm_fail(err, VLM_ENOMEM, "no memory for a picture");
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        rc = write_picture(it, i, square, err);
    free(square);
    return rc;
}

/* ---- text ---- */

/* The document without its begin token; a picture that was written is named in the place of its codes. */
static int add_text(struct vlm_buffer *out, const struct printing *it, struct vlm_err *err)
{
    const struct vlm_sequence *page = &it->answer->sequence;
    const struct vlm_vocabulary *vocabulary = it->printer->vocabulary;
    char name[NAME_SIZE];
    size_t at = 1;
    int rc = VLM_OK;
    for (size_t i = 0; it->printer->coder && rc == VLM_OK && i < page->n_images; i++) {
        const struct vlm_sequence_image *image = &page->images[i];
        rc = vlm_sequence_text(out, vocabulary, page->ids + at, image->position - at, err);
        vlm_buffer_text(out, picture_name(name, it->first + i));
        at = image->position + image->n_tokens;
    }
    return rc == VLM_OK ? vlm_sequence_text(out, vocabulary, page->ids + at, page->n - at, err)
                        : rc;
}

static void json_bytes(struct vlm_json *json, const char *key, const struct vlm_buffer *text)
{
    vlm_json_key(json, key);
    vlm_json_text(json, text->size ? (const char *)text->data : "", text->size);
}

static int json_fills(struct vlm_json *json, const struct printing *it, struct vlm_buffer *text,
                      struct vlm_err *err)
{
    int rc = VLM_OK;
    vlm_json_key(json, "fills");
    vlm_json_open(json, '[');
    for (size_t i = 0; rc == VLM_OK && i < it->answer->n_fills; i++) {
        const struct vlm_sequence *fill = &it->answer->fills[i];
        vlm_buffer_reset(text);
        rc = vlm_sequence_text(text, it->printer->vocabulary, fill->ids, fill->n, err);
        vlm_json_open(json, '{');
        vlm_json_member_number(json, "mask", i);
        json_bytes(json, "text", text);
        vlm_json_member_number(json, "tokens", fill->n);
        vlm_json_member_string(json, "stop", stop_words[it->answer->why[i]]);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
    return rc;
}

/* Codes that a limit cut off are null. */
static void json_images(struct vlm_json *json, const struct printing *it)
{
    char name[NAME_SIZE];
    vlm_json_key(json, "images");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < it->answer->sequence.n_images; i++) {
        uint16_t codes[VLM_CODES];
        copy_codes(codes, it, &it->answer->sequence.images[i]);
        vlm_json_open(json, '{');
        vlm_json_member_string(json, "file",
                               it->printer->coder ? picture_name(name, it->first + i) : NULL);
        vlm_json_key(json, "codes");
        vlm_json_open(json, '[');
        for (size_t k = 0; k < VLM_CODES; k++) {
            if (codes[k] == VLM_CODE_UNKNOWN)
                vlm_json_null(json);
            else
                vlm_json_number(json, codes[k]);
        }
        vlm_json_close(json, ']');
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

static int add_json(struct vlm_buffer *out, const struct printing *it, uint64_t seed,
                    struct vlm_err *err)
{
    struct vlm_json json = { .out = out };
    struct vlm_buffer text = { 0 };
    vlm_json_open(&json, '{');
    int rc = add_text(&text, it, err);
    json_bytes(&json, "text", &text);
    if (rc == VLM_OK)
        rc = json_fills(&json, it, &text, err);
    json_images(&json, it);
    vlm_json_member_real(&json, "log_likelihood", it->answer->log_likelihood);
    vlm_json_member_number(&json, "seed", seed);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
    if (text.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for an answer");
    vlm_buffer_release(&text);
    return rc;
}

int vlm_answer_print(struct vlm_answer_printer *printer, const struct vlm_answer *answer,
                     uint64_t seed, struct vlm_err *err)
{
    const struct vlm_generate_request *request = printer->request;
    const struct printing it = { .printer = printer, .answer = answer, .first = printer->pictures };
    struct vlm_buffer out = { 0 };
    int rc = write_pictures(&it, err);
    printer->pictures += answer->sequence.n_images;
    if (rc == VLM_OK && request->json) {
        rc = add_json(&out, &it, seed, err);
    } else if (rc == VLM_OK) {
        if (request->answers > 1)
            vlm_buffer_printf(&out, "--- seed %" PRIu64 "\n", seed);
        rc = add_text(&out, &it, err);
        vlm_buffer_byte(&out, '\n');
    }
    if (rc == VLM_OK)
        rc = vlm_print(&out, err);
    vlm_buffer_release(&out);
    return rc;
}
