/* decoder.h - the model over many streams at once: continuous batching.
 *
 *   rc = vlm_decoder_new(&decoder, &engine, &model, &choices,
 *                        &(struct vlm_decoder_options){ .slots = 16, .capacity = 2048 }, &err);
 *   rc = vlm_decoder_add(decoder, stream, &err);             // while others run
 *   while (vlm_decoder_streams(decoder))
 *       vlm_decoder_step(decoder, finished, context);     // one forward pass over rows of all of them
 *   vlm_decoder_free(decoder);
 *
 * One call of vlm_model_forward() a step: the next row of each stream that decodes, and of prompts as many rows
 * as fit (the trainer's function: models/model). Rows of different streams do not touch each other's bits, chunks of
 * a prompt neither (gemm.h, attention.h), and a slot begins at a multiple of VLM_ATTENTION_KEYS, so a stream's answer
 * is the same alone, among others, cached or not.
 *
 * Prefix cache: a slot keeps its rows when its stream is gone. A new stream begins with a copy of the longest
 * beginning that some slot has computed, images included since they are rows like others; while another stream is
 * just computing a longer common beginning, it waits for that. So the n branches of a prompt cost one prefill.
 *
 * One thread owns a decoder; its products use the engine's threads. */
#ifndef VLM_MODELS_DECODER_H
#define VLM_MODELS_DECODER_H

#include "models/generate/stream.h"

struct vlm_decoder_options {
    size_t slots;    /* lanes that run at the same time, at least 1 */
    size_t capacity; /* rows of a slot, at most the model's context; 0: all of it */
    size_t parked;   /* slots beside those, which only keep beginnings */
    size_t
        chunk; /* rows of prompts in a step at most; 0: as many as take about 30 ms, 60 when nobody
                  decodes, measured on the way */
    enum vlm_dtype precision; /* of the tape: VLM_F32 also for int8 weights */
    bool no_prefix_cache;
    bool filled; /* takes the memory of all slots now, so that no step has to wait for it */
};

struct vlm_decoder;
VLM_MUST_CHECK int vlm_decoder_new(struct vlm_decoder **out, const struct vlm_engine *engine,
                                   struct vlm_model *model, const struct vlm_choices *choices,
                                   const struct vlm_decoder_options *options, struct vlm_err *err);
void vlm_decoder_free(struct vlm_decoder *decoder); /* NULL is fine; streams in it are not freed */

/* Whether so many lanes are free now. */
bool vlm_decoder_has_room(const struct vlm_decoder *decoder, size_t lanes);

/* Takes a stream that is not over; it stays the caller's, and must live until it was given to `finished` or
 * removed. There must be room. VLM_EUSAGE: the stream is longer than a slot. */
VLM_MUST_CHECK int vlm_decoder_add(struct vlm_decoder *decoder, struct vlm_stream *stream,
                                   struct vlm_err *err);

/* Takes it out, whatever it is doing, between two steps. What it computed stays as a beginning for others. */
void vlm_decoder_remove(struct vlm_decoder *decoder, struct vlm_stream *stream);

size_t vlm_decoder_streams(const struct vlm_decoder *decoder);

/* A stream drew a token or moved on in its prompt (rc VLM_OK; look at stream->over), or failed (rc and err); one
 * that is over or failed is out of the decoder. In the order in which they were added. */
typedef void (*vlm_decoder_fn)(void *context, struct vlm_stream *stream, int rc,
                               const struct vlm_err *err);

/* One forward pass. An error here is the model's (memory), and of all streams: each is reported with it. */
void vlm_decoder_step(struct vlm_decoder *decoder, vlm_decoder_fn report, void *context);

/* Of a stream in the decoder, or of one that is being reported as it comes out: rows that came from the prefix cache
 * (lane 0), rows of its prompt that are computed or copied, and whether a token was drawn: beams tell theirs when they
 * are over. */
struct vlm_decoder_progress {
    size_t cached, done;
    bool drew;
};
struct vlm_decoder_progress vlm_decoder_progress(const struct vlm_decoder *decoder,
                                                 const struct vlm_stream *stream);

/* Slots for people: what each holds. state: 0 empty, 1 kept beginning, 2 prompt, 3 decoding. Returns how many slots
 * there are, at most n were written. */
struct vlm_decoder_slot {
    int state;
    size_t rows, computed;
    const struct vlm_stream *stream; /* NULL: none */
};
size_t vlm_decoder_slots(const struct vlm_decoder *decoder, struct vlm_decoder_slot *slots,
                         size_t n);

struct vlm_decoder_counts {
    uint64_t steps, rows;              /* forward passes, and rows in them */
    uint64_t prompt_rows, cached_rows; /* of prompts: computed, and copied or found */
};
struct vlm_decoder_counts vlm_decoder_counts(const struct vlm_decoder *decoder);

/* Bytes of one slot of so many rows (0: the model's context), all of which are in use once it is full: to refuse
 * before anything is allocated. */
size_t vlm_decoder_slot_bytes(const struct vlm_model *model, size_t capacity);

#endif
