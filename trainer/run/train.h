/* train.h - a training run from options to model/: what vlm-train does.
 *
 * The parts, each in a file of its own: setup.c (recipe, data, vocabulary, model, estimate, identity), step.c
 * (batches -> loss -> gradients -> guard -> update), evaluate.c (validation), samples.c (what the model says
 * and draws), report.c (lines and the terminal), run.c (the loop: intervals, checkpoints, signals, roll-backs). */
#ifndef VLM_TRAINER_TRAIN_H
#define VLM_TRAINER_TRAIN_H

#include "models/recipe/preset.h"
#include "nn/schedule.h"
#include "trainer/save/checkpoint.h"

#include <signal.h>

#define VLM_SCHEDULE_WORDS "cosine|polynomial|wsd|constant"
#define VLM_ON_SPIKE_WORDS "roll-back|stop"

enum vlm_resume { VLM_RESUME_AUTO, VLM_RESUME_NEVER, VLM_RESUME_MUST };
#define VLM_RESUME_WORDS "auto|never|must"

/* Numbers that are 0, texts that are NULL and a warm-up below 0 take the preset's, or the default that --help
 * names. */
struct vlm_train_run_options {
    struct vlm_corpus_options data;
    const char *output;
    const char *recipe, *preset;
    const char *const *settings; /* of --set: recipe.h */
    size_t n_settings;
    const char *tokenizer; /* -t; NULL: the shipped one */
    const char
        *image_tokenizer;  /* folder, for pictures in samples; NULL: the shipped one if it fits */
    const char *init_from; /* model folder */
    int resume;
    /* size */
    int64_t layers, width, heads, kv_heads, hidden, block;
    /* a step */
    int64_t batch;        /* samples' worth of tokens in a micro-batch: batch * block */
    int64_t accumulation; /* micro-batches of a step */
    /* optimisation */
    const char *learning_rate, *min_rate, *weight_decay, *beta1, *beta2, *grad_clip,
        *power;   /* decimal numbers */
    int schedule; /* VLM_SCHEDULE_WORDS */
    int64_t max_steps, warmup, decay_steps;
    /* intervals, in steps; 0: none */
    int64_t eval_interval, eval_documents, checkpoint_interval, sample_interval, log_interval;
    int64_t keep, keep_every;
    double time_limit; /* seconds; 0: none */
    uint64_t memory;   /* bytes; 0: what the machine has free */
    int64_t threads, loader_threads;
    uint64_t seed;
    bool bf16, recompute, overfit, dry_run;
    int on_bad; /* of the guard: VLM_ON_SPIKE_WORDS */
    int progress;
    bool quiet;
    volatile sig_atomic_t *stop;
    /* Sentences on the way: what was skipped, a disk that is full. NULL: nobody listens. */
    void (*tell)(const char *sentence, void *context);
    void *tell_context;
};

/* Trains until max_steps (VLM_OK), the time limit (VLM_ELIMIT) or a signal (VLM_ESTOPPED), each with a
 * checkpoint and a whole model/. report gets one JSON object. VLM_EUSAGE: options or a checkpoint that does not
 * fit; VLM_ELIMIT before anything is allocated: memory, with the numbers. */
VLM_MUST_CHECK int vlm_train_run_start(const struct vlm_train_run_options *options,
                                       struct vlm_buffer *report, struct vlm_err *err);

#endif
