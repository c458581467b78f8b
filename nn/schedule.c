/* schedule.c - the formulas of schedule.h. */
#include "base/vlm.h"

#include "nn/schedule.h"

#include <math.h>

static bool is_wsd(const struct vlm_schedule *schedule)
{
    return schedule->kind == VLM_SCHEDULE_WSD || schedule->kind == VLM_SCHEDULE_WSD_EXPONENTIAL;
}

int vlm_schedule_check(const struct vlm_schedule *s, struct vlm_err *err)
{
    if ((unsigned)s->kind > VLM_SCHEDULE_WSD_EXPONENTIAL)
        return vlm_fail(err, VLM_EUSAGE, "schedule %u is unknown", (unsigned)s->kind);
    if (!isfinite(s->peak) || s->peak < 0)
        return vlm_fail(err, VLM_EUSAGE, "learning rate %g is not a number from 0", s->peak);
    if (s->kind == VLM_SCHEDULE_CONSTANT)
        return VLM_OK;
    if (!isfinite(s->floor) || s->floor < 0 || s->floor > s->peak)
        return vlm_fail(err, VLM_EUSAGE, "last learning rate %g is not between 0 and the peak, %g",
                        s->floor, s->peak);
    if (!isfinite(s->power) || s->power < 0)
        return vlm_fail(err, VLM_EUSAGE, "power %g of the schedule is not a number from 0",
                        s->power);
    if (s->total == 0 || s->warmup > s->total)
        return vlm_fail(err, VLM_EUSAGE,
                        "warm-up of %" PRIu64 " steps does not fit in %" PRIu64 " steps", s->warmup,
                        s->total);
    if (is_wsd(s) && s->decay > s->total - s->warmup)
        return vlm_fail(err, VLM_EUSAGE,
                        "decay of %" PRIu64 " steps does not fit in the %" PRIu64
                        " after the warm-up",
                        s->decay, s->total - s->warmup);
    if (s->kind == VLM_SCHEDULE_WSD_EXPONENTIAL && !(s->floor > 0))
        return vlm_fail(err, VLM_EUSAGE, "exponential decay needs a last learning rate above 0");
    return VLM_OK;
}

double vlm_schedule_rate(const struct vlm_schedule *s, uint64_t step)
{
    const double pi = 3.14159265358979323846;
    if (step < s->warmup)
        return s->peak * (double)step / (double)s->warmup;
    if (s->kind == VLM_SCHEDULE_CONSTANT)
        return s->peak;
    uint64_t begin = is_wsd(s) ? s->total - s->decay : s->warmup;
    if (step <= begin)
        return s->peak;
    if (step >= s->total)
        return s->floor;
    double t = (double)(step - begin) / (double)(s->total - begin);
    if (s->kind == VLM_SCHEDULE_COSINE)
        return s->floor + (s->peak - s->floor) * (1 + cos(pi * t)) / 2;
    if (s->kind == VLM_SCHEDULE_WSD_EXPONENTIAL)
        return s->peak * pow(s->floor / s->peak, t);
    return s->floor + (s->peak - s->floor) * pow(1 - t, s->power > 0 ? s->power : 1);
}
