/* schedule.h - the learning rate as a pure function of the step.
 *
 *   struct vlm_schedule schedule = {
 *       .kind = VLM_SCHEDULE_COSINE, .peak = 3e-4, .floor = 3e-5, .warmup = 200, .total = 10000,
 *   };
 *   rc = vlm_schedule_check(&schedule, &err);              // once, the numbers being the user's
 *   rate = vlm_schedule_rate(&schedule, optimizer.step + 1);
 *
 * Nothing is remembered, so a resumed run follows the same curve. Steps count from 1: the rate of the
 * first update is that of step 1, never 0; the last update, number `total`, gets `floor`. With
 * t = (step - warmup) / (total - warmup), from 0 to 1:
 *
 *   step <= warmup        peak * step / warmup                           in every schedule
 *   CONSTANT              peak
 *   COSINE                floor + (peak - floor) (1 + cos(pi t)) / 2     Loshchilov and Hutter 2017
 *   POLYNOMIAL            floor + (peak - floor) (1 - t)^power           BERT: power 1
 *   WSD                   peak until step total - decay, then as POLYNOMIAL over the last `decay`
 *   WSD_EXPONENTIAL       the same, then peak (floor / peak)^t           Hu et al. 2024, MiniCPM, §4.2
 *
 * After `total` the rate stays at `floor`. */
#ifndef VLM_NN_SCHEDULE_H
#define VLM_NN_SCHEDULE_H

#include "base/vlm.h"

enum vlm_schedule_kind {
    VLM_SCHEDULE_CONSTANT,
    VLM_SCHEDULE_COSINE,
    VLM_SCHEDULE_POLYNOMIAL,
    VLM_SCHEDULE_WSD, /* warm-up, stable, decay */
    VLM_SCHEDULE_WSD_EXPONENTIAL,
};

struct vlm_schedule {
    enum vlm_schedule_kind kind;
    double peak, floor; /* learning rates */
    double power;       /* of POLYNOMIAL and WSD; 0: 1, a straight line */
    uint64_t warmup;    /* steps; 0: none */
    uint64_t total;     /* steps, warm-up included; CONSTANT needs none */
    uint64_t decay;     /* WSD: how many of the last steps */
};

/* VLM_EUSAGE with a sentence when the numbers make no schedule. */
VLM_MUST_CHECK int vlm_schedule_check(const struct vlm_schedule *schedule, struct vlm_err *err);

/* The rate of update number `step`, the first being 1. */
double vlm_schedule_rate(const struct vlm_schedule *schedule, uint64_t step);

#endif
