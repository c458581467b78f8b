/* toy_model.h - trains a small model on toy documents, and asks it.
 *
 *   rc = toy_train(&model, &engine, &set, &(struct toy_training){ .form = TOY_FORM_ALT, ... }, &err);
 *   rc = toy_loss(&nats, &model, &engine, &queries, &err);
 */
#ifndef VLM_TOOLS_TOY_MODEL_H
#define VLM_TOOLS_TOY_MODEL_H

#include "models/model/model.h"
#include "tools/learn/toy_world.h"

struct toy_pictures {
    unsigned *caption; /* [n] */
    uint32_t *codes;   /* [n][TOY_CODES] */
    size_t n;
};

struct toy_training {
    enum toy_form form;
    bool causal; /* nothing is masked: a plain causal language model */
    size_t steps;
    uint64_t seed;
};

/* Fills a model that the caller releases: 3 layers of width 96, learned positions, tied; AdamW with a cosine over
 * `steps` of 32 documents each. */
VLM_MUST_CHECK int toy_train(struct vlm_model *model, const struct vlm_engine *engine,
                             const struct toy_pictures *pictures,
                             const struct toy_training *training, struct vlm_err *err);

/* Prompts of one length and what follows them, of one length too. */
enum { TOY_QUERY_MAX = 64 };
struct toy_query {
    uint32_t ids[TOY_QUERY_MAX]; /* prompt, then answer */
};
struct toy_queries {
    struct toy_query *query; /* [n] */
    size_t n, prompt, answer;
};

/* Mean over the queries of the negative log-likelihood of the answer, all of its tokens, in nats. */
VLM_MUST_CHECK int toy_loss(double *nats, struct vlm_model *model, const struct vlm_engine *engine,
                            const struct toy_queries *queries, struct vlm_err *err);

/* Replaces the answers by the most likely tokens, one after the other. */
VLM_MUST_CHECK int toy_answer(struct vlm_model *model, const struct vlm_engine *engine,
                              struct toy_queries *queries, struct vlm_err *err);

#endif
