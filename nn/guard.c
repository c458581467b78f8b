/* guard.c - the spike guard of guard.h. Mean and deviation are computed anew for every step: two
 * passes over 128 numbers cost nothing and do not drift. */
#include "base/vlm.h"

#include "nn/guard.h"

#include <math.h>

/* The deviation of a window that hardly moves counts as this part of its mean: the loss of a tiny or
 * synthetic run may be constant to the last digits, and then any change is many deviations. */
static const double least_deviation = 1e-3;

/* Whether x stands out above the `count` values of the window, and is over `times` their mean. */
static bool is_spike(const double *window, uint32_t count, double x, double times)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += window[i];
    double mean = sum / count;
    for (uint32_t i = 0; i < count; i++)
        squares += (window[i] - mean) * (window[i] - mean);
    double deviation = sqrt(squares / (count - 1));
    deviation = fmax(deviation, least_deviation * fabs(mean));
    return x > mean + VLM_GUARD_SIGMAS * deviation && x > times * mean;
}

enum vlm_guard_verdict vlm_guard_judge(struct vlm_guard *guard, double loss, double norm)
{
    bool finite = isfinite(loss) && isfinite(norm);
    bool spike = finite && guard->count >= VLM_GUARD_BEGIN &&
                 (is_spike(guard->loss, guard->count, loss, 1) ||
                  is_spike(guard->norm, guard->count, norm, VLM_GUARD_TIMES));
    if (finite && !spike) {
        guard->loss[guard->next] = loss;
        guard->norm[guard->next] = norm;
        guard->next = (guard->next + 1) % VLM_GUARD_WINDOW;
        guard->count = VLM_MIN(guard->count + 1, (uint32_t)VLM_GUARD_WINDOW);
        guard->bad_in_row = 0;
        guard->accepted++;
        return VLM_GUARD_ACCEPT;
    }
    guard->skipped++;
    guard->not_finite += !finite;
    guard->spikes += spike;
    if (++guard->bad_in_row < VLM_GUARD_PATIENCE)
        return VLM_GUARD_SKIP;
    guard->bad_in_row = 0;
    return VLM_GUARD_ROLL_BACK;
}

int vlm_guard_check(const struct vlm_guard *guard, struct vlm_err *err)
{
    uint32_t count = guard->count;
    /* The ring is filled from 0; only a full one goes round. */
    if (count > VLM_GUARD_WINDOW || guard->next >= VLM_GUARD_WINDOW ||
        (count < VLM_GUARD_WINDOW && guard->next != count))
        return vlm_fail(err, VLM_EFORMAT, "guard: %" PRIu32 " values, the next at %" PRIu32, count,
                        guard->next);
    if (guard->bad_in_row >= VLM_GUARD_PATIENCE)
        return vlm_fail(err, VLM_EFORMAT, "guard: %" PRIu32 " bad steps in a row",
                        guard->bad_in_row);
    for (uint32_t i = 0; i < count; i++)
        if (!isfinite(guard->loss[i]) || !isfinite(guard->norm[i]))
            return vlm_fail(err, VLM_EFORMAT, "guard: value %" PRIu32 " is not finite", i);
    return VLM_OK;
}
