/* metrics_lines.h - the lines of metrics.jsonl and perf.jsonl, as schemas/metrics.md has them.
 *
 *   vlm_step_line_write(&buffer, &(struct vlm_step_line){ .step = 7, .loss = 3.2, ... });
 *   rc = vlm_metrics_line(&metrics, &buffer, &err);
 *
 * Each function appends one JSON object without a newline, which vlm_metrics_line() adds. Nothing in a line of
 * metrics.jsonl depends on time, threads or the machine; that is what perf.jsonl is for. */
#ifndef VLM_TRAINER_METRICS_LINES_H
#define VLM_TRAINER_METRICS_LINES_H

#include "nn/guard.h"
#include "trainer/data/evaluation_sums.h"
#include "trainer/save/metrics.h"

/* A step. Numbers that are not finite are written as null. */
struct vlm_step_line {
    uint64_t step;                     /* its number, from 1 */
    double loss;                       /* as trained: weighted mean */
    double loss_of[VLM_MODALITIES];    /* nats a token; NAN: no such target */
    double rate, grad_norm;            /* the norm before clipping */
    uint64_t tokens, documents, epoch; /* so far, this step included */
    enum vlm_guard_verdict verdict;    /* written when it is not VLM_GUARD_ACCEPT */
    const struct vlm_place *place;     /* where the step's data begins */
    size_t sources;                    /* numbers of place that count */
};
void vlm_step_line_write(struct vlm_buffer *out, const struct vlm_step_line *line);

/* {"event": "eval", "step": N, ...}: the members of vlm_evaluation_sums_write() follow. */
void vlm_eval_line_write(struct vlm_buffer *out, uint64_t step,
                         const struct vlm_evaluation_sums *sums);

/* {"event": "sample", "step": N, "file": "samples/..."}: file is below the run folder. */
void vlm_sample_line_write(struct vlm_buffer *out, uint64_t step, const char *file);

/* {"event": "roll-back", "step": N, "to": M}: the guard gave step N up, the run goes on from M. */
void vlm_roll_back_line_write(struct vlm_buffer *out, uint64_t step, uint64_t to);

/* A line of perf.jsonl: about the steps since the line before. */
struct vlm_perf_line {
    uint64_t step;
    double seconds;           /* of this process, since it began to train */
    double tokens_per_second; /* checkpoints and evaluations left out */
    double data_wait_ms;
    uint64_t rss;         /* bytes, now */
    double checkpoint_ms; /* 0: none was written */
};
void vlm_perf_line_write(struct vlm_buffer *out, const struct vlm_perf_line *line);

#endif
