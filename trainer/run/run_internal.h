/* run_internal.h - what the parts of a training run share: the plan (setup.c), the machine that makes steps
 * (step.c), what people and programs are told (report.c). run.c brings them together. */
#ifndef VLM_TRAINER_RUN_INTERNAL_H
#define VLM_TRAINER_RUN_INTERNAL_H

#include "base/file.h"
#include "base/progress.h"
#include "nn/optimizer.h"
#include "trainer/run/evaluate.h"
#include "trainer/run/samples.h"
#include "trainer/run/train.h"
#include "trainer/save/metrics_lines.h"

/* ---- the plan: all that options decide, before any memory is taken for a model ---- */

struct vlm_train_plan {
    const struct vlm_train_run_options *options;
    struct vlm_recipe recipe; /* data.block and the seed are those of the run */
    const struct vlm_preset *preset;
    struct vlm_corpus *corpus;
    struct vlm_model_folder *from; /* of --init-from, or NULL */
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    char image_tokenizer_id[VLM_TOKENIZER_ID_SIZE]; /* "": the model knows no images */
    size_t codes;                                   /* of its codebook */
    struct vlm_tokenizer *images; /* that tokenizer, for pictures of samples; NULL: not at hand */
    struct vlm_model_config config;
    size_t image_rows; /* rows that stand for an <image>; 0: no encoder */
    size_t batch, accumulation, batch_tokens;
    uint64_t steps, warmup, decay_steps;
    bool
        as_begun; /* warmup and decay_steps are those the run began with, not what follows from steps */
    struct vlm_schedule schedule;
    char schedule_word[16]; /* of VLM_SCHEDULE_WORDS */
    struct vlm_optimizer_options adam;
    struct vlm_model_estimate estimate;
    size_t available;             /* bytes of memory that the run may take */
    uint64_t documents;           /* of all sources */
    struct vlm_buffer config_ini; /* config.resolved.ini */
    struct vlm_identity identity;
};

/* VLM_ELIMIT: it does not fit into memory, with the numbers. Parts are not verified yet. */
VLM_MUST_CHECK int vlm_train_plan_make(struct vlm_train_plan *plan,
                                       const struct vlm_train_run_options *options,
                                       struct vlm_err *err);
void vlm_train_plan_release(struct vlm_train_plan *plan); /* safe on a zeroed struct */

/* Opens the corpus again, its parts checked against their checksums. */
VLM_MUST_CHECK int vlm_train_plan_verify(struct vlm_train_plan *plan, struct vlm_err *err);

/* Sizes that are options, as the plan has them. */
struct vlm_train_size {
    const char *key;
    size_t value;
    int64_t option; /* 0: not given */
};
enum { VLM_TRAIN_SIZES = 5 };
void vlm_train_plan_sizes(struct vlm_train_size sizes[VLM_TRAIN_SIZES],
                          const struct vlm_train_plan *plan);

/* config.resolved.ini and the identity: resolved.c. */
VLM_MUST_CHECK int vlm_train_plan_resolve(struct vlm_train_plan *plan, struct vlm_err *err);

/* A loader of the run's documents; epoch 0 and the same masks each time for all splits but TRAIN. */
struct vlm_loader_options vlm_train_plan_loader(const struct vlm_train_plan *plan,
                                                enum vlm_split split, uint64_t documents_max);

/* VLM_EUSAGE: --output is in a shard set, or has files that are no run's and that a run would replace: output.c. */
VLM_MUST_CHECK int vlm_train_output_check(const struct vlm_train_run_options *options,
                                          struct vlm_err *err);

/* ---- steps ---- */

/* What happened in a step. */
struct vlm_train_step {
    double loss;                    /* weighted, as trained */
    double loss_of[VLM_MODALITIES]; /* nats a token; NAN: no such target */
    double norm, rate;
    uint64_t tokens, documents, epoch;
    enum vlm_guard_verdict verdict;
    struct vlm_place before; /* where its data begins */
};

enum { VLM_BAD_STEPS_MAX = 16, VLM_ID_TEXT_SIZE = 200 };

/* A batch that the guard refused. */
struct vlm_bad_step {
    uint64_t step, batch;
    double loss, norm;
    char ids[VLM_ID_TEXT_SIZE]; /* of its documents, the first few */
};

/* For tests: called behind the backward pass of each step, to spoil its loss or gradients. */
struct vlm_stepper;
struct vlm_train_disturbance {
    void (*spoil)(struct vlm_stepper *stepper, double *loss, void *context); /* NULL: nothing */
    void *context;
};

struct vlm_stepper {
    const struct vlm_train_plan *plan;
    struct vlm_engine engine;
    struct vlm_model model;
    struct vlm_tape tape;
    struct vlm_optimizer optimizer;
    struct vlm_loader *loader;
    struct vlm_batch *batch; /* [accumulation]: micro-batches of a step */
    size_t n_batch;
    float *row_losses; /* [batch_tokens] */
    struct vlm_trainer_state state;
    struct vlm_train_step last;
    struct vlm_bad_step bad[VLM_BAD_STEPS_MAX]; /* in a row, the last of them */
    size_t n_bad;
    double wait_before; /* seconds that loaders that are gone have waited */
    struct vlm_train_disturbance disturbance;
};

/* Engine, model with its first weights, optimizer, memory; state is zero, and there is no loader yet. */
VLM_MUST_CHECK int vlm_stepper_init(struct vlm_stepper *stepper, const struct vlm_train_plan *plan,
                                    struct vlm_err *err);
void vlm_stepper_release(struct vlm_stepper *stepper); /* safe on a zeroed struct */

/* Weights, moments and state as at the beginning of a run. */
VLM_MUST_CHECK int vlm_stepper_restart(struct vlm_stepper *stepper, struct vlm_err *err);

/* A loader at state.place. To be called when the state was set from outside. */
VLM_MUST_CHECK int vlm_stepper_seek(struct vlm_stepper *stepper, struct vlm_err *err);

/* One step; what happened is in last. VLM_OK whatever the guard says: at VLM_GUARD_ROLL_BACK the caller goes
 * back to an earlier state. VLM_ESTOPPED: a signal came between its micro-batches; model and state are as before,
 * only the loader is further. */
VLM_MUST_CHECK int vlm_stepper_step(struct vlm_stepper *stepper, struct vlm_err *err);

/* Adds the numbers of the bad batches to state.left_out, those that are over being dropped first. VLM_EFAIL:
 * there are too many. */
VLM_MUST_CHECK int vlm_stepper_leave_out(struct vlm_stepper *stepper,
                                         const struct vlm_bad_step *bad, size_t n,
                                         struct vlm_err *err);

/* Seconds that steps waited for data since init. */
double vlm_stepper_waited(const struct vlm_stepper *stepper);

/* ---- report.c ---- */

struct vlm_train_report {
    struct vlm_progress progress;
    const struct vlm_train_plan *plan;
    uint64_t first_step, first_tokens; /* where this process began */
    double step_seconds, save_seconds; /* of this process */
    struct vlm_perf_line perf;         /* the last line of perf.jsonl */
    double perf_step_seconds, perf_wait;
    uint64_t perf_tokens;
    struct vlm_evaluation_sums validation;
    uint64_t validated; /* at this step; with has_validation */
    bool has_validation;
    bool has_samples;
    char samples[VLM_SAMPLES_NAME_SIZE]; /* the last: a file of the run folder */
};

void vlm_train_report_init(struct vlm_train_report *report, const struct vlm_train_plan *plan);
/* The line of progress. */
void vlm_train_report_show(struct vlm_train_report *report, const struct vlm_stepper *stepper);
/* Tells a sentence to the program, the line of progress out of its way. */
void vlm_train_report_tell(struct vlm_train_report *report, const char *format, ...)
    VLM_PRINTF(2, 3);
/* README.md and provenance.json of the model as it is now. */
void vlm_train_report_card(struct vlm_buffer *readme, struct vlm_buffer *provenance,
                           const struct vlm_train_report *report,
                           const struct vlm_stepper *stepper);
/* Lines of metrics.jsonl and perf.jsonl. */
void vlm_train_report_step(struct vlm_buffer *line, const struct vlm_stepper *stepper);
void vlm_train_report_perf(struct vlm_buffer *line, struct vlm_train_report *report,
                           const struct vlm_stepper *stepper);
/* The plan, and the whole run, each as one JSON object. */
void vlm_train_report_plan(struct vlm_buffer *out, const struct vlm_train_plan *plan);
void vlm_train_report_end(struct vlm_buffer *out, const struct vlm_train_report *report,
                          const struct vlm_stepper *stepper);

/* ---- run.c ---- */

/* The run of a plan: vlm_train_run_start() with one. disturbance: NULL, or a test's. */
VLM_MUST_CHECK int vlm_train_carry_out(struct vlm_train_plan *plan,
                                       const struct vlm_train_disturbance *disturbance,
                                       struct vlm_buffer *report, struct vlm_err *err);

#endif
