/* metrics.h - the run's lines: metrics.jsonl (the same on every run) and perf.jsonl (of this one).
 *
 *   rc = vlm_metrics_open(&metrics, "run/metrics.jsonl", state.step, &err);  // cuts lines behind that step
 *   vlm_json_open(&json, '{'); ...
 *   rc = vlm_metrics_line(&metrics, &buffer, &err);                            // one write(2), whole
 *   vlm_metrics_close(&metrics);
 *
 * Lines are described in schemas/metrics.md. */
#ifndef VLM_TRAINER_METRICS_H
#define VLM_TRAINER_METRICS_H

#include "base/json.h"

struct vlm_metrics {
    int fd;
    char *path;
};

/* Appends; first cuts what stands behind the last line whose "step" is at most `step`, and a half line. So the
 * lines of a step must all be written before its checkpoint is. The file is made when it is absent. */
VLM_MUST_CHECK int vlm_metrics_open(struct vlm_metrics *metrics, const char *path, uint64_t step,
                                    struct vlm_err *err);

/* Adds a newline to the buffer, which holds one object, writes it, and empties the buffer. On failure the file
 * is as before. VLM_ELIMIT: the disk is full. */
VLM_MUST_CHECK int vlm_metrics_line(struct vlm_metrics *metrics, struct vlm_buffer *line,
                                    struct vlm_err *err);

/* Brings the lines to the disk. Before a checkpoint: after a power cut the lines up to it are there. */
VLM_MUST_CHECK int vlm_metrics_sync(struct vlm_metrics *metrics, struct vlm_err *err);
void vlm_metrics_close(struct vlm_metrics *metrics); /* safe on a zeroed struct with fd -1 */

#endif
