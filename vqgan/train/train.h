/* train.h - tokenizers of our own from pictures: pca in one pass, vq-s and vq-xs by gradient steps.
 *
 * Pictures come from the caller, by number, as squares; so training knows neither files nor shards. */
#ifndef VLM_VQGAN_TRAIN_H
#define VLM_VQGAN_TRAIN_H

#include "base/buffer.h"
#include "vqgan/tokenizer/tokenizer.h"

#include <signal.h>

/* The pictures to learn from and, for figures on the way, to be measured by. read() may be called by
 * several threads at once. digest names the whole collection: a run is resumed only on the same. */
struct vlm_pictures {
    size_t train, held_out;
    int (*read)(const struct vlm_pictures *pictures, bool held_out, size_t number,
                uint8_t square[VLM_SQUARE_BYTES], struct vlm_err *err);
    uint8_t digest[VLM_SHA256_SIZE];
    void *context;
};

enum vlm_train_kind { VLM_TRAIN_PCA, VLM_TRAIN_VQ_XS, VLM_TRAIN_VQ_S };
#define VLM_TRAIN_WORDS "pca|vq-xs|vq-s"

struct vlm_train_options {
    enum vlm_train_kind kind;
    const char *output; /* the model folder; the run's own files are in it too */
    int64_t codes;      /* K */
    int64_t threads;    /* 0: all cores */
    uint64_t seed;
    /* gradient training only */
    int64_t steps;     /* to do in all; 0: the kind's default */
    int64_t batch;     /* crops in a step */
    double time_limit; /* seconds, 0: none: stops with a checkpoint, VLM_ESTOPPED */
    int64_t checkpoint_interval, eval_interval; /* steps */
    bool bf16;
    bool store_bf16; /* the model's weights are rounded and take half the room; measured so */
    bool overfit;    /* no crops, no flips, no jitter: whole squares, for tests */
    int progress;
    bool quiet;
    volatile sig_atomic_t *stop; /* NULL, or set by a signal handler: checkpoint, VLM_ESTOPPED */
};

/* Trains and writes the model into options->output. A gradient run goes on from its last checkpoint;
 * an interrupted one leaves a usable model. report gets one JSON object. */
VLM_MUST_CHECK int vlm_train_run(const struct vlm_pictures *pictures,
                                 const struct vlm_train_options *options, struct vlm_buffer *report,
                                 struct vlm_err *err);

/* The parts of vlm_train_run(). */
VLM_MUST_CHECK int vlm_train_pca(const struct vlm_pictures *pictures,
                                 const struct vlm_train_options *options, struct vlm_buffer *report,
                                 struct vlm_err *err);
VLM_MUST_CHECK int vlm_train_vq(const struct vlm_pictures *pictures,
                                const struct vlm_train_options *options, struct vlm_buffer *report,
                                struct vlm_err *err);

#endif
