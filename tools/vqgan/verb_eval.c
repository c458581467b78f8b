/* verb_eval.c - vlm-vqgan eval: how near a tokenizer brings pictures back, and how fast. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/progress.h"
#include "tools/bench/machine.h"
#include "tools/common/signals.h"
#include "tools/vqgan/evaluate.h"
#include "tools/vqgan/squares.h"

struct measuring {
    const char *model, *sheet;
    int precision;
    int64_t threads;
    int progress_mode;
    bool json, quiet;
    struct vlm_coders coders;
    struct vlm_evaluation evaluation;
    struct vlm_progress progress;
    uint64_t bad;
    struct {
        uint64_t *hashes; /* open addressing; 0: free */
        size_t capacity, count;
    } seen; /* of sets, in which documents share pictures */
};

static uint64_t *find_place(uint64_t *hashes, size_t capacity, uint64_t hash)
{
    size_t i = (size_t)hash & (capacity - 1);
    while (hashes[i] && hashes[i] != hash)
        i = (i + 1) & (capacity - 1);
    return &hashes[i];
}

/* Whether its first 8 bytes are new, which then are remembered. */
static int note_picture(struct measuring *measuring, const uint8_t sha256[VLM_SHA256_SIZE],
                        bool *is_new, struct vlm_err *err)
{
    uint64_t hash, *old = measuring->seen.hashes;
    size_t capacity = measuring->seen.capacity;
    memcpy(&hash, sha256, sizeof(hash));
    if (measuring->seen.count * 2 >= capacity) {
        size_t larger = capacity ? 2 * capacity : 1024;
        uint64_t *hashes = calloc(larger, sizeof(*hashes));
        if (!hashes)
            return vlm_fail(err, VLM_ENOMEM, "no memory for %zu pictures", capacity);
        measuring->seen.hashes = hashes;
        measuring->seen.capacity = larger;
        for (size_t i = 0; i < capacity; i++)
            if (old[i])
                *find_place(hashes, larger, old[i]) = old[i];
        free(old);
    }
    uint64_t *place = find_place(measuring->seen.hashes, measuring->seen.capacity, hash);
    *is_new = *place != hash;
    measuring->seen.count += *is_new;
    *place = hash;
    return VLM_OK;
}

static int make(void *context, struct vlm_squares_item *item, size_t worker, struct vlm_err *err)
{
    const struct measuring *measuring = context;
    struct vlm_made *made = (void *)vlm_buffer_reserve(&item->result, sizeof(*made));
    if (!made)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a reconstruction");
    item->result.size += sizeof(*made);
    return vlm_evaluation_make(&measuring->evaluation, worker, item->square, made, err);
}

static int add(void *context, struct vlm_squares_item *item, struct vlm_err *err)
{
    struct measuring *measuring = context;
    char line[80], count[VLM_FORMAT_SIZE];
    bool is_new = true;
    if (item->from == VLM_FROM_SET && !item->error) {
        int rc = note_picture(measuring, item->sha256, &is_new, err);
        if (rc < 0)
            return rc;
    }
    if (item->error) {
        measuring->bad++;
        vlm_progress_end(&measuring->progress);
        fprintf(stderr, "vlm-vqgan: %s: %s\n", item->name, item->problem);
        return VLM_OK;
    }
    if (is_new)
        vlm_evaluation_add(&measuring->evaluation, item->square,
                           (const struct vlm_made *)(const void *)item->result.data);
    snprintf(line, sizeof(line), "eval  %s pictures",
             vlm_format_count(count, (double)measuring->evaluation.quality.images));
    vlm_progress_update(&measuring->progress, -1, line);
    return VLM_OK;
}

static int print(const struct measuring *measuring, struct vlm_err *err)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    int rc = VLM_OK;
    if (!measuring->json) {
        vlm_evaluation_print(&measuring->evaluation, stdout);
        return VLM_OK;
    }
    vlm_json_open(&json, '{');
    vlm_evaluation_write(&measuring->evaluation, &json);
    vlm_json_member_number(&json, "bad", measuring->bad);
    vlm_json_close(&json, '}');
    if (out.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the report");
    else
        printf("%.*s\n", (int)out.size, (const char *)out.data);
    vlm_buffer_release(&out);
    return rc;
}

static int run(struct measuring *measuring, char **inputs, size_t n, bool *nothing,
               struct vlm_err *err)
{
    int rc =
        vlm_coders_open(&measuring->coders, measuring->model,
                        (enum vlm_precision)measuring->precision, (size_t)measuring->threads, err);
    if (rc == VLM_OK)
        rc = vlm_evaluation_init(&measuring->evaluation, &measuring->coders, err);
    struct vlm_squares squares = { .threads = measuring->coders.count,
                                   .work = make,
                                   .done = add,
                                   .context = measuring,
                                   .stop = vlm_catch_signals() };
    vlm_progress_init(&measuring->progress, measuring->progress_mode, measuring->quiet);
    if (rc == VLM_OK)
        rc = vlm_squares_run(&squares, inputs, n, err);
    vlm_progress_end(&measuring->progress);
    *nothing = rc == VLM_OK && measuring->evaluation.quality.images == 0;
    if (*nothing)
        return vlm_fail(err, VLM_EFORMAT, "there is no picture to measure");
    if (rc == VLM_OK && measuring->sheet)
        rc = vlm_evaluation_sheet(&measuring->evaluation, measuring->sheet, err);
    return rc == VLM_OK ? print(measuring, err) : rc;
}

int vlm_vqgan_eval(int argc, char **argv)
{
    struct measuring measuring = { .precision = VLM_PRECISION_EXACT };
    bool nothing = false;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('m', "model", &measuring.model, "MODEL",
                          "the tokenizer; without, the one in the program"),
        VLM_OPTION_CHOICE(0, "precision", &measuring.precision, VLM_PRECISION_WORDS,
                          "of the computation"),
        VLM_OPTION_STRING(0, "sheet", &measuring.sheet, "FILE.png",
                          "write the first pictures above their reconstructions"),
        VLM_OPTION_NUMBER('j', "threads", &measuring.threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_CHOICE(0, "progress", &measuring.progress_mode, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG(0, "json", &measuring.json, "print the report as one JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &measuring.quiet, "no progress"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-vqgan eval",
        .synopsis = "FILE...|OUT [-m MODEL] [options]",
        .summary =
            "Encodes and decodes pictures and compares: PSNR and SSIM (means over pictures), how\n"
            "many of the codes are used and how evenly (perplexity), and images a second of the\n"
            "encoder. Of a shard set, the stored squares; of files, their squares as they are.",
        .examples = "  vlm-vqgan eval photos/ --sheet sheet.png\n"
                    "  vlm-vqgan eval -m vq out --json | jq .psnr\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &measuring.json,
        .quiet = &measuring.quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc < 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "no file given");
    if (rc == VLM_OK)
        rc = run(&measuring, argv + 1, (size_t)argc - 1, &nothing, &err);
    free(measuring.seen.hashes);
    vlm_evaluation_release(&measuring.evaluation);
    vlm_coders_close(&measuring.coders);
    int status = vlm_tool_end_caught(&tool, rc, &err);
    if (measuring.bad && (nothing || status == VLM_EXIT_DONE))
        return VLM_EXIT_BAD_INPUT;
    return nothing ? VLM_EXIT_NOTHING : status;
}
