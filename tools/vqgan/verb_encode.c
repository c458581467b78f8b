/* verb_encode.c - vlm-vqgan encode: pictures into codes, a JSON line each. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/progress.h"
#include "shard/parts/encode.h"
#include "tools/common/signals.h"
#include "tools/vqgan/squares.h"
#include "tools/vqgan/vqgan.h"

struct encoding {
    const char *model;
    int precision;
    int64_t threads;
    int progress_mode;
    bool json, quiet;
    struct vlm_coders coders;
    struct vlm_progress progress;
    struct vlm_buffer line;
    uint64_t done, bad;
    double started;
};

static int encode(void *context, struct vlm_squares_item *item, size_t worker, struct vlm_err *err)
{
    const struct encoding *encoding = context;
    uint8_t *room = vlm_buffer_reserve(&item->result, VLM_CODES * sizeof(uint16_t));
    uint16_t codes[VLM_CODES];
    if (!room)
        return vlm_fail(err, VLM_ENOMEM, "no memory for codes");
    int rc = vlm_coder_encode(encoding->coders.coder[worker], codes, item->square, 1, err);
    if (rc == VLM_EFORMAT) { /* costs this picture only */
        item->error = "not_finite";
        snprintf(item->problem, sizeof(item->problem), "%s", err->msg);
        return VLM_OK;
    }
    memcpy(room, codes, sizeof(codes));
    item->result.size += sizeof(codes);
    return rc;
}

static void make_line(struct vlm_buffer *line, const struct vlm_squares_item *item,
                      const char *tokenizer)
{
    struct vlm_json json = { .out = line };
    vlm_buffer_reset(line);
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "file", item->name);
    vlm_json_key(&json, "sha256");
    if (item->bytes.size)
        vlm_json_hex(&json, item->sha256, sizeof(item->sha256));
    else
        vlm_json_null(&json);
    vlm_json_member_string(&json, "tokenizer", tokenizer);
    vlm_json_key(&json, "codes");
    if (item->error) {
        vlm_json_null(&json);
        vlm_json_member_string(&json, "error", item->error);
    } else {
        uint16_t codes[VLM_CODES];
        memcpy(codes, item->result.data, sizeof(codes));
        vlm_json_open(&json, '[');
        for (size_t i = 0; i < VLM_CODES; i++)
            vlm_json_number(&json, codes[i]);
        vlm_json_close(&json, ']');
    }
    vlm_json_close(&json, '}');
    vlm_buffer_byte(line, '\n');
}

static int print(void *context, struct vlm_squares_item *item, struct vlm_err *err)
{
    struct encoding *encoding = context;
    char text[80], count[VLM_FORMAT_SIZE];
    encoding->done++;
    make_line(&encoding->line, item, vlm_tokenizer_info(encoding->coders.tokenizer).id);
    if (encoding->line.failed)
        return vlm_fail(err, VLM_ENOMEM, "%s: no memory for a line", item->name);
    if (fwrite(encoding->line.data, 1, encoding->line.size, stdout) != encoding->line.size)
        return vlm_fail_errno(err, errno, "cannot write to standard output");
    if (item->error) {
        encoding->bad++;
        vlm_progress_end(&encoding->progress);
        fprintf(stderr, "vlm-vqgan: %s: %s\n", item->name, item->problem);
    }
    snprintf(text, sizeof(text), "encode  %s pictures  %.1f/s",
             vlm_format_count(count, (double)encoding->done),
             (double)encoding->done / (vlm_now() - encoding->started));
    vlm_progress_update(&encoding->progress, -1, text);
    return VLM_OK;
}

static int run(struct encoding *encoding, char **inputs, size_t n, struct vlm_err *err)
{
    int rc =
        vlm_coders_open(&encoding->coders, encoding->model, (enum vlm_precision)encoding->precision,
                        (size_t)encoding->threads, err);
    struct vlm_squares squares = { .threads = encoding->coders.count,
                                   .work = encode,
                                   .done = print,
                                   .context = encoding,
                                   .stop = vlm_catch_signals() };
    vlm_progress_init(&encoding->progress, encoding->progress_mode, encoding->quiet);
    encoding->started = vlm_now();
    if (rc == VLM_OK)
        rc = vlm_squares_run(&squares, inputs, n, err);
    vlm_progress_end(&encoding->progress);
    return rc;
}

/* Shard sets --------------------------------------------------------------------------------------- */

static void show(uint64_t done, uint64_t all, void *context)
{
    struct encoding *encoding = context;
    char text[80], count[VLM_FORMAT_SIZE], whole[VLM_FORMAT_SIZE], eta[VLM_FORMAT_SIZE];
    double share = all ? (double)done / (double)all : 1;
    snprintf(text, sizeof(text), "encode  %s of %s pictures  eta %s",
             vlm_format_count(count, (double)done), vlm_format_count(whole, (double)all),
             vlm_format_eta(eta, vlm_progress_seconds(&encoding->progress), share));
    vlm_progress_update(&encoding->progress, share, text);
}

static void report(const struct encoding *encoding, const char *folder,
                   const struct vlm_encode_result *result)
{
    if (encoding->json)
        printf("{\"tokenizer\": \"%s\", \"codes\": %" PRIu64 ", \"not_finite\": %" PRIu64
               ", \"had_codes\": %s}\n",
               result->id, result->codes, result->not_finite, result->had_codes ? "true" : "false");
    if (encoding->quiet)
        return;
    if (result->had_codes)
        fprintf(stderr, "vlm-vqgan: '%s' has codes of %s already\n", folder, result->id);
    else
        fprintf(stderr, "vlm-vqgan: '%s' has codes of %s now: %" PRIu64 " pictures\n", folder,
                result->id, result->codes);
    if (result->not_finite)
        fprintf(stderr, "vlm-vqgan: %" PRIu64 " pictures got none: their latents are not finite\n",
                result->not_finite);
}

/* vlm_set_encode() answers signals itself; *number is the one that came. */
static int encode_set(struct encoding *encoding, const char *folder, int *number,
                      struct vlm_err *err)
{
    struct vlm_encode_result result = { .had_codes = false };
    const struct vlm_encode_options options = {
        .model = encoding->model,
        .precision = (enum vlm_precision)encoding->precision,
        .threads = (size_t)encoding->threads,
    };
    vlm_progress_init(&encoding->progress, encoding->progress_mode, encoding->quiet);
    int rc = vlm_set_encode(folder, &options, show, encoding, &result, err);
    vlm_progress_end(&encoding->progress);
    encoding->bad += result.not_finite;
    *number = rc == VLM_ESTOPPED ? result.signal : 0;
    if (rc == VLM_OK)
        report(encoding, folder, &result);
    return rc;
}

static int check_inputs(char **inputs, int n, bool *is_set, struct vlm_err *err)
{
    if (!n)
        return vlm_fail(err, VLM_EUSAGE, "no file given");
    for (int i = 0; i < n; i++)
        *is_set |= vlm_is_shard_set(inputs[i]);
    if (*is_set && n > 1)
        return vlm_fail(err, VLM_EUSAGE, "give one shard set, or files without one");
    return VLM_OK;
}

int vlm_vqgan_encode(int argc, char **argv)
{
    struct encoding encoding = { .precision = VLM_PRECISION_EXACT };
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('m', "model", &encoding.model, "MODEL",
                          "the tokenizer; without, the one in the program"),
        VLM_OPTION_CHOICE(0, "precision", &encoding.precision, VLM_PRECISION_WORDS,
                          "fast and bf16 are other tokenizers with ids of their own"),
        VLM_OPTION_NUMBER('j', "threads", &encoding.threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_CHOICE(0, "progress", &encoding.progress_mode, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG(0, "json", &encoding.json, "of a shard set: a report as JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &encoding.quiet, "no progress"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-vqgan encode",
        .synopsis = "FILE...|OUT [-m MODEL] [options]",
        .summary =
            "Turns pictures into codes: a line of JSON for each with file, sha256, tokenizer\n"
            "and codes, 256 numbers in rows of 16. A folder, a crawl or an archive stands\n"
            "for the pictures in it. Of a picture that cannot be used, codes is null and\n"
            "error says why; the exit status is then 3. A shard set OUT gets the codes of\n"
            "its pictures; run the same command again after an interruption.",
        .examples = "  vlm-vqgan encode photo.jpg | vlm-vqgan decode -o back\n"
                    "  vlm-vqgan encode -m vq photos/ > codes.jsonl\n"
                    "  vlm-vqgan encode -m vq out\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &encoding.json,
        .quiet = &encoding.quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    bool is_set = false;
    int number = 0;
    if (rc == VLM_OK)
        rc = check_inputs(argv + 1, argc - 1, &is_set, &err);
    if (rc == VLM_OK && is_set)
        rc = encode_set(&encoding, argv[1], &number, &err);
    else if (rc == VLM_OK)
        rc = run(&encoding, argv + 1, (size_t)argc - 1, &err);
    vlm_coders_close(&encoding.coders);
    vlm_buffer_release(&encoding.line);
    int status = vlm_tool_end_caught(&tool, rc, &err);
    if (number)
        return 128 + number;
    return status == VLM_EXIT_DONE && encoding.bad ? VLM_EXIT_BAD_INPUT : status;
}
