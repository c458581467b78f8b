/* generate_print.c - an answer as text with its pictures beside it, or as one JSON object. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "models/generate/spell.h"
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
    bool open;    /* it goes on: a picture at its end that lacks codes is not there yet */
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

/* Pictures that are there. */
static size_t count_pictures(const struct printing *it)
{
    const struct vlm_sequence *page = &it->answer->sequence;
    const size_t n = page->n_images;
    const struct vlm_sequence_image *last = n ? &page->images[n - 1] : NULL;
    const bool cut = last && last->n_tokens < VLM_IMAGE_CODES &&
                     last->position + (size_t)last->n_tokens == page->n;
    return n - (it->open && cut);
}

static int write_pictures(const struct printing *it, struct vlm_err *err)
{
    const size_t n = count_pictures(it);
    if (n == it->printer->written || !it->printer->coder)
        return VLM_OK;
    uint8_t *square = malloc(VLM_SQUARE_BYTES);
    int rc = square ? vlm_folder_make(it->printer->request->folder, err)
                    : vlm_fail(err, VLM_ENOMEM, "no memory for a picture");
    for (; rc == VLM_OK && it->printer->written < n; it->printer->written++)
        rc = write_picture(it, it->printer->written, square, err);
    free(square);
    return rc;
}

/* ---- text ---- */

/* A fill as text, less the stop word that ended it and what its last token has behind that. The word is not looked
 * for in codes. */
static int add_fill(struct vlm_buffer *out, const struct printing *it, size_t fill,
                    const uint32_t *ids, size_t n, struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = it->printer->vocabulary;
    const struct vlm_generate_options *options = &it->printer->request->options;
    size_t last = n, word;
    while (last > 0 && !vlm_vocabulary_is_code(vocabulary, ids[last - 1]))
        last--;
    int rc = vlm_sequence_text(out, vocabulary, ids, last, err);
    const size_t begin = out->size;
    if (rc == VLM_OK)
        rc = vlm_sequence_text(out, vocabulary, ids + last, n - last, err);
    if (rc != VLM_OK || it->answer->why[fill] != VLM_STOP_WORD || out->size == begin)
        return rc;
    const size_t end = vlm_spell_find(out->data + begin, out->size - begin, 0, options->words,
                                      options->n_words, &word);
    if (end != SIZE_MAX)
        out->size = begin + end;
    return VLM_OK;
}

/* Tokens of the page, which are no picture that is written. */
static int add_tokens(struct vlm_buffer *out, const struct printing *it, size_t from, size_t to,
                      struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = it->printer->vocabulary;
    const uint32_t *page = it->answer->sequence.ids;
    const struct vlm_sequence *prompt = it->printer->prompt;
    int rc = VLM_OK;
    for (size_t i = 0, at = 0, fill = 0; rc == VLM_OK && i <= prompt->n; i++, at++) {
        if (i < prompt->n && vlm_vocabulary_mask_number(vocabulary, prompt->ids[i]) < 0)
            continue;
        if (fill == it->answer->n_fills)
            break;
        const size_t begin = VLM_MAX(at, from), end = at + it->answer->fills[fill].n;
        if (end > begin && end <= to) {
            rc = vlm_sequence_text(out, vocabulary, page + from, begin - from, err);
            if (rc == VLM_OK)
                rc = add_fill(out, it, fill, page + begin, end - begin, err);
            from = end;
        }
        at = end - 1;
        fill++;
    }
    return rc == VLM_OK ? vlm_sequence_text(out, vocabulary, page + from, to - from, err) : rc;
}

/* The document without its begin token; a picture that was written is named in the place of its codes. */
static int add_text(struct vlm_buffer *out, const struct printing *it, struct vlm_err *err)
{
    const struct vlm_sequence *page = &it->answer->sequence;
    char name[NAME_SIZE];
    size_t at = page->n && vlm_vocabulary_is_control(it->printer->vocabulary, page->ids[0]);
    int rc = VLM_OK;
    for (size_t i = 0; it->printer->coder && rc == VLM_OK && i < page->n_images; i++) {
        const struct vlm_sequence_image *image = &page->images[i];
        rc = add_tokens(out, it, at, image->position, err);
        if (i == count_pictures(it))
            return rc;
        vlm_buffer_text(out, picture_name(name, it->first + i));
        at = image->position + image->n_tokens;
    }
    return rc == VLM_OK ? add_tokens(out, it, at, page->n, err) : rc;
}

static void json_bytes(struct vlm_json *json, const char *key, const struct vlm_buffer *text)
{
    struct vlm_buffer shown = { 0 };
    vlm_json_key(json, key);
    vlm_spell_bytes(&shown, text->data, text->size); /* as the server has it */
    vlm_json_text(json, shown.size ? (const char *)shown.data : "", shown.size);
    json->out->failed = json->out->failed || shown.failed;
    vlm_buffer_release(&shown);
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
        rc = add_fill(text, it, i, fill->ids, fill->n, err);
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

/* What of the text is not out yet. */
static int print_rest(struct vlm_answer_printer *printer, struct vlm_buffer *text,
                      struct vlm_err *err)
{
    if (!text->failed) {
        const size_t shown = VLM_MIN(printer->shown, text->size);
        printer->shown = text->size;
        text->size -= shown;
        memmove(text->data, text->data + shown, text->size);
    }
    int rc = vlm_print(text, err);
    if (rc == VLM_OK && fflush(stdout) != 0)
        rc = vlm_fail_errno(err, errno, "cannot write to standard output");
    return rc;
}

int vlm_answer_print_part(struct vlm_answer_printer *printer, const struct vlm_stream *stream,
                          struct vlm_err *err)
{
    const struct vlm_generate_options *options = &printer->request->options;
    struct vlm_answer part = stream->answer; /* with a page of its own; the rest is borrowed */
    const struct printing it = {
        .printer = printer, .answer = &part, .first = printer->pictures, .open = true
    };
    struct vlm_buffer out = { 0 };
    /* Others put words together: the end of a text may change with what follows. */
    if (!vlm_text_tokenizer_is_bytewise(printer->vocabulary->tokenizer))
        return VLM_OK;
    part.sequence = (struct vlm_sequence){ 0 };
    int rc = vlm_stream_page(&part.sequence, stream, err);
    if (rc == VLM_OK)
        rc = write_pictures(&it, err);
    if (rc == VLM_OK)
        rc = add_text(&out, &it, err);
    if (rc == VLM_OK && out.size)
        out.size -= vlm_spell_open(out.data, out.size, options->words, options->n_words);
    if (rc == VLM_OK && out.size > printer->shown)
        rc = print_rest(printer, &out, err);
    vlm_buffer_release(&out);
    vlm_sequence_release(&part.sequence);
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
        rc = request->stream ? print_rest(printer, &out, err) : vlm_print(&out, err);
    printer->shown = printer->written = 0;
    vlm_buffer_release(&out);
    return rc;
}
