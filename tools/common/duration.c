/* duration.c - a number and a unit. */
#include "base/vlm.h"

#include "tools/common/duration.h"

#include <math.h>

int vlm_duration_parse(double *seconds, const char *option, const char *text, struct vlm_err *err)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
    char *end;
    double number = strtod(text, &end);
    if (end != text && isfinite(number) && number > 0)
        for (size_t i = 0; i < VLM_COUNTOF(units); i++)
            if (!strcmp(end, units[i].unit)) {
                *seconds = number * units[i].seconds;
                return VLM_OK;
            }
    return vlm_fail(err, VLM_EUSAGE, "option '--%s': '%s' is no duration like 30s, 5m or 4h",
                    option, text);
}
