/* bench_generate.h - how fast a model answers: `vlm-bench generate`, and what `vlm-serve --bench` says of its own.
 *
 *   struct vlm_generate_rates rates;
 *   rc = vlm_generate_measure(&rates, &engine, &model, &(struct vlm_generate_load){
 *       .weights = VLM_WEIGHTS_BF16, .streams = 16, .prompt = 128, .fresh = 128, .repeat = 3 }, &err);
 *
 * The work is that of the peers' generate.py and llamacpp.py: random prompts, the prompts of all streams in one pass,
 * then a token of every stream in each pass. It is done by the decoder of vlm-serve and vlm-generate
 * (models/generate/decoder.h), whose streams draw each token at temperature 1 from all ids; the draws are in the time.
 */
#ifndef VLM_TOOLS_BENCH_GENERATE_H
#define VLM_TOOLS_BENCH_GENERATE_H

#include "models/model/model_serve.h"

/* argv[0] is the verb; returns the exit status. */
int vlm_bench_generate(int argc, char **argv);

struct vlm_generate_load {
    enum vlm_weights weights; /* what vlm_model_serve() made of the model */
    size_t streams;           /* of the second decoding rate */
    size_t prompt,
        fresh;     /* tokens of a stream's prompt, and behind it; together at most the context */
    size_t repeat; /* turns of all measurements, of which the median counts */
    uint64_t seed; /* of the tokens */
};

struct vlm_generate_rates {
    double one, many; /* tokens/s decoded by one stream, and by all streams together */
    double prefill;   /* tokens/s of the prompt of one stream */
    double
        cores[3]; /* that prefill, one and many had: less than the threads where others run too */
    double
        read; /* GB/s of summing up memory beyond the cache by the same threads, in the same turns */
    double weights; /* GB/s of weights that one stream read: one x vlm_model_serve_bytes() */
    bool cached;    /* they lie in the last cache of the CPU: memory is no bound of that */
};

/* Takes a cache for all streams, and three times the last cache of the CPU but no more than
 * 2000 MiB. VLM_EUSAGE when the tokens do not fit the model. */
VLM_MUST_CHECK int vlm_generate_measure(struct vlm_generate_rates *rates,
                                        const struct vlm_engine *engine, struct vlm_model *model,
                                        const struct vlm_generate_load *load, struct vlm_err *err);

#endif
