/* evaluate.c - reconstructions on all threads, figures in order.
 *
 * Speed is that of the coders alone: the images, the threads, and the seconds that each thread spent in
 * them; reading and decoding files is not part of it. */
#include "base/vlm.h"

#include "tools/vqgan/evaluate.h"

#include "nn/pool.h"
#include "tools/bench/machine.h"
#include "vqgan/train/sheet.h"

#include <math.h>

/* The best of some moments: a machine that is shared has another peak from one to the next. */
static int measure_peak(struct vlm_evaluation *evaluation, struct vlm_err *err)
{
    enum { TURNS = 5 };
    struct vlm_engine engine;
    bool bf16 = vlm_tokenizer_info(evaluation->coders->tokenizer).precision == VLM_PRECISION_BF16;
    int rc = vlm_engine_init(&engine, evaluation->coders->count, VLM_GEMM_AUTO, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < TURNS; i++)
        evaluation->peak =
            fmax(evaluation->peak, vlm_machine_peak(&engine, bf16 ? VLM_BF16 : VLM_F32));
    vlm_engine_release(&engine);
    return rc;
}

int vlm_evaluation_init(struct vlm_evaluation *evaluation, const struct vlm_coders *coders,
                        struct vlm_err *err)
{
    *evaluation = (struct vlm_evaluation){ .coders = coders, .started = vlm_now() };
    int rc = vlm_quality_init(&evaluation->quality,
                              vlm_tokenizer_info(coders->tokenizer).codebook_size, err);
    if (rc < 0)
        return rc;
    rc = measure_peak(evaluation, err);
    evaluation->sheet = malloc((size_t)VLM_SHEET_PAIRS * 2 * VLM_SQUARE_BYTES);
    if (rc == VLM_OK && !evaluation->sheet)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a contact sheet");
    if (rc < 0) {
        vlm_evaluation_release(evaluation);
        return rc;
    }
    memset(evaluation->sheet, 255, (size_t)VLM_SHEET_PAIRS * 2 * VLM_SQUARE_BYTES);
    return VLM_OK;
}

int vlm_evaluation_make(const struct vlm_evaluation *evaluation, size_t worker,
                        const uint8_t square[VLM_SQUARE_BYTES], struct vlm_made *made,
                        struct vlm_err *err)
{
    struct vlm_coder *coder = evaluation->coders->coder[worker];
    double begin = vlm_now();
    int rc = vlm_coder_encode(coder, made->codes, square, 1, err);
    double middle = vlm_now();
    if (rc == VLM_OK)
        rc = vlm_coder_decode(coder, made->square, made->codes, 1, err);
    made->encode_seconds = middle - begin;
    made->decode_seconds = vlm_now() - middle;
    return rc;
}

/* Originals of a row of the sheet, then their reconstructions. */
static uint8_t *place_on_sheet(const struct vlm_evaluation *evaluation, size_t number, size_t row)
{
    size_t place = (2 * (number / VLM_SHEET_COLS) + row) * VLM_SHEET_COLS + number % VLM_SHEET_COLS;
    return evaluation->sheet + place * VLM_SQUARE_BYTES;
}

void vlm_evaluation_add(struct vlm_evaluation *evaluation, const uint8_t square[VLM_SQUARE_BYTES],
                        const struct vlm_made *made)
{
    vlm_quality_add(&evaluation->quality, square, made->square, made->codes);
    evaluation->encode_seconds += made->encode_seconds;
    evaluation->decode_seconds += made->decode_seconds;
    if (evaluation->shown < VLM_SHEET_PAIRS) {
        memcpy(place_on_sheet(evaluation, evaluation->shown, 0), square, VLM_SQUARE_BYTES);
        memcpy(place_on_sheet(evaluation, evaluation->shown, 1), made->square, VLM_SQUARE_BYTES);
        evaluation->shown++;
    }
}

static double rate(const struct vlm_evaluation *evaluation, double seconds)
{
    double images = (double)evaluation->quality.images;
    double at_once = (double)VLM_MIN(evaluation->coders->count, evaluation->quality.images);
    return seconds > 0 ? images * at_once / seconds : 0;
}

/* Of the encoder, in terms of direct convolutions: Winograd's may do better than its share. */
static double peak_share(const struct vlm_evaluation *evaluation)
{
    double flops = vlm_coder_cost(evaluation->coders->coder[0]).encode;
    double share = rate(evaluation, evaluation->encode_seconds) * flops * 1e-9 / evaluation->peak;
    return evaluation->peak > 0 ? share : 0;
}

void vlm_evaluation_write(const struct vlm_evaluation *evaluation, struct vlm_json *json)
{
    struct vlm_quality_report report = vlm_quality_report(&evaluation->quality);
    struct vlm_tokenizer_info info = vlm_tokenizer_info(evaluation->coders->tokenizer);
    static const char *const precisions[] = { "exact", "fast", "bf16" };
    const struct {
        const char *name;
        double value;
    } figures[] = {
        { "psnr", report.psnr },
        { "ssim", report.ssim },
        { "usage", report.usage },
        { "perplexity", report.perplexity },
        { "psnr_pooled", report.psnr_pooled },
        { "l1", report.l1 },
        { "edge_psnr", report.edge_psnr },
        { "entropy_bits", report.entropy_bits },
        { "top10_share", report.top10_share },
        { "images_per_second", rate(evaluation, evaluation->encode_seconds) },
        { "peak_share", peak_share(evaluation) },
        { "peak_gflops", evaluation->peak },
        { "decoded_per_second", rate(evaluation, evaluation->decode_seconds) },
        { "seconds", vlm_now() - evaluation->started },
    };
    vlm_json_member_string(json, "tokenizer", info.id);
    vlm_json_member_string(json, "precision", precisions[info.precision]);
    vlm_json_member_number(json, "images", report.images);
    vlm_json_member_number(json, "codebook_size", info.codebook_size);
    vlm_json_member_number(json, "dead", report.dead);
    vlm_json_member_number(json, "threads", evaluation->coders->count);
    for (size_t i = 0; i < VLM_COUNTOF(figures); i++) {
        vlm_json_key(json, figures[i].name);
        vlm_json_real(json, figures[i].value);
    }
}

void vlm_evaluation_print(const struct vlm_evaluation *evaluation, FILE *out)
{
    struct vlm_quality_report r = vlm_quality_report(&evaluation->quality);
    struct vlm_tokenizer_info info = vlm_tokenizer_info(evaluation->coders->tokenizer);
    fprintf(out, "%-12s %s, %zu codes\n", "tokenizer", info.id, info.codebook_size);
    fprintf(out, "%-12s %" PRIu64 "\n", "images", r.images);
    fprintf(out, "%-12s %.2f dB (pooled %.2f, edges %.2f)\n", "PSNR", r.psnr, r.psnr_pooled,
            r.edge_psnr);
    fprintf(out, "%-12s %.4f\n", "SSIM", r.ssim);
    fprintf(out, "%-12s %.2f of 255\n", "L1", r.l1);
    fprintf(out, "%-12s %.1f %% used, %zu never; perplexity %.1f (%.2f bits); top ten %.1f %%\n",
            "codes", 100 * r.usage, r.dead, r.perplexity, r.entropy_bits, 100 * r.top10_share);
    fprintf(out, "%-12s %.1f images/s encoded (%.1f %% of the peak), %.1f decoded, %zu threads\n",
            "speed", rate(evaluation, evaluation->encode_seconds), 100 * peak_share(evaluation),
            rate(evaluation, evaluation->decode_seconds), evaluation->coders->count);
}

int vlm_evaluation_sheet(const struct vlm_evaluation *evaluation, const char *path,
                         struct vlm_err *err)
{
    size_t cols = VLM_MIN(evaluation->shown, (size_t)VLM_SHEET_COLS);
    size_t rows = 2 * ((evaluation->shown + VLM_SHEET_COLS - 1) / VLM_SHEET_COLS);
    if (!evaluation->shown)
        return vlm_fail(err, VLM_EFORMAT, "'%s': there is no picture to show", path);
    if (cols == VLM_SHEET_COLS)
        return vlm_sheet_write(path, evaluation->sheet, rows, cols, err);
    uint8_t *squares = malloc(rows * cols * VLM_SQUARE_BYTES); /* one row that is not full */
    if (!squares)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a contact sheet");
    for (size_t row = 0; row < rows; row++)
        memcpy(squares + row * cols * VLM_SQUARE_BYTES, place_on_sheet(evaluation, 0, row),
               cols * VLM_SQUARE_BYTES);
    int rc = vlm_sheet_write(path, squares, rows, cols, err);
    free(squares);
    return rc;
}

void vlm_evaluation_release(struct vlm_evaluation *evaluation)
{
    vlm_quality_release(&evaluation->quality);
    free(evaluation->sheet);
    evaluation->sheet = NULL;
}

/* Collections --------------------------------------------------------------------------------------- */

struct job {
    struct vlm_evaluation *evaluation;
    const struct vlm_pictures *pictures;
    bool held_out;
    size_t first; /* of the batch */
    struct result {
        int rc;
        struct vlm_err err;
        uint8_t square[VLM_SQUARE_BYTES];
        struct vlm_made made;
    } * results;
};

static void evaluate_one(void *context, size_t task, size_t worker)
{
    struct job *job = context;
    struct result *result = &job->results[task];
    result->rc = job->pictures->read(job->pictures, job->held_out, job->first + task,
                                     result->square, &result->err);
    if (result->rc == VLM_OK)
        result->rc = vlm_evaluation_make(job->evaluation, worker, result->square, &result->made,
                                         &result->err);
}

int vlm_evaluate_pictures(struct vlm_evaluation *evaluation, const struct vlm_pictures *pictures,
                          bool held_out, size_t most, struct vlm_err *err)
{
    size_t all = VLM_MIN(held_out ? pictures->held_out : pictures->train, most);
    size_t batch = 8 * evaluation->coders->count;
    struct job job = { .evaluation = evaluation, .pictures = pictures, .held_out = held_out };
    struct vlm_pool *pool = NULL;
    int rc = vlm_pool_new(&pool, evaluation->coders->count, err);
    job.results = calloc(batch, sizeof(*job.results));
    if (rc == VLM_OK && !job.results)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu pictures", batch);
    for (; rc == VLM_OK && job.first < all; job.first += batch) {
        size_t n = VLM_MIN(batch, all - job.first);
        vlm_pool_run(pool, n, evaluate_one, &job);
        for (size_t i = 0; rc == VLM_OK && i < n; i++) {
            struct result *result = &job.results[i];
            rc = result->rc;
            if (rc == VLM_OK)
                vlm_evaluation_add(evaluation, result->square, &result->made);
            else
                *err = result->err;
        }
    }
    free(job.results);
    vlm_pool_free(pool);
    return rc;
}
